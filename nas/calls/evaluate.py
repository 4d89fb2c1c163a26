"""The second part of `nas.search`: of all that was scored, some are evaluated for the truth."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nas.calls.options import SetupOptions
from nas.calls.result import EVALUATIONS, RECORDS
from nas.calls.truth import Source, Truth, TruthFn, truth_source
from nas.data.table import Table
from nas.errors import UsageError
from nas.proxy import Proxy
from nas.registry import check_number
from nas.runs.evaluation import Choice, beliefs_after, evaluation
from nas.runs.folder import NETWORKS, RunFolder
from nas.runs.loop import Trial
from nas.runs.records import REMEDY
from nas.scoring.scorer import Watch
from nas.space import Arch, Space
from nas.statistics.beliefs import Candidates, normal_scores

KINDS = ("belief", "doubt")
SIZES = ("params", "flops")
"""What is believed in, or not, beside the proxies of the search."""


@dataclass(frozen=True)
class Pool:
    """What may be evaluated: each network that the search scored, once, in the order of the ranking, the best first.

    Attributes:
        names: of the proxies, and the sizes.
    """

    trials: Sequence[Trial]
    archs: Sequence[Arch]
    names: Sequence[str]
    candidates: Candidates

    @classmethod
    def of(cls, trials: Sequence[Trial], space: Space, proxies: Sequence[Proxy], source: Source) -> Pool:
        """The pool of these trials.

        Raises:
            UsageError: there are fewer than two networks to choose from.
        """
        firsts: dict[Arch, Trial] = {}
        for trial in trials:
            if trial.leaf and trial.score is not None:
                firsts.setdefault(space.canonical(space.parse(trial.arch)), trial)
        able = {form: trial for form, trial in firsts.items() if source.knows(space.parse(trial.arch))}
        if len(able) < 2:
            raise UsageError(
                f"of the {len(firsts)} networks that were scored {len(able)} can be evaluated by {source.column}: a "
                "choice takes two or more"
            )
        ordered = sorted(able.items(), key=lambda item: -(item[1].score or 0.0))
        own = [trial for _, trial in ordered]
        columns = {proxy.name: _oriented(own, proxy) for proxy in proxies}
        for name in SIZES:
            sizes = [getattr(trial, name) for trial in own]
            if name not in columns and None not in sizes:
                columns[name] = np.array(sizes, dtype=np.float64)
        candidates = Candidates(
            normal_scores(np.array([trial.score for trial in own], dtype=np.float64)),
            np.column_stack([normal_scores(column) for column in columns.values()]),
            np.array([[option for (option,) in form] for form, _ in ordered], dtype=np.int64).reshape(len(own), -1),
        )
        return cls(own, [space.parse(trial.arch) for trial in own], list(columns), candidates)


def _oriented(trials: Sequence[Trial], proxy: Proxy) -> np.ndarray[Any, np.dtype[np.float64]]:
    sign = 1 if proxy.larger_is_better else -1
    values = [trial.values.get(proxy.name) for trial in trials]
    return np.array([-inf if value is None else sign * value for value in values], dtype=np.float64)


@dataclass(frozen=True)
class Wanted:
    """How many evaluations, how many at a time, and by what."""

    count: int
    batch: int
    source: Source


@dataclass(frozen=True)
class Request:
    """What a search was told of evaluations.

    Attributes:
        space, given: of the search.
        table, target: a file, and its column that is the truth.
        count: how many; None for none.
        batch: how many at a time.
        epochs: for which is trained.
        function: that is the truth, or ``FILE.py:NAME``.
    """

    space: Space | str
    given: SetupOptions
    table: str | Path | None
    target: str | None
    count: int | None
    batch: int
    epochs: int
    function: TruthFn | str | None

    def check(self, goals: int) -> None:
        """`UsageError` where what is said does not go together."""
        if self.count is None:
            identity = {"target": self.target, "truth": self.function}
            if names := [name for name, value in identity.items() if value is not None]:
                raise UsageError(f"{names[0]} says what to evaluate by, and nothing is to be evaluated: --evaluate N")
            return
        check_number("evaluate", self.count, 1)
        check_number("epochs", self.epochs, 1)
        if goals > 1:
            raise UsageError("--evaluate chooses by one objective: leave out --minimise and --maximise")

    @property
    def recorded(self) -> dict[str, Any]:
        """The same as options of the command line."""
        if self.count is None:
            return {}
        if self.function is not None:
            named = {"truth": self.function} if isinstance(self.function, str) else {}
            return {"evaluate": self.count} | named
        how = {"epochs": self.epochs} if self.target is None else {"table": str(self.table), "target": self.target}
        return {"evaluate": self.count} | how

    def wanted(self, space: Space, table: Table | None, folder: Path | None) -> Wanted | None:
        """What is to be done, where anything is; ``folder`` is the run's."""
        if self.count is None:
            return None
        source = truth_source(
            space, self.space, self.given, table=table, target=self.target, function=self.function, epochs=self.epochs,
            folder=None if folder is None else folder / NETWORKS,
        )  # fmt: skip
        return Wanted(self.count, self.batch, source)


