"""Networks of many habits as source: what they have, what they share, and what cannot be written."""

import functools
import math

import numpy as np
import pytest
import torch
from cases import Positions, Residual, Tokens, VisionTransformer, convolutional
from exported import outputs_elsewhere, own_outputs
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from nas.formats.card import ModelCard
from nas.formats.python import import_file, source_of, weights_for
from nas.formats.sources import NoSource
from nas.space import Task

SCALE = 0.5


def scaled(x):
    return SCALE * helper(x) / math.sqrt(2)


def helper(x, *, power=SCALE):
    return x.abs() ** power


class Base(nn.Module):
    """A base class, of which one member is in use."""

    factor = 3

    def body(self, x):
        return self.factor * x

    def unused(self, x):
        raise AssertionError(nonsense)  # noqa: F821


class Habits(Base):
    """Buffers (one that no state dictionary has), parameters, constants, functions, a property, a static method, a
    generator, None, and a list of numbers.
    """

    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding="same", padding_mode="reflect")
        self.weight = nn.Parameter(torch.randn(4))
        self.frozen = nn.Parameter(torch.randn(1), requires_grad=False)
        self.register_buffer("shift", torch.randn(4, 1, 1))
        self.register_buffer("loose", torch.randn(4, 1, 1), persistent=False)
        self.register_buffer("absent", None)
        self.nothing = None
        self.powers = [1, 2.5, (3, "x")]
        self.named = {"a": True}
        self.activation = F.gelu
        self.pool = functools.partial(torch.flatten, start_dim=1)
        self.parts = nn.ParameterList([torch.randn(2), torch.randn(3)])
        self.head = nn.Linear(4, classes)
        self.unread = lambda: 1

    @property
    def doubled(self):
        return 2 * self.weight

    @staticmethod
    def mean(x):
        return x.mean((2, 3))

    def forward(self, x):
        x = self.body(self.activation(self.stem(x))) * self.doubled[:, None, None]
        x = scaled(x) + self.shift * self.loose + self.frozen
        if self.absent is None and self.nothing is None and self.named["a"]:
            x = x * self.powers[1] + sum(part.sum() for part in self.parts)
        return self.head(self.pool(self.mean(x)))


class Standardised(nn.Conv2d):
    """A convolution with something of its own, which its arguments do not say."""

    def __init__(self, *arguments, eps, **more):
        super().__init__(*arguments, **more)
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return F.conv2d(x, self.gain * self.weight / (self.weight.std() + self.eps), self.bias, padding=self.padding)


