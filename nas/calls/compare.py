"""The call `nas.compare`: proxies against the trained accuracy of a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

import numpy as np
import pandas as pd

from nas.calls.options import SetupOptions
from nas.calls.recommendation import recommendation
from nas.calls.score import DEFAULT_PROXIES, ProxyNames
from nas.calls.settings import draw
from nas.calls.setup import UNDETERMINING, Setup, normalised
from nas.calls.train import train_some
from nas.calls.watching import shown_in_notebooks
from nas.data.table import Table
from nas.errors import UsageError
from nas.proxy import Proxy, ProxyFn
from nas.registry import check_number
from nas.report.words import chance_in_words, words
from nas.runs.command import command
from nas.runs.folder import NETWORKS, RunFolder, default_run
from nas.runs.machine import MachineScores
from nas.runs.resume import resume_comparison, resume_memory
from nas.runs.versions import digest, run_versions
from nas.scoring.cost import peak_memories
from nas.scoring.limits import keeps
from nas.scoring.objective import Objective
from nas.scoring.rows import SCORES, score_rows
from nas.scoring.scorer import Scorer, Watch, try_out
from nas.space import Arch, Space
from nas.statistics.agreement import agreement, repeatability
from nas.statistics.comparison import (
    REFERENCES,
    Comparison,
    correlations,
    mean_over_seeds,
    oriented,
    paired,
    selection,
    target_correlations,
    within_groups,
)
from nas.statistics.verdict import ALWAYS, REPEATS, verdict
from nas.training.draw import drawn
from nas.training.table import TABLE

UNLABELLED = 48
"""Architectures that are drawn where there is no table."""
SEEDS_UNLABELLED = 3
"""Seeds there, so that each proxy is compared with itself."""
TRAINED = "test_accuracy"
"""The target of what is trained here."""


@shown_in_notebooks("scoring")
def compare(
    space: Space | str,
    table: str | Path | None = None,
    target: str | None = None,
    proxies: ProxyNames = DEFAULT_PROXIES,
    archs: int | str = "all",
    seeds: int | None = None,
    *,
    evaluate: int | None = None,
    epochs: int = 12,
    unique: bool = False,
    within: str | None = None,
    run_folder: str | Path | None = None,
    watch: Watch | None = None,
    **given: Unpack[SetupOptions],
) -> Comparison:
    """Correlates proxies with a column of a table of trained networks, and says what that comes to.

    Every proxy sees the same architectures, drawn once from the table, and the same minibatch and network of each.
    ``params``, ``flops`` and ``depth`` are always among them. Without a table, and with nothing to ``evaluate``, the
    proxies are compared with each other and each with itself under other seeds, on random architectures.

    Args:
        space: a registered name, or a `Space`.
        target: a column of ``table``; larger is better. ``-loss`` is the column ``loss``, of which smaller is better.
            For what is trained here it is ``test_accuracy`` by default.
        proxies: names, each a proxy or a combination, or functions of a `nas.probe.Probe`; ``"all"`` takes every one
            registered.
        archs: how many of the table's architectures, or ``"all"``; without a table how many are drawn, 48 where it is
            not given.
        seeds: how many times everything is repeated, with the minibatch and the initialisation of ``seed``,
            ``seed + 1``, …; by default once, and without a table three times.
        evaluate: train so many random architectures on ``data`` first, as `nas.train` does, in place of a table.
        epochs: for which they are trained.
        unique: of isomorphic architectures, take only the first.
        within: a column of ``table``; correlations are computed within its groups too, as of one training recipe.
        run_folder: where ``config.yaml``, ``scores.csv``, ``correlations.csv`` and the other frames of `Comparison` go,
            or ``auto`` for a folder below ``runs`` that is named after the settings; a comparison that was interrupted
            there is continued.
        watch: told how many of how many architectures are done.
        given: see `nas.calls.setup.SetupOptions`; an architecture that breaks one of the constraints is not drawn.

    Raises:
        UsageError: something given cannot be used; nothing has been written then.
    """
    if seeds is None:
        seeds = SEEDS_UNLABELLED if table is None and evaluate is None else 1
    check_number("seeds", seeds, 1)
    _check_truth(table, target, evaluate, within)
    setup = Setup.of(space, given)
    with setup, ExitStack() as stack:
        if evaluate is not None:
            setup.proxies(proxies)  # before anything is trained for them
            table = _trained(stack, space, evaluate, epochs, run_folder, watch, given)
            target = TRAINED if target is None else target
        truth = Table(table, setup.space) if table is not None else None
        plan = _prepare(setup, truth, target, proxies, archs, seeds, unique, within, run_folder)
        with plan.opened() as folder:
            rows, peaks = _run(plan, folder, watch)
            return _report(plan, folder, pd.DataFrame(rows, columns=list(SCORES)), peaks)


def _check_truth(table: str | Path | None, target: str | None, evaluate: int | None, within: str | None) -> None:
    """`UsageError` where options that describe the truth do not go together."""
    if within is not None and table is None:
        raise UsageError(f"the groups {within!r} are a column of a table, and none is named: --table names it")
    if evaluate is not None:
        check_number("evaluate", evaluate, 2)
        if table is not None:
            raise UsageError("--evaluate trains networks where there is no table of them: leave out one of the two")
    elif table is not None and target is None:
        raise UsageError(f"{table} is compared with, but no column of it is named: --target names it")
    elif table is None and target is not None:
        raise UsageError(f"the target {target!r} is a column of a table, and none is named: --table names it")


def _trained(
    stack: ExitStack,
    space: Space | str,
    count: int,
    epochs: int,
    run_folder: str | Path | None,
    watch: Watch | None,
    given: SetupOptions,
) -> Path:
    """The table of so many random architectures, trained for it: in the run's folder, in one named after the settings,
    or where nothing is kept in one that lasts as long as the comparison."""
    if run_folder is None:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        train_some(space, count, given, epochs=epochs, out=None, watch=watch).table.to_csv(folder / TABLE, index=False)
        return folder / TABLE
    own = "auto" if str(run_folder) == "auto" else Path(run_folder).expanduser() / NETWORKS
    result = train_some(space, count, given, epochs=epochs, out=own, watch=watch)
    assert result.folder is not None
    return result.folder / TABLE


@dataclass(frozen=True)
class Repeat:
    """One seed of a comparison: its scorer, and what is asked of it."""

    scorer: Scorer
    objectives: Mapping[str, Objective]

    @property
    def proxies(self) -> list[Proxy]:
        return [proxy for objective in self.objectives.values() for proxy in objective.proxies]


@dataclass(frozen=True)
class Plan:
    """All that a comparison is, before anything is scored."""

    setup: Setup
    table: Table | None
    target: str | None
    groups: pd.Series[str] | None
    archs: Sequence[Arch]
    repeats: Sequence[Repeat]
    machine: MachineScores
    folder: Path | None
    config: dict[str, Any]

    @property
    def names(self) -> list[str]:
        return list(self.repeats[0].objectives)

    @property
    def texts(self) -> list[str]:
        return [self.setup.space.text(arch) for arch in self.archs]

    def opened(self) -> AbstractContextManager[RunFolder | None]:
        """The run's folder, locked, where there is one."""
        if self.folder is None:
            return nullcontext()
        return RunFolder(self.folder, self.config, normalised=normalised, made=self.setup.made())

    @property
    def command(self) -> str:
        """The one that makes this run, wherever its folder is."""
        return command("compare", self.config)


