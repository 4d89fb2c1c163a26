"""The call `nas.search`: prepare, run, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from inspect import GEN_CLOSED, getgeneratorstate
from pathlib import Path
from random import Random
from typing import Any, Unpack

from nas.calls.evaluate import Evaluations, Pool, Request, Wanted
from nas.calls.evaluate import evaluate as evaluate_some
from nas.calls.options import SetupOptions
from nas.calls.result import EVALUATIONS, Goal, SearchResult, describe_best
from nas.calls.settings import with_batch
from nas.calls.setup import UNDETERMINING, Setup, normalised
from nas.calls.truth import TruthFn
from nas.calls.watching import shown_in_notebooks
from nas.data.table import Table
from nas.errors import UsageError
from nas.proxy import Proxy, ProxyFn
from nas.registry import check_number, options
from nas.runs.ancestry import Ancestry
from nas.runs.command import command
from nas.runs.folder import RunFolder, default_run
from nas.runs.loop import Trial, best, run
from nas.runs.machine import MachineScores
from nas.runs.resume import resume_search
from nas.runs.versions import every_option, run_versions
from nas.scoring.limits import quantities
from nas.scoring.measurer import costs
from nas.scoring.objective import REFERENCE_SIZE, Objective, Objectives
from nas.scoring.scorer import Log, Scorer, Watch, try_out
from nas.searcher import SEARCHERS, AnySearch, Searcher, SearcherFn, as_searcher, told
from nas.space import SPACES, Arch, Space, is_leaf

DEFAULT_PROXY = "nas_rank"
"""Why: docs/results.md, "The default"."""
RANDOM = "random.jsonl"
"""The trials of random search beside another one."""
OF_EVALUATIONS = ("evaluate", "table", "target", "epochs", "truth")
"""Settings that a search which is continued may have anew: `nas.calls.evaluate` sees to it that they are the same."""


@shown_in_notebooks("searching")
def search(
    space: Space | str = "nasbench201",
    proxy: str | Proxy | ProxyFn | None = None,
    searcher: str | SearcherFn = "evolution",
    budget: int = 200,
    *,
    minimise: Sequence[str] | str = (),
    maximise: Sequence[str] | str = (),
    table: str | Path | None = None,
    target: str | None = None,
    evaluate: int | None = None,
    epochs: int = 12,
    truth: TruthFn | str | None = None,
    run_folder: str | Path | None = None,
    batch: int | None = None,
    baseline: bool = False,
    watch: Watch | None = None,
    announce: Callable[[Plan], object] = lambda plan: None,
    log: Log | None = None,
    **given: Unpack[SetupOptions],
) -> SearchResult:
    """Searches ``space`` for the architecture that ``proxy`` likes best.

    Args:
        space: a registered name, or a `Space`.
        proxy: a name, names joined with ``+``, or a function of a `nas.probe.Probe`; None is `DEFAULT_PROXY`.
        searcher: a registered strategy, or a function ``(space, rng) -> Search``.
        budget: how many architectures are proposed, repeated ones included.
        minimise, maximise: proxies whose numbers are further objectives, for a searcher that takes several.
        table: trained accuracies, written beside the best architecture; they take no part in the search.
        evaluate: how many of the networks that were scored are then evaluated for the truth, one after the other, each
            choice learning from those before (see `nas.runs.evaluation.evaluation`); the best of them is the result.
        target: the column of ``table`` that is the truth. Without it and ``truth``, networks are trained on ``data``
            and compared by their validation accuracy.
        epochs: for which they are trained.
        truth: a function of a notation that is the truth instead, larger is better; or ``FILE.py:NAME``.
        run_folder: where ``config.yaml``, ``trials.jsonl`` and ``best.yaml`` go, or ``auto`` for a folder below
            ``runs`` that is named after the settings; a run that was interrupted there is continued, without computing
            a score again.
        batch: architectures proposed at a time, which workers share; and evaluated at a time.
        baseline: score as many random architectures, too, as random search would, to be shown beside what was found.
        watch, log: told of every evaluation, ``log`` with its numbers (see `Log`); ``announce`` of the plan before.
        given: see `nas.calls.setup.SetupOptions`.

    Raises:
        UsageError: something given cannot be used; nothing has been written then.
    """
    check_number("budget", budget, 1)
    record = as_searcher(searcher)
    own = None if evaluate is not None and "batch" not in options(record.function) else batch
    settings = with_batch(given.get("settings") or {}, record, own)
    setup = Setup.of(space, dict(given) | {"settings": settings})
    with setup:
        goals = _goals(setup, proxy, _names(minimise), _names(maximise))
        request = Request(space, given, table, target, evaluate, batch or 1, epochs, truth)
        plan = _prepare(setup, record, goals, budget, run_folder, baseline, request)
        with plan.opened() as folder:
            announce(plan)
            trials, random = _run(plan, folder, watch, log)
            return _report(plan, folder, trials, random, _evaluated(plan, folder, trials, watch))


@dataclass(frozen=True)
class Plan:
    """All that a search is, before its first evaluation."""

    setup: Setup
    searcher: Searcher
    goals: Sequence[Goal]
    budget: int
    space: Space
    scorer: Scorer
    objective: Objective | Objectives
    ancestry: Ancestry
    started: tuple[AnySearch, list[Arch]]
    machine: MachineScores
    table: Table | None
    wanted: Wanted | None
    folder: Path | None
    config: dict[str, Any]
    baseline: bool
    counts: dict[Arch, dict[str, int | None]] = field(default_factory=dict)

    def opened(self) -> AbstractContextManager[RunFolder | None]:
        """The run's folder, locked, where there is one."""
        if self.folder is None:
            return nullcontext()
        return RunFolder(self.folder, self.config, free=("budget", *OF_EVALUATIONS), normalised=normalised,
                         made=self.setup.made())  # fmt: skip

    def command(self, folder: Path) -> str:
        """The one that makes this run and its page."""
        shown = {"table": None if self.table is None else self.table.given, "baseline": self.baseline}
        return command("search", self.config | shown | {"run": str(folder)})

    @property
    def title(self) -> str:
        goals = ", ".join(goal.text for goal in self.goals)
        return f"A search of {self.setup.space_name or 'a space'}: {self.searcher.name} by {goals}"


