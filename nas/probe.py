"""Everything that a proxy may look at: one network at initialisation on one minibatch, measured once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nas.errors import ProxyError as ProxyError
from nas.errors import ProxyFailure
from nas.passes.batch import Layer, visit_batch, visit_halves
from nas.passes.blocks import Block, product_of_signs
from nas.passes.counts import Counts, Trace, trace
from nas.passes.footprint import Footprint
from nas.passes.intercept import Intercept, Visits, batch_normalisation, normalising
from nas.passes.linearised import Flow, visit_flow
from nas.passes.outputs import visit_outputs
from nas.passes.per_image import Target
from nas.passes.per_sample import visit_blocks
from nas.passes.questions import FORWARD, Answer, Event, Pass, Question, Suspension
from nas.passes.roles import Role, visit_roles
from nas.passes.running import Drawn, again, untouched
from nas.passes.scalars import visit_scalars
from nas.passes.shown import Shown, copied
from nas.passes.surroundings import interrupts_noticed, is_failure, put_back, started
from nas.passes.tokens import are_tokens
from nas.passes.weights import check_weights, real, weights_of

__all__ = ["Block", "Flow", "Layer", "Probe", "Role", "Target", "Weighted", "measure", "product_of_signs"]

Weighted = list[tuple[Tensor, Tensor]]
"""Each convolution and linear weight with a tensor that belongs to it."""


class Probe:
    """One network on one minibatch.

    A proxy asks for what it needs and gets the answer. Where several proxies are asked together (`measure`), one pass
    serves all that need one of the same kind: the pass waits until every proxy has said what it wants from it. Those
    that hand over the very same function share what it returns.

    Attributes:
        net: ``inputs`` to logits [samples, classes], or of tokens [samples, length, classes]. Look, do not touch.
        inputs: images [samples, channels, height, width], or tokens [samples, length] int64, on the network's device.
            Of images, every prefix holds the classes in equal numbers, to within one.
        images: the same, for proxies that look at images; with tokens, these fail.
        labels: [samples], whole numbers; of tokens [samples, length], negative where nothing is predicted.
        seed: torch's global generator starts from it whenever a proxy is run by `measure`.
        mixed: the shorter type in which `torch.autocast` runs the network's convolutions and products, if any; what
            proxies compute themselves is not touched by it.
    """

    def __init__(
        self, net: nn.Module | Callable[[], nn.Module], inputs: Tensor, labels: Tensor, seed: int = 0,
        mixed: torch.dtype | None = None, counts: Counts | None = None,
    ) -> None:  # fmt: skip
        """``net`` may be what makes the network when it is asked for; ``counts`` are its own, where they are known."""
        self._net, self._counts = net, counts
        self.inputs = inputs
        self.labels = labels
        self.seed, self.mixed = seed, mixed
        self._asker: str | None = None  # the proxy that runs now; None: answer at once
        self._asked = 0  # questions, by that proxy
        self._suspended = False  # its question is not answered yet
        self._broken: ProxyError | None = None  # what the proxy that runs now did against the rules
        self._wanted: dict[Question, tuple[Pass, Event, Callable[[Any], Any]]] = {}
        self._answers: dict[Question, Answer] = {}
        self._seconds: dict[Question, float] = {}
        self._footprint: Footprint | None = None  # of the network and the minibatch; None: nobody measures

    def __setattr__(self, name: str, value: Any) -> None:
        own = name in vars(self) or isinstance(getattr(type(self), name, None), property)
        if not name.startswith("_") and own:
            raise AttributeError(f"the {name} of a probe is not for its proxies to set")
        super().__setattr__(name, value)

    @cached_property
    def net(self) -> nn.Module:
        return self._net if isinstance(self._net, nn.Module) else self._net()

    @property
    def images(self) -> Tensor:
        if are_tokens(self.inputs):
            raise ProxyFailure("the proxy looks at images, and the data are tokens")
        return self.inputs

    @property
    def groups(self) -> Tensor:
        """The class of each sample, [samples]; sequences are of one class."""
        return self.labels if self.labels.ndim == 1 else self.labels.new_zeros(self.samples)

    @property
    def samples(self) -> int:
        return len(self.inputs)

    @cached_property
    def params(self) -> int:
        """The number of parameters."""
        return self._counts.params if self._counts else sum(parameter.numel() for parameter in self.net.parameters())

    @cached_property
    def trace(self) -> Trace:
        """What one input costs; see `nas.passes.counts.Trace`."""
        counts = self._counts
        return trace(self.net, self.inputs[:1].clone()) if counts is None else Trace(counts.flops, counts.depth)

    @property
    def weights(self) -> list[Tensor]:
        """The convolution and linear weights, each once (see `nas.passes.weights.Weights`): those of modules first."""
        weights = again(lambda: weights_of(self.net, [self.inputs]))
        check_weights(weights)
        return [real(weight) for weight in weights]

    def map_blocks(
        self, function: Callable[[Block], Any], target: Target = "loss", samples: int | None = None
    ) -> list[Any]:
        """``function`` of the exact per-sample gradients of each Conv2d and Linear weight that the output depends on.

        They are those of the ``samples`` first images (default: all). Batch norm normalises each sample by itself.
        Blocks come in the order of the backward pass, and only one exists at a time; what ``function`` returns is kept.
        See `nas.passes.per_sample.visit_blocks`.
        """

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_blocks(net, images[:samples], labels[:samples], visits["blocks"], target)

        answers = self._ask(Pass(f"{target} of {self._number(samples)}", run), "blocks", function)
        if not answers:
            raise ValueError("no convolution of two dimensions and no linear layer lies between input and output")
        return answers

    def map_relus(self, function: Callable[[Tensor], Any], samples: int | None = None) -> list[Any]:
        """``function`` of the activation pattern, [samples, units] bool (input > 0), of each ReLU that runs.

        They come in the order of the forward pass. Batch norm is in training mode over the ``samples`` first images
        (default: all).
        """
        answers = self._ask(self._batch(samples), "relus", function)
        if not answers:
            raise ValueError("the network has no ReLU, or none that is seen as one")
        return answers

    def map_layers(self, function: Callable[[Layer], Any]) -> list[Any]:
        """``function`` of each use of a convolution or linear weight that the loss depends on: output and gradient.

        They come in the order of the backward pass. The loss is the mean over the batch, batch norm in training mode.
        """
        answers = self._ask(self._batch(), "layers", function)
        if not answers:
            raise ValueError("no convolution of two dimensions and no linear layer lies between input and output")
        return answers

    def weight_roles(self) -> list[Role]:
        """What each of the `weights` is for in a transformer, as far as the network uses them."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_roles(net, images[:1], visits)

        return self._ask(Pass("roles", run), "roles", _itself)[0]  # type: ignore[no-any-return]

    def features(self, function: Callable[[list[Tensor]], Any]) -> Any:
        """``function`` of the features: what the first block takes and what each block gives, with their graph.

        Blocks are the network's outermost modules with parts of their own (see `nas.passes.features.blocks`); features
        are [samples, channels, height, width] or [samples, tokens, channels]; what is pooled over all places does not
        count. Batch norm is in training mode. Random numbers that ``function`` needs come from a generator of its own.
        """
        return self._ask(self._batch(), "features", function)[0]

    def loss_gradients(self) -> Weighted:
        """∂L/∂w of each of the `weights`: L is the mean over the batch, batch norm in training mode."""
        return self._ask(self._batch(), "gradients", _itself)[0]  # type: ignore[no-any-return]

    def half_gradients(self) -> Weighted:
        """∂L/∂w of each of the `weights` for either half of the batch alone: [2, *w]."""
        return self._ask(Pass("halves", visit_halves), "gradients", _itself)[0]  # type: ignore[no-any-return]

    def hessian_gradients(self) -> Weighted:
        """H ∂L/∂w of each of the `weights`, with H the Hessian of the batch's loss for all of them."""
        return self._ask(self._batch(), "curvature", _itself)[0]  # type: ignore[no-any-return]

    def input_gradients(self) -> Tensor:
        """∂(Σ logits of all images)/∂x, [samples, inputs]; batch norm in training mode, so images act on each other. Of
        tokens, x is what they are looked up as."""
        return self._ask(self._batch(), "input", _itself)[0]  # type: ignore[no-any-return]

    def flow(self) -> list[Flow]:
        """Each of the `weights` in the linearised network: absolute parameters, no batch norm, an input of ones."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_flow(net, images, visits)

        return self._ask(Pass("flow", run), "flow", _itself)

    def scalar_jacobian(
        self, samples: int | None = None, batch_norm: Literal["running", "sample"] = "running"
    ) -> tuple[Tensor, Tensor]:
        """Logits [samples, classes] and their Jacobian [samples, classes, weights] with respect to the first entry of
        each of the `weights`, for the first ``samples`` images; batch norm in evaluation mode, by its
        ``running`` statistics or, as where it keeps none, each ``sample`` by itself."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_scalars(net, images[:samples], visits, batch_norm == "sample")

        return self._ask(Pass(f"scalars of {self._number(samples)} by {batch_norm}", run), "scalars", _itself)[0]  # type: ignore[no-any-return]

    def map_convolutions(self, function: Callable[[Tensor], Any], samples: int | None = None) -> list[Any]:
        """``function`` of the output of each convolution, [samples, channels, height, width], for the first ``samples``
        images alone; batch norm in training mode over them."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_outputs(net, images[:samples], visits)

        answers = self._ask(Pass(f"outputs of {self._number(samples)}", run), "convolutions", function)
        if not answers:
            raise ValueError("the network has no convolution")
        return answers

    def last_features(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The last feature map for other images, and of each batch norm the variance of each channel.

        The feature map [samples, channels, height, width] is what the network's head averages over: a transformer, in
        which no convolution follows the last attention, has none (`ValueError`). Batch norm is in training mode.
        """
        maps: list[Tensor] = []
        variances: list[Tensor] = []

        def visit() -> None:
            maps.clear()
            variances.clear()
            with self._autocast():
                visit_outputs(self.net, images, {"last": maps.append, "variances": variances.append})

        again(visit)
        if not maps:
            raise ValueError("the network has no map of several pixels, or no convolution after its last attention")
        return maps[0], variances

    def forward(self, samples: int | None = None) -> Tensor:
        """The logits [samples, classes] of the first ``samples`` images (default: all) with their graph, for
        `torch.autograd.grad`. Batch norm is in training mode over these images; nothing is recorded in it."""

        def run() -> Tensor:
            with self._autocast(), untouched(self.net) as run:
                return run(self.inputs[:samples], Intercept(normalising(batch_normalisation)))  # type: ignore[no-any-return]

        return again(run)

    def _started(self) -> AbstractContextManager[Any]:
        """While proxies are measured, each pass starts from the same random numbers, and leaves the modes alone."""
        return nullcontext() if self._footprint is None else started(self.seed, self.inputs.device)

    def _autocast(self, enabled: bool = True) -> AbstractContextManager[Any]:
        return nullcontext() if self.mixed is None else torch.autocast(self.inputs.device.type, self.mixed, enabled)

    def _batch(self, samples: int | None = None) -> Pass:
        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_batch(net, images[:samples], labels[:samples], visits)

        return Pass(f"batch of {self._number(samples)}", run)

    def _number(self, samples: int | None) -> int:
        return self.samples if samples is None else min(samples, self.samples)

    def _ask(self, through: Pass, event: Event, function: Callable[[Any], Any]) -> list[Any]:
        self._check_no_question_is_open()
        question = Question(self._asker, self._asked)
        self._asked += 1
        if question not in self._answers:
            if self._footprint is not None and (change := self._footprint.change()):
                raise self._breach(f"has changed {change} when it asks for the {event}")
            self._wanted[question] = (through, event, function)
            if self._asker is not None:
                self._suspended = True
                raise Suspension
            self._answer_all()
        answer = self._answers[question] if self._asker is not None else self._answers.pop(question)
        if (answer.kind, answer.event) != (through.kind, event):
            raise self._breach(
                f"asks for the {event} of the pass '{through.kind}' where it asked for the {answer.event} of the pass "
                f"'{answer.kind}' before, so it cannot be run again with its answers"
            )
        if isinstance(answer.values, BaseException):
            raise answer.values
        return answer.values if self._footprint is None else copied(answer.values)

    def _run(self, name: str, function: Callable[[Probe], Any]) -> Any:
        """What the proxy called ``name`` returns; its questions are answered from before, or suspend it."""
        self._asker, self._asked, self._suspended, self._broken = name, 0, False, None
        value = function(self)
        if self._broken is not None:
            raise self._broken
        self._check_no_question_is_open()
        if self._asked < (answered := sum(question.proxy == name for question in self._answers)):
            raise self._breach(f"asks {self._asked} questions where it asked {answered} before")
        return value.cpu() if isinstance(value, Tensor) else value

    def _put_back(self) -> None:
        """Makes the network and the minibatch what they were, and forgets what was counted since."""
        if self._footprint is not None:
            self._footprint.put_back()
        for name in ("params", "trace"):
            vars(self).pop(name, None)

    def _check_no_question_is_open(self) -> None:
        """A proxy that is suspended must let that through, to be run again when its question is answered."""
        if self._broken is not None:
            raise self._broken
        if self._suspended:
            raise self._breach("goes on though its question is not answered yet: an 'except' in it catches too much")

    def _breach(self, what: str) -> ProxyError:
        self._broken = ProxyError(f"the proxy {self._asker} {what}")
        return self._broken

    def _answer_all(self) -> None:
        """Answers all open questions, those that need the same pass in one."""
        wanted, self._wanted = self._wanted, {}
        for through in dict.fromkeys(through for through, _, _ in wanted.values()):
            self._answer(through, {q: (event, function) for q, (t, event, function) in wanted.items() if t == through})

    def _answer(self, through: Pass, questions: dict[Question, tuple[Event, Callable[[Any], Any]]]) -> None:
        answers: dict[Question, list[Any] | BaseException] = {question: [] for question in questions}
        own = dict.fromkeys(questions, 0.0)
        flags = list if self._footprint is None else self._footprint.flags

        def visit(part: Any, event: Event) -> None:
            before = Shown(part, flags if event in FORWARD else list)
            returned: dict[int, Any] = {}  # by function, which several may have handed over
            for question, (wanted, function) in questions.items():
                answer, start = answers[question], time.perf_counter()
                if wanted == event and isinstance(answer, list):
                    try:
                        if id(function) not in returned:
                            with self._autocast(enabled=False):
                                returned[id(function)] = function(part)
                        answer.append(returned[id(function)])
                    except BaseException as error:  # it belongs to the proxy that asked, and is raised there
                        if not is_failure(error):
                            raise
                        answers[question] = error
                own[question] += time.perf_counter() - start
            if (change := before.change(alone=len(questions) == 1)) is not None:
                raise ProxyError(f"the proxy changes {change} when it is shown the {event}")

        visits: dict[str, Callable[[Any], None]] = {
            event: partial(visit, event=event) for event, _ in questions.values()
        }
        start = time.perf_counter()
        try:
            with self._started(), self._autocast():
                through.run(self.net, self.inputs, self.labels, visits)
        except Drawn:  # known now, and left out when the pass is made again
            self._answer(through, questions)
            return
        except BaseException as error:  # the pass failed; perhaps not for all, so each is given one of its own
            if not is_failure(error):
                raise
            if len(questions) > 1:
                for question, asked in questions.items():
                    self._answer(through, {question: asked})
                return
            answers = dict.fromkeys(questions, error)
        shared = (time.perf_counter() - start - sum(own.values())) / len(questions)
        for question, (event, _) in questions.items():
            self._seconds[question] = own[question] + shared
            self._answers[question] = Answer(through.kind, event, answers[question])


