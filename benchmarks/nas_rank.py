"""How the parts of `nas_rank` were chosen: forward selection on half of the cells, tested on the other half.

    nas compare --config runs/proxies_nasbench201.yaml --run runs/proxies
    python -m benchmarks.nas_rank runs/proxies/scores.csv

Candidates are the proxies that look at the network's own, single initialisation. Starting from none, the proxy is added
whose log-quantile (its rank among the cells, divided by their number) raises the mean of Kendall's τ-b with the test
accuracies on CIFAR-10 and CIFAR-100 most, until the gain falls below ``--gain``. Only half of the cells, drawn with
``--seed``, take part in the selection; τ on the other half is printed beside it, and then that of the combination.
Reads the accuracies from ``nasbench201.csv.gz`` in the folder ``NAS_DATA``. A failure ranks last.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import typer
from scipy.stats import rankdata

from nas import plugins
from nas.proxy import PROXIES
from nas.stats import kendall

TARGETS = ("cifar10_test", "cifar100_test")


def main(scores: list[Path], seed: int = 0, gain: float = 0.005, without: str = "plain") -> None:
    plugins.load()
    rows = pd.concat([pd.read_csv(file) for file in scores])
    rows = rows[rows["seed"] == rows["seed"].min()]
    table = rows.pivot_table(index="arch", columns="proxy", values="value", aggfunc="first", dropna=False)
    truth = pd.read_csv(Path(os.environ["NAS_DATA"]) / "nasbench201.csv.gz").set_index("arch")
    archs = sorted(table.index)
    Random(seed).shuffle(archs)
    halves = [archs[: len(archs) // 2], archs[len(archs) // 2 :]]
    candidates = [name for name in table if _single(str(name)) and name not in without.split(",")]

    def tau(names: Sequence[str], cells: list[str]) -> list[float]:
        score = sum(log_quantiles(table.loc[cells, name], PROXIES[name].larger_is_better) for name in names)
        return [kendall(np.asarray(score), truth.loc[cells, target].to_numpy()) for target in TARGETS]

    print(f"{len(halves[0])} cells to choose on, {len(halves[1])} to test on; CIFAR-10 / CIFAR-100")
    chosen: list[str] = []
    reached = 0.0
    while True:
        best, name = max((float(np.mean(tau([*chosen, name], halves[0]))), name) for name in candidates)
        if best < reached + gain:
            break
        chosen, reached = [*chosen, name], best
        print(f"+ {name:<20} {_pair(tau(chosen, halves[0]))}   other half {_pair(tau(chosen, halves[1]))}")
    registered = PROXIES["nas_rank"].parts
    if set(registered) <= set(table):
        print(f"nas_rank: {', '.join(registered)}")
        print(f"  {'all cells':<20} {_pair(tau(registered, archs))}   other half {_pair(tau(registered, halves[1]))}")


def log_quantiles(values: pd.Series[float], larger_is_better: bool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    oriented = (values if larger_is_better else -values).fillna(-np.inf)
    return np.log(rankdata(oriented) / len(oriented))


def _single(name: str) -> bool:
    proxy = PROXIES[name]
    own = proxy.network == "full" and proxy.initialisation == "default" and proxy.initialisations == 1
    return own and not proxy.parts


def _pair(taus: list[float]) -> str:
    return " / ".join(f"{tau:.3f}" for tau in taus)


if __name__ == "__main__":
    typer.run(main)
