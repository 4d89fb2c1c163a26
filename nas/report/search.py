"""The page of a search: the best architectures, how they were found, their ancestry, and the cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nas.report import charts
from nas.report.cells import drawings
from nas.report.evaluations import evaluations_section
from nas.report.networks import pictured
from nas.report.page import Section, Sheet, page
from nas.report.svg import Chart
from nas.runs.loop import Trial, best
from nas.space import Arch, Space, Task
from nas.statistics.fronts import hypervolume, hypervolumes, knee, nondominated

MARKS = 5_000
"""Evaluations up to which all are drawn."""
DRAWN = 4
"""How many of the best cells are drawn."""
COLUMNS = 6
"""The most columns of a table against which the score is drawn."""
MEASURED = ("latency", "memory")
"""Quantities that a score is drawn against if they were measured as objectives."""
AXES = {"params": "parameters", "flops": "multiply-accumulates", "latency": "latency, ms", "memory": "memory, bytes"}
WORDS = AXES | {"arch": "architecture", "index": "number in the table"}
"""What entries of ``best.yaml`` are called on a page."""
TASK = {"classes": "classes of the data", "channels": "channels of an image", "size": "side of an image, pixels"}
NOT_TRAINED = ("index", "params", "flops")
"""Columns of a table that are not results of training."""


def search_report(
    title: str,
    trials: Sequence[Trial],
    space: Space,
    described: Mapping[str, Any],
    truth: pd.DataFrame | None = None,
    senses: Mapping[str, str] | None = None,
    *,
    costs: Mapping[str, Mapping[str, float]] | None = None,
    random: Sequence[Trial] = (),
    made: Section | None = None,
    evaluations: tuple[str, pd.DataFrame] | None = None,
) -> str:
    """The page as HTML.

    Args:
        trials: all, in their order; at least one leaf has a score.
        described: the content of ``best.yaml``.
        truth: the numbers of a table, indexed by architecture, where there is one.
        senses: for each objective by its name, whether it was to be ``best``, or to ``maximise`` or ``minimise``.
        costs: by name, each architecture's costs besides parameters and multiply-accumulates.
        random: the trials of random search beside it, where it was run.
        made: what made it, see `nas.report.settings.settings_section`.
        evaluations: what the truth is called, and the table of `nas.calls.evaluate.Evaluations`, where some were
            evaluated.
    """
    singles = _different([trial for trial in trials if trial.leaf and trial.score is not None])
    line = ancestors(trials)
    drawn = _drawn(trials, line)
    texts = list(dict.fromkeys(trial.arch for trial in drawn))
    place = {text: number for number, text in enumerate(texts)}
    sections = [
        Section("Best architecture", tables=[_record(described)]),
        *([evaluations_section(evaluations[1], evaluations[0], place)] if evaluations is not None else []),
        _course(len(trials), drawn, singles, line, place),
        *([_front(singles, senses, place)] if senses is not None and len(senses) > 1 else []),
        *([_against_random(trials, random, senses or {}, truth)] if random else []),
        _against_cost(singles, costs or {}, place),
        _best_cells(singles, space, Task(**described["task"])),
        _ancestry(trials, line, space),
        *([_against_training(singles, truth, place)] if truth is not None and len(truth) else []),
        _cost(trials),
        *([made] if made is not None else []),
    ]
    return page(title, sections, texts)


def ancestors(trials: Sequence[Trial]) -> list[Trial]:
    """The best trial and all its ancestors, the latest first."""
    winner = best(trials)
    line = []
    waiting = {winner.number} if winner else set()
    while waiting:
        number = max(waiting)
        line.append(trials[number])
        waiting = (waiting - {number}) | set(trials[number].parents)
    return line


def _drawn(trials: Sequence[Trial], line: Sequence[Trial]) -> list[Trial]:
    """The trials that have marks of their own: all, or, where that would make the page heavy, `MARKS` evenly spaced
    ones, those that were the best so far, and the ancestors of the best one."""
    if len(trials) <= MARKS:
        return list(trials)
    numbers = {trial.number for trial in line} | set(np.linspace(0, len(trials) - 1, MARKS).astype(int).tolist())
    highest = -np.inf
    for trial in trials:
        if trial.leaf and trial.score is not None and trial.score > highest:
            highest = trial.score
            numbers.add(trial.number)
    return [trials[number] for number in sorted(numbers)]


def _different(trials: Sequence[Trial]) -> list[Trial]:
    """The first trial of each architecture."""
    return list({trial.arch: trial for trial in reversed(trials)}.values())[::-1]


def _scores(trials: Sequence[Trial]) -> charts.Vector:
    return np.array([np.nan if trial.score is None else trial.score for trial in trials])


def _number(value: float | None) -> str:
    """Six digits, or a whole number with commas."""
    if value is None:
        return "none"
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e12 else f"{value:.6g}"


def _record(values: Mapping[str, Any]) -> Sheet:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name == "values":  # but the score itself, and counts, which are told anyway
            flat |= {
                f"score of {part}": v for part, v in value.items() if part not in values and v != values.get("score")
            }
        elif name == "task":
            flat |= {TASK.get(part, f"{part} of the task"): v for part, v in value.items()}
        elif isinstance(value, dict):
            flat |= {f"{part.replace('_', ' ')}, {name}": v for part, v in value.items()}
        else:
            flat[WORDS.get(name, name)] = value
    shown = [f"{v:,}" if isinstance(v, int) else _number(v) if isinstance(v, float) else str(v) for v in flat.values()]
    return Sheet(pd.DataFrame({"what": list(flat), "found": shown}), sortable=False)


def _course(
    count: int, drawn: Sequence[Trial], singles: Sequence[Trial], line: Sequence[Trial], place: Mapping[str, int]
) -> Section:
    text = f"Of {count} evaluations {len(drawn)} are drawn, evenly taken." if len(drawn) < count else ""
    rising = _rising(drawn, line)
    points = [
        (
            place[trial.arch],
            f"evaluation {trial.number}, "
            + (f"{trial.status}: {trial.reason}" if trial.score is None else f"score {trial.score:.6g}"),
        )
        for trial in drawn
    ]
    scores = _scores(singles)
    spread = charts.distribution(scores, across="score", marked={"best": scores.max()})
    return Section("Course", text, [
        Chart(rising, "Scores in the order of evaluation", points),
        Chart(spread, f"Scores of the {len(singles)} different architectures"),
    ])  # fmt: skip


def _front(singles: Sequence[Trial], senses: Mapping[str, str], place: Mapping[str, int]) -> Section:
    """The objectives against each other, two at a time with the first; what they cover; and the front's members."""
    values = np.array([trial.objectives for trial in singles])  # [architectures, objectives], larger is better
    members = nondominated(values)
    shown = values * np.where(np.array(list(senses.values())) == "minimise", -1, 1)
    names, figures = list(senses), []
    for other in range(1, len(names)):
        two = values[:, [0, other]]
        bend = np.flatnonzero(members)[knee(two[members])] if len(names) == 2 else None
        figure = charts.front(
            shown[:, other], shown[:, 0], members, bend, across=AXES.get(names[other], names[other]), up=names[0]
        )
        order = [*np.flatnonzero(~members), *np.flatnonzero(members)]
        points = [
            (place[singles[i].arch], ", ".join(f"{n} {v:.6g}" for n, v in zip(names, shown[i], strict=True)))
            for i in order
            if singles[i].arch in place
        ]
        caption = f"{names[0]} against {AXES.get(names[other], names[other])}"
        figures.append(Chart(figure, caption, points if len(points) == len(order) else ()))
    worst = values.min(axis=0)
    numbers = np.array([trial.number for trial in singles])
    covered = charts.progress_of(numbers, hypervolumes(values, worst), up="hypervolume")
    figures.append(Chart(covered, "Hypervolume of the front so far, above the worst of each objective"))
    best = np.flatnonzero(members)[np.argsort(-values[members, 0], kind="stable")]
    table = pd.DataFrame(shown[best], columns=names).assign(architecture=[singles[i].arch for i in best])
    text = f"{members.sum()} of {len(singles)} architectures are dominated by no other one."
    return Section("Front", text, figures, [Sheet(table)])


