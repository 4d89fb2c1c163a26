"""Going on where an interrupted search or comparison stopped.

A search is run again from its seed: what is recorded is compared, and its scores are not computed again. A
comparison keeps its rows and fills in the rest.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Container, Mapping
from contextlib import ExitStack
from math import isfinite
from typing import Any

import pandas as pd

from nas.errors import UsageError
from nas.runs.folder import RunFolder, write_line
from nas.runs.loop import Trial
from nas.scoring.measurer import Score
from nas.scoring.objective import Objective, Objectives, reference_sample
from nas.scoring.rows import SCORES
from nas.scoring.scorer import Watch


def resume_search(
    stack: ExitStack,
    folder: RunFolder,
    trials: list[Trial],
    objective: Objective | Objectives,
    budget: int,
    watch: Watch | None,
) -> Callable[[Trial], None]:
    """Gives the scorer what an earlier run in ``folder`` found, and returns what adds and writes a trial.

    The trials come again from the start, from the same seed; those that are recorded are compared, not written.
    """
    scorer = objective.scorer
    recorded = [_recorded(objective, record, line) for line, record in _numbered(folder, "trials.jsonl")]
    if len(recorded) > budget:
        raise UsageError(f"{folder.path} holds {len(recorded)} trials already: give a budget of at least as many")
    if referenced := objective.referenced:
        for line, row in _numbered(folder, "reference.jsonl"):
            _recorded(objective, REFERENCE_TRIAL | row, line)
        file = stack.enter_context(folder.appender("reference.jsonl"))
        sample = reference_sample(scorer)
        fresh = {scorer.space.canonical(arch) for arch in sample if not scorer.knows(arch, referenced)}
        streamed = zip(sample, scorer.stream(sample, referenced), strict=True)
        for number, (arch, scores) in enumerate(streamed, start=1):
            if watch is not None:
                watch(number, len(sample), "the reference sample that combined proxies are ranked in")
            form = scorer.space.canonical(arch)
            if form in fresh:
                fresh.remove(form)
                failed = next((s for s in scores.values() if s.status != "ok"), Score(None))
                write_line(file, {"arch": scorer.space.text(arch), "values": {n: s.value for n, s in scores.items()},
                                  "status": failed.status, "reason": failed.reason})  # fmt: skip
    file_ = stack.enter_context(folder.appender("trials.jsonl"))

    def append(trial: Trial) -> None:
        if trial.number >= len(recorded):
            record = trial._asdict()
            write_line(file_, record if trial.objectives else {n: v for n, v in record.items() if n != "objectives"})
            trials.append(trial)
            return
        before = recorded[trial.number]
        if (trial.arch, trial.score, trial.objectives) != (before.arch, before.score, before.objectives):
            raise UsageError(
                f"{folder.path} cannot be continued: its trial {trial.number} is {before.arch} with score "
                f"{before.score}, but now comes {trial.arch} with {trial.score}; a plug-in or a library has changed"
            )
        trials.append(before._replace(parents=trial.parents))  # folders of earlier versions have none

    return append


def resume_comparison(
    stack: ExitStack, folder: RunFolder, rows: list[dict[str, object]], asked: Mapping[str, Container[object]]
) -> Callable[[dict[str, object]], None]:
    """Fills ``rows`` from the ``scores.csv`` of an earlier comparison, and returns what adds and writes a row.

    Args:
        asked: which values of ``seed``, ``arch`` and ``proxy`` this comparison has; a row with other values does not
            belong to it.
    """
    reader = csv.DictReader(folder.whole_lines("scores.csv"))
    met = set()
    try:
        for record in reader:
            numbers = {"seed": int(record["seed"]), "seconds": float(record["seconds"])}
            rows.append(record | numbers | {"value": float(record["value"]) if record["value"] else None})
            place = tuple(rows[-1][name] for name in asked)
            if set(record) != set(SCORES) or None in record.values() or place in met:
                raise ValueError("it is no row of its own")
            if not all(rows[-1][name] in values for name, values in asked.items()):
                raise ValueError("it is no row of this comparison")
            met.add(place)
    except (KeyError, TypeError, ValueError, csv.Error):
        raise UsageError(f"{folder.path / 'scores.csv'} is damaged at its row {reader.line_num}") from None
    file = stack.enter_context(folder.appender("scores.csv"))
    writer = csv.DictWriter(file, SCORES, lineterminator="\n")
    if not rows:
        file.truncate(0)
        writer.writeheader()

    def append(row: dict[str, object]) -> None:
        rows.append(row)
        writer.writerow(row)
        file.flush()

    return append


def resume_memory(folder: RunFolder) -> dict[str, float]:
    """The peaks in the ``correlations.csv`` of a comparison that was finished before, by proxy; empty where it was not.

    Memory is measured last of all, in seconds that looking at a finished comparison again need not take.
    """
    path = folder.path / "correlations.csv"
    if not path.exists():
        return {}
    try:
        frame = pd.read_csv(path).set_index("proxy")["peak_mb"]
    except (ValueError, KeyError) as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    return {str(name): float(value) for name, value in frame.items()}


REFERENCE_TRIAL = {"number": 0, "score": 0.0, "leaf": True, "cached": False, "seconds": 0.0}


def _numbered(folder: RunFolder, name: str) -> list[tuple[str, dict[str, Any]]]:
    """The records of a file, each with where it stands."""
    return [(f"{folder.path / name}: line {n}", record) for n, record in enumerate(folder.records(name), start=1)]


def _recorded(objective: Objective | Objectives, record: Any, where: str) -> Trial:
    """A trial as it was written down; the scorer gets to know its scores."""
    scorer = objective.scorer
    settings = {proxy.name: proxy.setting for proxy in objective.proxies}
    try:
        trial = Trial(**record | {name: tuple(record.get(name, ())) for name in ("parents", "objectives")})
        if wrong := _wrong(trial):
            raise ValueError(f"its {wrong} is {record.get(wrong)!r}"[:200])
        arch = scorer.space.parse(trial.arch)
        for name, value in trial.values.items():
            reason = str(trial.reason).removeprefix(f"{name}: ")
            score = Score(None, trial.status, reason) if value is None else Score(float(value))
            scorer.learn(arch, settings[name], score)
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
        raise UsageError(f"{where} is no trial of this space: {error}") from None
    return trial


def _wrong(trial: Trial) -> str | None:
    """The first field that holds what no trial does."""

    def number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)

    sound = {
        "number": type(trial.number) is int,
        "arch": isinstance(trial.arch, str),
        "score": trial.score is None or number(trial.score),
        "values": all(value is None or number(value) for value in trial.values.values()),
        "status": isinstance(trial.status, str),
        "reason": isinstance(trial.reason, str),
        "leaf": isinstance(trial.leaf, bool),
        "cached": isinstance(trial.cached, bool),
        "seconds": number(trial.seconds),
        "objectives": all(map(number, trial.objectives)),
    }
    return next((name for name, kept in sound.items() if not kept), None)
