"""How repeatable a latency is, and whether it ranks cells as another device does.

    NAS_DATA=... python -m benchmarks.latency [--cells 200] [--runtime torch|onnxruntime]

Random cells of NAS-Bench-201, each measured once in one order and once more in another, as a search measures them
(`latency`, a batch of one). Prints Kendall's τ-b between the two, the median and the 90 % quantile of their difference,
relative to their mean, and τ-b of the first with the latencies of devices in ``nasbench201_hardware.csv.gz``; and the
system's load, since a busy machine gives other numbers than a quiet one.
"""

import argparse
import os
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd

from nas import plugins
from nas.data.minibatch import minibatch
from nas.proxy import PROXIES
from nas.scoring.machine import machine
from nas.scoring.scorer import Scorer
from nas.space import make_space
from nas.statistics.ranks import kendall

DEVICES = ("raspi4", "pixel3", "edgegpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--runtime", default="torch")
    arguments = parser.parse_args()
    plugins.load()
    space = make_space("nasbench201", {})
    table = pd.read_csv(Path(os.environ["NAS_DATA"]) / "nasbench201_hardware.csv.gz").set_index("arch")
    texts = Random(0).sample(list(table.index), arguments.cells)
    latency = PROXIES["latency"].with_options({"runtime": arguments.runtime})
    values: list[dict[str, float]] = []
    load = [os.getloadavg()[0]]
    for order in (texts, Random(1).sample(texts, len(texts))):
        scorer = Scorer(space, minibatch("synthetic", 4, 0))
        scores = scorer([space.parse(text) for text in order], [latency])
        values.append({text: score["latency"].value for text, score in zip(order, scores, strict=True)})
        load.append(os.getloadavg()[0])
    first, second = (np.array([run[text] for text in texts]) for run in values)
    apart = np.abs(first - second) / ((first + second) / 2)
    print(f"{machine(scorer.device)}; load {', '.join(f'{number:.1f}' for number in load)}")
    print(
        f"two runs of {len(texts)} cells: tau {kendall(first, second):.3f}, "
        f"apart by {100 * np.median(apart):.1f} % (median), {100 * np.quantile(apart, 0.9):.1f} % (90 % quantile)"
    )
    for device in DEVICES:
        other = table.loc[texts, f"{device}_latency"].to_numpy()
        print(f"tau with {device}: {kendall(first, other):.3f}")


if __name__ == "__main__":
    main()
