"""The proxies of language models against their definitions, written out."""

from types import SimpleNamespace

import pytest
import torch
from sequences import bert, sequences
from torch import nn

from nas.probe import Layer, Probe, Role
from nas.proxy import PROXIES, ProxyFailure
from nas.scoring.measurer import Measurer, build
from nas.space import SPACES, Task
from nas.testing.toys import Transformers, small_minibatch
from proxies.counts import layers, width
from proxies.language_models import (
    activation_distance,
    head_confidence,
    hidden_covariance,
    synaptic_diversity,
    synaptic_saliency,
    w_pca,
    zerolm,
)

ATTENTION, TWO = "d16|SA:SDP:h4:f12x3|SA:WMA:h2:f20x1", "d8|SA:SDP:h4:f12x1|SA:SDP:h2:f20x3"


def made(text=TWO):
    net, data = bert(text), sequences()
    return net, data.images, Probe(net, data.images, data.labels)


def outputs_of(net, tokens, kind):
    """What every module of a kind gives, by name."""
    seen = {}
    hooks = [
        module.register_forward_hook(lambda m, inputs, out, name=name: seen.setdefault(name, out.detach()))
        for name, module in net.named_modules()
        if isinstance(module, kind)
    ]
    net(tokens)
    for hook in hooks:
        hook.remove()
    return seen


def gradients(net, value):
    names = [n for n, m in net.named_modules() if isinstance(m, nn.Linear)]
    weights = [net.get_submodule(name).weight for name in names]
    pairs = zip([weight.detach() for weight in weights], torch.autograd.grad(value, weights), strict=True)
    return dict(zip(names, pairs, strict=True))


@pytest.mark.parametrize("text", [TWO, ATTENTION])
def test_head_confidence(text):
    net, tokens, probe = made(text)
    total = 0.0
    for name, out in outputs_of(net, tokens, nn.Linear).items():
        if name.rpartition(".")[2] in ("query", "key", "value"):
            tops = [[max(out[n, :, c].tolist()) for c in range(out.shape[2])] for n in range(len(out))]
            total += sum(map(sum, tops)) / sum(map(len, tops))
    assert float(head_confidence(probe)) == pytest.approx(total, rel=1e-9)


def test_head_confidence_of_projections_that_are_packed():
    space, data = Transformers(), small_minibatch()
    net = build(space, ((0,),), data.task).double()
    attention = net[2].layers[0].self_attn
    taken = []
    hook = attention.register_forward_pre_hook(lambda m, inputs: taken.append(inputs[0]))
    net.train()(data.images.double())
    hook.remove()
    projected = taken[0] @ attention.in_proj_weight.T + attention.in_proj_bias
    expected = sum(part.amax(1).mean() for part in projected.detach().chunk(3, -1))
    probe = Probe(net, data.images.double(), data.labels)
    assert float(head_confidence(probe)) == pytest.approx(float(expected), rel=1e-6)


def test_synaptic_proxies():
    net, tokens, probe = made()
    diversity = saliency = 0.0
    for name, (weight, gradient) in gradients(net, net(tokens).sum()).items():
        if ".mix." in name:
            diversity += float(torch.linalg.matrix_norm(weight, "nuc") * torch.linalg.matrix_norm(gradient, "nuc"))
        elif ".feed_forward." in name:
            saliency += float((weight * gradient).abs().sum())
    assert float(synaptic_diversity(probe)) == pytest.approx(diversity, rel=1e-6)
    assert float(synaptic_saliency(probe)) == pytest.approx(saliency, rel=1e-6)


def test_the_sum_of_the_last_hidden_states_depends_on_nothing():
    net, tokens, _ = made()
    hidden = gradients(net, net.layers(net.embedded(tokens)).sum())
    logits = gradients(net, net(tokens).sum())
    for name, (_, gradient) in hidden.items():
        assert float(gradient.norm()) < 1e-10 * float(logits[name][1].norm())


def test_activation_distance():
    net, tokens, probe = made()
    total, outputs = 0.0, outputs_of(net, tokens[:1], nn.Linear)
    for name, module in net.named_modules():
        if isinstance(module, nn.Sequential) and name.endswith("feed_forward"):
            linears = [part for part in module if isinstance(part, nn.Linear)][:-1]
            for linear in linears:
                out = outputs[next(n for n, m in net.named_modules() if m is linear)]
                x = out[0] > 0  # [tokens, units]
                total += sum(float((a & b).sum()) for a in x for b in x)
                total += sum(float((~a & ~b).sum()) for a in x for b in x)
    assert float(activation_distance(probe)) == pytest.approx(total)