def _against_random(
    trials: Sequence[Trial], random: Sequence[Trial], senses: Mapping[str, str], truth: pd.DataFrame | None
) -> Section:
    """The results of random search with as many evaluations, beside those of this search."""
    both = {"random search": random, "this search": trials}
    numbers = np.arange(max(map(len, both.values())))
    figure = charts.curves(
        numbers.astype(np.float64), {name: _best_so_far(own, len(numbers)) for name, own in both.items()},
        across="evaluation", up="best score so far",
    )  # fmt: skip
    rows = []
    for name, own in both.items():
        winner = best(own)
        row: dict[str, Any] = {"": name, "evaluations": len(own), "best score": winner.score if winner else np.nan}
        if len(senses) > 1:
            row["hypervolume"] = _hypervolume(own, [trial for each in both.values() for trial in each])
        if truth is not None and winner is not None and winner.arch in truth.index:
            trained = [str(column) for column in truth if column not in NOT_TRAINED]
            row |= dict(truth.loc[winner.arch, trained[:COLUMNS]])
        rows.append(row | {"best architecture": winner.arch if winner else ""})
    frame = _on_its_side(rows)
    text = "Random search scored as many random architectures of the same space, by the same objectives."
    return Section("Against random search", text, [Chart(figure, "Best score so far of either")],
                   [Sheet(frame, sortable=False)])  # fmt: skip


