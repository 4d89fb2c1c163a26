"""A run's measurements of its machine, which a continued run takes over: ``machine.jsonl``."""

from __future__ import annotations

from contextlib import ExitStack
from math import isfinite
from pathlib import Path
from typing import Any

from nas.errors import UsageError
from nas.files import only_data
from nas.proxy import Proxy
from nas.runs.folder import RunFolder
from nas.runs.records import REMEDY, Appender, read_records
from nas.scoring.measurer import Score
from nas.scoring.scorer import Scorer
from nas.space import Arch

MACHINE = "machine.jsonl"


class MachineScores:
    """The scores of a run that depend on its machine, each written down as soon as it has been measured.

    A limit needs them before there is a first trial, and for architectures that never become one. So they are read
    before the search begins, and those that are measured before the folder is open wait for it.

    Args:
        folder: that of the run, whether it exists or not; None where nothing is kept.
    """

    def __init__(self, scorer: Scorer, folder: Path | None) -> None:
        self._scorer = scorer
        self._waiting: list[dict[str, Any]] = []
        self._appender: Appender | None = None
        self._damage: UsageError | None = None
        try:
            for where, record in read_records(folder / MACHINE) if folder is not None else ():
                self._learn(record, where)
        except UsageError as error:  # raised later: that the folder is another run's comes first
            self._damage = error
        scorer.listener = self._listen

    def open(self, stack: ExitStack, folder: RunFolder) -> None:
        """From here on measurements are written at once. `UsageError` where the file is damaged."""
        if self._damage is not None:
            raise self._damage
        folder.lines(MACHINE)  # removes a line that was not written to its end
        self._appender = stack.enter_context(folder.appender(MACHINE))
        for record in self._waiting:
            self._appender.add_record(record)

    def _listen(self, arch: Arch, proxy: Proxy, score: Score) -> None:
        record = {
            "arch": self._scorer.space.text(arch), "proxy": proxy.setting, "value": score.value,
            "status": score.status, "reason": score.reason,
        }  # fmt: skip
        if self._appender is None:
            self._waiting.append(record)
        else:
            self._appender.add_record(record)

    def _learn(self, record: dict[str, Any], where: str) -> None:
        try:
            value, texts = record["value"], [record[name] for name in ("arch", "proxy", "status", "reason")]
            if not all(isinstance(text, str) for text in texts) or (value is None) == (record["status"] == "ok"):
                raise ValueError("it is no score")
            if value is not None and not isfinite(value):
                raise ValueError(f"its value is {value!r}")
            with only_data(where):
                arch = self._scorer.space.parse(record["arch"])
            self._scorer.learn(arch, record["proxy"], Score(value, record["status"], record["reason"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{where} is damaged: {error}: {REMEDY}") from None
