"""One architecture -> its scores. Here is the hygiene of measuring: seeds, devices, initialisations, failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any, NamedTuple, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn

from nas.data.minibatch import Minibatch
from nas.errors import UsageError, unknown
from nas.passes.initialisation import initialise
from nas.passes.precision import placed
from nas.passes.running import again
from nas.passes.surroundings import interrupts_noticed, is_failure, put_back, standard_modes, started
from nas.passes.weights import weights_of
from nas.probe import Probe, measure
from nas.proxy import Initialisation, Network, Proxy, ProxyFailure, Saturated
from nas.scoring.logits import returning_logits
from nas.space import Arch, Space, Task

PRECISIONS = ("float32", "float64", "bfloat16", "float16")
"""How networks compute: in float32 or float64 throughout, or in mixed precision, where torch's autocast runs
convolutions and products in the shorter type; the linearised network of `nas.passes.linearised.visit_flow` is
float64 always."""

THIN_INPUTS, THIN_SIZE = 3000, 3
"""How many crops of how many pixels a side a thin copy is probed with (TE-NAS)."""


MAX_REASON = 500
"""Characters of a reason, which goes into files and pages."""

OF_THE_MACHINE = frozenset({"timeout", "lost", "memory"})
"""Statuses that say something of the machine and the moment, not of the network: another try may give a number."""


class Score(NamedTuple):
    """What a proxy said of an architecture: its own number (not negated), or why there is none."""

    value: float | None
    status: str = "ok"
    reason: str = ""
    seconds: float = 0.0


class Measurer:
    """Measures architectures of one space on one minibatch, and remembers nothing of them.

    A score is a function of the architecture, the proxy with its options, the minibatch and the seed: it does not
    depend on the order, on what else is asked or on what was measured before.
    """

    def __init__(
        self, space: Space, data: Minibatch, *, seed: int = 0, device: str = "auto", precision: str = "float32"
    ) -> None:
        self.space = space
        self.data = data
        self.seed = seed
        self.device = resolve_device(device)
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        self.precision = getattr(torch, precision)
        self._inputs: dict[str, Minibatch] = {}

    def __call__(self, arch: Arch, proxies: Sequence[Proxy]) -> dict[str, Score]:
        """The score by each proxy's name. Proxies asked together share their passes."""
        with standard_modes(), interrupts_noticed():
            return self._rounds(arch, proxies)

    def _rounds(self, arch: Arch, proxies: Sequence[Proxy]) -> dict[str, Score]:
        rounds: dict[str, list[Score]] = {proxy.name: [] for proxy in proxies}
        looked_up = {proxy.name: self._looked_up(arch, proxy) for proxy in proxies if proxy.known is not None}
        rounds |= {name: [score] for name, score in looked_up.items()}
        proxies = [proxy for proxy in proxies if proxy.known is None]
        for network in dict.fromkeys(proxy.network for proxy in proxies):
            together = [proxy for proxy in proxies if proxy.network == network]
            for number in range(max(proxy.repeats for proxy in together)):
                now = [proxy for proxy in together if number < proxy.repeats]
                for name, score in self._visit(arch, network, number, now).items():
                    rounds[name].append(score)
        return {name: _mean(scores) for name, scores in rounds.items()}

    def probe(self, arch: Arch, network: Network = "full", how: Initialisation = "default", number: int = 0) -> Probe:
        """A network of ``arch``, freshly made as its initialisation ``number``, on the minibatch.

        Raises:
            ProxyFailure: the space has no thin copy of its networks.
            Exception: the network cannot be made.
        """
        space = self.space if network == "full" else self.space.thin()
        if space is None:
            raise ProxyFailure("the space has no thin copy of its networks")
        inputs = self._minibatch(network)
        seed = initialisation_seed(self.seed, number)
        net = placed(build(space, arch, inputs.task, seed), self.device, self._number_type)
        mixed = self.precision if self.precision.itemsize < 4 else None
        probe = Probe(net, inputs.images, inputs.labels, seed, mixed)
        return probe if how == "default" else _initialised(probe, how)

    def _visit(self, arch: Arch, network: Network, number: int, proxies: Sequence[Proxy]) -> dict[str, Score]:
        """Builds one network, its initialisation ``number``, and lets all ``proxies`` look at it: first as it was
        made, then with its weights drawn again. No network is built for proxies that need none."""
        scores = self._count(arch, network, [proxy for proxy in proxies if proxy.static])
        proxies = [proxy for proxy in proxies if proxy.name not in scores]
        probe = None
        for how in get_args(Initialisation):
            pending = {proxy.name: proxy for proxy in proxies if proxy.drawn == how}
            if not pending:
                continue
            start = time.perf_counter()
            try:
                probe = self.probe(arch, network, how, number) if probe is None else _initialised(probe, how)
            except BaseException as error:  # a network that cannot be made fails alone, among others that can
                if not is_failure(error):
                    raise
                scores |= dict.fromkeys(pending, _score_of(error))
                continue
            share = (time.perf_counter() - start) / len(pending)
            for name, (value, seconds) in measure(probe, pending).items():
                scores[name] = _score_of(value)._replace(seconds=seconds + share)
        return scores

    def _count(self, arch: Arch, network: Network, proxies: Sequence[Proxy]) -> dict[str, Score]:
        """The scores of those among ``proxies``, which depend on the architecture alone, that it takes no weights to
        tell."""
        scores: dict[str, Score] = {}
        space = self.space if network == "full" else self.space.thin()
        if not proxies or space is None:
            return scores
        start = time.perf_counter()
        try:
            with put_back(), started(self.seed):
                probe = counted(space, arch, self._minibatch(network).task)
                for proxy in proxies:
                    score = _score_of(proxy(probe))._replace(seconds=time.perf_counter() - start)
                    scores |= {proxy.name: score} if score.status == "ok" else {}
                    start = time.perf_counter()
        except BaseException as error:  # if that is not for the lack of weights, it happens again
            if not is_failure(error):
                raise
        return scores

    def _looked_up(self, arch: Arch, proxy: Proxy) -> Score:
        assert proxy.known is not None
        try:
            return _score_of(proxy.known(self.space, arch))
        except ProxyFailure as error:
            return _score_of(error)

    @property
    def _number_type(self) -> torch.dtype:
        return torch.float64 if self.precision == torch.float64 else torch.float32

    def _minibatch(self, network: Network) -> Minibatch:
        if network not in self._inputs:
            data = self.data if network == "full" else self.data.crops(THIN_INPUTS, THIN_SIZE)
            self._inputs[network] = data.on(self.device, self._number_type)
        return self._inputs[network]


