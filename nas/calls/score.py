"""The call `nas.score`: scores architectures, or the user's own networks, by any proxies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import pandas as pd
from torch import nn

from nas.calls.modules import Modules
from nas.calls.options import SetupOptions
from nas.calls.settings import as_list, parse
from nas.calls.setup import Setup
from nas.calls.watching import shown_in_notebooks
from nas.errors import UsageError
from nas.proxy import Proxy, ProxyFn
from nas.registry import check_number
from nas.scoring.objective import Objective
from nas.scoring.rows import SCORES, score_rows
from nas.scoring.scorer import Watch, try_out
from nas.space import Space

DEFAULT_PROXIES = ("gradalign_i", "gradalign_ii")

ProxyNames = Sequence[str | Proxy | ProxyFn] | str | ProxyFn
"""Names joined with commas, ``all``, a function of a probe, or a list of these."""


@shown_in_notebooks("scoring")
def score(
    space: Space | str,
    archs: Sequence[str | nn.Module] | str | nn.Module,
    proxies: ProxyNames = DEFAULT_PROXIES,
    seeds: int = 1,
    *,
    watch: Watch | None = None,
    **options: Unpack[SetupOptions],
) -> pd.DataFrame:
    """Scores architectures, given in any notation of the space; the columns of ``scores.csv``.

    Args:
        space: a registered name, or a `Space`.
        archs: notations; or networks, with the weights that they have, each called by its class and number in the
            column ``arch``. Networks belong to no space: ``networks`` is the name to give.
        proxies: names, each a proxy or a combination, or functions of a `nas.probe.Probe`; ``"all"`` takes every one
            registered.
        seeds: how many times everything is repeated, with the minibatch and the initialisation of ``seed``,
            ``seed + 1``, …
        watch: told how many of how many architectures are done.
        options: see `nas.calls.setup.SetupOptions`; limits are not among them.

    Raises:
        UsageError: something given cannot be used.
    """
    check_number("seeds", seeds, 1)
    named = [archs] if isinstance(archs, nn.Module) else as_list(archs)
    if not isinstance(named, Sequence):
        raise UsageError(f"archs takes notations or networks, not {archs!r}")
    modules = [arch for arch in named if isinstance(arch, nn.Module)]
    if modules and (len(modules) < len(named) or space != "networks"):
        raise UsageError("networks are scored in the space 'networks', and not together with notations")
    setup = Setup.of(Modules(modules) if modules else space, options, without=("constraints",))
    texts = list(setup.space.slots[0]) if modules else [str(text) for text in named]
    entries = setup.proxies(proxies)
    parsed = [parse(setup.space, text) for text in texts]
    if not parsed:
        raise UsageError("no architecture was given to score")
    rows: list[dict[str, object]] = []
    with setup:
        may_store = setup.may_keep(list(entries.values()))
        for repeat in range(seeds):
            scorer = setup.scorer(setup.seed + repeat, kept=may_store)
            objectives = {name: Objective(scorer, entry, setup.settings) for name, entry in entries.items()}
            if repeat == 0:
                try_out(scorer, parsed)
            for done, fresh in enumerate(score_rows(scorer, parsed, objectives), start=repeat * len(parsed) + 1):
                rows.extend(fresh)
                if watch is not None:
                    watch(done, len(parsed) * seeds, "")
    return pd.DataFrame(rows, columns=list(SCORES))
