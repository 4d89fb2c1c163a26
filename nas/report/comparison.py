"""The page of a comparison: proxies against trained networks, time, and each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from nas.report import charts
from nas.report.page import Section, Sheet, page
from nas.report.svg import Chart
from nas.statistics.comparison import Comparison, decimals, mean_over_seeds, oriented

POINTS = 30_000
"""Architectures in all scatters together; more would make the page heavy, so that then neighbours share a mark."""
NEXT = "next: "
"""How the sentence begins that is a command."""
TARGETS = 24
"""The most columns of the heat map."""
ABOUT = {
    "n": "architectures compared, failures included",
    "failed": "architectures without a score; they rank last",
    "kendall": "Kendall's τ-b with the target, positive where the proxy works as declared",
    "kendall_lo": "lower end of the 95 % interval",
    "kendall_hi": "upper end of the 95 % interval",
    "spearman": "Spearman's ρ with the target",
    "kendall_given_params": "partial τ with the number of parameters held fixed",
    "kendall_top_10pct": "τ among the best tenth by target, where these are ten or more",
    "precision_at_5pct": "of the best 5 % by score, the share among the best 5 % by target",
    "ndcg": "normalised discounted cumulative gain of the whole ranking",
    "best_at_1": "target of the architecture with the best score",
    "regret": "how far that is below the best target",
    "ms_per_arch": "milliseconds for one architecture",
}


def comparison_report(
    title: str,
    comparison: Comparison,
    larger_is_better: Mapping[str, bool],
    target: str,
    made: Section | None = None,
) -> str:
    """The page as HTML.

    Args:
        comparison: the result of `nas.compare`; tables without rows are left out.
        larger_is_better: the declared direction of each proxy.
        target: the column that the proxies are compared with.
        made: what made it, see `nas.report.settings.settings_section`.
    """
    by_seed = comparison.correlations[comparison.correlations["seed"] != "all"]
    overall = comparison.correlations[comparison.correlations["seed"] == "all"].drop(columns="seed")
    overall = overall.sort_values("kendall", ascending=False, kind="stable").reset_index(drop=True)
    means = mean_over_seeds(oriented(comparison.scores, larger_is_better))[list(overall["proxy"])]
    archs = [str(arch) for arch in means.index]
    truth = np.array(comparison.truth.loc[archs], dtype=np.float64)
    drawings = _scatters(comparison.scores, means, truth, larger_is_better, overall.set_index("proxy"), target)
    sections = [
        *([_verdict(comparison.words)] if comparison.words else []),
        _ranking(overall, by_seed, target, comparison.duplicates),
        Section(f"{target} against each proxy", *drawings),
        _against_time(overall, len(archs)),
    ]
    if comparison.targets.size:
        sections.append(_targets(comparison.targets.reindex(overall["proxy"])))
    sections.append(_agreement(means))
    if len(comparison.pairs):
        text = "The difference of two proxies' τ on the same architectures, with its 95 % interval."
        sections.append(Section("Proxies in pairs", text, tables=[Sheet(comparison.pairs, "All pairs", folded=True)]))
    if len(comparison.selection):
        text = (
            f"The {target} of the best by proxy among N random architectures: mean ± standard deviation of 500 draws."
        )
        digits = decimals(comparison.truth)
        shown = [f"{row.mean:.{digits}f} ± {row.sd:.{digits}f}" for row in comparison.selection.itertuples()]
        cells = comparison.selection.assign(shown=shown).pivot(index="proxy", columns="n", values="shown")
        cells = cells.loc[list(dict.fromkeys(comparison.selection["proxy"]))].add_prefix("best of ").reset_index()
        sections.append(Section("Best of several", text, tables=[Sheet(cells, sortable=False)]))
    sections.append(_failures(comparison.scores))
    if made is not None:
        sections.append(made)
    return page(title, sections, [*archs, *overall["proxy"]])


def agreement_report(
    title: str,
    comparison: Comparison,
    means: pd.DataFrame,
    made: Section | None = None,
) -> str:
    """The page of a comparison without a target, as HTML.

    Args:
        made: see `comparison_report`.
        means: see `nas.statistics.comparison.mean_over_seeds`.
    """
    assert comparison.agreement is not None
    table = Sheet(
        comparison.agreement, "Spearman's ρ of any two; of a proxy with itself under another seed", folded=True
    )
    sections = [_verdict(comparison.words)._replace(tables=[table]), _agreement(means)]
    sections.append(_failures(comparison.scores))
    if made is not None:
        sections.append(made)
    return page(title, sections, [str(arch) for arch in means.index])


def _verdict(words: Sequence[str]) -> Section:
    """The verdict's sentences; what to do next is a command."""
    following = [one for one in words if one.startswith(NEXT)]
    said = [one for one in words if not one.startswith(NEXT)] + (["To go on:"] if following else [])
    return Section("Verdict", "\n\n".join(said), command=" ".join(one.removeprefix(NEXT) for one in following))


def _ranking(overall: pd.DataFrame, by_seed: pd.DataFrame, target: str, duplicates: int) -> Section:
    text = (
        f"How well each proxy ranks the same {overall['n'].max()} architectures as {target} does. Correlations are "
        "positive where a proxy works as declared; an architecture without a score ranks last. A heading sorts."
    )
    if duplicates:
        text += f" {duplicates} of the architectures are the same network as another one."
    several = by_seed["seed"].nunique() > 1
    about = {HEADS[name]: explanation for name, explanation in ABOUT.items() if name in HEADS}
    tables = [
        Sheet(_in_words(overall), "Mean over seeds" if several else "", about=about),
        Sheet(overall, "All statistics, by their names in correlations.csv", folded=True, about=ABOUT),
    ]
    if several:
        tables.append(Sheet(by_seed, "Each seed alone", folded=True, about=ABOUT))
    return Section("Ranking", text, [Chart(charts.intervals(overall), "Kendall's τ with its 95 % interval")], tables)


