"""How the parts of `nas_rank` were chosen, on the trained accuracies of fewer than 1,000 cells of NAS-Bench-201.

    python -m benchmarks.nas_rank cells large.csv
    nas score --archs large.csv --proxies all --csv large_scores.csv --data $NAS_DATA/cifar10_probe.npz
    nas compare --config runs/proxies_nasbench201.yaml --archs 500 --seeds 1 --run runs/random
    python -m benchmarks.nas_rank choose runs/random/scores.csv large_scores.csv

The cells are some random ones and all large ones: those with four or more 3 x 3 convolutions and without ``none``,
among which a search without a limit ends. Every combination of two to six of the `CANDIDATES` is scored as `nas
search` does, by the sum of log-quantiles, here among the random cells. Of the 400 combinations whose five best cells
have the highest mean accuracy on CIFAR-10, the one with the highest Kendall τ-b with it on the random cells is taken. τ
is printed for both datasets, on the random cells and, as a check, on the random half that a choice by the other half
alone leaves. Reads the accuracies from ``nasbench201.csv.gz`` in the folder ``NAS_DATA``. A failure ranks last.
"""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import typer

from nas import plugins
from nas.proxy import PROXIES
from nas.scoring.objective import quantile
from nas.space import SPACES
from nas.statistics.ranks import Vector, kendall

CANDIDATES = (
    "gradalign_i", "gradalign_ii", "gradsign", "grad_condition", "jacov", "meco", "swap", "naswot", "synflow", "depth",
    "flops", "az_trainability", "l2_norm", "epe_nas", "az_expressivity", "grad_variance",
)  # fmt: skip
MAX_PARTS = 6
SHORTLIST = 400
BEST = 5

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def cells(out: Path) -> None:
    """Writes the large cells, one for each set of isomorphic ones, to a CSV file."""
    plugins.load()
    space = SPACES["nasbench201"]()
    none, convolution = (space.slots[0].index(name) for name in ("none", "nor_conv_3x3"))
    texts = {}
    for arch in space:
        operations = [option for (option,) in arch]
        if operations.count(convolution) >= 4 and none not in operations:
            texts.setdefault(space.canonical(arch), space.text(arch))
    pd.DataFrame({"arch": list(texts.values())}).to_csv(out, index=False)
    print(f"{len(texts)} cells in {out}")


@app.command()
def choose(random_scores: list[Path], large_scores: Path, seed: int = 0) -> None:
    """Chooses from the scores of random and of large cells."""
    plugins.load()
    drawn, large = table(pd.concat(map(pd.read_csv, random_scores))), table(pd.read_csv(large_scores))
    accuracies = pd.read_csv(Path(os.environ["NAS_DATA"]) / "nasbench201.csv.gz").set_index("arch")
    large = large.loc[~large.index.isin(drawn.index)]
    print(f"{len(drawn)} random cells and {len(large)} large ones; τ on CIFAR-10 / CIFAR-100")
    order = np.random.default_rng(seed).permutation(len(drawn))
    half, rest = drawn.iloc[order[: len(drawn) // 2]], drawn.iloc[order[len(drawn) // 2 :]]
    names = best_combination(half, large, accuracies)
    print(f"by half of the random cells: {', '.join(names)}; on the other half {taus(names, half, rest, accuracies)}")
    names = best_combination(drawn, large, accuracies)
    print(f"by all of them: {', '.join(names)}; {taus(names, drawn, drawn, accuracies)}")
    names = PROXIES["nas_rank"].parts
    print(f"nas_rank: {', '.join(names)}; {taus(names, drawn, drawn, accuracies)}")


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores by cell and candidate, larger is better, minus infinity for a failure."""
    rows = rows[rows["seed"] == rows["seed"].min()]
    values = rows.pivot_table(index="arch", columns="proxy", values="value", aggfunc="first", dropna=False)
    missing = set(CANDIDATES) - set(values)
    if missing:
        raise SystemExit(f"the scores lack {', '.join(sorted(missing))}")
    signs = [1 if PROXIES[name].larger_is_better else -1 for name in CANDIDATES]
    return (values[list(CANDIDATES)] * signs).fillna(-np.inf)


def log_quantiles(cells: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Vector]:
    """The logarithm of the quantile of each cell among the reference cells, by candidate."""
    logarithms = {}
    for name in CANDIDATES:
        members = sorted(value for value in reference[name] if value > -np.inf)
        failed = len(reference) - len(members)
        logarithms[name] = np.log([quantile(value, members, failed) for value in cells[name]])
    return logarithms


def best_combination(drawn: pd.DataFrame, large: pd.DataFrame, accuracies: pd.DataFrame) -> tuple[str, ...]:
    both = pd.concat([drawn, large])
    quantiles, accuracy = log_quantiles(both, drawn), accuracies.loc[both.index, "cifar10_test"].to_numpy()
    reached = {}
    for number in range(2, MAX_PARTS + 1):
        for names in combinations(CANDIDATES, number):
            best = np.argpartition(-sum(quantiles[name] for name in names), BEST)[:BEST]
            reached[names] = float(accuracy[best].mean())
    candidates = sorted(reached, key=lambda names: -reached[names])[:SHORTLIST]
    first = slice(0, len(drawn))
    return max(candidates, key=lambda names: kendall(sum(quantiles[name][first] for name in names), accuracy[first]))


def taus(names: tuple[str, ...], reference: pd.DataFrame, cells: pd.DataFrame, accuracies: pd.DataFrame) -> str:
    quantiles = log_quantiles(cells, reference)
    score = np.asarray(sum(quantiles[name] for name in names))
    columns = (accuracies.loc[cells.index, target].to_numpy() for target in ("cifar10_test", "cifar100_test"))
    return " / ".join(f"{kendall(score, column):.3f}" for column in columns)


if __name__ == "__main__":
    app()
