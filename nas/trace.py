"""What a network costs and how its parts depend on each other, from one forward pass of one image."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nas.intercept import CONVOLUTION, LINEAR, RELUS, no_normalisation, normalising, untouched


class Trace(NamedTuple):
    """Counts of one network for one input.

    Attributes:
        flops: multiply-accumulates of all convolutions and linear layers, whether the output depends on them or not.
        depth: convolutions on the longest path from the input to the output.
        relus: for each ReLU call, in order, whether the output depends on it.
    """

    flops: int
    depth: int
    relus: tuple[bool, ...]


def trace(net: nn.Module, image: Tensor) -> Trace:
    """Runs ``net`` once on ``image`` [1, channels, height, width] and leaves it as it was.

    Only the shapes and the order of the calls matter, so batch norm is skipped, which one image may not admit.
    """
    tracer = _Tracer()
    with untouched(net), torch.no_grad():
        tracer.paths[image] = _Path(0, 0)
        with tracer:
            out = net(image)
        end = tracer.path(out) or _Path(0, 0)
    return Trace(tracer.flops, end.depth, tuple(bool(end.relus >> relu & 1) for relu in range(tracer.relus)))


class _Path(NamedTuple):
    """How a tensor depends on the input: the longest chain of convolutions, and all the ReLUs between them as bits."""

    depth: int
    relus: int


class _Tracer(TorchFunctionMode):
    """Counts, and carries a `_Path` from the arguments of each torch function to its results."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.relus = 0
        self.paths: dict[Tensor, _Path] = {}  # a tensor that is no key does not depend on the input
        self.handlers: dict[Callable[..., Any], Callable[..., Any]] = normalising(no_normalisation)

    def path(self, arguments: Any) -> _Path | None:
        paths = [self.paths[t] for t in _tensors(arguments) if t in self.paths]
        if len(paths) < 2:
            return paths[0] if paths else None
        return _Path(max(p.depth for p in paths), reduce(or_, (p.relus for p in paths)))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        path = None if func in CONSTANTS else self.path((args, kwargs))
        out = self.handlers.get(func, func)(*args, **kwargs)
        if func is CONVOLUTION or func is LINEAR:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            self.flops += out[0].numel() * weight[0].numel()
        if func is CONVOLUTION and path:
            path = path._replace(depth=path.depth + 1)
        if func in RELUS:
            if path:
                path = path._replace(relus=path.relus | 1 << self.relus)
            self.relus += 1
        if path:
            self.paths.update((t, path) for t in _tensors(out))
        return out


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for part in value for tensor in _tensors(part)]


CONSTANTS = {torch.zeros_like, torch.ones_like, torch.empty_like, torch.rand_like, torch.randn_like, torch.full_like,
             Tensor.new_zeros, Tensor.new_ones, Tensor.new_empty, Tensor.new_full}  # fmt: skip
"""Functions whose results depend on the shape of their argument, not on its values."""
