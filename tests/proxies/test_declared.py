"""What proxies declare that they need, against networks and data that lack it."""

from sequences import sequences
from torch import nn

from nas.proxy import FAMILIES, PROXIES
from nas.scoring.scorer import Scorer
from nas.space import Space
from nas.testing.toys import small_minibatch

EVERY = [PROXIES[name] for name in PROXIES]
OURS = [PROXIES[name] for name in PROXIES if not PROXIES[name].parts and not PROXIES[name].machine]


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.norm(self.convolution(x)).tanh()


class Bounded(Space):
    """A network with hyperbolic tangents only."""

    slots = (("one",),)

    def build(self, arch, task):
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, task.classes)]
        return nn.Sequential(Block(task.channels, 4), Block(4, 8), *head)


class Sequences(Space):
    """A transformer of one block on tokens."""

    slots = (("one",),)
    predicts = ("tokens",)

    def build(self, arch, task):
        layer = nn.TransformerEncoderLayer(16, 2, 24, activation="relu", batch_first=True)
        return nn.Sequential(nn.Embedding(task.classes, 16), layer, nn.Linear(16, task.classes))


def without_score(space, data, proxies):
    scores = Scorer(space, data, device="cpu")([((0,),)], proxies)[0]
    return {name: score.reason for name, score in scores.items() if score.status == "failed"}


def test_every_proxy_of_ours_has_a_family():
    assert {proxy.family for proxy in EVERY} == {*FAMILIES} - {"other"}
    assert all((proxy.family == "combinations") == bool(proxy.parts) for proxy in EVERY)


def test_relus():
    full = [p for p in OURS if p.network == "full" and "attention" not in p.needs]
    failed = without_score(Bounded(), small_minibatch(), full)
    assert {*failed} == {proxy.name for proxy in full if "ReLUs" in proxy.needs}, failed


def test_images():
    data = sequences()
    full = [p for p in OURS if p.network == "full"]
    failed = without_score(Sequences(), data, full)
    assert {*failed} == {p.name for p in full if {"images", "convolutions"} & {*p.needs}}, failed


def test_every_proxy_of_ours_declares_its_cost():
    assert not [proxy.name for proxy in EVERY if proxy.passes is None]
