"""The command ``nas bench``."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Annotated, Unpack

import typer

from nas.calls.options import ELSEWHERE, SetupOptions
from nas.cli.options import Config, Proxies, Quiet, Space, takes_setup
from nas.cli.printing import plain_console, print_frame
from nas.files import check_writable, replacing


@takes_setup(*ELSEWHERE)
def bench(
    archs_given: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARCH]...", help="Architectures to average over; one random by default."),
    ] = None,
    space: Space = "nasbench201",
    proxies: Proxies = "all",
    json_: Annotated[Path | None, typer.Option("--json", help="Write the costs there.")] = None,
    config: Config = None,
    quiet: Quiet = False,
    **options: Unpack[SetupOptions],
) -> None:
    """Measure what proxies cost, against one plain forward and backward pass."""
    from nas.calls.bench import bench as call
    from nas.calls.watching import progress

    if json_ is not None:
        check_writable(json_)
    with progress("measuring", quiet) as watch:
        costs = call(space, archs_given or (), proxies, watch=watch, **options)
    console = plain_console()
    shown = costs[["proxy"]].copy()
    for column, label, form in (("ms", "ms", "{:.1f}"), ("ratio", "ratio", "{:.2f}"), ("peak_mb", "peak MB", "{:.1f}")):
        shown[label] = [form.format(value) if isfinite(value) else "unknown" for value in costs[column]]
    archs = costs.attrs["archs"]
    print_frame(console, shown, f"One score of {archs[0] if len(archs) == 1 else f'{len(archs)} architectures, mean'}")
    for name, reason in costs.loc[costs["reason"] != "", ["proxy", "reason"]].itertuples(index=False):
        console.print(f"{name} gave no score: {reason}")
    for arch, quantities in zip(archs, costs.attrs["in_use"], strict=True):
        console.print(f"{arch} in use: {', '.join(f'{name} {value}' for name, value in quantities.items())}")
    console.print(
        "ms: to build the network and score it; ratio: to a forward and backward pass of it (plain); "
        "all: every proxy in one visit; peak MB: above what was in use before",
    )
    if json_ is not None:
        with replacing(json_) as temporary:
            costs.drop(columns="reason").to_json(temporary, orient="records", indent=2)