def _initialised(probe: Probe, how: Initialisation) -> Probe:
    """A probe of the same network, whose weights are now drawn as ``how`` says."""
    initialise(probe.net, how, probe.seed, again(lambda: weights_of(probe.net, [probe.inputs])))
    return Probe(probe.net, probe.inputs, probe.labels, probe.seed, probe.mixed)


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is the GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}") from None
    return device


def build(space: Space, arch: Arch, task: Task, seed: int = 0) -> nn.Module:
    """The network of ``arch``, on the CPU, with the weights that ``seed`` gives on every machine. The generators and
    whatever else the space's code changes are put back. It returns logits, whatever else the space's network returns
    (see `nas.scoring.logits.logits_of`)."""
    with put_back(), started(seed):
        return returning_logits(space.build(arch, task), task.classes, 3 if task.kind == "tokens" else 2)


@contextmanager
def running(space: Space, arch: Arch, task: Task) -> Iterator[None]:
    """Within it, whatever the network of ``arch`` raises becomes a `UsageError` that names it and the images."""
    try:
        yield
    except Exception as error:
        inputs = f"images of {task.channels} x {task.size} x {task.size}"
        if task.kind == "tokens":
            inputs = f"sequences of {task.length} among {task.classes} tokens"
        raise UsageError(f"{space.text(arch)} does not run on {inputs}: {reason_of(error)}") from error


def counted(space: Space, arch: Arch, task: Task) -> Probe:
    """What there is to see of ``arch`` without weights: its counts, where the space knows them, and where it is asked
    for a network on torch's device ``meta``."""

    def make() -> nn.Module:
        with torch.device("meta"):
            return build(space, arch, task)

    return Probe(make, task.inputs(1, "meta"), task.labels(1, "meta"), counts=space.counts(arch, task))


