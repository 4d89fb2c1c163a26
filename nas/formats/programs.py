"""A network as a program of ``torch.export``, and as ONNX."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from nas.errors import UsageError
from nas.formats.agreement import Free, Run, random_images, runs
from nas.formats.card import ModelCard
from nas.scoring.measurer import reason_of
from nas.space import Task

CARD = "card.json"
"""The facts about the network in a ``.pt2`` file."""
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
DIMENSIONS = {0: "batch", 2: "height", 3: "width"}
INPUT, OUTPUT = "images", "logits"


def write_program(net: nn.Module, task: Task, write: Callable[[ExportedProgram], None]) -> Free:
    """Passes the network's program to ``write``; returns the dimensions that it leaves free, as many as the network's
    code and the format allow.

    Raises:
        UsageError: it cannot be traced or written, not even for one image of one size.
    """
    reason = ""
    for free in (Free(), Free(size=False), Free(batch=False, size=False)):
        images = torch.zeros(2 if free.batch else 1, task.channels, task.size, task.size)
        chosen = {0: Dim.DYNAMIC} if free.batch else {}
        chosen |= {2: Dim.DYNAMIC, 3: Dim.DYNAMIC} if free.size else {}
        try:
            with without_warnings():
                program = torch.export.export(net, (images,), dynamic_shapes=(chosen,))
            run = running(program)
            if all(runs(run, batch) for batch in random_images(task, free, net)):
                write(program)
                return free
        except Exception as error:  # the tracer raises all sorts for code that it cannot follow
            reason = reason or reason_of(error)
    raise UsageError(f"the network cannot be written as a program of torch.export: {reason or 'it runs on no images'}")


def running(program: ExportedProgram) -> nn.Module:
    """A program as a module that runs it."""
    with without_warnings():
        return program.module()


def save_program(program: ExportedProgram, card: ModelCard, path: Path) -> None:
    """Writes a ``.pt2`` file, without the paths of this machine that the tracer noted."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    with without_warnings():
        torch.export.save(program, path, extra_files={CARD: json.dumps(card.texts(), ensure_ascii=False)})


def load_program(path: Path) -> Run:
    """The function that a ``.pt2`` file holds."""
    with without_warnings():
        return running(torch.export.load(path))


def check_onnx() -> None:
    """`UsageError` where ONNX is not installed."""
    if missing := [name for name in ONNX_PACKAGES if find_spec(name) is None]:
        raise UsageError(f"ONNX takes {' and '.join(missing)}: pip install 'gradalign-nas[onnx]'")


def save_onnx(program: ExportedProgram, card: ModelCard, path: Path) -> None:
    """Writes an ``.onnx`` file with the weights in it, its dimensions under their names; ``ValueError`` where an
    operation has no counterpart in ONNX."""
    import onnx

    try:
        with without_warnings():
            exported: Any = torch.onnx.export(
                program, (), None, dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT]
            )
        model = exported.model_proto
    except Exception as error:  # the converter's own errors have no common type
        raise ValueError(f"it has no form in ONNX: {reason_of(error)}") from error
    names = {
        dimension.dim_param: DIMENSIONS[place]
        for place, dimension in enumerate(model.graph.input[0].type.tensor_type.shape.dim)
        if dimension.dim_param
    }
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        named = [dimension for dimension in value.type.tensor_type.shape.dim if dimension.dim_param]
        for dimension in named:  # to set the name of another one would take its number away
            for symbol, name in names.items():
                dimension.dim_param = re.sub(rf"\b{symbol}\b", name, dimension.dim_param)
    for node in model.graph.node:
        del node.metadata_props[:]  # where in which file of this machine the tracer met it
    for name, text in card.texts().items():
        model.metadata_props.add(key=name, value=text)
    onnx.save(model, str(path))


def load_onnx(path: Path) -> Run:
    """The function that an ``.onnx`` file holds."""
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    return run


@contextmanager
def without_warnings() -> Iterator[None]:
    """A context without warnings: the exporters warn of their own use of deprecated functions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