def _prepare(
    setup: Setup,
    searcher: Searcher,
    goals: Sequence[Goal],
    budget: int,
    run_folder: str | Path | None,
    baseline: bool,
    request: Request,
) -> Plan:
    _check_searcher(searcher, setup, len(goals))
    if baseline and searcher.ranks == "batch":
        raise UsageError(f"{searcher.name} ranks within its rounds, so no random search compares: leave out baseline")
    kept = setup.may_keep([goal.proxy for goal in goals], run_folder)
    if run_folder is not None and not (searcher.name in SEARCHERS and SEARCHERS[searcher.name] is searcher):
        setup.needs_no_name(f"the function {searcher.name}", run_folder)
    data = setup.minibatch()
    truth = Table(request.table, setup.space) if request.table is not None else None
    request.check(len(goals))
    scorer = setup.scorer(data=data, kept=kept)
    objectives = [Objective(scorer, goal.proxy, setup.settings, searcher.ranks, goal.sense) for goal in goals]
    try_out(scorer)
    folder, config = _folder(setup, searcher, goals, budget, scorer, objectives, run_folder, request.recorded)
    wanted = request.wanted(setup.space, truth, folder)
    measured = MachineScores(scorer, folder)
    space, ancestry = setup.limited(data.task, scorer), Ancestry()
    own = dict(setup.settings.get(searcher.name, {}))
    started = searcher.start(ancestry.noting(space), Random(setup.seed), own)
    if searcher.supernet and not setup.constraints and budget < (needed := evaluations(searcher, space, setup)):
        raise UsageError(
            f"{searcher.name} takes {needed} evaluations down to a single network of this space, more than the budget "
            f"of {budget}: give a larger --budget"
        )
    objective = objectives[0] if len(objectives) == 1 else Objectives(objectives)
    return Plan(setup, searcher, goals, budget, space, scorer, objective, ancestry, started, measured, truth, wanted,
                folder, config, baseline)  # fmt: skip


def _folder(
    setup: Setup,
    searcher: Searcher,
    goals: Sequence[Goal],
    budget: int,
    scorer: Scorer,
    objectives: Sequence[Objective],
    run_folder: str | Path | None,
    of_evaluations: Mapping[str, Any],
) -> tuple[Path | None, dict[str, Any]]:
    """The run's folder and what ``config.yaml`` holds; none where nothing is kept."""
    if run_folder is None:
        return None, {}
    proxies = [proxy for part in objectives for proxy in part.proxies]
    further = {sense: [goal.text for goal in goals if goal.sense == sense] for sense in ("minimise", "maximise")}
    config = setup.record(
        proxy=goals[0].text, searcher=searcher.name, budget=budget, minibatch=scorer.data.fingerprint,
        **{sense: texts for sense, texts in further.items() if texts},
        **of_evaluations, **setup.of_the_machine(proxies, scorer.device),
    )  # fmt: skip
    config["versions"] = setup.versions | run_versions(
        setup.space, setup.space_name, every_option(setup.space), [*proxies, *(limit.proxy for limit in setup.limits)],
        scorer.device.type, setup.plugin, searcher=searcher.function,
    )  # fmt: skip
    config["versions"] |= {name: own for objective in objectives for name, own in objective.versions.items()}
    if str(run_folder) != "auto":
        return Path(run_folder).expanduser(), config
    determining = {name: value for name, value in config.items() if name not in (*UNDETERMINING, *OF_EVALUATIONS)}
    return default_run("search", determining, config["versions"]), config


