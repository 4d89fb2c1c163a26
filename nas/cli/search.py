"""The command ``nas search``."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer
from rich.console import Console

from nas.calls.options import SetupOptions
from nas.cli import completion
from nas.cli.options import Batch, Config, Quiet, Run, Space, takes_setup
from nas.cli.printing import announced, plain_console, print_failures, print_frame, print_mapping

if TYPE_CHECKING:
    from nas.calls.result import SearchResult
    from nas.calls.search import Plan

SHOWN = 20
"""Networks that were evaluated, of which the best are printed."""


@takes_setup()
def search(
    context: typer.Context,
    space: Space = "nasbench201",
    proxy: Annotated[
        str, typer.Option(help="Proxy to maximise; a+b combines two by rank.", autocompletion=completion.proxies)
    ] = "nas_rank",
    searcher: Annotated[
        str, typer.Option(help="Search strategy; see 'nas list searchers'.", autocompletion=completion.searchers)
    ] = "evolution",
    budget: Annotated[int, typer.Option(help="Evaluations.")] = 200,
    batch: Batch = None,
    minimise: Annotated[
        list[str] | None,
        typer.Option(help="Proxy to make small as a further objective, for a searcher that takes several; repeatable.",
                     autocompletion=completion.proxies),
    ] = None,
    maximise: Annotated[list[str] | None, typer.Option(help="Likewise, to make large; repeatable.")] = None,
    evaluate: Annotated[
        int | None,
        typer.Option(metavar="N", help="Then evaluate so many of what was scored for the truth, each chosen by what is "
                     "learned: trained on --data, looked up by --table and --target, or asked of --truth."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="With --evaluate: how often every image is shown.")] = 12,
    table: Annotated[Path | None, typer.Option(help="Trained accuracies, shown beside the best architecture.")] = None,
    target: Annotated[str | None, typer.Option(help="With --evaluate: the column of the table to look up.")] = None,
    truth: Annotated[
        str | None,
        typer.Option(metavar="FILE.py:NAME", help="With --evaluate: a function of an architecture's notation, larger "
                     "is better."),
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Score as many random architectures, too, to be shown beside them.")
    ] = False,
    run: Run = None,
    config: Config = None,
    quiet: Quiet = False,
    **options: Unpack[SetupOptions],
) -> None:  # fmt: skip
    """Search a space for the architecture that a proxy likes best."""
    from nas.calls.search import search as call
    from nas.calls.watching import progress

    start, source = time.perf_counter(), context.get_parameter_source("proxy")
    asked = source is None or source.name != "DEFAULT"
    with progress("searching", quiet) as watch:
        result = call(
            space, proxy if asked else None, searcher, budget, minimise=minimise or (), maximise=maximise or (),
            table=table, target=target, evaluate=evaluate, epochs=epochs, truth=truth, batch=batch, baseline=baseline,
            run_folder=run or "auto", watch=watch, announce=lambda plan: announced(maximised(plan, asked), quiet),
            **options,
        )  # fmt: skip
    _print(result, time.perf_counter() - start)


def maximised(plan: Plan, asked: bool) -> str:
    """What is maximised and why, by which searcher on which space, and what to know of it."""
    from nas.proxy import as_proxy

    (first, *others), single = plan.goals, plan.objective.proxies[0]
    makes = "minimising" if not first.text.count("+") and not as_proxy(first.text).larger_is_better else "maximising"
    parts = " + ".join(proxy.name for proxy in plan.objective.proxies)
    why = "asked for" if asked else f"the default, chosen on trained networks of five spaces: {parts} by rank"
    further = "".join(f", {goal.sense.removesuffix('e')}ing {goal.text}" for goal in others)
    space = plan.setup.space_name or "a space"
    line = f"{makes} {first.text} ({why}){further}, by {plan.searcher.name} on {space}"
    if single.grows and len(plan.objective.proxies) == 1 and not plan.setup.constraints:
        line += "; without a limit it favours the largest network: --constraint 'params<=…'"
    return line


def _print(result: SearchResult, seconds: float) -> None:
    """The best, how it was found, and what to do next."""
    from nas.runs.folder import NETWORKS, read_yaml

    console, trials, folder = plain_console(), result.trials, result.folder
    assert folder is not None
    leaves = trials[trials["leaf"] & trials["score"].notna()].sort_values("score", ascending=False, kind="stable")
    print_frame(console, leaves.drop_duplicates("arch").head(5)[["score", "arch"]], "Best architectures")
    print_mapping(console, read_yaml(folder / "best.yaml"))
    elsewhere = int((trials["cached"] & ~trials["arch"].duplicated()).sum())
    reference = f"{result.referenced} more measured as the reference, " if result.referenced else ""
    console.print(
        f"{len(trials)} evaluations, {int(trials['cached'].sum())} of them known ({elsewhere} from an "
        f"isomorphic architecture), {reference}{result.stored} from the store, "
        f"{int((trials['status'] != 'ok').sum())} failed; {seconds:.0f} s; results in {folder}",
    )
    print_failures(console, trials)
    if len(result.evaluations):
        _print_evaluations(console, result)
    if len(result.random):
        alike = result.random[result.random["leaf"]]["score"].max()
        console.print(f"random search with as many evaluations: best {alike:.6g}, here {leaves['score'].max():.6g}")
    if covered := result.hypervolumes:
        console.print(f"hypervolume: random search {covered['random']:.6g}, here {covered['search']:.6g}")
    plugins = [part for file in read_yaml(folder / "config.yaml")["plugin"] for part in ("--plugin", file)]
    if result.best.task.kind == "images":  # networks of tokens are not trained
        console.print(f"next: {shlex.join(['nas', 'train', '--run', str(folder), *plugins])}")
    if (folder / NETWORKS).is_dir():
        console.print(f"or: {shlex.join(['nas', 'export', '--run', str(folder), *plugins, '--out', 'net.py'])}")


def _print_evaluations(console: Console, result: SearchResult) -> None:
    """What was evaluated and why, the best first; and what the proxies are believed to be worth in the end."""
    table, truth = result.evaluations, next(iter(result.best.evaluated))
    further = [name for name in result.best.evaluated if name != truth]
    shown = table[["evaluation", "truth", *further, "place", "why", "arch"]]
    shown = shown.sort_values("truth", ascending=False, kind="stable").head(SHOWN)
    print_frame(console, shown, f"Evaluated by {truth}")
    last = table.iloc[-1]
    names = [str(name).removeprefix("belief_") for name in table if str(name).startswith("belief_")]
    worth = ", ".join(f"{name} {last[f'belief_{name}']:.2f} ± {last[f'doubt_{name}']:.2f}" for name in names)
    console.print(f"weights believed in: {worth}")
