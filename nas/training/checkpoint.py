"""What is kept of one network's training: its folder, which a training that was killed at any moment goes on from."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import IO, Any

import torch
import yaml
from torch import Tensor

from nas.errors import UsageError, unreadable
from nas.runs.folder import read_yaml
from nas.scoring.measurer import OF_THE_MACHINE
from nas.training.loop import Epoch, Training

WEIGHTS = {"best": "best.pt", "last": "last.pt"}
"""Of the epoch with the best validation accuracy, and of the last one."""
CHECKPOINT, HISTORY, RESULT = "checkpoint.pt", "history.csv", "result.yaml"


@dataclass(frozen=True)
class TrainingFolder:
    """The files of one network.

    ``checkpoint.pt`` is the truth while training goes on: it is written after every epoch, before the others, and they
    are written again from it when training is taken up. ``result.yaml`` is written last of all, and says that training
    is over; the checkpoint goes then. The weights are state dictionaries: ``torch.load(FILE, weights_only=True)``.
    """

    path: Path

    def result(self) -> dict[str, Any] | None:
        """What ``result.yaml`` holds; None while training is not over, or failed for a reason of the machine."""
        result = read_yaml(self.path / RESULT) if (self.path / RESULT).exists() else None
        return None if result is None or result.get("status") in OF_THE_MACHINE else result

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
        """Takes ``training`` to where an earlier one stopped.

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
        """Writes what has been reached after an epoch."""
        write_durably(self.path / CHECKPOINT, lambda file: torch.save(training.state(), file))
        assert training.best is not None
        self._write_rest(training, best=training.best.epoch == len(training.history))

    def end(self, result: Mapping[str, Any]) -> None:
        """Writes the result; unless another try may come to another one, there is nothing to go on with any more."""
        text = yaml.safe_dump(dict(result), sort_keys=False, allow_unicode=True)
        write_durably(self.path / RESULT, lambda file: file.write(text.encode()))
        if result["status"] not in OF_THE_MACHINE:
            (self.path / CHECKPOINT).unlink(missing_ok=True)

    def _write_rest(self, training: Training, *, best: bool) -> None:
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows([Epoch._fields, *training.history])
        write_durably(self.path / HISTORY, lambda file: file.write(text.getvalue().encode()))
        if best and training.best is not None:
            write_weights(self.path / WEIGHTS["best"], training.best.state)
        write_weights(self.path / WEIGHTS["last"], training.weights().state)


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    write_durably(path, lambda file: torch.save(dict(state), file))


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dictionary; `UsageError` where the file holds none. No code in it runs."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged file makes torch raise all sorts
        raise unreadable(path, "weights", error) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UsageError(f"{path} holds no weights, which are tensors by name, but {type(state).__name__}")
    return state


NEW = ".new"


def write_durably(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes through a second file of this process's own, so that what was there stays whole until the new one is on
    the disk, whenever the process or the machine stops."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}{NEW}")
    with temporary.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    if os.name == "posix":  # the new name is in the folder, which is a file of its own
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
