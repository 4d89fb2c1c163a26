"""Time and memory of per-sample gradients on sequences, against one plain pass and against `torch.func.vmap`.

python -m benchmarks.sequences [--samples 8] [--length 32]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from nas import plugins
from nas.data.minibatch import Minibatch, minibatch
from nas.passes.per_sample import visit_blocks
from nas.passes.tokens import loss
from nas.scoring.cost import milliseconds, peak_memory
from nas.scoring.measurer import build
from nas.space import SPACES

LSTM_LIKE = (
    '{"i": {"op": "linear", "input": ["x", "h_prev_0"]}, "g": {"op": "activation_sigm", "input": ["i"]},'
    ' "j": {"op": "linear", "input": ["x", "h_prev_0"]}, "t": {"op": "activation_tanh", "input": ["j"]},'
    ' "h_new_0": {"op": "elementwise_prod", "input": ["g", "t"]}}'
)
NETWORKS = {
    "BERT, 4 layers": ("nasbench_bert", "|".join(["d256", *["SA:SDP:h4:f1024x1"] * 4])),
    "BERT, convolutions": ("nasbench_bert", "d128|DSC:9:h4:f512x1|DSC:5:h2:f512x1"),
    "recurrent": ("nasbench_nlp", LSTM_LIKE),
}


def plain(net: nn.Module, data: Minibatch) -> Callable[[], object]:
    def run() -> None:
        data.task.loss(net(data.images), data.labels).backward()  # type: ignore[no-untyped-call]
        net.zero_grad()

    return run


def in_blocks(net: nn.Module, data: Minibatch) -> Callable[[], object]:
    return lambda: visit_blocks(net, data.images, data.labels, lambda block: None)


def mapped(net: nn.Module, data: Minibatch) -> Callable[[], object]:
    layers = [module.weight for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    weights = {name: parameter for name, parameter in net.named_parameters() if any(parameter is w for w in layers)}

    def value(own: dict[str, Tensor], tokens: Tensor, labels: Tensor) -> Tensor:
        return loss(functional_call(net, own, (tokens[None],)), labels[None])

    return lambda: vmap(grad(value), (None, 0, 0))(weights, data.images, data.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--length", type=int, default=32)
    given = parser.parse_args()
    plugins.load()
    rows = []
    for label, (name, text) in NETWORKS.items():
        space = SPACES[name]()
        data = minibatch(f"tokens:length={given.length}", given.samples, predicts=space.predicts)
        net = build(space, space.parse(text), data.task)
        cases = {"plain": plain(net, data), "blocks": in_blocks(net, data), "vmap": mapped(net, data)}
        for case in cases.values():
            case()
        times = milliseconds(cases, torch.device("cpu"))
        for case, run in cases.items():
            ratio = times[case] / times["plain"]
            rows.append((label, case, times[case], ratio, peak_memory(run, torch.device("cpu"))))
    print(pd.DataFrame(rows, columns=["network", "way", "ms", "ratio", "MB"]).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
