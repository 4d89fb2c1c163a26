"""The networks of NAS-Bench-MR (Ding et al. 2021, arXiv:2103.13253): branches of several resolutions, as HRNet has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Annotated, Any, NamedTuple, final

import networkx as nx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.choices import Choice, ChoiceSpace, choices, integers, one_of, repeated
from nas.graph import chain
from nas.registry import Range
from nas.space import Arch, Counts, SpaceWrapper, Task, choice, is_leaf, space
from spaces import _counted as counting
from spaces._cell import conv_bn_relu, distinct_positive, initialise_by_place
from spaces._counted import NotCounted, Part
from spaces._json import check_length

STAGES = (1, 2, 3, 4)
"""Branches of each stage."""
WIDTHS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128)
STEMS = (8, 16, 24, 32, 48, 64)
READ = tuple(range(8, 129, 8))
"""Widths that occur in the table's rows too: such networks are read and built, but never drawn."""
DIALECT = "code"
FORM = "[[16,16],[[1,[1],[64]],[2,[2,1],[32,48]],[3,[3,2,1],[64,64,16]],[4,[2,3,2,4],[64,96,112,48]]],16]"
CODE = "16_16-1_1_1_64-1_2_2_1_32_48-1_3_3_2_1_64_64_16-1_4_2_3_2_4_64_96_112_48-16"


class Stage(NamedTuple):
    """Equal modules, one after the other: their number, and the blocks and widths of the branches of each."""

    modules: int
    blocks: tuple[int, ...]
    widths: tuple[int, ...]


class Description(NamedTuple):
    """A network: the widths of the two convolutions in front, its stages, the width before the pooling."""

    stem: tuple[int, int]
    stages: tuple[Stage, ...]
    last: int


