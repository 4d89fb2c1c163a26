"""What the command line prints: tables, reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    import pandas as pd

    from nas.statistics.comparison import Comparison


def plain_console() -> Console:
    """Standard output that prints texts as they are: brackets or colons in a user's name or path are not markup, and
    lines are not broken, so that they can be copied."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def announced(what: str, quiet: bool) -> None:
    """Prints a line where `progress` shows its bar."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if console.is_terminal and not quiet:
        console.print(what)


def print_frame(console: Console, frame: pd.DataFrame, title: str = "") -> None:
    """A table as plain text: numbers to the right, text to the left, no line broken, so that it can be copied."""
    if title:
        console.print(title, style="bold")
    columns = []
    for name in frame:
        cells = [str(name), *(f"{v:.6g}" if isinstance(v, float) else str(v) for v in frame[name])]
        width, left = max(map(len, cells)), name in ("arch", "proxy")
        columns.append([cell.ljust(width) if left else cell.rjust(width) for cell in cells])
    for line in zip(*columns, strict=True):
        console.print("  ".join(line).rstrip())
    console.print()


def print_mapping(console: Console, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number}" for key, number in value.items())
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)
        console.print(f"{name:<22} {shown}")


def print_comparison(console: Console, comparison: Comparison, target: str, space: str) -> None:
    """Prints the main statistics of each proxy over all seeds, best first; which proxies are as good as the best; what
    they select; what failed. The files of the run folder hold everything."""
    from nas.statistics.comparison import decimals

    digits = decimals(comparison.truth)

    def spread(mean: float, deviation: float) -> str:
        return f"{mean:.{digits}f} ± {deviation:.{digits}f}"

    overall = comparison.correlations[comparison.correlations["seed"] == "all"]
    overall = overall.sort_values("kendall", ascending=False, kind="stable")  # the order of the pairs
    shown = overall[["proxy", "failed"]].copy()
    for name, label in (("kendall", "Kendall τ-b"), ("spearman", "Spearman ρ")):
        rows = overall[[name, f"{name}_lo", f"{name}_hi"]].itertuples(index=False)
        shown[f"{label} [95 %]"] = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in rows]
    shown["given params"] = overall["kendall_given_params"].map("{:.3f}".format)
    shown["top 10 %"] = ["" if tau != tau else f"{tau:.3f}" for tau in overall["kendall_top_10pct"]]
    for count in comparison.selection["n"].unique():
        chosen = comparison.selection[comparison.selection["n"] == count].set_index("proxy")
        cells = [spread(chosen.loc[name, "mean"], chosen.loc[name, "sd"]) for name in overall["proxy"]]
        shown[f"best of {count}"] = cells
    shown["ms"] = overall["ms_per_arch"].map("{:.0f}".format)
    shown["MB"] = overall["peak_mb"].map("{:.0f}".format)
    print_frame(console, shown, f"{target} on {space}, {int(overall['n'].iloc[0])} architectures")
    for count in comparison.selection["n"].unique():
        rows = comparison.selection[comparison.selection["n"] == count].set_index("proxy").loc[["random", "optimal"]]
        console.print(f"of {count}: " + ", ".join(f"{n} {spread(r['mean'], r['sd'])}" for n, r in rows.iterrows()))
    if comparison.groups is not None:
        means = comparison.groups[comparison.groups["group"] == "all"].sort_values("kendall", ascending=False)
        listed = ", ".join(f"{row.proxy} {row.kendall:.3f}" for row in means.itertuples())
        number = comparison.groups["group"].nunique() - 1
        console.print(f"τ-b within {number} groups, averaged by size: {listed}")
    if comparison.duplicates:
        console.print(
            f"{comparison.duplicates} of the architectures are isomorphic to another one (--unique drops them)"
        )
    print_failures(console, comparison.scores)
    for sentence in comparison.words:
        console.print(sentence)


def print_agreement(console: Console, comparison: Comparison, space: str) -> None:
    """Proxies among themselves, where there is no target: ρ of each with itself under another seed and with the
    others, as a square."""
    import pandas as pd

    assert comparison.agreement is not None
    square: dict[tuple[str, str], str] = {}
    for one, other, rho in zip(*(comparison.agreement[name] for name in comparison.agreement), strict=True):
        square[one, other] = square[other, one] = f"{rho:.2f}"
    names = list(dict.fromkeys(comparison.scores["proxy"]))
    columns = {"proxy": names} | {name: [square.get((row, name), "") for row in names] for name in names}
    count = comparison.scores["arch"].nunique()
    print_frame(console, pd.DataFrame(columns), f"Spearman's ρ between proxies on {space}, {count} architectures")
    print_failures(console, comparison.scores)
    for sentence in comparison.words:
        console.print(sentence)


def print_failures(console: Console, rows: pd.DataFrame) -> None:
    """Prints how many scores failed for which reason, and those of which proxies."""
    failed = rows[rows["status"] != "ok"]
    for reason, count in failed["reason"].value_counts().items():
        whose = failed.loc[failed["reason"] == reason, "proxy"] if "proxy" in failed else ()
        names = f" ({', '.join(dict.fromkeys(whose))})" if len(whose) else ""
        console.print(f"{count} without a score{names}: {reason}")
