"""One architecture's scores: initialisations, repeats, precision, and what is no number."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from searches import DATA
from torch import nn

from nas.data.minibatch import minibatch
from nas.errors import UsageError
from nas.proxy import PROXIES, Proxy, ProxyFailure
from nas.scoring.measurer import Measurer, initialisation_seed
from nas.scoring.scorer import Scorer
from nas.space import Space
from nas.testing import ToySpace, narrow_space, networks


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


def test_every_proxy_takes_other_initialisations():
    """The mean over those that it has by other seeds; as many as it declares are no other setting."""
    toy, naswot = narrow_space(), PROXIES["naswot"]
    arch = toy.parse(networks()["ordinary"])
    seeds = [initialisation_seed(0, number) for number in range(3)]
    values = [Measurer(toy, DATA, seed=seed, device="cpu")(arch, [naswot])["naswot"].value for seed in seeds]
    three = naswot.with_options({"initialisations": "3"})
    assert Measurer(toy, DATA, device="cpu")(arch, [three])["naswot"].value == pytest.approx(np.mean(values), rel=1e-12)
    assert len({*values}) == 3
    assert three.setting == "naswot(initialisations=3)"
    assert naswot.with_options({"initialisations": 1, "initialisation": "default"}).setting == naswot.setting
    assert three.with_options({"initialisations": 1}) == naswot
    drawn = naswot.with_options({"initialisation": "gaussian"})
    declared = replace(naswot, initialisation="gaussian")
    found = [Measurer(toy, DATA, device="cpu")(arch, [proxy])["naswot"].value for proxy in (drawn, declared)]
    assert found[0] == found[1] != values[0]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("naswot", {"initialisations": 0}, r"^naswot.initialisations is at least 1, not 0$"),
        ("zen", {"initialisation": "gausian"}, r"did you mean 'gaussian'\?"),
        ("swap", {"initialisatons": 3}, r"known are images, .*did you mean 'initialisations'\?"),
        ("params", {"initialisations": 3}, "unknown option of params 'initialisations': known are none"),
    ],
)
def test_initialisations_that_make_no_sense_are_refused(name, given, message):
    with pytest.raises(UsageError, match=message):
        PROXIES[name].with_options(given)


def test_weights_that_cannot_be_drawn_again_fail_alone(monkeypatch):
    toy = narrow_space()
    monkeypatch.setattr("nas.scoring.measurer.initialise", lambda *_: 1 / 0)
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
