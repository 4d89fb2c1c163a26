"""Every conformance check is failed by a plug-in that breaks what it is about."""

import textwrap

import pytest

from nas import plugins
from nas.proxy import PROXIES
from nas.searcher import SEARCHERS
from nas.space import SPACES
from nas.testing import PROXY_CHECKS, SEARCHER_CHECKS, SPACE_CHECKS

PROXY = """
import random
import types
import numpy as np
import torch
from torch import nn
from nas.proxy import proxy

met = []

@proxy("odd", static={static})
def odd(probe):
    net, images = probe.net, probe.images
    first = next(net.parameters())
"""
SEARCHER = """
import random
from nas.searcher import searcher
from nas.space import is_leaf

met = []

@searcher("odd")
def odd(space, rng):
"""
SPACE = """
import networkx as nx
import numpy as np
from torch import nn
from nas.space import Space, space

built = []

class Plain(Space):
    slots = (("a", "b"), ("a", "b", "c"))

    def build(self, arch, task):
        width = 4 + sum(options[0] for options in arch)
        return nn.Sequential(nn.Conv2d(task.channels, width, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                             nn.Linear(width, task.classes))

@space("odd")
class Odd(Plain):
"""

PROXY_FAULTS = {
    "proxy_gives_a_finite_number_or_a_reason": {
        "return float('nan')": "an ordinary network fails",
        "1 / 0": "an ordinary network fails",
    },
    "proxy_gives_the_same_value_for_the_same_seed": {
        "met.append(1)\nreturn len(met)": "another value the second time",
    },
    "proxy_does_not_depend_on_what_was_scored_before": {
        "met.append(probe.params)\nreturn met[0]": "another value after others were scored",
        "met.append(probe.params)\nreturn probe.params / max(met)": "another value after others were scored",
    },
    "proxy_does_not_depend_on_who_else_is_asked": {
        "return float(bool(probe._wanted))": "odd has another score among",
    },
    "proxy_is_unharmed_by_a_rude_neighbour": {
        "met.append(1)\nreturn len(met)": "another score beside a rude neighbour",
    },
    "proxy_changes_nothing": {
        "nn.init.zeros_(first)": "changes the values of stem.0.weight",
        "first.data.mul_(0)": "changes the values of stem.0.weight",
        "next(net.buffers()).add_(1)": "changes the values of stem.1.running_mean",
        "net(images)": "changes the values of stem.1.running_mean",
        "images.zero_()": "changes the values of the images",
        "images.data.add_(1)": "changes the values of the images",
        "probe.labels.zero_()": "changes the values of the labels",
        "first.requires_grad_(False)": "changes the tensor stem.0.weight",
        "images.requires_grad_()": "changes the tensor the images",
        "probe.forward().sum().backward()": "changes the gradient of stem.0.weight",
        "first.register_hook(lambda grad: grad * 0)": "changes the tensor stem.0.weight",
        "net.stem[0].weight = nn.Parameter(first.detach())": "changes the tensor stem.0.weight",
        "net.eval()": "changes the mode of the network",
        "net.stem[1].eval()": "changes the mode of stem.1",
        "net.double()": "changes the values of",
        "net.stem[0] = nn.Identity()": "changes .*the module stem.0",
        "net.stem[0].register_forward_hook(lambda *_: None)": "changes the hooks of stem.0",
        "net.stem[0].register_forward_pre_hook(lambda *_: None)": "changes the hooks of stem.0",
        "net.stem[0].register_full_backward_hook(lambda *_: None)": "changes .*the hooks of stem.0",
        "net.stem[0].forward = lambda x: x": "changes the module stem.0",
        "torch.manual_seed(1)": "sets torch's generator",
        "np.random.seed(1)": "changes numpy's generator",
        "np.random.rand()": "changes numpy's generator",
        "random.seed(1)": "changes random's generator",
        "nn.init.zeros_(first)\n1 / 0": "changes the values of stem.0.weight",
    },
    "proxy_uses_labels_only_if_declared": {"return float(probe.labels[0])": "depends on the labels"},
    "proxy_is_static_if_declared": {
        "return float(first.sum())": "odd is not static",
        "return float(images.sum())": "odd is not static",
    },
}
SEARCHER_FAULTS = {
    "searcher_keeps_the_budget": {
        "while True:\n    yield [space.sample(rng) for _ in range(5000)]": "5000 architectures are proposed at once",
        "while True:\n    yield [space.sample(rng) for _ in range(33)]": "33 architectures are proposed at once",
        "yield []": "nothing is proposed",
        "met.append(1)\nwhile True:\n    yield [((len(met) % 4,),) * 8]": "changes what is proposed",
    },
    "searcher_proposes_what_belongs_to_the_space": {
        "while True:\n    yield [((4,),) * 8]": "options that the space does not have",
        "while True:\n    yield [((0,),) * 7]": "not as many slots",
        "while True:\n    yield [((0, 1),) * 8]": "may propose open slots",
        "while True:\n    yield [((0, 0),) * 8]": "options twice",
        "while True:\n    yield [tuple((rng.randrange(4),) for _ in range(8))]": "is not valid in its space",
    },
    "searcher_depends_on_its_seed_alone": {
        "while True:\n    yield [space.sample(random.Random())]": "the same seed gives another history",
        "while True:\n    yield [((0,),) * 8]": "the seed changes nothing",
    },
    "searcher_repeats_itself_in_another_process": {
        "rng = random.Random(hash('a text'))\nwhile True:\n    yield [space.sample(rng)]": "gives another history",
    },
    "searcher_continues_identically_from_any_truncation": {
        "broken_off = bool(met)\nmet.append(1)\nfor number in range(80):\n"
        "    yield [((number % 4 ** broken_off,),) * 8]\n"
        "    if number == 78:\n        met.clear()": "after a run that ended with trial 1 ",
    },
    "searcher_survives_ties_and_failures": {
        "while True:\n    scores = yield [space.sample(rng) for _ in range(2)]\n"
        "    if scores[0] == scores[1]:\n        return": "scores all equal: it stopped early",
        "while True:\n    (score,) = yield [space.sample(rng)]\n"
        "    if score - score != 0:\n        return": "scores all failed: it stopped early",
    },
    "searcher_beats_random_sampling": {
        "while True:\n    yield [((3,), (2,), (1,), (0,)) * 2]": "its best is",
        "best = space.sample(rng), 0\nwhile True:\n    child = space.mutate(best[0], rng)\n"
        "    (score,) = yield [child]\n    if score < best[1]:\n        best = child, score": "its best is",
        "scores = [0.0]\nwhile True:\n    [space.sample(rng) for _ in range(1 + int(scores[0] > -9))]\n"
        "    scores = yield [space.sample(rng)]": "its best is",
    },
    "searcher_changes_nothing": {
        "random.seed(1)\nwhile True:\n    yield [space.sample(rng)]": "moves or sets random's",
        "import numpy\nnumpy.random.rand()\nwhile True:\n    yield [space.sample(rng)]": "moves or sets numpy's",
        "import torch\ntorch.manual_seed(1)\nwhile True:\n    yield [space.sample(rng)]": "moves or sets torch's",
    },
}
BUILD = "def build(self, arch, task):\n    net = super().build(arch, task)\n"
TEXT = "def text(self, arch):\n    return 'x'\n"
GRAPH = (
    "slots = (('a', 'b'),) * 2\n"
    "def graph(self, arch):\n    cell = nx.DiGraph([(0, 1), (0, 2), (1, 3), (2, 3)])\n"
    "    nx.set_node_attributes(cell, {1: arch[0], 2: arch[1]}, 'op')\n    return cell\n"
)
SPACE_FAULTS = {
    "space_notation_round_trips": {TEXT + "def parse(self, text):\n    return ((0,), (0,))": "x is read as another"},
    "space_notations_read_back": {
        "def notations(self, arch):\n    return {'text': self.text(arch), 'other': '1'}\n"
        "def parse(self, text):\n    return ((1,), (2,)) if text == 'other:1' else super().parse(text)": "is read as",
        "def notations(self, arch):\n    return {'text': self.text(arch), 'other': '1'}\n"
        "def parse(self, text):\n    raise ValueError('no')": "refused without a reason",
        "def notations(self, arch):\n    return {'text': '1'}": "the first notation of",
    },
    "space_refuses_what_it_cannot_read": {"def parse(self, text):\n    return ((0,), (0,))": "is read as"},
    "space_mutation_changes_one_slot": {"slots = (('a',), ('b',))": "changes 0 slots"},
    "space_crossover_takes_slots_from_its_parents": {
        "calls = 0\ndef valid(self, arch):\n    self.calls += 1\n    return self.calls % 2 > 0": "a child is not valid",
    },
    "space_lattice_leads_from_the_supernet_to_a_leaf": {
        "def valid(self, arch):\n    return len(arch[1]) == 3 or arch == ((0,), (0,))": "valid, and nothing below it",
        "def valid(self, arch):\n    return len(arch[0]) == 1 or len(arch[1]) == 3": "is not valid, and",
    },
    "space_counts_what_it_enumerates": {
        "def size(self):\n    return 7": "6 architectures are enumerated, the size is 7"
    },
    "space_builds_networks_for_the_task": {
        "def build(self, arch, task):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(task.channels * task.size ** 2, 7))": r"gives \[2, 7\]",
        BUILD + "    nn.init.zeros_(net[-1].weight)\n    return net": "no gradient reaches the first layer",
    },
    "space_builds_the_same_network_for_the_same_seed": {
        BUILD + "    net[0].weight.data.fill_(len(built))\n    built.append(1)\n"
        "    return net": "has other weights the second time",
        BUILD + "    for weights in net.parameters():\n        nn.init.ones_(weights)\n"
        "    return net": "the seed changes nothing",
    },
    "space_thin_copy_takes_the_same_architectures": {
        "def thin(self):\n    other = Plain()\n    other.slots = (('a', 'b'),)\n    return other": "has other slots",
        "def thin(self):\n    class Thin(Plain):\n        def build(self, arch, task):\n"
        "            return nn.Sequential(nn.Flatten(), nn.Linear(9, 7))\n    return Thin()": r"gives \[2, 7\]",
    },
    "space_canonical_form_stands_for_the_same_network": {
        "def canonical(self, arch):\n    return ((0,), (0,))": "parameters, its canonical form",
        "def canonical(self, arch):\n    return arch[:1] + (((arch[1][0] + 1) % 3,),)": "not its own canonical form",
        GRAPH + "def canonical(self, arch):\n"
        "    return ((0,), (0,))\n"
        "def build(self, arch, task):\n    return Plain().build(((0,), (0,)), task)": "another cell",
    },
    "space_canonical_form_is_one_for_isomorphic_cells": {GRAPH: "their canonical forms differ"},
}


