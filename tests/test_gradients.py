"""Per-sample gradients against one image at a time."""

import pytest
import torch
from cases import LOOPED, MAPPED, NETWORKS, make, one_image_at_a_time
from torch import nn
from torch.nn import functional as F

from nas.passes import blocks, layers
from nas.passes import per_sample as gradients
from nas.passes.blocks import Block, product_of_signs
from nas.passes.per_sample import visit_blocks
from nas.probe import Probe, measure
from nas.scoring.measurer import build
from nas.space import SPACES, Task
from proxies.gradalign import gradalign_i, gradalign_ii
from proxies.gradsign import gradsign


def blocks_of(net, images, labels, target="loss"):
    """The gradients of each weight by name, [samples, weights], and that they came once, in order of their rows."""
    names = {parameter: name for name, parameter in net.named_parameters()}
    found = {}
    visit_blocks(net, images, labels, lambda block: found.setdefault(names[block.weight], []).append(block), target)
    for name, parts in found.items():
        assert [row for part in parts for row in range(len(part.weight))[part.rows]] == list(
            range(len(parts[0].weight))
        )
        found[name] = torch.cat([part.gradients for part in parts], 1)
    return found


def relative_error(found, expected):
    """Over all weights together; what the output does not depend on has gradient zero and needs no block."""
    assert found.keys() <= expected.keys()
    difference = sum(
        (found[name] - rows).square().sum() if name in found else rows.square().sum() for name, rows in expected.items()
    )
    return float((difference / sum(rows.square().sum() for rows in expected.values())).sqrt())


@pytest.mark.parametrize("target", ["loss", "logits"])
@pytest.mark.parametrize("name", NETWORKS)
def test_equal_one_image_at_a_time(name, target):
    net, images, labels = make(name)
    expected = one_image_at_a_time(net, images, labels, target)
    assert relative_error(blocks_of(net, images, labels, target), expected) < 1e-9


@pytest.mark.parametrize("target", ["loss", "logits"])
@pytest.mark.parametrize("name", MAPPED)
def test_what_the_batched_pass_cannot_give_is_exact_too(name, target):
    net, images, labels = make(name)
    expected = one_image_at_a_time(net, images, labels, target)
    found = blocks_of(net, images, labels, target)
    assert found.keys() == expected.keys()
    assert relative_error(found, expected) < 1e-9


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("name", ["plain", "transformer, tokens first", "mixing", "reversed"])
def test_few_samples(name, samples):
    net, images, labels = make(name, samples=samples)
    assert relative_error(blocks_of(net, images, labels), one_image_at_a_time(net, images, labels)) < 1e-9


ATTENTION = {"layer.self_attn.in_proj_weight", "layer.self_attn.out_proj.weight"}
FEEDFORWARD = {"layer.linear1.weight", "layer.linear2.weight"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [(name, set()) for name in NETWORKS]
    + [
        ("weight standardisation", {"3.weight"}),
        ("transformer", ATTENTION),
        ("transformer, tokens first", ATTENTION | FEEDFORWARD),
        ("bilinear", {"linear.weight"}),
        ("windows", {"window.weight"}),
        ("mixing", {"stem.weight", "head.weight"}),
        ("reversed", {"hidden.weight"}),
    ],
)
def test_the_batched_pass_gives_what_it_can(name, expected, monkeypatch):
    net, images, labels = make(name)
    names = {parameter: name for name, parameter in net.named_parameters()}
    left = []
    monkeypatch.setattr(gradients, "visit_imagewise", lambda net, weights, *_: left.extend(weights))
    visit_blocks(net, images, labels, lambda block: None)
    assert {names[weight] for weight in left} == expected


@pytest.mark.parametrize("name", LOOPED)
def test_one_image_at_a_time_where_vmap_fails(name):
    net, images, labels = make(name)
    before = [buffer.clone() for buffer in net.buffers()]
    expected = one_image_at_a_time(net, images, labels)
    for buffer, value in zip(net.buffers(), before, strict=True):
        buffer.copy_(value)
    with pytest.warns(UserWarning, match="one image at a time, which is slow: vmap failed"):
        found = blocks_of(net, images, labels)
    assert found.keys() == expected.keys()
    assert relative_error(found, expected) < 1e-9
    assert all(torch.equal(buffer, value) for buffer, value in zip(net.buffers(), before, strict=True))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_equal_one_image_at_a_time_on_nasbench201(dtype, bound):
    space = SPACES["nasbench201"](widths=(8, 16), repeats=1)
    for text in ("nats:3,3,3,3,3,3", "nats:3,1,4,2,0,3", "naslib:0,4,3,1,2,2"):
        net = build(space, space.parse(text), Task(10)).to(dtype)
        images, labels = torch.randn(6, 3, 32, 32, dtype=dtype), torch.arange(6)
        expected = one_image_at_a_time(net, images, labels)
        assert relative_error(blocks_of(net, images, labels), expected) < bound