class Block(nn.Module):
    """Two 3 x 3 convolutions beside an identity, and a ReLU of the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        second = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.body = nn.Sequential(*conv_bn_relu(width, width), *second)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Fusion(nn.Module):
    """Each branch becomes the ReLU of a sum over itself and its neighbours: a 3 x 3 convolution, of stride 2 from the
    finer one, and from the coarser one a 1 x 1 convolution that is scaled up. A new branch is a convolution of stride
    2 of the fused one above."""

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        for i, width in enumerate(outputs[: len(inputs)]):
            near = {f"{j}": inputs[j] for j in (i - 1, i, i + 1) if 0 <= j < len(inputs)}
            parts = {
                j: conv_bn_relu(before, width, 3 if int(j) <= i else 1, 2 if int(j) < i else 1)
                for j, before in near.items()
            }
            self.parts.append(nn.ModuleDict(parts))
        pairs = list(pairwise(outputs))[len(inputs) - 1 :]
        self.new = nn.ModuleList(conv_bn_relu(above, width, 3, 2) for above, width in pairs)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        fused = []
        for i, parts in enumerate(self.parts):
            assert isinstance(parts, nn.ModuleDict)
            terms = [part(branches[int(j)]) for j, part in parts.items()]
            size = branches[i].shape[2:]
            scaled = [t if t.shape[2:] == size else F.interpolate(t, size=size, mode="nearest") for t in terms]
            fused.append(F.relu(torch.stack(scaled).sum(0)))
        for part in self.new:
            fused.append(part(fused[-1]))
        return fused


class Module(nn.Module):
    """A fusion, then the blocks of each branch."""

    def __init__(self, inputs: Sequence[int], stage: Stage) -> None:
        super().__init__()
        self.fusion = Fusion(inputs, stage.widths)
        pairs = zip(stage.blocks, stage.widths, strict=True)
        self.branches = nn.ModuleList(nn.Sequential(*(Block(width) for _ in range(n))) for n, width in pairs)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        return [blocks(x) for blocks, x in zip(self.branches, self.fusion(branches), strict=True)]


class MultiResolution(nn.Module):
    """A stem, modules of one to four branches, and all branches together at the lowest resolution, classified."""

    def __init__(self, described: Description, task: Task) -> None:
        super().__init__()
        first, second = described.stem
        self.stem = nn.Sequential(conv_bn_relu(task.channels, first, 3, 2), conv_bn_relu(first, second, 3, 2))
        self.modules_ = nn.ModuleList()
        widths: tuple[int, ...] = (second,)
        for stage in described.stages:
            for _ in range(stage.modules):
                self.modules_.append(Module(widths, stage))
                widths = stage.widths
        self.last = conv_bn_relu(sum(widths), described.last, 1)
        self.classifier = nn.Conv2d(described.last, task.classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.stem(x)]
        for module in self.modules_:
            branches = module(branches)
        size = branches[-1].shape[2:]
        scaled = [F.interpolate(y, size=size, mode="bilinear", align_corners=False) for y in branches[:-1]]
        y = self.last(torch.cat([*scaled, branches[-1]], 1))
        return self.classifier(F.adaptive_avg_pool2d(y, 1)).flatten(1)  # type: ignore[no-any-return]


@final
class MultiResolutionSpace(SpaceWrapper):
    """Two widths in front, four stages of one to four branches (a number of equal modules, and the blocks and the width
    of each branch), and a last width.

    The options of widths include those that only the table has; architectures with these are read and built, but do not
    belong to the space.
    """

    def __init__(self, widths: tuple[int, ...], stems: tuple[int, ...], most: int) -> None:
        self.widths, self.stems = distinct_positive("widths", widths), distinct_positive("stems", stems)
        self.most = most
        width_choice, stem_choice = (
            one_of(*values, *(w for w in READ if w not in values)) for values in (widths, stems)
        )
        stages = {
            f"stage{branches}": repeated(
                1,
                modules=integers(1, most),
                branch=repeated(branches, lambda width: width in widths, blocks=integers(1, most), width=width_choice),
            )
            for branches in STAGES
        }
        declared = choices(
            lambda first: first in stems, lambda second: second in stems, lambda last: last in widths,
            first=stem_choice, second=stem_choice, **stages, last=width_choice,
        )  # fmt: skip
        self.declared = ChoiceSpace(declared, lambda chosen, task: MultiResolution(_described(chosen), task))
        super().__init__(self.declared)

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the options that it is declared with, since rules are functions."""
        return type(self), (self.widths, self.stems, self.most)

    def build(self, arch: Arch, task: Task) -> nn.Module:
        return initialise_by_place(self.declared.build(arch, task))

    def counts(self, arch: Arch, task: Task) -> Counts | None:
        if not is_leaf(arch):
            return None
        try:
            return _counted(_described(self.declared.choice(arch)), task)
        except NotCounted:
            return None

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        if not is_leaf(arch):
            return self.declared.graph(arch)
        described = _described(self.declared.choice(arch))
        boxes = ["stem {}, {}".format(*described.stem)]
        for stage in described.stages:
            for number in range(stage.modules):
                branches = [f"{n} x {width}" for n, width in zip(stage.blocks, stage.widths, strict=True)]
                boxes.append("; ".join([f"module {number + 1}", *branches]))
        return chain([*boxes, f"last {described.last}"])

    def text(self, arch: Arch) -> str:
        if not is_leaf(arch):
            return self.declared.text(arch)
        described = _described(self.declared.choice(arch))
        modules = [[len(s.widths), s.blocks, s.widths] for s in described.stages for _ in range(s.modules)]
        return json.dumps([described.stem, modules, described.last], separators=(",", ":"))

    def notations(self, arch: Arch) -> dict[str, str]:
        described = _described(self.declared.choice(arch))
        stages = [(s.modules, len(s.widths), *s.blocks, *s.widths) for s in described.stages]
        code = "-".join("_".join(map(str, part)) for part in (described.stem, *stages, (described.last,)))
        return {"text": self.text(arch), DIALECT: code}

    def parse(self, text: str) -> Arch:
        check_length(text, FORM)
        dialect, colon, rest = text.strip().partition(":")
        if colon and dialect == DIALECT:
            return self._slots(_of_code(rest))
        if text.strip().startswith("first="):
            return self.declared.parse(text)
        return self._slots(_of_json(text))

    def _slots(self, described: Description) -> Arch:
        slots = iter(self.slots)

        def place(kind: str, value: int) -> tuple[int, ...]:
            return choice([str(value)], next(slots), kind)

        arch = [place("width of the stem", width) for width in described.stem]
        for stage in described.stages:
            arch.append(place("number of modules", stage.modules))
            for blocks, width in zip(stage.blocks, stage.widths, strict=True):
                arch += [place("number of blocks", blocks), place("width", width)]
        return (*arch, place("last width", described.last))


class Tally:
    """The total costs of convolutions with batch norm."""

    def __init__(self) -> None:
        self.params = self.flops = 0

    def convolution(self, x: Part, outputs: int, kernel: int = 3, stride: int = 1) -> Part:
        """The path and the shape after a convolution of the output of ``x``."""
        part = counting.convolution(x.shape, outputs, kernel, stride)
        self.params, self.flops = self.params + part.params, self.flops + part.flops
        return part._replace(path=counting.along(x.path, part.path))


def _counted(described: Description, task: Task) -> Counts:
    """The counts of `MultiResolution`, branch by branch."""
    tally = Tally()
    x = tally.convolution(counting.same(counting.of_image(task)), described.stem[0], 3, 2)
    branches = [tally.convolution(x, described.stem[1], 3, 2)]
    for stage in described.stages:
        for _ in range(stage.modules):
            branches = _counted_fusion(tally, branches, stage.widths)
            for number, (blocks, width) in enumerate(zip(stage.blocks, stage.widths, strict=True)):
                for _ in range(2 * blocks):
                    branches[number] = tally.convolution(branches[number], width)
    together = sum(branch.shape.channels for branch in branches)
    longest = counting.longest(branch.path for branch in branches)
    x = branches[-1]._replace(path=longest, shape=branches[-1].shape._replace(channels=together))
    x = tally.convolution(x, described.last, 1)
    head = described.last * task.classes
    return Counts(tally.params + head + task.classes, tally.flops + head, (x.path or 0) + 1)


