"""TensorBoard events of a training, from its history."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nas.errors import UsageError
from nas.training.loop import Epoch

FOLDER = "events"


def check_tensorboard() -> None:
    """`UsageError` where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise UsageError("events take TensorBoard: pip install 'gradalign-nas[tensorboard]'")


class Events:
    """Writes each row's numbers as they come; it begins with all earlier rows, in new files, so that none is there
    twice."""

    def __init__(self, folder: Path, history: Sequence[Epoch]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        self._writer: Any = SummaryWriter(str(folder / FOLDER))
        for row in history:
            self.add(row)

    def add(self, row: Epoch) -> None:
        for part in ("train", "validation"):
            for what in ("loss", "accuracy"):
                self._writer.add_scalar(f"{what}/{part}", getattr(row, f"{part}_{what}"), row.epoch)
        self._writer.add_scalar("lr", row.lr, row.epoch)
        self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._writer.close()
