"""YAML from outside: plain data of bounded size; anything else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from nas.errors import UsageError
from nas.files import read_file

MAX_YAML_BYTES = 2**20
"""Bytes of one YAML file; reading that many takes some seconds."""
MAX_YAML_VALUES = 100_000
"""Values in one YAML document; aliases within aliases can stand for more than any memory holds."""
MAX_YAML_NUMBER_CHARACTERS = 1000
"""Characters of one number; the time to read one grows with their square."""


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; `UsageError` for anything else."""
    try:
        value = load_yaml(read_file(path, MAX_YAML_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not whole YAML: {' '.join(str(error).split())[:500]}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} must hold settings as 'name: value' lines, not {type(value).__name__}")
    return value


def load_yaml(text: str) -> Any:
    """The value of a YAML document of plain data; `ValueError` where it is none, or too large."""
    if len(text) > MAX_YAML_BYTES:
        raise ValueError(f"it has more than {MAX_YAML_BYTES:,} characters")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _values(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, LookupError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(str(error) or type(error).__name__) from None


def _values(node: yaml.Node, counts: dict[int, int]) -> int:
    """How many values ``node`` stands for, an alias for as many as the node it names; counted before any is made.

    Args:
        counts: those of earlier nodes, by identity; 0 for one that is being counted: meeting it means that it contains
            itself.

    Raises:
        ValueError: there are too many, or without end, or one is a number of too many digits.
    """
    if id(node) in counts:
        if not counts[id(node)]:
            raise ValueError("it contains itself")
        return counts[id(node)]
    counts[id(node)] = 0
    parts = node.value if isinstance(node, yaml.CollectionNode) else []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    total = 1 + sum(_values(part, counts) for part in parts)
    if total > MAX_YAML_VALUES:
        raise ValueError(f"it stands for more than {MAX_YAML_VALUES:,} values")
    is_text = not isinstance(node, yaml.ScalarNode) or node.tag.endswith((":str", ":binary"))
    if not is_text and len(node.value) > MAX_YAML_NUMBER_CHARACTERS:
        raise ValueError(f"it holds a number of {len(node.value):,} characters")
    counts[id(node)] = total
    return total


class _Plain(yaml.SafeDumper):
    """Writes numpy's numbers as Python's."""


_Plain.add_multi_representer(np.generic, lambda dumper, value: dumper.represent_data(value.item()))  # type: ignore[type-abstract]


def yaml_text(value: Any) -> str:
    """Plain data and numbers of numpy's as YAML, in their own order."""
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True)
