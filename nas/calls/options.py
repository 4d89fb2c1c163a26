"""What calls take beside their own arguments, and commands as options: stated here once, imported without torch."""

# no "from __future__ import annotations": the command line reads these annotations as they are
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from typer import Option

from nas.registry import Settings

if TYPE_CHECKING:
    from nas.data.minibatch import Data


class SetupOptions(TypedDict, total=False):
    """The options of `nas.calls.setup.Setup`, which says what they mean; their defaults are in `DEFAULTS`.

    The second part of an annotation is the type on the command line, where that differs.
    """

    data: Annotated[
        "Data", str, Option(help="'synthetic', a .npz, a folder of CIFAR batches or of class folders; see the docs.")
    ]
    batch_size: Annotated[int, Option(help="Images in the minibatch.")]
    seed: Annotated[int, Option(help="Of the minibatch, the initialisation and the searcher.")]
    device: Annotated[str, Option(help="'auto', 'cpu', 'cuda' or 'cuda:1'.")]
    precision: Annotated[str, Option(help="'float32', 'float64', or mixed: 'bfloat16', 'float16'.")]
    constraints: Annotated[
        Sequence[str] | str, list[str] | None, Option("--constraint", help="Limit like 'params<=0.6e6'; repeatable.")
    ]
    costs: Annotated[
        Sequence[str] | str,
        list[str] | None,
        Option(
            "--cost",
            metavar="NAME=FILE:COLUMN",
            help="A table's column as a cost, to limit or to make small; repeatable.",
        ),
    ]
    settings: Annotated[
        Settings | None, list[str] | None, Option("--set", help="Option of a plug-in: PLUGIN.OPTION=VALUE; repeatable.")
    ]
    plugin: Annotated[
        Sequence[str | Path] | str | Path,
        list[str] | None,
        Option(help="Python file with plug-ins, which is run; repeatable."),
    ]
    store: Annotated[
        str | Path | None,
        str | None,
        Option(metavar="FILE|none", help="Keeps scores from run to run; default: NAS_STORE, or in your cache."),
    ]
    workers: Annotated[
        int | None,
        Option(
            help="Worker processes, which share the CPU threads and the GPUs. Proxies that sum in another order with "
            "other numbers of threads change in their last digits (zico, grad_norm)."
        ),
    ]
    ray: Annotated[
        str | None,
        Option(
            metavar="ADDRESS",
            help="Measure on a Ray cluster: its address, 'auto' (the one that runs here, else a new one) or 'local' (a "
            "new one on this machine).",
        ),
    ]
    timeout: Annotated[float | None, Option(help="Seconds for each architecture; a slower one gets no score.")]


OPTIONS: dict[str, Any] = dict(SetupOptions.__annotations__)
"""The annotation of each option."""

DEFAULTS: dict[str, Any] = {
    "data": "synthetic",
    "batch_size": 64,
    "seed": 0,
    "device": "auto",
    "precision": "float32",
    "constraints": (),
    "costs": (),
    "settings": {},
    "plugin": (),
    "store": None,
    "workers": None,
    "ray": None,
    "timeout": None,
}

ELSEWHERE = ("constraints", "costs", "store", "workers", "ray", "timeout")
"""Options that mean nothing to a call that only measures, in this process and at once."""
