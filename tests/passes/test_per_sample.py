"""Per-sample gradients against one image at a time."""

import pytest
import torch
from cases import LOOPED, MAPPED, NETWORKS, make, one_image_at_a_time
from references import blocks_of, relative_error
from torch import nn
from torch.nn import functional as F

from nas.passes import layers
from nas.passes import per_sample as gradients
from nas.passes.per_sample import visit_blocks
from nas.scoring.measurer import build
from nas.space import SPACES, Task


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


PROJECTIONS = {"layer.self_attn.in_proj_weight"}  # a part of it each for queries, keys and values


@pytest.mark.parametrize(
    ("name", "expected"),
    [(name, set()) for name in NETWORKS]
    + [
        ("weight standardisation", {"3.weight"}),
        ("transformer", PROJECTIONS),
        ("transformer, tokens first", PROJECTIONS),
        ("bilinear", {"linear.weight"}),
        ("windows", {"window.weight"}),
        ("mixing", set()),
        ("reversed", set()),
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