def cases(faults):
    return [(check, body, sentence) for check, found in faults.items() for body, sentence in found.items()]


@pytest.fixture
def load(tmp_path):
    """Registers what a text registers, for one test."""
    with PROXIES.put_back(), SEARCHERS.put_back(), SPACES.put_back():

        def write(head, body):
            (tmp_path / "odd.py").write_text(head + textwrap.indent(body, "    ") + "\n")
            plugins.load([tmp_path / "odd.py"])

        yield write


def fails(check, checks, sentence):
    (function,) = [found for found in checks if found.__name__ == check]
    with pytest.raises(AssertionError, match=sentence):
        function("odd")


@pytest.mark.parametrize(("check", "body", "sentence"), cases(PROXY_FAULTS))
def test_a_proxy_that_breaks_its_promise(load, check, body, sentence):
    load(PROXY.replace("{static}", str(check == "proxy_is_static_if_declared")), f"{body}\nreturn 1.0")
    fails(check, PROXY_CHECKS, sentence)


@pytest.mark.parametrize(("check", "body", "sentence"), cases(SEARCHER_FAULTS))
def test_a_searcher_that_breaks_its_promise(load, check, body, sentence):
    load(SEARCHER, body)
    fails(check, SEARCHER_CHECKS, sentence)


@pytest.mark.parametrize(("check", "body", "sentence"), cases(SPACE_FAULTS))
def test_a_space_that_breaks_its_promise(load, check, body, sentence):
    load(SPACE, body)
    fails(check, SPACE_CHECKS, sentence)


@pytest.mark.parametrize(("head", "body", "checks"), [
    (PROXY.replace("{static}", "False"), "return float(first.norm())", PROXY_CHECKS),
    (SEARCHER, "while True:\n    yield [space.sample(rng)]", SEARCHER_CHECKS),
    (SPACE, "supernet = False", SPACE_CHECKS),
], ids=["proxy", "searcher", "space"])  # fmt: skip
def test_what_keeps_its_promises_passes(load, head, body, checks):
    load(head, body)
    for check in checks:
        check("odd")


def test_every_check_is_failed_by_something():
    checks = {check.__name__ for check in (*PROXY_CHECKS, *SEARCHER_CHECKS, *SPACE_CHECKS)}
    assert checks == {*PROXY_FAULTS, *SEARCHER_FAULTS, *SPACE_FAULTS}
