"""The call `nas.export`: a network as a file that runs without this project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from nas.calls.modules import Modules
from nas.calls.options import ELSEWHERE, SetupOptions
from nas.calls.result import SearchResult, load
from nas.calls.settings import parse
from nas.calls.setup import LOG, Setup
from nas.calls.trained import is_training, read_trained
from nas.data.splits import Splits, splits
from nas.errors import UsageError, unknown
from nas.files import check_writable
from nas.formats.agreement import Free, Run, largest_difference, random_images, runs
from nas.formats.card import ModelCard
from nas.formats.logits import logits_alone
from nas.formats.programs import check_onnx, load_onnx, load_program, save_onnx, save_program, write_program
from nas.formats.python import import_file, source_of, weights_for
from nas.formats.sources import NoSource
from nas.registry import normal
from nas.runs.folder import CONFIG, NETWORKS, read_yaml
from nas.scoring.measurer import build, reason_of
from nas.space import Space, Task, is_leaf
from nas.training.checkpoint import read_weights, write_weights

FORMATS = (".py", ".pt2", ".onnx")
WITHOUT = ("batch_size", "device", "precision", *ELSEWHERE)
COMPARED_IMAGES = 32
"""Images of the data on which the file is compared with the network."""
DEFAULT_TASK = Task(classes=10, channels=3, size=32)
"""What a network is made for where neither data nor a run say otherwise."""


@dataclass(frozen=True)
class Export:
    """What `nas.export` returns.

    Attributes:
        files: the files written; the first is the one that was named.
        card: facts about the network, which are in the file too.
        weights: where they come from, in words.
        free: which dimensions of its input the file leaves free.
        difference: the largest between a logit of the file and of the network.
        compared: the images on which they were compared, in words.
    """

    files: tuple[Path, ...]
    card: ModelCard
    weights: str
    free: Free
    difference: float
    compared: str


def export(
    arch: str | nn.Module | None = None,
    out: str | Path = "net.py",
    *,
    space: Space | str | None = None,
    run: str | Path | None = None,
    weights: str | Path | None = None,
    **options: Unpack[SetupOptions],
) -> Export:
    """Writes a network as a file that runs without this project, in evaluation mode, and compares their logits.

    Args:
        arch: in any notation of the space; or a network. Without one, the best of ``run``.
        out: a file ``.py`` (PyTorch source, with the weights in the ``.pt`` beside it), ``.pt2`` (`torch.export`) or
            ``.onnx``. A file whose logits are not those of the network is not kept.
        space: a registered name, or a `Space`; that of ``run``, or ``nasbench201``, where it is not given.
        run: the folder of `nas.train`, whose weights are taken, or of a search.
        weights: a state dictionary, in place of those of the run or of the initial ones.
        options: see `nas.calls.setup.SetupOptions`. Data say what the network takes and tells apart, and give images to
            compare with; the seed is that of the initial weights.

    Raises:
        UsageError: something given cannot be used, or the network cannot be written in this form with the same logits.
    """
    named_options = {name: value for name, value in options.items() if value is not None}
    path = _checked(Path(out).expanduser())
    subject = _from_run(run, arch, space, named_options) if run is not None else _from_arch(arch, space, named_options)
    if weights is not None:
        file = Path(weights).expanduser()
        try:
            subject.net.load_state_dict(read_weights(file))
        except RuntimeError as error:
            raise UsageError(f"{file} holds the weights of another network than {subject.card.name}: "
                             f"{' '.join(str(error).split())[:300]}") from None  # fmt: skip
        subject = replace(subject, weights=f"those of {file}")
    return _written(subject, path)


@dataclass(frozen=True)
class Subject:
    """A network to export.

    Attributes:
        images: of the data, where there are some.
    """

    net: nn.Module
    card: ModelCard
    weights: str
    images: Tensor | None


def _checked(out: Path) -> Path:
    if out.suffix.lower() not in FORMATS:
        raise unknown("format", out.suffix or str(out), FORMATS)
    check_writable(out)
    beside = out.with_suffix(".pt")
    if out.suffix.lower() == ".py" and beside.exists() and not out.exists():  # else it is that of an earlier export
        raise UsageError(f"{beside} exists already, and the weights of {out} would replace it: name another file")
    if out.suffix.lower() == ".onnx":
        check_onnx()
    return out


def _from_arch(arch: str | nn.Module | None, space: Space | str | None, options: Mapping[str, Any]) -> Subject:
    """An architecture with its initial weights, or a network with those that it has."""
    if arch is None:
        raise UsageError("no architecture was named: name one, or the folder of a run")
    if isinstance(arch, nn.Module):
        where: Space | str = Modules([arch])
    else:
        where = space if space is not None else "nasbench201"
    setup = Setup.of(where, options, without=WITHOUT)
    setup.check_images("exported")
    parsed = ((0,),) if isinstance(arch, nn.Module) else parse(setup.space, arch)
    if not is_leaf(parsed):
        raise UsageError(f"{arch} leaves options open: a single network is exported")
    parts = splits(setup.data, setup.seed) if "data" in options else None
    if parts is None:
        LOG.info("export: no data say otherwise, so the network is made for %d classes and images of %d x %d x %d",
                 DEFAULT_TASK.classes, DEFAULT_TASK.channels, DEFAULT_TASK.size, DEFAULT_TASK.size)  # fmt: skip
    task = DEFAULT_TASK if parts is None else parts.task
    try:
        net = build(setup.space, setup.space.canonical(parsed), task, setup.seed)
    except Exception as error:  # whatever a space or a user's network raises
        raise UsageError(f"{setup.space.text(parsed)} cannot be built: {reason_of(error)}") from error
    whose = "its own" if isinstance(arch, nn.Module) else f"the initial ones of seed {setup.seed}"
    return Subject(net, _card(setup.space.text(parsed), task, parts, setup.space_name), whose, _images(parts))


def _from_run(
    run: str | Path, arch: str | nn.Module | None, space: Space | str | None, options: dict[str, Any]
) -> Subject:
    """The best network of a run, or the one that is named."""
    config = read_yaml(Path(run).expanduser() / "config.yaml")
    if space is not None and (not isinstance(space, str) or normal(space) != normal(str(config.get("space")))):
        raise UsageError(f"{run} is a run of the space {config.get('space')}: leave the space out")
    if isinstance(arch, nn.Module):
        raise UsageError("a network is exported without a run")
    if not is_training(config):
        result = load(run, options.get("plugin", ()))
        if (evaluated := _evaluated(Path(run).expanduser() / NETWORKS, result, arch, options)) is not None:
            return evaluated
        settings = {**(config.get("set") or {}), **options.get("settings", {})}
        merged = {"data": config["data"], "seed": config["seed"]} | options | {"settings": settings}
        return _from_arch(result.best.arch if arch is None else arch, str(config["space"]), merged)
    trained = read_trained(run, options.get("plugin", ()))
    facts = trained.training(arch).result
    parts = _data_of(run, config, options, Task(**facts["task"]))
    about = {"space": str(config["space"]), "validation accuracy": f"{facts['valid_accuracy']} %",
             "test accuracy": f"{facts['test_accuracy']} %"}  # fmt: skip
    card = ModelCard(facts["arch"], Task(**facts["task"]), facts["classes"], facts["mean"], facts["std"], about)
    whose = f"trained, of epoch {facts['best_epoch']} of {facts['epochs']}"
    return Subject(trained.network(arch), card, whose, _images(parts))


def _evaluated(networks: Path, result: SearchResult, arch: str | None, options: dict[str, Any]) -> Subject | None:
    """The network of a search, with the weights that it got where it was evaluated; None where it was not trained."""
    if not (networks / CONFIG).is_file():
        return None
    space, chosen = result.space, result.best.arch if arch is None else arch
    form = space.canonical(parse(space, chosen))
    trained = read_trained(networks, options.get("plugin", ()))
    if form not in {space.canonical(parse(space, text)) for text in trained.table["arch"]}:
        return None
    return _from_run(networks, chosen, None, options)


def _data_of(run: str | Path, config: Mapping[str, Any], options: Mapping[str, Any], task: Task) -> Splits | None:
    """The data in ``options``, or those of the run if they can still be read."""
    if "data" in options:
        parts = splits(options["data"], config["seed"])
        if parts.task != task:
            raise UsageError(f"{run} was trained on {task}, not on {parts.task}")
        return parts
    try:
        return splits(config["data"], config["seed"])
    except UsageError as error:
        LOG.info("export: the data of %s cannot be read again, so the comparison is without them: %s", run, error)
        return None


def _card(name: str, task: Task, parts: Splits | None, space: str | None) -> ModelCard:
    about = {} if space is None else {"space": space}
    if parts is None:
        channels = task.channels
        return ModelCard(name, task, [str(n) for n in range(task.classes)], [0.0] * channels, [1.0] * channels, about)
    standard = parts.train.standard
    return ModelCard(name, task, parts.classes, standard.mean.tolist(), standard.std.tolist(), about)


def _images(parts: Splits | None) -> Tensor | None:
    return None if parts is None else parts.test.images(torch.arange(min(COMPARED_IMAGES, len(parts.test))))


def _written(subject: Subject, out: Path) -> Export:
    """The file, written beside its place and moved there after the comparison with the network."""
    task = subject.card.task
    net = logits_alone(subject.net.cpu().float(), task)
    with TemporaryDirectory(dir=out.absolute().parent, prefix=".nas-export-") as folder:
        target = Path(folder) / out.name
        run, free = {".py": _python, ".pt2": _program, ".onnx": _onnx}[out.suffix.lower()](net, subject.card, target)
        own = [] if subject.images is None else torch.split(subject.images, COMPARED_IMAGES if free.batch else 1)
        difference = largest_difference(net, run, chain(random_images(task, free, net), own))
        files = []
        written = (file for file in Path(folder).iterdir() if file.is_file())  # but no compiled source
        for file in sorted(written, key=lambda file: file != target):
            files.append(out.with_name(file.name))
            file.replace(files[-1])
    compared = "on random images" + ("" if subject.images is None else f" and {len(subject.images)} of the data")
    return Export(tuple(files), subject.card, subject.weights, free, difference, compared)


def _python(net: nn.Module, card: ModelCard, file: Path) -> tuple[Run, Free]:
    try:
        file.write_text(source_of(net, card), encoding="utf-8")
    except NoSource as reason:
        raise UsageError(f"{card.name} cannot be written as source ({reason}): export it as .pt2 or .onnx") from None
    module = import_file(file)
    write_weights(file.with_suffix(".pt"), weights_for(net, module.network()))
    loaded = module.load()
    size = 2 * card.task.size
    return loaded, Free(size=runs(net, torch.zeros(2, card.task.channels, size, size)))


def _program(net: nn.Module, card: ModelCard, file: Path) -> tuple[Run, Free]:
    free = write_program(net, card.task, partial(save_program, card=card, path=file))
    return load_program(file), free


def _onnx(net: nn.Module, card: ModelCard, file: Path) -> tuple[Run, Free]:
    free = write_program(net, card.task, partial(save_onnx, card=card, path=file))
    return load_onnx(file), free
