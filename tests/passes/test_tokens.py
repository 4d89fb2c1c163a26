"""Networks of tokens: their loss, their per-sample gradients, and what passes look at in them."""

import pytest
import torch
from references import blocks_of, relative_error
from sequences import BERTS, bert, loss_of_one, one_sequence_at_a_time, sequences
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from nas.errors import ProxyFailure
from nas.passes.batch import visit_batch
from nas.passes.per_image import visit_imagewise
from nas.passes.tokens import loss
from nas.probe import Probe
from nas.scoring.measurer import Measurer
from nas.space import SPACES, Task


class Steps(nn.Module):
    """A weight used at every step, and twice in it; tokens are looked up step by step."""

    def __init__(self, vocab=13):
        super().__init__()
        self.words = nn.Embedding(vocab, 6)
        self.first, self.inner = nn.Linear(6, 6), nn.Linear(6, 6, bias=False)

    def forward(self, tokens):
        state, states = self.words(tokens[:, 0]) * 0, []
        for step in range(tokens.shape[1]):
            state = torch.tanh(self.first(self.words(tokens[:, step])) + self.inner(torch.tanh(self.inner(state))))
            states.append(state)
        return torch.stack(states, 1) @ self.words.weight.T


class Whitened(Steps):
    """Samples meet: the mean of the batch is taken away."""

    def forward(self, tokens):
        states = super().forward(tokens)
        return states - 0.3 * states.mean(0, keepdim=True)


NETS = {name: lambda name=name: bert(name) for name in BERTS} | {"steps": Steps, "whitened": Whitened}


def made(name, dtype=torch.float64):
    torch.manual_seed(0)
    data = sequences(masked=name not in ("steps", "whitened"))
    return NETS[name]().to(dtype), data


@pytest.mark.parametrize("masked", [True, False])
def test_the_loss_of_a_sample_is_the_mean_over_what_it_predicts(masked):
    net, data = bert("attention"), sequences(masked)
    each = torch.stack([loss_of_one(net, *pair) for pair in zip(data.images, data.labels, strict=True)])
    logits = net(data.images)
    assert torch.allclose(loss(logits, data.labels), each.mean())
    assert torch.allclose(loss(logits, data.labels, "sum"), each.sum())
    assert torch.equal(data.task.loss(logits, data.labels), loss(logits, data.labels))
    images, labels = torch.randn(5, 3), torch.arange(5) % 3
    assert torch.equal(Task(3).loss(images, labels), F.cross_entropy(images, labels))
    with pytest.raises(ValueError, match=r"the network predicts \[4, 3\] positions, labels are \[4, 9\]"):
        loss(logits[:, :3], data.labels)


@pytest.mark.parametrize("name", NETS)
def test_gradients_of_each_sequence_are_those_of_it_alone(name):
    net, data = made(name)
    slow = one_sequence_at_a_time(net, data.images, data.labels)
    found = blocks_of(net, data.images, data.labels)
    assert found.keys() == slow.keys()
    assert relative_error(found, slow) < 1e-12


@pytest.mark.parametrize("name", ["attention", "convolutions", "steps"])
def test_they_are_those_of_vmap(name):
    net, data = made(name, torch.float32)
    weights = {
        n: p
        for n, p in net.named_parameters()
        if isinstance(net.get_submodule(n.rpartition(".")[0]), nn.Linear | nn.Conv2d) and p.ndim > 1
    }

    def value(own, tokens, labels):
        return loss(functional_call(net, own, (tokens[None],)), labels[None])

    each = vmap(grad(value), (None, 0, 0))(weights, data.images, data.labels)
    each = {name: gradients.detach().flatten(1) for name, gradients in each.items()}
    assert relative_error(blocks_of(net, data.images, data.labels), each) < 2e-5
    blocks = []
    visit_imagewise(net, list(weights.values()), data.images, data.labels, blocks.append, "loss")
    own = dict(zip(weights, [b.gradients for b in blocks], strict=True))
    assert relative_error(own, each) < 2e-5