def _on_its_side(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A table with a column for each of few rows of many quantities, so that it fits a narrow page."""
    names = dict.fromkeys(name for row in rows for name in row if name)

    def shown(value: Any) -> str:
        if isinstance(value, str | int):
            return f"{value:,}" if isinstance(value, int) else value
        return "–" if value is None or value != value else f"{value:.6g}"

    return pd.DataFrame({"": list(names)} | {row[""]: [shown(row.get(name)) for name in names] for row in rows})


def _best_so_far(trials: Sequence[Trial], count: int) -> charts.Vector:
    """The best score after each of ``count`` evaluations; nan before the first score and beyond the last evaluation."""
    scores = np.array([trial.score if trial.leaf and trial.score is not None else -np.inf for trial in trials])
    highest = np.maximum.accumulate(scores)
    return np.pad(np.where(np.isfinite(highest), highest, np.nan), (0, count - len(scores)), constant_values=np.nan)


def _hypervolume(trials: Sequence[Trial], every: Sequence[Trial]) -> float:
    """The hypervolume of ``trials`` above the worst of each objective among ``every`` trial."""
    values, alike = (np.array([t.objectives for t in some if t.leaf and t.objectives]) for some in (trials, every))
    return hypervolume(values, alike.min(axis=0)) if len(values) else 0.0


def _against_cost(
    singles: Sequence[Trial], costs: Mapping[str, Mapping[str, float]], place: Mapping[str, int]
) -> Section:
    """The score against the cost of an architecture, one chart for each cost."""
    costs_by_name: dict[str, Mapping[str, float | None]] = {
        "params": {trial.arch: trial.params for trial in singles},
        "flops": {trial.arch: trial.flops for trial in singles},
        **{name: {trial.arch: trial.values.get(name) for trial in singles} for name in MEASURED},
        **costs,
    }
    figures = []
    for name, values in costs_by_name.items():
        here = [trial for trial in singles if trial.arch in place and values.get(trial.arch) is not None]
        if not here:
            continue
        scores, numbers = _scores(here), np.array([values[trial.arch] for trial in here], dtype=np.float64)
        members = nondominated(np.column_stack([scores, -numbers]))
        figure = charts.front(numbers, scores, members, None, across=AXES.get(name, name), up="score")
        points = [
            (place[here[i].arch], f"{name} {numbers[i]:.6g}, score {scores[i]:.6g}")
            for mask in (~members, members)
            for i in np.flatnonzero(mask)
        ]
        figures.append(Chart(figure, f"Score against {AXES.get(name, name).partition(',')[0]}", points))
    text = "Those stand out that no other architecture beats in both." if figures else "No cost is known."
    return Section("Score against cost", text, figures)


def course(trials: Sequence[Trial]) -> Figure:
    """The scores in the order of evaluation, the best so far, and the ancestry of the best one."""
    line = ancestors(trials)
    return _rising(_drawn(trials, line), line)


def _rising(drawn: Sequence[Trial], line: Sequence[Trial]) -> Figure:
    return charts.progress(
        np.array([trial.number for trial in drawn]),
        _scores(drawn),
        np.array([trial.leaf for trial in drawn]),
        [(parent, trial.number) for trial in line for parent in trial.parents],
    )


def _best_cells(singles: Sequence[Trial], space: Space, task: Task) -> Section:
    """The best architectures, each network once."""
    networks: dict[Arch, Trial] = {}
    for trial in sorted(singles, key=lambda trial: trial.score or 0.0, reverse=True):
        if len(networks) < DRAWN:
            networks.setdefault(space.canonical(space.parse(trial.arch)), trial)
    pictures = drawings([pictured(space, space.parse(trial.arch), task) for trial in networks.values()])
    figures = [
        Chart(figure, f"{number}: score {_number(trial.score)}", scale=1.0)
        for number, (figure, trial) in enumerate(zip(pictures, networks.values(), strict=True), start=1)
    ]
    rows = [(number, trial.score, trial.number, trial.arch) for number, trial in enumerate(networks.values(), start=1)]
    table = pd.DataFrame(rows, columns=["place", "score", "evaluation", "architecture"])
    return Section("Best architectures", "", figures, [Sheet(table)], row=True)


def _ancestry(trials: Sequence[Trial], line: Sequence[Trial], space: Space) -> Section:
    if len(line) < 2:
        return Section("Ancestry of the best", "The best architecture was not made from another one.")
    rows = [
        {
            "evaluation": trial.number,
            "score": trial.score,
            "made from": " and ".join(map(str, trial.parents)) or "nothing",
            "what changed": "; ".join(_change(space, trials[parent].arch, trial.arch) for parent in trial.parents),
            "architecture": trial.arch,
        }
        for trial in line
    ]
    text = f"The best architecture descends from {len(line) - 1} earlier evaluation{'s' * (len(line) > 2)}."
    return Section("Ancestry of the best", text, tables=[Sheet(pd.DataFrame(rows))])


def _change(space: Space, before: str, after: str) -> str:
    """The slots in which ``after`` differs from ``before``, and how."""
    pairs = zip(space.slots, space.parse(before), space.parse(after), strict=True)
    return ", ".join(
        f"slot {slot}: {'/'.join(options[o] for o in old)} → {'/'.join(options[o] for o in new)}"
        for slot, (options, old, new) in enumerate(pairs, start=1)
        if old != new
    )


def _against_training(singles: Sequence[Trial], truth: pd.DataFrame, place: Mapping[str, int]) -> Section:
    columns = [str(name) for name in truth if name not in NOT_TRAINED]
    trained = set(map(str, truth.index))
    rows = [trial for trial in singles if trial.arch in trained]
    shown = [trial for trial in rows if trial.arch in place]
    text = (
        f"{len(rows)} of the {len(singles)} architectures are in the table. Those that were the best when they were "
        "found stand out; the last of them, the best in the end, is the largest."
    )
    if len(shown) < len(rows):
        text += f" {len(shown)} of them are drawn."
    if len(columns) > COLUMNS:
        text += f" Of the table's {len(columns)} columns of results, the first {COLUMNS}."
    figures = []
    for column in columns[:COLUMNS]:
        values = dict(zip(map(str, truth.index), truth[column].astype(float), strict=True))
        here = [trial for trial in shown if np.isfinite(values[trial.arch])]
        if not here:
            continue
        scores, targets = _scores(here), np.array([values[trial.arch] for trial in here])
        chosen = np.append(True, scores[1:] > np.maximum.accumulate(scores)[:-1])
        figure = charts.selection(scores, targets, chosen, up=column)
        points = [
            (place[here[i].arch], f"{column} {targets[i]:.6g}, score {scores[i]:.6g}")
            for mask in (~chosen, chosen)
            for i in np.flatnonzero(mask)
        ]
        figures.append(Chart(figure, f"{column} against score", points))
    return Section("Score against training", text, figures)


def _cost(trials: Sequence[Trial]) -> Section:
    fresh = 1000 * np.array([trial.seconds for trial in trials if not trial.cached])
    failed = [trial for trial in trials if trial.status != "ok"]
    counts = {
        "evaluations": len(trials), "computed": len(fresh), "known before": len(trials) - len(fresh),
        "failed": len(failed), "seconds": fresh.sum() / 1000,
    }  # fmt: skip
    if len(fresh):
        counts |= {"mean ms": fresh.mean(), "median ms": np.median(fresh)}
    shown = [f"{value:,}" if isinstance(value, int) else f"{value:.4g}" for value in counts.values()]
    tables = [Sheet(pd.DataFrame({"what": list(counts), "of this search": shown}), sortable=False)]
    if failed:
        reasons = Counter((trial.status, trial.reason) for trial in failed).most_common()
        table = pd.DataFrame([(*what, count) for what, count in reasons], columns=["status", "reason", "evaluations"])
        tables.append(Sheet(table, "Without a score, by reason"))
    figures = []
    if len(fresh):
        figure = charts.distribution(fresh, across="milliseconds for one evaluation", up="evaluations")
        figures.append(Chart(figure, "Time of what was computed"))
    return Section("Cost of the search", "", figures, tables)
