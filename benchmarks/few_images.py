"""How few images GradAlign ranks well with, and how they are best spread over classes.

    NAS_DATA=... python -m benchmarks.few_images [--archs 200]

Random cells of NAS-Bench-201, 64 images of CIFAR-10, of which each line takes some: Kendall's τ with the test accuracy
on CIFAR-10 and CIFAR-100, GradAlign-I and -II, and processor time for both together.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
import typer

from nas import plugins
from nas.calls.setup import Setup
from nas.proxy import PROXIES
from nas.statistics.ranks import kendall
from proxies import gradalign

NAMES = ("gradalign_i", "gradalign_ii")


class Line(NamedTuple):
    """How many images, at least how many of each class; with 0 as one group."""

    images: int
    per_class: int


LINES = (
    Line(64, 4), Line(40, 4), Line(30, 3), Line(20, 2), Line(16, 4), Line(16, 8), Line(8, 4), Line(16, 0), Line(8, 0),
)  # fmt: skip


def main(archs: int = 200) -> None:
    plugins.load()
    data = Path(os.environ["NAS_DATA"])
    table = pd.read_csv(data / "nasbench201.csv.gz").sample(archs, random_state=5)
    setup = Setup.of("nasbench201", {"data": str(data / "cifar10_probe.npz"), "batch_size": 64, "store": "none"})
    measurer = setup.scorer(kept=False).measurer
    cells = [setup.space.canonical(setup.space.parse(text)) for text in table["arch"]]
    print(f"{archs} cells; τ on CIFAR-10 / CIFAR-100")
    for line in LINES:
        options: dict[str, Any] = {"images": line.images, "per_class": line.per_class > 0}
        proxies = [PROXIES[name].with_options(options) for name in NAMES]
        start = time.process_time()
        with patch.object(gradalign, "PER_CLASS", max(1, line.per_class)):
            scores = [measurer(cell, proxies) for cell in cells]
        seconds = (time.process_time() - start) / archs
        how = f"{line.images} images, " + (f"{line.per_class} of a class or more" if line.per_class else "one group")
        found = []
        for name in NAMES:
            values = np.array([-math.inf if one[name].value is None else one[name].value for one in scores])
            taus = (kendall(values, table[f"{kind}_test"].to_numpy(float)) for kind in ("cifar10", "cifar100"))
            found.append(f"{name} {' / '.join(f'{tau:.3f}' for tau in taus)}")
        print(f"{how:36} {', '.join(found)}, {1000 * seconds:.0f} ms", flush=True)


if __name__ == "__main__":
    typer.run(main)
