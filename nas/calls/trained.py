"""What `nas.train` returns: a table and trained networks; and how the folder of a run is read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from torch import nn

from nas.calls.settings import as_list, parse
from nas.calls.setup import Setup
from nas.errors import UsageError
from nas.runs.folder import read_yaml
from nas.scoring.measurer import build
from nas.space import Arch, Space, Task
from nas.training.loop import Epoch
from nas.training.network import Trained
from nas.training.table import failures_of, jobs_in, table_of


@dataclass(frozen=True)
class TrainResult:
    """What `nas.train` returns.

    Attributes:
        table: a row for each network that was trained, see `nas.training.table.COLUMNS`; what ``table.csv`` holds.
        failures: ``arch``, ``status`` and ``reason`` of those that were not.
        space: where the architectures are from.
        folder: of the run, where there is one.
    """

    table: pd.DataFrame
    failures: pd.DataFrame
    space: Space
    folder: Path | None = None
    _trained: Mapping[Arch, Trained] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, space: Space, trained: Sequence[Trained], folder: Path | None = None) -> TrainResult:
        results = [one.result for one in trained]
        forms = {space.canonical(parse(space, one.result["arch"])): one for one in trained}
        return cls(table_of(results), failures_of(results), space, folder, forms)

    @property
    def best(self) -> str:
        """The architecture with the best validation accuracy; `UsageError` where none was trained."""
        if self.table.empty:
            raise UsageError(self.why_nothing)
        return str(self.table["arch"].iloc[int(self.table["valid_accuracy"].argmax())])

    @property
    def why_nothing(self) -> str:
        """Why no network was trained, in one sentence."""
        if self.failures.empty:
            return f"{self.folder} holds no network whose training is over: the same command continues it"
        reason = self.failures["reason"].value_counts().index[0]
        mostly = "" if len(self.failures) == 1 else "; mostly"
        return f"none of the {len(self.failures)} networks could be trained{mostly}: {reason}"

    def training(self, arch: str | None = None) -> Trained:
        """The training of ``arch``, by default of the best one; `UsageError` where there is none that ended well."""
        text = self.best if arch is None else arch
        trained = self._trained.get(self.space.canonical(parse(self.space, text)))
        if trained is None or not trained.trained:
            why = "was not trained" if trained is None else f"could not be trained ({trained.result['reason']})"
            raise UsageError(f"{text} {why} in this run: trained were {', '.join(self.table['arch']) or 'none'}")
        return trained

    def network(self, arch: str | None = None, epoch: Literal["best", "last"] = "best") -> nn.Module:
        """The trained network of ``arch``, by default of the best one, ready to be used: in evaluation mode, with the
        weights of the epoch with the best validation accuracy, or of the last one."""
        trained = self.training(arch)
        result, form = trained.result, self.space.canonical(parse(self.space, trained.result["arch"]))
        net = build(self.space, form, Task(**result["task"]), result["seed"])
        net.load_state_dict(dict(trained.weights(epoch)))
        return net.eval()

    def history(self, arch: str | None = None) -> pd.DataFrame:
        """A row for each epoch of ``arch``, by default of the best one; see `nas.training.loop.Epoch`."""
        return pd.DataFrame(self.training(arch).history(), columns=Epoch._fields)


def read_trained(run_folder: str | Path, plugin: Sequence[str | Path] | str | Path = ()) -> TrainResult:
    """The networks of a run of `nas.train` whose training is over.

    Args:
        plugin: the plug-in files of the run, which are run; a folder never runs code by itself.

    Raises:
        UsageError: the folder holds no such run, names plug-ins that are not given, or is damaged.
    """
    path = Path(run_folder).expanduser()
    config = read_yaml(path / "config.yaml")
    if not is_training(config):
        raise UsageError(f"{path} holds no run of 'nas train'")
    files = list(map(str, as_list(plugin)))
    if missing := len(config.get("plugin") or []) - len(files):
        raise UsageError(f"{path} is of a run with {missing} more plug-ins: name the files with plugin=…: "
                         f"{', '.join(config['plugin'])}")  # fmt: skip
    setup = Setup.of(str(config.get("space")), {"settings": config.get("set"), "plugin": files})
    jobs = [(job.folder, job.folder.result()) for job in jobs_in(path) if job.folder is not None]
    trained = [Trained(result, folder) for folder, result in jobs if result is not None]
    return TrainResult.of(setup.space, trained, path)


def is_training(config: Mapping[str, Any]) -> bool:
    """Whether a run folder's settings are those of `nas.train`."""
    return "epochs" in config and "searcher" not in config  # which may train some of what it scored
