"""The state of a network, everything that running it could change, and how it is restored after a pass."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import is_
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
PLAIN_TYPES = frozenset({bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size})
"""Types of values that contain no others and cannot be written to."""
CONTAINER_TYPES = frozenset({dict, OrderedDict, list, set})
"""Types of containers that are empty where they are false."""


@contextmanager
def restored(net: nn.Module) -> Iterator[Contents]:
    """A context with the contents of ``net``, which is restored afterwards, also where the pass raises.

    Its modules, parameters and buffers are the same objects under all their names, with the same values,
    ``requires_grad``, ``.grad`` and hooks. The modules have the same attributes: modes, hooks, other tensors, and the
    contents of lists, dictionaries and sets.

    In the context, parameters have no ``.grad``.

    Raises:
        ValueError: a parameter has no values yet, or is not a leaf of autograd's graph.
    """
    contents = contents_of(net)
    before = [_State.of(tensor) for tensor in contents.tensors]
    try:
        yield contents
    finally:
        contents.put_back()
        _put_back(before)


class Contents(NamedTuple):
    """The objects in the attributes of a network's modules, each once.

    Attributes:
        namespaces: namespaces and dictionaries, each with its keys and its values.
        collections: lists and sets, each with its items.
        empty: those of either kind that are empty, as most dictionaries of hooks.
        tensors: parameters, buffers and others.
        generators: of random numbers.
    """

    namespaces: list[tuple[dict[Any, Any], list[Any], list[Any]]]
    collections: list[tuple[Any, list[Any]]]
    empty: list[Any]
    tensors: list[Tensor]
    generators: list[Any]

    def put_back(self) -> None:
        """Gives every container that has changed its old content."""
        for namespace, keys, values in self.namespaces:
            if len(namespace) != len(keys) or not all(map(is_, namespace.values(), values)) or list(namespace) != keys:
                namespace.clear()
                namespace.update(zip(keys, values, strict=True))
        for collection, values in self.collections:
            if len(collection) != len(values) or not all(map(is_, collection, values)):
                collection.clear()
                (collection.update if isinstance(collection, set) else collection.extend)(values)
        for container in self.empty:
            if container:
                container.clear()


def contents_of(net: nn.Module) -> Contents:
    contents = Contents([], [], [], [], [])
    seen: set[int] = set()
    waiting: list[Any] = [net]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, nn.Module):
            value = vars(value)
        if isinstance(value, dict):
            parts = [*value.values()]
            contents.namespaces.append((value, [*value], parts))
        elif isinstance(value, list | set | deque):
            parts = [*value]
            contents.collections.append((value, parts))
        elif isinstance(value, tuple):
            parts = [*value]
        else:
            if isinstance(value, Tensor):
                contents.tensors.append(value)
            elif isinstance(value, GENERATORS):
                contents.generators.append(value)
            continue
        for part in parts:
            if (kind := type(part)) in PLAIN_TYPES:
                continue
            if kind in CONTAINER_TYPES and not part:
                contents.empty.append(part)
            else:
                waiting.append(part)
    return contents


def replace(net: nn.Module, replacements: Mapping[Tensor, Tensor]) -> None:
    """Replaces tensors everywhere in ``net``, however often it holds them; see `restored`."""
    contents = contents_of(net)
    for namespace, keys, values in contents.namespaces:
        for key, value in zip(keys, values, strict=True):
            if isinstance(value, Tensor) and value in replacements:
                namespace[key] = replacements[value]
    for collection, values in contents.collections:
        if isinstance(collection, list):
            collection[:] = [replacements.get(v, v) if isinstance(v, Tensor) else v for v in values]


class _State(NamedTuple):
    """The state of a tensor that is restored."""

    tensor: Tensor
    value: Tensor
    version: int
    leaf: bool
    requires_grad: bool
    grad: Tensor | None
    hooks: list[dict[int, Any]]

    @classmethod
    def of(cls, tensor: Tensor) -> _State:
        check_values(tensor)
        leaf, grad = tensor.is_leaf, None
        if isinstance(tensor, nn.Parameter):
            if not leaf:
                raise ValueError(
                    "a parameter of the network is computed from other tensors: it is no leaf of their graph"
                )
            grad, tensor.grad = tensor.grad, None
        value = tensor.detach().clone()
        hooks = [dict(hooks) for hooks in hooks_of(tensor)]
        return cls(tensor, value, tensor._version, leaf, tensor.requires_grad, grad, hooks)


def check_values(tensor: Tensor) -> None:
    if is_lazy(tensor):
        raise ValueError("the network has parameters or buffers without values: run it on an image before")


def hooks_of(tensor: Tensor) -> list[dict[int, Any]]:
    """The hooks that are called with the tensor's gradient, by kind."""
    return [tensor._backward_hooks or {}, getattr(tensor, "_post_accumulate_grad_hooks", None) or {}]


def _put_back(states: Sequence[_State]) -> None:
    with torch.no_grad():
        for state in states:  # first what a comparison of values needs
            if state.leaf and not state.tensor.is_leaf:
                state.tensor.detach_()
            if state.tensor.shape != state.value.shape:
                state.tensor.data = state.value
        for state in _changed(states):
            state.tensor.copy_(state.value)
    for tensor, _, _, leaf, requires_grad, grad, hooks in states:
        if leaf and tensor.requires_grad != requires_grad:
            tensor.requires_grad_(requires_grad)
        if leaf and tensor.grad is not grad:
            tensor.grad = grad
        for now, before in zip(hooks_of(tensor), hooks, strict=True):
            if now.keys() != before.keys():
                now.clear()
                now.update(before)


def _changed(states: Sequence[_State]) -> list[_State]:
    """Those whose values have changed. The version alone does not tell: writing to ``.data`` leaves it as it is."""
    dense = [state for state in states if state.tensor.layout is torch.strided and not state.tensor.is_meta]
    changed = [
        state for state in states if state.tensor.layout is not torch.strided and state.tensor._version != state.version
    ]
    changed += [state for state in dense if state.tensor.is_cpu and not torch.equal(state.tensor, state.value)]
    elsewhere = [state for state in dense if not state.tensor.is_cpu]
    if elsewhere:  # all at once, to wait for a GPU only once
        other = torch.stack([(state.tensor != state.value).any() for state in elsewhere]).tolist()
        changed += [state for state, is_other in zip(elsewhere, other, strict=True) if is_other]
    return changed
