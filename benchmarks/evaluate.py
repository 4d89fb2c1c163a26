"""Ways to choose what to evaluate for the truth, by what they find on NAS-Bench-201 with a few queries.

    python -m benchmarks.evaluate methods [--pool 3000] [--seeds 20] [--proxies three,robot,all] [--scores FOLDER]
    python -m benchmarks.evaluate methods --scores FOLDER --proxies own,gradalign_i+jacov
    python -m benchmarks.evaluate halving [--pool 3000] [--seeds 20] [--scores FOLDER]
    python -m benchmarks.evaluate verdicts [--draws 40] [--folder FOLDER]
    python -m benchmarks.evaluate spaces FOLDER [--seeds 20] [--queries 20]

``methods``: of 4,587 classes of isomorphic cells, those that peers scored by eleven proxies (see
``nasbench201_peer_scores.csv.gz`` in the folder ``NAS_DATA``), ``pool`` are drawn for each seed. A method queries the
validation accuracy of one cell after the other; printed is the test accuracy of the best by validation after 5, 10, 20
and 50 queries, mean and standard deviation over the seeds. Random search and evolution draw from all 15,625 cells.
With ``--scores`` the classes and proxies are those of a comparison's folder (`benchmarks.recorded` says how to make
it): ``own`` are all but the counts, and names joined with ``+`` those, of a combination its parts.

- ``ranking``: down the sum of log-quantiles.
- ``robot``: RoBoT (arXiv:2403.07591): Gaussian-process UCB over the weights, in [-1, 1], of a sum of the scaled
  proxies, each query the top cell under the weights; then down the ranking by the best weights met. Half the queries
  each.
- ``linear``, ``operations``: the beliefs of `nas.statistics.beliefs` without the process on the operations, and without
  the proxies.
- ``forest``: expected improvement of a random forest on quantiles and operations, after five of the ranking.
- ``learned``: what ``nas search --evaluate`` does.

``halving``: successive halving over epochs. Of a budget of as many trainings of 200 epochs as there are queries, half
goes to trainings of 12 epochs, down the ranking, and half to trainings of 200 epochs of what is best after those;
beside it the ranking and ``learned``, which spend all on 200 epochs.
``verdicts``: on a table's scores by the same proxies, how often the verdict's best proxy is truly the best or within
its interval of it, from 16 to 96 cells, and how often the promised number of architectures tells the best two apart;
with ``--folder``, on the spaces of that folder too.
``spaces``: on each space of which FOLDER has scores (SPACE.csv, as ``python -m benchmarks.nas_rank scores`` writes
them), four fifths of the architectures for each seed: the place by trained accuracy, 1 for the best, of what is best
after ``queries`` queries, going down the number of parameters, down the ranking, and as ``nas search --evaluate`` does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from scipy.stats import norm
from sklearn.ensemble import RandomForestRegressor

from nas import plugins
from nas.proxy import PROXIES
from nas.runs.evaluation import evaluation
from nas.searcher import SEARCHERS, told
from nas.space import SPACES
from nas.statistics import beliefs
from nas.statistics.beliefs import Candidates, normal_scores
from nas.statistics.comparison import correlations, paired
from nas.statistics.ranks import Vector, average_ranks, kendall
from nas.statistics.spread import Spreads
from nas.statistics.verdict import LEVEL, LEVELLED, verdict

QUERIES = (5, 10, 20, 50)
FAILED = -1e8
"""What stands for a failure in the peers' scores, or below."""
PEERS = {
    "three": ("naslib_jacov", "naslib_nwot", "naslib_synflow"),
    "robot": ("naslib_grad_norm", "naslib_snip", "naslib_grasp", "naslib_fisher", "naslib_synflow", "naslib_jacov"),
    "all": ("naslib_epe_nas", "naslib_fisher", "naslib_grad_norm", "naslib_grasp", "naslib_jacov", "naslib_l2_norm",
            "naslib_nwot", "naslib_plain", "naslib_snip", "naslib_synflow", "naslib_zen"),
}  # fmt: skip
SIZES = ("params", "flops")
TRUTHS = (
    ("cifar10_valid", "cifar10_test"), ("cifar10_valid_ep12", "cifar10_test"), ("cifar100_valid", "cifar100_test"),
)  # fmt: skip

