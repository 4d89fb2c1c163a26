"""How much of the true front of accuracy and latency a search covers, for devices that are not here.

    NAS_DATA=... python -m benchmarks.hardware_fronts [--proxy nas_rank] [--budget 1000] [--seeds 0,1] [--device raspi4]
    NAS_DATA=... python -m benchmarks.hardware_fronts --scores FOLDER [the same]

On NAS-Bench-201, with the latencies of ``nasbench201_hardware.csv.gz`` as costs. A front is the result of a search,
which knows no accuracy; it is judged by the test accuracy on CIFAR-10 (200 epochs) and the latency of its members: the
hypervolume above a reference accuracy and below the latency of the slowest cell, relative to that of the true front.

nsga2 has two objectives, the proxy and the latency. random is the front of as many random cells, by the same two.
limits is evolution with one objective under five limits on the latency, quantiles of the space, a fifth of the budget
each; the best of each form its front. Scores go to the store (``NAS_STORE``), so that all three share them. With
``--scores`` they are those of a comparison's run folder, which `benchmarks.recorded` says how to make, and what is not
there is measured in the same way: every seed is another search then, over one initialisation.
"""

import argparse
import os
import statistics
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.recorded import SPACE, Recorded, searched
from nas import plugins
from nas.calls.costs import Column, columns
from nas.calls.setup import Setup
from nas.proxy import Proxy, ProxyFn
from nas.runs.loop import Trial, best
from nas.scoring.scorer import Scorer
from nas.statistics.fronts import hypervolume, nondominated

DEVICES = ("edgegpu", "pixel3", "raspi4")
REFERENCES = (80.0, 90.0)
"""Accuracies in per cent above which a front counts."""
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)


def covered(truth: pd.DataFrame, archs: list[str], least: float) -> float:
    """The share of the true front's hypervolume."""
    values = np.column_stack([truth["accuracy"], -truth["latency"]])
    reference = np.array([least, values[:, 1].min()])
    own = values[truth.index.get_indexer(list(dict.fromkeys(archs)))]
    return hypervolume(own, reference) / hypervolume(values[nondominated(values)], reference)


def fronts(
    scorer: Scorer | Recorded,
    proxy: str | Proxy | ProxyFn,
    latency: Column,
    bounds: Sequence[float],
    seed: int,
    budget: int,
) -> dict[str, list[str]]:
    """The front of each method, as architectures."""
    cost = Proxy(latency.name, None, larger_is_better=False, known=latency)

    def front(searcher: str) -> list[str]:
        trials = searched(scorer, searcher, proxy, budget, seed, minimise=[cost])
        able = [trial for trial in trials if trial.objectives]
        kept = nondominated(np.array([trial.objectives for trial in able]))
        return [trial.arch for trial, is_kept in zip(able, kept, strict=True) if is_kept]

    def under(bound: float) -> Trial | None:
        own = budget // len(bounds)
        return best(
            searched(
                scorer, "evolution", proxy, own, seed, options={"population": max(10, own // 4)},
                keep=lambda form: latency(scorer.space, form) <= bound,
            )
        )  # fmt: skip

    limits = [trial.arch for trial in map(under, bounds) if trial is not None]
    return {"nsga2": front("nsga2"), "random": front("random_search"), "limits": limits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", default="nas_rank")
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", action="append", choices=DEVICES)
    parser.add_argument("--scores", type=Path)
    args = parser.parse_args()
    data = Path(os.environ["NAS_DATA"])
    plugins.load()
    with Setup.of(SPACE, {"data": str(data / "cifar10_probe.npz"), "batch_size": args.batch_size}) as setup:
        recorded = Recorded(args.scores, setup.scorer()) if args.scores else None
        judge(args, data, setup, recorded)


def judge(args: argparse.Namespace, data: Path, setup: Setup, recorded: Recorded | None) -> None:
    accuracies = pd.read_csv(data / "nasbench201.csv.gz").set_index("arch")["cifar10_test"]
    table = data / "nasbench201_hardware.csv.gz"
    latencies = pd.read_csv(table).set_index("arch")
    named = columns([f"{device}={table}:{device}_latency" for device in args.device or DEVICES], setup.space)
    shares: dict[tuple[str, str, float], list[float]] = {}
    for seed in map(int, args.seeds.split(",")):
        scorer = recorded or setup.scorer(seed)
        for device, column in named.items():
            truth = pd.DataFrame({"accuracy": accuracies, "latency": latencies[column.name]}).dropna()
            bounds = [truth["latency"].quantile(quantile) for quantile in QUANTILES]
            found = fronts(scorer, setup.named(args.proxy), column, bounds, seed, args.budget)
            for (name, archs), least in product(found.items(), REFERENCES):
                share = covered(truth, archs, least)
                shares.setdefault((device, name, least), []).append(share)
                print(f"{device} seed {seed} {name} above {least:g} %: {share:.3f} ({len(archs)} cells)", flush=True)
    for (device, name, least), values in shares.items():
        print(f"{device} {name} above {least:g} %: mean {statistics.fmean(values):.3f}, least {min(values):.3f}")


if __name__ == "__main__":
    main()
