"""``nas.optuna``: a space and its proxies as the objective of a study of Optuna's that is one's own."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Unpack, final

from nas.calls.options import SetupOptions
from nas.calls.result import Goal
from nas.calls.settings import as_list
from nas.calls.setup import Setup
from nas.errors import missing_extra
from nas.proxy import Proxy, ProxyFn
from nas.scoring.objective import Objective, Outcome
from nas.scoring.scorer import try_out
from nas.space import Arch, Space

if TYPE_CHECKING:
    from optuna import Trial  # type: ignore[import-not-found,unused-ignore]

__all__ = ["StudyObjective", "objective"]


@final
class StudyObjective:
    """What ``study.optimize`` calls: it suggests an option for each slot of the space, and returns what proxies say.

    Attributes:
        space: where the architectures are from; within the limits, where there are some.
        directions: for ``optuna.create_study``: of each value, whether it is to be large or small.
    """

    def __init__(self, space: Space, objectives: Sequence[Objective]) -> None:
        self.space = space
        self.directions = ["maximize" if _grows(one) else "minimize" for one in objectives]
        self._objectives = objectives

    def __call__(self, trial: Trial) -> float | tuple[float, ...]:
        """The value of each objective, a proxy's own number or a combination's score. The trial's attributes ``arch``
        and ``values`` say what was scored: the suggested architecture, or where that is not valid or beyond the limits
        what `nas.space.Space.repaired` makes of it.

        Raises:
            optuna.TrialPruned: the architecture has no score; the message is the reason.
        """
        wished = tuple(
            (trial.suggest_categorical(f"slot {number}", range(len(names))),)
            for number, names in enumerate(self.space.slots)
        )
        arch = self.space.repaired(wished)
        outcomes = [next(one([arch])) for one in self._objectives]
        trial.set_user_attr("arch", self.space.text(arch))
        trial.set_user_attr("values", {name: value for one in outcomes for name, value in one.values.items()})
        for outcome in outcomes:
            if outcome.status != "ok":
                raise import_module("optuna").TrialPruned(outcome.reason)
        values = tuple(_value(one, outcome) for one, outcome in zip(self._objectives, outcomes, strict=True))
        return values[0] if len(values) == 1 else values

    def arch(self, params: Mapping[str, Any]) -> str:
        """The architecture of a trial's ``params``, as ``study.best_params``, in the space's notation."""
        chosen: Arch = tuple((int(params[f"slot {number}"]),) for number in range(len(self.space.slots)))
        return self.space.text(self.space.repaired(chosen))


def objective(
    space: Space | str = "nasbench201",
    proxy: str | Proxy | ProxyFn = "gradalign_i",
    *,
    minimise: Sequence[str] | str = (),
    maximise: Sequence[str] | str = (),
    **options: Unpack[SetupOptions],
) -> StudyObjective:
    """The objective for a study of one's own; what it takes is what `nas.search` takes.

        objective = nas.optuna.objective("nasbench201", "naswot", minimise="params")
        study = optuna.create_study(directions=objective.directions)
        study.optimize(objective, n_trials=100)

    Args:
        space: a registered name, or a `Space`.
        proxy: a registered proxy or combination, names joined with ``+``, or a function of a `nas.probe.Probe`.
        minimise, maximise: proxies whose numbers are further objectives.
        options: see `nas.calls.setup.SetupOptions`; it measures in this process.

    Raises:
        UsageError: something given cannot be used, or Optuna cannot be imported.
    """
    try:
        import_module("optuna")
    except Exception as error:  # missing, or whatever a broken installation raises
        raise missing_extra("nas.optuna", "optuna", "optuna", error) from error
    setup = Setup.of(space, options, without=("workers", "ray", "timeout"))
    goals = [Goal(setup.named(proxy))]
    for sense, names in (("minimise", minimise), ("maximise", maximise)):
        goals += [Goal(setup.named(name), sense) for name in as_list(names)]  # type: ignore[arg-type]
    with ExitStack() as stack:
        stack.enter_context(setup)
        data = setup.minibatch()
        scorer = setup.scorer(data=data, kept=setup.may_keep([goal.proxy for goal in goals]))
        try_out(scorer)
        objectives = [Objective(scorer, goal.proxy, setup.settings, sense=goal.sense) for goal in goals]
        made = StudyObjective(setup.limited(data.task, scorer), objectives)
        weakref.finalize(made, stack.pop_all().close)  # the store stays open as long as it may be asked
        return made


def _grows(one: Objective) -> bool:
    return one.larger_is_better if one.sense == "best" else one.sense == "maximise"


def _value(one: Objective, outcome: Outcome) -> float:
    """A proxy's own number; of a combination the score, which has its sign changed where it is minimised."""
    if len(one.proxies) == 1:
        return float(outcome.values[one.proxies[0].name] or 0.0)
    return -outcome.score if one.sense == "minimise" else outcome.score
