"""Every registered plug-in keeps what its kind promises. A new one is tested by being registered."""

from pathlib import Path

import pytest

from nas import plugins
from nas.proxy import PROXIES
from nas.searcher import SEARCHERS
from nas.space import SPACES
from nas.testing import PROXY_CHECKS, SEARCHER_CHECKS, SPACE_CHECKS

plugins.load()


def name_of(check):
    return check.__name__


@pytest.mark.parametrize("check", PROXY_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", PROXIES)
def test_proxy(name, check):
    check(name)


MINE = Path(__file__).parent / "user_networks.py"
GENOTYPE = {"widths": (4,), "depths": (3,)}
SMALL = {
    "autoformer": {"hidden_dims": (16, 24), "depths": (1, 2, 3), "patch": 4},
    "cells": {"widths": (4, 8), "repeats": 1},
    "darts": {"width": 4, "depth": 3},
    "nasbench101": {"stem": 60, "modules": 1},
    "nasbench201": {"widths": (4, 8), "repeats": 1},
    "nasbench_macro": {"width": 4, "last": 8},
    "nats_sss": {"widths": (4, 6, 8)},
    "nds_amoeba": GENOTYPE,
    "nds_darts": GENOTYPE,
    "nds_enas": {"widths": (4, 6), "depths": (3, 4)},
    "nds_nasnet": GENOTYPE,
    "nds_pnas": GENOTYPE,
    "nds_resnet": {"depths": (1, 2), "widths": (4, 8), "stem": 4},
    "nds_resnext": {"depths": (1, 2), "stem": 4},
    "networks": {"names": (f"{MINE}:Twins", f"{MINE}:flat")},
}
"""The options under which a space's networks are built in milliseconds."""


@pytest.mark.parametrize("check", SPACE_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", SPACES)
def test_space(name, check):
    check(name, **SMALL.get(name, {}))


@pytest.mark.parametrize("check", SEARCHER_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", SEARCHERS)
def test_searcher(name, check):
    check(name)