@pytest.mark.parametrize("way", ["by_grouping", "by_unfolding"])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("tokens", "fully connected")])
def test_every_way_of_a_convolution_is_the_same(name, way, monkeypatch):
    for other in ("by_product", "by_grouping", "by_unfolding"):
        monkeypatch.setattr(layers, other, getattr(layers, way))
    net, images, labels = make(name)
    expected = one_image_at_a_time(net, images, labels)
    assert relative_error(blocks_of(net, images, labels), expected) < 1e-9


def test_gradalign_is_the_same_with_any_number_of_threads():
    space = SPACES["nasbench201"]()
    net = build(space, space.parse("nats:3,1,3,2,0,3"), Task(4))
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            values = measure(Probe(net, images, torch.arange(16) % 4), {"i": gradalign_i, "ii": gradalign_ii})
            found.append([float(value) for value, _ in values.values()])
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


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
    monkeypatch.setattr(blocks, "LIMIT", 9 * 8 * 20)  # twenty weights of nine samples, less than most layers have
    monkeypatch.setattr(blocks, "CHUNK", 9 * 8 * 7)
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
    monkeypatch.setattr(blocks, "LIMIT", 5 * 8 * 18 * 5)
    assert relative_error(blocks_of(net, images, labels), whole) < 1e-12
    for i in range(5):
        loss = F.cross_entropy(net(images[i : i + 1]), labels[i : i + 1])
        torch.testing.assert_close(whole["weight"][i], torch.autograd.grad(loss, net.weight)[0].flatten())


@pytest.mark.parametrize("name", ["plain", "residual", "tokens", "weight standardisation"])
def test_mixed_precision(name):
    net, images, labels = make(name, dtype=torch.float32)
    exact = blocks_of(net, images, labels)
    with torch.autocast("cpu", torch.bfloat16):
        found = blocks_of(net, images, labels)
    assert found.keys() == exact.keys()
    assert all(gradients.dtype == torch.float32 for gradients in found.values())
    rows, truth = (torch.cat([g[key].flatten() for key in exact]) for g in (found, exact))
    assert F.cosine_similarity(rows, truth, 0) > 0.99


def test_the_network_is_left_as_it_was():
    """Also where a buffer is written to, replaced, and where weights are frozen or hold gradients."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(192, 3)
            self.register_buffer("seen", torch.zeros(3))

        def forward(self, x):
            x = self.head(x.flatten(1)) + x.flatten(1)[:, :3] @ self.head.weight[:, :3]
            self.seen = self.seen + x.mean(0)
            return x

    net = Counting()
    seen, gradient = net.seen, torch.ones(3, 192)
    net.head.weight.grad = gradient
    net.head.weight.requires_grad_(False)
    visit_blocks(net, torch.randn(4, 3, 8, 8), torch.arange(4) % 3, lambda block: None)
    assert net.seen is seen
    assert torch.equal(seen, torch.zeros(3))
    assert not seen.requires_grad
    assert net.head.weight.grad is gradient
    assert not net.head.weight.requires_grad


def test_a_weight_used_twice_is_one_block():
    net, images, labels = make("residual")
    assert sorted(blocks_of(net, images, labels)) == ["head.weight", "shared.weight", "stem.weight"]


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


def test_products_of_signs_are_exact_without_integer_instructions(monkeypatch):
    left, right = torch.randint(-1, 2, (64, 5000), dtype=torch.int8), torch.randint(-1, 2, (5000, 10), dtype=torch.int8)
    fast = product_of_signs(left, right)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert torch.equal(fast, product_of_signs(left, right))
    assert torch.equal(fast, left.double() @ right.double())


def test_batch_norm_over_one_value_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    with pytest.raises(ValueError, match="single value per channel"):
        visit_blocks(net, torch.randn(4, 3, 8, 8), torch.arange(4) % 3, lambda block: None)


@pytest.mark.gpu
def test_gpu_equals_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for name in NETWORKS:
        net, images, labels = make(name)
        expected = one_image_at_a_time(net, images, labels)
        found = blocks_of(net.cuda(), images.cuda(), labels.cuda())
        assert relative_error({n: g.cpu() for n, g in found.items()}, expected) < 1e-9
