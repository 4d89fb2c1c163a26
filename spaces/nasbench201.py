"""NAS-Bench-201 (Dong & Yang 2020, arXiv:2001.00326), the topology space of NATS-Bench."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product
from random import Random
from typing import Annotated

from nas.registry import Range
from nas.space import Arch, space
from spaces._ops import NONE, OPERATIONS
from spaces.cells import CellSpace, Dialect, staged

NAMES = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NASLIB_NAMES = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NASLIB_SLOTS = (0, 1, 3, 2, 4, 5)
"""NASLib lists edges by where they start (0-1, 0-2, 0-3, 1-2, 1-3, 2-3); here is the slot of each."""


@space("nasbench201")
def nasbench201(
    *,
    widths: Annotated[tuple[int, ...], Range(1)] = (16, 32, 64),
    repeats: Annotated[int, Range(1)] = 5,
) -> CellSpace:
    """Cells of four nodes with one of five operations on each of the six edges: 15,625.

    Besides the string ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`` an architecture may be given as its index in the
    benchmark (``1462`` or ``index:1462``), or as six numbers with their dialect named: ``nats:3,3,3,3,3,3`` (edges in
    the order of the string, operations none, skip, 1x1, 3x3, pool) or ``naslib:2,2,2,2,2,2`` (edges by where they
    start, operations skip, none, 3x3, 1x1, pool).
    """
    operations = {name: None if name == NONE else OPERATIONS[name] for name in NAMES}
    skeleton, thin = staged(widths, repeats)
    dialects = {
        "index": Dialect(by_index, to_index),
        "nats": Dialect(from_nats, to_nats),
        "naslib": Dialect(from_naslib, to_naslib),
    }
    return CellSpace(4, operations, skeleton, thin=thin, dialects=dialects)


@lru_cache(maxsize=1)
def benchmark_order() -> list[Arch]:
    """All cells in the order of the benchmark's index: the product of the operations, shuffled with seed 88."""
    archs: list[Arch] = [tuple((option,) for option in choice) for choice in product(range(len(NAMES)), repeat=6)]
    Random(88).shuffle(archs)
    return archs


@lru_cache(maxsize=1)
def indices() -> dict[Arch, int]:
    return {arch: index for index, arch in enumerate(benchmark_order())}


def by_index(text: str) -> Arch:
    if not re.fullmatch(r"\s*[0-9]+\s*", text) or int(text) >= len(benchmark_order()):
        raise ValueError(f"{text!r} is no index of NAS-Bench-201: those are 0 to {len(benchmark_order()) - 1}")
    return benchmark_order()[int(text)]


def to_index(arch: Arch) -> str:
    return str(indices()[arch])


def from_nats(text: str) -> Arch:
    return tuple((option,) for option in six_numbers(text))


def to_nats(arch: Arch) -> str:
    return ",".join(str(option) for (option,) in arch)


def from_naslib(text: str) -> Arch:
    slots = dict(zip(NASLIB_SLOTS, six_numbers(text), strict=True))
    return tuple((NAMES.index(NASLIB_NAMES[slots[slot]]),) for slot in range(6))


def to_naslib(arch: Arch) -> str:
    return ",".join(str(NASLIB_NAMES.index(NAMES[arch[slot][0]])) for slot in NASLIB_SLOTS)


def six_numbers(text: str) -> list[int]:
    numbers = [int(number) for number in re.findall(r"[0-9]+", text)]
    if not re.fullmatch(r"[\s(\[]*([0-9]\s*,\s*){5}[0-9][\s)\],]*", text) or max(numbers) >= len(NAMES):
        raise ValueError(f"{text!r} is not six numbers from 0 to {len(NAMES) - 1} joined with commas")
    return numbers
