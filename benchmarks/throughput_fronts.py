"""How much of the true front of accuracy and throughput proxies find among trained MnasNets.

    nas compare --space mnasnet --table $NAS_DATA/accel_nasbench.csv.gz --target val_top1 --archs 1000 \\
        --unique --data synthetic:size=64 --batch-size 16 --proxies synflow,params --run FOLDER
    NAS_DATA=... python -m benchmarks.throughput_fronts FOLDER [--column throughput_a100]

Accel-NASBench measured 2,515 networks of a space of 10^10, so nothing is searched: of those that the folder scores, the
front by (score, throughput) is judged by (ImageNet accuracy, throughput), its hypervolume above the lowest of either in
the table relative to that of the table's true front. Beside it the front by accuracy of random networks, trained: as
many as the front has, and 200, mean and standard deviation of 100 draws.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import typer

from nas import plugins
from nas.proxy import PROXIES
from nas.statistics.fronts import hypervolume, nondominated
from nas.statistics.ranks import average_ranks

DRAWS, TRAINED = 100, 200


def main(folder: Path, column: str = "throughput_a100", target: str = "val_top1") -> None:
    plugins.load()
    table = (
        pd.read_csv(Path(os.environ["NAS_DATA"]) / "accel_nasbench.csv.gz").drop_duplicates("arch").set_index("arch")
    )
    every = table[[target, column]].to_numpy(float)
    lowest = every.min(0)
    whole = hypervolume(every[nondominated(every)], lowest)

    def share(members: np.ndarray) -> float:
        return hypervolume(members, lowest) / whole

    rows = pd.read_csv(folder / "scores.csv")
    values = rows[rows["status"] == "ok"].pivot_table(index="arch", columns="proxy", values="value").dropna()
    signs = [1 if PROXIES[name].larger_is_better else -1 for name in values]
    quantiles = {
        name: np.log((average_ranks(sign * values[name].to_numpy(float)) - 0.5) / len(values))
        for name, sign in zip(values, signs, strict=True)
    }
    truth = table.loc[values.index, [target, column]].to_numpy(float)
    print(f"{len(values)} of {len(table)} networks; by accuracy, their front has {share(truth):.3f} of the true one")
    scores = {**quantiles, "synflow+params": quantiles["synflow"] + quantiles["params"]}
    for name, score in scores.items():
        front = nondominated(np.column_stack([score, truth[:, 1]]))
        print(f"{name}: {share(truth[front]):.3f}, {front.sum()} networks; random: {random(truth, front.sum(), share)}")
    print(f"random, {TRAINED} trained: {random(every, TRAINED, share)}")


def random(truth: np.ndarray, count: int, share) -> str:
    rng = np.random.default_rng(0)
    shares = [share(truth[rng.choice(len(truth), count, replace=False)]) for _ in range(DRAWS)]
    return f"{np.mean(shares):.3f} ± {np.std(shares):.3f}"


if __name__ == "__main__":
    typer.run(main)
