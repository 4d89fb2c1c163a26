"""The BERTs: parameters as published, operations by slow references, what the option `networks` changes."""

from itertools import pairwise
from random import Random

import pandas as pd
import pytest
import torch
from sequences import SMALL_BERT, cosine_sum
from torch.nn import functional as F

from nas.scoring.measurer import counted
from nas.space import SPACES, Task, is_leaf
from spaces.nasbench_bert import Attention, Bert, Block, Layer, SpanConvolution, Transform

KINDS = ("counted", "named", "trained")
TASK = Task(30522, length=8, kind="tokens", masked=True)
WIDE, DEEP = (
    "d128|DSC:9:h4:f512x1|DSC:5:h2:f512x1",
    "d256|SA:WMA:h4:f1024x3|LT:DCT:h2:f512x3|SA:SDP:h4:f512x3|SA:SDP:h4:f1024x1",
)


def made(networks, **given):
    return SPACES["nasbench_bert"](networks=networks, **given)


def params_by_formula(space, text):
    """Parameters of the network that ``counted`` builds, layer by layer."""
    d, total = 256, 31_038 * 128 + 129 * 256
    for layer in text.split("|")[1:]:
        kind, operation, heads, shape = layer.split(":")
        a, n, stack = d // 2, int(heads[1:]) // 2, int(shape[-1])
        if kind == "SA":
            total += 4 * (d * d + d) + 2 * d + d * d * (operation == "WMA")
        elif kind == "LT":
            total += d * d + d
        else:
            k = int(operation)
            total += 4 * (d * a + a) + d * k + d * a + a + a * n * k + n * k + d * d + d + 2 * d
        hidden = [1024] * stack
        total += (d + 1) * hidden[0] + sum((i + 1) * o for i, o in pairwise(hidden))
        total += (hidden[-1] + 1) * d + 2 * d
    return total


def test_parameters_are_those_of_the_table(nas_data):
    table = pd.read_csv(nas_data / "nasbench_bert.csv.gz")
    space = made("counted")
    archs = [space.parse(text) for text in table["arch"]]
    assert [space.text(arch) for arch in archs] == table["arch"].tolist()
    params = table["Number of Parameters"].tolist()
    assert [params_by_formula(space, text) for text in table["arch"]] == params
    built = [counted(space, archs[row], TASK).params for row in range(0, len(archs), 30)]
    assert built == params[::30]


@pytest.mark.parametrize(
    ("text", "expected"), [(WIDE, (5_526_167, 4_356_183, 4_369_408)), (DEEP, (13_330_176, 9_657_088, 10_576_896))]
)
def test_one_notation_stands_for_three_networks(text, expected):
    spaces = map(made, KINDS)
    assert tuple(counted(space, space.parse(text), TASK).params for space in spaces) == expected


def test_there_are_as_many_networks_as_published(nas_data):
    space = made("named")
    assert len(space) == 10_621_440
    trained = made("trained", **SMALL_BERT)
    forms = {trained.canonical(trained.sample(Random(seed))) for seed in range(400)}
    assert all(trained.canonical(form) == form for form in forms)
    two = [trained.parse(f"d{d}|{a}|{b}") for d in (8, 16) for a in LAYERS for b in LAYERS]
    assert len({trained.canonical(arch) for arch in two}) == 2 * 36  # of 2,664 with four layers
    table = pd.read_csv(nas_data / "nasbench_bert.csv.gz")["arch"]
    whole = made("trained")
    assert len({whole.canonical(whole.parse(text)) for text in table}) < len(set(table))


LAYERS = [f"{o}:h{h}:f{f}x{s}" for o in ("SA:SDP", "LT:DCT") for h in (2, 4) for f in (12, 20) for s in (1, 3)]


