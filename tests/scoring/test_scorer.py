"""Nothing is measured twice, and two settings are two scores."""

import pytest
from searches import DATA

from nas.proxy import PROXIES, Proxy
from nas.scoring.scorer import Scorer
from nas.testing import narrow_space, networks


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
    assert len(scorer._scores) == 2
    with pytest.raises(ValueError, match=r"take a call each: swap\(images=16, .*\), swap\(images=4, mu=0.0, "):
        scorer([arch], [default, few])


def test_options_are_added_to_those_set_before():
    both = PROXIES["zen"].with_options({"images": 4}).with_options({"step": 0.02})
    assert both.setting == PROXIES["zen"].with_options({"images": 4, "step": 0.02}).setting
    assert both.setting != PROXIES["zen"].with_options({"step": 0.02}).setting
