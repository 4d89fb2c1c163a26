"""Blocks of per-sample gradients: their slices and statistics."""

import pytest
import torch
from cases import LOOPED, MAPPED, NETWORKS, make
from references import blocks_of, relative_error
from torch import nn
from torch.nn import functional as F

from nas.passes import blocks
from nas.passes.blocks import Block, product_of_signs
from nas.passes.per_sample import visit_blocks
from nas.probe import Probe, measure
from proxies.gradalign import gradalign_i, gradalign_ii
from proxies.gradsign import gradsign


def scores_of(name):
    """What the proxies make of the gradients, and the Gram matrix of their signs."""
    proxies = {"i": gradalign_i, "ii": gradalign_ii, "gradsign": gradsign}
    proxies["i by length"] = lambda probe: gradalign_i(probe, direction="unit", mean_per_weight=True)
    proxies["gram"] = lambda probe: sum(probe.map_blocks(lambda block: block.sign_gram))
    return {key: value for key, (value, _) in measure(Probe(*make(name)), proxies).items()}


@pytest.mark.filterwarnings("ignore:gradients one image at a time")
@pytest.mark.parametrize("name", NETWORKS | MAPPED | LOOPED)
def test_slices_change_nothing(name, monkeypatch):
    whole, scores = blocks_of(*make(name)), scores_of(name)
    monkeypatch.setattr(
        blocks, "MAX_BLOCK_BYTES", 9 * 8 * 20
    )  # twenty weights of nine samples, less than in most layers
    monkeypatch.setattr(blocks, "CHUNK_BYTES", 9 * 8 * 7)
    sizes = []
    net, images, labels = make(name)
    visit_blocks(net, images, labels, lambda block: sizes.append((block.gradients.shape[1], block.weight[0].numel())))
    assert all(size <= max(20, row) for size, row in sizes)
    assert len(sizes) > len(whole)
    sliced = blocks_of(net, images, labels)
    assert sliced.keys() == whole.keys()
    assert relative_error(sliced, whole) < 1e-12
    for key, score in scores_of(name).items():
        torch.testing.assert_close(score, scores[key], rtol=1e-9 if key in ("ii", "i by length") else 0, atol=0)


@pytest.mark.parametrize("shape", [(2, 3), (4, 1)])
def test_slices_of_groups_that_two_uses_do_not_share(shape, monkeypatch):
    """The same weight in two and in three groups: no slice lies across a border of either."""

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(12, 2, 3, 3))

        def forward(self, x):
            parts = [
                F.conv2d(x.repeat(1, groups, 1, 1)[:, : 2 * groups], self.weight, groups=groups) for groups in shape
            ]
            return sum((part * (i + 1)).sin().mean((2, 3)) for i, part in enumerate(parts))

    torch.manual_seed(0)
    net, images, labels = Shared().double(), torch.randn(5, 3, 8, 8, dtype=torch.float64), torch.arange(5)
    whole = blocks_of(net, images, labels)
    monkeypatch.setattr(blocks, "MAX_BLOCK_BYTES", 5 * 8 * 18 * 5)
    assert relative_error(blocks_of(net, images, labels), whole) < 1e-12
    for i in range(5):
        loss = F.cross_entropy(net(images[i : i + 1]), labels[i : i + 1])
        torch.testing.assert_close(whole["weight"][i], torch.autograd.grad(loss, net.weight)[0].flatten())


def test_block_statistics():
    torch.manual_seed(0)
    rows = torch.randn(7, 50) * (torch.rand(7, 50) > 0.2)
    block = Block(nn.Parameter(torch.empty(50)), rows)
    signs = torch.tensor([[(value > 0) - (value < 0) for value in row] for row in rows.tolist()], dtype=torch.float64)
    assert torch.equal(block.signs.double(), signs)
    assert torch.equal(block.sign_gram, signs @ signs.T)
    torch.testing.assert_close(block.gram, rows.double() @ rows.double().T)
    group = torch.tensor([0, 1, 0, 2, 1, 0, 2])
    expected = torch.stack([rows[group == c].sum(0) for c in range(3)])
    torch.testing.assert_close(block.sums(group, 3), expected)


@pytest.mark.parametrize("capability", ["AVX512", "AVX2", "DEFAULT"])
def test_products_of_signs_are_exact_with_and_without_integer_instructions(monkeypatch, capability):
    left, right = torch.randint(-1, 2, (64, 5000), dtype=torch.int8), torch.randint(-1, 2, (5000, 10), dtype=torch.int8)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert torch.equal(product_of_signs(left, right), left.double() @ right.double())


def test_products_of_signs_are_exact_where_a_sum_in_float32_is_not(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    ones = torch.ones(1, 2**24 + 1, dtype=torch.int8)
    assert product_of_signs(ones, ones.T).item() == 2**24 + 1
