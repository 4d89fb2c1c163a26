"""The command ``nas export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from nas.calls.options import ELSEWHERE, SetupOptions
from nas.cli.options import Config, takes_setup
from nas.cli.printing import plain_console

INTERRUPTED = 130
LOADED = {
    ".py": "from {stem} import load; net = load()",
    ".pt2": "import torch; net = torch.export.load({file!r}).module()",
    ".onnx": "import onnxruntime; net = onnxruntime.InferenceSession({file!r})",
}
"""How a file is used from Python."""


@takes_setup("batch_size", "device", "precision", *ELSEWHERE, data=None, seed=None)
def export(
    arch: Annotated[
        str | None, typer.Argument(help="An architecture in any notation of the space; without one, the best of --run.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="File to write: .py (PyTorch source), .pt2 (torch.export) or .onnx.")
    ] = Path("net.py"),
    run: Annotated[
        Path | None, typer.Option(help="Folder of 'nas train', whose weights are taken, or of a search.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A state dictionary, such as best.pt.")] = None,
    space: Annotated[
        str | None, typer.Option(help="Search space; that of --run, else 'nasbench201'. See 'nas list spaces'.")
    ] = None,
    config: Config = None,
    **options: Unpack[SetupOptions],
) -> None:
    """Write a network, trained or not, as a file that runs without this toolkit."""
    from nas.calls.export import export as call

    try:
        done = call(arch, out, space=space, run=run, weights=weights, **options)
    except KeyboardInterrupt:  # unlike a training this cannot be continued
        typer.echo(f"nas: interrupted; {out} was not written", err=True)
        raise typer.Exit(INTERRUPTED) from None
    task, console = done.card.task, plain_console()
    count = "any number of images" if done.free.batch else "one image"
    sizes = ", and of other sizes" if done.free.size else ""
    console.print(f"{done.card.name}, weights: {done.weights}")
    console.print(
        f"takes {count} of {task.channels} x {task.size} x {task.size}{sizes}; tells {task.classes} classes apart"
    )
    console.print(f"largest difference to the network's own logits: {done.difference:.2g}, {done.compared}")
    console.print(f"written to {' and '.join(map(str, done.files))}")
    file = done.files[0]
    stem = file.stem if file.stem.isidentifier() else "importlib"
    console.print(f"next: {LOADED[file.suffix.lower()].format(file=str(file), stem=stem)}")
