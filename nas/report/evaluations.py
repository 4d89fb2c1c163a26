"""The section of a search's page on what was evaluated for the truth, and what was learned from it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from nas.report import charts
from nas.report.page import Section, Sheet
from nas.report.svg import Chart

BELIEF, DOUBT = "belief_", "doubt_"
"""How the columns begin that hold a proxy's weight and its standard deviation."""
HEADS = {"arch": "architecture", "place": "place by score", "chance": "chance to be better"}
"""What columns of the table are called on the page."""


def evaluations_section(table: pd.DataFrame, truth: str, place: Mapping[str, int]) -> Section:
    """What was evaluated, why, and what was believed of each proxy after each step.

    Args:
        table: see `nas.calls.evaluate.Evaluations`.
        truth: what the truth is called.
        place: of each architecture among the page's texts.
    """
    numbers = table["evaluation"].to_numpy(np.float64)
    values = table["truth"].to_numpy(np.float64)
    names = [str(column).removeprefix(BELIEF) for column in table if str(column).startswith(BELIEF)]
    weights, doubts = ({n: table[f"{kind}{n}"].to_numpy(np.float64) for n in names} for kind in (BELIEF, DOUBT))
    failed = int(np.isnan(values).sum())
    text = (
        f"Of what was scored, {len(table)} networks were evaluated by {truth}, each chosen by what was learned from "
        f"those before{f'; {failed} of them failed' if failed else ''}. A weight says by how many standard deviations "
        "the truth is believed to rise with one standard deviation of a proxy, all else equal: below zero a proxy "
        "misleads here."
    )
    rising = charts.progress(numbers.astype(np.int64), values, np.ones(len(table), dtype=np.bool_), up=truth)
    points = [
        (place[arch], f"evaluation {number}, {truth} {value:.6g}, place {rank} of the ranking: {why}")
        for number, arch, value, rank, why in zip(
            table["evaluation"], table["arch"], values, table["place"], table["why"], strict=True
        )
        if arch in place
    ]
    shown = table[[column for column in table if not str(column).startswith((BELIEF, DOUBT))]]
    shown = shown.replace("", np.nan).dropna(axis=1, how="all").rename(columns={**HEADS, "truth": truth})
    return Section("Evaluations", text, [
        Chart(rising, f"{truth} in the order of evaluation", points if len(points) == len(table) else ()),
        Chart(charts.beliefs(numbers, weights, doubts), "What each proxy is believed to be worth"),
    ], [Sheet(shown, sortable=False)])  # fmt: skip