def _check_searcher(searcher: Searcher, setup: Setup, goals: int) -> None:
    space, name = setup.space, setup.space_name
    if goals > 1 and searcher.objectives == "one":
        raise UsageError(
            f"{searcher.name} takes one objective, not {goals}: leave out --minimise and --maximise, or name a "
            "searcher that takes several"
        )
    if searcher.supernet and not space.supernet:
        takes = f": it takes {space.supernet_takes}" if space.supernet_takes else ""
        raise UsageError(f"{searcher.name} walks down from a supernet, which the space {name} cannot build{takes}")
    if not all(space.slots):
        hint = f" (options: {', '.join(options(SPACES[name]))})" if name is not None else ""
        raise UsageError(
            f"the space {name} has nothing to choose from: 'nas score' ranks what you name, and --set {name}."
            f"OPTION=… lists what to search among{hint}"
        )


def _run(plan: Plan, folder: RunFolder | None, watch: Watch | None, log: Log | None) -> tuple[list[Trial], list[Trial]]:
    """The trials, written down as they are made where there is a folder; and those of random search, where these are
    wanted beside them."""
    with ExitStack() as stack:
        if folder is not None:
            plan.machine.open(stack, folder)
        trials = _trials(plan, plan.started, folder, stack, watch, log=log)
        if best(trials) is None:
            raise UsageError(_why_nothing(trials, plan))
        if not plan.baseline:
            return trials, []
        drawing = SEARCHERS["random_search"].start(plan.space, Random(plan.setup.seed), {})
        return trials, _trials(plan, drawing, folder, stack, watch, RANDOM)


def _trials(
    plan: Plan,
    started: tuple[AnySearch, list[Arch]],
    folder: RunFolder | None,
    stack: ExitStack,
    watch: Watch | None,
    name: str = "trials.jsonl",
    *,
    log: Log | None = None,
) -> list[Trial]:
    trials: list[Trial] = []
    append, winner = trials.append, None
    if folder is not None:
        append = resume_search(stack, folder, trials, plan.objective, plan.budget, watch, name)
        folder.settle(plan.config)  # the budget may have grown
    many = plan.searcher.objectives == "many" and name != RANDOM
    ancestry = plan.ancestry if name != RANDOM else Ancestry()
    what = "best" if name != RANDOM else "random search beside it: best"
    called = plan.searcher.name if name != RANDOM else "random_search"
    for trial in run(plan.space, started, plan.objective, plan.budget, ancestry, many=many, called=called):
        counted = trial._replace(**_counts(plan, trial))
        append(counted)
        winner = best([trial] if winner is None else [winner, trial])
        if watch is not None:
            watch(trial.number + 1, plan.budget, f"{what} {winner.score:.6g}" if winner else "")
        if log is not None:
            log(trial.number, _numbers(counted, winner))
    return trials


def _numbers(trial: Trial, winner: Trial | None) -> dict[str, float]:
    """What a trial tells in numbers; what it does not have is not there."""
    numbers: dict[str, float | None] = {"score": trial.score, "best": winner.score if winner else None}
    numbers |= trial.values | {name: getattr(trial, name) for name in ("params", "flops", "seconds")}
    return {name: float(value) for name, value in numbers.items() if value is not None}


def _counts(plan: Plan, trial: Trial) -> dict[str, Any]:
    """Parameters and multiply-accumulates of a trial's network; none of an open architecture, or one that does not
    run."""
    if not trial.leaf:
        return {}
    form = plan.space.canonical(plan.space.parse(trial.arch))
    if form not in plan.counts:
        try:
            cost = costs(plan.setup.space, form, plan.scorer.data)
        except UsageError:
            cost = {}
        plan.counts[form] = {name: cost.get(name) for name in ("params", "flops")}
    return plan.counts[form]


def _evaluated(
    plan: Plan, folder: RunFolder | None, trials: Sequence[Trial], watch: Watch | None
) -> Evaluations | None:
    """The evaluations that are wanted of what was scored."""
    if plan.wanted is None:
        return None
    pool = Pool.of(trials, plan.setup.space, plan.objective.proxies, plan.wanted.source)
    evaluations = evaluate_some(pool, plan.wanted, folder, watch)
    if evaluations.best is None:
        reason = evaluations.done[0].truth.reason
        raise UsageError(f"none of the {len(evaluations.done)} networks could be evaluated: {reason}")
    return evaluations


