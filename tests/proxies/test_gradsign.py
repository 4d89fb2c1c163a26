"""GradSign against loops over samples and weights."""

import numpy as np
import pytest
from cases import NETWORKS
from references import gradients

from proxies.gradsign import gradsign


@pytest.mark.parametrize("name", NETWORKS)
def test_gradsign(name):
    probe, rows = gradients(name)
    expected = sum(abs(sum(np.sign(row[k]) for row in rows)) for k in range(rows.shape[1]))
    assert float(gradsign(probe)) == expected
