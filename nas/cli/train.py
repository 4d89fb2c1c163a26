"""The command ``nas train``."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from nas.calls.options import SetupOptions
from nas.cli import completion
from nas.cli.options import Config, Quiet, takes_setup
from nas.cli.printing import plain_console, print_failures, print_frame
from nas.errors import UsageError

if TYPE_CHECKING:
    from nas.calls.trained import TrainResult

SHOWN = 20
"""Networks of the table that are printed, the best first."""


@takes_setup("store", "ray", "timeout", data=None, batch_size=None, precision=None)
def train(
    archs_given: Annotated[list[str] | None, typer.Argument(metavar="[ARCH]...", help="Architectures.")] = None,
    space: Annotated[
        str | None,
        typer.Option(help="Search space; that of --run, else 'nasbench201'. See 'nas list spaces'.",
                     autocompletion=completion.spaces),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of a search, whose best architecture is trained, on its data.")
    ] = None,
    archs: Annotated[int | None, typer.Option(metavar="N", help="Draw so many different architectures.")] = None,
    spread: Annotated[
        str | None, typer.Option(metavar="PROXY", help="Those that are drawn spread over the quantiles of a proxy.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="How often every image is shown.")] = 12,
    optimiser: Annotated[
        str, typer.Option(help="'sgd' (with Nesterov momentum), 'adamw', or 'auto': AdamW for transformers.")
    ] = "auto",
    lr: Annotated[
        float | None, typer.Option(help="Largest learning rate; default: .1 (sgd), .002 (adamw) for a batch of 256.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Default: 5e-4 (sgd), .05 (adamw).")] = None,
    label_smoothing: Annotated[float, typer.Option(help="Share of the target that goes to all classes alike.")] = 0.0,
    augment: Annotated[
        str,
        typer.Option(help="'flip', 'crop', 'flip,crop', 'none', or 'auto': both for colour images from 32 pixels on."),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for weights, histories and table.csv, by default one named after the settings; what "
                     "was interrupted there is continued, and further architectures are added."),
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write events for TensorBoard there.")] = False,
    config: Config = None,
    quiet: Quiet = False,
    **options: Unpack[SetupOptions],
) -> None:  # fmt: skip
    """Train architectures, or the best of a search, on your data: weights, test accuracies, a table of them."""
    from nas.calls.train import train as call
    from nas.calls.watching import progress

    if archs is not None and archs_given:
        raise UsageError("--archs draws architectures: leave it out for those that you name")
    if spread is not None and archs is None:
        raise UsageError("--spread takes architectures that are drawn: say how many with --archs N")
    start = time.perf_counter()
    with progress("training", quiet) as watch:
        result = call(
            space, archs if archs is not None else archs_given or (), run=run, spread_by=spread, epochs=epochs,
            optimiser=optimiser, lr=lr, weight_decay=weight_decay, label_smoothing=label_smoothing, augment=augment,
            out=out or "auto", events=tensorboard, watch=watch, **options,
        )  # fmt: skip
    _print(result, time.perf_counter() - start)


def _print(result: TrainResult, seconds: float) -> None:
    """The table, what failed, and what to do next."""
    from nas.cli.recipe import set_texts
    from nas.runs.folder import read_yaml

    console, table, folder = plain_console(), result.table, result.folder
    assert folder is not None
    best_first = table.sort_values("valid_accuracy", ascending=False, kind="stable")
    shown = ["valid_accuracy", "test_accuracy", "epochs", "params", "seconds", "arch"]
    print_frame(console, best_first.head(SHOWN)[shown], "Trained networks")
    if len(table) > SHOWN:
        console.print(f"… and {len(table) - SHOWN} more")
    print_failures(console, result.failures)
    console.print(f"{seconds:.0f} s; weights, histories and table.csv in {folder}")
    config = read_yaml(folder / "config.yaml")
    plugins = [part for file in config["plugin"] for part in ("--plugin", file)]
    console.print(f"next: {shlex.join(['nas', 'export', '--run', str(folder), *plugins, '--out', 'net.py'])}")
    if len(table) > 1:
        sets = [part for text in set_texts(folder, config["set"]) for part in ("--set", text)]
        command = ["nas", "compare", "--space", config["space"], "--data", config["data"], *sets, *plugins]
        command += ["--table", str(folder / "table.csv"), "--target", "test_accuracy"]
        console.print(f"or: {shlex.join(command)}")
