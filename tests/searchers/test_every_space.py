"""Every searcher on every space."""

from random import Random

import pytest
from cases import OF_TOKENS, SMALL
from searches import needs

import nas
from nas.errors import UsageError
from nas.registry import options
from nas.searcher import SEARCHERS
from nas.space import SPACES

SLOW = ("nds_amoeba", "nds_darts", "nds_nasnet", "nds_pnas", "nds_resnext")
"""Built as `darts`, `nds_enas` and `nds_resnet` are, which are searched with gradients."""

STEEP = ("mnasnet", "multi_resolution")
"""Halve the resolution five times: of smaller images, batch norm of one sample would see a single pixel."""


@pytest.mark.parametrize("searcher", list(SEARCHERS))
@pytest.mark.parametrize("name", list(SPACES))
@pytest.mark.long
def test_every_searcher_on_every_space(name, searcher):
    """Twenty evaluations, and as many of pruning as it takes on NAS-Bench-201; where a space has no supernet, or a
    round of pruning takes more, it says so."""
    needs(searcher)
    space, own = SPACES[name](**SMALL[name]), options(SEARCHERS[searcher].function)
    size = 64 if name in STEEP else 16
    call = {
        "data": "tokens:vocab=20,length=8" if name in OF_TOKENS else f"synthetic:classes=3,size={size}",
        "batch_size": 12, "budget": 55 if searcher == "pruning" else 20,
        "settings": {name: SMALL[name]} | ({searcher: {"population": 6}} if "population" in own else {}),
    }  # fmt: skip
    if searcher == "pruning" and not space.supernet:
        with pytest.raises(UsageError, match=f"which the space {name} cannot build"):
            nas.search(name, "params", searcher, **call)
        return
    if searcher == "pruning" and len(SEARCHERS["pruning"].start(space, Random(0), {})[1]) > 55:
        with pytest.raises(UsageError, match=r"more than the budget of 55: give a larger --budget"):
            nas.search(name, "params", searcher, **call)
        return
    proxy = "gradalign_i" if searcher == "evolution" and name not in SLOW else "params"
    trials = nas.search(name, proxy, searcher, **call).trials
    assert len(trials) <= 55
    assert (trials["status"] == "ok").all(), trials["reason"].unique()
    assert trials["leaf"].any()
