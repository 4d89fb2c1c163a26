"""Compares our scores with those of other codes, and our τ with the published ones.

    nas compare --config runs/proxies_nasbench201.yaml --run runs/proxies
    python -m benchmarks.peers runs/proxies/scores.csv

Reads the rows of one or several ``scores.csv`` on NAS-Bench-201 (CIFAR-10 images), and from the folder ``NAS_DATA``
``nasbench201.csv.gz`` and ``nasbench201_peer_scores.csv.gz``. Prints, for each column of another code, the Spearman ρ
with our score of the same cells, and Kendall's τ-b of either with their test accuracy on CIFAR-10; and for each proxy
Kendall's τ-b with the test accuracy on CIFAR-10 and CIFAR-100, with 95 % intervals, beside the published figure. Where
there are several seeds, a score is their mean, and ρ of each two of them says how far the draw ranks; a failure ranks
last.
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
from nas.statistics.ranks import interval, kendall, kendall_resampled, resamples, spearman

PEERS = {
    "naslib_nwot": "naswot", "freerea_naswot": "naswot", "naslib_synflow": "synflow", "naslib_l2_norm": "l2_norm",
    "naslib_snip": "snip", "naslib_grad_norm": "grad_norm", "naslib_jacov": "jacov", "naslib_fisher": "fisher",
    "naslib_grasp": "grasp", "naslib_epe_nas": "epe_nas", "naslib_plain": "plain", "naslib_zen": "zen",
    "naslib_params": "params", "naslib_flops": "flops", "freerea_linear_regions": "linear_regions",
}  # fmt: skip
"""Another code's column -> our proxy."""

PUBLISHED = {
    "params": ".578 / .553", "flops": ".578 / .551", "grad_norm": ".46 / .47", "snip": ".46 / .47",
    "grasp": ".37 / .36", "fisher": ".40 / .41", "synflow": ".54 / .57", "naswot": ".58 / .62", "jacov": ".62 / .64",
    "zen": ".10 to .30", "zico": ".61 / .61", "gradsign": ".58 to .62 / .59", "te_nas": ".54 / .54",
    "az_nas": ".71 to .74 / .70 to .72", "vkdnw_agg": ".75 / .75", "depth": ".63 / .65",
}  # fmt: skip
"""Kendall's τ with the test accuracy on CIFAR-10 / CIFAR-100, on all cells."""

FAILED = -1e7
"""Below this a score of another code marks its failure."""


def main(scores: list[Path]) -> None:
    plugins.load()
    data = Path(os.environ["NAS_DATA"])
    rows = pd.concat([pd.read_csv(file) for file in scores])
    values = rows.groupby(["proxy", "arch"], sort=False)["value"].agg(lambda seeds: seeds.mean(skipna=False))
    draws = {name: own.pivot(index="arch", columns="seed", values="value") for name, own in rows.groupby("proxy")}
    names = list(dict.fromkeys(rows["proxy"]))
    peers = pd.read_csv(data / "nasbench201_peer_scores.csv.gz").set_index("arch")
    truth = pd.read_csv(data / "nasbench201.csv.gz").set_index("arch")
    print(f"{'column':<24} {'cells':>5}  ρ with ours  τ of ours  τ of theirs (CIFAR-10)  theirs on all their cells")
    for column, name in PEERS.items():
        if name in names:
            scored = peers[column][(peers[column] > FAILED) & np.isfinite(peers[column])]
            both = pd.concat([values[name], scored.rename("peer")], axis=1, join="inner").dropna()
            ours, theirs = both["value"].to_numpy(), both["peer"].to_numpy()
            accuracy = truth.loc[both.index, "cifar10_test"].to_numpy()
            taus = f"{kendall(ours, accuracy):>9.3f}  {kendall(theirs, accuracy):>9.3f}"
            whole = kendall(scored.to_numpy(), truth.loc[scored.index, "cifar10_test"].to_numpy())
            print(
                f"{column:<24} {len(both):>5}  {spearman(ours, theirs):>11.3f}  {taus} {whole:>24.3f} of {len(scored)}"
            )
    weights_alone = peers["naslib_l2_norm"].dropna()
    counts = [weights_alone.index.str.count(operation) for operation in ("nor_conv_3x3", "nor_conv_1x1")]
    alike = weights_alone.groupby(counts).transform("mean")
    most = spearman(alike.to_numpy(), weights_alone.to_numpy())
    print(f"\nnaslib_l2_norm and its mean over cells with as many convolutions: ρ {most:.3f}; the rest is their draw")
    targets = "τ CIFAR-10 [95 %]      τ CIFAR-100 [95 %]     ρ of our seeds  published"
    print(f"\n{'proxy':<20} {'cells':>5} {'failed':>6}  {targets}")
    for name in names:
        score = values[name] if name not in PROXIES or PROXIES[name].larger_is_better else -values[name]
        columns = []
        for target in ("cifar10_test", "cifar100_test"):
            accuracy, column = truth.loc[score.index, target].to_numpy(), score.fillna(-np.inf).to_numpy()
            weights = resamples(len(column), np.random.default_rng(0))
            low, high = interval(kendall_resampled(column, accuracy, weights))
            columns.append(f"{kendall(column, accuracy):.3f} [{low:.3f}, {high:.3f}]")
        failed = int(score.isna().sum())
        pairs = combinations([draws[name][seed] for seed in draws[name]], 2)
        own = [spearman(*pd.concat(pair, axis=1).dropna().to_numpy().T) for pair in pairs]
        apart = f"{min(own):.3f} to {max(own):.3f}" if own else ""
        published = PUBLISHED.get(name, "")
        print(f"{name:<20} {len(score):>5} {failed:>6}  {columns[0]:<22} {columns[1]:<22} {apart:<15} {published}")


if __name__ == "__main__":
    typer.run(main)
