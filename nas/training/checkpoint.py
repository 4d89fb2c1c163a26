"""The folder of one network's training, from which a training that was killed at any moment continues."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from types import UnionType
from typing import Any

import torch
from torch import Tensor

from nas.errors import UsageError, unreadable
from nas.files import open_file
from nas.runs.folder import read_yaml
from nas.runs.yaml_file import yaml_text
from nas.scoring.measurer import OF_THE_MACHINE
from nas.training.loop import Epoch, Training

WEIGHTS = {"best": "best.pt", "last": "last.pt"}
"""The weights of the epoch with the best validation accuracy, and of the last one."""
FAILED: dict[str, type | UnionType] = {"arch": str, "status": str, "reason": str}
TRAINED = FAILED | {
    "valid_accuracy": float, "test_accuracy": float, "best_epoch": int, "epochs": int, "seed": int, "params": int,
    "seconds": int | float, "task": dict, "classes": list, "mean": list, "std": list,
}  # fmt: skip
"""The fields of the result of a network that failed, and of one that was trained."""
CHECKPOINT, HISTORY, RESULT = "checkpoint.pt", "history.csv", "result.yaml"


@dataclass(frozen=True)
class TrainingFolder:
    """The files of one network.

    ``checkpoint.pt`` is what counts during training: it is on the disk after every epoch, before the others, which are
    written again from it when training continues. ``result.yaml`` is written last of all, and says that training is
    over; then the checkpoint is removed. The weights are state dictionaries, for ``torch.load(FILE,
    weights_only=True)``.
    """

    path: Path

    def result(self) -> dict[str, Any] | None:
        """The content of ``result.yaml``; None while training is not over, or failed for a reason of the machine."""
        file = self.path / RESULT
        if not file.exists():
            return None
        result = read_yaml(file)
        wanted = TRAINED if result.get("status") == "ok" else FAILED
        if wrong := [name for name, kind in wanted.items() if not isinstance(result.get(name), kind)]:
            raise UsageError(f"{file} is damaged: it has no {', '.join(wrong)}")
        return None if result["status"] in OF_THE_MACHINE else result

    def history(self) -> list[Epoch]:
        """The rows of ``history.csv``; `UsageError` where it cannot be read."""
        try:
            rows = list(csv.reader((self.path / HISTORY).read_text(encoding="utf-8").splitlines()))
            return [Epoch(int(row[0]), *map(float, row[1:])) for row in rows[1:]]
        except OSError as error:
            raise UsageError(f"{self.path / HISTORY} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, IndexError) as error:
            raise unreadable(self.path / HISTORY, "a history of epochs", error) from None

    def weights(self, epoch: str) -> dict[str, Tensor]:
        """The network's state after the ``best`` epoch or the ``last`` one."""
        return read_weights(self.path / WEIGHTS[epoch])

    def begin(self, training: Training) -> None:
        """Brings ``training`` to where an earlier one stopped.

        Raises:
            UsageError: the checkpoint is damaged, or of another training.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for left_over in self.path.glob(f"*{NEW}"):
            left_over.unlink(missing_ok=True)
        file = self.path / CHECKPOINT
        if file.exists():
            try:
                training.restore(torch.load(file, weights_only=True, map_location="cpu"))
            except Exception as error:  # a damaged file makes torch raise all sorts
                raise unreadable(
                    file, "a checkpoint of this training; without it, training starts again", error
                ) from error
            self._write_rest(training, best=True)

    def keep(self, training: Training) -> None:
        """Writes the state of the training after an epoch."""
        assert training.best is not None
        write_whole(self.path / CHECKPOINT, saved(training.state()), durably=True)
        self._write_rest(training, best=training.best.epoch == len(training.history))

    def end(self, result: Mapping[str, Any]) -> None:
        """Writes the result, and removes the checkpoint, unless another try may have another result."""
        text = yaml_text(dict(result))
        checkpoint = self.path / CHECKPOINT
        if os.name == "posix" and checkpoint.exists():  # the other files must be on the disk before it goes
            for name in (HISTORY, *WEIGHTS.values()):
                if (self.path / name).exists():
                    sync(self.path / name)
        write_whole(self.path / RESULT, text.encode(), durably=True)
        if os.name == "posix":
            sync(self.path)
        if result["status"] not in OF_THE_MACHINE:
            checkpoint.unlink(missing_ok=True)

    def _write_rest(self, training: Training, *, best: bool) -> None:
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows([Epoch._fields, *training.history])
        write_whole(self.path / HISTORY, text.getvalue().encode())
        if best and training.best is not None:
            write_weights(self.path / WEIGHTS["best"], training.best.state)
        write_weights(self.path / WEIGHTS["last"], training.weights().state)


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Writes a state dictionary."""
    write_whole(path, saved(dict(state)))


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dictionary; `UsageError` where the file holds none. No code in it runs."""
    try:
        with open_file(path) as file:
            state = torch.load(file, weights_only=True, map_location="cpu")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged file makes torch raise all sorts
        raise unreadable(path, "weights", error) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError(f"{path} holds no weights, which are tensors by name, but {type(state).__name__}")
    return state


NEW = ".new"


def saved(value: Any) -> bytes:
    """The bytes that `torch.save` writes; writing to a file itself, it hides that the disk is full."""
    buffer = BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def write_whole(path: Path, content: bytes, *, durably: bool = False) -> None:
    """Writes by way of a temporary file of this process, so that the old file stays intact until the new one is
    complete.

    Args:
        durably: it is on the disk before it replaces the old one, so that this holds even if the machine stops.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{NEW}")
    with temporary.open("wb") as file:
        file.write(content)
        if durably:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


def sync(path: Path) -> None:
    """Flushes a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
