"""Continues an interrupted search or comparison.

A search is run again from its seed: recorded trials are compared, and their scores are not computed again. A comparison
keeps its rows and fills in the rest.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import ExitStack
from math import isclose, isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from nas.errors import UsageError
from nas.files import only_data, read_file
from nas.proxy import Proxy
from nas.runs.folder import CONFIG, RunFolder
from nas.runs.loop import Trial
from nas.runs.records import REMEDY, Appender, read_records
from nas.scoring.measurer import Score
from nas.scoring.objective import Objective, Objectives, reference_sample
from nas.scoring.rows import SCORES
from nas.scoring.scorer import Scorer, Watch
from nas.space import Arch, is_leaf

MEASURED_AGAIN = 3
"""Records that are measured again where nothing says what they were measured with."""
AGREEMENT = 5e-3
"""The relative difference allowed between two measurements of one score with other numbers of threads."""


def resume_search(
    stack: ExitStack,
    folder: RunFolder,
    trials: list[Trial],
    objective: Objective | Objectives,
    budget: int,
    watch: Watch | None,
    name: str = "trials.jsonl",
) -> Callable[[Trial], None]:
    """Gives the scorer the scores of an earlier run in ``folder``, and returns a function that adds and writes a trial.

    The trials are proposed again from the start, from the same seed; recorded ones are compared, not written.
    """
    recorded = _recorded_trials(folder, objective, name)
    if len(recorded) > budget:
        raise UsageError(f"{folder.path} holds {len(recorded)} trials already: give a budget of at least as many")
    if folder.unsure:
        named = {proxy.name: proxy for proxy in objective.proxies}
        parse = objective.scorer.space.parse
        _measure_again(folder, objective.scorer, ((parse(t.arch), named, t.values) for t in recorded))
    if referenced := objective.referenced:
        _resume_reference(stack, folder, objective, referenced, watch)
    appender = stack.enter_context(folder.appender(name))

    def append(trial: Trial) -> None:
        if trial.number >= len(recorded):
            record = trial._asdict()
            appender.add_record(record if trial.objectives else {n: v for n, v in record.items() if n != "objectives"})
            trials.append(trial)
            return
        before = recorded[trial.number]
        if (trial.arch, trial.score, trial.objectives) != (before.arch, before.score, before.objectives):
            raise UsageError(
                f"{folder.path} cannot be continued: its trial {trial.number} is {before.arch} with score "
                f"{before.score}, but now comes {trial.arch} with {trial.score}; a plug-in or a library has changed"
            )
        # folders of earlier versions have none of these
        trials.append(before._replace(parents=trial.parents, params=trial.params, flops=trial.flops))

    return append


def _recorded_trials(folder: RunFolder, objective: Objective | Objectives, name: str) -> list[Trial]:
    trials: list[Trial] = []
    for where, record in folder.records(name):
        trials.append(_recorded(objective, record, where))
        _check_number(trials, where)
    return trials


def _check_number(trials: list[Trial], where: str) -> None:
    """`UsageError` unless the last trial has the number of its place."""
    number, place = trials[-1].number, len(trials) - 1
    if number != place:
        raise UsageError(
            f"{where} is trial {number}, where trial {place} belongs: a line was doubled, lost or moved; {REMEDY}"
        )


def _resume_reference(
    stack: ExitStack,
    folder: RunFolder,
    objective: Objective | Objectives,
    referenced: list[Proxy],
    watch: Watch | None,
) -> None:
    """Makes the reference sample known to the scorer: recorded scores, then those that are measured and recorded."""
    scorer = objective.scorer
    sample = reference_sample(scorer)
    forms = {scorer.space.canonical(arch) for arch in sample}
    for where, row in folder.records("reference.jsonl"):
        arch = scorer.space.canonical(scorer.space.parse(_recorded(objective, REFERENCE_TRIAL | row, where).arch))
        if arch not in forms:
            raise UsageError(f"{where} is no part of the reference sample, or occurs twice; {REMEDY}")
        forms.remove(arch)
    appender = stack.enter_context(folder.appender("reference.jsonl"))
    fresh = {scorer.space.canonical(arch) for arch in sample if not scorer.knows(arch, referenced)}
    streamed = zip(sample, scorer.stream(sample, referenced), strict=True)
    for number, (arch, scores) in enumerate(streamed, start=1):
        if watch is not None:
            watch(number, len(sample), "the reference sample that combined proxies are ranked in")
        form = scorer.space.canonical(arch)
        if form in fresh:
            fresh.remove(form)
            failed = next((s for s in scores.values() if s.status != "ok"), Score(None))
            appender.add_record({
                "arch": scorer.space.text(arch), "values": {n: s.value for n, s in scores.items()},
                "status": failed.status, "reason": failed.reason,
            })  # fmt: skip


def resume_comparison(
    stack: ExitStack,
    folder: RunFolder,
    rows: list[dict[str, object]],
    allowed: Mapping[str, Container[object]],
    repeats: Mapping[int, tuple[Scorer, Mapping[str, Objective]]] | None = None,
) -> Callable[[dict[str, object]], None]:
    """Fills ``rows`` from the ``scores.csv`` of an earlier comparison, and returns a function that adds and writes a
    row.

    Args:
        allowed: the values of ``seed``, ``arch`` and ``proxy`` that this comparison has; a row with other values does
            not belong to it.
        repeats: by seed the scorer and the objectives, to measure some rows again where the settings are missing.
    """
    lines = folder.lines("scores.csv")
    reader = csv.DictReader([text for _, text in lines])
    met = set()
    try:
        for record in reader:
            numbers = {"seed": int(record["seed"]), "seconds": float(record["seconds"])}
            rows.append(record | numbers | {"value": float(record["value"]) if record["value"] else None})
            place = tuple(rows[-1][name] for name in allowed)
            if set(record) != set(SCORES) or None in record.values() or place in met:
                raise ValueError("it is no row of its own")
            if not all(rows[-1][name] in values for name, values in allowed.items()):
                raise ValueError("it is no row of this comparison")
            met.add(place)
    except (KeyError, TypeError, ValueError, csv.Error):
        raise UsageError(f"{folder.path / 'scores.csv'} is damaged at its row {reader.line_num}: {REMEDY}") from None
    if folder.unsure and repeats is not None:
        _measure_rows_again(folder, rows, repeats)
    appender: Appender = stack.enter_context(folder.appender("scores.csv"))
    if not lines:
        appender.add(",".join(SCORES))

    def append(row: dict[str, object]) -> None:
        appender.add_row([row[name] for name in SCORES])
        rows.append(row)

    return append


def _measure_rows_again(
    folder: RunFolder,
    rows: Iterable[Mapping[str, Any]],
    repeats: Mapping[int, tuple[Scorer, Mapping[str, Objective]]],
) -> None:
    for seed, (scorer, objectives) in repeats.items():
        single = {name: objective.proxies[0] for name, objective in objectives.items() if len(objective.proxies) == 1}
        values: dict[str, dict[str, float | None]] = {}
        for row in rows:
            if row["seed"] == seed and row["proxy"] in single:
                values.setdefault(row["arch"], {})[row["proxy"]] = row["value"]
        _measure_again(folder, scorer, ((scorer.space.parse(arch), single, own) for arch, own in values.items()))


def _measure_again(
    folder: RunFolder,
    scorer: Scorer,
    recorded: Iterable[tuple[Arch, Mapping[str, Proxy], Mapping[str, float | None]]],
) -> None:
    """`UsageError` where the first records are not the scores of their networks with the settings of this run."""
    tried = 0
    for arch, proxies, values in recorded:
        # what depends on the machine is a different number every time
        alike = {name for name, proxy in proxies.items() if not proxy.machine}
        finite = {name: value for name, value in values.items() if value is not None and name in alike}
        if not finite or not is_leaf(arch):
            continue
        scores = scorer.measurer(scorer.space.canonical(arch), [proxies[name] for name in finite])
        for name, value in finite.items():
            now = scores[proxies[name].name].value
            if now is None or not isclose(now, value, rel_tol=AGREEMENT, abs_tol=1e-12):
                raise UsageError(
                    f"{folder.path} has no {CONFIG}, and its records are not of this command: {name} of "
                    f"{scorer.space.text(arch)} is {now}, not {value}: give another folder with --run"
                )
        tried += 1
        if tried == MEASURED_AGAIN:
            return


PEAKS_BYTES = 2**26
"""Bytes of a file of correlations."""


def resume_memory(folder: RunFolder, names: Iterable[str], seeds: Iterable[int]) -> dict[str, float]:
    """The peaks in the ``correlations.csv`` of a finished comparison, by proxy; empty where it was not finished, or
    where the file is not complete, since then it is made again.

    Memory is measured last of all, in seconds that showing a finished comparison again need not take.
    """
    path = folder.path / "correlations.csv"
    try:
        content = read_file(path, PEAKS_BYTES)
        frame = pd.read_csv(io.BytesIO(content), dtype={"proxy": str, "seed": str})
        rows = list(zip(frame["seed"], frame["proxy"], strict=True))
        peaks = dict(zip(frame["proxy"], frame["peak_mb"].astype(float), strict=True))
    except (OSError, ValueError, KeyError):
        return {}
    expected = {(seed, name) for seed in (*map(str, seeds), "all") for name in names}
    whole = content.endswith(b"\n") and len(rows) == len(set(rows)) and set(rows) == expected
    return peaks if whole else {}


REFERENCE_TRIAL = {"number": 0, "score": 0.0, "leaf": True, "cached": False, "seconds": 0.0}


def read_trials(folder: Path, name: str = "trials.jsonl") -> list[Trial]:
    """The trials in a run folder, which is not changed."""
    trials: list[Trial] = []
    for where, record in read_records(folder / name):
        trials.append(_parsed(record, where))
        _check_number(trials, where)
    return trials


def _recorded(objective: Objective | Objectives, record: dict[str, Any], where: str) -> Trial:
    """A recorded trial; the scorer learns its scores."""
    scorer = objective.scorer
    settings = {proxy.name: proxy.setting for proxy in objective.proxies}
    trial = _parsed(record, where)
    try:
        with only_data(where):
            arch = scorer.space.parse(trial.arch)
        for name, value in trial.values.items():
            reason = str(trial.reason).removeprefix(f"{name}: ")
            score = Score(None, trial.status, reason) if value is None else Score(float(value))
            scorer.learn(arch, settings[name], score)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise UsageError(f"{where} is no trial of this space: {error}") from None
    return trial


def _parsed(record: dict[str, Any], where: str) -> Trial:
    try:
        trial = Trial(**record | {name: tuple(record.get(name, ())) for name in ("parents", "objectives")})
        if wrong := _wrong(trial):
            raise ValueError(f"its {wrong} is {record.get(wrong)!r}"[:200])
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"{where} is no trial of this space: {error}") from None
    return trial


def _wrong(trial: Trial) -> str | None:
    """The first field whose value is impossible in a trial."""

    def number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)

    sound = {
        "number": type(trial.number) is int,
        "arch": isinstance(trial.arch, str),
        "score": trial.score is None or number(trial.score),
        "values": isinstance(trial.values, dict)
        and all(value is None or number(value) for value in trial.values.values()),
        "status": isinstance(trial.status, str),
        "reason": isinstance(trial.reason, str),
        "leaf": isinstance(trial.leaf, bool),
        "cached": isinstance(trial.cached, bool),
        "seconds": number(trial.seconds),
        "parents": all(type(parent) is int and 0 <= parent < trial.number for parent in trial.parents),
        "objectives": all(map(number, trial.objectives)),
        "params": trial.params is None or type(trial.params) is int,
        "flops": trial.flops is None or type(trial.flops) is int,
    }
    return next((name for name, is_sound in sound.items() if not is_sound), None)