Counted = TypeVar("Counted")


def count(space: Space, arch: Arch, task: Task, look: Callable[[Probe], Counted]) -> Counted:
    """What ``look`` finds in ``arch`` without weights; in a network with weights where that cannot be made or does not
    run without.

    Raises:
        UsageError: the network does not run on images of ``task``.
    """
    try:
        return look(counted(space, arch, task))
    except Exception:  # if that is not for the lack of weights, it happens again
        with running(space, arch, task):
            return look(Probe(build(space, arch, task), task.inputs(1), task.labels(1)))


def costs(space: Space, arch: Arch, data: Minibatch) -> dict[str, int]:
    """Parameters, multiply-accumulates for one image, and depth of what is built for ``arch``, its canonical form;
    `UsageError` where the network does not run."""

    def look(probe: Probe) -> dict[str, int]:
        return {"params": probe.params, "flops": probe.trace.flops, "depth": probe.trace.depth}

    return count(space, space.canonical(arch), data.task, look)


def run_once(space: Space, arch: Arch, data: Minibatch) -> None:
    """Runs the network of ``arch`` on the first image; `UsageError` where it does not run."""
    with running(space, arch, data.task), torch.no_grad():
        Probe(build(space, space.canonical(arch), data.task), data.images[:1], data.labels[:1]).trace  # noqa: B018


def initialisation_seed(seed: int, initialisation: int) -> int:
    """The seed of a network's ``initialisation``-th initialisation; the first one's is ``seed`` itself."""
    return int(np.random.SeedSequence([seed, initialisation]).generate_state(1)[0]) if initialisation else seed


def _score_of(value: Any) -> Score:
    """A proxy's answer as a score: a finite number is ok, anything else failed with its reason."""
    if isinstance(value, BaseException):
        status = "memory" if is_out_of_memory(value) else "saturated" if isinstance(value, Saturated) else "failed"
        return Score(None, status, reason_of(value))
    try:
        number = _number(value)
    except BaseException as error:  # a conversion is the proxy's code too
        if not is_failure(error):
            raise
        return Score(None, "failed", reason_of(error))
    return Score(number) if isfinite(number) else Score(None, "failed", f"the proxy returned {number}")


def _number(value: Any) -> float:
    """A real number, or a tensor of one, as Python's own; `ProxyFailure` where it is none."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ProxyFailure(f"the proxy returned a tensor of shape {list(value.shape)} instead of a number")
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ProxyFailure(f"the proxy returned {type(value).__name__} instead of a number")
    try:
        return float(value)
    except OverflowError:
        raise ProxyFailure(f"the proxy returned a whole number of {int(value).bit_length()} bits") from None


def is_out_of_memory(error: BaseException) -> bool:
    """torch's allocator raises a plain `RuntimeError` on the CPU."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in _text(error)


def reason_of(error: BaseException) -> str:
    """What ``error`` says, in one line of printable characters; of a `ProxyFailure`, which says it all, no name."""
    text = _text(error).strip()
    if not isinstance(error, ProxyFailure):
        text = f"{type(error).__name__}: {text or 'no message'}".splitlines()[0]
    line = " ".join(text[: 2 * MAX_REASON].split())
    line = "".join(character if character.isprintable() else repr(character)[1:-1] for character in line)
    return line if len(line) <= MAX_REASON else f"{line[:MAX_REASON]} …"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as other:
        if not is_failure(other):
            raise
        return f"no message, for it raises {type(other).__name__}"


def _mean(scores: list[Score]) -> Score:
    """The mean over initialisations; where one failed, its failure."""
    seconds = sum(score.seconds for score in scores)
    failed = next((score for score in scores if score.status != "ok"), None)
    if failed is not None:
        return failed._replace(seconds=seconds)
    values = [score.value for score in scores if score.value is not None]
    with np.errstate(over="ignore"):
        mean = float(np.mean(values))
    return Score(mean if isfinite(mean) else sum(value / len(values) for value in values), seconds=seconds)
