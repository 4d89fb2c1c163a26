"""The options that commands share, and how the file of ``--config`` and ``--set`` set them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import copy
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from nas.calls.options import DEFAULTS, OPTIONS
from nas.cli import completion
from nas.errors import UsageError, unknown
from nas.files import trusting


def read_config(context: typer.Context, file: Path | None) -> Path | None:
    """Takes the options in a YAML file as defaults of this command."""
    if file is None:
        return None
    from nas.cli.recipe import ABOUT, set_texts
    from nas.runs.folder import read_yaml

    names = {
        parameter.opts[0].lstrip("-").replace("-", "_"): str(parameter.name) for parameter in context.command.params
    }
    values = {}
    file_options: dict[str, Any] = {}
    settings = read_yaml(file)
    if "steps" in settings:
        raise UsageError(f"{file} is a recipe of several commands: nas run {file}")
    for key, value in settings.items():
        name = str(key).replace("-", "_")
        if name in (*RECORDED, *ABOUT):  # ABOUT: a recipe's facts about itself
            continue
        if name not in names or name == "config":
            raise unknown(f"option in {file}", key, names)
        if name == "trust":
            raise UsageError(f"{file}: 'trust' is an option of the command line alone")
        file_options[name] = value
        if name == "set" and isinstance(value, dict):
            value = set_texts(file, value)
        if name in REPEATABLE and isinstance(value, str):
            value = [value]
        if name in REPEATABLE and not (isinstance(value, list) and all(isinstance(part, str) for part in value)):
            raise UsageError(f"{file}: {key} takes a text or a list of texts, not {str(value)[:200]!r}")
        if name == "proxies" and isinstance(value, list):
            value = ",".join(map(str, value))
        if name == "set":
            context.meta[FILE_SET] = value
        else:
            values[names[name]] = value
    context.default_map = values
    context.meta[FILE_OPTIONS] = {name: (names[name], value) for name, value in file_options.items()}
    return file


def merge_set(context: typer.Context, texts: list[str] | None) -> list[str]:
    """The texts of ``--set``: those of the ``--config`` file, then those of the command line, which override them."""
    context.meta[LINE_SET] = texts or []
    return [*context.meta.get(FILE_SET, []), *(texts or [])]


def ask_for_consent(context: typer.Context, file: Path | None) -> None:
    """`UsageError` where an option in the file of ``--config`` takes the user's consent; an option that is on the
    command line too counts as the user's."""
    from nas.cli.consent import ask, questions

    if file is not None:
        file_options = {
            name: value
            for name, (parameter, value) in context.meta[FILE_OPTIONS].items()
            if name in ("set", "space") or getattr(context.get_parameter_source(parameter), "name", "") == "DEFAULT_MAP"
        }
        ask(file, questions(file_options), context.meta.get(LINE_SET, []))


FILE_SET, FILE_OPTIONS, LINE_SET = "nas.set", "nas.said", "nas.given"
RECORDED = ("minibatch", "images", "machine", "plugin_source", "versions")
"""What a run folder's config.yaml holds beside the options, for comparison."""
REPEATABLE = ("constraint", "cost", "maximise", "minimise", "plugin", "set")

Space = Annotated[str, typer.Option(help="Search space; see 'nas list spaces'.", autocompletion=completion.spaces)]
Proxies = Annotated[
    str,
    typer.Option(
        help="Proxies joined with commas, or 'all'; a+b combines two by rank.", autocompletion=completion.proxies
    ),
]
Seeds = Annotated[int, typer.Option(help="Repeats with another minibatch and initialisation.")]
Batch = Annotated[int | None, typer.Option(help="Architectures proposed at a time, which workers share.")]
Run = Annotated[
    Path | None,
    typer.Option(help="Run folder, by default one named after the settings; an interrupted run there is continued."),
]
Config = Annotated[
    Path | None, typer.Option(help="YAML file with options of this command.", callback=read_config, is_eager=True)
]
Plugin = Annotated[list[str] | None, get_args(OPTIONS["plugin"])[-1]]
Store = Annotated[str | None, get_args(OPTIONS["store"])[-1]]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
Trust = Annotated[bool, typer.Option("--trust", help="Files may name code that is run: you know where they come from.")]


COMMON = (
    Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context),
    Parameter("trust", Parameter.KEYWORD_ONLY, default=False, annotation=Trust),
)
"""The parameters of every command that takes a file of options."""


def takes_setup(*without: str, **defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command, instead of its ``**options``, those of `nas.calls.options.SetupOptions` except ``without``;
    the command is called with their values after plug-ins are loaded.

    Args:
        defaults: those that differ from `nas.calls.options.DEFAULTS`.
    """
    names = [name for name in OPTIONS if name not in without]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(signature(command, eval_str=True).parameters.values())
        looks = any(parameter.name == "context" for parameter in own)  # where an option was given
        own = [p for p in own if p.kind is not Parameter.VAR_KEYWORD and p.name != "context"]

        @wraps(command)
        def run(context: typer.Context, trust: bool, **values: Any) -> None:
            options = {name: values.pop(name) for name in names}
            options["settings"] = parse_settings(options["settings"])
            if not trust:
                ask_for_consent(context, values["config"])
            begin(options["plugin"])
            with trusting(trust):
                command(**values, **options, **({"context": context} if looks else {}))

        parameters = [*own, *(_parameter(name, DEFAULTS | defaults) for name in names), *COMMON]
        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__  # typer would look there for the annotations
        return run

    return decorate


def _parameter(name: str, defaults: Mapping[str, Any]) -> Parameter:
    kind, *on_the_line, option = get_args(OPTIONS[name])
    if name == "settings":
        option = copy(option)
        option.callback = merge_set
    value = on_the_line[0] if on_the_line else kind
    if defaults[name] is None:
        value |= None
    annotation = Annotated[value, option]  # type: ignore[valid-type]
    default = None if defaults[name] in ((), {}) else defaults[name]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def begin(plugin: list[str] | None) -> None:
    """Prepares a command before it computes anything: loads plug-ins and makes the process ready for them."""
    from nas import plugins
    from nas.scoring.memory import tune_process

    log = logging.getLogger("nas")
    log.setLevel(logging.INFO)
    log.handlers[:] = [OnStandardError()]
    plugins.load(plugin or ())
    tune_process()


class OnStandardError(logging.Handler):
    """Prints what is logged on standard error, each sentence once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._said:
            self._said.add(message)
            typer.echo(f"nas: {message}", err=True)


def parse_settings(texts: list[str] | None) -> dict[str, dict[str, Any]]:
    """``PLUGIN.OPTION=VALUE`` texts as options by plug-in; values are read as YAML."""
    from nas.registry import normal
    from nas.runs.folder import load_yaml

    settings: dict[str, dict[str, Any]] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        plugin, dot, option = name.strip().partition(".")
        if not (equals and dot and plugin and option):
            raise UsageError(f"--set {text!r} is not of the form PLUGIN.OPTION=VALUE, like evolution.population=100")
        try:
            settings.setdefault(normal(plugin), {})[normal(option)] = load_yaml(value)
        except ValueError:
            raise UsageError(f"--set {text!r}: {value!r} is not a value in YAML") from None
    return settings
