"""The costs and gains of the engines, once their workers have begun: all interleaved, so that a busy machine shows.

NAS_DATA=... python -m benchmarks.engines
"""

import os
import statistics
import time
from contextlib import ExitStack
from random import Random

from nas import plugins
from nas.data.minibatch import minibatch
from nas.engines import open_engine
from nas.proxy import PROXIES
from nas.scoring.scorer import Scorer
from nas.space import make_space

ENGINES = {
    "here": {},
    "1 process": {"workers": 1},
    "2 processes": {"workers": 2},
    "1 actor": {"ray": "local", "workers": 1},
}
ROUNDS = 3


def main() -> None:
    plugins.load()
    data = minibatch(f"{os.environ['NAS_DATA']}/cifar10_probe.npz")
    space, rng = make_space("nasbench201", {}), Random(0)
    with ExitStack() as stack:
        engines = {}
        for name, options in ENGINES.items():
            wanted = {"workers": None, "ray": None, "timeout": None} | options
            engines[name] = stack.enter_context(open_engine("nasbench201", {}, (), **wanted))
        scorers = {name: Scorer(space, data, engine=engine) for name, engine in engines.items()}
        for scorer in scorers.values():  # each worker begins
            scorer([space.sample(rng) for _ in range(4)], [PROXIES["params"]])
        for proxy, count in (("params", 60), ("gradalign_i", 8)):
            took: dict[str, list[float]] = {name: [] for name in scorers}
            beside: dict[str, list[float]] = {name: [] for name in scorers}
            for _ in range(ROUNDS):
                archs = list(dict.fromkeys(space.canonical(space.sample(rng)) for _ in range(count)))
                for name, scorer in scorers.items():
                    scorer.forget()
                    start = time.perf_counter()
                    scored = scorer(archs, [PROXIES[proxy]])
                    took[name].append((time.perf_counter() - start) / len(archs))
                    beside[name].append(took[name][-1] - statistics.mean(scores[proxy].seconds for scores in scored))
            print(f"{proxy}: ms for each architecture, of these beside the measuring, ratio to one process [range]")
            for name, seconds in took.items():
                ratios = sorted(mine / its for mine, its in zip(seconds, took["1 process"], strict=True))
                ms, more = 1000 * statistics.median(seconds), 1000 * statistics.median(beside[name])
                rest = "" if name.startswith("2") else f"{more:.2f}"
                span = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
                print(f"  {name:<12}{ms:9.2f}{rest:>8}   {span}", flush=True)


if __name__ == "__main__":
    main()
