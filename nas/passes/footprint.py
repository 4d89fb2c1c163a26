"""Whether a network and the tensors that go with it are unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors

NOTHING: dict[Any, Any] = {}
MAX_SMALL_TENSOR = 2**16
"""Numbers in a tensor that is compared together with others, since a network has hundreds of small ones."""
PARTS = ("_parameters", "_buffers", "_modules")


class Footprint:
    """Everything that code could change in a network and some further tensors; and how to restore it.

    Values are copied and compared bit for bit. In a module of torch's own, whose forward pass sets nothing, every
    attribute counts; in others, whose forward pass may set some, only their parts, modes and hooks do.

    Args:
        others: further tensors, by their names in a sentence.
    """

    def __init__(self, net: nn.Module, others: Mapping[str, Tensor]) -> None:
        self._net = net
        self._others = dict(others)
        self._modules = list(net.modules())
        self._kinds = _kinds(self._modules)
        self._watched = [own for module in self._modules for own in _watched(module)]
        self._held = [dict(own) if own else NOTHING for own in self._watched]
        self._identities = _identities(self._held)
        own = (tensor for module in self._modules for tensor in _tensors(module))
        self._tensors = list({id(tensor): tensor for tensor in (*own, *others.values())}.values())
        self._flags = [_Flags.of(tensor) for tensor in self._tensors]
        self._groups = [(group, _values(group).clone()) for group in _grouped(self._tensors)]

    def change(self) -> str | None:
        """What has changed, in words; None where nothing has."""
        if _kinds(self._modules) != self._kinds:
            return "a mode or the forward pass of the network"
        if _identities(self._watched) != self._identities:
            return "the parts or the hooks of the network"
        for tensor, before in zip(self._tensors, self._flags, strict=True):
            if not before.same(_Flags.of(tensor)):
                return f"the shape, the gradient or the hooks of {self._name(tensor)}"
        for group, values in self._groups:
            if not _equal(_values(group), values):
                pieces = torch.split(values, [tensor.numel() for tensor in group])
                changed = (t for t, piece in zip(group, pieces, strict=True) if not _equal(_values([t]), piece))
                return self._name(next(changed, group[0]))
        return None

    def flags(self) -> list[bool]:
        """The modes of all modules, and which tensors have gradients; nobody intercepts the many small looks."""
        with torch._C.DisableTorchFunction():
            return [m.training for m in self._modules] + [tensor.requires_grad for tensor in self._tensors]

    def put_back(self) -> None:
        """Restores everything."""
        for module, (kind, training, forward) in zip(self._modules, self._kinds, strict=True):
            if type(module) is not kind:
                module.__class__ = kind
            vars(module)["training"] = training
            if forward is None:
                vars(module).pop("forward", None)
        for own, held in zip(self._watched, self._held, strict=True):
            own.clear()
            own.update(held)
        flags = dict(zip(map(id, self._tensors), self._flags, strict=True))
        for group, values in self._groups:
            shapes = [flags[id(tensor)].shape for tensor in group]
            pieces = torch.split(values, [shape.numel() for shape in shapes])
            for tensor, shape, value in zip(group, shapes, pieces, strict=True):
                if tensor.shape != shape or not _equal(_values([tensor]), value):
                    tensor.data = value.view(shape).clone()
        for tensor, before in zip(self._tensors, self._flags, strict=True):
            tensor.requires_grad_(before.requires_grad).grad = before.gradient
            if not before.hooked:
                tensor._backward_hooks = None
                tensor._post_accumulate_grad_hooks = None  # type: ignore[assignment]

    def _name(self, tensor: Tensor) -> str:
        parts = [(name or "the network", module) for name, module in self._net.named_modules()]
        named = [(f"the {key} of {name}", own) for name, module in parts for key, own in _named_tensors(module)]
        return next((name for name, own in (*named, *self._others.items()) if own is tensor), "a tensor")


class _Flags(NamedTuple):
    """The properties of a tensor beside its numbers."""

    shape: torch.Size
    requires_grad: bool
    gradient: Tensor | None
    hooked: bool

    @classmethod
    def of(cls, tensor: Tensor) -> _Flags:
        hooked = bool(tensor._backward_hooks or tensor._post_accumulate_grad_hooks)
        return cls(tensor.shape, tensor.requires_grad, tensor.grad if tensor.is_leaf else None, hooked)

    def same(self, other: _Flags) -> bool:
        return self.gradient is other.gradient and self[:2] == other[:2] and self.hooked == other.hooked


def _watched(module: nn.Module) -> list[dict[Any, Any]]:
    """The dictionaries of a module's attributes that count."""
    every = vars(module)
    own = type(module).__module__.startswith("torch.nn.")
    counts = [
        value
        for key, value in every.items()
        if isinstance(value, dict) and (own or key in PARTS or key.endswith("_hooks"))
    ]
    return [every, *counts] if own else counts


def _identities(watched: Iterable[dict[Any, Any]]) -> list[int]:
    return [id(value) for own in watched if own for value in own.values()]


def _kinds(modules: Iterable[nn.Module]) -> list[tuple[type[nn.Module], bool, Any]]:
    return [(type(module), module.training, vars(module).get("forward")) for module in modules]


def _named_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [(key, t) for own in (module._parameters, module._buffers) for key, t in own.items() if t is not None]


def _tensors(module: nn.Module) -> list[Tensor]:
    return [t for own in (module._parameters, module._buffers) for t in own.values() if t is not None]


def _grouped(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Large tensors by themselves, small ones of one kind together."""
    each = list(tensors)
    small = sorted((t for t in each if t.numel() <= MAX_SMALL_TENSOR), key=lambda t: (str(t.dtype), str(t.device)))
    groups = [list(group) for _, group in groupby(small, key=lambda t: (t.dtype, t.device))]
    return [[tensor] for tensor in each if tensor.numel() > MAX_SMALL_TENSOR] + groups


def _values(group: Sequence[Tensor]) -> Tensor:
    """All numbers of the tensors as one vector."""
    with torch.no_grad():
        if len(group) == 1:
            return group[0].detach().flatten()
        if len({tensor.dtype for tensor in group}) == 1:
            vector: Tensor = _flatten_dense_tensors(group)  # type: ignore[no-untyped-call]
            return vector
        return torch.cat([tensor.flatten().double() for tensor in group])


def _equal(now: Tensor, before: Tensor) -> bool:
    """Whether they are equal bit for bit, up to the kinds of nan."""
    if (now.dtype, now.shape, now.device) != (before.dtype, before.shape, before.device):
        return False
    return torch.equal(now, before) or bool(((now == before) | (now.isnan() & before.isnan())).all())
