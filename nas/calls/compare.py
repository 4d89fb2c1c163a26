"""The call `nas.compare`: proxies against the trained accuracy of a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from nas import plugins
from nas.calls.search import DEFAULT_PROXIES
from nas.calls.settings import checked_settings, draw, plain_config, proxy_names, several
from nas.data.minibatch import minibatch
from nas.data.table import Table
from nas.engines import open_engine
from nas.errors import UsageError
from nas.registry import Settings, check_number
from nas.runs.folder import RunFolder, write_text
from nas.runs.resume import resume_comparison, resume_memory
from nas.scoring.cost import peak_memories
from nas.scoring.limits import keeps, parse_limit
from nas.scoring.objective import Objective
from nas.scoring.rows import SCORES, score_rows
from nas.scoring.scorer import Scorer, Watch, try_out
from nas.space import Arch, make_space
from nas.statistics.comparison import (
    ALWAYS,
    REFERENCES,
    Comparison,
    correlations,
    mean_over_seeds,
    oriented,
    paired,
    selection,
    target_correlations,
)
from nas.store.store import Store


def compare(
    space: str,
    table: str | Path,
    target: str,
    proxies: Sequence[str] | str = DEFAULT_PROXIES,
    archs: int | str = "all",
    seeds: int = 1,
    *,
    unique: bool = False,
    constraints: Sequence[str] = (),
    data: str = "synthetic",
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
    precision: str = "float32",
    settings: Settings | None = None,
    plugin: Sequence[str | Path] = (),
    run_folder: str | Path | None = None,
    workers: int | None = None,
    ray: str | None = None,
    timeout: float | None = None,
    store: str | Path | None = None,
    watch: Watch | None = None,
) -> Comparison:
    """Correlates proxies with a column of a table of trained networks.

    Every proxy sees the same architectures, drawn once from the table, and the same minibatch and network of each.
    ``params``, ``flops`` and ``depth`` are always among them.

    Args:
        target: a column of ``table``; larger is better.
        proxies: names, each a proxy or a combination; ``"all"`` takes every one registered.
        archs: how many of the table's architectures, or ``"all"``.
        seeds: how many times everything is repeated, with the minibatch and the initialisation of ``seed``,
            ``seed + 1``, …
        unique: of isomorphic architectures, take only the first.
        constraints: bounds like ``params<=0.6e6``; an architecture that breaks one is not drawn.
        run_folder: where ``config.yaml``, ``scores.csv``, ``correlations.csv`` and the other frames of `Comparison` go;
            a comparison that was interrupted there is continued.
        watch: told how many of how many architectures are done.
        data, batch_size, device, precision, settings, plugin, workers, ray, timeout, store: as in `nas.search`.

    Raises:
        UsageError: something given cannot be used; nothing has been written then.
    """
    constraints, plugin = several(constraints), several(plugin)
    plugins.load(plugin)
    asked = proxy_names(proxies)
    if mine := set(asked) & set(REFERENCES):
        raise UsageError(f"{min(mine)!r} has a row of its own in every comparison: give the proxy another name")
    check_number("seeds", seeds, 1)
    check_number("seed", seed, 0)
    given = dict(settings or {})
    settings = checked_settings(given)
    inside = make_space(space, settings)
    known = Table(table, inside)
    column = known.target(target)
    repeats = []
    names = list(dict.fromkeys([*asked, *ALWAYS]))
    kept = Store(store)
    shelf = kept.shelf(space, settings)
    for number in range(seed, seed + seeds):
        drawn = minibatch(data, batch_size, number)
        scorer = Scorer(inside, drawn, seed=number, device=device, precision=precision, shelf=shelf)
        repeats.append((scorer, {name: Objective(scorer, name, settings) for name in names}))
    scorer, objectives = repeats[0]
    within = keeps(inside, [parse_limit(text) for text in constraints], scorer.data.task) if constraints else None
    usable = [row for row in range(len(column)) if np.isfinite(column.iloc[row])]
    chosen = [known.archs[row] for row in draw(usable, archs, seed, _kept(known, unique, within))]
    if len(set(chosen)) < len(chosen):
        twice = next(inside.text(arch) for arch in chosen if chosen.count(arch) > 1)
        raise UsageError(f"{table}: {twice} has several rows: keep one of them")
    try_out(scorer, chosen)
    config = plain_config(
        space=space, table=table, target=target, proxies=asked, archs=archs, seeds=seeds, unique=unique, data=data,
        batch_size=batch_size, seed=seed, device=device, precision=precision, constraint=constraints, set=given,
        plugin=plugin, minibatch=" ".join(scorer.data.fingerprint for scorer, _ in repeats),
    )  # fmt: skip
    texts = pd.Index(map(inside.text, known.archs))
    first = ~texts.duplicated()
    rows: list[dict[str, object]] = []
    peaks: dict[str, float] = {}
    with ExitStack() as stack:
        stack.enter_context(kept)
        engine = stack.enter_context(open_engine(space, settings, plugin, workers=workers, ray=ray, timeout=timeout))
        for repeated, _ in repeats:
            repeated.engine = engine
        append: Callable[[dict[str, object]], None] = rows.append
        if run_folder is not None:
            folder = stack.enter_context(RunFolder(Path(os.path.expanduser(run_folder)), config))
            asked_for = {"seed": range(seed, seed + seeds), "arch": set(map(inside.text, chosen)), "proxy": names}
            append = resume_comparison(stack, folder, rows, asked_for)
            peaks = resume_memory(folder)
        done = {(row["seed"], row["arch"], row["proxy"]) for row in rows}
        for number, (repeated, asked_of) in enumerate(repeats):
            left = [a for a in chosen if any((repeated.seed, inside.text(a), name) not in done for name in names)]
            earlier = len(chosen) * (number + 1) - len(left)
            for finished, found in enumerate(score_rows(repeated, left, asked_of), start=earlier + 1):
                for row in found:
                    if (row["seed"], row["arch"], row["proxy"]) not in done:
                        append(row)
                if watch is not None:
                    watch(finished, len(chosen) * seeds, "")
        scores = pd.DataFrame(rows, columns=list(SCORES))
        if not peaks:
            largest = inside.parse(_largest(scores))
            peaks = peak_memories(scorer.measurer, largest, {name: objectives[name].proxies for name in names})
        directions = {name: objective.larger_is_better for name, objective in objectives.items()}
        means = mean_over_seeds(oriented(scores, directions))
        truth = pd.Series(column.to_numpy(), index=texts)[first]
        result = Comparison(
            scores,
            correlations(scores, truth, directions, seed, peaks),
            paired(means, truth, seed),
            selection(means, truth, seed),
            target_correlations(means, known.numbers.set_axis(texts)[first]),
            truth.loc[means.index],
            len(chosen) - len(set(map(inside.canonical, chosen))),
        )
        if run_folder is not None:
            for name in ("correlations", "pairs", "selection"):
                getattr(result, name).to_csv(folder.path / f"{name}.csv", index=False)
            result.targets.to_csv(folder.path / "targets.csv", index_label="proxy")
            from nas.report.comparison import comparison_report  # matplotlib takes a while to import

            page = comparison_report(f"{target} on {space}", result, directions, target)
            write_text(folder.path / "report.html", page)
    return result


def _kept(table: Table, unique: bool, within: Callable[[Arch], bool] | None) -> Callable[[int], bool] | None:
    """Whether a row may be drawn, asked in the order of the draw; None where all may."""
    met: set[Arch] = set()

    def keep(row: int) -> bool:
        arch = table.archs[row]
        if unique and (form := table.space.canonical(arch)) in met:
            return False
        if within is not None and not within(arch):
            return False
        if unique:
            met.add(form)
        return True

    return keep if unique or within is not None else None


def _largest(scores: pd.DataFrame) -> str:
    """The architecture with the most parameters; the first where none is known."""
    sizes = scores[scores["proxy"] == "params"]
    return str(sizes["arch"].iloc[int(np.argmax(sizes["value"].astype(float).fillna(-1)))])
