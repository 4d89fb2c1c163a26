"""Studies: their mathematics against slow references, and every registered one from end to end on a tiny space."""

import sys
from functools import partial
from itertools import pairwise
from math import log
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from cases import make, one_image_at_a_time
from torch import nn
from torch.nn import functional as F

import nas
import nas.calls.study
from nas import cli, plugins
from nas.data.minibatch import minibatch
from nas.errors import UsageError
from nas.probe import Probe
from nas.proxy import PROXIES
from nas.scoring import cost
from nas.scoring.scorer import Scorer
from nas.space import SPACES, Task
from nas.statistics import ranks as stats
from nas.studies import (
    STUDIES,
    Material,
    _toy,
    descent,
    diversity,
    oriented,
    perturbation,
    scaling,
    seeds,
    transformers,
)
from nas.studies._regions import area, regions
from nas.testing import Transformers

plugins.load()
TINY = {"widths": (4, 8), "repeats": 1}
DATA = "synthetic:classes=3,size=8"
SETTINGS = {
    "nasbench201": TINY,
    "seeds": {"repeats": 2},
    "perturbation": {"repeats": 1, "levels": (1e-2,), "width": 4, "points": 3},
    "scaling": {"factors": (1.0, 2.0), "width": ("not this one",), "depth": ("nor this",)},
    "descent": {"steps": 2},
}
ONE_BLOCK = {"depths": (1,), "mlp_ratios": (4.0,)}
AUTOFORMER = {"hidden_dims": (16, 24), "depths": (1, 2), "patch": 4}


def material(proxies=("gradalign_i", "naswot"), archs=4, name="nasbench201", **options):
    space = SPACES[name](**(options or TINY))
    chosen = nas.calls.study.choose(space, archs, None, [], 0)
    targets = pd.DataFrame(index=[space.text(arch) for arch in chosen])
    return Material(
        space, chosen, [PROXIES[proxy] for proxy in proxies], targets,
        draw=lambda size, seed: minibatch(DATA, size, seed), vary=partial(SPACES[name], **(options or TINY)),
        options=options or TINY, batch_size=12,
    )  # fmt: skip


# Linear regions


def on_a_grid(net, radius, side):
    """Every activation pattern met on a grid: the slow way to look for regions."""
    ticks = torch.linspace(-radius, radius, side, dtype=torch.float64)
    return set(map(tuple, patterns(net, torch.cartesian_prod(ticks, ticks)).tolist()))


def patterns(net, points):
    found, x = [], points
    for module in net:
        x = module(x)
        if isinstance(module, nn.ReLU):
            found.append(x > 0)
    return torch.cat(found, 1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("widths", [(5,), (4, 4), (3, 4, 3)])
def test_regions_are_the_patterns_of_a_grid(widths, seed):
    torch.manual_seed(seed)
    sizes = (2, *widths)
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    net = nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], 2)).double()
    found = regions(net, 2.0)
    assert sum(area(region.corners) for region in found) == pytest.approx(16)
    middles = torch.tensor(np.array([region.corners.mean(0) for region in found]))
    there = list(map(tuple, patterns(net, middles).tolist()))
    assert len(set(there)) == len(there)
    grid = on_a_grid(net, 2.0, 301)
    assert grid <= set(there)
    missed = [area(r.corners) for r, pattern in zip(found, there, strict=True) if pattern not in grid]
    assert all(size < 2e-3 for size in missed), "the grid, 0.013 wide, misses slivers alone"
    for region, middle in zip(found, middles, strict=True):  # the map that goes with a region is the network's there
        np.testing.assert_allclose(region.slope @ middle.numpy() + region.shift, net(middle[None])[0].detach().numpy())


# The descent lemma


def quadratic(eigenvalues):
    """½ wᵀ A w, its gradient, and a place to start."""
    rotation = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), dtype=torch.float64)).Q
    matrix = rotation @ torch.tensor(eigenvalues, dtype=torch.float64).diag() @ rotation.T
    start = rotation.sum(1)  # as much along each eigenvector
    return lambda w: ((w[0] @ matrix @ w[0]).item() / 2, [matrix @ w[0]]), [start]


