"""Kendall's τ of a cell's depth with its trained accuracy, on all of NAS-Bench-201, by what counts as a layer.

    NAS_DATA=... python -m benchmarks.depths

Ours counts convolutions on the longest path; the τ published for depth fits a 1 x 1 convolution of half a layer.
"""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from nas.statistics.ranks import kendall

LAYERS = {"ours": {"1x1": 1.0, "3x3": 1.0}, "1x1 half": {"1x1": 0.5, "3x3": 1.0}, "3x3 alone": {"3x3": 1.0}}


def depth(arch: str, layers: dict[str, float]) -> float:
    """The weight of the heaviest path from node 0 to the last one, or -1 where there is none."""
    reached = {0: 0.0}
    groups = arch.split("+")
    for node, group in enumerate(groups, start=1):
        edges = [(name, int(source)) for name, source in re.findall(r"(\w+)~(\d)", group) if name != "none"]
        lengths = [
            reached[source] + (layers.get(name[-3:], 0.0) if "conv" in name else 0.0)
            for name, source in edges
            if source in reached
        ]
        if lengths:
            reached[node] = max(lengths)
    return reached.get(len(groups), -1.0)


def main() -> None:
    table = pd.read_csv(Path(os.environ["NAS_DATA"]) / "nasbench201.csv.gz")
    for name, layers in LAYERS.items():
        depths = np.array([depth(arch, layers) for arch in table["arch"]])
        taus = [kendall(depths, table[target].to_numpy()) for target in ("cifar10_test", "cifar100_test")]
        print(f"{name:<10} {taus[0]:.3f} {taus[1]:.3f}")


if __name__ == "__main__":
    main()