@pytest.mark.parametrize("layer", [1, 2])
def test_hidden_covariance(layer):
    space = SPACES["nasbench_nlp"](embedding=6, width=5, layers=3)
    recipe = '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": {"op": "activation_tanh", "input": ["f"]}}'
    data = sequences(masked=False)
    net = build(space, space.parse(recipe), data.task, 1).double()
    x = net.words(data.images)
    for part in net.layers[:layer]:
        x = part(x)
    correlation = torch.corrcoef(x.detach().flatten(0, 1).T)
    expected = -sum(float(torch.log(v + 1e-5) + 1 / (v + 1e-5)) for v in torch.linalg.eigvalsh(correlation))
    probe = Probe(net, data.images, data.labels)
    assert float(hidden_covariance(probe, layer=layer)) == pytest.approx(expected, rel=1e-6)
    assert (layers(probe), width(probe)) == (3, 6)
    with pytest.raises(ProxyFailure, match="the network has 3 layers, and no layer 4"):
        hidden_covariance(probe, layer=4)


def test_zerolm():
    net, _, probe = made(ATTENTION)
    parts = {"feed_forward": 0.0, "mix": 0.0}
    for name, module in net.named_modules():
        for part in parts:
            if isinstance(module, nn.Linear) and f".{part}." in name:
                parts[part] += float((module.weight.detach() ** 2).sum()) / min(module.weight.shape)
    assert float(zerolm(probe)) == pytest.approx(sum(parts.values()))
    assert float(zerolm(probe, alpha=0.5)) == pytest.approx(parts["feed_forward"] + 0.5 * parts["mix"])


@pytest.mark.parametrize("variance", [0.99, 0.5])
def test_w_pca(variance):
    net, tokens, probe = made()
    numbers = []
    for name, out in outputs_of(net, tokens, nn.Linear).items():
        if name.endswith("feed_forward.0"):
            values = torch.linalg.eigvalsh(torch.cov(out.flatten(0, 1).T)).flip(0).tolist()
            numbers.append(next(k for k in range(1, len(values) + 1) if sum(values[:k]) > variance * sum(values)))
    mean = sum(numbers) / 2
    assert w_pca(probe, variance=variance, params=False) == pytest.approx(mean)
    assert w_pca(probe, variance=variance) == pytest.approx(mean * sum(p.numel() for p in net.parameters()))


def test_w_pca_has_no_more_components_than_there_are():
    """Two directions with half of the variance each."""
    weight, rows = torch.ones(2, 3), torch.tensor([[[1.0, 0.0]], [[-1.0, 0.0]], [[0.0, 1.0]], [[0.0, -1.0]]])
    probe = SimpleNamespace(
        weight_roles=lambda: [Role(weight, "mlp", "in", "block")],
        map_layers=lambda function: [function(Layer(weight, rows, rows))],
    )
    assert w_pca(probe, variance=0.4, params=False) == 1
    assert w_pca(probe, variance=0.5, params=False) == 2
    assert w_pca(probe, variance=1.0, params=False) == 2


def test_roles():
    _, _, probe = made("d8|LT:DFT:h4:f12x1|DSC:5:h2:f12x3")
    roles = {role.name: (role.role, role.block) for role in probe.weight_roles()}
    assert roles["layers.0.mix.linear.weight"] == ("attention", "layers.0")
    assert roles["layers.1.mix.kernels.weight"] == ("attention", "layers.1")
    assert roles["layers.1.feed_forward.2.weight"] == ("mlp", "layers.1")


def test_networks_without_attention_say_so():
    space, names = SPACES["nasbench_nlp"](embedding=6, width=5, layers=1), (
        "head_confidence", "synaptic_diversity", "synaptic_saliency", "activation_distance", "zerolm", "w_pca", "dss"
    )  # fmt: skip
    measurer = Measurer(space, sequences(masked=False), device="cpu")
    from random import Random

    scores = measurer(space.sample(Random(0)), [PROXIES[name] for name in names])
    assert {score.status for score in scores.values()} == {"failed"}
    assert all(score.reason.endswith("this proxy is for transformers") for score in scores.values())


def test_counts_of_a_transformer():
    _, _, probe = made(ATTENTION)
    assert (layers(probe), width(probe)) == (2, 16)
    assert Task(13, length=9, kind="tokens", masked=True) == sequences().task
