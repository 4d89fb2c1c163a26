"""Limits against enumeration, and by every searcher."""

from itertools import product
from random import Random

import pytest
import torch
from searches import DATA, needs

from nas.errors import UsageError
from nas.probe import Probe
from nas.runs.loop import run
from nas.scoring import limits
from nas.scoring.limits import Limited, parse_limit
from nas.scoring.measurer import build
from nas.scoring.objective import Objective
from nas.scoring.scorer import Scorer
from nas.searcher import SEARCHERS
from nas.space import SPACES, Task
from nas.testing import narrow_space


@pytest.mark.parametrize("exhaustive", [256, 0])
@pytest.mark.parametrize(
    "texts", [["params<=1500"], ["depth>=6"], ["params<=2000", "depth>=5"], ["flops<6e4", "params>=2000"], ["depth<=3"]]
)
def test_limits_are_exact(texts, exhaustive, monkeypatch):
    monkeypatch.setattr(limits, "MAX_EXHAUSTIVE_LEAVES", exhaustive)
    toy, task = SPACES["cells"](widths=(4, 8), repeats=1), Task(3, 3, 8)  # 27 cells
    bounds = [parse_limit(text) for text in texts]
    kept = [arch for arch in toy if all(bound.excess(cost(toy, arch, bound, task)) == 0 for bound in bounds)]
    assert 0 < len(kept) < 27
    limited = Limited(toy, bounds, task)
    assert list(limited) == kept
    assert len(limited) == len(kept)
    rng = Random(0)
    assert {limited.sample(rng) for _ in range(200)} == set(kept)
    for options in product([(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)], repeat=3):
        below = [arch for arch in kept if all(set(a) <= set(o) for a, o in zip(arch, options, strict=True))]
        assert limited.valid(options) == bool(below), options


def cost(toy, arch, bound, task):
    image = torch.zeros(1, task.channels, task.size, task.size)
    return float(bound.proxy(Probe(build(toy, arch, task), image, torch.zeros(1))))


def test_a_rare_architecture_is_still_found():
    toy = narrow_space()
    limited = Limited(toy, [parse_limit("params<=1400"), parse_limit("depth>=9")], Task(3, 3, 8))
    rng = Random(0)
    found = {limited.sample(rng) for _ in range(2)}
    assert all(limited.valid(arch) for arch in found)


def test_limits_in_a_space_where_few_leaves_are_valid():
    space, task = SPACES["darts"](width=4, depth=3), Task(3, 3, 8)
    limited, rng = Limited(space, [parse_limit("params<=4000")], task), Random(0)
    found = [limited.sample(rng)]
    for arch in found:
        assert space.valid(arch)
        assert sum(weights.numel() for weights in space.build(arch, task).parameters()) <= 4000
    assert limited.valid(limited.mutate(found[0], rng))


def test_limits_that_nothing_keeps_are_an_error():
    with pytest.raises(UsageError, match=r"was found that satisfies params<=10: the nearest, .* has params \d+"):
        Limited(narrow_space(), [parse_limit("params<=10")], Task(3, 3, 8))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("params", "not of the form"), ("params<=x", "not of the form"), ("parms<=1e6", "did you mean 'params'"),
        ("naswot>=5", "quantity in a constraint 'naswot'"), ("params==5", "not of the form"),
    ],
)  # fmt: skip
def test_what_is_no_limit(text, reason):
    with pytest.raises(UsageError, match=reason):
        parse_limit(text)


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_every_searcher_keeps_the_limits(searcher):
    needs(searcher)
    toy = narrow_space()
    limited = Limited(toy, [parse_limit("params<=1500")], Task(3, 3, 8))
    search = SEARCHERS[searcher].start(limited, Random(0), {})
    objective, many = Objective(Scorer(toy, DATA, device="cpu"), "params"), SEARCHERS[searcher].objectives == "many"
    trials = list(run(limited, search, objective, 70, many=many))
    leaves = [trial for trial in trials if trial.leaf]
    assert leaves
    assert all(trial.values["params"] <= 1500 for trial in leaves)
