"""Optuna's samplers (Akiba et al. 2019, arXiv:1907.10902) as a searcher."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from math import isfinite
from random import Random
from typing import Annotated, Any, Literal

from nas.errors import missing_extra
from nas.registry import Range
from nas.searcher import SearchMany, searcher
from nas.space import Arch, Space

LARGEST = 1e150
"""Scores beyond this are taken as this: samplers square them."""

Sampler = Literal["tpe", "random", "nsgaii", "nsgaiii", "gp"]
"""Those that take choices without an order."""


@searcher("optuna", objectives="many", paper="Akiba et al. 2019, arXiv:1907.10902")
def optuna_sampler(
    space: Space,
    rng: Random,
    *,
    sampler: Sampler = "tpe",
    population: Annotated[int, Range(2)] = 50,
    batch: Annotated[int, Range(1)] = 1,
) -> SearchMany:
    """A sampler of Optuna: tpe, random, nsgaii, nsgaiii or gp, for one objective or several.

    Each slot is a categorical parameter. What the sampler asks for outside the space or its limits is repaired
    (`nas.space.Space.repaired`) before it is scored; a failure is told to it as a failed trial. The first architecture
    is a random one, since only its scores say how many objectives there are.

    Args:
        population: how many architectures live in nsgaii and nsgaiii.
        batch: how many are proposed before the first of them is scored.
    """
    try:
        optuna = import_module("optuna")
    except Exception as error:  # missing, or whatever a broken installation raises
        raise missing_extra("the searcher optuna", "optuna", "optuna", error) from error
    first = space.sample(rng)
    (scores,) = yield [first]
    slots = {
        f"slot {number}": optuna.distributions.CategoricalDistribution(range(len(names)))
        for number, names in enumerate(space.slots)
    }
    with _quiet(optuna):
        study = optuna.create_study(
            directions=["maximize"] * len(scores), sampler=_made(optuna, sampler, rng.randrange(2**31), population)
        )
    known = {name: option for name, (option,) in zip(slots, first, strict=True)}
    study.add_trial(optuna.trial.create_trial(params=known, distributions=slots, **_outcome(optuna, scores)))
    while True:
        with _quiet(optuna):
            asked = [study.ask(slots) for _ in range(batch)]
        archs: list[Arch] = [space.repaired(tuple((trial.params[name],) for name in slots)) for trial in asked]
        for trial, scores in zip(asked, (yield archs), strict=True):
            study.tell(trial, **_outcome(optuna, scores))


def _outcome(optuna: Any, scores: tuple[float, ...]) -> dict[str, Any]:
    if not all(map(isfinite, scores)):
        return {"state": optuna.trial.TrialState.FAIL}
    return {"values": [min(max(score, -LARGEST), LARGEST) for score in scores]}


def _made(optuna: Any, name: Sampler, seed: int, population: int) -> Any:
    samplers = optuna.samplers
    match name:
        case "tpe":
            return samplers.TPESampler(seed=seed)
        case "random":
            return samplers.RandomSampler(seed=seed)
        case "nsgaii":
            return samplers.NSGAIISampler(seed=seed, population_size=population)
        case "nsgaiii":
            return samplers.NSGAIIISampler(seed=seed, population_size=population)
        case "gp":
            return samplers.GPSampler(seed=seed, deterministic_objective=True)


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """A context without Optuna's notes on new studies and on what it calls experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
