"""The calls `nas.search`, `nas.score` and `nas.bench`; `nas.compare` is in `nas.calls.compare`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd

from nas import plugins
from nas.calls.settings import checked_settings, parse, plain_config, proxy_names, several, with_batch
from nas.data.minibatch import Minibatch, minibatch
from nas.data.table import Table
from nas.engines import open_engine
from nas.errors import UsageError
from nas.registry import Settings, check_number, normal, options
from nas.runs.ancestry import Ancestry
from nas.runs.folder import RunFolder, write_text, write_yaml
from nas.runs.loop import Trial, best, run
from nas.runs.resume import resume_search
from nas.scoring.cost import proxy_costs
from nas.scoring.limits import Limited, parse_limit
from nas.scoring.measurer import costs
from nas.scoring.objective import Objective, resolve
from nas.scoring.rows import SCORES, score_rows
from nas.scoring.scorer import Scorer, Watch, try_out
from nas.searcher import SEARCHERS, Searcher
from nas.space import SPACES, Space, make_space
from nas.store.store import Store

DEFAULT_PROXIES = ("gradalign_i", "gradalign_ii")


def search(
    space: str = "nasbench201",
    proxy: str = "gradalign_i",
    searcher: str = "evolution",
    budget: int = 200,
    *,
    data: str = "synthetic",
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
    precision: str = "float32",
    constraints: Sequence[str] = (),
    table: str | Path | None = None,
    settings: Settings | None = None,
    plugin: Sequence[str | Path] = (),
    run_folder: str | Path | None = None,
    batch: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
    timeout: float | None = None,
    store: str | Path | None = None,
    watch: Watch | None = None,
) -> pd.DataFrame:
    """Searches ``space`` for the architecture that ``proxy`` likes best.

    Args:
        proxy: a registered proxy or combination, or names joined with ``+``.
        budget: how many architectures are proposed, repeated ones included.
        data: see `nas.data.minibatch.minibatch`.
        seed: of the minibatch, the initialisation and the searcher.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …
        precision: see `nas.scoring.measurer.PRECISIONS`; ``float32`` or ``float64`` throughout, or mixed precision.
        constraints: bounds like ``params<=0.6e6``; an architecture that breaks one is never scored.
        table: trained accuracies, written beside the best architecture; they take no part in the search.
        settings: options of plug-ins.
        plugin: Python files with further plug-ins.
        run_folder: where ``config.yaml``, ``trials.jsonl`` and ``best.yaml`` go; a run that was interrupted there is
            continued, without computing a score again.
        store: a file that keeps scores from one run to the next, ``none``, or by default
            `nas.store.store.default_store`.
        watch: told of every evaluation.

    Returns:
        A row for each trial (see `nas.runs.loop.Trial`), and a column for each proxy's own number; ``attrs["stored"]``
        says how many trials were not scored because the store had them.

    Raises:
        UsageError: something given cannot be used; nothing has been written then.
    """
    constraints, plugin = several(constraints), several(plugin)
    plugins.load(plugin)
    check_number("budget", budget, 1)
    check_number("seed", seed, 0)
    record = SEARCHERS[searcher]
    given = with_batch(settings or {}, record, batch)
    settings = checked_settings(given)
    inside = make_space(space, settings)
    if record.supernet and not inside.supernet:
        takes = f": it takes {inside.supernet_takes}" if inside.supernet_takes else ""
        raise UsageError(f"{record.name} walks down from a supernet, which the space {space} cannot build{takes}")
    if not all(inside.slots):
        raise UsageError(
            f"the space {space} has nothing to choose from: 'nas score' ranks what you name, and --set {normal(space)}."
            f"OPTION=… lists what to search among (options: {', '.join(options(SPACES[space]))})"
        )
    minibatch_ = minibatch(data, batch_size, seed)
    known = Table(table, inside) if table is not None else None
    kept = Store(store)
    shelf = kept.shelf(space, settings)
    scorer = Scorer(inside, minibatch_, seed=seed, device=device, precision=precision, shelf=shelf)
    objective = Objective(scorer, proxy, settings, record.ranks)
    try_out(scorer)
    if constraints:
        inside = Limited(inside, [parse_limit(text) for text in constraints], minibatch_.task)
    ancestry = Ancestry()
    started = record.start(ancestry.noting(inside), Random(seed), dict(settings.get(record.name, {})))
    if record.supernet and not constraints and budget < (needed := evaluations(record, inside, settings)):
        raise UsageError(
            f"{record.name} takes {needed} evaluations down to a single network of this space, more than the budget of "
            f"{budget}: give a larger --budget"
        )
    config = plain_config(
        space=space, proxy=proxy, searcher=searcher, budget=budget, data=data, batch_size=batch_size, seed=seed,
        device=device, precision=precision, constraint=constraints, set=given, plugin=plugin,
        minibatch=minibatch_.fingerprint,
    )  # fmt: skip
    trials: list[Trial] = []
    winner: Trial | None = None
    with ExitStack() as stack:
        scorer.engine = stack.enter_context(
            open_engine(space, settings, plugin, workers=workers, ray=ray, timeout=timeout)
        )
        append: Callable[[Trial], None] = trials.append
        stack.enter_context(kept)
        if run_folder is not None:
            folder = stack.enter_context(RunFolder(Path(os.path.expanduser(run_folder)), config, free=("budget",)))
            append = resume_search(stack, folder, trials, objective, budget, watch)
            write_yaml(folder.path / "config.yaml", config)  # the budget may have grown
        for trial in run(inside, started, objective, budget, ancestry):
            append(trial)
            winner = best([trial] if winner is None else [winner, trial])
            if watch is not None:
                watch(trial.number + 1, budget, f"best {winner.score:.6g}" if winner else "")
        if winner is None:
            raise UsageError(_why_nothing(trials, budget))
        if run_folder is not None:
            from nas.report.search import search_report  # matplotlib takes a while to import

            found = describe_best(winner, inside, minibatch_, known)
            write_yaml(folder.path / "best.yaml", found)
            truth = known.rows(list(dict.fromkeys(trial.arch for trial in trials))) if known is not None else None
            title = f"{record.name} on {space}, by {proxy}"
            write_text(folder.path / "report.html", search_report(title, trials, inside, found, truth))
    frame = pd.DataFrame.from_records(trials, columns=Trial._fields)
    for name in dict.fromkeys(name for trial in trials for name in trial.values):
        frame[name] = [trial.values.get(name) for trial in trials]
    fresh = frame["arch"][~frame["cached"]]
    frame.attrs["stored"] = sum(scorer.space.canonical(scorer.space.parse(text)) in scorer.shelved for text in fresh)
    return frame


def score(
    space: str,
    archs: Sequence[str] | str,
    proxies: Sequence[str] | str = DEFAULT_PROXIES,
    seeds: int = 1,
    *,
    data: str = "synthetic",
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
    precision: str = "float32",
    settings: Settings | None = None,
    plugin: Sequence[str | Path] = (),
    workers: int | None = None,
    ray: str | None = None,
    timeout: float | None = None,
    store: str | Path | None = None,
    watch: Watch | None = None,
) -> pd.DataFrame:
    """Scores architectures, given in any notation of the space; the columns of ``scores.csv``.

    Args:
        proxies: names, each a proxy or a combination; ``"all"`` takes every one registered.
        seeds: how many times everything is repeated, with the minibatch and the initialisation of ``seed``,
            ``seed + 1``, …
        data, batch_size, seed, device, precision, settings, plugin, workers, ray, timeout, store: as in `search`.
        watch: told how many of how many architectures are done.

    Raises:
        UsageError: something given cannot be used.
    """
    plugins.load(several(plugin))
    check_number("seeds", seeds, 1)
    check_number("seed", seed, 0)
    settings = checked_settings(settings or {})
    inside = make_space(space, settings)
    names = proxy_names(proxies)
    parsed = [parse(inside, str(text)) for text in several(archs)]
    if not parsed:
        raise UsageError("no architecture was given to score")
    rows: list[dict[str, object]] = []
    with ExitStack() as stack:
        kept = stack.enter_context(Store(store))
        engine = stack.enter_context(
            open_engine(space, settings, several(plugin), workers=workers, ray=ray, timeout=timeout)
        )
        shelf = kept.shelf(space, settings)
        for repeat in range(seeds):
            number, drawn = seed + repeat, minibatch(data, batch_size, seed + repeat)
            scorer = Scorer(inside, drawn, seed=number, device=device, precision=precision, engine=engine, shelf=shelf)
            objectives = {name: Objective(scorer, name, settings) for name in names}
            if repeat == 0:
                try_out(scorer, parsed)
            for done, found in enumerate(score_rows(scorer, parsed, objectives), start=repeat * len(parsed) + 1):
                rows.extend(found)
                if watch is not None:
                    watch(done, len(parsed) * seeds, "")
    return pd.DataFrame(rows, columns=list(SCORES))


def bench(
    space: str = "nasbench201",
    archs: Sequence[str] | str = (),
    proxies: Sequence[str] | str = "all",
    *,
    data: str = "synthetic",
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
    precision: str = "float32",
    settings: Settings | None = None,
    plugin: Sequence[str | Path] = (),
    watch: Watch | None = None,
) -> pd.DataFrame:
    """Measures what proxies cost against one plain forward and backward pass; `nas.scoring.cost.proxy_costs` says how.

    Args:
        archs: the architectures to average over; without any, a random one of the space, from ``seed``.
        proxies: names, each a proxy or a combination, whose proxies are then asked together; ``"all"`` takes every one
            registered.
        data, batch_size, device, precision, settings, plugin: as in `search`.
        watch: told how many of how many measurements are done.

    Returns:
        A row for each proxy, one named ``all`` and one named ``plain``: ``proxy``, ``ms``, ``ratio``, ``peak_mb``,
        ``reason``; the architectures are in its ``attrs["archs"]``.

    Raises:
        UsageError: something given cannot be used.
    """
    plugins.load(several(plugin))
    check_number("seed", seed, 0)
    settings = checked_settings(settings or {})
    inside = make_space(space, settings)
    suite = {name: resolve(name, settings)[0] for name in proxy_names(proxies)}
    chosen = [parse(inside, str(text)) for text in several(archs)] or [inside.sample(Random(seed))]
    scorer = Scorer(inside, minibatch(data, batch_size, seed), seed=seed, device=device, precision=precision)
    try_out(scorer)
    frame = proxy_costs(scorer, chosen, suite, watch)
    frame.attrs["archs"] = [inside.text(arch) for arch in chosen]
    return frame


def evaluations(record: Searcher, space: Space, settings: Settings) -> int:
    """How many proposals a searcher that walks down from the supernet makes; a dry run, in which all score alike."""
    search, proposals = record.start(space, Random(0), dict(settings.get(record.name, {})))
    total = 0
    while proposals:
        total += len(proposals)
        try:
            proposals = search.send([0.0] * len(proposals))
        except StopIteration:
            break
    return total


def describe_best(trial: Trial, space: Space, data: Minibatch, table: Table | None) -> dict[str, Any]:
    """What ``best.yaml`` holds."""
    arch = space.parse(trial.arch)
    cost = costs(space, arch, data)
    found: dict[str, Any] = {"arch": trial.arch, "score": trial.score, "values": trial.values}
    found |= {"params": cost["params"], "flops": cost["flops"]}
    if table is not None:
        found |= {name: float(value) for name, value in table.row(arch).items() if name not in found}
    return found


def _why_nothing(trials: Sequence[Trial], budget: int) -> str:
    if not any(trial.leaf for trial in trials):
        return f"the budget of {budget} evaluations ends before a single network is reached: give a larger --budget"
    reasons = [trial.reason for trial in trials if trial.leaf]
    common = max(set(reasons), key=reasons.count)
    return f"none of the {len(reasons)} networks could be scored; mostly: {common}"
