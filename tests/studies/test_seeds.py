"""One seed varies at a time."""

import numpy as np
import pandas as pd
import pytest
from studied import DATA, material

from nas.data.minibatch import minibatch
from nas.scoring.scorer import Scorer
from nas.statistics import ranks as stats
from nas.studies import (
    seeds,
)


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