def test_the_bound_holds_on_a_quadratic_and_breaks_beyond_its_premise():
    torch.manual_seed(0)
    function, start = quadratic([0.1, 0.5, 4.0])
    tenth, whole, beyond = descent.one_step(function, start, [0.1, 1.0, 2.5])
    assert whole.curvature == pytest.approx(4.0, rel=1e-6)
    assert whole.rate == pytest.approx(0.25, rel=1e-6)
    for step in (tenth, whole):
        assert step.holds
        after, _ = function([start[0] - step.rate * function(start)[1][0]])
        assert step.decrease == pytest.approx(step.loss - after)
        assert step.guaranteed == pytest.approx(step.rate / 2 * function(start)[1][0].square().sum().item())
    assert tenth.premise
    assert not beyond.premise
    assert not beyond.holds


def test_smoothness_met_on_the_way_is_that_of_the_steepest_part():
    """Flat at first, then with curvature 8: the power method at the start does not see it, the way does."""

    def function(w):
        (x,) = w[0].tolist()
        beyond = min(x - 0.5, 0.0)
        return x**2 / 2 + 4 * beyond**2, [torch.tensor([x + 8 * beyond], dtype=torch.float64)]

    (step,) = descent.one_step(function, [torch.ones(1, dtype=torch.float64)], [1.0])
    assert step.curvature == pytest.approx(1, rel=1e-6)
    assert step.secant == pytest.approx((1 + 8 * 0.5) / 1)  # at x = 0 the gradient has changed by 1 + 4
    assert not step.premise


def test_a_loss_that_feels_no_weight_takes_no_step():
    weights = [torch.ones(3, dtype=torch.float64)]
    assert descent.one_step(lambda w: (1.0, [torch.zeros_like(w[0])]), weights, [0.1, 1.0]) == []
    cut_off, whole = ["nats:0,0,0,0,0,0", "nats:3,3,3,0,0,0"], "nats:3,3,3,3,3,3"
    given = {"data": DATA, "batch_size": 12, "proxies": "params", "settings": SETTINGS}
    found = nas.study("descent", archs=[*cut_off, whole], **given).frames
    assert set(found["bound"]["arch"]) == {found["training"]["arch"][2]}
    assert (found["training"]["guaranteed"] > 0).tolist() == [False, False, True]
    with pytest.raises(UsageError, match="the loss of none of these networks changes with its weights"):
        nas.study("descent", archs=cut_off, **given)


@pytest.mark.parametrize("name", ["plain", "residual", "tokens"])
def test_the_loss_is_the_one_of_the_per_sample_gradients(name):
    net, images, labels = make(name)
    probe = Probe(net, images, labels)
    before = [weight.detach().clone() for weight in probe.weights]
    loss, gradients = descent.sample_loss(net, probe.weights, images, labels)(before)
    net.train()
    alone = [F.cross_entropy(net(x[None]), y[None]).item() for x, y in zip(images, labels, strict=True)]
    assert loss == pytest.approx(np.mean(alone))
    assert all(torch.equal(a, b) for a, b in zip(probe.weights, before, strict=True))
    rows = torch.cat(list(one_image_at_a_time(net, images, labels).values()), 1)
    found = descent.conflict(probe)
    mean = rows.mean(0)
    assert found["squared"] == pytest.approx((mean @ mean).item())
    assert found["squared"] == pytest.approx(sum(g.square().sum().item() for g in gradients))
    assert found["own"] == pytest.approx(rows.square().sum().item() / len(rows) ** 2)
    assert found["own"] + found["cross"] == pytest.approx(found["squared"])
    assert found["alignment"] == pytest.approx((mean @ mean / rows.square().sum(1).mean()).item())


def test_first_steps_are_those_of_plain_gradient_descent():
    data = minibatch(DATA, 12)
    scorer = Scorer(SPACES["nasbench201"](**TINY), data, device="cpu")
    arch = ((3,),) * 6
    net = descent.network(scorer, arch)
    decrease = descent.first_steps(net, scorer, 3, 0.1)
    slow = descent.network(scorer, arch).train()
    before = F.cross_entropy(slow(data.images), data.labels).item()
    for _ in range(3):
        slow.zero_grad()
        F.cross_entropy(slow(data.images), data.labels).backward()
        with torch.no_grad():
            for parameter in slow.parameters():
                parameter -= 0.1 * parameter.grad
    assert decrease == pytest.approx(before - F.cross_entropy(slow(data.images), data.labels).item(), abs=1e-4)
    assert decrease > 0.01


