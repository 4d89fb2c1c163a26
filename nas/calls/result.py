"""What a search leaves: its trials, the best of them, networks; and `nas.load`, which reads it from a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
from torch import nn

from nas import plugins
from nas.calls.costs import parts_of
from nas.calls.options import OPTIONS
from nas.calls.settings import as_list, proxy_expression
from nas.calls.setup import Setup
from nas.data.minibatch import Minibatch
from nas.data.reading import read_frame
from nas.data.table import Table
from nas.errors import UsageError
from nas.files import only_data
from nas.proxy import Proxy, ProxyFn
from nas.runs.folder import read_yaml
from nas.runs.loop import Trial, best
from nas.runs.records import read_records
from nas.runs.resume import read_trials
from nas.scoring.measurer import build, costs
from nas.scoring.objective import REFERENCE_SIZE, Sense
from nas.space import Space, Task
from nas.statistics.fronts import Vectors, hypervolume, nondominated

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Goal:
    """One objective of a search: a proxy, whose own direction counts where it is not said otherwise."""

    proxy: str | Proxy | ProxyFn
    sense: Sense = "best"

    @property
    def text(self) -> str:
        return proxy_expression(self.proxy)


@dataclass(frozen=True)
class Best:
    """The best architecture of a search.

    Attributes:
        arch: in the space's notation.
        score: what was maximised.
        values: each proxy's own number.
        params, flops: of its network for ``task``; multiply-accumulates for one image.
        costs: what else of it is limited, by name.
        task: what the run's data ask of a network.
        evaluated: what came out where it was evaluated: the truth by its name, and what came with it.
        table: the numbers that a table of trained networks has of it.
    """

    arch: str
    score: float
    values: Mapping[str, float | None]
    params: int
    flops: int
    task: Task
    costs: Mapping[str, float] = field(default_factory=dict)
    evaluated: Mapping[str, float] = field(default_factory=dict)
    table: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchResult:
    """What `nas.search` returns.

    Attributes:
        trials: a row for each trial (see `nas.runs.loop.Trial`), and a column for each proxy's own number.
        best: the best leaf, by the first objective; of those that were evaluated the best by truth.
        front: the leaves that no other one dominates, the best by the first objective first: ``arch``, and the score of
            each objective, larger is better but for what was minimised, which is its proxy's number.
        space: where the architectures are from.
        seed: of the run.
        stored: how many trials were not measured because the store had their scores.
        folder: the run folder, where there is one.
        random: the trials of random search, where it was run beside this one, else empty.
        random_front: its front.
        evaluations: see `nas.calls.evaluate.Evaluations`; empty where none were wanted.
        referenced: how many architectures were measured to rank those of a combination of proxies among, besides the
            trials.
    """

    trials: pd.DataFrame
    best: Best
    front: pd.DataFrame
    space: Space
    seed: int
    stored: int = 0
    folder: Path | None = None
    random: pd.DataFrame = field(default_factory=pd.DataFrame)
    random_front: pd.DataFrame = field(default_factory=pd.DataFrame)
    evaluations: pd.DataFrame = field(default_factory=pd.DataFrame)
    referenced: int = 0
    _trials: Sequence[Trial] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        trials: Sequence[Trial],
        described: Mapping[str, Any],
        goals: Sequence[Goal],
        space: Space,
        seed: int,
        stored: int = 0,
        folder: Path | None = None,
        random: Sequence[Trial] = (),
        evaluations: pd.DataFrame | None = None,
        referenced: int = 0,
    ) -> SearchResult:
        """The result of these trials; ``described`` is what ``best.yaml`` holds."""
        own = {name: described[name] for name in (*BEST, "costs", "evaluated") if name in described}
        task = Task(**described["task"])
        table = {name: value for name, value in described.items() if name not in (*own, "task")}
        best = Best(**own, task=task, table=table)
        return cls(
            _frame(trials), best, _front(trials, goals), space, seed, stored, folder, _frame(random),
            _front(random, goals), pd.DataFrame() if evaluations is None else evaluations,
            referenced, trials,
        )  # fmt: skip

    @property
    def hypervolumes(self) -> dict[str, float]:
        """Of several objectives, what the front of this search covers, and that of random search beside it, above the
        worst of each objective that either met; empty without random search."""
        if self.random.empty or "objectives" not in self.trials:
            return {}
        both = {"search": _vectors(self.trials), "random": _vectors(self.random)}
        worst = np.vstack(list(both.values())).min(axis=0)
        return {name: hypervolume(values, worst) for name, values in both.items()}

    def network(
        self,
        arch: str | None = None,
        *,
        classes: int | None = None,
        channels: int | None = None,
        size: int | None = None,
        length: int | None = None,
    ) -> nn.Module:
        """A fresh network of ``arch``, by default of the best one, for the task of the run or for another number of
        classes, channels, pixels a side or tokens; its weights are those that the seed of the run gives."""
        replaced: dict[str, Any] = {"classes": classes, "channels": channels, "size": size, "length": length}
        task = self.best.task._replace(**{name: value for name, value in replaced.items() if value is not None})
        chosen = self.space.canonical(self.space.parse(self.best.arch if arch is None else arch))
        return build(self.space, chosen, task, self.seed)

    def plot(self) -> Figure:
        """The scores in the order of evaluation; ``.savefig(FILE)`` writes it, a notebook shows it."""
        from nas.report.search import course  # matplotlib takes a while to import

        return course(self._trials)


def _frame(trials: Sequence[Trial]) -> pd.DataFrame:
    """A row for each trial."""
    frame = pd.DataFrame.from_records(trials, columns=Trial._fields)
    for name in ("params", "flops"):
        frame[name] = frame[name].astype("Int64")  # some have none
    if not any(trial.objectives for trial in trials):
        frame = frame.drop(columns="objectives")
    for name in dict.fromkeys(name for trial in trials for name in trial.values):
        if name not in frame:
            frame[name] = [trial.values.get(name) for trial in trials]
    return frame


def _vectors(frame: pd.DataFrame) -> Vectors:
    """The objectives of the leaves that have all of them."""
    own = frame.loc[frame["leaf"] & frame["score"].notna(), "objectives"].tolist()
    return np.array(own, dtype=np.float64).reshape(len(own), -1)


def _front(trials: Sequence[Trial], goals: Sequence[Goal]) -> pd.DataFrame:
    leaves = {t.arch: t.objectives or (t.score or 0.0,) for t in trials if t.leaf and t.score is not None}
    values = np.array(list(leaves.values()), dtype=np.float64).reshape(-1, len(goals))
    chosen = np.flatnonzero(nondominated(values))
    chosen = chosen[np.argsort(-values[chosen, 0], kind="stable")]
    signs = {goal.text: -1 if goal.sense == "minimise" else 1 for goal in goals}
    columns = {name: sign * values[chosen, place] for place, (name, sign) in enumerate(signs.items())}
    return pd.DataFrame({"arch": [list(leaves)[place] for place in chosen]} | columns)


RECORDS, EVALUATIONS = "evaluations.jsonl", "evaluations.csv"
"""What was evaluated of a search, as it happened and as a table."""
BEST = ("arch", "score", "values", "params", "flops")
"""What ``best.yaml`` always begins with."""


def describe_best(
    trial: Trial,
    space: Space,
    data: Minibatch,
    table: Table | None,
    limited: Mapping[str, float] | None = None,
    evaluated: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """What ``best.yaml`` holds.

    Args:
        limited: what is limited, as it was measured or counted.
        evaluated: what came out where it was evaluated.
    """
    arch = space.parse(trial.arch)
    cost = costs(space, arch, data)
    described: dict[str, Any] = {"arch": trial.arch, "score": trial.score, "values": trial.values}
    described |= {"params": cost["params"], "flops": cost["flops"]}
    if further := {name: value for name, value in (limited or {}).items() if name not in (*BEST, *trial.values)}:
        described["costs"] = further
    if evaluated:
        described["evaluated"] = dict(evaluated)
    described["task"] = data.task.described
    if table is not None:
        described |= {name: float(value) for name, value in table.row(arch).items() if name not in described}
    return described


def load(run_folder: str | Path, plugin: Sequence[str | Path] | str | Path = ()) -> SearchResult:
    """The result of a search, finished or not, from its run folder; nothing there is changed.

    Args:
        plugin: the plug-in files of the run, which are run; a folder never runs code by itself, the files of its
            networks neither: `nas.files.trusting` lets it.

    Raises:
        UsageError: the folder holds no search, names code that is not given, or is damaged.
    """
    path = Path(run_folder).expanduser()
    config = read_yaml(path / "config.yaml")
    if "searcher" not in config:
        raise UsageError(f"{path} holds no search: its other files are tables (.csv) and a page, for any reader")
    files = list(map(str, as_list(plugin)))
    if missing := len(config.get("plugin") or []) - len(files):
        raise UsageError(f"{path} is of a run with {missing} more plug-ins: name the files with plugin=…: "
                         f"{', '.join(config['plugin'])}")  # fmt: skip
    renamed = {"constraint": "constraints", "cost": "costs", "set": "settings"}
    options = {renamed.get(name, name): value for name, value in config.items()}
    options = {name: value for name, value in options.items() if name in OPTIONS} | {"plugin": files, "store": "none"}
    plugins.load(files)
    with only_data(path / "config.yaml"):
        setup = Setup.of(str(config.get("space")), options)
        trials = read_trials(path)
        winner = winner_of(trials, read_records(path / RECORDS)) or best(trials)
        if winner is None:
            raise UsageError(f"{path} holds {len(trials)} trials, and none of a single network with a score")
        described = _described(path / "best.yaml", winner) or describe_best(
            winner, setup.space, setup.minibatch(), None
        )
    columns = [parts_of(text)[0] for text in setup.costs]  # whose tables need not be there any more
    named: list[tuple[str, Sense]] = [(str(config["proxy"]), "best")]
    named += [(name, sense) for sense in get_args(Sense)[1:] for name in config.get(sense, ())]
    goals = [Goal(Proxy(name, None) if name in columns else name, sense) for name, sense in named]
    return SearchResult.of(
        trials, described, goals, setup.space, setup.seed, folder=path, random=read_trials(path, "random.jsonl"),
        evaluations=_evaluations(path), referenced=REFERENCE_SIZE * (path / "reference.jsonl").exists(),
    )  # fmt: skip


def _evaluations(path: Path) -> pd.DataFrame | None:
    """The table of a search's evaluations, where it has one."""
    return read_frame(path / EVALUATIONS) if (path / EVALUATIONS).is_file() else None


def winner_of(trials: Sequence[Trial], records: Sequence[tuple[str, Mapping[str, Any]]]) -> Trial | None:
    """The trial whose architecture has the best truth on record; None where there is none."""
    able = [record for _, record in records if isinstance(record.get("truth"), int | float)]
    best = max(able, key=lambda record: record["truth"], default=None)
    return None if best is None else next((trial for trial in trials if trial.arch == best.get("arch")), None)


def _described(file: Path, winner: Trial) -> dict[str, Any] | None:
    """What ``best.yaml`` holds; None where it does not read or is of another trial: it is made of the trials."""
    try:
        described = read_yaml(file)
        task = Task(**described["task"])
    except (UsageError, KeyError, TypeError):
        return None
    counts = [described.get("params"), described.get("flops"), task.classes, *task.shape]
    same = described.get("arch") == winner.arch and described.get("score") == winner.score
    return described if same and all(type(count) is int for count in counts) else None