app = typer.Typer(pretty_exceptions_enable=False)


class Cells:
    """Cells with their scores, in the order of the ranking: log-quantiles of ``names``, summed."""

    def __init__(self, frame: pd.DataFrame, names: tuple[str, ...]) -> None:
        values = frame[list(names)].to_numpy(float)
        values = np.where(values <= FAILED, -np.inf, values)
        quantiles = np.column_stack([(average_ranks(column) - 0.5) / len(column) for column in values.T])
        order = np.argsort(-np.log(quantiles).sum(1), kind="stable")
        self.frame, self.values, self.quantiles = frame.iloc[order], values[order], quantiles[order]
        self.operations = np.array([[option for (option,) in form] for form in self.frame["form"]])
        sizes = [normal_scores(column) for column in self.frame[list(SIZES)].to_numpy(float).T]
        proxies = [normal_scores(column) for column in self.values.T]
        self.candidates = Candidates(
            normal_scores(np.log(self.quantiles).sum(1)), np.column_stack([*proxies, *sizes]), self.operations
        )


def ranking(cells: Cells, truth: Vector, rng: np.random.Generator) -> Iterator[int]:
    yield from range(len(truth))


def learned(cells: Cells, truth: Vector, rng: np.random.Generator) -> Iterator[int]:
    search = evaluation(cells.candidates)
    choices = next(search)
    while True:
        yield choices[0].place
        choices = search.send([float(truth[choices[0].place])])


def with_beliefs(**constants: object) -> Callable[[Cells, Vector, np.random.Generator], Iterator[int]]:
    def method(cells: Cells, truth: Vector, rng: np.random.Generator) -> Iterator[int]:
        before = {name: getattr(beliefs, name) for name in constants}
        try:
            for name, value in constants.items():
                setattr(beliefs, name, value)
            yield from learned(cells, truth, rng)
        finally:
            for name, value in before.items():
                setattr(beliefs, name, value)

    return method


def forest(cells: Cells, truth: Vector, rng: np.random.Generator) -> Iterator[int]:
    hot = [cells.operations == option for option in range(cells.operations.max() + 1)]
    features = np.column_stack([cells.quantiles, cells.candidates.ranking, *hot])
    met = list(range(5))
    yield from met
    while True:
        model = RandomForestRegressor(30, random_state=int(rng.integers(2**31))).fit(features[met], truth[met])
        trees = np.array([tree.predict(features) for tree in model.estimators_])
        mean, deviation = trees.mean(0), trees.std(0) + 1e-9
        distance = (mean - truth[met].max()) / deviation
        gain = deviation * (distance * norm.cdf(distance) + norm.pdf(distance))
        gain[met] = -np.inf
        met.append(int(gain.argmax()))
        yield met[-1]


