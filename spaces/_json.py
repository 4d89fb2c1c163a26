"""Notations that are JSON: read strictly, so that wrong values are refused and not rounded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from nas.space import choice

Number = TypeVar("Number", int, float)
MAX_CHARACTERS = 10_000
"""Characters of one architecture."""


def check_length(text: str, form: str) -> None:
    """`ValueError`, with the ``form`` that it should have, where a text is longer than any architecture."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{text[:200]!r}… has {len(text)} characters, more than any architecture: it is like {form}")


def record(text: str, form: str) -> dict[str, Any]:
    """The JSON object in ``text``; `ValueError`, with the ``form`` that it should have, where it is none, or names
    something twice."""
    check_length(text, form)
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{text[:200]!r} is not JSON like {form}: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{text[:200]!r} is not JSON like {form}")
    return value


def field(text: str, fields: dict[str, Any], name: str, form: str) -> Any:
    if name not in fields:
        raise ValueError(f"{text[:200]!r} has no {name!r}: it takes JSON like {form}")
    return fields[name]


def numbers(name: str, values: Any) -> list[float]:
    """A list of numbers, as they are; `ValueError` for anything else, true and false among it."""
    if not isinstance(values, list) or any(type(value) not in (int, float) for value in values):
        raise ValueError(f"{name} is a list of numbers, not {values!r}"[:300])
    return values


def place(name: str, value: Any, known: Sequence[Number]) -> tuple[int]:
    """The number of the option ``value``; `ValueError` names the known ones."""
    if type(value) not in (int, float) or value not in known:
        choice([repr(value)], tuple(map(str, known)), name)  # which raises
    return (list(known).index(value),)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1)
        raise ValueError(f"it names {twice!r} twice")
    return fields
