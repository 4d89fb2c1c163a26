"""Optuna's samplers as a searcher, and a space as the objective of a study of Optuna's."""

import re
import runpy
import sys
from itertools import islice, product
from random import Random

import numpy as np
import pytest
import torch
from cases import ROOT

import nas
from nas.errors import UsageError
from nas.searcher import SEARCHERS
from nas.space import Space
from nas.testing import ToySpace
from nas.testing.toys import FencedSpace, additive

SAMPLERS = ("tpe", "random", "nsgaii", "nsgaiii", "gp")
CALL = {
    "space": "nasbench201", "data": "synthetic:classes=3,size=8", "batch_size": 6,
    "settings": {"nasbench201": {"widths": (4, 8), "repeats": 1}, "optuna": {"population": 4}},
}  # fmt: skip


@pytest.fixture
def optuna():
    module = pytest.importorskip("optuna", reason="no Optuna: pip install 'gradalign-nas[optuna]'")
    module.logging.set_verbosity(module.logging.WARNING)
    return module


def write(path, text):
    path.write_text(text)
    return path


def trials(sampler, objectives=1, budget=14, space=None, seed=0, score=additive):
    """What is proposed on the toy space, each with its scores."""
    options = {"sampler": sampler, "population": 4}
    search, proposals = SEARCHERS["optuna"].start(space or ToySpace(), Random(seed), options)
    done = []
    while len(done) < budget:
        scores = [(score(arch), -score(arch), float(arch[0][0]))[:objectives] for arch in proposals]
        done += zip(proposals, scores, strict=True)
        proposals = search.send(scores)
    search.close()
    return done


@pytest.mark.parametrize("objectives", [1, 3])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_repeats_itself_within_a_fenced_space(optuna, sampler, objectives):
    space, budget = FencedSpace(), 12 if sampler == "gp" else 20  # ten are random
    done = trials(sampler, objectives, budget, space)
    assert done == trials(sampler, objectives, budget, space)
    assert done[:10] != trials(sampler, objectives, 10, space, seed=1)
    assert all(space.valid(arch) for arch, _ in done)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_failures_and_huge_scores_are_taken(optuna, sampler):
    odd = {0: -np.inf, 1: 1e306, 2: -1e306}
    assert len(trials(sampler, 2, score=lambda arch: odd.get(arch[0][0], additive(arch)))) == 14


def test_tpe_learns(optuna):
    last = [score for seed in range(3) for _, (score,) in trials("tpe", budget=60, seed=seed)[-15:]]
    drawn = [score for seed in range(3) for _, (score,) in trials("random", budget=60, seed=seed)[-15:]]
    assert np.mean(last) > np.mean(drawn) + 2


def test_a_search_with_two_objectives_and_a_limit(optuna, tmp_path):
    call = CALL | {"constraints": "params<=4000", "settings": CALL["settings"] | {"optuna": {"sampler": "nsgaii"}}}
    result = nas.search(proxy="depth", searcher="optuna", minimise="flops", budget=8, run_folder=tmp_path / "r", **call)
    assert (result.trials["params"] <= 4000).all()
    assert len(result.front)
    again = nas.search(proxy="depth", searcher="optuna", minimise="flops", budget=12, run_folder=tmp_path / "r", **call)
    assert list(again.trials["arch"][:8]) == list(result.trials["arch"])


def test_a_batch_is_asked_for_at_once(optuna):
    search, _ = SEARCHERS["optuna"].start(ToySpace(), Random(0), {"batch": 3})
    assert len(search.send([(1.0,)])) == 3


def test_a_study_of_ones_own(optuna):
    objective = nas.optuna.objective(proxy="params", minimise="depth", maximise="flops", **CALL)
    assert objective.directions == ["maximize", "minimize", "maximize"]
    study = optuna.create_study(directions=objective.directions, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=4)
    trial = study.trials[-1]
    (row,) = nas.score(archs=trial.user_attrs["arch"], proxies="params", **CALL).itertuples()
    assert trial.values[0] == row.value == trial.user_attrs["values"]["params"]
    assert objective.arch(trial.params) == trial.user_attrs["arch"]


def test_the_example_of_the_docs(optuna, tmp_path):
    code = re.search(r"```python\n# my_study.py\n(.*?)```", (ROOT / "docs" / "optuna.md").read_text(), re.DOTALL)[1]
    done = runpy.run_path(str(write(tmp_path / "my_study.py", code.replace("n_trials=20", "n_trials=3"))))
    assert len(done["study"].trials) == 3
    assert done["net"](torch.zeros(1, 3, 32, 32)).shape == (1, 100)


def test_a_study_prunes_what_has_no_score(optuna):
    def never(probe):
        raise nas.proxy.ProxyFailure("no number for this one")

    objective = nas.optuna.objective(proxy=never, store="none", **CALL)
    study = optuna.create_study(directions=objective.directions)
    study.optimize(objective, n_trials=1)
    assert study.trials[0].state == optuna.trial.TrialState.PRUNED


@pytest.mark.parametrize("begin", [
    lambda: SEARCHERS["optuna"].start(ToySpace(), Random(0), {}), lambda: nas.optuna.objective(**CALL)
])  # fmt: skip
def test_without_optuna_the_reason_is_said(monkeypatch, begin):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"optuna takes optuna, which is not installed: pip install 'gradalign-nas\["):
        begin()


def test_a_broken_optuna_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "optuna.py").write_text("import no_such_part\n")
    monkeypatch.delitem(sys.modules, "optuna", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UsageError, match=r"installed but cannot be imported \(ModuleNotFoundError: No module named 'no_s"
    ):
        SEARCHERS["optuna"].start(ToySpace(), Random(0), {})


class Odd(Space):
    """Three slots whose options have an even sum; what is valid is not known of open architectures."""

    slots = (("0", "1"),) * 3
    lattice = False

    def build(self, arch, task):
        raise NotImplementedError

    def valid(self, arch):
        return sum(option for (option,) in arch) % 2 == 0


@pytest.mark.parametrize("space", [ToySpace(), FencedSpace(), Odd()])
def test_what_is_repaired_is_valid_the_same_again_and_near(space):
    for options in islice(product(*(range(len(names)) for names in space.slots)), 0, None, 7):
        arch = tuple((option,) for option in options)
        repaired = space.repaired(arch)
        assert space.valid(repaired)
        assert repaired == space.repaired(arch)
        assert repaired == arch or not space.valid(arch)
