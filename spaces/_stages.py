"""Residual networks of three stages, each with a depth, a width and more: the ResNet spaces of NDS."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import networkx as nx
from torch import Tensor, nn

from nas.graph import chain
from nas.space import Arch, Space, Task
from spaces._cell import distinct_positive, initialise_by_place, named, pooled
from spaces._json import field, numbers, place, record

STAGES = 3
Transform = Callable[..., nn.Module]
"""(inputs, outputs, stride, *the stage's further settings) -> the residual branch of a block."""


@final
class StageSpace(Space):
    """Networks of three stages: ``ds`` blocks of ``ws`` channels, and further settings of each.

    The notation is NDS's: JSON with a list for each setting, by its published name. The lists of an NDS record have a
    fourth entry, the stem's, in front; it is read and left out.

    Args:
        settings: published name -> the values that a stage can take; ``ds`` and ``ws`` are the first.
        transform: makes a block's residual branch from inputs, outputs, stride and the settings after ``ws``.
        stem: channels of the 3 x 3 convolution in front.
    """

    def __init__(self, settings: Mapping[str, Sequence[float]], transform: Transform, stem: int) -> None:
        self.settings = {name: distinct_positive(name, values) for name, values in settings.items()}
        self.transform, self.stem = transform, stem
        self.slots = tuple(tuple(map(str, values)) for values in self.settings.values() for _ in range(STAGES))

    def build(self, arch: Arch, task: Task) -> nn.Module:
        width = self.stem
        stem = nn.Conv2d(task.channels, width, 3, padding=1, bias=False)
        layers: dict[str, nn.Module] = {"stem": nn.Sequential(stem, nn.BatchNorm2d(width), nn.ReLU())}
        for stage, (depth, outputs, *further) in enumerate(zip(*self._chosen(arch).values(), strict=True)):
            for number in range(depth):
                stride = 2 if stage and not number else 1
                body = self.transform(width, outputs, stride, *further)
                layers[f"stage{stage}-{number}"] = Residual(body, width, outputs, stride)
                width = outputs
        return initialise_by_place(named(layers | pooled(width, task.classes)))

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        chosen = self._chosen(arch)
        further = list(chosen)[2:]
        layers = []
        for stage in range(STAGES):
            extra = "".join(f", {name} {chosen[name][stage]:g}" for name in further)
            layers.append(f"{chosen['ds'][stage]} blocks, {chosen['ws'][stage]}{extra}")
        return chain(layers, chosen["ws"])

    def text(self, arch: Arch) -> str:
        if any(len(options) > 1 for options in arch):
            return super().text(arch)
        return json.dumps(self._chosen(arch), separators=(",", ":"))

    def parse(self, text: str) -> Arch:
        form = json.dumps({name: [values[0]] * STAGES for name, values in self.settings.items()})
        fields = record(text, form)
        lists = [numbers(name, field(text, fields, name, form)) for name in self.settings]
        if {len(values) for values in lists} not in ({STAGES}, {STAGES + 1}):
            raise ValueError(f"{text[:200]!r}: each list has an entry for each of the {STAGES} stages, like {form}")
        return tuple(
            place(name, value, known)
            for (name, known), values in zip(self.settings.items(), lists, strict=True)
            for value in values[-STAGES:]
        )

    def _chosen(self, arch: Arch) -> dict[str, list[Any]]:
        """The value of each setting in each stage."""
        places = iter(arch)
        return {name: [values[next(places)[0]] for _ in range(STAGES)] for name, values in self.settings.items()}


class Residual(nn.Module):
    """A residual block: ReLU of the branch plus a shortcut, which is projected where the shape changes."""

    def __init__(self, branch: nn.Module, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride > 1:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.shortcut(x) + self.branch(x))  # type: ignore[no-any-return]
