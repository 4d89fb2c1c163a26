"""The architectures of a run and their results: ``archs.jsonl``, and the table that ``nas compare`` takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nas.errors import UsageError
from nas.files import only_data
from nas.runs.folder import RunFolder
from nas.runs.records import read_records
from nas.space import Arch, Space
from nas.training.checkpoint import TrainingFolder
from nas.training.several import Job

ARCHS, TABLE = "archs.jsonl", "table.csv"
COLUMNS = ("arch", "valid_accuracy", "test_accuracy", "epochs", "seed", "params", "seconds")
"""Accuracies are in per cent, of the weights of the epoch with the best validation accuracy; ``params`` are those of
the network, ``seconds`` those of its training."""
MAX_NAME_CHARACTERS = 40


def enlisted(folder: RunFolder, space: Space, archs: Iterable[Arch]) -> list[Job]:
    """All architectures of the run, with the new ones of ``archs`` recorded as the last; each network once."""
    folder.lines(ARCHS)  # removes a line that was not written to its end
    jobs = jobs_in(folder.path)
    with only_data(folder.path / ARCHS):
        forms = {space.canonical(space.parse(job.text)) for job in jobs}
    with folder.appender(ARCHS) as file:
        for arch in archs:
            if (form := space.canonical(arch)) in forms:
                continue
            forms.add(form)
            text = space.text(arch)
            short = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:MAX_NAME_CHARACTERS]
            name = f"{len(jobs) + 1}-{short}"
            file.add_record({"arch": text, "folder": name})
            jobs.append(Job(text, TrainingFolder(folder.path / name)))
    return jobs


def jobs_in(path: Path) -> list[Job]:
    """The architectures of a run's folder with their own folders; `UsageError` where ``archs.jsonl`` is damaged."""
    jobs = []
    for place, record in read_records(path / ARCHS):
        try:
            text, name = record["arch"], record["folder"]
            if not isinstance(text, str) or Path(name).name != name or name == "..":
                raise ValueError("it names no folder")
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{place} is damaged: {error}") from None
        jobs.append(Job(text, TrainingFolder(path / name)))
    return jobs


def table_of(results: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The table: a row for each network that was trained, in their order."""
    rows = [[result[name] for name in COLUMNS] for result in results if result["status"] == "ok"]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def failures_of(results: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Columns ``arch``, ``status`` and ``reason`` of those that were not."""
    rows = [(result["arch"], result["status"], result["reason"]) for result in results if result["status"] != "ok"]
    return pd.DataFrame(rows, columns=["arch", "status", "reason"])