def _prepare(
    setup: Setup,
    table: Table | None,
    target: str | None,
    proxies: ProxyNames,
    archs: int | str,
    seeds: int,
    unique: bool,
    within: str | None,
    run_folder: str | Path | None,
) -> Plan:
    named = setup.proxies(proxies)
    if mine := set(named) & set(REFERENCES):
        raise UsageError(f"{min(mine)!r} has a row of its own in every comparison: give the proxy another name")
    column = table.target(str(target)) if table is not None else None
    groups = table.groups(within) if table is not None and within is not None else None
    kept = setup.may_keep(list(named.values()), run_folder)
    entries = named | {name: name for name in ALWAYS if name not in named}
    repeats = [_repeat(setup, seed, entries, kept) for seed in range(setup.seed, setup.seed + seeds)]
    scorer = repeats[0].scorer
    settings: dict[str, Any] = {}
    if run_folder is not None:
        settings = setup.record(
            **({"table": table.given, "target": target} if table is not None else {}), proxies=",".join(named),
            archs=archs, seeds=seeds, unique=unique, **({} if within is None else {"within": within}),
            minibatch=" ".join(repeat.scorer.data.fingerprint for repeat in repeats),
            **setup.of_the_machine(repeats[0].proxies, scorer.device),
        )  # fmt: skip
    machine = MachineScores(scorer, _folder(run_folder, settings))
    if table is not None and column is not None:
        chosen, truth = _drawn_from(setup, scorer, table, column, archs, unique)
    else:
        chosen, truth = _drawn(setup, scorer, archs), {}
    try_out(scorer, chosen)
    if run_folder is None:
        return Plan(setup, table, target, groups, chosen, repeats, machine, None, {})
    config = settings | {"versions": _versions(setup, truth, chosen, repeats[0])}
    folder = _folder(run_folder, settings, config["versions"])
    return Plan(setup, table, target, groups, chosen, repeats, machine, folder, config)