def _counted_fusion(tally: Tally, branches: Sequence[Part], widths: Sequence[int]) -> list[Part]:
    """`Fusion`, counted."""
    fused = []
    for i, width in enumerate(widths[: len(branches)]):
        terms = [
            tally.convolution(branches[j], width, 3 if j <= i else 1, 2 if j < i else 1)
            for j in (i - 1, i, i + 1)
            if 0 <= j < len(branches)
        ]
        shape = branches[i].shape._replace(channels=width)
        fused.append(terms[0]._replace(path=counting.longest(term.path for term in terms), shape=shape))
    for width in widths[len(branches) :]:
        fused.append(tally.convolution(fused[-1], width, 3, 2))
    return fused


def _described(chosen: Choice) -> Description:
    stages = []
    for branches in STAGES:
        (stage,) = getattr(chosen, f"stage{branches}")
        blocks, widths = (tuple(getattr(branch, name) for branch in stage.branch) for name in ("blocks", "width"))
        stages.append(Stage(stage.modules, blocks, widths))
    return Description((chosen.first, chosen.second), tuple(stages), chosen.last)


def _of_json(text: str) -> Description:
    try:
        parts: Any = json.loads(text)
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[1], list):
        raise ValueError(f"{text[:200]!r} is not JSON like {FORM}")
    stem, modules, last = parts
    if not all(isinstance(module, list) and len(module) == 3 for module in modules):
        raise ValueError(f"{text[:200]!r}: a module is [branches, [blocks, …], [widths, …]], as in {FORM}")
    stages = []
    for (branches, blocks, widths), equal in groupby(modules):
        if type(branches) is not int or not (_whole(blocks, branches) and _whole(widths, branches)):
            raise ValueError(
                f"{text[:200]!r}: a module of b branches has b numbers of blocks and b widths, like {FORM}"
            )
        stages.append(Stage(len(list(equal)), tuple(blocks), tuple(widths)))
    if [len(stage.widths) for stage in stages] != list(STAGES):
        raise ValueError(f"{text[:200]!r}: there are equal modules of 1 branch, then of 2, 3 and 4, like {FORM}")
    if not _whole(stem, 2) or type(last) is not int:
        raise ValueError(f"{text[:200]!r}: the stem has two widths and the last layer one, whole numbers, like {FORM}")
    return Description((stem[0], stem[1]), tuple(stages), last)


def _whole(values: Any, count: int) -> bool:
    """Whether it is a list of ``count`` whole numbers."""
    return isinstance(values, list) and len(values) == count and all(type(value) is int for value in values)


def _of_code(text: str) -> Description:
    parts = [part.split("_") for part in text.strip().split("-")]
    sizes = [2, *(2 + 2 * branches for branches in STAGES), 1]
    numbers = [[int(n) for n in part if n.isascii() and n.isdigit() and len(n) < 5] for part in parts]
    if [len(part) for part in parts] != sizes or [len(part) for part in numbers] != sizes:
        raise ValueError(f"{DIALECT + ':' + text[:200]!r} is not like {DIALECT}:{CODE}")
    if [part[1] for part in numbers[1:-1]] != list(STAGES):
        raise ValueError(f"{DIALECT}:{text[:200]}: the stages have 1, 2, 3 and 4 branches, like {DIALECT}:{CODE}")
    stages = [Stage(n, tuple(rest[:b]), tuple(rest[b:])) for n, b, *rest in numbers[1:-1]]
    return Description((numbers[0][0], numbers[0][1]), tuple(stages), numbers[-1][0])


@space("multi_resolution")
def multi_resolution(
    *,
    widths: Annotated[tuple[int, ...], Range(1)] = WIDTHS,
    stems: Annotated[tuple[int, ...], Range(1)] = STEMS,
    most: Annotated[int, Range(1)] = 4,
) -> MultiResolutionSpace:
    """HRNet-like networks of four stages with one to four branches, as NAS-Bench-MR trained them: 10^21.

    Written ``[[c0,c1],[[branches,[blocks…],[widths…]],…],last]``, a module an entry; ``code:c0_c1-n_1_k_w-…-last`` is
    read too. The head is the one for classes: all branches at the lowest resolution. Widths of the table that are not
    among ``widths`` (of the branches and the last layer) or ``stems`` are read too. A stage has at most ``most``
    modules, and a branch at most ``most`` blocks.
    """
    return MultiResolutionSpace(widths, stems, most)