@pytest.mark.parametrize("networks", KINDS)
def test_canonical_forms_are_the_same_network(networks):
    space, rng = made(networks, **SMALL_BERT), Random(0)
    task = Task(11, length=5, kind="tokens", masked=True)
    tokens = torch.randint(11, (2, 5), generator=torch.Generator().manual_seed(0))
    for _ in range(4):
        arch = space.sample(rng)
        outs = []
        for form in (arch, space.canonical(arch)):
            assert is_leaf(form)
            torch.manual_seed(0)
            outs.append(space.build(form, task)(tokens))
        assert torch.equal(*outs), space.text(arch)
        assert len(space.graph(arch)) == 3 + len(space.text(arch).split("|")[1:])  # and its two ends


def attended(query, key, value):
    """One head of one sequence, token by token."""
    rows = []
    for q in query:
        weights = torch.softmax(torch.stack([q @ k for k in key]) / len(q) ** 0.5, 0)
        rows.append(sum(w * v for w, v in zip(weights, value, strict=True)))
    return torch.stack(rows)


@pytest.mark.parametrize("weighted", [False, True])
def test_attention(weighted):
    torch.manual_seed(0)
    mix, x = Attention(8, 4, weighted).double(), torch.randn(2, 5, 8, dtype=torch.float64)
    query = mix.query(x) @ mix.weight.weight.T if weighted else mix.query(x)
    heads = [[attended(*(y[s, :, c : c + 2] for y in (query, mix.key(x), mix.value(x)))) for c in (0, 2, 4, 6)]
             for s in (0, 1)]  # fmt: skip
    assert torch.allclose(mix(x), mix.output(torch.stack([torch.cat(own, 1) for own in heads])), rtol=1e-9)


@pytest.mark.parametrize("kind", ["DFT", "DCT"])
@pytest.mark.parametrize("tokens", [5, 6])
def test_transforms(kind, tokens):
    torch.manual_seed(0)
    mix, x = Transform(8, 2, kind).double(), torch.randn(2, tokens, 8, dtype=torch.float64)
    inner, expected = mix.linear(x), torch.empty(2, tokens, 8, dtype=torch.float64)
    for sample in range(2):
        for first in (0, 4):
            head = inner[sample, :, first : first + 4]
            if kind == "DFT":
                table = torch.fft.fft(torch.fft.fft(head, dim=1), dim=0).real
            else:
                rows = torch.tensor([cosine_sum(row) for row in head.tolist()], dtype=torch.float64)
                table = torch.tensor([cosine_sum(column) for column in rows.T.tolist()], dtype=torch.float64).T
            expected[sample, :, first : first + 4] = table
    assert torch.allclose(mix(x), expected, rtol=1e-9)


@pytest.mark.parametrize("kernel", [5, 9])
def test_span_convolutions(kernel):
    torch.manual_seed(0)
    mix, x = SpanConvolution(8, 4, kernel).double(), torch.randn(1, 6, 8, dtype=torch.float64)
    half, (weight, point) = kernel // 2, (mix.depthwise.weight[:, 0, :, 0], mix.point(x)[0])
    padded, points = F.pad(x[0], (0, 0, half, half)), F.pad(point, (0, 0, half, half))
    query, out = mix.query(x)[0], []
    for place in range(6):
        deep = torch.stack([padded[place : place + kernel, c] @ weight[c] for c in range(8)])
        span = mix.pointwise.weight @ deep + mix.bias
        kernels = torch.softmax(mix.kernels(span * query[place]).view(2, kernel), 1)
        near = points[place : place + kernel]  # [kernel, channels]
        out.append(torch.cat([near[:, head * 2 : head * 2 + 2].T @ kernels[head] for head in range(2)]))
    heads = [attended(query[:, c : c + 2], mix.key(x)[0, :, c : c + 2], mix.value(x)[0, :, c : c + 2]) for c in (0, 2)]
    expected = mix.output(torch.cat([torch.cat(heads, 1), torch.stack(out)], 1))
    assert torch.allclose(mix(x)[0], expected, rtol=1e-9)


