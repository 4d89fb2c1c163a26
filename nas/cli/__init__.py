"""The command line: ``nas search | compare | score | bench | study | show | convert | list``; torch comes late."""

from __future__ import annotations

import sys
import time
import warnings
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli import run as cli_run
from nas.cli import show as cli_show
from nas.cli import store as cli_store
from nas.cli import study as cli_study
from nas.cli import table as cli_table
from nas.cli.options import (
    Batch,
    BatchSize,
    Config,
    Constraint,
    Data,
    Device,
    Plugin,
    Precision,
    Proxies,
    Quiet,
    Ray,
    Run,
    Seed,
    Seeds,
    Set,
    Space,
    Store,
    Timeout,
    Workers,
    check_writable,
    parse_settings,
)  # fmt: skip
from nas.cli.printing import plain_console, print_comparison, print_failures, print_frame, print_mapping, progress
from nas.errors import UsageError

INTERRUPTED = 130
LONGEST = 2000
"""Characters of what is said to a user, who may have given a very long text."""

app = typer.Typer(
    help="Neural architecture search without training.", pretty_exceptions_enable=False, add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(cli_store.app, name="store")
app.add_typer(cli_table.app, name="table")


@app.command()
def search(
    space: Space = "nasbench201",
    proxy: Annotated[str, typer.Option(help="Proxy to maximise; a+b combines two by rank.")] = "gradalign_i",
    searcher: Annotated[str, typer.Option(help="Search strategy; see 'nas list searchers'.")] = "evolution",
    budget: Annotated[int, typer.Option(help="Evaluations.")] = 200,
    batch: Batch = None,
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
    workers: Workers = None,
    ray: Ray = None,
    timeout: Timeout = None,
    store: Store = None,
    quiet: Quiet = False,
) -> None:
    """Search a space for the architecture that a proxy likes best."""
    from nas.calls import search as calls
    from nas.runs.folder import default_run, read_yaml

    settings, start = parse_settings(set_), time.perf_counter()
    given: dict[str, Any] = {
        "space": space, "proxy": proxy, "searcher": searcher, "data": data, "batch_size": batch_size, "seed": seed,
        "device": device, "precision": precision, "constraint": constraint or [], "set": settings,
        "plugin": plugin or [],
    } | ({} if batch is None else {"batch": batch})  # fmt: skip
    folder = run or default_run("search", given)
    with progress("searching", quiet) as watch:
        trials = calls.search(
            space, proxy, searcher, budget, data=data, batch_size=batch_size, seed=seed, device=device,
            precision=precision, constraints=constraint or (), table=table, settings=settings, plugin=plugin or (),
            run_folder=folder, batch=batch, workers=workers, ray=ray, timeout=timeout, store=store, watch=watch,
        )  # fmt: skip
    console = plain_console()
    leaves = trials[trials["leaf"] & trials["score"].notna()].sort_values("score", ascending=False, kind="stable")
    print_frame(console, leaves.drop_duplicates("arch").head(5)[["score", "arch"]], "Best architectures")
    print_mapping(console, read_yaml(folder / "best.yaml"))
    elsewhere = int((trials["cached"] & ~trials["arch"].duplicated()).sum())
    alike = "an isomorphic architecture" + " or the reference sample" * (len(trials["values"].iloc[0]) > 1)
    console.print(
        f"{len(trials)} evaluations, {int(trials['cached'].sum())} of them known ({elsewhere} from {alike}), "
        f"{trials.attrs['stored']} from the store, {int((trials['status'] != 'ok').sum())} failed; "
        f"{time.perf_counter() - start:.0f} s; results in {folder}",
    )
    print_failures(console, trials)


@app.command(name="compare")
def compare_(
    space: Annotated[str, typer.Option(help="Search space; see 'nas list spaces'.")],
    table: Annotated[Path, typer.Option(help="CSV, .csv.gz or Parquet with a column 'arch' and the target.")],
    target: Annotated[str, typer.Option(help="Column of the table; larger is better.")],
    proxies: Proxies = "gradalign_i,gradalign_ii",
    archs: Annotated[str, typer.Option(help="How many of the table's architectures, or 'all'.")] = "all",
    seeds: Seeds = 1,
    unique: Annotated[bool, typer.Option("--unique", help="Of isomorphic architectures take only the first.")] = False,
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
    workers: Workers = None,
    ray: Ray = None,
    timeout: Timeout = None,
    store: Store = None,
    quiet: Quiet = False,
) -> None:
    """Rank proxies by their correlation with trained accuracy."""
    from nas.calls.compare import compare
    from nas.runs.folder import default_run

    settings = parse_settings(set_)
    given: dict[str, Any] = {
        "space": space, "table": table, "target": target, "proxies": proxies, "archs": archs, "seeds": seeds,
        "unique": unique, "constraint": constraint or [], "data": data, "batch_size": batch_size, "seed": seed,
        "device": device, "precision": precision, "set": settings, "plugin": plugin or [],
    }  # fmt: skip
    folder = run or default_run("compare", given)
    with progress("scoring", quiet) as watch:
        result = compare(
            space, table, target, proxies, archs, seeds, unique=unique, constraints=constraint or (), data=data,
            batch_size=batch_size, seed=seed, device=device, precision=precision, settings=settings,
            plugin=plugin or (), run_folder=folder, workers=workers, ray=ray, timeout=timeout,
            store=store, watch=watch,
        )  # fmt: skip
    console = plain_console()
    print_comparison(console, result, target, space)
    console.print(f"results in {folder}")


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
    workers: Workers = None,
    ray: Ray = None,
    timeout: Timeout = None,
    store: Store = None,
    quiet: Quiet = False,
) -> None:
    """Score architectures."""
    from nas import plugins
    from nas.calls import search as calls
    from nas.data.table import Table
    from nas.space import make_space

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
            precision=precision, settings=settings, plugin=plugin or (), workers=workers, ray=ray, timeout=timeout,
            store=store, watch=watch,
        )  # fmt: skip
    console = plain_console()
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
    from nas.calls import search as calls

    check_writable(json_)
    with progress("measuring", quiet) as watch:
        costs = calls.bench(
            space, archs_given or (), proxies, data=data, batch_size=batch_size, seed=seed, device=device,
            precision=precision, settings=parse_settings(set_), plugin=plugin or (), watch=watch,
        )  # fmt: skip
    console = plain_console()
    shown = costs[["proxy"]].copy()
    for column, label, form in (("ms", "ms", "{:.1f}"), ("ratio", "ratio", "{:.2f}"), ("peak_mb", "peak MB", "{:.1f}")):
        shown[label] = [form.format(value) if isfinite(value) else "unknown" for value in costs[column]]
    archs = costs.attrs["archs"]
    print_frame(console, shown, f"One score of {archs[0] if len(archs) == 1 else f'{len(archs)} architectures, mean'}")
    for name, reason in costs.loc[costs["reason"] != "", ["proxy", "reason"]].itertuples(index=False):
        console.print(f"{name} gave no score: {reason}")
    console.print(
        "ms: to build the network and score it; ratio: to a forward and backward pass of it (plain); "
        "all: every proxy in one visit; peak MB: above what was in use before",
    )
    if json_ is not None:
        costs.drop(columns="reason").to_json(json_, orient="records", indent=2)


app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(cli_run.run)
app.command()(cli_study.study)
app.command()(cli_show.show)
app.command()(cli_show.convert)
app.command(name="list")(cli_show.list_)


def main() -> None:
    """Runs the command line: exit code 0 done, 2 wrong use (one line on standard error), 130 interrupted."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"nas: {message}", err=True)
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
    line = " ".join(message.split())
    typer.echo(f"nas: {line if len(line) <= LONGEST else f'{line[:LONGEST]} …'}", err=True)
    return 2