HEADS = {
    "proxy": "proxy", "kendall": "τ, Kendall", "spearman": "ρ, Spearman", "kendall_given_params": "τ given size",
    "kendall_top_10pct": "τ, best tenth", "regret": "short of the best", "ms_per_arch": "ms each", "failed": "failed",
}  # fmt: skip
"""What the table shows at once, and what it is called there."""


def _in_words(overall: pd.DataFrame) -> pd.DataFrame:
    """The statistics that a reader wants first, as far as there are any, with words for heads."""
    shown = overall[[name for name in HEADS if name in overall]].dropna(axis=1, how="all").rename(columns=HEADS)
    low, high = overall["kendall_lo"], overall["kendall_hi"]
    shown.insert(2, "95 % of τ", [f"{one:.2f} to {other:.2f}" for one, other in zip(low, high, strict=True)])
    return shown


def _scatters(
    scores: pd.DataFrame, means: pd.DataFrame, truth: charts.Vector, larger_is_better: Mapping[str, bool],
    overall: pd.DataFrame, target: str,
) -> tuple[str, list[Chart]]:  # fmt: skip
    text = (
        "Colour: the number of parameters. Crosses have no score. Marks far beyond the others stand at the edge; "
        f"pointed at, or reached with the arrow keys, each tells its architecture, its score and {target}."
    )
    archs = [str(arch) for arch in means.index]
    params = np.array(means["params"] if "params" in means else np.full(len(means), np.nan), dtype=np.float64)
    level = charts.levels(params)
    reasons = scores[scores["status"] != "ok"].drop_duplicates(["arch", "proxy"]).set_index(["proxy", "arch"])["reason"]
    figures = [Chart(charts.level_key(params), "Parameters")] if np.isfinite(params).any() else []
    marks = 0
    for name in map(str, means):
        own = np.array(means[name] if larger_is_better[name] else -means[name], dtype=np.float64)
        groups = charts.grouped(own, truth) if means.size > POINTS else None
        across = "score" if larger_is_better[name] else "score (smaller is better)"
        figure = charts.scatter(own, truth, level, groups, across=across, up=target)
        finite = np.isfinite(own)
        points = []
        for members in groups or [*np.flatnonzero(finite)[:, None], *np.flatnonzero(~finite)[:, None]]:
            first = int(members[0])
            note = (
                f"{own[first]:.4g} → {truth[first]:.5g}"
                if finite[first]
                else (f"{truth[first]:.5g}; failed: {reasons[name, archs[first]]}")
            )
            points.append((first, note if len(members) == 1 else f"{note}\nand {len(members) - 1} more"))
        marks += len(points)
        row = overall.loc[name]
        figures.append(Chart(figure, f"{name}: τ {row['kendall']:.3f}, {row['failed']:.0f} failed", points))
    if means.size > POINTS:
        text += (
            f" Of the {len(means)} architectures those that lie close together share a mark, which tells how many they "
            f"are, and is the larger the more: {marks} marks in {means.shape[1]} figures."
        )
    return text, figures


def _against_time(overall: pd.DataFrame, first: int) -> Section:
    """``first``: the place of the first proxy among the page's texts."""
    timed = overall[overall["kendall"].notna() & (overall["ms_per_arch"] > 0)]
    columns = (timed.index, timed["kendall"], timed["ms_per_arch"])
    points = [(first + int(place), f"τ {tau:.3f}, {ms:.3g} ms") for place, tau, ms in zip(*columns, strict=True)]
    chart = Chart(charts.against_time(timed), "Kendall's τ against milliseconds for one architecture", points)
    return Section("Quality against time", "A proxy's time is that of the passes that it needs.", [chart])


def _targets(targets: pd.DataFrame) -> Section:
    text = "Kendall's τ of each proxy with each number in the table; grey where all are equal."
    if targets.shape[1] > TARGETS:
        text += f" Of {targets.shape[1]} columns the first {TARGETS}; all of them in the table below."
    table = _named(targets)
    figure = charts.heat_map(targets.iloc[:, :TARGETS])
    return Section("Other targets", text, [Chart(figure, "Kendall's τ, proxy by target")],
                   [Sheet(table, "The same as a table", folded=True)])  # fmt: skip


def _agreement(values: pd.DataFrame) -> Section:
    """Spearman's ρ between the proxies."""
    ranks = values.rank()
    correlations = ranks.corr().where(ranks.nunique() > 1)
    text = "Spearman's ρ between the scores of each two proxies, both with larger as better, the best proxy first."
    table = Sheet(_named(correlations), "The same as a table", folded=True)
    figure = Chart(charts.heat_map(correlations), "Spearman's ρ, proxy by proxy")
    return Section("The proxies among themselves", text, [figure], [table])


def _named(by_proxy: pd.DataFrame) -> pd.DataFrame:
    """The frame with the proxies as its first column; a table's column, or a proxy, may be called ``proxy`` itself."""
    return by_proxy.rename_axis("proxy").reset_index(allow_duplicates=True)


def _failures(scores: pd.DataFrame) -> Section:
    failed = scores[scores["status"] != "ok"]
    if failed.empty:
        return Section("Failures", "Every score is a number.")
    counted = failed.groupby(["proxy", "status", "reason"], sort=False).size().rename("scores").reset_index()
    return Section("Failures", f"{len(failed)} of {len(scores)} scores could not be computed.", tables=[Sheet(counted)])