def _drawn_from(
    setup: Setup, scorer: Scorer, table: Table, column: pd.Series[float], archs: int | str, unique: bool
) -> tuple[list[Arch], dict[str, float]]:
    """Architectures of a table, and their targets."""
    keep = keeps(setup.space, setup.limits, scorer.data.task, scorer) if setup.constraints else None
    usable = [row for row in range(len(column)) if np.isfinite(column.iloc[row])]
    chosen = [table.archs[row] for row in draw(usable, archs, setup.seed, _kept(table, unique, keep))]
    if len(set(chosen)) < len(chosen):
        twice = next(setup.space.text(arch) for arch in chosen if chosen.count(arch) > 1)
        raise UsageError(f"{table.path}: {twice} has several rows: keep one of them")
    targets = {setup.space.text(arch): value for arch, value in zip(table.archs, column, strict=True)}
    return chosen, {text: targets[text] for text in map(setup.space.text, chosen)}


def _drawn(setup: Setup, scorer: Scorer, archs: int | str) -> list[Arch]:
    """Random architectures of the space, all different networks."""
    count = UNLABELLED if archs == "all" else archs
    if isinstance(count, str):
        if not re.fullmatch(r"[0-9]{1,9}", count.strip()):
            raise UsageError(f"--archs takes a number where there is no table, not {count!r}")
        count = int(count)
    check_number("archs", count, 2)
    return drawn(setup.limited(scorer.data.task, scorer), count, setup.seed)


def _folder(
    run_folder: str | Path | None, settings: Mapping[str, Any], versions: Mapping[str, str] | None = None
) -> Path | None:
    if str(run_folder) != "auto":
        return None if run_folder is None else Path(run_folder).expanduser()
    determining = {name: value for name, value in settings.items() if name not in UNDETERMINING}
    return default_run("compare", determining, versions)


def _versions(setup: Setup, truth: Mapping[str, float], chosen: Sequence[Arch], repeat: Repeat) -> dict[str, str]:
    """The version of what the scores depend on, and of the accuracies that they are compared with."""
    device = repeat.scorer.device.type
    versions = run_versions(setup.space, setup.space_name, chosen, repeat.proxies, device, setup.plugin)
    for objective in repeat.objectives.values():
        versions |= objective.versions
    return setup.versions | versions | ({"the table's accuracies": digest(dict(truth))} if truth else {})


def _repeat(setup: Setup, seed: int, entries: Mapping[str, str | Proxy | ProxyFn], kept: bool) -> Repeat:
    scorer = setup.scorer(seed, kept=kept)
    return Repeat(scorer, {name: Objective(scorer, entry, setup.settings) for name, entry in entries.items()})


def _run(plan: Plan, folder: RunFolder | None, watch: Watch | None) -> tuple[list[dict[str, object]], dict[str, float]]:
    """The rows of ``scores.csv``, written down as they are made where there is a folder; and each proxy's peak of
    memory."""
    rows: list[dict[str, object]] = []
    peaks: dict[str, float] = {}
    with ExitStack() as stack:
        append: Callable[[dict[str, object]], None] = rows.append
        if folder is not None:
            seeds = [repeat.scorer.seed for repeat in plan.repeats]
            expected = {"seed": seeds, "arch": set(plan.texts), "proxy": plan.names}
            repeats = {repeat.scorer.seed: (repeat.scorer, repeat.objectives) for repeat in plan.repeats}
            plan.machine.open(stack, folder)
            append = resume_comparison(stack, folder, rows, expected, repeats)
            folder.settle(plan.config)
            peaks = resume_memory(folder, plan.names, seeds)
        done = {(row["seed"], row["arch"], row["proxy"]) for row in rows}
        for number, repeat in enumerate(plan.repeats):
            seed, pairs = repeat.scorer.seed, list(zip(plan.archs, plan.texts, strict=True))
            left = [arch for arch, text in pairs if any((seed, text, name) not in done for name in plan.names)]
            earlier = len(plan.archs) * (number + 1) - len(left)
            for finished, fresh in enumerate(score_rows(repeat.scorer, left, repeat.objectives), start=earlier + 1):
                for row in fresh:
                    if (row["seed"], row["arch"], row["proxy"]) not in done:
                        append(row)
                if watch is not None:
                    watch(finished, len(plan.archs) * len(plan.repeats), "")
    return rows, peaks