Measured = dict[str, tuple[Any | BaseException, float]]
"""Of each proxy its value, or what it raised, and its seconds."""


def measure(probe: Probe, proxies: Mapping[str, Callable[[Probe], Any]]) -> Measured:
    """Each proxy's value, or the exception it raised, and its seconds, with shared passes made once.

    A proxy runs until it asks for a pass, waits until all have asked, and is run again with the answer, so it must be
    a function of what the probe tells it and of the random generators, which start from ``probe.seed`` every time and
    are put back. One that asks something else when it is run again, goes on without its answer, or changes the network
    or the minibatch, has failed; what it has changed is put back, and the others are asked again, each by itself. The
    seconds of a shared pass are divided equally among those who asked.
    """
    with put_back(), interrupts_noticed():
        probe._footprint = Footprint(probe.net, {"the images": probe.inputs, "the labels": probe.labels})
        try:
            results = _measure_together(probe, proxies)
            for name in [name for name in proxies if name not in results]:
                probe._put_back()
                results |= _measure_together(probe, {name: proxies[name]})
            if any(isinstance(value, ProxyError) for value, _ in results.values()):
                probe._put_back()
        finally:
            probe._footprint = None
    return {name: results[name] for name in proxies}


def _measure_together(probe: Probe, proxies: Mapping[str, Callable[[Probe], Any]]) -> Measured:
    """The same, with no result for those that were not done when a change of the network was noticed; where only one
    proxy is left it was that one's doing, and is its failure."""
    results: Measured = {}
    seconds = dict.fromkeys(proxies, 0.0)
    probe._answers.clear()
    probe._seconds.clear()
    while len(results) < len(proxies):
        done: Measured = {}
        for name, function in proxies.items():
            if name in results:
                continue
            start = time.perf_counter()
            try:
                with started(probe.seed, probe.inputs.device):
                    value = probe._run(name, function)
            except Suspension:
                seconds[name] += time.perf_counter() - start
                continue
            except BaseException as error:  # a failed score is a value too: the caller records its reason
                if not is_failure(error):
                    raise
                value = probe._broken or error
                probe._wanted = {question: asked for question, asked in probe._wanted.items() if question.proxy != name}
            own = seconds[name] + time.perf_counter() - start
            done[name] = (value, own + sum(s for q, s in probe._seconds.items() if q.proxy == name))
        probe._asker, probe._suspended, probe._broken = None, False, None
        if (change := probe._footprint and probe._footprint.change()) is not None:
            probe._wanted.clear()
            left = [name for name in proxies if name not in results]
            breach = ProxyError(f"the proxy {left[0]} changes {change}")
            return results | ({left[0]: (breach, seconds[left[0]])} if len(left) == 1 else {})
        results |= done
        probe._answer_all()
    probe._answers.clear()
    return results


def _itself(part: Any) -> Any:
    return part
