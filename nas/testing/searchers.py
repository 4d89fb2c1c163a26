"""The checks of searchers; see `nas.testing`."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from nas import plugins
from nas.registry import options
from nas.searcher import SEARCHERS
from nas.space import Arch, Space, is_leaf
from nas.testing.toys import FencedSpace, ToySpace, additive, generators

BUDGET = 80
"""Evaluations of a searcher in its checks."""

SEEDS = 20
"""Over how many seeds a searcher's best is averaged."""


def history(
    name: str,
    seed: int = 0,
    objective: Callable[[Arch], float] = additive,
    budget: int = BUDGET,
    space: Space | None = None,
    rounds: list[list[Arch]] | None = None,
) -> list[tuple[Arch, float]]:
    """A searcher's proposals on the toy space with their scores, as far as the budget reaches; ``rounds`` receives each
    round as it was proposed, however long."""
    search = SEARCHERS[name].begin(space or ToySpace(), Random(seed), small_options(name))
    proposals = next(search, [])
    many = SEARCHERS[name].objectives == "many"
    trials: list[tuple[Arch, float]] = []
    with closing(search):
        while proposals and len(trials) < budget:
            if rounds is not None:
                rounds.append(list(proposals))
            now = [(arch, objective(arch)) for arch in proposals[: budget - len(trials)]]
            trials += now
            if len(trials) == budget:
                break
            try:
                proposals = search.send([(score, -abs(score)) if many else score for _, score in now])
            except StopIteration:
                break
    return trials


def small_options(name: str) -> dict[str, Any]:
    """The options that are whole numbers, limited to 10, so that a population leaves room in the budget."""
    return {option: min(value, 10) for option, value in options(SEARCHERS[name].function).items() if type(value) is int}


def searcher_keeps_the_budget(name: str) -> None:
    """A round has at most as many proposals as the space has options (all cuts of the supernet, more than the
    neighbours of an architecture), and the trials of a small budget are the first ones of a large budget."""
    most, whole = sum(map(len, ToySpace.slots)), history(name)
    for budget in (1, 7, BUDGET):
        rounds: list[list[Arch]] = []
        trials = history(name, budget=budget, rounds=rounds)
        assert trials, f"nothing is proposed with a budget of {budget}"
        assert trials == whole[: len(trials)], f"a budget of {budget} changes what is proposed"
        largest = max(map(len, rounds))
        assert largest <= most, f"{largest} architectures are proposed at once, where the space has {most} options"


def searcher_proposes_what_belongs_to_the_space(name: str) -> None:
    for space in (ToySpace(), FencedSpace()):
        for arch, _ in history(name, space=space):
            assert len(arch) == len(space.slots), f"{arch} has not as many slots as the space"
            for options_alive in arch:
                exist = options_alive and set(options_alive) <= set(range(4))
                assert exist, f"{arch} has options that the space does not have"
                assert options_alive == tuple(sorted(set(options_alive))), f"{arch} has options twice or out of order"
            assert SEARCHERS[name].supernet or is_leaf(arch), "only a strategy that declares it may propose open slots"
            assert space.valid(arch), f"{arch} is not valid in its space"


def searcher_depends_on_its_seed_alone(name: str) -> None:
    assert history(name) == history(name), "the same seed gives another history"
    if not SEARCHERS[name].supernet:
        assert history(name, seed=0) != history(name, seed=1), "the seed changes nothing"


def searcher_repeats_itself_in_another_process(name: str) -> None:
    """One that hashes texts in another way than this one."""
    module = SEARCHERS[name].function.__module__
    file = sys.modules[module].__file__
    if module.startswith("nas_plugin_"):
        load = f"plugins.load([{file!r}])"
    else:
        load = f"importlib.import_module({module!r})"
    code = f"import importlib, json; from nas import plugins, testing; {load}; "
    code += f"print(json.dumps(testing.history({name!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        cwd=Path(plugins.__file__).parent.parent, env=os.environ | {"PYTHONHASHSEED": _other_hash_seed()},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    same = json.loads(done.stdout) == json.loads(json.dumps(history(name)))
    assert same, "another process, which hashes texts otherwise, gives another history"


def _other_hash_seed() -> str:
    return "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"


def searcher_continues_identically_from_any_truncation(name: str) -> None:
    """A run that is broken off anywhere leaves nothing behind that changes the next one, which replays it."""
    whole = history(name)
    for cut in range(1, len(whole)):
        history(name, budget=cut)
        assert history(name) == whole, f"after a run that ended with trial {cut} the history is another one"


def searcher_survives_ties_and_failures(name: str) -> None:
    full = len(history(name))
    outcomes: dict[str, Callable[[Arch], float]] = {
        "all equal": lambda arch: 0.0,
        "all failed": lambda arch: -math.inf,
        "every other failed": lambda arch: additive(arch) if sum(map(sum, arch)) % 2 else -math.inf,
        "huge": lambda arch: additive(arch) * 1e306,
    }
    for label, objective in outcomes.items():
        assert len(history(name, objective=objective)) == full, f"scores {label}: it stopped early"


def searcher_beats_random_sampling(name: str) -> None:
    """The mean of the best over 20 seeds, on an additive objective, against that of as many random draws.

    The latter is computed, not drawn: from the distribution of the sum over the slots, and of its maximum. A strategy
    that uses the scores (its proposals change when their signs are reversed) is better by more than twice the standard
    error of that mean; any other is no worse by more than that.
    """
    heeds = [a for a, _ in history(name)] != [a for a, _ in history(name, objective=lambda arch: -additive(arch))]
    best = [max((s for a, s in history(name, seed) if is_leaf(a)), default=-math.inf) for seed in range(SEEDS)]
    mean = sum(best) / SEEDS
    expected, deviation = best_of_random(BUDGET)
    margin = 2 * deviation / math.sqrt(SEEDS)
    least = expected + margin if heeds else expected - margin
    assert mean >= least, f"its best is {mean:.2f} on average, that of random draws {expected:.2f} ± {margin:.2f}"


def best_of_random(draws: int) -> tuple[float, float]:
    """Mean and standard deviation of the largest `additive` among ``draws`` random leaves of `ToySpace`."""
    chances = {0.0: 1.0}
    for slot in range(len(ToySpace.slots)):
        longer: dict[float, float] = defaultdict(float)
        for total, chance in chances.items():
            for option in range(4):
                longer[total - abs(option - slot % 4)] += chance / 4
        chances = longer
    values = sorted(chances)
    below = [min(share, 1.0) ** draws for share in accumulate(chances[value] for value in values)]
    shares = [high - low for low, high in zip([0.0, *below], below, strict=False)]
    mean = sum(value * share for value, share in zip(values, shares, strict=True))
    return mean, math.sqrt(sum((value - mean) ** 2 * share for value, share in zip(values, shares, strict=True)))


def searcher_changes_nothing(name: str) -> None:
    """It draws from its own generator, and leaves those of the process alone."""
    for seed in (1, 2):
        with generators(seed) as states:
            before = states()
            history(name)
            moved = [whose for whose, state in states().items() if state != before[whose]]
        assert not moved, f"it moves or sets {' and '.join(moved)}"


SEARCHER_CHECKS: Sequence[Callable[[str], None]] = (
    searcher_keeps_the_budget,
    searcher_proposes_what_belongs_to_the_space,
    searcher_depends_on_its_seed_alone,
    searcher_repeats_itself_in_another_process,
    searcher_continues_identically_from_any_truncation,
    searcher_survives_ties_and_failures,
    searcher_beats_random_sampling,
    searcher_changes_nothing,
)
