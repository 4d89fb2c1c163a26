"""The budget loop: a searcher proposes, an objective answers, a trial is written down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import Any, NamedTuple

from nas.errors import UsageError
from nas.runs.ancestry import Ancestry
from nas.scoring.objective import Objective, Objectives
from nas.searcher import AnySearch, told
from nas.space import Arch, Space, is_leaf


class Trial(NamedTuple):
    """One evaluation of a search.

    Attributes:
        number: from 0 on, in the order of the proposals.
        arch: in the space's notation.
        score: larger is better; None for a failure. Ranks within a batch compare only with the same batch.
        values: each proxy's own number; None where it failed.
        status: ``ok``, or the status of the first proxy that failed.
        leaf: a single network, not an open architecture.
        cached: known before, as the same or an isomorphic architecture.
        seconds: the time of scoring; 0 when cached.
        parents: the numbers of the trials that it was made from; none for a new architecture.
        objectives: where there are several, the score by each, larger is better; none for a failure.
        params, flops: of a leaf's network; None where it does not run.
    """

    number: int
    arch: str
    score: float | None
    values: dict[str, float | None]
    status: str
    reason: str
    leaf: bool
    cached: bool
    seconds: float
    parents: tuple[int, ...] = ()
    objectives: tuple[float, ...] = ()
    params: int | None = None
    flops: int | None = None


def run(
    space: Space,
    started: tuple[AnySearch, list[Arch]],
    objective: Objective | Objectives,
    budget: int,
    ancestry: Ancestry | None = None,
    *,
    many: bool = False,
    called: str = "",
) -> Iterator[Trial]:
    """Yields each trial as soon as it is scored, until ``budget`` of them are made or the searcher ends.

    ``started`` is what `nas.searcher.Searcher.start` returns: a search and its first proposals; ``ancestry`` notes the
    steps of the space that the search was started on; ``many``: whether the search receives tuples; ``called``: its
    name. A batch whose members are ranked against each other is scored whole or not at all, so a budget may end early.
    An architecture that breaks the space's limits, or is not part of it, is refused with `UsageError`: that is an error
    of the searcher.
    """
    number = 0
    ancestry = ancestry or Ancestry()
    search, proposals = started
    while proposals:
        if objective.ranks == "batch" and len(proposals) > budget - number:
            return
        proposals = proposals[: budget - number]
        for arch in proposals:
            if not space.valid(arch):
                raise UsageError(f"the searcher {called} proposed {space.text(arch)}, which is not valid in its space")
        scores: list[Any] = []
        for arch, outcome in zip(proposals, objective(proposals), strict=True):
            scores.append((outcome.vector or (outcome.score,)) if many else outcome.score)
            yield Trial(
                number, space.text(arch), None if outcome.score == -inf else outcome.score, outcome.values,
                outcome.status, outcome.reason, is_leaf(arch), outcome.cached, outcome.seconds,
                ancestry.proposed(arch, number), outcome.vector if outcome.status == "ok" else (),
            )  # fmt: skip
            number += 1
        if number >= budget:
            return
        proposals = told(search, scores)


def best(trials: Iterable[Trial]) -> Trial | None:
    """The leaf with the largest score, the first of equals; None where no leaf has a score."""
    scored = [trial for trial in trials if trial.leaf and trial.score is not None]
    return max(scored, key=lambda trial: trial.score or 0.0, default=None)