# Diversity


@pytest.mark.parametrize("name", ["plain", "residual"])
def test_effective_rank_and_mean_cosine(name):
    net, images, labels = make(name)
    rows = torch.cat(list(one_image_at_a_time(net, images, labels).values()), 1).numpy()
    shares = np.linalg.svd(rows, compute_uv=False) ** 2
    shares /= shares.sum()
    probe = Probe(net, images, labels)
    assert diversity.effective_rank(probe).item() == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(len(rows)) for j in range(len(rows)) if i != j]
    assert diversity.mean_cosine(probe).item() == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(("gradients", "rank"), [(torch.eye(5), 5), (torch.ones(5, 3), 1)])
def test_effective_rank_at_its_ends(gradients, rank):
    block = SimpleNamespace(gram=(gradients @ gradients.T).double())
    probe = SimpleNamespace(map_blocks=lambda function: [function(block)])
    assert diversity.effective_rank(probe).item() == pytest.approx(rank)


# Perturbation


def test_perturbed_networks_are_put_back_and_scored_as_ever():
    given = material(("gradalign_i", "naswot", "linear_regions"))
    frame = perturbation.measured_moves(given, (1e-2,), 2)
    scorer = given.scorer()
    for arch, text in zip(given.archs, given.texts, strict=True):
        scores = scorer([arch], given.proxies[:2])[0]
        for name in ("gradalign_i", "naswot"):
            rows = frame[(frame["arch"] == text) & (frame["proxy"] == name)]
            assert len(rows) == 4
            assert set(rows["before"]) == {scores[name].value}
    assert set(frame["perturbation"]) == {perturbation.ONE, "0.01"}
    assert (frame["after"] != frame["before"]).mean() > 0.5
    assert frame.notna().all(axis=None)


def test_what_is_perturbed():
    weights = [torch.arange(1.0, 7).view(2, 3), torch.tensor([[2.0]])]
    before = [weight.clone() for weight in weights]
    for seed in range(10):
        perturbation.move_one(weights, torch.Generator().manual_seed(seed))
        moved = [(a - b) for a, b in zip(weights, before, strict=True)]
        (layer,) = [number for number, change in enumerate(moved) if change.any()]
        assert moved[layer].count_nonzero() == 1
        assert moved[layer].sum().item() == pytest.approx(before[layer].square().mean().sqrt().item(), rel=1e-5)
        perturbation.restore(weights, before)
    large = [torch.full((200, 200), 3.0)]
    perturbation.add_noise(0.1, large, torch.Generator().manual_seed(0))
    assert (large[0] / 3 - 1).std().item() == pytest.approx(0.1, rel=0.02)


def test_summary_of_moves():
    rows = [("a", 10.0, 11.0), ("b", 20.0, 20.0), ("c", -30.0, 30.0), ("d", np.nan, 1.0)]
    moves = pd.DataFrame(
        [(arch, "naswot", "one weight", 0, before, after) for arch, before, after in rows],
        columns=["arch", "proxy", "perturbation", "repeat", "before", "after"],
    )
    (row,) = perturbation.summary_of(moves).itertuples()
    assert row.relative == pytest.approx(0.1)  # of 0.1, 0 and 2
    assert row.spreads == pytest.approx(1 / 25)  # quartiles at -10 and 15
    assert row.moved == pytest.approx(2 / 3)
    assert row.failed == 1
    assert row.kendall == pytest.approx(stats.kendall(np.array([10, 20, -30, -np.inf]), np.array([11, 20, 30, 1.0])))


def test_the_toy_counts_its_regions_and_is_put_back():
    net, data = _toy.toy(6, 0)
    before = net[1].weight.clone()
    proxies = [PROXIES["gradalign_i"], PROXIES["linear_regions"]]
    path = _toy.path_of_one(net, data, proxies, 5)
    assert list(path) == ["moved", "regions", "gradalign_i"]
    assert path["moved"].tolist() == [-4, -2, 0, 2, 4]
    assert path["regions"][2] == len(regions(net, _toy.RADIUS))
    turns = _toy.each_in_turn(net, data, proxies)
    assert torch.equal(net[1].weight, before)
    assert turns["weight"].tolist() == list(range(12))
    with torch.no_grad():
        net[1].weight[1, 0] += before.square().mean().sqrt()
    after = float(PROXIES["gradalign_i"](Probe(net, *data)))
    assert turns["gradalign_i"][2] == pytest.approx(abs(after / path["gradalign_i"][2] - 1))
    assert turns["regions"][2] == pytest.approx(abs(len(regions(net, _toy.RADIUS)) / path["regions"][2] - 1))
    assert set(np.bincount(data[1].numpy()) > 15) == {True}


