"""What a pickle may name, and the plain data that take its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Global(NamedTuple):
    """Stands for a class or function that a pickle names: ``make`` is our own function, which gives plain data."""

    name: str
    make: Callable[..., Any]


MAX_DTYPE_CHARACTERS = 16


class Dtype:
    """A numpy type of plain numbers; any other is refused."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(code, str) or len(code) > MAX_DTYPE_CHARACTERS:
            raise TypeError(f"a numpy type's name is a {type(code).__name__}")
        if code.lstrip("<>|=") not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
            raise ValueError(f"numpy type {code!r} is not one of plain numbers")
        self.code, self.order = code.lstrip("<>|="), "<"

    def build(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] in (">", b">") else "<"

    def values(self, data: bytes) -> Any:
        return np.frombuffer(data, np.dtype(self.order + self.code))


class Array:
    """A numpy array of plain numbers."""

    numbers: NDArray[Any] | None = None

    def build(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, columns_first, data = state
        self.numbers = dtype.values(data).reshape(shape, order="F" if columns_first else "C")


class Lists(list[Any]):
    """A numpy array as nested lists."""

    def build(self, state: tuple[Any, ...]) -> None:
        array = Array()
        array.build(state)
        self[:] = array.numbers.tolist() if array.numbers is not None else []


MAX_KEY_PARTS = 16
MAX_KEY_NUMBER = 2**60
"""Whole numbers below it differ in their hashes."""


def fixed(value: Any) -> Any:
    """``value``, checked to be a key of a dictionary or a set that is quick to hash and to look up.

    Raises:
        TypeError: it is no text or number, and no short tuple of texts with one number at most. A short pickle can nest
            tuples that share their parts, so that hashing one takes for ever; and it can make any number of keys with
            the same hash, among which looking one up takes for ever.
    """
    if type(value) is str or (type(value) is int and abs(value) < MAX_KEY_NUMBER):  # as nearly all keys are
        return value
    parts = value if type(value) is tuple else (value,)
    if len(parts) > MAX_KEY_PARTS or not all(isinstance(part, KEY_TYPES) for part in parts):
        raise TypeError(f"a {type(value).__name__} as a key")
    numbers = [part for part in parts if isinstance(part, int | float)]
    if len(numbers) > 1 or any(isinstance(number, int) and abs(number) >= MAX_KEY_NUMBER for number in numbers):
        raise TypeError("a key of several numbers, or of a very large one")
    return value


KEY_TYPES = (str, bytes, int, float, type(None))


class Weights:
    """Stands for weights of networks, which are not read."""

    def build(self, state: Any) -> None:
        """Ignores whatever is set on them."""


def _set(values: Iterable[Any] = ()) -> set[Any]:
    return set(map(fixed, values))


def frozen(values: Iterable[Any] = ()) -> frozenset[Any]:
    return frozenset(map(fixed, values))


def _dictionary(items: Iterable[Any] = ()) -> dict[Any, Any]:
    return {fixed(key): value for key, value in (items.items() if isinstance(items, dict) else items)}


def _encode(text: str, encoding: str) -> bytes:
    if not isinstance(encoding, str) or encoding != "latin1":
        raise ValueError("bytes are written as text in an encoding other than latin1")
    return text.encode("latin1")


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    def record(*_: Any) -> dict[Any, Any]:
        return {}

    def not_read(*_: Any) -> Weights:
        return Weights()

    def never_called(*_: Any) -> None:
        raise TypeError("a numpy array is made of nothing")

    allowed: dict[tuple[str, str], Callable[..., Any]] = {
        ("collections", "OrderedDict"): _dictionary,
        ("collections", "defaultdict"): record,
        ("_codecs", "encode"): _encode,
        ("numpy", "dtype"): Dtype,
        ("numpy", "ndarray"): never_called,
        ("torch", "Size"): tuple,
        ("torch._utils", "_rebuild_tensor_v2"): not_read,
        ("torch._utils", "_rebuild_parameter"): not_read,
    }
    for core in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed[core, "scalar"] = lambda dtype, data: dtype.values(data)[0].item()
        allowed[core, "_reconstruct"] = lambda *_: Lists()
    for builtins in ("builtins", "__builtin__"):
        allowed |= {(builtins, kind.__name__): kind for kind in (list, tuple)}
        allowed |= {(builtins, "set"): _set, (builtins, "frozenset"): frozen, (builtins, "dict"): _dictionary}
    for kind in ("Float", "Double", "Half", "Long", "Int", "Short", "Char", "Byte", "Bool"):
        allowed["torch", f"{kind}Storage"] = not_read
    for api in ("nas_201_api", "nats_bench"):
        for name in ("ArchResults", "ResultsCount"):
            allowed |= {(f"{api}.{module}", name): record for module in ("api", "api_utils")}
    allowed["models.cell_searchs.genotypes", "Structure"] = record
    return allowed


ALLOWED = _allowed()
"""What a pickle may name, and what we make of it. Instances of the benchmarks' classes become dictionaries of their
attributes, weights become `Weights`."""

ARRAYS = ALLOWED | {place: lambda *_: Array() for place in ALLOWED if place[1] == "_reconstruct"}
"""The same, but arrays stay arrays."""
