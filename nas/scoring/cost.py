"""The cost of a score: time and memory, against one plain forward and backward pass of the same network."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import pandas as pd
import torch
from torch.nn import functional as F

from nas.errors import UsageError
from nas.proxy import Proxy
from nas.scoring.measurer import Measurer, Score, build
from nas.scoring.memory import return_freed_memory
from nas.scoring.scorer import Scorer
from nas.space import Arch

ALL, PLAIN = "all", "plain"
"""The rows beside those of the proxies: the whole suite in one visit, and one forward and backward pass."""

ROUNDS = 5
MAX_SECONDS = 10.0
"""Seconds after which a case is not repeated again."""


def proxy_costs(
    scorer: Scorer,
    archs: Sequence[Arch],
    suite: Mapping[str, Sequence[Proxy]],
    watch: Callable[[int, int, str], None] | None = None,
) -> pd.DataFrame:
    """A row for each entry of ``suite``, one for all in one visit, one for the plain pass; means over ``archs``.

    A visit is what scoring an architecture for the first time costs a search: building its network (again where a proxy
    averages over initialisations or measures a thin copy), moving it to the device, and every pass over it. It excludes
    what is made once for all architectures, the minibatch and its crops. The plain pass is that of the network already
    built: training mode, cross-entropy, the gradients of all parameters.

    Args:
        suite: by the name of the row, the proxies that it needs.
        watch: told how many of how many measurements are done, and which comes next.

    Returns:
        Columns ``proxy``; ``ms``, see `milliseconds`; ``ratio`` of that to the plain pass; ``peak_mb``, see
        `peak_memory`; ``reason``, why there was no score, or empty: a failed proxy costs what it costs. A proxy whose
        own name is ``all`` or ``plain`` has the row ``all (proxy)`` or ``plain (proxy)``.

    Raises:
        UsageError: the plain pass fails.
    """
    visits = {f"{name} (proxy)" if name in (ALL, PLAIN) else name: proxies for name, proxies in suite.items()}
    everything = {proxy.name: proxy for proxies in suite.values() for proxy in proxies}
    visits[ALL] = list(everything.values())
    names = [*visits, PLAIN]
    times: dict[str, list[float]] = {name: [] for name in names}
    peaks: dict[str, list[float]] = {name: [] for name in names}
    reasons = dict.fromkeys(names, "")
    steps = count()

    def step(name: str) -> None:
        if watch is not None:
            watch(next(steps), len(archs) * len(names) * (1 + ROUNDS), name)

    for arch in archs:
        cases: dict[str, Callable[[], object]] = {PLAIN: plain_pass(scorer, arch)}
        cases |= {name: partial(visit, scorer, arch, proxies) for name, proxies in visits.items()}
        scores = visit(scorer, arch, visits[ALL])  # unmeasured: the first time is slower
        for name, proxies in visits.items():
            if name != ALL:
                reasons[name] = reasons[name] or _reason([(proxy.name, scores[proxy.name]) for proxy in proxies])
        for name, case in cases.items():
            step(name)
            peaks[name].append(peak_memory(case, scorer.device))
        for name, time_taken in milliseconds(cases, scorer.device, step).items():
            times[name].append(time_taken)
    mean = {name: statistics.fmean(times[name]) for name in names}
    rows = [(n, mean[n], mean[n] / mean[PLAIN], statistics.fmean(peaks[n]), reasons[n]) for n in names]
    return pd.DataFrame(rows, columns=["proxy", "ms", "ratio", "peak_mb", "reason"])


def visit(scorer: Scorer, arch: Arch, proxies: Sequence[Proxy]) -> dict[str, Score]:
    """The scores of ``arch`` by ``proxies``, all computed now."""
    scorer.forget()
    return scorer([arch], proxies)[0]


def plain_pass(scorer: Scorer, arch: Arch) -> Callable[[], None]:
    """A function that runs one forward and backward pass of the network of ``arch``, and has run once. `UsageError` if
    that fails."""
    data, text = scorer.data, scorer.space.text(arch)
    dtype = torch.float64 if scorer.precision == torch.float64 else torch.float32
    net = build(scorer.space, scorer.space.canonical(arch), data.task, scorer.seed).to(scorer.device, dtype).train()
    images, labels = data.images.to(scorer.device, dtype), data.labels.to(scorer.device)
    mixed = torch.autocast(scorer.device.type, scorer.precision, enabled=scorer.precision.itemsize < 4)

    def run() -> None:
        with mixed:
            loss = F.cross_entropy(net(images.clone()), labels)
        torch.autograd.backward(loss)
        net.zero_grad()

    try:
        run()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"a plain forward and backward pass of {text} fails on this minibatch: {reason}") from None
    return run


def milliseconds(
    cases: Mapping[str, Callable[[], object]], device: torch.device, step: Callable[[str], None] = lambda name: None
) -> dict[str, float]:
    """The time of each case until the device is done, in ms: the median of five rounds in which each has its turn, so
    that a busy moment of the machine affects all alike. A case that has taken 10 seconds in all is not repeated again.

    Args:
        step: called with the case's name before each turn.
    """
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            step(name)
            if sum(times[name]) < MAX_SECONDS:
                _synchronise(device)
                start = time.perf_counter()
                case()
                _synchronise(device)
                times[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(seconds) for name, seconds in times.items()}


def peak_memory(case: Callable[[], object], device: torch.device) -> float:
    """The most memory in use at any time while ``case`` runs, above what was in use before, in MB (10⁶ bytes).

    On cuda it is what torch has allocated on the device; on the CPU, what is resident of the whole process, to about
    0.1 MB and in Linux only. Elsewhere it is not a number.
    """
    gc.collect()
    if device.type == "cuda":
        _synchronise(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        case()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    if device.type != "cpu" or not _reset_high_water_mark():
        return float("nan")
    before = _high_water_mark()
    case()
    return (_high_water_mark() - before) / 1e6


def peak_memories(measurer: Measurer, arch: Arch, suite: Mapping[str, Sequence[Proxy]]) -> dict[str, float]:
    """The `peak_memory` of one visit of ``arch`` by the proxies of each entry of ``suite``, on their own."""
    arch = measurer.space.canonical(arch)
    measurer(arch, next(iter(suite.values())))  # unmeasured: what the first visit sets up stays
    return {name: peak_memory(partial(measurer, arch, proxies), measurer.device) for name, proxies in suite.items()}


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_high_water_mark() -> bool:
    """Sets the process's high-water mark of resident memory to what is in use now; False where that is impossible."""
    return_freed_memory()  # or memory that the allocator keeps would hide that of the next case
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _high_water_mark() -> int:
    """Bytes; see proc(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _reason(scores: Sequence[tuple[str, Score]]) -> str:
    """Why there is no score; for a combination, the first of its proxies that failed, and its reason."""
    for name, score in scores:
        if score.status != "ok":
            return score.reason if len(scores) == 1 else f"{name}: {score.reason}"
    return ""
