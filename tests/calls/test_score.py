"""`nas.score` from notation to frame."""

from searches import COMPARE

import nas
from nas.testing import networks


def test_score_accepts_every_notation():
    found = nas.score("nasbench201", ["0", "nats:4,2,1,2,1,1"], ["gradsign", "params+depth"], **COMPARE)
    assert found.groupby("proxy")["value"].nunique().tolist() == [1, 1]


def test_score_repeats_over_seeds():
    cell = networks()["ordinary"]
    options = {"data": "synthetic:classes=3,size=8", "batch_size": 12, "settings": {"nasbench201": {"widths": (4, 8)}}}
    both = nas.score("nasbench201", [cell], "gradsign", seeds=2, seed=5, **options)
    assert both["seed"].tolist() == [5, 6]
    for seed, value in zip(both["seed"], both["value"], strict=True):
        assert nas.score("nasbench201", [cell], "gradsign", seed=seed, **options)["value"].item() == value