def test_a_sequence_says_nothing_of_another():
    net, data = made("attention")
    other = data.images.clone()
    other[1:] = other[1:].flip(1)
    first, second = (blocks_of(net, tokens, data.labels) for tokens in (data.images, other))
    assert all(torch.equal(first[name][0], second[name][0]) for name in first)
    assert not torch.equal(first["layers.0.mix.query.weight"][1], second["layers.0.mix.query.weight"][1])


@pytest.mark.parametrize("name", ["attention", "steps"])
def test_input_gradients_are_taken_at_the_embedding(name):
    net, data = made(name)
    words = net.embedded.words if name == "attention" else net.words
    looked_up = []
    hook = words.register_forward_hook(lambda module, inputs, out: looked_up.append(out) or out.retain_grad())
    net(data.images).sum().backward()
    hook.remove()
    expected = torch.cat([vectors.grad.flatten(1) for vectors in looked_up], 1)
    found = Probe(net, data.images, data.labels).input_gradients()
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=1e-9)


class Plain(nn.Module):
    """Flow of two matrices, behind an embedding with positions, with a constant weight and a norm."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(13, 4), nn.Embedding(9, 4)
        self.norm, self.first = nn.LayerNorm(4), nn.Linear(4, 5)
        self.register_buffer("last", torch.randn(13, 5))

    def forward(self, tokens):
        x = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
        return F.linear(F.relu(self.first(self.norm(x))), self.last)


def test_flow_begins_with_ones_in_place_of_the_embedding():
    torch.manual_seed(0)
    net, data = Plain(), sequences()
    (flow,) = Probe(net, data.images, data.labels).flow()
    weight = net.first.weight.detach().double().abs()
    expected = data.images.shape[1] * net.last.double().abs().sum(0)[:, None] * torch.ones_like(weight)
    assert torch.equal(flow.weight, weight)
    assert torch.allclose(flow.gradient, expected, rtol=1e-9)


def test_tokens_that_are_looked_up_elsewhere_are_said():
    class Hot(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(13, 13)

        def forward(self, tokens):
            return self.linear(F.one_hot(tokens, 13).float())

    probe = Probe(Hot(), sequences().images, sequences().labels)
    for ask in (probe.flow, probe.input_gradients):
        with pytest.raises(ValueError, match="the network looks its tokens up in no embedding that is seen"):
            ask()
    assert probe.map_blocks(lambda block: block.gradients.shape) == [(4, 13 * 13)]


def test_what_looks_at_images_fails_with_a_sentence():
    data = sequences()
    probe = Probe(bert("attention"), data.images, data.labels)
    with pytest.raises(ProxyFailure, match="the proxy looks at images, and the data are tokens"):
        probe.images  # noqa: B018
    with pytest.raises(AttributeError, match="the images of a probe is not for its proxies to set"):
        probe.images = data.images
    with pytest.raises(ValueError, match="too many logits of a sequence"):
        probe.scalar_jacobian()
    assert probe.groups.tolist() == [0] * 4


def test_passes_leave_the_network_and_the_tokens_as_they_were():
    net, data = bert("convolutions", torch.float32), sequences()
    before, tokens = {n: p.clone() for n, p in net.state_dict().items()}, data.images.clone()
    visit_batch(net, data.images, data.labels, {"gradients": list, "input": list, "features": list, "curvature": list})
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(tokens, data.images)
    assert not any(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_precisions(precision):
    from nas.proxy import PROXIES

    names = ("gradalign_i", "gradalign_ii", "synflow", "grad_norm", "jacov", "naswot", "zen", "vkdnw")
    space = SPACES["nasbench_bert"](**{"widths": (8, 16), "feed_forwards": (12, 20), "embedding": 8})
    measurer = Measurer(space, sequences(), device="cpu", precision=precision)
    for text in BERTS.values():
        scores = measurer(space.parse(text), [PROXIES[name] for name in names])
        failed = {name: score.reason for name, score in scores.items() if score.status != "ok"}
        assert failed.keys() == {"naswot", "zen", "vkdnw"}, failed
        assert failed["zen"] == "the proxy looks at images, and the data are tokens"
        assert "the network has no ReLU" in failed["naswot"]
