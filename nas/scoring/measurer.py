"""One architecture -> its scores. Here is the hygiene of measuring: seeds, devices, initialisations, failures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from nas.data.minibatch import Minibatch
from nas.errors import UsageError, unknown
from nas.passes.initialisation import initialise, seeded
from nas.probe import Probe, measure
from nas.proxy import Initialisation, Network, Proxy, ProxyFailure
from nas.scoring.logits import returning_logits
from nas.space import Arch, Space, Task

PRECISIONS = ("float32", "float64", "bfloat16", "float16")
"""How networks compute: in float32 or float64 throughout, or in mixed precision, where torch's autocast runs
convolutions and products in the shorter type; the linearised network of `nas.passes.linearised.visit_flow` is
float64 always."""

THIN_INPUTS, THIN_SIZE = 3000, 3
"""How many crops of how many pixels a side a thin copy is probed with (TE-NAS)."""


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
        rounds: dict[str, list[Score]] = {proxy.name: [] for proxy in proxies}
        for network in dict.fromkeys(proxy.network for proxy in proxies):
            asked = [proxy for proxy in proxies if proxy.network == network]
            for number in range(max(proxy.initialisations for proxy in asked)):
                now = [proxy for proxy in asked if number < proxy.initialisations]
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
        net = build(space, arch, inputs.task, seed).to(self.device, inputs.images.dtype)
        mixed = self.precision if self.precision.itemsize < 4 else None
        probe = Probe(net, inputs.images, inputs.labels, seed, mixed)
        return probe if how == "default" else _initialised(probe, how)

    def _visit(self, arch: Arch, network: Network, number: int, proxies: Sequence[Proxy]) -> dict[str, Score]:
        """Builds one network, its initialisation ``number``, and lets all ``proxies`` look at it: first as it was
        made, then with its weights drawn again."""
        scores: dict[str, Score] = {}
        probe = None
        for how in get_args(Initialisation):
            asked = {proxy.name: proxy for proxy in proxies if proxy.initialisation == how}
            if not asked:
                continue
            start = time.perf_counter()
            try:
                probe = self.probe(arch, network, how, number) if probe is None else _initialised(probe, how)
            except Exception as error:  # a network that cannot be made fails alone, among others that can
                scores |= dict.fromkeys(asked, _score_of(error))
                continue
            share = (time.perf_counter() - start) / len(asked)
            for name, (value, seconds) in measure(probe, asked).items():
                scores[name] = _score_of(value)._replace(seconds=seconds + share)
        return scores

    def _minibatch(self, network: Network) -> Minibatch:
        if network not in self._inputs:
            data = self.data if network == "full" else self.data.crops(THIN_INPUTS, THIN_SIZE)
            dtype = torch.float64 if self.precision == torch.float64 else torch.float32
            images, labels = data.images.to(self.device, dtype), data.labels.to(self.device)
            self._inputs[network] = Minibatch(images, labels, data.classes)
        return self._inputs[network]


def _initialised(probe: Probe, how: Initialisation) -> Probe:
    """A probe of the same network, whose weights are now drawn as ``how`` says."""
    initialise(probe.net, how, probe.seed)
    return Probe(probe.net, probe.images, probe.labels, probe.seed, probe.mixed)


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
    """The network of ``arch``, on the CPU, with the weights that ``seed`` gives on every machine; torch's generator is
    put back. It returns logits, whatever else the space's network returns (see `nas.scoring.logits.logits_of`)."""
    with seeded(seed):
        return returning_logits(space.build(arch, task), task.classes)


@contextmanager
def running(space: Space, arch: Arch, task: Task) -> Iterator[None]:
    """Within it, whatever the network of ``arch`` raises becomes a `UsageError` that names it and the images."""
    try:
        yield
    except Exception as error:
        images = f"images of {task.channels} x {task.size} x {task.size}"
        raise UsageError(f"{space.text(arch)} does not run on {images}: {reason_of(error)}") from error


def costs(space: Space, arch: Arch, data: Minibatch) -> dict[str, int]:
    """Parameters, multiply-accumulates for one image, and depth of what is built for ``arch``, its canonical form;
    `UsageError` where the network does not run."""
    with running(space, arch, data.task):
        probe = Probe(build(space, space.canonical(arch), data.task), data.images[:1], data.labels[:1])
        return {"params": probe.params, "flops": probe.trace.flops, "depth": probe.trace.depth}


def initialisation_seed(seed: int, initialisation: int) -> int:
    """The seed of a network's ``initialisation``-th initialisation; the first one's is ``seed`` itself."""
    return int(np.random.SeedSequence([seed, initialisation]).generate_state(1)[0]) if initialisation else seed


def _score_of(value: Any) -> Score:
    """A proxy's answer as a score: a finite number is ok, anything else failed with its reason."""
    if isinstance(value, ProxyFailure):
        return Score(None, value.status, str(value))
    if isinstance(value, Exception):
        return Score(None, "memory" if is_out_of_memory(value) else "failed", reason_of(value))
    if isinstance(value, Tensor) and value.numel() != 1:
        return Score(None, "failed", f"the proxy returned a tensor of shape {list(value.shape)} instead of a number")
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return Score(None, "failed", f"the proxy returned {type(value).__name__} instead of a number")
    if not np.isfinite(value):
        return Score(None, "failed", f"the proxy returned {value}")
    return Score(float(value))


def is_out_of_memory(error: Exception) -> bool:
    """torch's allocator raises a plain `RuntimeError` on the CPU."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def reason_of(error: Exception) -> str:
    """What ``error`` says, in one line."""
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]


def _mean(scores: list[Score]) -> Score:
    """The mean over initialisations; where one failed, its failure."""
    seconds = sum(score.seconds for score in scores)
    failed = next((score for score in scores if score.status != "ok"), None)
    if failed is not None:
        return failed._replace(seconds=seconds)
    return Score(float(np.mean([score.value for score in scores])), seconds=seconds)