@dataclass(frozen=True)
class Evaluated:
    """One architecture that was evaluated.

    Attributes:
        place: in the pool, from 0.
        pool: how many networks there were to choose from.
    """

    place: int
    choice: Choice
    truth: Truth
    pool: int


@dataclass(frozen=True)
class Evaluations:
    """What was evaluated, in order, and what is believed after each step.

    Attributes:
        table: what ``evaluations.csv`` holds, a row for each evaluation: ``evaluation`` from 1, ``arch``, ``place`` in
            the ranking from 1, ``why`` it was chosen, the ``chance`` that it was better than all before, the
            ``truth``, ``reason`` of a failure, what else is known of it, ``seconds``; and for each proxy
            ``belief_…`` and ``doubt_…``: the weight that it has in the beliefs after this step and its standard
            deviation, see `nas.statistics.beliefs.Beliefs`. Those evaluated at a time share them.
    """

    pool: Pool
    source: Source
    done: Sequence[Evaluated]
    table: pd.DataFrame

    @property
    def best(self) -> Evaluated | None:
        """The best by truth, the first of equals; None where all failed."""
        able = [one for one in self.done if one.truth.value is not None]
        return max(able, key=lambda one: one.truth.value or 0.0, default=None)

    @property
    def winner(self) -> Trial | None:
        """Its trial."""
        return None if self.best is None else self.pool.trials[self.best.place]

    @property
    def best_numbers(self) -> dict[str, float]:
        """What is known of it: the truth by its name, and what came with it."""
        assert self.best is not None
        return {self.source.column: _number(self.best.truth), **self.best.truth.columns}


def evaluate(pool: Pool, wanted: Wanted, folder: RunFolder | None, watch: Watch | None) -> Evaluations:
    """Evaluates as many of the pool as are wanted, what is recorded in the folder included. What was chosen comes again
    from the start and is compared with the records, as in `nas.runs.resume.resume_search`; what was chosen when the
    search had scored less is known from the start."""
    source, count, batch = wanted.source, wanted.count, wanted.batch
    recorded = _recorded(pool, source, folder) if folder is not None else []
    earlier = [one for one in recorded if one.pool != len(pool.trials)]
    replayed = recorded[len(earlier) :]
    done = list(earlier)
    with ExitStack() as stack:
        records = stack.enter_context(folder.appender(RECORDS)) if folder is not None else None
        search = evaluation(pool.candidates, batch, [(one.place, _number(one.truth)) for one in earlier])
        rows = _rows(pool, done, [])
        choices = next(search, [])
        while choices and len(done) < count:
            choices = choices[: count - len(done)]
            again = replayed[: len(choices)]
            replayed = replayed[len(choices) :]
            _compare(pool, choices, again, folder)
            fresh = choices[len(again) :]
            truths = [one.truth for one in again]
            truths += source([pool.archs[choice.place] for choice in fresh], watch) if fresh else []
            for number, (choice, truth) in enumerate(zip(choices, truths, strict=True)):
                done.append(Evaluated(choice.place, choice, truth, len(pool.trials)))
                if records is not None and number >= len(again):
                    records.add_record(_record(pool, source, done[-1]))
            rows = _rows(pool, done, rows)
            if folder is not None and fresh:
                folder.write(EVALUATIONS, pd.DataFrame(rows).to_csv(index=False))
            if watch is not None:
                watch(len(done), count, f"evaluated; best {max(_number(one.truth) for one in done):.6g}")
            try:
                choices = search.send([_number(truth) for truth in truths])
            except StopIteration:
                break
    return Evaluations(pool, source, done, pd.DataFrame(rows))


