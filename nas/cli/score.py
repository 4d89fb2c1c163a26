"""The command ``nas score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from nas.calls.options import SetupOptions
from nas.cli.options import Config, Proxies, Quiet, Seeds, Space, takes_setup
from nas.cli.printing import plain_console, print_failures, print_frame
from nas.errors import UsageError
from nas.files import check_writable, replacing


@takes_setup("constraints")
def score(
    archs_given: Annotated[list[str] | None, typer.Argument(metavar="[ARCH]...", help="Architectures.")] = None,
    space: Space = "nasbench201",
    proxies: Proxies = "gradalign_i,gradalign_ii",
    archs: Annotated[Path | None, typer.Option(help="CSV with a column 'arch'.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the scores there.")] = None,
    seeds: Seeds = 1,
    config: Config = None,
    quiet: Quiet = False,
    **options: Unpack[SetupOptions],
) -> None:
    """Score architectures."""
    from nas.calls.score import score as call
    from nas.calls.watching import progress
    from nas.data.table import Table
    from nas.space import make_space

    texts = list(archs_given or [])
    if archs is not None:
        texts += Table(archs, make_space(space, options["settings"] or {})).frame["arch"].astype(str).tolist()
    if not texts:
        raise UsageError("no architecture was given: name some, or a file with --archs FILE.csv")
    if csv is not None:
        check_writable(csv)
    with progress("scoring", quiet) as watch:
        scores = call(space, texts, proxies, seeds, watch=watch, **options)
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
        with replacing(csv) as temporary:
            scores.to_csv(temporary, index=False)
