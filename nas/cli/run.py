"""The command ``nas run``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Quiet
from nas.errors import UsageError


def run(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="YAML file with a command and its options, or several.")],
    quick: Annotated[bool, typer.Option("--quick", help="The recipe's smaller version: minutes on two cores.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; beside the recipe by default.")] = None,
    quiet: Quiet = False,
) -> None:
    """Reproduce a table or figure: run the commands of a recipe, such as those in runs/.

    Further options, like --device, go to each of them. A recipe that was interrupted continues where it stopped.
    """
    from nas.cli.recipe import OUTPUTS, steps

    if named := {argument.partition("=")[0] for argument in context.args} & set(OUTPUTS.values()):
        raise UsageError(f"the results of a recipe go where --out FOLDER says: give that in place of {min(named)}")
    label = re.sub(r"\W+", "-", " ".join(context.args)).strip("-")  # another seed, another folder
    folder = out or recipe.parent / "-".join(filter(None, [recipe.stem, "quick" * quick, label]))
    for step in steps(recipe, folder, quick=quick):
        if OUTPUTS[step.command] != "--run":
            step.output.parent.mkdir(parents=True, exist_ok=True)
        arguments = [*step.arguments, *context.args, OUTPUTS[step.command], str(step.output)]
        typer.secho(shlex.join(["nas", step.command, *arguments]), bold=True)
        assert context.parent is not None  # the whole command line, to which the recipe's commands belong
        command = context.parent.command.commands[step.command]  # type: ignore[attr-defined]
        code = command.main([*arguments, *(["--quiet"] if quiet else [])], "nas", standalone_mode=False)
        if code:
            raise typer.Exit(code)
