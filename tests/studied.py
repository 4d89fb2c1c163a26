"""What small studies are made of."""

from functools import partial

import numpy as np
import pandas as pd

import nas
import nas.calls.study
from nas.data.minibatch import minibatch
from nas.proxy import PROXIES
from nas.space import SPACES
from nas.studies import (
    Material,
)

TINY = {"widths": (4, 8), "repeats": 1}
DATA = "synthetic:classes=3,size=8"
SETTINGS = {
    "nasbench201": TINY,
    "seeds": {"repeats": 2},
    "perturbation": {"repeats": 1, "levels": (1e-2,), "width": 4, "points": 3},
    "scaling": {"factors": (1.0, 2.0), "width": ("not this one",), "depth": ("nor this",)},
    "descent": {"steps": 2},
}
AUTOFORMER = {"hidden_dims": (16, 24), "depths": (1, 2), "patch": 4}


def material(proxies=("gradalign_i", "naswot"), archs=4, name="nasbench201", **options):
    space = SPACES[name](**(options or TINY))
    chosen = nas.calls.study.choose(space, archs, None, [], 0)
    targets = pd.DataFrame(index=[space.text(arch) for arch in chosen])
    return Material(
        space, chosen, [PROXIES[proxy] for proxy in proxies], targets,
        draw=lambda size, seed: minibatch(DATA, size, seed), vary=partial(SPACES[name], **(options or TINY)),
        options=options or TINY, batch_size=12,
    )  # fmt: skip


def table_of(space, path, count=6):
    archs = [space.text(arch) for arch in nas.calls.study.choose(space, count, None, [], 1)]
    accuracy = np.random.default_rng(0).normal(90, 2, count)
    pd.DataFrame({"arch": archs, "accuracy": accuracy, "other": accuracy[::-1], "params": 1.0}).to_csv(
        path, index=False
    )
    return archs
