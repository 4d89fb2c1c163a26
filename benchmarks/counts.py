"""Parameters, and multiply-accumulates where given, of every row of every table, without allocating a weight.

    NAS_DATA=... python -m benchmarks.counts [nasbench201 nasbench101 nats_sss nasbench_macro mnasnet multi_resolution]

NAS-Bench-201's FLOPs were counted by a tool that adds to the multiply-accumulates of convolutions and linear layers,
which are our `flops`, three for each output of a cell's convolutions (ReLU 1, batch norm 2), nine for each output of a
3 x 3 pooling, and the same for the fixed skeleton, 160,832 in all. Also measured: the time of a canonical form, and for
10,000 random modules of NAS-Bench-101 whether its classes are those of the official hash.
"""

import os
import sys
import time
from pathlib import Path
from random import Random

import pandas as pd
import torch

from nas import plugins
from nas.probe import Probe
from nas.space import SPACES, Arch, Space, Task

TABLES = ("nasbench201", "nasbench101", "nats_sss", "nasbench_macro")
IN_MILLIONS = {"mnasnet": ("accel_nasbench", "params", Task(1000, 3, 224)),
               "multi_resolution": ("nasbench_mr", "params_m", Task(50, 3, 128))}  # fmt: skip
"""Spaces whose tables have parameters in millions: the table, its column, and the task they are counted for."""
OUTPUTS = 5 * (16 * 32**2 + 32 * 16**2 + 64 * 8**2)  # of one edge of NAS-Bench-201, over all cells
DRAWN = 10_000


def counts(space: Space, arch: Arch) -> tuple[int, int]:
    with torch.device("meta"):
        probe = Probe(space.build(arch, Task(10)), torch.zeros(1, 3, 32, 32), torch.zeros(1))
        return probe.params, probe.trace.flops


def compare(name: str) -> None:
    table = pd.read_csv(Path(os.environ["NAS_DATA"]) / f"{name}.csv.gz", dtype={"arch": str})
    space, start, wrong = SPACES[name](), time.perf_counter(), []
    for row in table.to_dict("records"):
        params, flops = counts(space, space.parse(row["arch"]))
        if name == "nasbench201":
            edges = row["arch"]
            flops += 3 * OUTPUTS * edges.count("nor_conv") + 9 * OUTPUTS * edges.count("avg_pool") + 160_832
        if params != row["params"] or flops != row.get("flops", flops):
            wrong.append(row["arch"])
    print(
        f"{name}: {len(table)} rows, {len(wrong)} differ, {time.perf_counter() - start:.0f} s {wrong[:3]}", flush=True
    )


def compare_millions(name: str) -> None:
    """Compares parameters alone, of networks built without weights."""
    file, column, task = IN_MILLIONS[name]
    table = pd.read_csv(Path(os.environ["NAS_DATA"]) / f"{file}.csv.gz")
    space, start, wrong = SPACES[name](), time.perf_counter(), []
    for arch, millions in zip(table["arch"], table[column], strict=True):
        with torch.device("meta"):
            net = space.build(space.parse(arch), task)
        if sum(weight.numel() for weight in net.parameters()) != round(1e6 * millions):
            wrong.append(arch)
    took = time.perf_counter() - start
    print(f"{name}: {len(table)} rows, {len(wrong)} differ, {took:.0f} s {wrong[:3]}", flush=True)


def time_canonical_forms(name: str, drawn: int = 1000) -> None:
    space, rng = SPACES[name](), Random(0)
    archs = list(dict.fromkeys(space.sample(rng) for _ in range(drawn)))
    start = time.perf_counter()
    classes = {space.canonical(arch) for arch in archs}
    took = 1000 * (time.perf_counter() - start) / len(archs)
    print(f"{name}: {took:.2f} ms for a canonical form; {len(archs)} architectures are {len(classes)}", flush=True)


def compare_with_the_official_hash() -> None:
    space, rng = SPACES["nasbench101"](), Random(0)
    archs = [space.sample(rng) for _ in range(DRAWN)]
    pairs = {(space.canonical(arch), space.notations(arch)["hash"]) for arch in archs}
    ours, official = {form for form, _ in pairs}, {name for _, name in pairs}
    print(f"nasbench101: {DRAWN} modules, {len(ours)} classes, {len(official)} hashes, {len(pairs)} pairs", flush=True)


def main() -> None:
    plugins.load()
    for name in ("nasbench201", "nasbench101", "darts", "nds_nasnet"):
        time_canonical_forms(name)
    compare_with_the_official_hash()
    for name in sys.argv[1:] or (*TABLES, *IN_MILLIONS):
        (compare_millions if name in IN_MILLIONS else compare)(name)


if __name__ == "__main__":
    main()
