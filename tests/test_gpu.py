"""What runs on a CPU runs on a GPU, to the same numbers."""

import pytest
import torch

from nas import plugins, search
from nas.data.minibatch import minibatch
from nas.proxy import PROXIES
from nas.scoring.measurer import PRECISIONS
from nas.scoring.scorer import Scorer
from nas.testing import Transformers, narrow_space, networks

plugins.load()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
DATA = "synthetic:classes=3,size=8"


def values(device, name, precision="float64"):
    space = Transformers() if PROXIES[name].transformers else narrow_space()
    arch = ((1,),) if PROXIES[name].transformers else space.parse(networks()["ordinary"])
    scorer = Scorer(space, minibatch(DATA, 12, 0), device=device, precision=precision)
    score = scorer([arch], [PROXIES[name]])[0][name]
    return score.value, score.status


@pytest.mark.parametrize("name", [name for name in PROXIES if not PROXIES[name].parts])
def test_every_proxy_agrees_with_the_cpu(name):
    (found, status), (expected, expected_status) = values("cuda", name), values("cpu", name)
    assert status == expected_status
    if expected is not None:
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision(precision):
    value, status = values("cuda", "gradalign_i", precision)
    assert status == "ok"
    assert value == pytest.approx(values("cpu", "gradalign_i")[0], rel=0.2)


def test_a_search():
    options = {"space": "cells", "proxy": "gradalign_i", "searcher": "random_search", "budget": 3, "data": DATA}
    options |= {"batch_size": 12, "settings": {"cells": {"widths": (4, 8), "repeats": 1}}}
    found, expected = (search(**options, device=device) for device in ("cuda", "cpu"))
    assert found["arch"].tolist() == expected["arch"].tolist()
    assert found["score"].tolist() == pytest.approx(expected["score"].tolist(), rel=0.05)
