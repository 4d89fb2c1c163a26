"""A network of every space as source, as a program and as ONNX: what a process without this project gets from it."""

from importlib.util import find_spec
from random import Random

import pytest
import torch
from cases import OF_TOKENS
from exported import outputs_elsewhere, own_outputs

import nas
from nas import plugins
from nas.space import SPACES, Task

plugins.load()
SMALL = {
    "autoformer": {"patch": 4, "depths": (2,), "hidden_dims": (24,), "num_heads": (1, 2)},
    "cells": {"widths": (4, 8), "repeats": 1},
    "darts": {"width": 4, "depth": 3},
    "mnasnet": {"widths": (4, 4, 6, 8, 8, 8, 8), "stem": 4, "last": 8},
    "multi_resolution": {"widths": (8, 16), "stems": (8,), "most": 1},
    "nasbench101": {"stem": 8, "modules": 1},
    "nasbench201": {"widths": (4, 8), "repeats": 1},
    "nasbench_macro": {"width": 4, "last": 16},
    "nats_sss": {"widths": (4, 8)},
    "nds_resnet": {"depths": (1,), "widths": (8, 16)},
    "nds_resnext": {"depths": (1,), "stem": 8},
    "transnas_micro": {"width": 4, "macro": "4"},
}
STEEP = ("mnasnet", "multi_resolution", "nasbench_macro", "transnas_micro")
"""Make single pixels of images of 8 x 8, at which a program fixes the size that it was made for."""
NDS_CELLS = {"widths": (4,), "depths": (3,)}
FAMILIES = ("autoformer", "mnasnet", "nasbench101", "nasbench201", "nds_darts")
"""A space of each way to build, for the formats that take a second a network."""
SPACES_WITH_CHOICES = [name for name in SPACES if name not in ("networks", *OF_TOKENS)]
ONNX = find_spec("onnx") is not None and find_spec("onnxscript") is not None and find_spec("onnxruntime") is not None
IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def options(name):
    return SMALL.get(name, NDS_CELLS)


@pytest.fixture(
    scope="module", params=[".py", *(pytest.param(suffix, marks=pytest.mark.long) for suffix in (".pt2", ".onnx"))]
)
def exported(request, tmp_path_factory):
    """By space, what was exported of it, the network, and what the file gives elsewhere."""
    if request.param == ".onnx" and not ONNX:
        pytest.skip("ONNX is not installed: pip install 'gradalign-nas[onnx]'")
    folder = tmp_path_factory.mktemp("exported")
    nets, done = {}, {}
    images, labels = IMAGES.numpy(), [0, 1, 2]
    data = (images.repeat(10, 0), labels * 10)
    for name in SPACES_WITH_CHOICES if request.param == ".py" else FAMILIES:
        space = SPACES[name](**options(name))
        arch = space.text(space.sample(Random(3)))
        settings = {name: options(name)}
        done[name] = nas.export(arch, folder / f"{name}{request.param}", space=name, data=data, settings=settings)
        form = space.text(space.canonical(space.parse(arch)))
        nets[name] = nas.build(name, form, 3, 3, 8, settings=settings).eval()
    outputs = outputs_elsewhere([done[name].files[0] for name in nets], IMAGES)
    return request.param, done, nets, dict(zip(nets, outputs, strict=True))


def test_every_space_is_here():
    assert {name for name in SPACES if name.partition("_")[0] in ("nds", *SMALL)} | set(SMALL) >= set(
        SPACES_WITH_CHOICES
    )


def test_elsewhere_it_gives_the_same(exported):
    suffix, done, nets, outputs = exported
    for name, net in nets.items():
        expected = own_outputs(net, IMAGES)
        tolerance = 0 if suffix == ".py" else 1e-5 * max(1.0, float(expected.abs().max()))
        assert float((outputs[name] - expected).abs().max()) <= tolerance, name
        assert done[name].difference <= 10 * tolerance, name


def test_the_number_of_images_is_free(exported):
    suffix, done, _, _ = exported
    for name in done:
        assert done[name].free.batch, name
        assert done[name].free.size == (name != "autoformer" and (suffix == ".py" or name not in STEEP)), name


def test_sources_are_readable(exported):
    suffix, done, nets, _ = exported
    if suffix != ".py":
        return
    for name, export in done.items():
        text = export.files[0].read_text()
        lines = [line for line in text.splitlines() if line != f"{export.card.name}."]  # the notation, to be copied
        assert max(map(len, lines)) <= 120, name
        assert "nas" not in {
            line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import", "from"))
        }
        weights = torch.load(export.files[1], weights_only=True)
        assert {key: value.shape for key, value in weights.items()} == {
            key: value.shape for key, value in nets[name].state_dict().items()
        }
    assert Task(3, 3, 8) == done["nasbench201"].card.task
