"""Parameters and multiply-accumulates of all 15,625 cells against the published table.

    NAS_DATA=... python benchmarks/nasbench201_counts.py

The table's FLOPs were counted by a tool that adds to the multiply-accumulates of convolutions and linear layers, which
are our `flops`, three for each output of a cell's convolutions (ReLU 1, batch norm 2), nine for each output of a 3 x 3
pooling, and the same for the fixed skeleton, 160,832 in all.
"""

import os
import time
from pathlib import Path

import pandas as pd
import torch

from nas import plugins
from nas.probe import Probe
from nas.scorer import build
from nas.space import SPACES, Task

OUTPUTS = 5 * (16 * 32**2 + 32 * 16**2 + 64 * 8**2)  # of one edge, over all cells


def main() -> None:
    plugins.load()
    space, start, wrong = SPACES["nasbench201"](), time.perf_counter(), []
    table = pd.read_csv(Path(os.environ["NAS_DATA"]) / "nasbench201.csv.gz")
    image = torch.zeros(1, 3, 32, 32)
    for arch, params, flops in table[["arch", "params", "flops"]].itertuples(index=False):
        probe = Probe(build(space, space.parse(arch), Task(10)), image, torch.zeros(1))
        beside = 3 * OUTPUTS * arch.count("nor_conv") + 9 * OUTPUTS * arch.count("avg_pool") + 160_832
        if (probe.params, probe.trace.flops + beside) != (params, flops):
            wrong.append(arch)
    print(f"{len(table)} cells, {len(wrong)} differ, {time.perf_counter() - start:.0f} s {wrong[:3]}")


if __name__ == "__main__":
    main()
