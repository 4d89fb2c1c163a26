"""Everything that a proxy may look at: one network at initialisation on one minibatch, measured once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.allocator import keep_freed_memory
from nas.gradients import Block, Target, product_of_signs, visit_blocks
from nas.intercept import RELUS, Intercept, batch_normalisation, normalising, untouched
from nas.trace import Trace, trace

__all__ = ["Block", "Probe", "Target", "measure", "product_of_signs"]


keep_freed_memory()


class Probe:
    """One network on one minibatch.

    A proxy asks for what it needs and gets the answer. Where several proxies are asked together (`measure`), one pass
    serves all that need one of the same kind: the pass waits until every proxy has said what it wants from it.

    Attributes:
        net: images [samples, channels, height, width] to logits [samples, classes]. Look, do not touch.
        images: [samples, channels, height, width], on the network's device. Every prefix holds the classes in equal
            numbers, to within one.
        labels: [samples], whole numbers.
        seed: torch's global generator starts from it whenever a proxy is run by `measure`.
    """

    def __init__(self, net: nn.Module, images: Tensor, labels: Tensor, seed: int = 0) -> None:
        self.net = net
        self.images = images
        self.labels = labels
        self.seed = seed
        self._asker: str | None = None  # the proxy that runs now; None: answer at once
        self._asked = 0
        self._wanted: dict[_Question, tuple[_Pass, Callable[[Any], Any]]] = {}
        self._answers: dict[_Question, list[Any] | Exception] = {}
        self._seconds: dict[_Question, float] = {}

    @property
    def samples(self) -> int:
        return len(self.images)

    @cached_property
    def params(self) -> int:
        """The number of parameters."""
        return sum(parameter.numel() for parameter in self.net.parameters())

    @cached_property
    def trace(self) -> Trace:
        """What one input costs; see `nas.trace.Trace`."""
        return trace(self.net, self.images[:1])

    def map_blocks(self, function: Callable[[Block], Any], target: Target = "loss") -> list[Any]:
        """``function`` of the exact per-sample gradients of each Conv2d and Linear weight that the output depends on.

        Batch norm normalises each sample by itself. Blocks come in the order of the backward pass, and only one exists
        at a time; what ``function`` returns is kept. See `nas.gradients.visit_blocks`.
        """
        answers = self._ask(_Pass(f"blocks of the {target}", partial(_visit_blocks, target=target)), function)
        if not answers:
            raise ValueError("no convolution or linear layer lies between input and output")
        return answers

    def map_relus(self, function: Callable[[Tensor], Any]) -> list[Any]:
        """``function`` of the activation pattern, [samples, units] bool (input > 0), of each ReLU that runs.

        They come in the order of the forward pass. Batch norm is in training mode over the whole batch.
        """
        answers = self._ask(_Pass("relus", _visit_relus), function)
        if not answers:
            raise ValueError("the network has no ReLU")
        return answers

    def forward(self, samples: int | None = None) -> Tensor:
        """The logits [samples, classes] of the first ``samples`` images (default: all) with their graph, for
        `torch.autograd.grad`. Batch norm is in training mode over these images; nothing is recorded in it."""
        with untouched(self.net), Intercept(normalising(batch_normalisation)):
            return self.net(self.images[:samples])  # type: ignore[no-any-return]

    def _ask(self, through: _Pass, function: Callable[[Any], Any]) -> list[Any]:
        question = (self._asker, self._asked)
        self._asked += 1
        if question not in self._answers:
            self._wanted[question] = (through, function)
            if self._asker is not None:
                raise _NotYet
            self._answer_all()
        answer = self._answers[question]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _answer_all(self) -> None:
        """Answers all open questions, those that need the same pass in one."""
        wanted, self._wanted = self._wanted, {}
        for through in dict.fromkeys(through for through, _ in wanted.values()):
            self._answer(through, {question: function for question, (t, function) in wanted.items() if t == through})

    def _answer(self, through: _Pass, questions: dict[_Question, Callable[[Any], Any]]) -> None:
        answers: dict[_Question, list[Any] | Exception] = {question: [] for question in questions}
        own = dict.fromkeys(questions, 0.0)

        def visit(part: Any) -> None:
            for question, function in questions.items():
                answer, start = answers[question], time.perf_counter()
                if isinstance(answer, list):
                    try:
                        answer.append(function(part))
                    except Exception as error:  # it belongs to the proxy that asked, and is raised there
                        answers[question] = error
                own[question] += time.perf_counter() - start

        start = time.perf_counter()
        try:
            through.run(self, visit)
        except Exception as error:  # the pass itself failed: so did everything that needed it
            answers = dict.fromkeys(questions, error)
        shared = (time.perf_counter() - start - sum(own.values())) / len(questions)
        for question in questions:
            self._seconds[question] = own[question] + shared
        self._answers |= answers


_Question = tuple[str | None, int]
"""Who asks, and the how-manieth question of theirs it is."""


@dataclass(frozen=True)
class _Pass:
    """A pass over the network that hands its parts to a visitor; one of the same ``kind`` is the same pass."""

    kind: str
    run: Callable[[Probe, Callable[[Any], None]], None] = field(compare=False)


class _NotYet(BaseException):
    """Raised through a proxy whose question waits for the pass that will answer it."""


def measure(probe: Probe, proxies: dict[str, Callable[[Probe], Any]]) -> dict[str, tuple[Any | Exception, float]]:
    """Each proxy's value, or the exception it raised, and its seconds, with shared passes made once.

    A proxy runs until it asks for a pass, waits until all have asked, and is run again with the answer, so it must be
    a function of what the probe tells it and of torch's generator, which starts from ``probe.seed`` every time and is
    put back. The seconds of a shared pass are divided equally among those who asked.
    """
    results: dict[str, tuple[Any | Exception, float]] = {}
    seconds = dict.fromkeys(proxies, 0.0)
    while len(results) < len(proxies):
        for name, function in proxies.items():
            if name in results:
                continue
            probe._asker, probe._asked = name, 0
            start = time.perf_counter()
            try:
                with torch.random.fork_rng(devices=[probe.images.device] if probe.images.is_cuda else []):
                    torch.manual_seed(probe.seed)
                    value = function(probe)
                if isinstance(value, Tensor):
                    value = value.cpu()
            except _NotYet:
                seconds[name] += time.perf_counter() - start
                continue
            except Exception as error:  # a failed score is a value too: the caller records its reason
                value = error
            own = seconds[name] + time.perf_counter() - start
            results[name] = (value, own + sum(s for q, s in probe._seconds.items() if q[0] == name))
        probe._asker = None
        probe._answer_all()
    return results


def _visit_blocks(probe: Probe, visit: Callable[[Block], None], target: Target) -> None:
    visit_blocks(probe.net, probe.images, probe.labels, visit, target)


def _visit_relus(probe: Probe, visit: Callable[[Tensor], None]) -> None:
    def relu(x: Tensor, inplace: bool = False) -> Tensor:
        visit((x > 0).reshape(len(x), -1))
        return F.relu(x, inplace)

    handlers = normalising(batch_normalisation) | dict.fromkeys(RELUS, relu)
    with torch.no_grad(), untouched(probe.net), Intercept(handlers):
        probe.net(probe.images)