class Tied(nn.Module):
    """A layer and a weight that are in it twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
        self.again = nn.ModuleList([nn.ReLU(), self.first])
        self.body = nn.Conv2d(3, 3, 1)
        self.body.weight = self.first[0].weight
        self.head = nn.Linear(3, 5)

    def forward(self, x):
        for layer in self.again:
            x = layer(self.first(x)) + self.body(x)
        return self.head(x.mean((2, 3)))


class Named(nn.Sequential):
    """A sequence of its own."""

    def forward(self, x):
        return super().forward(x).tanh()


def attention():
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, activation=F.gelu, batch_first=True, norm_first=True), 2,
        norm=nn.LayerNorm(8), enable_nested_tensor=False,
    )  # fmt: skip
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), Transposed(), encoder, nn.Flatten(), nn.Linear(32, 5))


class Transposed(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


def of_many_layers():
    return nn.Sequential(
        nn.ZeroPad2d(1), nn.Conv2d(3, 8, (1, 3), stride=(1, 2), groups=1), nn.GroupNorm(2, 8), nn.PReLU(8), nn.SiLU(),
        nn.MaxPool2d(3, 1, 1), nn.Upsample(scale_factor=2, mode="bilinear"), nn.ConvTranspose2d(8, 4, 2, 2),
        nn.InstanceNorm2d(4, affine=True), nn.LeakyReLU(0.2), nn.Dropout2d(0.3), nn.AdaptiveAvgPool2d((2, 1)),
        nn.BatchNorm2d(4, eps=1e-3, momentum=None), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 5, bias=False),
        nn.Softmax(dim=1),
    )  # fmt: skip


NETWORKS = {
    "residual": Residual,
    "tokens": Tokens,
    "positions": Positions,
    "transformer": lambda: VisionTransformer(True, False),
    "convolutional": convolutional,
    "habits": lambda: Habits(5),
    "a class of PyTorch's with more to it": lambda: nn.Sequential(
        Standardised(3, 4, 3, padding=1, eps=0.1), nn.ReLU(), Standardised(4, 5, 3, eps=0.2, bias=False),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ),
    "tied": Tied,
    "sequence": lambda: Named(nn.Flatten(), nn.Linear(192, 5)),
    "attention": attention,
    "layers": of_many_layers,
}  # fmt: skip
IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def card(name="a network"):
    return ModelCard(name, Task(5, 3, 8), tuple("abcde"), (0.0,) * 3, (1.0,) * 3)


def moved(net):
    """The network with other numbers everywhere than a fresh one has."""
    generator = torch.Generator().manual_seed(2)
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return net.eval()


def written(net, folder, name="net"):
    file = folder / f"{name}.py"
    file.write_text(source_of(net, card()))
    torch.save(weights_for(net, import_file(file).network()), folder / f"{name}.pt")
    return file


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory):
    """By name, the network and what its source gives in a process without this project."""
    folder = tmp_path_factory.mktemp("sources")
    torch.manual_seed(0)
    nets = {name: moved(make()) for name, make in NETWORKS.items()}
    files = [written(net, folder, f"net{number}") for number, net in enumerate(nets.values())]
    outputs = outputs_elsewhere(
        [file for file, net in zip(files, nets.values(), strict=True) if classes(net) == 5], IMAGES
    )
    return nets, dict(zip(nets, files, strict=True)), outputs


def classes(net):
    return own_outputs(net, IMAGES).shape[1]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_source_makes_the_network(everywhere, name):
    nets, files, _ = everywhere
    made = import_file(files[name]).load()
    assert torch.equal(own_outputs(made, IMAGES), own_outputs(nets[name], IMAGES))
    mine = {key: (p.shape, p.requires_grad) for key, p in nets[name].named_parameters()}
    assert {key: (p.shape, p.requires_grad) for key, p in made.named_parameters()} == mine
    assert [type(module).__name__ for module in made.modules()] == [type(m).__name__ for m in nets[name].modules()]


def test_elsewhere_it_gives_the_same(everywhere):
    nets, _, outputs = everywhere
    expected = [own_outputs(net, IMAGES) for net in nets.values() if classes(net) == 5]
    assert len(expected) == len(outputs) > 5
    for own, other in zip(expected, outputs, strict=True):
        assert torch.equal(own, other)


def test_what_is_not_needed_is_left_out(everywhere):
    text = everywhere[1]["habits"].read_text()
    assert "unused" not in text
    assert "unread" not in text
    assert "def scaled(x):" in text
    assert "SCALE = 0.5" in text
    assert '"""A base class, of which one member is in use."""' in text


def test_shared_layers_are_shared(everywhere):
    made = import_file(everywhere[1]["tied"]).load()
    assert made.again[1] is made.first
    assert made.body.weight is made.first[0].weight


def test_a_docstring_may_hold_anything(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    text = source_of(net, card('a """ network \\ with\n"quotes"'))
    (tmp_path / "net.py").write_text(text)
    assert tuple("abcde") == import_file(tmp_path / "net.py").CLASSES


class TakesNumpy(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)) * float(np.float32(2))


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(192, 5)]
        self.flat = nn.Flatten()

    def forward(self, x):
        return self.layers[0](self.flat(x))


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.randn(192, 5)

    def forward(self, x):
        return x.flatten(1) @ self.table


def closed():
    width = 5

    class Closed(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :width]

    return Closed()


def hooked():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    net[1].register_forward_hook(lambda module, inputs, out: 2 * out)
    return net


def replaced():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    net[1].forward = lambda x: x[:, :5]
    return net


def made_at_run_time():
    scope = {"nn": nn}
    exec("class Made(nn.Module):\n    def forward(self, x):\n        return x.flatten(1)[:, :5]\n", scope)
    return scope["Made"]()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(nn.Flatten(), TakesNumpy(192, 5)), "takes the module numpy"),
        (Hidden, "layers of a Hidden is a module that is not registered|not a plain value"),
        (Constant, "table of a Constant is a Tensor, not a plain value"),
        (closed, "takes width from a function around it"),
        (hooked, "the Linear at 1 has hooks, which are no part of its source"),
        (replaced, "the Linear at 1 has a forward of its own, other than its class's"),
        (made_at_run_time, "has no source that can be read"),
        (lambda: nn.Sequential(nn.Flatten(), weight_norm(nn.Linear(192, 5))), "Linear"),
    ],
)
def test_what_cannot_be_written_says_why(make, message):
    with pytest.raises(NoSource, match=message):
        source_of(make().eval(), card())