@pytest.mark.parametrize("operation", ["SA:SDP", "LT:DFT"])
def test_layers(operation):
    torch.manual_seed(0)
    layer, x = Layer(8, Block(operation, 2, (12, 20))).double(), torch.randn(2, 5, 8, dtype=torch.float64)
    m = layer.mix(x) if operation == "LT:DFT" else F.layer_norm(x + layer.mix(x), (8,), eps=1e-12)
    linears = [part for part in layer.feed_forward if isinstance(part, torch.nn.Linear)]
    h = m
    for linear in linears[:-1]:
        h = F.gelu(linear(h))
    assert [linear.out_features for linear in linears] == [12, 20, 8]
    assert torch.allclose(layer(x), F.layer_norm(m + linears[-1](h), (8,), eps=1e-12), rtol=1e-9)


def test_the_network_from_tokens_to_logits():
    torch.manual_seed(0)
    net = Bert(Task(11, length=5, kind="tokens", masked=True), 6, 8, True, [Block("SA:SDP", 2, (12,))])
    tokens, own = torch.tensor([[3, 0, 10, 2, 0]]), net.embedded
    embedded = own.words.weight[tokens] + own.positions.weight[:5] + own.types.weight[0]
    x = own.projection(F.layer_norm(embedded, (6,), eps=1e-12))
    x = F.layer_norm(F.gelu(net.layers(x) @ net.head.T), (6,), eps=1e-12)
    assert torch.allclose(net(tokens), x @ own.words.weight.T, atol=1e-6)
    assert not own.words.weight[0].any()
    weights = torch.cat([p.detach().flatten() for n, p in net.named_parameters() if p.ndim > 1])
    assert abs(float(weights.std()) - 0.02) < 2e-3
    assert not any(p.any() for n, p in net.named_parameters() if n.endswith("bias"))


@pytest.mark.parametrize(("kind", "spread"), [("SA:SDP", 0.04), ("LT:DFT", 2.2), ("LT:DCT", 8)])
def test_the_first_mixer_gives_values_of_the_published_size(kind, spread):
    space = made("named")
    torch.manual_seed(0)
    text = f"d256|{kind}:h4:f512x1|SA:SDP:h2:f512x1"
    net = space.build(space.parse(text), Task(1000, length=32, kind="tokens", masked=True))
    mix = net.layers[0].mix
    if kind == "SA:SDP":  # before what brings the heads together
        mix.output = torch.nn.Identity()
    assert float(mix(net.embedded(torch.randint(1000, (4, 32)))).detach().std()) == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("d128|SA:SDP:h4:f512x1", "is not a width and 2 or 4 layers, like d256"),
        (f"{WIDE}|SA:SDP:h4:f512x1", "is not a width and 2 or 4 layers"),
        (WIDE.replace("d128", "d64"), "unknown width '64': known are 128, 256"),
        (WIDE.replace("DSC:9", "DSC:7"), "unknown operation of layer 1 'DSC:7'.*did you mean 'DSC:"),
        (WIDE.replace("h2", "h3"), "unknown number of heads of layer 2 '3': known are 2, 4"),
        (WIDE.replace("x1", "x2"), "unknown stack of layer 1 '2': known are 1, 3"),
        (WIDE.replace(":f512", ""), "layer 1, 'DSC:9:h4x1', is not like SA:WMA:h4:f1024x3"),
    ],
)
def test_what_is_no_network_is_said(text, reason):
    with pytest.raises(ValueError, match=reason):
        made("named").parse(text)


def test_what_cannot_be_built_is_said():
    space = made("named", **SMALL_BERT)
    arch = space.sample(Random(0))
    with pytest.raises(ValueError, match="the space's networks take tokens, and the task is one of images"):
        space.build(arch, Task(3))
    with pytest.raises(ValueError, match="the network has 512 positions, and sequences have 513 tokens"):
        space.build(arch, Task(9, length=513, kind="tokens", masked=True))
    with pytest.raises(ValueError, match="divided among 4 heads, which 6 is not"):
        made("named", widths=(8, 6))
