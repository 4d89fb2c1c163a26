"""Searches of NAS-Bench-201 on scores that were measured once, so that hundreds of them take minutes.

    nas compare --space nasbench201 --table $NAS_DATA/nasbench201.csv.gz --target cifar10_test --unique \\
        --data $NAS_DATA/cifar10_probe.npz --workers 2 --run FOLDER --proxies \\
        gradalign_i,gradalign_ii,jacov,naswot,synflow,dextr_condition,az_expressivity,az_trainability,meco,params,flops
    NAS_DATA=... python -m benchmarks.recorded FOLDER [--proxies nas_rank,gradalign_i] [--budget 1000] [--seeds 5]
        [--evaluate 20]

What the folder lacks is measured in the same way and kept in the store (``NAS_STORE``). Every seed is another search
(other first cells, other mutations) over the same initialisation; `nas search` would draw another one with every seed.
Printed is the test accuracy on CIFAR-10 of the best by score, without a limit and below each of ``--limits`` (millions
of parameters), how large it is, and what is the best possible there. With ``--evaluate`` the validation accuracies
after 200 epochs of so many of the cells that were scored are looked up, as ``nas search --evaluate`` chooses them, and
the test accuracy is that of the best by validation.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any, cast

import pandas as pd
import typer

from nas import plugins
from nas.calls.evaluate import Pool, Wanted, evaluate
from nas.calls.setup import Setup
from nas.calls.truth import LookedUp
from nas.data.table import Table
from nas.proxy import Proxy, ProxyFn
from nas.runs.loop import Trial, best, run
from nas.scoring.measurer import Score
from nas.scoring.objective import Objective, Objectives, resolve
from nas.scoring.scorer import Scorer
from nas.searcher import SEARCHERS
from nas.space import Arch, Space, SpaceWrapper

SPACE = "nasbench201"


class Recorded:
    """The scores of a comparison's run folder, asked as a `nas.scoring.scorer.Scorer` is; ``scorer`` measures what the
    folder lacks."""

    def __init__(self, folder: Path, scorer: Scorer) -> None:
        self.space, self.scorer = scorer.space, scorer
        rows = pd.read_csv(folder / "scores.csv")
        forms = {text: self.space.canonical(self.space.parse(text)) for text in rows["arch"].unique()}
        self.scores: dict[Arch, dict[str, Score]] = {form: {} for form in forms.values()}
        for row in rows.itertuples():
            failed = row.status != "ok"
            reason = str(row.reason) if failed else ""
            self.scores[forms[row.arch]][row.proxy] = Score(None if failed else row.value, row.status, reason)

    def stream(self, archs: Iterable[Arch], proxies: Sequence[Proxy]) -> Iterator[dict[str, Score]]:
        for form in map(self.space.canonical, archs):
            known = self.scores.get(form, {})
            own = {proxy.name: known[proxy.name] for proxy in proxies if proxy.name in known}
            (further,) = self.scorer([form], [proxy for proxy in proxies if proxy.name not in own])
            yield own | further

    def __call__(self, archs: Iterable[Arch], proxies: Sequence[Proxy]) -> list[dict[str, Score]]:
        return list(self.stream(archs, proxies))


class Within(SpaceWrapper):
    """A space with only those architectures valid of which ``keep`` says so."""

    def __init__(self, space: Space, keep: Callable[[Arch], bool]) -> None:
        super().__init__(space)
        self.keep = keep

    def valid(self, arch: Arch) -> bool:
        return self.space.valid(arch) and self.keep(self.space.canonical(arch))

    def random_leaf(self, rng: Random) -> Arch:
        return self.space.sample(rng)

    def size(self) -> int:
        return sum(1 for _ in self)


def searched(
    scorer: Scorer | Recorded,
    searcher: str,
    proxy: str | Proxy | ProxyFn,
    budget: int,
    seed: int,
    *,
    keep: Callable[[Arch], bool] | None = None,
    minimise: Sequence[Proxy] = (),
    options: dict[str, Any] | None = None,
) -> list[Trial]:
    """The trials of a search, as `nas.search` makes them."""
    record, asked = SEARCHERS[searcher], cast(Scorer, scorer)
    objectives = [Objective(asked, proxy, ranks=record.ranks)]
    objectives += [Objective(asked, other, sense="minimise") for other in minimise]
    space = scorer.space if keep is None else Within(scorer.space, keep)
    many = record.objectives == "many"
    return list(
        run(
            space, record.start(space, Random(seed), options or {}),
            Objectives(objectives) if len(objectives) > 1 else objectives[0], budget, many=many,
        )
    )  # fmt: skip


def main(
    folder: Path,
    proxies: str = "nas_rank,gradalign_i,gradalign_ii",
    budget: int = 1000,
    seeds: int = 5,
    limits: Annotated[str, typer.Option()] = "0.3,0.6,1.0",
    searcher: str = "evolution",
    batch_size: int = 64,
    evaluations: Annotated[int, typer.Option("--evaluate")] = 0,
) -> None:
    plugins.load()
    with Setup.of(SPACE, {"data": str(data() / "cifar10_probe.npz"), "batch_size": batch_size}) as setup:
        named = {name: setup.named(name) for name in proxies.split(",")}
        judge(Recorded(folder, setup.scorer()), named, budget, seeds, limits, searcher, evaluations)


def judge(
    recorded: Recorded,
    proxies: Mapping[str, str | Proxy | ProxyFn],
    budget: int,
    seeds: int,
    limits: str,
    searcher: str,
    evaluations: int,
) -> None:
    lookup = Table(data() / "nasbench201.csv.gz", recorded.space)
    table, source = lookup.frame, LookedUp(lookup, "cifar10_valid")
    forms = [recorded.space.canonical(recorded.space.parse(text)) for text in table["arch"]]
    accuracy, params = (dict(zip(table["arch"], table[what], strict=True)) for what in ("cifar10_test", "params"))
    size = dict(reversed(list(zip(forms, table["params"], strict=True))))
    for limit in (None, *map(float, limits.split(","))):
        own = table if limit is None else table[table["params"] <= limit * 1e6]
        print(f"{'no limit' if limit is None else f'params<={limit:g}e6'}: best {own['cifar10_test'].max():.2f}")
        for name, proxy in proxies.items():
            keep = None if limit is None else (lambda form, limit=limit: size[form] <= limit * 1e6)
            archs = []
            for seed in range(seeds):
                trials = searched(recorded, searcher, proxy, budget, seed, keep=keep)
                end = best(trials)
                if evaluations:
                    pool = Pool.of(trials, recorded.space, resolve(proxy, {})[0], source)
                    end = evaluate(pool, Wanted(evaluations, 1, source), None, None).winner
                assert end is not None
                archs.append(end.arch)
            found = [accuracy[arch] for arch in archs]
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            print(
                f"  {name}: mean {statistics.fmean(found):.2f}, sd {spread:.2f}, least {min(found):.2f}, "
                f"{statistics.fmean(params[arch] for arch in archs) / 1e6:.2f} million parameters",
                flush=True,
            )


def data() -> Path:
    return Path(os.environ["NAS_DATA"])


if __name__ == "__main__":
    typer.run(main)
