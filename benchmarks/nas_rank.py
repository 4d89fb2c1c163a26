"""How the parts of `nas_rank` and `nas_rank_cells` were chosen, on 760 trained architectures of five spaces.

    NAS_DATA=... python -m benchmarks.nas_rank scores FOLDER [--spaces darts,nats_sss]
    NAS_DATA=... python -m benchmarks.nas_rank choose FOLDER

``scores`` measures the `CANDIDATES` on 16 images of CIFAR-10, of random architectures of each space; SPACE.csv in the
folder is continued.

``choose`` looks at every combination of at most `MAX_PARTS` candidates that costs at most `MAX_PASSES` plain passes,
scored as `nas search` does, by the sum of log-quantiles, and takes the one with the highest τ (Kendall's τ-b with
trained accuracy), mean over spaces:

- `nas_rank_cells`: over NAS-Bench-201 and -101.
- `nas_rank`, for all else: over all five.

The other three take no part in the first choice, which is checked there. Printed beside both is what the same rules
choose where each space in turn is left out, with τ there; what is registered; what `nas_rank` was before; and each
candidate alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
from nas.statistics.ranks import Vector, kendall

CANDIDATES = (
    "params", "flops", "depth", "convolutions", "meco", "swap", "dextr_condition", "synflow", "near", "az_expressivity",
    "naswot", "gradalign_i", "jacov", "zico", "grad_condition", "az_trainability",
)  # fmt: skip
"""Proxies of images that one network is enough for, cheap ones first."""
MAX_PARTS, MAX_PASSES = 4, 2.0
CELLS = ("nasbench201", "nasbench101")
NUMBERS = {"nasbench201": 300, "nasbench101": 200, "nats_sss": 100, "nasbench_macro": 100, "darts": 60}
"""How many random architectures are taken of each space."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "nasbench101": {"stem": 16}, "darts": {"width": 16, "depth": 8},
}  # fmt: skip
FORMER = {
    "nas_rank as it was first": ("gradalign_i", "grad_condition", "jacov", "synflow", "meco", "az_trainability"),
    "nas_rank_cells as it was second": ("meco", "synflow", "dextr_condition", "grad_condition", "jacov"),
}

app = typer.Typer(pretty_exceptions_enable=False)


class Scored(NamedTuple):
    """Architectures of one space: log-quantiles [candidates, architectures], and what training gave."""

    quantiles: Vector
    accuracy: Vector


class Row(NamedTuple):
    """A combination, and its τ by space."""

    names: tuple[str, ...]
    taus: dict[str, float]

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
        left = [arch for arch in drawn(space, table(space)) if arch not in done]
        for start in range(0, len(left), 10):
            frame = nas.score(
                space, left[start : start + 10], ",".join(CANDIDATES), data=str(data() / "cifar10_probe.npz"),
                batch_size=16, settings={space: OPTIONS.get(space, {})}, store="none",
            )  # fmt: skip
            frame.to_csv(file, mode="a", header=not file.exists(), index=False)
            print(f"{space}: {len(done) + start + len(frame['arch'].unique())} architectures", flush=True)


@app.command()
def choose(folder: Path) -> None:
    """Chooses by the rules above."""
    plugins.load()
    scored = {space: read(space, folder) for space in NUMBERS}
    rows = [
        row_of(names, scored)
        for number in range(1, MAX_PARTS + 1)
        for names in combinations(CANDIDATES, number)
        if cost(names) <= MAX_PASSES
    ]
    print(f"{len(rows)} combinations; {sum(len(one.accuracy) for one in scored.values())} architectures")
    for kind, own in (("nas_rank_cells", CELLS), ("nas_rank", tuple(NUMBERS))):
        show(kind, chosen(rows, own))
        for out in own:
            row = chosen(rows, [space for space in own if space != out])
            print(f"  without {out}: {', '.join(row.names)}: τ there {row.taus[out]:.3f}")
        show(f"{kind} as it is", row_of(PROXIES[kind].parts, scored))
    for title, parts in FORMER.items():
        show(title, row_of(parts, scored))
    for name in CANDIDATES:
        show("alone", row_of([name], scored))


def chosen(rows: Sequence[Row], spaces: Sequence[str]) -> Row:
    return max(rows, key=lambda row: row.mean(spaces))


def show(title: str, row: Row) -> None:
    taus = ", ".join(f"{space} {tau:.3f}" for space, tau in row.taus.items())
    print(f"{title}: {', '.join(row.names)} ({cost(row.names):.2f} passes): τ {taus}")


def row_of(names: Sequence[str], scored: Mapping[str, Scored]) -> Row:
    places = [CANDIDATES.index(name) for name in names]
    return Row(
        tuple(names), {space: kendall(one.quantiles[places].sum(0), one.accuracy) for space, one in scored.items()}
    )


def cost(names: Sequence[str]) -> float:
    return sum(PROXIES[name].passes or 0.0 for name in names)


def read(space: str, folder: Path) -> Scored:
    """The scores in a folder as log-quantiles; a failure ranks last."""
    rows = pd.read_csv(folder / f"{space}.csv", dtype={"arch": str})
    signs = rows["proxy"].map({name: 1 if PROXIES[name].larger_is_better else -1 for name in CANDIDATES})
    rows["value"] = (rows["value"] * signs).where(rows["status"] == "ok", -np.inf)
    values = rows.pivot_table(index="arch", columns="proxy", values="value", aggfunc="first", dropna=False)
    trained = table(space)
    order = drawn(space, trained)
    quantiles = []
    for column in values.loc[order, list(CANDIDATES)].to_numpy(float).T:
        members = sorted(value for value in column if value > -np.inf)
        quantiles.append([quantile(value, members, len(order) - len(members)) for value in column])
    return Scored(np.log(quantiles), trained.loc[order, "accuracy"].to_numpy(float))


def drawn(space: str, trained: pd.DataFrame) -> list[str]:
    """The architectures that are taken of a space."""
    return list(trained.sample(NUMBERS[space], random_state=0).index)


def table(space: str) -> pd.DataFrame:
    trained = pd.read_csv(data() / f"{space}.csv.gz", dtype={"arch": str}).set_index("arch")
    return trained.assign(accuracy=trained["cifar10_valid" if space == "darts" else "cifar10_test"])


def data() -> Path:
    return Path(os.environ["NAS_DATA"])


if __name__ == "__main__":
    app()
