"""How well anything can rank the best tenth of NAS-Bench-201, and what several initialisations buy there.

    NAS_DATA=... python -m benchmarks.within_top ceiling
    NAS_DATA=... python -m benchmarks.within_top cells TOP.csv [--number 200]
    nas compare --space nasbench201 --table TOP.csv --target cifar10_test --seeds 5 --batch-size 16 --workers 2 \\
        --data $NAS_DATA/cifar10_probe.npz --run FOLDER \\
        --proxies gradalign_i,dextr_condition,az_expressivity,az_trainability
    NAS_DATA=... python -m benchmarks.within_top report FOLDER

``ceiling``: isomorphic cells are one network, trained anew (the table has means of up to three trainings of each), so
Kendall's τ-b between two cells of each set, and how it falls in the best tenth, is what no ranking of networks can
exceed but by chance. Beside it, the same networks trained with fewer images (validation), on other images and for 12
epochs.

``cells`` draws cells, one of each set of isomorphic ones, from the best tenth. ``report``: τ-b of each proxy, and of
the sum of their log-quantiles, among them by one seed (weights and images; the mean of the seeds' τ), by the mean of
all, and by how many of the others a cell is better than by the Mann-Whitney test of their scores at 5 %; τ given the
number of parameters; and of the pairs that differ in accuracy, how often each way is right.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import typer
from scipy.stats import mannwhitneyu

from nas import plugins
from nas.proxy import PROXIES
from nas.space import SPACES
from nas.statistics.ranks import Vector, kendall, kendall_given
from nas.statistics.verdict import ALWAYS

BEST = 0.1
DRAWS = 50
app = typer.Typer(pretty_exceptions_enable=False)


def cells_of_table() -> pd.DataFrame:
    """The table, with the canonical form of each cell."""
    plugins.load()
    space = SPACES["nasbench201"]()
    table = pd.read_csv(Path(os.environ["NAS_DATA"]) / "nasbench201.csv.gz")
    return table.assign(form=[space.canonical(space.parse(arch)) for arch in table["arch"]])


def in_the_top(x: Vector, y: Vector, by: Vector) -> float:
    best = by >= np.quantile(by, 1 - BEST)
    return kendall(x[best], y[best])


@app.command()
def ceiling() -> None:
    """Trainings against each other."""
    table = cells_of_table()
    several = table[table["form"].duplicated(keep=False)]
    every, top = [], []
    for draw in range(DRAWS):
        shuffled = several.sample(frac=1.0, random_state=draw)
        again = shuffled["form"].duplicated()
        first = shuffled[~again].set_index("form")["cifar10_test"]
        second = shuffled[again].drop_duplicates("form").set_index("form")["cifar10_test"].loc[first.index]
        every.append(kendall(first.to_numpy(), second.to_numpy()))
        top.append(in_the_top(first.to_numpy(), second.to_numpy(), first.to_numpy()))
    number = several["form"].nunique()
    print(f"two of each of {number} sets of isomorphic cells: τ {np.mean(every):.2f}, best tenth {np.mean(top):.2f}")
    best = several[several["cifar10_test"] >= table["cifar10_test"].quantile(1 - BEST)]
    within, across = best.groupby("form")["cifar10_test"].var().mean() ** 0.5, best["cifar10_test"].std()
    print(f"deviation in the best tenth: {within:.2f} between isomorphic cells, {across:.2f} between all")
    once = table.drop_duplicates("form")
    accuracy = once["cifar10_test"].to_numpy()
    for other in ("cifar10_valid", "cifar100_test", "cifar10_valid_ep12"):
        own = once[other].to_numpy()
        print(f"{other}: τ {kendall(own, accuracy):.2f}, best tenth {in_the_top(own, accuracy, accuracy):.2f}")


@app.command()
def cells(out: Path, number: int = 200) -> None:
    """Draws cells from the best tenth."""
    once = cells_of_table().drop_duplicates("form").drop(columns="form")
    best = once[once["cifar10_test"] >= once["cifar10_test"].quantile(1 - BEST)]
    best.sample(number, random_state=0).to_csv(out, index=False)


@app.command()
def report(folder: Path) -> None:
    """What was scored, several ways."""
    plugins.load()
    rows = pd.read_csv(folder / "scores.csv")
    table = cells_of_table().set_index("arch").loc[list(rows["arch"].unique())]
    accuracy, params = table["cifar10_test"].to_numpy(), table["params"].to_numpy(float)
    scores = {name: by_seed(rows[rows["proxy"] == name], name, table.index) for name in rows["proxy"].unique()}
    scores["their sum"] = np.sum([quantiles(values) for name, values in scores.items() if name not in ALWAYS], axis=0)
    print(f"{len(table)} cells, {next(iter(scores.values())).shape[1]} seeds")
    for name, values in scores.items():
        single = np.mean([kendall(column, accuracy) for column in values.T])
        correct = np.mean([right(column, accuracy) for column in values.T])
        line = f"{name}: one seed τ {single:.2f}, right {correct:.3f}"
        for way, ranking in {"mean": values.mean(1), "wins": wins(values)}.items():
            line += f"; {way} {kendall(ranking, accuracy):.2f}, {right(ranking, accuracy):.3f}"
        print(f"{line}; mean given params {kendall_given(values.mean(1), accuracy, params):.2f}")


def by_seed(rows: pd.DataFrame, name: str, archs: pd.Index[str]) -> Vector:
    """Values [cells, seeds], larger is better; a failure is below all others."""
    sign = 1 if PROXIES[name].larger_is_better else -1
    values = (sign * rows["value"]).where(rows["status"] == "ok", -np.inf)
    table = rows.assign(value=values).pivot(index="arch", columns="seed", values="value").loc[archs].to_numpy(float)
    return np.where(np.isfinite(table), table, np.nanmin(table[np.isfinite(table)]) - 1)


def quantiles(values: Vector) -> Vector:
    """Log-quantiles among the cells of the same seed."""
    places = values.argsort(0).argsort(0)
    return np.log((places + 1) / len(values))


def wins(values: Vector) -> Vector:
    """How many others each cell's scores are significantly above, less how many they are below."""
    total = np.zeros(len(values))
    for i in range(len(values)):
        one, others = values[i][:, None], values[i + 1 :].T
        above, below = (mannwhitneyu(one, others, alternative=way).pvalue < 0.05 for way in ("greater", "less"))
        total[i] += above.sum() - below.sum()
        total[i + 1 :] += below.astype(float) - above
    return total


def right(ranking: Vector, accuracy: Vector) -> float:
    """The share of pairs in the order of their accuracy; a tie counts half."""
    pairs = np.triu_indices(len(ranking), 1)
    agree = np.sign(ranking[pairs[0]] - ranking[pairs[1]]) * np.sign(accuracy[pairs[0]] - accuracy[pairs[1]])
    return float((agree[np.sign(accuracy[pairs[0]] - accuracy[pairs[1]]) != 0] / 2 + 0.5).mean())


if __name__ == "__main__":
    app()
