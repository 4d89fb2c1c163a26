"""The call `nas.bench`: what proxies cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Unpack

import pandas as pd

from nas.calls.options import ELSEWHERE, SetupOptions
from nas.calls.score import ProxyNames
from nas.calls.settings import as_list, checked_settings, parse, proxy_list
from nas.calls.setup import Setup
from nas.calls.watching import shown_in_notebooks
from nas.data.minibatch import Minibatch
from nas.proxy import PROXIES
from nas.registry import normal
from nas.scoring.cost import proxy_costs
from nas.scoring.machine import machine
from nas.scoring.objective import resolve
from nas.scoring.scorer import Scorer, Watch, try_out
from nas.space import Arch, Space

UNITS = {"latency": "ms", "memory": "bytes"}


def in_use(space: Space, arch: Arch, data: Minibatch, options: Mapping[str, Any]) -> dict[str, str]:
    """What a forward pass takes on the device and in the precision of ``options``, with its unit, and where it was
    measured."""
    settings = checked_settings(options.get("settings") or {})
    proxies = [PROXIES[name].with_options(settings.get(name, {})) for name in PROXIES if PROXIES[name].machine]
    scorer = Scorer(space, data, device=str(options["device"]), precision=normal(str(options["precision"])))
    shown = {}
    for name, score in scorer([arch], proxies)[0].items():
        amount = "" if score.value is None else f"{score.value:.6g} {UNITS.get(name, '')}".strip()
        shown[name] = amount or f"unknown: {score.reason}"
    return shown | {"measured on": machine(scorer.device)}


@shown_in_notebooks("measuring")
def bench(
    space: Space | str = "nasbench201",
    archs: Sequence[str] | str = (),
    proxies: ProxyNames = "all",
    *,
    watch: Watch | None = None,
    **options: Unpack[SetupOptions],
) -> pd.DataFrame:
    """Measures what proxies cost against one plain forward and backward pass; `nas.scoring.cost.proxy_costs` says how.

    Args:
        archs: the architectures to average over; without any, a random one of the space, from ``seed``.
        proxies: names, each a proxy or a combination, whose proxies are then measured together, or functions of a
            probe; ``"all"`` takes every one registered.
        watch: told how many of how many measurements are done.
        options: see `nas.calls.setup.SetupOptions`; it measures in this process and keeps nothing, so limits, a store
            and workers are not among them.

    Returns:
        A row for each proxy, one named ``all`` and one named ``plain``: ``proxy``, ``ms``, ``ratio``, ``peak_mb``,
        ``reason``; the architectures are in its ``attrs["archs"]``, and what a forward pass of each takes in
        ``attrs["in_use"]``.

    Raises:
        UsageError: something given cannot be used.
    """
    setup = Setup.of(space, options, without=ELSEWHERE)
    suite = {name: resolve(entry, setup.settings)[0] for name, entry in proxy_list(proxies).items()}
    chosen = [parse(setup.space, str(text)) for text in as_list(archs)] or [setup.space.sample(Random(setup.seed))]
    scorer = setup.scorer(kept=False)
    try_out(scorer)
    frame = proxy_costs(scorer, chosen, suite, watch)
    frame.attrs["archs"] = [setup.space.text(arch) for arch in chosen]
    conditions = {"settings": setup.settings, "device": setup.device, "precision": setup.precision}
    frame.attrs["in_use"] = [in_use(setup.space, arch, scorer.data, conditions) for arch in chosen]
    return frame
