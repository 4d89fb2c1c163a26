"""The command line: ``nas search | compare | score | show | list | bench``. It imports torch only when it must."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as RichTable

from nas.errors import UsageError, unknown
from nas.printing import print_failures, print_frame, print_mapping, progress

INTERRUPTED = 130

app = typer.Typer(
    help="Neural architecture search without training.", pretty_exceptions_enable=False, add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def read_config(context: typer.Context, file: Path | None) -> Path | None:
    """Takes the options in a YAML file as defaults of this command."""
    if file is None:
        return None
    from nas.folder import read_yaml

    names = {str(parameter.name).rstrip("_"): str(parameter.name) for parameter in context.command.params}
    values = {}
    for key, value in read_yaml(file).items():
        name = str(key).replace("-", "_")
        if name == "minibatch":  # a run folder's config.yaml records it, to compare with
            continue
        if name not in names or name == "config":
            raise unknown(f"option in {file}", key, names)
        if name == "set" and isinstance(value, dict):
            value = _set_texts(file, value)
        if name in SEVERAL and isinstance(value, str):
            value = [value]
        if name == "proxies" and isinstance(value, list):
            value = ",".join(map(str, value))
        if name == "set":
            context.meta[SET] = value
        else:
            values[names[name]] = value
    context.default_map = values
    return file


def _set_texts(file: Path, settings: dict[str, Any]) -> list[str]:
    """Options by plug-in as the texts that ``--set`` takes."""
    texts = []
    for plugin, options in settings.items():
        if not isinstance(options, dict):
            raise UsageError(f"{file}: the options of {plugin} under 'set' are 'name: value' pairs, not {options!r}")
        texts += [f"{plugin}.{option}={json.dumps(value, default=str)}" for option, value in options.items()]
    return texts


def merge_set(context: typer.Context, given: list[str] | None) -> list[str]:
    """What ``--set`` says on the command line comes after, and so wins over, what the file of ``--config`` says."""
    return [*context.meta.get(SET, []), *(given or [])]


SET = "nas.set"
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
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


@app.command()
def search(
    space: Space = "nasbench201",
    proxy: Annotated[str, typer.Option(help="Proxy to maximise; a+b combines two by rank.")] = "gradalign_i",
    searcher: Annotated[str, typer.Option(help="Search strategy; see 'nas list searchers'.")] = "evolution",
    budget: Annotated[int, typer.Option(help="Evaluations.")] = 200,
    table: Annotated[Path | None, typer.Option(help="Trained accuracies, shown beside the best architecture.")] = None,
    constraint: Constraint = None,
    data: Data = "synthetic",
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    run: Run = None,
    config: Config = None,
    set_: Set = None,
    plugin: Plugin = None,
    quiet: Quiet = False,
) -> None:
    """Search a space for the architecture that a proxy likes best."""
    from nas import calls
    from nas.folder import read_yaml

    settings, start = parse_settings(set_), time.perf_counter()
    given: dict[str, Any] = {
        "space": space, "proxy": proxy, "searcher": searcher, "data": data, "batch_size": batch_size, "seed": seed,
        "device": device, "precision": precision, "constraint": constraint or [], "set": settings,
        "plugin": plugin or [],
    }  # fmt: skip
    folder = run or calls.default_run("search", given)
    with progress("searching", quiet) as watch:
        trials = calls.search(
            space, proxy, searcher, budget, data=data, batch_size=batch_size, seed=seed, device=device,
            precision=precision, constraints=constraint or (), table=table, settings=settings, plugin=plugin or (),
            run_folder=folder, watch=watch,
        )  # fmt: skip
    console = Console(highlight=False)
    leaves = trials[trials["leaf"] & trials["score"].notna()].sort_values("score", ascending=False, kind="stable")
    print_frame(console, leaves.drop_duplicates("arch").head(5)[["score", "arch"]], "Best architectures")
    print_mapping(console, read_yaml(folder / "best.yaml"))
    isomorphic = int((trials["cached"] & ~trials["arch"].duplicated()).sum())
    console.print(
        f"{len(trials)} evaluations, {int(trials['cached'].sum())} of them known ({isomorphic} from an isomorphic "
        f"architecture), {int((trials['status'] != 'ok').sum())} failed; {time.perf_counter() - start:.0f} s; "
        f"results in {folder}",
        soft_wrap=True,
    )
    print_failures(console, trials)


@app.command()
def compare(
    space: Annotated[str, typer.Option(help="Search space; see 'nas list spaces'.")],
    table: Annotated[Path, typer.Option(help="CSV, .csv.gz or Parquet with a column 'arch' and the target.")],
    target: Annotated[str, typer.Option(help="Column of the table; larger is better.")],
    proxies: Proxies = "gradalign_i,gradalign_ii",
    archs: Annotated[str, typer.Option(help="How many of the table's architectures, or 'all'.")] = "all",
    seeds: Seeds = 1,
    data: Data = "synthetic",
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    run: Run = None,
    config: Config = None,
    set_: Set = None,
    plugin: Plugin = None,
    quiet: Quiet = False,
) -> None:
    """Rank proxies by their correlation with trained accuracy."""
    from nas import calls

    settings = parse_settings(set_)
    given: dict[str, Any] = {
        "space": space, "table": table, "target": target, "proxies": proxies, "archs": archs, "seeds": seeds,
        "data": data, "batch_size": batch_size, "seed": seed, "device": device, "precision": precision,
        "set": settings, "plugin": plugin or [],
    }  # fmt: skip
    folder = run or calls.default_run("compare", given)
    with progress("scoring", quiet) as watch:
        result = calls.compare(
            space, table, target, proxies, archs, seeds, data=data, batch_size=batch_size, seed=seed, device=device,
            precision=precision, settings=settings, plugin=plugin or (), run_folder=folder, watch=watch,
        )  # fmt: skip
    console = Console(highlight=False)
    overall = result.correlations[result.correlations["seed"] == "all"].sort_values("kendall", ascending=False)
    shown = overall[["proxy", "n", "failed"]].copy()
    for name, label in (("kendall", "Kendall τ-b"), ("spearman", "Spearman ρ")):
        rows = overall[[name, f"{name}_lo", f"{name}_hi"]].itertuples(index=False)
        shown[f"{label} [95 %]"] = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in rows]
    shown["τ given params"] = overall["kendall_given_params"].map("{:.3f}".format)
    shown[f"best {target}"] = overall["best_at_1"].map("{:.2f}".format)
    shown["ms"] = overall["ms_per_arch"].map("{:.0f}".format)
    print_frame(console, shown, f"{target} on {space}")
    print_failures(console, result.scores)
    console.print(f"results in {folder}", soft_wrap=True)


@app.command()
def score(
    archs_given: Annotated[list[str] | None, typer.Argument(metavar="[ARCH]...", help="Architectures.")] = None,
    space: Space = "nasbench201",
    proxies: Proxies = "gradalign_i,gradalign_ii",
    archs: Annotated[Path | None, typer.Option(help="CSV with a column 'arch'.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the scores there.")] = None,
    seeds: Seeds = 1,
    data: Data = "synthetic",
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    config: Config = None,
    set_: Set = None,
    plugin: Plugin = None,
    quiet: Quiet = False,
) -> None:
    """Score architectures."""
    from nas import calls, plugins
    from nas.settings import make_space
    from nas.table import Table

    settings = parse_settings(set_)
    texts = list(archs_given or [])
    if archs is not None:
        plugins.load(plugin or ())
        texts += Table(archs, make_space(space, settings)).frame["arch"].astype(str).tolist()
    if not texts:
        raise UsageError("no architecture was given: name some, or a file with --archs FILE.csv")
    check_writable(csv)
    with progress("scoring", quiet) as watch:
        scores = calls.score(
            space, texts, proxies, seeds, data=data, batch_size=batch_size, seed=seed, device=device,
            precision=precision, settings=settings, plugin=plugin or (), watch=watch,
        )  # fmt: skip
    console = Console(highlight=False)
    names = list(dict.fromkeys(scores["proxy"]))
    means = scores.groupby(["arch", "proxy"], sort=False)["value"].agg(lambda values: values.mean(skipna=False))
    table = means.unstack("proxy")[names]
    table = table.loc[list(dict.fromkeys(scores["arch"]))].map(lambda value: f"{value:.6g}").reset_index()
    print_frame(console, table.head(50)[[*names, "arch"]])
    if len(table) > 50:
        console.print(f"… and {len(table) - 50} more" + ("" if csv else "; --csv OUT.csv writes all of them"))
    print_failures(console, scores)
    if csv is not None:
        scores.to_csv(csv, index=False)


@app.command()
def bench(
    archs_given: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARCH]...", help="Architectures to average over; one random by default."),
    ] = None,
    space: Space = "nasbench201",
    proxies: Proxies = "all",
    json_: Annotated[Path | None, typer.Option("--json", help="Write the costs there.")] = None,
    data: Data = "synthetic",
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    config: Config = None,
    set_: Set = None,
    plugin: Plugin = None,
    quiet: Quiet = False,
) -> None:
    """Measure what proxies cost, against one plain forward and backward pass."""
    from nas import calls

    check_writable(json_)
    with progress("measuring", quiet) as watch:
        costs = calls.bench(
            space, archs_given or (), proxies, data=data, batch_size=batch_size, seed=seed, device=device,
            precision=precision, settings=parse_settings(set_), plugin=plugin or (), watch=watch,
        )  # fmt: skip
    console = Console(highlight=False)
    shown = costs[["proxy"]].copy()
    for column, label, form in (("ms", "ms", "{:.1f}"), ("ratio", "ratio", "{:.2f}"), ("peak_mb", "peak MB", "{:.1f}")):
        shown[label] = [form.format(value) if isfinite(value) else "unknown" for value in costs[column]]
    archs = costs.attrs["archs"]
    print_frame(console, shown, f"One score of {archs[0] if len(archs) == 1 else f'{len(archs)} architectures, mean'}")
    for name, reason in costs.loc[costs["reason"] != "", ["proxy", "reason"]].itertuples(index=False):
        console.print(f"{name} gave no score: {reason}", soft_wrap=True, markup=False)
    console.print(
        "ms: to build the network and score it; ratio: to a forward and backward pass of it (plain); "
        "all: every proxy in one visit; peak MB: above what was in use before",
        soft_wrap=True,
    )
    if json_ is not None:
        costs.drop(columns="reason").to_json(json_, orient="records", indent=2)


@app.command()
def show(
    arch: Annotated[str, typer.Argument(help="An architecture in any notation of the space.")],
    space: Space = "nasbench201",
    out: Annotated[Path | None, typer.Option(help="Draw the cell to this file (.svg, .png, .pdf).")] = None,
    data: Data = "synthetic",
    config: Config = None,
    set_: Set = None,
    plugin: Plugin = None,
) -> None:
    """Show an architecture: its parameters and FLOPs, its cell as text and picture."""
    from nas import calls, plugins
    from nas.data import minibatch
    from nas.settings import checked_settings, make_space, parse

    plugins.load(plugin or ())
    inside = make_space(space, checked_settings(parse_settings(set_)))
    parsed = parse(inside, arch)
    batch = minibatch(data, 4)
    console = Console(highlight=False)
    canonical = inside.canonical(parsed)
    print_mapping(
        console,
        {"arch": inside.text(parsed)}
        | ({} if canonical == parsed else {"same as": inside.text(canonical)})
        | calls.costs(inside, parsed, batch)
        | {"task": f"{batch.task.classes} classes, {batch.task.channels} x {batch.task.size} x {batch.task.size}"},
    )
    graph = inside.graph(parsed)
    for source, target, edge in graph.edges(data=True) if graph is not None else ():
        console.print(f"  {source} -> {target}  {edge['op']}", soft_wrap=True)
    if out is not None:
        from nas.graph import draw

        if graph is None:
            raise UsageError(f"the space {space} has no cells to draw")
        if out.suffix.lower() not in (".svg", ".png", ".pdf") or not out.absolute().parent.is_dir():
            raise UsageError(f"{out} cannot be drawn to: name a .svg, .png or .pdf file in a folder that exists")
        draw(graph, out, inside.text(parsed))
        console.print(f"drawn to {out}", soft_wrap=True)


@app.command(name="list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="'spaces', 'proxies' or 'searchers'; all when not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    plugin: Plugin = None,
) -> None:
    """List what is registered, with its options."""
    from nas import plugins
    from nas.proxy import PROXIES
    from nas.registry import options
    from nas.searcher import SEARCHERS
    from nas.space import SPACES

    plugins.load(plugin or ())
    kinds: dict[str, list[dict[str, Any]]] = {
        "spaces": [_entry(name, SPACES[name], options(SPACES[name])) for name in SPACES],
        "proxies": [
            _entry(name, PROXIES[name].function, options(PROXIES[name].function or (lambda: None)))
            | {"larger_is_better": PROXIES[name].larger_is_better, "paper": PROXIES[name].paper}
            for name in PROXIES
        ],
        "searchers": [
            _entry(name, SEARCHERS[name].function, options(SEARCHERS[name].function)) | {"paper": SEARCHERS[name].paper}
            for name in SEARCHERS
        ],
    }
    if kind is not None:
        if kind.lower() not in kinds:
            raise unknown("kind", kind, kinds)
        kinds = {kind.lower(): kinds[kind.lower()]}
    if as_json:
        typer.echo(json.dumps(kinds if kind is None else next(iter(kinds.values())), indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for title, entries in kinds.items():
        table = RichTable("name", "what it is", "options", title=title, title_justify="left")
        for entry in entries:
            direction = "" if entry.get("larger_is_better", True) else " (smaller is better)"
            set_to = ", ".join(f"{name}={_short(value)}" for name, value in entry["options"].items())
            table.add_row(entry["name"], entry["summary"] + direction, set_to)
        console.print(table)


def _entry(name: str, function: Callable[..., Any] | None, options: dict[str, Any]) -> dict[str, Any]:
    from nas.proxy import PROXIES

    summary = ((function and function.__doc__) or "").strip().partition("\n")[0]
    if name in PROXIES and PROXIES[name].parts:
        summary = f"Rank sum of {' and '.join(PROXIES[name].parts)}."
    return {"name": name, "summary": summary, "options": options}


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def check_writable(file: Path | None) -> None:
    """`UsageError` where ``file`` cannot be written, before anything is computed for it."""
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        raise UsageError(
            f"{file} cannot be written: {'it is a folder' if file.is_dir() else f'no folder {file.parent}'}"
        )


def parse_settings(given: list[str] | None) -> dict[str, dict[str, Any]]:
    """``PLUGIN.OPTION=VALUE`` texts as options by plug-in; values are read as YAML."""
    import yaml

    from nas.registry import normal

    settings: dict[str, dict[str, Any]] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        plugin, dot, option = name.strip().partition(".")
        if not (equals and dot and plugin and option):
            raise UsageError(f"--set {text!r} is not of the form PLUGIN.OPTION=VALUE, like evolution.population=100")
        try:
            settings.setdefault(normal(plugin), {})[normal(option)] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"--set {text!r}: {value!r} is no value") from None
    return settings


def main() -> None:
    """Runs the command line: exit code 0 done, 2 wrong use (one line on standard error), 130 interrupted."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except UsageError as error:
        code = _refuse(str(error))
    except typer.TyperException as error:
        code = _refuse(error.format_message())
    except OSError as error:
        code = _refuse(f"{error.filename or 'output'}: {error.strerror}")
    except MemoryError as error:
        code = _refuse(f"not enough memory: {error}")
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo("nas: interrupted; the same command continues where it stopped", err=True)
    sys.exit(code or 0)


def _refuse(message: str) -> int:
    typer.echo(f"nas: {' '.join(message.split())}", err=True)
    return 2


if __name__ == "__main__":
    main()
