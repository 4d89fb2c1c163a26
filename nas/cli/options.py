"""The options that commands share, and how a file of ``--config`` and ``--set`` give them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.errors import UsageError, unknown


def read_config(context: typer.Context, file: Path | None) -> Path | None:
    """Takes the options in a YAML file as defaults of this command."""
    if file is None:
        return None
    from nas.cli.recipe import ABOUT, set_texts
    from nas.runs.folder import read_yaml

    names = {str(parameter.name).rstrip("_"): str(parameter.name) for parameter in context.command.params}
    values = {}
    settings = read_yaml(file)
    if "steps" in settings:
        raise UsageError(f"{file} is a recipe of several commands: nas run {file}")
    for key, value in settings.items():
        name = str(key).replace("-", "_")
        if name in (*RECORDED, *ABOUT):  # ABOUT: what a recipe says of itself
            continue
        if name not in names or name == "config":
            raise unknown(f"option in {file}", key, names)
        if name == "set" and isinstance(value, dict):
            value = set_texts(file, value)
        if name in SEVERAL and isinstance(value, str):
            value = [value]
        if name in SEVERAL and not (isinstance(value, list) and all(isinstance(part, str) for part in value)):
            raise UsageError(f"{file}: {key} takes a text or a list of texts, not {str(value)[:200]!r}")
        if name == "proxies" and isinstance(value, list):
            value = ",".join(map(str, value))
        if name == "set":
            context.meta[SET] = value
        else:
            values[names[name]] = value
    context.default_map = values
    return file


def merge_set(context: typer.Context, given: list[str] | None) -> list[str]:
    """What ``--set`` says on the command line comes after, and so wins over, what the file of ``--config`` says."""
    return [*context.meta.get(SET, []), *(given or [])]


SET = "nas.set"
RECORDED = ("minibatch", "plugin_source")
"""What a run folder's config.yaml holds beside the options, to compare with."""
SEVERAL = ("constraint", "plugin", "set")

Space = Annotated[str, typer.Option(help="Search space; see 'nas list spaces'.")]
Proxies = Annotated[str, typer.Option(help="Proxies joined with commas, or 'all'; a+b combines two by rank.")]
Data = Annotated[str, typer.Option(help="'synthetic', a .npz, a folder of CIFAR batches or of class folders.")]
BatchSize = Annotated[int, typer.Option(help="Images in the minibatch.")]
Seed = Annotated[int, typer.Option(help="Of the minibatch, the initialisation and the searcher.")]
Device = Annotated[str, typer.Option(help="'auto', 'cpu', 'cuda' or 'cuda:1'.")]
Precision = Annotated[str, typer.Option(help="'float32', 'float64', or mixed: 'bfloat16', 'float16'.")]
Seeds = Annotated[int, typer.Option(help="Repeats with another minibatch and initialisation.")]
Run = Annotated[Path | None, typer.Option(help="Run folder; a run that was interrupted there is continued.")]
Config = Annotated[
    Path | None, typer.Option(help="YAML file with options of this command.", callback=read_config, is_eager=True)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Option of a plug-in: PLUGIN.OPTION=VALUE; repeatable.", callback=merge_set),
]
Plugin = Annotated[list[str] | None, typer.Option(help="Python file with plug-ins, which is run; repeatable.")]
Constraint = Annotated[list[str] | None, typer.Option(help="Limit like 'params<=0.6e6'; repeatable.")]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Worker processes, which share the CPU threads and the GPUs. Proxies that sum in another order with other "
        "numbers of threads change in their last digits (zico, grad_norm); gradalign_i does not."
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Measure on a Ray cluster: its address, 'auto' (the one that runs here, else a new one) or 'local' (a new "
        "one on this machine).",
    ),
]
Timeout = Annotated[float | None, typer.Option(help="Seconds for each architecture; a slower one gets no score.")]
Batch = Annotated[int | None, typer.Option(help="Architectures proposed at a time, which workers share.")]
Store = Annotated[
    str | None,
    typer.Option(metavar="FILE|none", help="Keeps scores from run to run; default: NAS_STORE, or in your cache."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


def check_writable(file: Path | None) -> None:
    """`UsageError` where ``file`` cannot be written, before anything is computed for it."""
    if file is None:
        return
    if file.is_dir() or not file.absolute().parent.is_dir():
        reason = "it is a folder" if file.is_dir() else f"no folder {file.parent}"
    elif not os.access(file if file.exists() else file.absolute().parent, os.W_OK):
        reason = f"no permission to write {'it' if file.exists() else f'to the folder {file.absolute().parent}'}"
    else:
        return
    raise UsageError(f"{file} cannot be written: {reason}")


def parse_settings(given: list[str] | None) -> dict[str, dict[str, Any]]:
    """``PLUGIN.OPTION=VALUE`` texts as options by plug-in; values are read as YAML."""
    from nas.registry import normal
    from nas.runs.folder import load_yaml

    settings: dict[str, dict[str, Any]] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        plugin, dot, option = name.strip().partition(".")
        if not (equals and dot and plugin and option):
            raise UsageError(f"--set {text!r} is not of the form PLUGIN.OPTION=VALUE, like evolution.population=100")
        try:
            settings.setdefault(normal(plugin), {})[normal(option)] = load_yaml(value)
        except ValueError:
            raise UsageError(f"--set {text!r}: {value!r} is no value") from None
    return settings