# Seeds


def test_variation_over_repeats():
    values = {"a": [1.0, 2.0, 3.0], "b": [10.0, 10.0, 10.0], "c": [4.0, np.nan, 6.0], "d": [5.0, 3.0, 4.0]}
    rows = [("minibatch", r, a, "grad_condition", v) for a, column in values.items() for r, v in enumerate(column)]
    frame = seeds.variation_of(pd.DataFrame(rows, columns=["varied", "repeat", "arch", "proxy", "value"]))
    (row,) = frame.itertuples()
    assert row.cv == pytest.approx(0.25)  # of 1/2, 0 and 1/4; c failed once
    assert row.failed == 1
    columns = [np.array([-1, -10, -4, -5.0]), np.array([-2, -10, -np.inf, -3]), np.array([-3, -10, -6, -4.0])]
    taus = [stats.kendall(columns[i], columns[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert row.agreement == pytest.approx(np.mean(taus))


def test_one_seed_varies_at_a_time():
    given = material(("gradalign_i", "params", "synflow"))
    scores = seeds.repeated_scores(given, 2).set_index(["varied", "repeat", "arch", "proxy"])["value"]
    arch, text = given.archs[0], given.texts[0]
    for varied, pair in (("initialisation", (1, 0)), ("minibatch", (0, 1))):
        scorer = Scorer(given.space, minibatch(DATA, 12, pair[1]), seed=pair[0])
        assert scores[varied, 1, text, "gradalign_i"] == scorer([arch], given.proxies)[0]["gradalign_i"].value
    assert scores["minibatch", 0, text, "gradalign_i"] == scores["initialisation", 0, text, "gradalign_i"]
    assert scores["minibatch", 0, text, "synflow"] == scores["minibatch", 1, text, "synflow"]  # it sees no image
    assert scores["initialisation", 0, text, "synflow"] != scores["initialisation", 1, text, "synflow"]


# Scaling


def test_the_exponent_of_a_power_law():
    sizes = [8.0, 16.0, 64.0]
    assert scaling.exponent(sizes, [3 * size**1.7 for size in sizes]) == pytest.approx(1.7)
    assert scaling.exponent([2.0, 4.0], [1.0, 3.0]) == pytest.approx(log(3) / log(2))
    assert np.isnan(scaling.exponent(sizes, [1.0, 0.0, 2.0]))
    assert np.isnan(scaling.exponent([8.0, 8.0], [1.0, 2.0]))


def test_one_size_grows_at_a_time():
    given = material()
    found = [
        (axis, size, len(scorer.data.images), scorer.space.build(archs[0], Task(3, 3, 8)))
        for axis, size, scorer, archs in scaling.variants(
            given, (0.5, 1.0, 2.0), {"width": ("none of these", "widths"), "depth": ("repeats",)}, 1
        )
    ]
    assert [(axis, size, images) for axis, size, images, _ in found] == [
        ("batch size", 6, 6), ("batch size", 12, 12), ("batch size", 24, 24),
        ("width", 3, 12), ("width", 6, 12), ("width", 12, 12), ("depth", 1, 12), ("depth", 2, 12),
    ]  # fmt: skip
    params = {(axis, size): sum(p.numel() for p in net.parameters()) for axis, size, _, net in found}
    assert params["width", 6] == params["depth", 1] == params["batch size", 24]
    assert params["width", 12] > 3 * params["width", 6]
    assert params["depth", 2] > params["depth", 1]


# Transformers


def test_parts_of_a_transformer_add_up():
    torch.manual_seed(0)
    net = Transformers().build(((1,),), Task(3, 3, 8)).double()
    probe = Probe(net, torch.randn(9, 3, 8, 8, dtype=torch.float64), torch.arange(9) % 3)
    roles = {id(weight): flow.role for weight, flow in zip(probe.weights, probe.flow(), strict=True)}
    assert set(roles.values()) == {"attention", "mlp", "other"}
    proxy = PROXIES["gradalign_i"]
    parts = [
        float(transformers.on_part(proxy, {weight for weight, its in roles.items() if its == role}, probe))
        for role in ("attention", "mlp", "other")
    ]
    assert min(parts) > 0
    assert sum(parts) == pytest.approx(float(proxy(probe)))
    found = transformers.forms(probe, {name: PROXIES[name] for name in ("gradalign_i", "gradalign_ii")})
    assert found["gradalign_i, attention"] == parts[0]
    assert found["gradalign_i, mlp"] == parts[1]
    weights = sum(block for block in probe.map_blocks(lambda block: block.gradients.shape[1]))
    assert found["gradalign_i, per weight"] == pytest.approx(sum(parts) / weights)


def test_networks_without_attention_have_no_parts():
    net, images, labels = make("plain")
    found = transformers.forms(Probe(net, images, labels), {n: PROXIES[n] for n in ("gradalign_i", "gradalign_ii")})
    assert np.isnan([found["gradalign_i, attention"], found["gradalign_ii, mlp"]]).all()
    assert found["gradalign_i, one group"] > 0


# Every study


def table_of(space, path, count=6):
    archs = [space.text(arch) for arch in nas.calls.study.choose(space, count, None, [], 1)]
    accuracy = np.random.default_rng(0).normal(90, 2, count)
    pd.DataFrame({"arch": archs, "accuracy": accuracy, "other": accuracy[::-1], "params": 1.0}).to_csv(
        path, index=False
    )
    return archs


@pytest.mark.parametrize("with_table", [False, True])
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_runs(name, with_table, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "ROUNDS", 1)
    if STUDIES[name].table and not with_table:
        with pytest.raises(UsageError, match="compares with trained accuracy: give a table with --table FILE"):
            nas.study(name)
        return
    space = "autoformer" if name == "transformers" else "nasbench201"
    settings = {key: SETTINGS[key] for key in SETTINGS if key in (name, space)} | {"autoformer": AUTOFORMER}
    given = {}
    if with_table:
        given["table"] = tmp_path / "t.csv"
        table_of(SPACES[space](**settings[space]), given["table"])
    proxies = "gradalign_i,naswot" if name == "scaling" else "gradalign_i,grad_condition,naswot,zen,params"
    found = nas.study(
        name, space, 4, proxies, data=DATA, batch_size=12, settings=settings,
        run_folder=tmp_path / "run", **given,
    )  # fmt: skip
    written = {path.name for path in (tmp_path / "run").iterdir()}
    expected = {f"{frame}.csv" for frame in found.frames} | {f"{figure}.svg" for figure in found.figures}
    assert written == expected | {"config.yaml", "findings.txt", "report.html", ".lock"}
    assert found.frames
    assert found.figures
    for label, frame in found.frames.items():
        assert len(frame), label
        read = pd.read_csv(tmp_path / "run" / f"{label}.csv")
        assert list(read) == list(frame)
    assert (tmp_path / "run" / "findings.txt").read_text().strip() == found.text
    assert "gradalign_i" in found.text
    if with_table and name not in ("perturbation", "scaling"):
        assert any("accuracy" in frame.to_csv() for frame in found.frames.values())


def test_a_column_without_a_number_is_no_target(tmp_path):
    space = SPACES["nasbench201"]()
    table_of(space, tmp_path / "t.csv")
    pd.read_csv(tmp_path / "t.csv").assign(empty=np.nan).to_csv(tmp_path / "t.csv", index=False)
    table = nas.data.table.Table(tmp_path / "t.csv", space)
    assert nas.calls.study._columns(table, []) == ["accuracy", "other"]
    with pytest.raises(UsageError, match="4 architectures cannot be compared: the table has a target for 0"):
        nas.calls.study.choose(space, 4, table, ["empty"], 0)


def test_a_study_repeats_itself(tmp_path):
    def run():
        return nas.study("seeds", archs=3, proxies="gradalign_i", data=DATA, batch_size=12, settings=SETTINGS).frames

    first, second = run(), run()
    for name, frame in first.items():
        pd.testing.assert_frame_equal(frame, second[name])


MISUSE = {
    "unknown study": ({"name": "sedes"}, "unknown study 'sedes': known are .*did you mean 'seeds'"),
    "unknown option": ({"settings": {"seeds": {"repeat": 3}}}, "unknown option of seeds 'repeat'.*'repeats'"),
    "bad option": ({"settings": {"seeds": {"repeats": 1}}}, "seeds.repeats is at least 2, not 1"),
    "one architecture": ({"archs": ["17"]}, "a study compares architectures: name two or more, not 1"),
    "no number": ({"archs": "many"}, "--archs takes a number from 2, and 'all' with a table, not 'many'"),
    "all without a table": ({"archs": "all"}, "--archs takes a number from 2, and 'all' with a table, not 'all'"),
    "too many": (
        {"space": "autoformer", "archs": 9, "settings": {"autoformer": AUTOFORMER | ONE_BLOCK}},
        "9 different networks were not found in the space, only 4: give a smaller --archs",
    ),
    "target without a table": ({"target": "accuracy"}, "--target accuracy names a column of a table"),
    "unknown proxy": ({"proxies": "naswott"}, "unknown proxy 'naswott'.*'naswot'"),
    "factors that coincide": (
        {"name": "scaling", "space": "autoformer", "settings": {"autoformer": AUTOFORMER}},
        "depths are distinct.*: give other factors with --set scaling.factors=1,2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISUSE)
def test_misuse_is_one_sentence(case):
    given, sentence = MISUSE[case]
    with pytest.raises(UsageError, match=sentence):
        nas.study(**{"name": "seeds", "archs": 3, "data": DATA, "batch_size": 12} | given)


def test_a_study_of_ones_own(tmp_path):
    (tmp_path / "my_study.py").write_text(
        "from nas.studies import Findings, study\n\n\n"
        "@study('sizes')\ndef sizes(material, *, times: int = 1):\n"
        "    return Findings({}, {}, f'{times} x {len(material.archs)} with {material.proxies[0].name}')\n"
    )
    found = nas.study(
        "sizes", archs=["17", "18"], plugin=tmp_path / "my_study.py", settings={"sizes": {"times": 3}}, data=DATA
    )
    assert found.text == "3 x 2 with gradalign_i"


def test_the_command_writes_its_folder_and_is_repeated_from_it(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    table_of(SPACES["nasbench201"](**TINY), tmp_path / "t.csv")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    tiny = ["--set", "nasbench201.widths=4,8", "--set", "nasbench201.repeats=1", "--data", DATA, "--batch-size", 12]
    arguments = [
        "study",
        "Seeds",
        "--table",
        "t.csv",
        "--target",
        "accuracy,other",
        "--archs",
        4,
        "--proxies",
        "naswot",
    ]
    code, out, err = call(*arguments, *tiny, "--set", "seeds.repeats=2")
    assert (code, err) == (0, "")
    assert "Median coefficient of variation over 2 of minibatch: naswot" in out
    (folder,) = (tmp_path / "runs").iterdir()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["study"], config["target"], config["set"]["seeds"]) == ("seeds", "accuracy,other", {"repeats": 2})
    before = (folder / "tau.csv").read_text()
    assert set(pd.read_csv(folder / "tau.csv")["target"]) == {"accuracy", "other"}
    (folder / "tau.csv").unlink()
    assert call("study", "seeds", "--config", folder / "config.yaml", "--run", folder)[0] == 0
    assert (folder / "tau.csv").read_text() == before
    code, out, _ = call("study", "seeds", 17, 18, "--proxies", "naswot", *tiny, "--run", "named")
    assert code == 0
    assert call("study", "seeds", "--config", "named/config.yaml", "--run", "named")[0] == 0
    assert len(pd.read_csv("named/scores.csv")["arch"].unique()) == 2
    assert "seeds" in call("list", "studies")[1]


def test_oriented_turns_round_what_is_better_when_smaller():
    frame = oriented(pd.DataFrame({"grad_condition": [3.0, None], "naswot": [1.0, 2.0], "effective_rank": [5.0, 6.0]}))
    assert frame.to_dict("list") == {
        "grad_condition": [-3.0, -np.inf], "naswot": [1.0, 2.0], "effective_rank": [5.0, 6.0]
    }  # fmt: skip
