"""The page of a run of trainings: their results and histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from nas.report import charts
from nas.report.page import Section, Sheet, page
from nas.report.svg import Chart
from nas.statistics.fronts import nondominated
from nas.training.loop import Epoch

DRAWN = 6
"""How many networks have curves of their own, the best ones."""
HEADS = {
    "arch": "architecture", "valid_accuracy": "validation, per cent", "test_accuracy": "test, per cent",
    "params": "parameters",
}  # fmt: skip
"""What columns of the table are called on the page."""


def training_report(
    title: str,
    table: pd.DataFrame,
    failures: pd.DataFrame,
    histories: Mapping[str, Sequence[Epoch]],
    made: Section,
) -> str:
    """The page as HTML.

    Args:
        table: see `nas.training.table.COLUMNS`.
        failures: ``arch``, ``status``, ``reason`` of those that could not be trained.
        histories: that of each architecture of the table.
        made: what made it, see `nas.report.settings.settings_section`.
    """
    best_first = table.sort_values("valid_accuracy", ascending=False, kind="stable")
    texts = [str(arch) for arch in table["arch"]]
    sections = [_results(best_first, failures)]
    if len(table) > 1:
        sections.append(_against(table))
    sections += [_curves(number, arch, histories[arch]) for number, arch in enumerate(best_first["arch"][:DRAWN], 1)]
    sections.append(made)
    return page(title, sections, texts)


def _results(table: pd.DataFrame, failures: pd.DataFrame) -> Section:
    shown = table.rename(columns=HEADS)
    tables = [Sheet(shown, about={HEADS["test_accuracy"]: "of the weights of the best validation epoch"})]
    if len(failures):
        tables.append(Sheet(failures, "Not trained"))
    return Section("Accuracies", "The best on the validation images first.", tables=tables)


def _against(table: pd.DataFrame) -> Section:
    params, accuracy = (table[name].to_numpy(np.float64) for name in ("params", "test_accuracy"))
    members = nondominated(np.column_stack([accuracy, -params]))
    figure = charts.front(params, accuracy, members, None, across="parameters", up="test accuracy, per cent")
    points = [
        (int(place), f"test {accuracy[place]:.2f} %, {params[place]:,.0f} parameters")
        for mask in (~members, members)
        for place in np.flatnonzero(mask)
    ]
    chart = Chart(figure, "Test accuracy against the number of parameters", points)
    return Section("Accuracy against size", "Those stand out that no smaller one beats.", [chart])


def _curves(number: int, arch: str, history: Sequence[Epoch]) -> Section:
    epochs = np.array([row.epoch for row in history], dtype=np.float64)
    figures = []
    for what, up in (("accuracy", "accuracy, per cent"), ("loss", "loss")):
        series = {
            part: np.array([getattr(row, f"{part}_{what}") for row in history], dtype=np.float64)
            for part in ("train", "validation")
        }
        figures.append(Chart(charts.curves(epochs, series, across="epoch", up=up), f"{up} after each epoch"))
    frame = pd.DataFrame(history, columns=Epoch._fields)
    return Section(f"Network {number}", arch, figures, [Sheet(frame, "Every epoch", folded=True, sortable=False)])
