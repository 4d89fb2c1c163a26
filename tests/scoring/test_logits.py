"""What a network may return."""

from dataclasses import dataclass

import pytest
import torch
from cases import made
from user_networks import Answer

from nas.probe import Probe
from nas.scoring.logits import logits_of
from nas.space import Task

LOGITS, OTHERS = torch.zeros(2, 3), torch.ones(2, 5)


@dataclass
class Fields:
    hidden: object
    logits: object


RETURNED = {
    "logits alone": (LOGITS, LOGITS),
    "more logits than classes": (OTHERS, OTHERS),
    "features, logits": ((OTHERS, LOGITS), LOGITS),
    "logits, auxiliary": ([LOGITS, LOGITS + 1], LOGITS),
    "maps, then logits": ((torch.zeros(2, 3, 4, 4), [OTHERS, LOGITS]), LOGITS),
    "dictionary without the name": ({"loss": torch.tensor(0.0), "out": LOGITS}, LOGITS),
    "dictionary with the name": ({"features": LOGITS + 1, "logits": LOGITS}, LOGITS),
    "named tuple": (Answer(auxiliary=LOGITS + 1, logits=LOGITS), LOGITS),
    "dataclass": (Fields(hidden=LOGITS + 1, logits=LOGITS), LOGITS),
    "several under the name": ({"logits": (OTHERS, LOGITS)}, LOGITS),
    "nothing but features of as many columns": ((LOGITS + 1, LOGITS), LOGITS + 1),
}


@pytest.mark.parametrize("case", RETURNED)
def test_logits_are_found(case):
    returned, expected = RETURNED[case]
    assert torch.equal(logits_of(returned, 3), expected)


@pytest.mark.parametrize(
    ("returned", "held"),
    [
        (torch.zeros(2, 3, 4, 4), r"Tensor: \[2, 3, 4, 4\]"),
        (torch.zeros(2, 2), r"Tensor: \[2, 2\]"),
        ((OTHERS, OTHERS), r"tuple: \[2, 5\], \[2, 5\]"),
        ({"logits": torch.zeros(3), "out": LOGITS}, r"Tensor: \[3\]"),
        (None, "NoneType: no tensor"),
        ("text", "str: no tensor"),
    ],
)
def test_logits_that_are_missing(returned, held):
    with pytest.raises(ValueError, match=rf"no logits \[samples, 3\] for the 3 classes of the task, but {held}"):
        logits_of(returned, 3)


def test_features_beside_the_logits_change_no_score():
    """The same network, once with its features and once without: whatever is measured is the same."""
    task, images, labels = Task(3, 3, 8), torch.randn(6, 3, 8, 8), torch.arange(6) % 3
    pair = made("Twins", task)
    alone = made("Twins", task)
    alone._forward_hooks.clear()
    alone.register_forward_hook(lambda net, inputs, out: out[1])
    probes = [Probe(net, images, labels) for net in (pair, alone)]
    grams = [sum(probe.map_blocks(lambda block: block.gram)) for probe in probes]
    assert torch.equal(*grams)
    assert torch.equal(*(probe.forward() for probe in probes))
    assert probes[0].trace == probes[1].trace
    assert probes[0].trace.depth == 1


def test_functional_relus_are_seen():
    patterns = Probe(made("Twins"), torch.randn(6, 3, 8, 8), torch.arange(6) % 3).map_relus(lambda pattern: pattern)
    assert [pattern.shape[1] for pattern in patterns] == [6 * 64, 6 * 64]
