"""How much another number of threads changes each score: those that sum in another order change in the last digits.

NAS_DATA=... python -m benchmarks.threads [--archs 4]
"""

import argparse
import os
from random import Random

import torch

from nas import plugins
from nas.data.minibatch import minibatch
from nas.proxy import PROXIES
from nas.scoring.measurer import Measurer
from nas.space import make_space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", type=int, default=4)
    plugins.load()
    space, rng = make_space("nasbench201", {}), Random(1)
    measurer = Measurer(space, minibatch(f"{os.environ['NAS_DATA']}/cifar10_probe.npz"), device="cpu")
    proxies = [PROXIES[name] for name in PROXIES if not PROXIES[name].parts and not PROXIES[name].transformers]
    largest = dict.fromkeys((proxy.name for proxy in proxies), 0.0)
    for _ in range(parser.parse_args().archs):
        arch = space.canonical(space.sample(rng))
        runs = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs.append(measurer(arch, proxies))
        for name in largest:
            one, two = (scores[name].value for scores in runs)
            if one is not None and two is not None:
                largest[name] = max(largest[name], abs(one - two) / max(abs(one), 1e-30))
    for name, change in sorted(largest.items(), key=lambda item: -item[1]):
        print(f"{name:<20} {change:.1e}")


if __name__ == "__main__":
    main()
