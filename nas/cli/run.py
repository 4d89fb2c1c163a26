"""The command ``nas run``."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Quiet
from nas.errors import UsageError

INTERRUPTED = 130


def run(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="YAML file with a command and its options, or several.")],
    quick: Annotated[bool, typer.Option("--quick", help="The recipe's smaller version: minutes on two cores.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; beside the recipe by default.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="The recipe may run the code that it names: you know where it comes from.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Reproduce a table or figure: run the commands of a recipe, such as those in runs/.

    Further options, like --device, go to each of them. A recipe that was interrupted continues where it stopped.
    """
    from nas.cli.consent import ask
    from nas.cli.recipe import OUTPUTS, steps

    if named := {argument.partition("=")[0] for argument in context.args} & set(OUTPUTS.values()):
        raise UsageError(f"the results of a recipe go where --out FOLDER says: give that in place of {min(named)}")
    folder = out or recipe.parent / "-".join(filter(None, [recipe.stem, "quick" * quick, _label(context.args)]))
    assert context.parent is not None  # the whole command line, to which the recipe's commands belong
    commands = context.parent.command.commands  # type: ignore[attr-defined]
    planned = steps(recipe, folder, quick=quick)
    for step in planned:  # all of them, before the first runs
        parameters = commands[step.command].params
        step.check([name for each in parameters if getattr(each, "is_flag", False) for name in each.opts], recipe)
        if not trust:
            ask(recipe, step.questions, context.args)
    for step in planned:
        if OUTPUTS[step.command] != "--run":
            step.output.parent.mkdir(parents=True, exist_ok=True)
        arguments = [*step.arguments, *context.args, OUTPUTS[step.command], str(step.output), *["--trust"] * trust]
        typer.secho(shlex.join(["nas", step.command, *arguments]), bold=True)
        code = commands[step.command].main([*arguments, *["--quiet"] * quiet], "nas", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise typer.Exit(code)


MAX_LABEL_BYTES = 100


def _label(arguments: list[str]) -> str:
    """A part of a folder's name that tells the results with these options apart: another seed, another folder."""
    label = re.sub(r"\W+", "-", " ".join(arguments)).strip("-")
    content = label.encode(errors="replace")
    if len(content) <= MAX_LABEL_BYTES:
        return label
    return f"{content[:MAX_LABEL_BYTES].decode(errors='ignore')}-{hashlib.sha256(content).hexdigest()[:8]}"
