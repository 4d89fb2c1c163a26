"""The cost of a comparison besides measuring: the share of its processor time that is not spent on networks.

NAS_DATA=... python -m benchmarks.comparison [--archs 1000]
NAS_DATA=... python -m benchmarks.comparison --made-up 31 [--archs 15625]

Fifteen proxies on random cells of NAS-Bench-201, one seed, with run folder, store, statistics and page; the peak
of memory is that of the whole process. With ``--made-up N`` no network is measured: the scores of N proxies are drawn,
with ties and failures, and the time is that of the statistics and of the page, beside the counts of every comparison.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

START = time.process_time()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

import nas  # noqa: E402
from nas.report.comparison import comparison_report  # noqa: E402
from nas.scoring.measurer import Measurer  # noqa: E402
from nas.statistics.comparison import (  # noqa: E402
    ALWAYS,
    Comparison,
    correlations,
    mean_over_seeds,
    oriented,
    paired,
    selection,
    target_correlations,
)

PROXIES = (
    "gradalign_i,gradalign_ii,gradsign,naswot,swap,synflow,grad_norm,snip,fisher,l2_norm,jacov,epe_nas,meco,zen,knas"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", type=int, default=1000)
    parser.add_argument("--made-up", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    data = Path(os.environ["NAS_DATA"])
    (made_up if arguments.made_up else measured)(data, arguments.archs, arguments.made_up)


def measured(data, archs, _):
    within, measure, peaks = [0.0], Measurer.__call__, [0.0]

    def timed(*arguments):
        start = time.process_time()
        try:
            return measure(*arguments)
        finally:
            within[0] += time.process_time() - start
            peaks.append(peak())  # measuring memory resets it

    Measurer.__call__ = timed
    with tempfile.TemporaryDirectory() as folder:
        nas.compare(
            "nasbench201", data / "nasbench201.csv.gz", "cifar10_test", PROXIES, archs,
            data=str(data / "cifar10_probe.npz"), run_folder=Path(folder, "run"), store=Path(folder, "scores.sqlite"),
        )  # fmt: skip
        page = Path(folder, "run", "report.html").stat().st_size
    total = time.process_time() - START
    print(f"{archs} cells: {total:.0f} s of processor time, {(total - within[0]) / total:.1%} outside the proxies;")
    print(f"peak {max(peaks):.0f} MB; report.html {page / 1e6:.2f} MB")


def made_up(data, archs, proxies):
    table = pd.read_csv(data / "nasbench201.csv.gz").head(archs).set_index("arch")
    scores, directions = drawn(table, proxies)
    print(f"{len(table)} architectures, {len(directions)} proxies; before the statistics: peak {peak():.0f} MB")
    numbers = table.select_dtypes("number")
    truth = table["cifar10_test"]
    start = time.perf_counter()
    means = mean_over_seeds(oriented(scores, directions))
    coefficients = correlations(scores, truth, directions)
    coefficients = coefficients[coefficients["seed"] == "all"].reset_index(drop=True)
    result = Comparison(
        scores, coefficients, paired(means, truth), selection(means, truth), target_correlations(means, numbers),
        truth.loc[means.index], 0,
    )  # fmt: skip
    between = time.perf_counter()
    page = comparison_report("Made up", result, directions, "cifar10_test")
    end = time.perf_counter()
    print(f"statistics {between - start:.1f} s, page {end - between:.1f} s; peak {peak():.0f} MB")
    print(f"report.html {len(page.encode()) / 1e6:.2f} MB")


def drawn(table, proxies):
    """``scores.csv`` of this many proxies with one seed: the accuracy with noise, every other one rounded, so that
    there are ties, each with 2 % failures; and the directions, every third of which is downwards."""
    rng, frames = np.random.default_rng(0), []
    names = [*ALWAYS, *(f"proxy_{number}" for number in range(proxies))]
    for number, name in enumerate(names):
        values = table["cifar10_test"].to_numpy() + rng.normal(0, 1 + number, len(table))
        values = values.round(1) if number % 2 else values
        failed = rng.random(len(table)) < (0.02 if name not in ALWAYS else 0)
        if name in table:
            values = table[name].to_numpy(float)
        frames.append(pd.DataFrame({
            "arch": table.index, "proxy": name, "seed": 0, "value": np.where(failed, np.nan, values),
            "status": np.where(failed, "failed", "ok"), "reason": np.where(failed, "no gradient", ""), "seconds": 0.01,
        }))  # fmt: skip
    return pd.concat(frames, ignore_index=True), {name: number % 3 > 0 for number, name in enumerate(names)}


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
