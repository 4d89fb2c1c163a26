"""Which architectures of a search to evaluate for the truth, one after the other, each choice learning from those
before."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from nas.statistics.beliefs import Beliefs, Candidates, believe, normal_scores
from nas.statistics.ranks import Vector

FIRST = "the best of the ranking"
EXPECTED = "expected to be the best of those left"
UNSURE = "may be better than expected"
RANKED = 2
"""How many come from the ranking before the beliefs have a say."""
DIGITS = 9
"""Of what choices are compared by, against the largest: what differs less comes of the order of a sum."""


class Choice(NamedTuple):
    """An architecture to evaluate next.

    Attributes:
        place: of the candidate.
        why: in words.
        chance: the probability that it is better than all that were evaluated; of the first two nan.
    """

    place: int
    why: str
    chance: float


Evaluation = Generator[list[Choice], list[float], None]
"""Yields choices, receives one truth for each (larger is better; a failure is minus infinity)."""


def evaluation(candidates: Candidates, batch: int = 1, known: Sequence[tuple[int, float]] = ()) -> Evaluation:
    """Bayesian optimisation by expected improvement on `nas.statistics.beliefs.believe`.

    It begins with the best two of the ranking: a single result tells nothing of the order. Of several at a time each is
    chosen as if those before had come out as expected. What failed is not chosen again.

    Args:
        batch: how many are evaluated at a time.
        known: places and truths that are known from the start.
    """
    results = dict(known)
    while len(results) < len(candidates.ranking):
        places = [place for place, truth in results.items() if isfinite(truth)]
        truths = normal_scores(np.array([results[place] for place in places]))
        left = np.array([place not in results for place in range(len(candidates.ranking))])
        choices: list[Choice] = []
        for _ in range(min(batch, int(left.sum()))):
            choices.append(_best(candidates, places, truths, left))
            place = choices[-1].place
            if places:
                truths = np.append(truths, believe(candidates, places, truths).mean[place])
                places = [*places, place]
            left[place] = False
        results |= dict(zip([choice.place for choice in choices], (yield choices), strict=True))


def _best(candidates: Candidates, places: Sequence[int], truths: Vector, left: Vector) -> Choice:
    """The candidate, among those left, with the largest expected improvement."""
    if len(places) < RANKED:
        return Choice(int(np.argmax(np.where(left, candidates.ranking, -np.inf))), FIRST, np.nan)
    beliefs = believe(candidates, places, truths)
    distance = (beliefs.mean - beliefs.mean[list(places)].max()) / beliefs.deviation
    density = np.exp(-(distance**2) / 2) / np.sqrt(2 * np.pi)
    improvement = beliefs.deviation * (distance * ndtr(distance) + density)
    gains, expected = np.where(left, improvement, -np.inf), int(np.argmax(np.where(left, beliefs.mean, -np.inf)))
    largest = gains.max()  # zero where all that are left are believed to be far worse
    place = int(np.argmax(np.round(gains / largest, DIGITS))) if largest > 0 else expected
    why = EXPECTED if place == expected else UNSURE
    return Choice(place, why, float(ndtr(distance[place])))


def beliefs_after(candidates: Candidates, results: Sequence[tuple[int, float]]) -> Beliefs:
    """What is believed when these places and truths are known; failures tell nothing."""
    finite = [(place, truth) for place, truth in results if isfinite(truth)]
    truths = normal_scores(np.array([truth for _, truth in finite]))
    return believe(candidates, [place for place, _ in finite], truths)
