"""The questions that proxies ask of passes: answered at once, or together with those of others.

A proxy that asks is suspended until all have asked, so that one pass serves all that need one of the same kind, and is
run again with the answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import ProxyError
from nas.passes.footprint import Footprint
from nas.passes.intercept import not_intercepted
from nas.passes.questions import FORWARD, Answer, Event, Pass, Question, Suspension
from nas.passes.running import Drawn
from nas.passes.shown import Shown, copied
from nas.passes.surroundings import interrupts_noticed, is_failure, put_back, started


class Asked:
    """One network on one minibatch, of which proxies ask something; see `nas.probe.Probe`."""

    def __init__(
        self, net: nn.Module | Callable[[], nn.Module], inputs: Tensor, labels: Tensor, seed: int,
        mixed: torch.dtype | None,
    ) -> None:  # fmt: skip
        self._net = net
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

    @cached_property
    def net(self) -> nn.Module:
        return self._net if isinstance(self._net, nn.Module) else self._net()

    def _started(self) -> AbstractContextManager[Any]:
        """While proxies are measured, each pass starts from the same random numbers, and leaves the modes alone."""
        return nullcontext() if self._footprint is None else started(self.seed, self.inputs.device)

    def _autocast(self, enabled: bool = True) -> AbstractContextManager[Any]:
        return nullcontext() if self.mixed is None else torch.autocast(self.inputs.device.type, self.mixed, enabled)

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

    def _run(self, name: str, function: Callable[[Any], Any]) -> Any:
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
        for name in ("params", "trace", "convolutions"):
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
        alone = len(questions) == 1

        @not_intercepted()
        def visit(part: Any, event: Event) -> None:
            before = Shown(part, None if alone else flags if event in FORWARD else list)
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
            if (change := before.change()) is not None:
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


def measure(probe: Asked, proxies: Mapping[str, Callable[[Any], Any]]) -> Measured:
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


def _measure_together(probe: Asked, proxies: Mapping[str, Callable[[Any], Any]]) -> Measured:
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