def _report(
    plan: Plan,
    folder: RunFolder | None,
    trials: list[Trial],
    random: list[Trial],
    evaluations: Evaluations | None,
) -> SearchResult:
    """The result, and its files where there is a folder."""
    winner = best(trials) if evaluations is None else evaluations.winner
    assert winner is not None
    limited = _limited(plan, [winner.arch])
    values = describe_best(
        winner, plan.space, plan.scorer.data, plan.table, {name: known[winner.arch] for name, known in limited.items()},
        None if evaluations is None else evaluations.best_numbers,
    )  # fmt: skip
    stored = sum(plan.scorer.shelved(plan.space.parse(trial.arch)) for trial in trials if not trial.cached)
    result = SearchResult.of(
        trials, values, plan.goals, plan.setup.space, plan.setup.seed, stored, plan.folder, random=random,
        referenced=REFERENCE_SIZE if plan.objective.referenced else 0,
        evaluations=None if evaluations is None else evaluations.table,
    )  # fmt: skip
    if folder is not None:
        from nas.report.search import search_report  # matplotlib takes a while to import
        from nas.report.settings import settings_section

        folder.write_yaml("best.yaml", values)
        if evaluations is not None:
            folder.write(EVALUATIONS, evaluations.table.to_csv(index=False))
        if len(plan.goals) > 1:
            folder.write("front.csv", result.front.to_csv(index=False))
        archs = list(dict.fromkeys(trial.arch for trial in trials))
        leaves = list(dict.fromkeys(trial.arch for trial in trials if trial.leaf))
        page = search_report(
            plan.title, trials, plan.space, values, plan.table.rows(archs) if plan.table is not None else None,
            {goal.text: goal.sense for goal in plan.goals}, costs=_limited(plan, leaves), random=random,
            made=settings_section(plan.config, plan.command(folder.path), folder.made),
            evaluations=None if evaluations is None else (evaluations.source.column, evaluations.table),
        )  # fmt: skip
        folder.write("report.html", page)
    return result


MAX_DRY_RUN = 20_000
"""Evaluations after which a searcher is not asked on how many more it would take."""


def _limited(plan: Plan, archs: Sequence[str]) -> dict[str, dict[str, float]]:
    """By name what is limited, but the counts that every trial has, of these architectures, all of which are known."""
    space, limits = plan.setup.space, [limit for limit in plan.setup.limits if limit.proxy.name not in Trial._fields]
    if not limits:  # of networks without one it is not known that they can be made
        return {}
    forms = {arch: space.canonical(space.parse(arch)) for arch in archs}
    amounts = {arch: quantities(space, forms[arch], limits, plan.scorer.data.task, plan.scorer) for arch in archs}
    return {limit.proxy.name: {arch: amounts[arch][limit.proxy.name] for arch in archs} for limit in limits}


def evaluations(searcher: Searcher, space: Space, setup: Setup) -> int:
    """How many proposals a searcher that walks down from the supernet makes until there is a single network among them;
    a dry run, in which all score alike."""
    search, proposals = searcher.start(space, Random(0), dict(setup.settings.get(searcher.name, {})))
    total = 0
    while proposals and total < MAX_DRY_RUN:
        total += len(proposals)
        if any(map(is_leaf, proposals)):
            break
        proposals = told(search, [(0.0,) if searcher.objectives == "many" else 0.0] * len(proposals))
    return total


def _goals(
    setup: Setup, proxy: str | Proxy | ProxyFn | None, minimise: Sequence[str], maximise: Sequence[str]
) -> list[Goal]:
    first = setup.named(DEFAULT_PROXY, say=False) if proxy is None else setup.named(proxy)
    further = [Goal(setup.named(name), "minimise") for name in minimise]
    return [Goal(first), *further, *(Goal(setup.named(name), "maximise") for name in maximise)]


def _names(given: Sequence[str] | str) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _why_nothing(trials: Sequence[Trial], plan: Plan) -> str:
    if not any(trial.leaf for trial in trials):
        if getgeneratorstate(plan.started[0]) == GEN_CLOSED:
            return f"the searcher {plan.searcher.name} ended after {len(trials)} evaluations, none of a single network"
        return (
            f"the budget of {plan.budget} evaluations ends before a single network is reached: give a larger --budget"
        )
    reasons = [trial.reason for trial in trials if trial.leaf]
    common = max(set(reasons), key=reasons.count)
    return f"none of the {len(reasons)} networks could be scored; mostly: {common}"
