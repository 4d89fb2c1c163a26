"""Kendall's τ of the newer proxies with trained accuracy, on random architectures of NAS-Bench-201 and NAS-Bench-101.

    NAS_DATA=... python -m benchmarks.newer_proxies [--archs 60] [--batch-size 32] [--out scores.csv]

Real images of CIFAR-10, one initialisation, CIFAR-10 test accuracy, NAS-Bench-101 at a stem of 16 channels. Prints τ
[95 % bootstrap], and how many failed, which rank last; with --out, the scores as a table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from nas import plugins
from nas.calls.setup import Setup
from nas.data.table import Table
from nas.proxy import PROXIES, Proxy
from nas.statistics.ranks import interval, kendall, kendall_resampled, resamples

SPACES: dict[str, dict[str, Any]] = {"nasbench201": {}, "nasbench101": {"nasbench101": {"stem": 16}}}
NAMES = (
    "params", "convolutions", "near", "dextr_condition", "dextr", "wrcor", "naswot", "naswot_ncd", "swap", "swap_ncd",
    "l_swag", "gradalign_i",
)  # fmt: skip
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dextr, one curve": ("dextr", {"curves": 1}),
    "wrcor, no weights": ("wrcor", {"weighted": False}),
}


def main(
    archs: int = 60, batch_size: int = 32, seed: int = 0, out: Annotated[Path | None, typer.Option()] = None
) -> None:
    plugins.load()
    proxies = [PROXIES[name] for name in NAMES]
    proxies += [replace(PROXIES[name].with_options(o), name=label) for label, (name, o) in VARIANTS.items()]
    columns = {space: scores(space, proxies, archs, batch_size, seed) for space in SPACES}
    if out is not None:
        pd.concat(columns, names=["space"]).to_csv(out)
    print(f"| {archs} random architectures | " + " | ".join(SPACES) + " |\n|---|" + "---|" * len(SPACES))
    for proxy in proxies:
        print(
            f"| {proxy.name} | " + " | ".join(described(frame, proxy) for frame in columns.values()) + " |", flush=True
        )


def scores(name: str, proxies: list[Proxy], count: int, batch_size: int, seed: int) -> pd.DataFrame:
    """A row for each architecture: its accuracy, and the value of each proxy, none where it failed."""
    folder = Path(os.environ["NAS_DATA"])
    data = f"npz:{folder / 'cifar10_probe.npz'}"
    setup = Setup.of(name, {"data": data, "batch_size": batch_size, "settings": SPACES[name], "store": "none"})
    table = Table(folder / f"{name}.csv.gz", setup.space)
    accuracies, scorer = table.target("cifar10_test"), setup.scorer(kept=False)
    chosen = sorted(Random(seed).sample(range(len(table.archs)), count))

    def rows() -> Iterator[dict[str, float | None]]:
        results = scorer.stream([table.archs[place] for place in chosen], proxies)
        for place, values in zip(chosen, results, strict=True):
            yield {"accuracy": float(accuracies.iloc[place])} | {n: score.value for n, score in values.items()}

    return pd.DataFrame(rows(), dtype=float)


def described(frame: pd.DataFrame, proxy: Proxy) -> str:
    """τ [95 % interval], and the number of failures where there are any."""
    oriented = frame[proxy.name] * (1 if proxy.larger_is_better else -1)
    values, truth = oriented.fillna(-np.inf).to_numpy(), frame["accuracy"].to_numpy()
    weights = resamples(len(truth), np.random.default_rng(0))
    low, high = interval(kendall_resampled(values, truth, weights))
    failed = int(frame[proxy.name].isna().sum())
    return f"{kendall(values, truth):.2f} [{low:.2f}, {high:.2f}]" + (f", {failed} failed" if failed else "")


if __name__ == "__main__":
    typer.run(main)
