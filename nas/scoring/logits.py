"""Finds the logits in a network's output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn


def returning_logits(net: nn.Module, classes: int, dimensions: int = 2) -> nn.Module:
    """``net``, which from now on returns its logits alone, whatever else it returned; see `logits_of`."""
    net.register_forward_hook(partial(replace_by_logits, classes=classes, dimensions=dimensions))
    return net


def logits_of(out: Any, classes: int, dimensions: int = 2) -> Tensor:
    """The logits in what a network returned: [samples, at least ``classes``], in three ``dimensions`` [samples,
    positions, at least ``classes``].

    A tensor is taken as it is. In a container (a tuple, list, dictionary, named tuple, dataclass) it is the entry or
    attribute called ``logits``, else the first tensor [samples, ``classes``]: the logits of ``(features, logits)`` and
    of ``(logits, auxiliary)``. Features before the logits that have as many columns as there are classes are mistaken
    for them; the name tells the two apart.

    Raises:
        ValueError: nothing in it can be the logits.
    """
    fields = _fields(out)
    if "logits" in fields:
        return logits_of(fields["logits"], classes, dimensions)
    if isinstance(out, Tensor):
        logits = out if out.ndim == dimensions and out.size(dimensions - 1) >= classes else None
    else:
        logits = next((t for t in _tensors(fields.values()) if t.ndim == dimensions and t.shape[-1] == classes), None)
    if logits is None:
        held = ", ".join(str(list(tensor.shape)) for tensor in _tensors([out])) or "no tensor"
        raise ValueError(
            f"the network returns no logits [samples, {'positions, ' * (dimensions - 2)}{classes}] for the {classes} "
            f"classes of the task, but "
            f"{type(out).__name__}: {held}"
        )
    return logits


def replace_by_logits(net: nn.Module, inputs: Any, out: Any, *, classes: int, dimensions: int = 2) -> Tensor:
    """The hook of `returning_logits`."""
    if isinstance(out, Tensor) and out.ndim == 1 and len(inputs[0]) == 1:
        out = out[None]  # the dimension of one sample is gone, as by `Tensor.squeeze`
    return logits_of(out, classes, dimensions)


def _fields(value: Any) -> dict[Any, Any]:
    """The contents of ``value``, by name where it has names; nothing for a tensor."""
    if isinstance(value, Tensor):
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | list):
        return dict(zip(getattr(value, "_fields", range(len(value))), value, strict=True))
    return dict(getattr(value, "__dict__", {}))


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among ``values`` and in their contents, in order."""
    tensors = []
    for value in values:
        tensors += [value] if isinstance(value, Tensor) else _tensors(_fields(value).values())
    return tensors
