"""Registry, scorer, objective, limits, the budget loop and the run folder, each with ten-line fakes."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise, product
from random import Random
from typing import Annotated

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

import nas
from nas import registry
from nas.calls.settings import checked_settings
from nas.data.minibatch import minibatch
from nas.data.table import Table
from nas.errors import UsageError
from nas.probe import Probe, measure
from nas.proxy import PROXIES, Proxy, ProxyFailure, proxy
from nas.registry import Range, Registry, checked_options
from nas.runs.folder import RunFolder
from nas.runs.loop import best, run
from nas.scoring import limits
from nas.scoring.limits import Limited, parse_limit
from nas.scoring.measurer import Measurer, build
from nas.scoring.objective import Objective, quantile
from nas.scoring.scorer import Scorer
from nas.searcher import SEARCHERS
from nas.space import SPACES, Space, Task, space
from nas.testing import ToySpace, narrow_space, networks

DATA = minibatch("synthetic:classes=3,size=8", 12)


# Registry


def test_registry_matches_names_loosely_and_proposes_the_nearest():
    registry = Registry("proxy")
    registry.add("gradalign_i", 1, "a.py")
    assert registry["GradAlign-I"] == 1
    with pytest.raises(
        UsageError, match="unknown proxy 'gradaling_i': known are gradalign_i; did you mean 'gradalign_i'"
    ):
        registry["gradaling_i"]
    with pytest.raises(UsageError, match=r"two proxys are called 'gradalign_i': one in a\.py, one in b\.py"):
        registry.add("GRADALIGN_I", 2, "b.py")


def plugin(probe, *, images: int = 32, eps: float = 1e-3, loss: bool = False, widths: tuple[int, ...] = (16, 32)): ...


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ({"images": 8}, {"images": 8}),
        ({"images": "8"}, {"images": 8}),
        ({"eps": 1}, {"eps": 1.0}),
        ({"eps": "1e-2"}, {"eps": 0.01}),
        ({"loss": True}, {"loss": True}),
        ({"widths": "4,8"}, {"widths": (4, 8)}),
        ({"widths": [4, 8]}, {"widths": (4, 8)}),
    ],
)
def test_options_take_the_type_of_their_default(given, accepted):
    assert checked_options("plugin", plugin, given) == accepted


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"image": 8}, "did you mean 'images'"),
        ({"images": 8.5}, "takes a whole number, not 8.5"),
        ({"images": "many"}, "takes a whole number, not 'many'"),
        ({"images": True}, "takes a whole number, not True"),
        ({"loss": 1}, "takes true or false, not 1"),
        ({"widths": {}}, "takes a list like 16,32, not {}"),
    ],
)
def test_options_of_another_type_are_refused(given, reason):
    with pytest.raises(UsageError, match=reason):
        checked_options("plugin", plugin, given)


def ranged(
    *,
    images: Annotated[int, Range(1, 48)] = 16,
    step: Annotated[float, Range(above=0)] = 0.1,
    widths: Annotated[tuple[int, ...], Range(1)] = (4, 8),
): ...


def test_options_within_their_range():
    given = {"images": 48, "step": "1e-300", "widths": "1,2"}
    assert checked_options("ranged", ranged, given) == {"images": 48, "step": 1e-300, "widths": (1, 2)}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"images": 0}, r"^ranged\.images is at least 1 and at most 48, not 0$"),
        ({"images": "49"}, r"^ranged\.images is at least 1 and at most 48, not 49$"),
        ({"step": 0}, r"^ranged\.step is more than 0, not 0\.0$"),
        ({"step": "nan"}, r"^ranged\.step is more than 0, not nan$"),
        ({"step": "inf"}, r"^ranged\.step is more than 0, not inf$"),
        ({"widths": [4, 0]}, r"^ranged\.widths is at least 1, not 0$"),
    ],
)
def test_options_out_of_their_range_are_refused(given, reason):
    with pytest.raises(UsageError, match=reason):
        checked_options("ranged", ranged, given)


BOUNDS = {  # an allowed value, and the next that is refused
    "gradalign_ii.eps": (0, -1e-9),
    "ntk.images": (2, 1),
    "swap.images": (48, 49),
    "vkdnw.images": (1, 0),
    "zen.images": (1, 0),
    "zen.step": (1e-9, 0),
    "evolution.batch": (1, 0),
    "evolution.population": (1, 0),
    "evolution.tournament": (1, 0),
    "random_search.batch": (1, 0),
}


def test_every_number_of_a_proxy_or_searcher_has_its_bounds():
    functions = {name: PROXIES[name].function for name in PROXIES if not PROXIES[name].parts}
    functions |= {name: SEARCHERS[name].function for name in SEARCHERS}
    numbers = set()
    for name, function in functions.items():
        defaults = registry.options(function)
        assert checked_options(name, function, defaults) == defaults
        numbers |= {f"{name}.{option}" for option, value in defaults.items() if type(value) in (int, float)}
    assert numbers == set(BOUNDS)


@pytest.mark.parametrize("label", BOUNDS)
def test_bounds_of_options(label):
    owner, option = label.split(".")
    allowed, refused = BOUNDS[label]
    checked_settings({owner: {option: allowed}})
    with pytest.raises(UsageError, match=rf"^{label} is (at least|more than) .*, not {refused}"):
        checked_settings({owner: {option: refused}})


def test_choices_come_from_the_annotation():
    with pytest.raises(UsageError, match=r"unknown value for gradalign_i\.direction 'sing': .*did you mean 'sign'"):
        checked_settings({"gradalign_i": {"direction": "sing"}})


# Probe


def test_one_pass_serves_all_who_ask_together(monkeypatch):
    passes = []
    original = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **kwargs: (passes.append(1), original(*args, **kwargs)))
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    names = ("gradalign_i", "gradalign_ii", "gradsign")
    values = measure(Probe(net, DATA.images, DATA.labels), {name: PROXIES[name] for name in names})
    assert len(passes) == 1
    for name in names:
        assert float(PROXIES[name](Probe(net, DATA.images, DATA.labels))) == float(values[name][0])
    assert len(passes) == 4


def test_a_function_that_two_hand_over_is_called_once():
    seen = []

    def weights(block):
        seen.append(block)
        return block.weight.numel()

    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    proxies = {"sum": lambda probe: sum(probe.map_blocks(weights)), "max": lambda probe: max(probe.map_blocks(weights))}
    found = measure(Probe(net, DATA.images, DATA.labels), proxies)
    assert [value for value, _ in found.values()] == [576, 576]
    assert len(seen) == 1


def test_an_error_belongs_to_the_proxy_that_made_it():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    wrong = lambda probe: sum(probe.map_blocks(lambda block: 1 / 0))  # noqa: E731
    right = lambda probe: sum(probe.map_blocks(lambda block: block.weight.numel()))  # noqa: E731
    no_relu = lambda probe: sum(probe.map_relus(len))  # noqa: E731
    found = measure(Probe(net, DATA.images, DATA.labels), {"wrong": wrong, "right": right, "no relu": no_relu})
    assert isinstance(found["wrong"][0], ZeroDivisionError)
    assert found["right"][0] == 576
    assert "no ReLU" in str(found["no relu"][0])


def test_a_proxy_may_ask_again_when_it_knows_more():
    def twice(probe):
        largest = max(probe.map_blocks(lambda block: float(block.gradients.abs().max())))
        return sum(probe.map_blocks(lambda block: int((block.gradients.abs() == largest).sum())))

    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    assert measure(Probe(net, DATA.images, DATA.labels), {"twice": twice})["twice"][0] == 1


# Scorer


def test_one_network_serves_all_initialisations(monkeypatch):
    """Each look has the weights that it would have alone, whatever was drawn before."""

    def size(probe):
        return float(sum(parameter.detach().double().abs().sum() for parameter in probe.net.parameters()))

    toy = narrow_space()
    arch, measurer = toy.sample(Random(0)), Measurer(toy, DATA, device="cpu")
    sizes = [Proxy(how, size, initialisation=how) for how in ("gaussian", "default", "kaiming")]
    alone = {proxy.name: measurer(arch, [proxy])[proxy.name].value for proxy in sizes}
    built = []
    original = type(toy).build
    monkeypatch.setattr(type(toy), "build", lambda *args: (built.append(args), original(*args))[1])
    assert {name: score.value for name, score in measurer(arch, sizes).items()} == alone
    assert len(set(alone.values())) == 3
    assert len(built) == 1


def test_weights_that_cannot_be_drawn_again_fail_alone(monkeypatch):
    toy = narrow_space()
    monkeypatch.setattr("nas.scoring.measurer.initialise", lambda net, how, seed: 1 / 0)
    looks = [Proxy(how, lambda probe: 1.0, initialisation=how) for how in ("gaussian", "default", "kaiming")]
    found = Measurer(toy, DATA, device="cpu")(toy.sample(Random(0)), looks)
    assert {name: score.status for name, score in found.items()} == {
        "gaussian": "failed", "default": "ok", "kaiming": "failed",
    }  # fmt: skip
    assert found["kaiming"].reason == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda: float("nan"), "returned nan"),
        (lambda: torch.tensor(float("inf")), "returned inf"),
        (lambda: 1j, "complex instead of a number"),
        (lambda: torch.tensor([1j]), "complex instead of a number"),
        (lambda: torch.ones(2, 3), r"tensor of shape \[2, 3\]"),
        (lambda: None, "NoneType instead of a number"),
        (lambda: "7", "str instead of a number"),
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: (_ for _ in ()).throw(ProxyFailure("as it says")), "^as it says$"),
    ],
)
def test_what_is_no_number_is_a_failure_with_its_reason(answer, reason):
    odd = Proxy("odd", lambda probe: answer())
    toy = narrow_space()
    (scores,) = Scorer(toy, DATA, device="cpu")([toy.sample(Random(0))], [odd])
    assert scores["odd"].value is None
    assert scores["odd"].status == "failed"
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(scores["odd"].reason)


def test_isomorphic_architectures_share_one_score():
    calls = []
    counting = Proxy("counting", lambda probe: calls.append(1) or 1.0)
    toy = narrow_space()
    scorer = Scorer(toy, DATA, device="cpu")
    twins = [toy.parse(f"nats:3,0,0,{c},1,0") for c in (0, 1, 4)] + [toy.parse("nats:0,3,0,0,0,1")]
    alike = [arch for arch in twins if toy.canonical(arch) == toy.canonical(twins[0])]
    assert len(alike) == 2
    scorer(alike, [counting])
    assert len(calls) == 1


def test_options_tell_scores_apart():
    """Two settings of one proxy on one scorer, in either order; an option at its default is none."""
    toy = narrow_space()
    arch, default = toy.parse(networks()["ordinary"]), PROXIES["swap"]
    few, again = default.with_options({"images": 4}), default.with_options({"images": 16})
    settings = {"default": default, "few": few, "again": again}
    alone = {name: Scorer(toy, DATA, device="cpu")([arch], [p])[0]["swap"].value for name, p in settings.items()}
    assert alone["default"] == alone["again"] != alone["few"]
    scorer = Scorer(toy, DATA, device="cpu")
    for name in ("default", "few"):
        assert not scorer.knows(arch, [settings[name]])
        assert scorer([arch], [settings[name]])[0]["swap"].value == alone[name]
    assert scorer.knows(arch, settings.values())
    assert len(scorer.known) == 2
    with pytest.raises(ValueError, match=r"take a call each: swap\(images=16\), swap\(images=4\)"):
        scorer([arch], [default, few])


def test_options_are_added_to_those_set_before():
    both = PROXIES["zen"].with_options({"images": 4}).with_options({"step": 0.02})
    assert both.setting == PROXIES["zen"].with_options({"images": 4, "step": 0.02}).setting
    assert both.setting != PROXIES["zen"].with_options({"step": 0.02}).setting


def test_a_run_with_options_continues_without_scoring_again(tmp_path, monkeypatch):
    options = SEARCH["settings"] | {"swap": {"images": 4}}
    settings = SEARCH | {"proxy": "swap+depth", "budget": 8, "settings": options, "run_folder": tmp_path}
    whole = nas.search(**settings)
    monkeypatch.setattr(Measurer, "_visit", lambda self, *args: pytest.fail("scored again"))
    pd.testing.assert_frame_equal(nas.search(**settings), whole)


def first_weight(probe):
    return next(probe.net.parameters()).flatten()[0].item()


def test_a_score_is_the_mean_over_the_declared_initialisations():
    seen = []
    mean = Proxy("mean", lambda probe: seen.append(first_weight(probe)) or seen[-1], initialisations=3)
    toy = narrow_space()
    (scores,) = Scorer(toy, DATA, device="cpu")([toy.sample(Random(0))], [mean])
    assert len(set(seen)) == 3
    assert scores["mean"].value == pytest.approx(np.mean(seen))


def test_a_space_without_a_thin_copy_is_a_stated_failure():
    class Flat(Space):
        slots = (("a", "b"),)

        def build(self, arch, task):
            return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))

    (scores,) = Scorer(Flat(), DATA, device="cpu")([((0,),)], [PROXIES["linear_regions"]])
    assert "no thin copy" in scores["linear_regions"].reason


def test_unknown_device():
    with pytest.raises(UsageError, match="device 'gpu' cannot be used here"):
        Scorer(ToySpace(), DATA, device="gpu")


# Objective


def test_quantile_is_strictly_increasing_and_right_at_the_members():
    reference = sorted([3.0, 1.0, 2.0, 2.0, 10.0])
    grid = sorted([*np.linspace(-5, 30, 200).tolist(), *reference])
    found = [quantile(value, reference) for value in dict.fromkeys(grid)]
    assert all(0 < q < 1 for q in found)
    assert all(low < high for low, high in pairwise(found))
    assert quantile(1.0, reference) == pytest.approx(0.1)
    assert quantile(2.0, reference) == pytest.approx(0.4)
    assert quantile(10.0, reference) == pytest.approx(0.9)
    assert quantile(-math.inf, reference) < quantile(1.0, reference, failed=2)
    assert 0 < quantile(-1e12, reference) < quantile(-1e11, reference)
    assert quantile(1e11, reference) < quantile(1e12, reference) < 1


def test_a_combination_is_monotone_in_each_part_and_does_not_depend_on_the_batch():
    toy = narrow_space()
    archs = [toy.sample(Random(s)) for s in range(6)]
    objective = Objective(Scorer(toy, DATA, device="cpu"), "params+depth")
    together = [outcome.score for outcome in objective(archs)]
    alone = [next(iter(Objective(Scorer(toy, DATA, device="cpu"), "params+depth")([a]))).score for a in archs[:2]]
    assert together[:2] == alone
    values = [outcome.values for outcome in objective(archs)]
    for i, j in product(range(6), repeat=2):
        if values[i]["params"] > values[j]["params"] and values[i]["depth"] >= values[j]["depth"]:
            assert together[i] > together[j]


def test_ranks_within_the_batch_are_those_of_te_nas():
    toy = narrow_space()
    archs = [toy.sample(Random(s)) for s in range(5)]
    objective = Objective(Scorer(toy, DATA, device="cpu"), "te_nas", ranks="batch")
    outcomes = list(objective(archs))
    ntk, regions = ([o.values[name] for o in outcomes] for name in ("ntk", "linear_regions"))
    if all(o.status == "ok" for o in outcomes):
        expected = [sum(a >= b for b in regions) + sum(c <= d for d in ntk) for a, c in zip(regions, ntk, strict=True)]
        assert np.argsort([o.score for o in outcomes]).tolist() == np.argsort(expected).tolist()


def test_smaller_is_better_is_turned_round():
    Small = Proxy("small", lambda probe: 2.0, larger_is_better=False)  # noqa: N806
    toy = narrow_space()
    objective = Objective(Scorer(toy, DATA, device="cpu"), "params")
    objective.proxies = [Small]
    (outcome,) = objective([toy.sample(Random(0))])
    assert (outcome.score, outcome.values) == (-2.0, {"small": 2.0})


# Limits


@pytest.mark.parametrize("exhaustive", [256, 0])
@pytest.mark.parametrize(
    "texts", [["params<=1500"], ["depth>=6"], ["params<=2000", "depth>=5"], ["flops<6e4", "params>=2000"], ["depth<=3"]]
)
def test_limits_are_exact(texts, exhaustive, monkeypatch):
    monkeypatch.setattr(limits, "EXHAUSTIVE", exhaustive)
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
    found = {limited.sample(rng) for _ in range(5)}
    assert all(limited.valid(arch) for arch in found)


def test_limits_in_a_space_where_few_leaves_are_valid():
    space, task = SPACES["darts"](width=4, depth=3), Task(3, 3, 8)
    limited, rng = Limited(space, [parse_limit("params<=4000")], task), Random(0)
    found = [limited.sample(rng) for _ in range(2)]
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
    toy = narrow_space()
    limited = Limited(toy, [parse_limit("params<=1500")], Task(3, 3, 8))
    search = SEARCHERS[searcher].start(limited, Random(0), {})
    trials = list(run(limited, search, Objective(Scorer(toy, DATA, device="cpu"), "params"), 70))
    leaves = [trial for trial in trials if trial.leaf]
    assert leaves
    assert all(trial.values["params"] <= 1500 for trial in leaves)


# The loop and its folder


def test_pruning_takes_the_rounds_of_the_paper():
    toy = narrow_space()
    trials = list(
        run(
            toy,
            SEARCHERS["pruning"].start(toy, Random(0), {}),
            Objective(Scorer(toy, DATA, device="cpu"), "params"),
            100,
        )
    )
    rounds = [sum(len(slot) for slot in toy.parse(trial.arch)) for trial in trials]
    assert rounds == [23] * 24 + [17] * 18 + [11] * 12 + [6]  # options left: all but one of 24, of 18, of 12; a path
    assert [trial.leaf for trial in trials] == [False] * 54 + [True]


def test_te_nas_prunes_by_ranks_within_the_round():
    """The cut that each slot keeps is the one with the largest sum of its two ranks among all cuts of the round."""
    settings = SEARCH["settings"] | {"ntk": {"images": 6}}
    trials = nas.search(**SEARCH | {"proxy": "te_nas", "searcher": "pruning", "budget": 60, "settings": settings})
    assert len(trials) == 55
    toy, rounds = narrow_space(), trials.iloc[:24]
    ranks = rounds["linear_regions"].rank() + (-rounds["ntk"]).rank()
    assert rounds["status"].eq("ok").all()
    assert rounds["score"].tolist() == pytest.approx((ranks / 24).tolist())
    kept = toy.parse(trials["arch"].iloc[24])  # a cut of what the first round left
    for slot in range(6):
        of_slot = [(ranks.iloc[4 * slot + option], option + 1) for option in range(4)]
        assert max(of_slot, key=lambda pair: pair[0])[1] not in kept[slot]


def test_a_failure_ranks_last_and_is_never_best():
    toy = narrow_space()
    flaky = Proxy("flaky", lambda probe: 1.0 if probe.params % 3 else 1 / 0)
    objective = Objective(Scorer(toy, DATA, device="cpu"), "params")
    objective.proxies = [flaky]
    trials = list(run(toy, SEARCHERS["random_search"].start(toy, Random(0), {}), objective, 20))
    failed = [trial for trial in trials if trial.status == "failed"]
    assert failed
    assert all(trial.score is None and "ZeroDivisionError" in trial.reason for trial in failed)
    assert best(trials).score == 1.0


SEARCH = {
    "space": "nasbench201", "proxy": "gradsign", "searcher": "evolution", "budget": 40, "batch_size": 12,
    "data": "synthetic:classes=3,size=8",
    "settings": {"nasbench201": {"widths": [4, 8], "repeats": 1}, "evolution": {"population": 10}},
}  # fmt: skip


def recorded(folder):
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    nas.search(**SEARCH, run_folder=folder)
    return folder


def test_a_run_folder_holds_what_it_promises(undisturbed):
    trials = recorded(undisturbed)
    assert [trial["number"] for trial in trials] == list(range(40))
    assert set(trials[0]) == {"number", "arch", "score", "values", "status", "reason", "leaf", "cached", "parents"}
    found = yaml.safe_load((undisturbed / "best.yaml").read_text())
    assert found["score"] == max(trial["score"] for trial in trials)
    assert {"arch", "score", "values", "params", "flops"} <= found.keys()
    assert yaml.safe_load((undisturbed / "config.yaml").read_text())["proxy"] == "gradsign"


@pytest.mark.parametrize("kept", [0, 1, 17, 39, 40])
def test_a_truncated_run_continues_without_scoring_again(undisturbed, tmp_path, kept, monkeypatch):
    lines = (undisturbed / "trials.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_text("".join(lines[:kept]) + lines[-1][:25] * (kept < 40))  # the last is torn
    (tmp_path / "config.yaml").write_text((undisturbed / "config.yaml").read_text())
    visits = []
    original = Measurer._visit
    monkeypatch.setattr(Measurer, "_visit", lambda self, *args: visits.append(args[0]) or original(self, *args))
    nas.search(**SEARCH, run_folder=tmp_path)
    assert recorded(tmp_path) == recorded(undisturbed)
    assert len(visits) == sum(not trial["cached"] for trial in recorded(undisturbed)[kept:])


def test_a_larger_budget_continues_a_run(undisturbed, tmp_path):
    nas.search(**SEARCH | {"budget": 15}, run_folder=tmp_path)
    nas.search(**SEARCH, run_folder=tmp_path)
    assert recorded(tmp_path) == recorded(undisturbed)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="holds 40 trials already"):
        nas.search(**SEARCH | {"budget": 15}, run_folder=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_combination_continues_without_scoring_its_reference_again(tmp_path, monkeypatch):
    settings = SEARCH | {"proxy": "gradsign+depth", "budget": 12}
    nas.search(**settings, run_folder=tmp_path)
    before = (tmp_path / "reference.jsonl").read_text()
    monkeypatch.setattr(Measurer, "_visit", lambda self, *args: pytest.fail("scored again"))
    nas.search(**settings, run_folder=tmp_path)
    assert (tmp_path / "reference.jsonl").read_text() == before


def test_killed_at_random_moments_it_ends_with_the_identical_history(undisturbed, tmp_path):
    """SIGKILL, three times at random moments, then to the end; fifty times over is in benchmarks/faults.py."""
    code = f"import nas, sys; nas.search(**{SEARCH!r}, run_folder=sys.argv[1])"
    rng = Random(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE)
        before = len(recorded(tmp_path)) if (tmp_path / "trials.jsonl").exists() else 0
        while process.poll() is None and (
            not (tmp_path / "trials.jsonl").exists() or (tmp_path / "trials.jsonl").read_bytes().count(b"\n") <= before
        ):
            time.sleep(0.001)
        time.sleep(rng.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    nas.search(**SEARCH, run_folder=tmp_path)
    assert recorded(tmp_path) == recorded(undisturbed)


def test_other_images_under_the_same_name_are_refused(tmp_path, images):
    settings = SEARCH | {"data": str(images), "budget": 3}
    nas.search(**settings, run_folder=tmp_path / "run")
    rng = np.random.default_rng(1)
    np.savez(images, images=rng.integers(0, 256, (90, 8, 8, 3), dtype=np.uint8), labels=np.arange(90) % 3)
    with pytest.raises(UsageError, match="holds a run with minibatch"):
        nas.search(**settings | {"budget": 6}, run_folder=tmp_path / "run")


def test_pruning_needs_the_budget_to_reach_a_network(tmp_path):
    settings = SEARCH | {"proxy": "gradsign+depth", "searcher": "pruning"}
    with pytest.raises(UsageError, match=r"takes 55 evaluations .* more than the budget of 54: give a larger --budget"):
        nas.search(**settings | {"budget": 54}, run_folder=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    nas.search(**settings | {"budget": 55}, run_folder=tmp_path / "a")
    assert len(recorded(tmp_path / "a")) == 55


def test_a_continued_run_returns_what_was_recorded(undisturbed, tmp_path):
    whole = nas.search(**SEARCH, run_folder=tmp_path)
    pd.testing.assert_frame_equal(nas.search(**SEARCH, run_folder=tmp_path), whole)


def test_another_runs_folder_is_refused_and_kept(undisturbed):
    before = {path.name: path.read_bytes() for path in undisturbed.iterdir()}
    with pytest.raises(UsageError, match="holds a run with seed 0, not 1"):
        nas.search(**SEARCH, seed=1, run_folder=undisturbed)
    assert {path.name: path.read_bytes() for path in undisturbed.iterdir()} == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"no run folder: it has no config\.yaml, but thesis\.tex"):
        nas.search(**SEARCH, run_folder=tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix", reason="locks are POSIX's")
def test_two_runs_do_not_share_a_folder(tmp_path):
    with RunFolder(tmp_path, {}), pytest.raises(UsageError, match="another run is writing"):
        RunFolder(tmp_path, {})


def test_a_damaged_record_is_refused(undisturbed, tmp_path):
    (tmp_path / "config.yaml").write_text((undisturbed / "config.yaml").read_text())
    good = (undisturbed / "trials.jsonl").read_text().splitlines()[0]
    for line in ("{broken}", "[1]", '{"a": 1}', good.replace("|", "?"), good.replace('"gradsign": ', '"gradsign": "x')):
        (tmp_path / "trials.jsonl").write_text(line + "\n")
        with pytest.raises(UsageError, match=r"trials\.jsonl: line 1 is "):
            nas.search(**SEARCH, run_folder=tmp_path)


def test_nothing_scored_is_an_error_that_says_why():
    with pytest.raises(UsageError, match="none of the 3 networks could be scored; mostly: it never works"):
        nas.search(**SEARCH | {"proxy": "always_fails", "budget": 3})


@proxy("always_fails")
def always_fails(probe):
    """A proxy that has no number for anything."""
    raise ProxyFailure("it never works")


# Compare and score


@pytest.fixture
def table(tmp_path):
    toy = narrow_space()
    archs = [toy.sample(Random(seed)) for seed in range(30)]
    frame = pd.DataFrame({"arch": map(toy.text, archs), "accuracy": np.arange(30.0), "note": "x"})
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    return tmp_path / "table.csv"


COMPARE = {"data": "synthetic:classes=3,size=8", "batch_size": 12, "settings": SEARCH["settings"]}


def test_compare_writes_the_contract(table, tmp_path):
    found = nas.compare("nasbench201", table, "accuracy", "gradsign,ntk", 12, 2, **COMPARE, run_folder=tmp_path / "run")
    scores = pd.read_csv(tmp_path / "run" / "scores.csv")
    assert list(scores) == ["arch", "proxy", "seed", "value", "status", "reason", "seconds"]
    assert len(scores) == 12 * 2 * 5
    rows = pd.read_csv(tmp_path / "run" / "correlations.csv")
    assert list(rows) == [
        "proxy", "seed", "n", "failed", "kendall", "kendall_lo", "kendall_hi", "spearman", "spearman_lo", "spearman_hi",
        "kendall_given_params", "kendall_top_10pct", "precision_at_5pct", "ndcg", "best_at_1", "best_at_10", "regret",
        "ms_per_arch", "peak_mb",
    ]  # fmt: skip
    assert set(rows["proxy"]) == {"gradsign", "ntk", "params", "flops", "depth"}
    assert set(rows["seed"]) == {"0", "1", "all"}
    assert set(found.scores["seed"]) == {0, 1}


def test_compare_signs_by_the_declared_direction(table):
    found = nas.compare("nasbench201", table, "accuracy", "ntk", "all", **COMPARE)
    values = found.scores[found.scores["proxy"] == "ntk"].set_index("arch")["value"].astype(float)
    truth = pd.read_csv(table).set_index("arch")["accuracy"]
    ranked = (-values).fillna(-np.inf)
    expected = ranked.rank().corr(truth.loc[ranked.index], method="kendall")
    row = found.correlations.query("proxy == 'ntk' and seed == 'all'").iloc[0]
    assert row["kendall"] == pytest.approx(expected)
    assert row["failed"] == values.isna().sum()


def test_an_interrupted_comparison_continues(table, tmp_path, monkeypatch):
    whole = nas.compare("nasbench201", table, "accuracy", "gradsign", 10, **COMPARE, run_folder=tmp_path / "a")
    lines = (tmp_path / "a" / "scores.csv").read_text().splitlines(keepends=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.yaml").write_text((tmp_path / "a" / "config.yaml").read_text())
    (tmp_path / "b" / "scores.csv").write_text("".join(lines[:23]) + lines[23][:9])
    visits = []
    original = Measurer._visit
    monkeypatch.setattr(Measurer, "_visit", lambda self, *args: visits.append(args[0]) or original(self, *args))
    again = nas.compare("nasbench201", table, "accuracy", "gradsign", 10, **COMPARE, run_folder=tmp_path / "b")
    assert len(set(visits)) < 10
    pd.testing.assert_frame_equal(
        again.correlations.drop(columns=["ms_per_arch", "peak_mb"]),
        whole.correlations.drop(columns=["ms_per_arch", "peak_mb"]),
    )


def test_tables(table):
    toy = narrow_space()
    first = Table(table, toy)
    second = Table(table.with_suffix(".parquet"), toy)
    assert first.archs == second.archs
    assert first.row(first.archs[3])["accuracy"] == 3.0
    assert "note" not in first.row(first.archs[3])
    twins = [(a, b) for b in first.archs for a in toy if a not in first.archs and toy.canonical(a) == toy.canonical(b)]
    assert twins
    assert all(first.row(a) == first.row(b) for a, b in twins)
    with pytest.raises(UsageError, match="did you mean 'accuracy'"):
        first.target("acuracy")
    with pytest.raises(UsageError, match="not numbers"):
        first.target("note")


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget": "3"},
        {"budget": 3.5},
        {"seed": None},
        {"settings": {"evolution": 5}},
        {"constraints": "params"},
        {"plugin": "x.py"},
    ],
)
def test_python_users_get_the_same_sentences(wrong):
    with pytest.raises(UsageError, match=r"whole number|pairs, not 5|constraint 'params'|x\.py does not exist"):
        nas.search(**SEARCH | wrong)


def test_score_accepts_every_notation():
    found = nas.score("nasbench201", ["0", "nats:4,2,1,2,1,1"], ["gradsign", "params+depth"], **COMPARE)
    assert found.groupby("proxy")["value"].nunique().tolist() == [1, 1]


# Spaces of a user's own


def test_a_space_of_fifteen_lines_is_searched_by_every_searcher():
    @space("three_ways")
    class ThreeWays(Space):
        slots = (("narrow", "wide"), ("one", "two", "three"))

        def build(self, arch, task):
            (width,), (depth,) = arch
            size, layers = 4 * (width + 1), []
            for index in range(depth + 1):
                layers += [nn.Conv2d(task.channels if index == 0 else size, size, 3, padding=1), nn.ReLU()]
            return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(size, task.classes))

    for searcher in ("random_search", "evolution", "local_search"):
        trials = nas.search(
            "three_ways", "gradsign", searcher, 12, data="synthetic:classes=3,size=8", batch_size=12,
            settings={"evolution": {"population": 4}} if searcher == "evolution" else {},
        )  # fmt: skip
        assert len(trials) == 12
        assert trials.sort_values("score")["arch"].iloc[-1] in {"wide,three", "wide,two"}
    assert SPACES["three_ways"]().graph(((0,), (0,))) is None
    with pytest.raises(UsageError, match="pruning walks down from a supernet, which the space three_ways cannot build"):
        nas.search("three_ways", "gradsign", "pruning", 12)


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_precision(precision):
    space, data = narrow_space(), minibatch("synthetic:classes=3,size=16", 12, 0)
    proxies = [PROXIES[name] for name in ("gradalign_i", "grad_norm", "synflow", "naswot")]
    (found,) = Scorer(space, data, device="cpu", precision=precision)([space.full()], proxies)
    (expected,) = Scorer(space, data, device="cpu")([space.full()], proxies)
    for name, score in found.items():
        assert score.value == pytest.approx(expected[name].value, rel=1e-3 if precision == "float64" else 0.2), name
    assert found["grad_norm"].value != expected["grad_norm"].value, "the precision changes nothing"


def test_an_unknown_precision_is_refused():
    with pytest.raises(UsageError, match=r"unknown precision 'float8'.*float32"):
        Scorer(narrow_space(), minibatch("synthetic", 20, 0), precision="float8")


def test_score_repeats_over_seeds():
    cell = networks()["ordinary"]
    options = {"data": "synthetic:classes=3,size=8", "batch_size": 12, "settings": {"nasbench201": {"widths": (4, 8)}}}
    both = nas.score("nasbench201", [cell], "gradsign", seeds=2, seed=5, **options)
    assert both["seed"].tolist() == [5, 6]
    for seed, value in zip(both["seed"], both["value"], strict=True):
        assert nas.score("nasbench201", [cell], "gradsign", seed=seed, **options)["value"].item() == value
