"""The call `nas.train`: prepare, run, report."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import nn

from nas.calls.modules import Modules
from nas.calls.options import DEFAULTS, SetupOptions
from nas.calls.result import load
from nas.calls.settings import as_list, parse, proxy_expression
from nas.calls.setup import LOG, Setup, normalised
from nas.calls.trained import TrainResult
from nas.calls.watching import shown_in_notebooks
from nas.data.opening import source_name
from nas.data.splits import PARTS, Splits, splits
from nas.errors import UsageError
from nas.registry import check_number, normal
from nas.runs.command import command
from nas.runs.folder import RunFolder, default_run, read_yaml
from nas.runs.versions import run_versions
from nas.scoring.limits import Limited
from nas.scoring.measurer import resolve_device
from nas.scoring.objective import Objective
from nas.scoring.scorer import Log
from nas.space import Arch, Space, is_leaf
from nas.training.draw import drawn, spread
from nas.training.events import check_tensorboard
from nas.training.network import Conditions, Trained
from nas.training.recipe import Recipe, recipe_of
from nas.training.several import Job, Plan, RunWatch, log_epoch, train_here, train_in_processes
from nas.training.table import TABLE, enlisted, jobs_in, table_of

WITHOUT = ("store", "ray", "timeout")
"""Options of a setup that mean nothing to training."""
UNDETERMINING = ("images", "plugin_source", "versions")
"""What ``config.yaml`` holds that has no part in the name of a run folder."""
MAX_NAMED = 6
"""The most architectures that the command on a page names."""


@shown_in_notebooks("training")
def train(
    space: Space | str | None = None,
    archs: Sequence[str | nn.Module] | str | nn.Module | int = (),
    *,
    run: str | Path | None = None,
    spread_by: str | None = None,
    epochs: int = 12,
    optimiser: str = "auto",
    lr: float | None = None,
    weight_decay: float | None = None,
    label_smoothing: float = 0.0,
    augment: Sequence[str] | str = "auto",
    out: str | Path | None = None,
    events: bool = False,
    watch: RunWatch | None = None,
    log: Log | None = None,
    **given: Unpack[SetupOptions],
) -> TrainResult:
    """Trains architectures on all images of ``data``, and tests each once.

    What is kept apart for validation and testing, and how else it is drawn by the seed, says `nas.data.splits.splits`;
    how it is trained, `nas.training.recipe.Recipe`.

    Args:
        space: a registered name, or a `Space`; that of ``run``, or ``nasbench201``, where it is not given.
        archs: notations; networks, with the weights that they have, in the space ``networks``; or how many different
            architectures to draw by the seed.
        run: the folder of a search, whose best architecture is trained, on its data where none are given.
        spread_by: of architectures that are drawn, a proxy over whose quantiles they spread.
        epochs, optimiser, lr, weight_decay, label_smoothing, augment: see `nas.training.recipe.Recipe`.
        out: the folder that keeps weights, histories and ``table.csv``, or ``auto`` for one that is named after the
            settings. What was interrupted there is continued, and further architectures are added.
        events: write TensorBoard's events there, too.
        watch: told how many steps are done of how many.
        log: called with the number of each epoch, counted over all networks, and its row of ``history.csv``; with
            workers, when a network is done.
        given: see `nas.calls.setup.SetupOptions`; no store. ``batch_size`` and ``precision`` are by default those that
            suit the data and the device; constraints limit what is drawn.

    Raises:
        UsageError: something given cannot be used, or none of the networks could be trained.
    """
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    named = _named(archs)
    if run is not None:
        space, options, best = _from_run(run, space, options)
        named = named or [best]
    setup = _setup(space, named, options, out, events)
    parts = splits(setup.data, setup.seed)
    recipe = recipe_of(
        len(parts.train), parts.task, epochs=epochs, batch_size=options.get("batch_size"), optimiser=optimiser, lr=lr,
        weight_decay=weight_decay, label_smoothing=label_smoothing, augment=augment, precision=setup.precision,
        seed=setup.seed,
    )  # fmt: skip
    with replace(setup, batch_size=recipe.batch_size) as setup:
        plan = _prepare(setup, parts, recipe, _archs(setup, parts, named, spread_by, watch), out, events)
        with plan.opened() as folder:
            return _report(plan, folder, _run(plan, folder, watch, log))


class NothingTrained(UsageError):
    """None of the networks could be trained.

    Attributes:
        failures: see `nas.calls.trained.TrainResult`.
    """

    def __init__(self, result: TrainResult) -> None:
        super().__init__(result.why_nothing)
        self.failures = result.failures


def train_some(
    space: Space | str, archs: Sequence[str] | int, options: SetupOptions, *, out: str | Path | None, epochs: int,
    watch: RunWatch | None = None,
) -> TrainResult:  # fmt: skip
    """`train` for a call that has a `SetupOptions` of its own: what these say of scoring is left out, limits where the
    architectures are named, and workers where nothing is kept."""
    without = {*WITHOUT, "batch_size", "precision", *(() if isinstance(archs, int) else ("constraints",))}
    without |= {"workers"} if out is None else set()
    own: Any = {name: value for name, value in options.items() if name not in without}
    if isinstance(own.get("data"), str) and own["data"] == DEFAULTS["data"]:
        del own["data"]  # nothing can be learned of it
    return train(space, archs, epochs=epochs, out=out, watch=watch, **own)


Named = list[str | nn.Module] | int
"""The architectures that a call names, or how many it wants drawn."""


@dataclass(frozen=True)
class Trainings:
    """All that a run is, before its first step."""

    setup: Setup
    conditions: Conditions
    archs: Sequence[Arch]
    folder: Path | None
    config: dict[str, Any]

    def opened(self) -> AbstractContextManager[RunFolder | None]:
        """The run's folder, locked, where there is one."""
        if self.folder is None:
            return nullcontext()
        return RunFolder(
            self.folder, self.config, normalised=normalised, option="--out", compares=False, made=self.setup.made()
        )

    def command(self, archs: Sequence[str]) -> str:
        """The one that trains these architectures; up to `MAX_NAMED` of them are named."""
        if self.config.get("space") is None:
            return ""
        named = archs if len(archs) <= MAX_NAMED else ("ARCH", "…")
        options = {name: None if value == "auto" else value for name, value in self.config.items()}
        return command("train", options | {"out": str(self.folder)}, named)

    def plan(self) -> Plan:
        """What workers are told."""
        setup, recipe = self.setup, self.conditions.recipe
        return Plan(
            space=setup.space_name or "", options=setup.settings.get(setup.space_name or "", {}),
            plugins=tuple(str(Path(file).expanduser().resolve()) for file in setup.plugin),
            data=source_name(setup.data) or "", recipe=recipe, device=str(self.conditions.device),
            events=self.conditions.events, folder=os.getcwd(),
            threads=max(1, torch.get_num_threads() // (setup.workers or 1)),
        )  # fmt: skip


def _named(archs: Sequence[str | nn.Module] | str | nn.Module | int) -> Named:
    if isinstance(archs, int):
        check_number("archs", archs, 1)
        return archs
    requested = [archs] if isinstance(archs, nn.Module) else as_list(archs)
    if not isinstance(requested, Sequence) or not all(isinstance(arch, str | nn.Module) for arch in requested):
        raise UsageError(f"archs takes notations, networks or a number, not {archs!r}")
    return list(requested)


def _from_run(run: str | Path, space: Space | str | None, options: dict[str, Any]) -> tuple[str, dict[str, Any], str]:
    """The space, the options and the best architecture of a search, where they are not given."""
    result = load(run, options.get("plugin", ()))
    config = read_yaml(Path(run).expanduser() / "config.yaml")
    if space is not None and space != config["space"] and normal(str(space)) != normal(str(config["space"])):
        raise UsageError(f"{run} is a search of the space {config['space']}, not {space}")
    settings = {**(config.get("set") or {}), **options.get("settings", {})}
    return str(config["space"]), {"data": config["data"]} | options | {"settings": settings}, result.best.arch


def _setup(
    space: Space | str | None, named: Named, options: Mapping[str, Any], out: str | Path | None, events: bool
) -> Setup:
    if events:
        check_tensorboard()
    modules = [arch for arch in named if isinstance(arch, nn.Module)] if isinstance(named, list) else []
    if modules and (len(modules) < len(named) or space not in (None, "networks")):  # type: ignore[arg-type]
        raise UsageError("networks are trained in the space 'networks', and not together with notations")
    if "data" not in options:
        raise UsageError("no data were named to train on: --data takes a folder of images, a file, or another source")
    setup = Setup.of(Modules(modules) if modules else space or "nasbench201", options, without=WITHOUT)
    setup.check_images("trained")
    if setup.constraints and not isinstance(named, int):
        raise UsageError("constraints limit what --archs N draws: leave them out for architectures that are named")
    if setup.space_name is None or source_name(setup.data) is None:
        what = "data that were handed over have" if setup.space_name is not None else "a Space that was handed over has"
        if out is not None or setup.workers is not None:
            raise UsageError(
                f"{what} no name that another process could find, so training goes without a folder and workers"
            )
    elif setup.workers is not None and out is None:
        raise UsageError("workers keep what they train in a folder: name one with out")
    if "precision" not in options and (device := resolve_device(setup.device)).type == "cuda":
        setup = replace(setup, precision="bfloat16" if torch.cuda.is_bf16_supported() else "float16")
        LOG.info("training: in mixed precision (%s) on %s", setup.precision, device)
    return setup


def _prepare(
    setup: Setup,
    parts: Splits,
    recipe: Recipe,
    archs: Sequence[Arch],
    out: str | Path | None,
    events: bool,
) -> Trainings:
    for note in parts.notes:
        LOG.info("data: %s", note)
    how = " and ".join({"flip": "flipped", "crop": "cropped"}[name] for name in recipe.augment)
    LOG.info("training: images are %s; --augment says otherwise", how or "shown as they are")
    config: dict[str, Any] = {}
    folder = None
    if out is not None:
        config = _config(setup, parts, recipe)
        config["versions"] = _versions(setup, archs)
        folder = Path(out).expanduser()
        if str(out) == "auto":
            determining = {name: value for name, value in config.items() if name not in UNDETERMINING}
            folder = default_run("train", determining, config["versions"])
    if not archs and (folder is None or not jobs_in(folder)):
        raise UsageError(
            "no architecture was named: name some, or draw some with --archs N, or give a search with --run"
        )
    conditions = Conditions(setup.space, parts, recipe, resolve_device(setup.device), events)
    return Trainings(setup, conditions, archs, folder, config)


def _archs(setup: Setup, parts: Splits, named: Named, spread_by: str | None, watch: RunWatch | None) -> list[Arch]:
    if isinstance(named, list):
        if spread_by is not None:
            raise UsageError("a proxy spreads what --archs N draws: leave it out for architectures that are named")
        texts = [*setup.space.slots[0]] if isinstance(setup.space, Modules) else map(str, named)
        archs = [parse(setup.space, text) for text in texts]
        for arch in archs:
            if not is_leaf(arch):
                raise UsageError(f"{setup.space.text(arch)} leaves options open: training takes single networks")
        return archs
    if not all(setup.space.slots):
        raise UsageError(f"the space {setup.space_name} has nothing to draw from: name what to train")
    if any(limit.proxy.machine for limit in setup.limits):
        raise UsageError(
            "what is drawn to be trained has to be drawn again alike, so limits on the latency or the memory of this "
            "machine have no say in it: search under them, and train what was found"
        )
    looked_up = setup.scorer(kept=False) if setup.costs else None
    space = Limited(setup.space, setup.limits, parts.task, looked_up) if setup.constraints else setup.space
    if spread_by is None:
        return drawn(space, named, setup.seed)
    expression = proxy_expression(spread_by)
    objective = Objective(setup.scorer(kept=setup.may_keep([expression])), expression, setup.settings)

    def values(pool: Sequence[Arch]) -> list[float | None]:
        scores: list[float | None] = []
        for outcome in objective(pool):
            scores.append(outcome.score if outcome.status == "ok" else None)
            if watch is not None:
                watch(len(scores), len(pool), "architectures to draw from")
        return scores

    return spread(space, named, setup.seed, values)


def _config(setup: Setup, parts: Splits, recipe: Recipe) -> dict[str, Any]:
    rates = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    settled = {name: value for name, value in rates.items() if value is not None}
    config = setup.record(
        epochs=recipe.epochs, optimiser=recipe.optimiser, **settled, label_smoothing=recipe.label_smoothing,
        augment=",".join(recipe.augment) or "none",
    )  # fmt: skip
    del config["constraint"]  # it has a say in what is drawn, none in how that is trained
    return config | {"images": _fingerprint(parts)}


def _versions(setup: Setup, archs: Sequence[Arch]) -> dict[str, str]:
    device = resolve_device(setup.device).type
    return run_versions(setup.space, setup.space_name, archs, (), device, setup.plugin)


def _fingerprint(parts: Splits) -> str:
    """A hash of the labels of all images, of how they are split, and of the mean and standard deviation of those to
    train on."""
    digest = hashlib.sha256(repr((parts.task, parts.classes)).encode())
    for name in PARTS:
        part = getattr(parts, name)
        for numbers in (part.labels.numpy(), part.places, part.standard.mean, part.standard.std):
            digest.update(numbers.tobytes())
    return digest.hexdigest()[:16]


def _run(plan: Trainings, folder: RunFolder | None, watch: RunWatch | None, log: Log | None) -> list[Trained]:
    """What became of the architectures, those before in the folder included; its table is written as they are done."""
    space = plan.setup.space
    forms = dict.fromkeys(space.canonical(arch) for arch in plan.archs)
    if folder is None:
        firsts = {space.canonical(arch): arch for arch in reversed(plan.archs)}
        jobs = [Job(space.text(firsts[form]), None) for form in forms]
    else:
        jobs = enlisted(folder, space, plan.archs)
        all_of_them = [parse(space, job.text) for job in jobs]
        folder.settle(plan.config | {"versions": _versions(plan.setup, all_of_them)})
    finished = {number: result for number, job in enumerate(jobs) if (result := _known(job)) is not None}
    wanted = [n for n, job in enumerate(jobs) if not forms or space.canonical(parse(space, job.text)) in forms]
    left = [number for number in wanted if number not in finished]
    if left and folder is not None:
        folder.note_made()
    ask = [jobs[number] for number in left]
    if plan.setup.workers is not None and folder is not None:
        trainings = train_in_processes(plan.plan(), ask, plan.setup.workers, watch)
    else:
        trainings = train_here(plan.conditions, ask, watch, log)
    for number, trained in trainings:
        if log is not None and trained.trained and plan.setup.workers is not None and folder is not None:
            for row in trained.history():
                log_epoch(log, number, plan.conditions.recipe.epochs, row)
        finished[left[number]] = trained
        if folder is not None:
            table = table_of(finished[n].result for n in sorted(finished))
            folder.write(TABLE, table.to_csv(index=False))
    if not any(finished[number].trained for number in wanted):
        raise NothingTrained(TrainResult.of(space, [finished[number] for number in wanted]))
    return [finished[number] for number in sorted(finished)]


def _known(job: Job) -> Trained | None:
    result = job.folder.result() if job.folder is not None else None
    return None if result is None else Trained(result, job.folder)


def _report(plan: Trainings, folder: RunFolder | None, trained: Sequence[Trained]) -> TrainResult:
    """The result, and its files where there is a folder."""
    result = TrainResult.of(plan.setup.space, trained, plan.folder)
    if folder is not None:
        from nas.report.settings import settings_section  # matplotlib takes a while to import
        from nas.report.training import training_report

        histories = {one.result["arch"]: one.history() for one in trained if one.trained}
        title = f"Trained networks of {plan.setup.space_name}"
        made = settings_section(plan.config, plan.command(list(histories)), folder.made)
        page = training_report(title, result.table, result.failures, histories, made)
        folder.write("report.html", page)
        folder.write(TABLE, result.table.to_csv(index=False))
    return result
