"""The facts about a source of data, before anything is drawn from it: ``nas show --data``."""

from __future__ import annotations

from typing import Any

import numpy as np

from nas.data.balance import largest_draw
from nas.data.opening import open_source, place
from nas.data.sources import Source
from nas.data.sources._files import printable
from nas.data.standard import Standard

MAX_CLASSES_SHOWN = 10


def describe(data: str) -> dict[str, Any]:
    """The facts about a source as texts, in the order in which a reader wants them.

    Mean and standard deviation are in the units of the stored numbers, for images in files in those of 8 bits.
    """
    kind, path, _ = place(data)
    opened = open_source(data, np.random.default_rng(0), 64)
    if opened.task.kind == "tokens":
        return _of_tokens(data, kind.reads or kind.name, opened, path is None)
    counts = np.bincount(opened.labels, minlength=opened.task.classes)
    pairs = [f"{printable(name)}: {count}" for name, count in zip(opened.classes, counts.tolist(), strict=True)]
    more = f", … and {len(pairs) - MAX_CLASSES_SHOWN} more" if len(pairs) > MAX_CLASSES_SHOWN else ""
    facts: dict[str, Any] = {
        "data": printable(data),
        "kind": f"{kind.name} ({kind.reads})" if kind.reads else kind.name,
        "images": len(opened.labels) if path is not None else "made up as they are drawn",
        "classes": opened.task.classes,
    }
    standard = Standard.over(opened)
    if path is not None:
        facts["images by class"] = ", ".join(pairs[:MAX_CLASSES_SHOWN]) + more
        if counts.min() < counts.max():
            facts["smallest, largest"] = f"{counts.min()} and {counts.max()} images"
        facts["largest minibatch"] = largest_draw(counts) or "none"
    facts["size"] = f"{opened.task.channels} x {opened.task.size} x {opened.task.size} (channels, height, width)"
    if not opened.standardised:
        facts["mean"] = ", ".join(f"{value:.4g}" for value in standard.mean)
        facts["standard deviation"] = ", ".join(f"{value:.4g}" for value in standard.std)
    if opened.held_out:
        facts["kept apart"] = ", ".join(sorted(opened.held_out))
    return facts | {f"note {number}": note for number, note in enumerate((*opened.notes, *standard.notes), 1)}


def _of_tokens(given: str, kind: str, opened: Source, made_up: bool) -> dict[str, Any]:
    entries = opened.classes
    more = f", … and {len(entries) - MAX_CLASSES_SHOWN} more" if len(entries) > MAX_CLASSES_SHOWN else ""
    facts: dict[str, Any] = {
        "data": printable(given),
        "kind": kind,
        "sequences": "made up as they are drawn" if made_up else len(opened.labels),
        "vocabulary": f"{len(entries)}: {', '.join(map(printable, entries[:MAX_CLASSES_SHOWN]))}{more}",
        "size": f"{opened.task.length} tokens",
        "predicted": "masked tokens" if opened.task.masked else "the next token",
    }
    return facts | {f"note {number}": note for number, note in enumerate(opened.notes, 1)}
