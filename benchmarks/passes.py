"""What each proxy costs in plain forward and backward passes, beside what it declares.

    python -m benchmarks.passes [--proxies near,dextr]

The time of one visit by the proxy alone, the building of its network included, divided by that of one forward and
backward pass of the same 64 images through the network that is already built (`nas.scoring.cost.proxy_costs`), on the
cell in the middle of NAS-Bench-201; for proxies that have no score there on the first of these that gives them one: a
vision transformer of AutoFormer and 16 images, a BERT and a recurrent network and 8 sequences. In one process, with as
many threads as torch takes. To be put into the declarations, with two digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import typer

from nas import plugins
from nas.calls.setup import Setup
from nas.proxy import PROXIES
from nas.scoring.cost import proxy_costs
from nas.scoring.objective import resolve


class Network(NamedTuple):
    """A space, the notation of an architecture (a random one where it is empty) and how many inputs."""

    space: str
    text: str
    inputs: int


NETWORKS = (
    Network("nasbench201", "nats:3,1,2,0,3,1", 64),
    Network("autoformer", "", 16),
    Network("nasbench_bert", "", 8),
    Network("nasbench_nlp", "", 8),
)


def main(proxies: str = "all") -> None:
    plugins.load()
    pending = list(PROXIES) if proxies == "all" else proxies.split(",")
    print(f"{'proxy':24} {'passes':>8} {'declared':>8}  network")
    for network in NETWORKS:
        pending = measured(network, pending) if pending else []
    for name in pending:
        print(f"{name:24} without a score")


def measured(network: Network, names: Sequence[str]) -> list[str]:
    """Prints the costs of the proxies that have a score, and returns the names of the others."""
    setup = Setup.of(network.space, {"batch_size": network.inputs, "store": "none"})
    arch = setup.space.parse(network.text) if network.text else setup.space.sample(Random(0))
    scorer = setup.scorer(kept=False)
    suite = {name: resolve(name, {})[0] for name in names}
    scores = scorer([arch], list({part.name: part for parts in suite.values() for part in parts}.values()))[0]
    suite = {n: parts for n, parts in suite.items() if all(scores[part.name].status == "ok" for part in parts)}
    if suite:
        costs = proxy_costs(scorer, [arch], suite).set_index("proxy")["ratio"]
        for name in suite:
            declared = PROXIES[name].passes
            print(
                f"{name:24} {costs[name]:8.2g} {'' if declared is None else format(declared, 'g'):>8}  {network.space}"
            )
    return [name for name in names if name not in suite]


if __name__ == "__main__":
    typer.run(main)
