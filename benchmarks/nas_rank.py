"""How the parts of `nas_rank` and `nas_rank_cells` were chosen, on some 600 trained architectures of five spaces.

    NAS_DATA=... python -m benchmarks.nas_rank scores FOLDER [--spaces darts,nats_sss]
    NAS_DATA=... python -m benchmarks.nas_rank choose FOLDER

``scores`` measures the `CANDIDATES` on 32 images of CIFAR-10: random architectures of each space and, of NAS-Bench-201,
all large cells (four or more 3 x 3 convolutions, no ``none``), among which a search without a limit ends, and 100 of .3
to .6 million parameters, among which one with a limit does, one of each set of isomorphic cells. SPACE.csv in the
folder is continued.

``choose`` looks at every combination of at most five candidates that costs at most `MAX_PASSES` plain passes, scored as
`nas search` does, by the sum of log-quantiles among the random architectures of its space. With τ Kendall's τ-b with
trained accuracy:

- `nas_rank_cells`: of those whose mean τ on NAS-Bench-201 and -101 is within .05 of the highest, which so few
  architectures do not tell apart, the one whose best cells of NAS-Bench-201 are the most accurate: the mean over the
  five and the ten best, below .6 million parameters and of all.
- `nas_rank`, for all else: of those of at most `LESS_PASSES` whose mean τ over all five spaces is within .01 of the
  highest, the one of the highest mean τ over the two that are no cells.

DARTS takes no part in the first choice, which is checked there. Printed beside both is what the same rules choose where
each space in turn is left out, with τ there; what `nas_rank` was before; and each candidate alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import typer

import nas
from nas import plugins
from nas.proxy import PROXIES
from nas.scoring.objective import quantile
from nas.space import SPACES, Arch
from nas.statistics.ranks import Vector, kendall

CANDIDATES = (
    "params", "flops", "l2_norm", "convolutions", "meco", "swap", "synflow", "gradalign_ii", "dextr_condition",
    "az_expressivity", "gradalign_i", "naswot", "near", "jacov", "gradsign", "grad_condition", "az_trainability",
)  # fmt: skip
"""Proxies of images that one network is enough for, cheap ones first."""
MAX_PARTS, MAX_PASSES, LESS_PASSES = 5, 3.3, 3.0
CELLS = ("nasbench201", "nasbench101")
OTHERS = ("nats_sss", "nasbench_macro")
NUMBERS = {"nasbench201": 100, "nasbench101": 80, "nats_sss": 50, "nasbench_macro": 60, "darts": 40}
"""How many random architectures are taken of each space."""
SMALL = 100
"""How many cells below the limit."""
LIMIT = 0.6e6
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "nasbench101": {"stem": 16}, "darts": {"width": 16, "depth": 8},
}  # fmt: skip
BEST = (5, 10)
FORMER = ("gradalign_i", "grad_condition", "jacov", "synflow", "meco", "az_trainability")
"""What `nas_rank` was before."""

app = typer.Typer(pretty_exceptions_enable=False)


class Scored(NamedTuple):
    """Architectures of one space: log-quantiles [candidates, architectures], which are random ones, and what training
    gave."""

    quantiles: Vector
    drawn: np.ndarray[Any, np.dtype[np.bool_]]
    accuracy: Vector
    params: Vector


class Row(NamedTuple):
    """A combination, its τ by space, and the accuracy of the best cells by it."""

    names: tuple[str, ...]
    taus: dict[str, float]
    best: float

    def mean(self, spaces: Sequence[str]) -> float:
        return float(np.mean([self.taus[space] for space in spaces]))


@app.command()
def scores(folder: Path, spaces: str = ",".join(NUMBERS)) -> None:
    """Measures the candidates, ten architectures at a time."""
    plugins.load()
    folder.mkdir(parents=True, exist_ok=True)
    for space in spaces.split(","):
        file = folder / f"{space}.csv"
        done = set(pd.read_csv(file, dtype={"arch": str})["arch"]) if file.exists() else set()
        left = [arch for arch in labelled(space, table(space)) if arch not in done]
        for start in range(0, len(left), 10):
            frame = nas.score(
                space, left[start : start + 10], ",".join(CANDIDATES), data=str(data() / "cifar10_probe.npz"),
                batch_size=32, settings={space: OPTIONS.get(space, {})}, store="none",
            )  # fmt: skip
            frame.to_csv(file, mode="a", header=not file.exists(), index=False)
            print(f"{space}: {len(done) + start + len(frame['arch'].unique())} architectures", flush=True)


@app.command()
def choose(folder: Path) -> None:
    """Chooses by the rules above."""
    plugins.load()
    scored = {space: read(space, folder) for space in NUMBERS}
    rows = list(judged(scored))
    print(f"{len(rows)} combinations; {sum(len(one.accuracy) for one in scored.values())} architectures")
    for kind, rule, own in (("nas_rank_cells", of_cells, CELLS), ("nas_rank", of_others, tuple(NUMBERS))):
        show(kind, rule(rows, own))
        for out in own:
            row = rule(rows, [space for space in own if space != out])
            print(f"  without {out}: {', '.join(row.names)}: τ there {row.taus[out]:.3f}")
        names = PROXIES[kind].parts
        show(f"{kind} as it is", next(row for row in rows if {*row.names} == {*names}))
    show("nas_rank as it was", row_of(FORMER, scored))
    for name in CANDIDATES:
        show("alone", row_of([name], scored))


def of_cells(rows: Sequence[Row], spaces: Sequence[str]) -> Row:
    highest = max(row.mean(spaces) for row in rows)
    return max((row for row in rows if row.mean(spaces) > highest - 0.05), key=lambda row: row.best)


def of_others(rows: Sequence[Row], spaces: Sequence[str]) -> Row:
    rows = [row for row in rows if cost(row.names) <= LESS_PASSES]
    highest = max(row.mean(spaces) for row in rows)
    others = [space for space in OTHERS if space in spaces]
    return max((row for row in rows if row.mean(spaces) > highest - 0.01), key=lambda row: row.mean(others))


def show(title: str, row: Row) -> None:
    taus = ", ".join(f"{space} {tau:.3f}" for space, tau in row.taus.items())
    print(f"{title}: {', '.join(row.names)} ({cost(row.names):.2f} passes): τ {taus}; best cells {row.best:.2f} %")


def judged(scored: Mapping[str, Scored]) -> Iterator[Row]:
    for number in range(1, MAX_PARTS + 1):
        for names in combinations(CANDIDATES, number):
            if cost(names) <= MAX_PASSES:
                yield row_of(names, scored)


def row_of(names: Sequence[str], scored: Mapping[str, Scored]) -> Row:
    places = [CANDIDATES.index(name) for name in names]
    taus = {
        space: kendall(one.quantiles[places].sum(0)[one.drawn], one.accuracy[one.drawn])
        for space, one in scored.items()
    }
    return Row(tuple(names), taus, best_cells(scored["nasbench201"], places))


def best_cells(cells: Scored, places: list[int]) -> float:
    order = np.argsort(-cells.quantiles[places].sum(0), kind="stable")
    small = order[cells.params[order] <= LIMIT]
    return float(
        np.mean(
            [cells.accuracy[cells_by_score[:number]].mean() for cells_by_score in (order, small) for number in BEST]
        )
    )


def cost(names: Sequence[str]) -> float:
    return sum(PROXIES[name].passes or 0.0 for name in names)


def read(space: str, folder: Path) -> Scored:
    """The scores in a folder as log-quantiles among the random architectures; a failure ranks last."""
    rows = pd.read_csv(folder / f"{space}.csv", dtype={"arch": str})
    signs = rows["proxy"].map({name: 1 if PROXIES[name].larger_is_better else -1 for name in CANDIDATES})
    rows["value"] = (rows["value"] * signs).where(rows["status"] == "ok", -np.inf)
    values = rows.pivot_table(index="arch", columns="proxy", values="value", aggfunc="first", dropna=False)
    trained = table(space)
    order = labelled(space, trained)
    values, trained = values.loc[order, list(CANDIDATES)], trained.loc[order]
    drawn = np.arange(len(order)) < NUMBERS[space]
    quantiles = []
    for column in values.to_numpy(float).T:
        members = sorted(value for value in column[drawn] if value > -np.inf)
        quantiles.append([quantile(value, members, int(drawn.sum()) - len(members)) for value in column])
    params = trained["params"].to_numpy(float) if "params" in trained else np.zeros(len(order))
    return Scored(np.log(quantiles), drawn, trained["accuracy"].to_numpy(float), params)


def labelled(space: str, trained: pd.DataFrame) -> list[str]:
    """The architectures that are taken of a space, the random ones first."""
    archs = list(trained.sample(NUMBERS[space], random_state=0).index)
    if space != "nasbench201":
        return archs
    whole = trained[~trained.index.str.contains("none")]
    large = whole[whole.index.str.count("nor_conv_3x3") >= 4]
    small = whole[(whole["params"] > LIMIT / 2) & (whole["params"] <= LIMIT)].sample(frac=1.0, random_state=0)
    made = SPACES[space]()
    forms = {made.canonical(made.parse(arch)): arch for arch in archs}
    for part, number in ((large, len(large)), (small, SMALL)):
        classes: dict[Arch, str] = {}
        for arch in part.index:
            classes.setdefault(made.canonical(made.parse(arch)), arch)
        archs += [arch for form, arch in list(classes.items())[:number] if form not in forms]
    return archs


def table(space: str) -> pd.DataFrame:
    trained = pd.read_csv(data() / f"{space}.csv.gz", dtype={"arch": str}).set_index("arch")
    return trained.assign(accuracy=trained["cifar10_valid" if space == "darts" else "cifar10_test"])


def data() -> Path:
    return Path(os.environ["NAS_DATA"])


if __name__ == "__main__":
    app()