def _number(truth: Truth) -> float:
    return -inf if truth.value is None else truth.value


def _compare(pool: Pool, choices: Sequence[Choice], again: Sequence[Evaluated], folder: RunFolder | None) -> None:
    for choice, before in zip(choices, again, strict=False):
        if choice.place != before.place:
            assert folder is not None
            raise UsageError(
                f"{folder.path} cannot be continued: it evaluated {pool.trials[before.place].arch} where now "
                f"{pool.trials[choice.place].arch} is chosen; another --batch, a plug-in or a library has changed"
            )


def _record(pool: Pool, source: Source, one: Evaluated) -> dict[str, Any]:
    truth = one.truth
    return {
        "arch": pool.trials[one.place].arch, "by": source.name, "pool": one.pool, "why": one.choice.why,
        "chance": one.choice.chance if isfinite(one.choice.chance) else None, "truth": truth.value,
        "reason": truth.reason, "columns": dict(truth.columns), "seconds": round(truth.seconds, 3),
    }  # fmt: skip


def _recorded(pool: Pool, source: Source, folder: RunFolder) -> list[Evaluated]:
    places = {trial.arch: place for place, trial in enumerate(pool.trials)}
    evaluated = []
    for where, record in folder.records(RECORDS):
        try:
            truth, chance = record["truth"], record["chance"]
            place, size = places[record["arch"]], int(record["pool"])
            columns = {str(name): float(value) for name, value in record["columns"].items()}
            truth = Truth(None if truth is None else float(truth), str(record["reason"]), columns,
                          float(record["seconds"]))  # fmt: skip
            choice = Choice(place, str(record["why"]), np.nan if chance is None else float(chance))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{where} is no evaluation of this search: {error}; {REMEDY}") from None
        if record.get("by") != source.name:
            raise UsageError(
                f"{folder.path} holds evaluations by {record.get('by')}, not by {source.name}: give another folder "
                "with --run"
            )
        evaluated.append(Evaluated(place, choice, truth, size))
    return evaluated


def _rows(pool: Pool, done: Sequence[Evaluated], before: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of `Evaluations.table`, those ``before`` and one for each that was done since, which share beliefs."""
    if len(before) == len(done):
        return list(before)
    beliefs = beliefs_after(pool.candidates, [(one.place, _number(one.truth)) for one in done])
    of_proxies = zip(pool.names, beliefs.weights, beliefs.weight_deviations, strict=True)
    believed = {f"{kind}_{name}": x for name, *both in of_proxies for kind, x in zip(KINDS, both, strict=True)}
    rows = list(before)
    for number, one in enumerate(done[len(before) :], start=len(before) + 1):
        rows.append({
            "evaluation": number, "arch": pool.trials[one.place].arch, "place": one.place + 1, "why": one.choice.why,
            "chance": one.choice.chance, "truth": one.truth.value, "reason": one.truth.reason, **one.truth.columns,
            "seconds": one.truth.seconds, **believed,
        })  # fmt: skip
    return rows