def robot(cells: Cells, truth: Vector, rng: np.random.Generator, queries: int = QUERIES[-1]) -> Iterator[int]:
    finite = np.where(np.isfinite(cells.values), cells.values, np.nan)
    low, high = np.nanmin(finite, 0), np.nanmax(finite, 0)
    scaled = np.nan_to_num((finite - low) / np.where(high > low, high - low, 1.0))
    weights = rng.uniform(-1, 1, (1000, scaled.shape[1]))
    tops = (scaled @ weights.T).argmax(0)
    asked, met = [int(rng.integers(len(weights)))], dict[int, None]()
    for _ in range(queries // 2):
        place = int(tops[asked[-1]])
        if place not in met:
            met[place] = None
            yield place
        y = normal_scores(truth[tops[asked]])
        near = [np.exp(-np.square(weights - weights[one]).sum(1)) for one in asked]
        across = np.column_stack(near)
        covariance = across[asked] + 1e-4 * np.eye(len(asked))
        mean = across @ np.linalg.solve(covariance, y)
        variance = 1 - (across * np.linalg.solve(covariance, across.T).T).sum(1)
        asked.append(int((mean + 2 * np.sqrt(np.maximum(variance, 0))).argmax()))
    best = weights[asked[int(truth[tops[asked[:-1]]].argmax())]]
    yield from (int(place) for place in np.argsort(-(scaled @ best)) if int(place) not in met)


METHODS = {
    "ranking": ranking,
    "robot": robot,
    "linear": with_beliefs(REST=0.0),
    "operations": with_beliefs(SLOPES=(0.0,), TAU=0.0),
    "forest": forest,
    "learned": learned,
}


@app.command()
def methods(
    pool: int = 3000,
    seeds: int = 20,
    proxies: str | None = None,
    only: str = ",".join(METHODS),
    scores: Path | None = None,
) -> None:
    plugins.load()
    frame, sets = (scored(), PEERS) if scores is None else scored_by_us(scores)
    print(f"{len(frame)} classes; {pool} for each seed, {seeds} seeds; test accuracy after {QUERIES} queries of")
    print(" | ".join(f"{valid} ({test}, best {frame[test].max():.2f})" for valid, test in TRUTHS))
    baselines(seeds)
    for name in proxies.split(",") if proxies else sets:
        members = sets.get(name) or tuple(part for one in name.split("+") for part in parts_of(one))
        drawn = [Cells(frame.sample(min(pool, len(frame)), random_state=s), members) for s in range(seeds)]
        for method in only.split(","):
            start, rows = time.process_time(), []
            for seed, cells in enumerate(drawn):
                for valid, test in TRUTHS:
                    truth = cells.frame[valid].to_numpy(float)
                    places = first(METHODS[method](cells, truth, np.random.default_rng(seed)))
                    rows.append(found(truth[places], cells.frame[test].to_numpy(float)[places]))
            report(f"{name} {method}", rows, time.process_time() - start)


@app.command()
def halving(pool: int = 3000, seeds: int = 20, scores: Path | None = None) -> None:
    plugins.load()
    frame, sets = (scored(), PEERS) if scores is None else scored_by_us(scores)
    print(f"test accuracy for as many epochs as {QUERIES} trainings of 200 take, cifar10_valid; {seeds} seeds")
    for name, members in sets.items():
        rows: dict[str, list[list[float]]] = {"halving": [], "ranking": [], "learned": []}
        for seed in range(seeds):
            cells = Cells(frame.sample(min(pool, len(frame)), random_state=seed), members)
            short, long, test = (cells.frame[c].to_numpy(float) for c in ("cifar10_valid_ep12", *TRUTHS[0]))
            rows["halving"].append([])
            for queries in QUERIES:
                begun = np.arange(min(len(short), queries * 100 // 12))
                kept = begun[np.argsort(-short[begun], kind="stable")][: queries - queries // 2]
                rows["halving"][-1].append(float(test[kept[long[kept].argmax()]]))
            for method in ("ranking", "learned"):
                met = first(METHODS[method](cells, long, np.random.default_rng(seed)))
                rows[method].append(found(long[met], test[met]))
        for method, found_by in rows.items():
            mean, deviation = np.mean(found_by, 0), np.std(found_by, 0, ddof=1)
            print(f"{name} {method:8} {' '.join(f'{m:.2f}±{d:.2f}' for m, d in zip(mean, deviation, strict=True))}")


def parts_of(name: str) -> tuple[str, ...]:
    """Of a combination its parts, of any other proxy itself."""
    return (PROXIES[name].parts if name in PROXIES else ()) or (name,)


def first(places: Iterator[int]) -> list[int]:
    chosen = [next(places) for _ in range(QUERIES[-1])]
    places.close()  # type: ignore[attr-defined]
    return chosen


def found(valid: Vector, test: Vector) -> list[float]:
    return [float(test[:n][valid[:n].argmax()]) for n in QUERIES]


def report(name: str, rows: list[list[float]], seconds: float) -> None:
    numbers = np.array(rows).reshape(-1, len(TRUTHS), len(QUERIES))
    mean, deviation = numbers.mean(0), numbers.std(0, ddof=1) if len(numbers) > 1 else numbers[0] * 0
    cells = [
        " ".join(f"{m:.2f}±{d:.2f}" for m, d in zip(*both, strict=True)) for both in zip(mean, deviation, strict=True)
    ]
    print(f"{name:18} {' | '.join(cells)}   {seconds:.0f} s", flush=True)


def baselines(seeds: int) -> None:
    """Random search and evolution on all cells, with as many queries; evolution with 500, too."""
    space, table = SPACES["nasbench201"](), pd.read_csv(data() / "nasbench201.csv.gz")
    rows = {space.parse(text): row for row, text in enumerate(table["arch"])}
    for name, options in {"random_search": {}, "evolution": {"population": 10, "tournament": 5}}.items():
        results, long = [], []
        for seed in range(seeds):
            for valid, test in TRUTHS:
                truth, met = table[valid].to_numpy(float), list[int]()
                search, archs = SEARCHERS[name].start(space, Random(seed), options)
                while len(met) < 500:
                    met += [rows[arch] for arch in archs]
                    archs = told(search, [float(truth[rows[arch]]) for arch in archs])
                outcome = table[test].to_numpy(float)[met]
                results.append(found(truth[met], outcome))
                long.append(float(outcome[truth[met].argmax()]))
        report(name, results, 0)
        ends = np.array(long).reshape(-1, len(TRUTHS))
        print(
            f"{'':18} after 500: {' '.join(f'{m:.2f}±{d:.2f}' for m, d in zip(ends.mean(0), ends.std(0), strict=True))}"
        )


@app.command()
def verdicts(
    draws: int = 40, counts: Annotated[str, typer.Option()] = "16,24,48,96", folder: Path | None = None
) -> None:
    plugins.load()
    if folder is None:
        frame, names = scored(), list(PEERS["all"])
        scores = frame[names].where(frame[names] > FAILED, -np.inf).rename(columns=lambda name: name[7:])
        scores = scores.assign(params=frame["params"], flops=frame["flops"])
        judge(scores, frame["cifar10_test"], draws, counts)
        return
    for file in sorted(folder.glob("*.csv")):
        rows = pd.read_csv(file, dtype={"arch": str})
        frame = with_forms(file.stem, rows)
        scores = frame[[name for name in rows["proxy"].unique() if name in frame]].replace(FAILED, -np.inf)
        print(f"{file.stem}, {len(frame)} architectures")
        judge(scores, frame[QUERIED[file.stem][1]], draws, counts)


def judge(scores: pd.DataFrame, truth: pd.Series, draws: int, counts: str) -> None:
    scores = scores.loc[:, scores.nunique() > 1]  # what is the same everywhere, or always fails, ranks nothing
    true = {name: kendall(scores[name].to_numpy(float), truth.to_numpy(float)) for name in scores}
    print("true τ:", ", ".join(f"{name} {tau:.3f}" for name, tau in sorted(true.items(), key=lambda i: -i[1])))
    rng = np.random.default_rng(0)
    for count in map(int, counts.split(",")):
        exact, alike, lost, kept, apart = 0, 0, [], [], []
        for _ in range(draws):
            rows = rng.choice(len(truth), count, replace=False)
            result = judged(scores.iloc[rows], truth.iloc[rows])
            assert result.best is not None
            best = max(true, key=true.__getitem__)
            exact += result.best == best
            alike += best in (result.best, *result.alike)
            lost.append(true[best] - true[result.best])
            apart.append(result.more == 0)
            if result.more and count + result.more <= len(truth):
                again = rng.choice(len(truth), count + result.more, replace=False)
                kept.append(settled(scores.iloc[again], truth.iloc[again], result.best, str(result.second)))
        print(
            f"{count:3} cells: the best proxy is named in {exact / draws:.0%}, it or one not told apart in "
            f"{alike / draws:.0%}; τ given away {np.mean(lost):.3f}; the best two settled at once "
            f"{np.mean(apart):.0%}; the promised number suffices in {sum(kept)} of {len(kept)}",
            flush=True,
        )


def judged(scores: pd.DataFrame, truth: pd.Series) -> object:
    long = scores.rename_axis("arch").reset_index().melt("arch", var_name="proxy")
    long = long.assign(seed=0, status="ok", reason="", seconds=0.0)
    frame = correlations(long, truth, dict.fromkeys(scores, True))
    return verdict(frame, paired(scores, truth), scores, truth)


def settled(scores: pd.DataFrame, truth: pd.Series, one: str, other: str) -> bool:
    """Whether they are told apart, or known to differ by less than `LEVELLED`."""
    spreads = Spreads(truth.to_numpy(float))
    first, second = (spreads.kendall(scores[name].to_numpy(float)) for name in (one, other))
    difference = first.minus(second)
    return difference.p_value() < LEVEL or max(map(abs, difference.interval())) < LEVELLED


QUERIED = {
    "nasbench101": ("cifar10_valid", "cifar10_test"), "nats_sss": ("cifar10_test", "cifar10_test"),
    "nasbench_macro": ("cifar10_test", "cifar10_test"), "darts": ("cifar10_valid", "cifar10_valid"),
    "transnas_micro": ("class_object_valid", "class_object_valid"), "autoformer": ("c100_base_acc", "c100_base_acc"),
    "nasbench_bert": ("glue", "glue"),
}  # fmt: skip
"""What is asked for, and what the result is judged by; tables with one column have but that."""


@app.command()
def spaces(folder: Path, seeds: int = 20, queries: int = 20, proxies: str = "gradalign_i,synflow,naswot") -> None:
    plugins.load()
    names = tuple(proxies.split(","))
    for space, (valid, test) in QUERIED.items():
        if not (folder / f"{space}.csv").exists():
            print(f"{space}: no scores in {folder}")
            continue
        frame = with_forms(space, pd.read_csv(folder / f"{space}.csv", dtype={"arch": str}))
        frame = frame.dropna(subset=[valid, test])  # some modules have no validation accuracy
        places: dict[str, list[float]] = {}
        for seed in range(seeds):
            cells = Cells(frame.sample(frac=0.8, random_state=seed), names)
            truth, outcome = (cells.frame[column].to_numpy(float) for column in (valid, test))
            place = average_ranks(-outcome)
            orders = {"params": np.argsort(-cells.frame["params"].to_numpy(float), kind="stable")[:queries]}
            for name in ("ranking", "learned"):
                chosen = METHODS[name](cells, truth, np.random.default_rng(seed))
                orders[name] = np.array([next(chosen) for _ in range(queries)])
            for name, met in orders.items():
                places.setdefault(name, []).append(place[met[truth[met].argmax()]])
        each = "; ".join(f"{name} {np.mean(p):.1f}, median {np.median(p):.1f}" for name, p in places.items())
        print(f"{space}, {int(0.8 * len(frame))} architectures, place after {queries}: {each}", flush=True)


def with_forms(space: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The scores of ``rows``, larger is better, and accuracies of a space's architectures, each once."""
    signs = rows["proxy"].map({name: 1 if PROXIES[name].larger_is_better else -1 for name in rows["proxy"].unique()})
    rows = rows.assign(value=(rows["value"] * signs).where(rows["status"] == "ok", FAILED))
    scores = rows.pivot_table(index="arch", columns="proxy", values="value", aggfunc="first")
    made = SPACES[space]()
    table = pd.read_csv(data() / f"{space}.csv.gz", dtype={"arch": str}).drop(columns=list(SIZES), errors="ignore")
    frame = table.set_index("arch").join(scores, how="inner")
    frame["form"] = [made.canonical(made.parse(text)) for text in frame.index]
    return frame.drop_duplicates("form")


def data() -> Path:
    return Path(os.environ["NAS_DATA"])


def scored() -> pd.DataFrame:
    """One row for each class of isomorphic cells that peers scored by every proxy, with its accuracies."""
    space = SPACES["nasbench201"]()
    peers = pd.read_csv(data() / "nasbench201_peer_scores.csv.gz").dropna(subset=list(PEERS["all"]))
    frame = peers.merge(pd.read_csv(data() / "nasbench201.csv.gz"), on="arch")
    frame["form"] = [space.canonical(space.parse(text)) for text in frame["arch"]]
    return frame.drop_duplicates("form").reset_index(drop=True)


def scored_by_us(folder: Path) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """The same from a comparison's folder, larger is better; and the sets of proxies that it has."""
    rows = pd.read_csv(folder / "scores.csv")
    own = tuple(name for name in rows["proxy"].unique() if name not in (*SIZES, "depth"))
    return with_forms("nasbench201", rows).reset_index(), {"own": own}


if __name__ == "__main__":
    app()
