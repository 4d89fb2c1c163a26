"""Small networks of tokens, and the slow, obviously correct ways to measure them."""

from math import cos, pi

import torch
from torch import nn
from torch.nn import functional as F

from nas.data.minibatch import minibatch
from nas.scoring.measurer import build
from nas.space import SPACES

BERTS = {
    "attention": "d16|SA:SDP:h4:f12x3|SA:WMA:h2:f20x1",
    "transforms": "d8|LT:DFT:h4:f12x1|LT:DCT:h2:f20x3",
    "convolutions": "d16|DSC:5:h4:f12x1|DSC:9:h2:f12x3",
}
SMALL_BERT = {"widths": (8, 16), "feed_forwards": (12, 20), "embedding": 8}


def sequences(masked=True, samples=4, length=9, vocab=13, seed=0):
    return minibatch(f"tokens:vocab={vocab},length={length},predict={'masked' if masked else 'next'}", samples, seed)


def bert(name, dtype=torch.float64, task=None):
    space = SPACES["nasbench_bert"](**SMALL_BERT)
    return build(space, space.parse(BERTS.get(name, name)), task or sequences().task, 1).to(dtype)


def loss_of_one(net, tokens, labels):
    """The mean cross-entropy over the places of one sequence that have a label, place by place."""
    logits = net(tokens[None])[0]
    places = [place for place, label in enumerate(labels.tolist()) if label >= 0]
    return torch.stack([-F.log_softmax(logits[place], 0)[labels[place]] for place in places]).mean()


def one_sequence_at_a_time(net, tokens, labels):
    """The gradients of each Linear and Conv2d weight, [samples, weights] by name."""
    names = {parameter: name for name, parameter in net.named_parameters()}
    weights = [module.weight for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    rows = {names[weight]: [] for weight in weights}
    for sequence, label in zip(tokens, labels, strict=True):
        gradients = torch.autograd.grad(loss_of_one(net, sequence, label), weights, allow_unused=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            rows[names[weight]].append((torch.zeros_like(weight) if gradient is None else gradient).flatten())
    return {name: torch.stack(row) for name, row in rows.items()}


def cosine_sum(x):
    """2 Σ x_n cos(π (n + ½) k / N) of a list, term by term."""
    return [2 * sum(v * cos(pi * (n + 0.5) * k / len(x)) for n, v in enumerate(x)) for k in range(len(x))]