def _report(plan: Plan, folder: RunFolder | None, scores: pd.DataFrame, peaks: dict[str, float]) -> Comparison:
    """The comparison, and its files where there is a folder."""
    if plan.table is None or plan.target is None:
        return _agreement(plan, folder, scores)
    seed, (scorer, objectives) = plan.setup.seed, (plan.repeats[0].scorer, plan.repeats[0].objectives)
    if not peaks:
        largest = plan.setup.space.parse(_largest(scores))
        peaks = peak_memories(scorer.measurer, largest, {name: objectives[name].proxies for name in plan.names})
    directions = {name: objective.larger_is_better for name, objective in objectives.items()}
    texts = pd.Index(map(plan.setup.space.text, plan.table.archs))
    first = ~texts.duplicated()
    truth = pd.Series(plan.table.target(plan.target).to_numpy(), index=texts)[first]
    columns = oriented(scores, directions)
    means = mean_over_seeds(columns)
    coefficients = correlations(scores, truth, directions, seed, peaks)
    pairs = paired(means, truth, seed)
    judged = verdict(coefficients, pairs, means, truth, seed, repeatability(columns))
    recommended = recommendation(plan.setup, judged, plan.config, plan.table.given, plan.target)
    result = Comparison(
        scores,
        coefficients if len(plan.repeats) > 1 else coefficients[coefficients["seed"] == "all"].reset_index(drop=True),
        pairs,
        selection(means, truth, seed),
        target_correlations(means, plan.table.numbers.set_axis(texts)[first]),
        truth.loc[means.index],
        len(plan.archs) - len(set(map(plan.setup.space.canonical, plan.archs))),
        None if folder is None else folder.path,
        agreement(columns, means),
        judged,
        (*words(judged, plan.target), *([f"next: {recommended}"] if recommended else [])),
        None if plan.groups is None else within_groups(means, truth, plan.groups.set_axis(texts)[first]),
    )
    if folder is not None:
        from nas.report.comparison import comparison_report  # matplotlib takes a while to import
        from nas.report.settings import settings_section

        _write_verdict(folder, result, {"target": plan.target, **judged._asdict(), "recommendation": recommended})
        folder.write("correlations.csv", coefficients.to_csv(index=False))
        if result.groups is not None:
            folder.write("groups.csv", result.groups.to_csv(index=False))
        for name in ("pairs", "selection"):
            folder.write(f"{name}.csv", getattr(result, name).to_csv(index=False))
        folder.write("targets.csv", result.targets.to_csv(index_label="proxy"))
        title = f"Proxies against {plan.target} on {plan.setup.space_name}"
        made = settings_section(plan.config, plan.command, folder.made)
        folder.write("report.html", comparison_report(title, result, directions, plan.target, made))
    return result


def _agreement(plan: Plan, folder: RunFolder | None, scores: pd.DataFrame) -> Comparison:
    """What can be said without a target, and its files where there is a folder."""
    directions = {name: objective.larger_is_better for name, objective in plan.repeats[0].objectives.items()}
    columns = oriented(scores, directions)
    means, repeated = mean_over_seeds(columns), repeatability(columns)
    chance = [name for name, rho in repeated.items() if rho < REPEATS]
    nothing = pd.DataFrame()
    result = Comparison(
        scores, nothing, nothing, nothing, nothing, pd.Series(dtype=float), 0, None if folder is None else folder.path,
        agreement(columns, means), None, chance_in_words(chance, len(plan.repeats)),
    )  # fmt: skip
    if folder is not None:
        from nas.report.comparison import agreement_report  # matplotlib takes a while to import
        from nas.report.settings import settings_section

        _write_verdict(folder, result, {"architectures": len(means), "chance": chance, "repeatability": repeated})
        made = settings_section(plan.config, plan.command, folder.made)
        folder.write("report.html", agreement_report(f"Proxies on {plan.setup.space_name}", result, means, made))
    return result


def _write_verdict(folder: RunFolder, result: Comparison, judged: Mapping[str, Any]) -> None:
    assert result.agreement is not None
    folder.write("agreement.csv", result.agreement.to_csv(index=False))
    plain = {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in judged.items()}
    folder.write_yaml("verdict.yaml", plain | {"words": list(result.words)})


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
