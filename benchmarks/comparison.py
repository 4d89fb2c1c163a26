"""What a comparison takes beside measuring: the share of its processor time that is not spent on networks.

NAS_DATA=... python -m benchmarks.comparison [--archs 1000]

Fifteen proxies on random cells of NAS-Bench-201, one seed, with run folder, store, statistics and page; the peak
of memory is that of the whole process.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

START = time.process_time()

import nas  # noqa: E402
from nas.scoring.measurer import Measurer  # noqa: E402

PROXIES = (
    "gradalign_i,gradalign_ii,gradsign,naswot,swap,synflow,grad_norm,snip,fisher,l2_norm,jacov,epe_nas,meco,zen,knas"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", type=int, default=1000)
    archs = parser.parse_args().archs
    data, inside, measure = Path(os.environ["NAS_DATA"]), [0.0], Measurer.__call__
    peaks = [0.0]

    def timed(*arguments):
        start = time.process_time()
        try:
            return measure(*arguments)
        finally:
            inside[0] += time.process_time() - start
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)  # measuring memory resets it

    Measurer.__call__ = timed
    with tempfile.TemporaryDirectory() as folder:
        nas.compare(
            "nasbench201", data / "nasbench201.csv.gz", "cifar10_test", PROXIES, archs,
            data=str(data / "cifar10_probe.npz"), run_folder=Path(folder, "run"), store=Path(folder, "scores.sqlite"),
        )  # fmt: skip
        page = Path(folder, "run", "report.html").stat().st_size
    total = time.process_time() - START
    print(f"{archs} cells: {total:.0f} s of processor time, {(total - inside[0]) / total:.1%} outside the proxies;")
    print(f"peak {max(peaks):.0f} MB; report.html {page / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
