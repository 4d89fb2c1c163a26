"""Effective rank and cosine by definition."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import make, one_image_at_a_time

from nas.probe import Probe
from nas.studies import (
    diversity,
)


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
