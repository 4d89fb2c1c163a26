"""What a network costs and how its parts depend on each other, from one forward pass of one image."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.passes.intercept import Intercept, no_normalisation, normalising
from nas.passes.state import restored

aten = torch.ops.aten


class Trace(NamedTuple):
    """Counts of one network for one input.

    Attributes:
        flops: multiply-accumulates of all convolutions and linear layers, whether the output depends on them or not.
        depth: convolutions on the longest path from the input to the output.
    """

    flops: int
    depth: int


def trace(net: nn.Module, image: Tensor) -> Trace:
    """Runs ``net`` once on ``image`` [1, channels, height, width] and leaves it as it was.

    It counts what torch dispatches, so functions, traced, scripted and compiled networks count as modules do. A matrix
    product is a linear layer's unless both sides depend on the input, as in attention; a batched one, only where a side
    is a parameter itself. Only the shapes and the order of the calls matter, so batch norm is skipped, which one image
    may not admit.

    Raises:
        ValueError: the network calls an operation that is not torch's own, whose cost is not known.
    """
    tracer = _Tracer(net)
    with restored(net), torch.no_grad(), Intercept(normalising(no_normalisation)), tracer:
        tracer.follow([image], 0)
        out = net.train()(image)
    return Trace(tracer.flops, tracer.depth(tree_leaves(out)) or 0)


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, and carries the number of convolutions behind each tensor from operation to operation."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self._parameters = {_memory(parameter) for parameter in net.parameters()}
        self._depths: dict[int, int] = {}  # by memory; what is not in it does not depend on the input
        self._alive: list[Tensor] = []  # so that no memory is used twice

    def depth(self, values: list[Any]) -> int | None:
        return max((self._depths[m] for m in map(_memory, _tensors(values)) if m in self._depths), default=None)

    def follow(self, values: list[Any], depth: int) -> None:
        for tensor in _tensors(values):
            memory = _memory(tensor)
            self._depths[memory] = max(depth, self._depths.get(memory, 0))
            self._alive.append(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace not in OWN:
            raise ValueError(f"what the operation {func.name()} costs is not known")
        out = func(*args, **kwargs)
        kind, given = func.overloadpacket, tree_leaves((args, kwargs))
        if kind in CONVOLUTIONS:
            self.flops += _convolution(out, *args, **kwargs)
        elif kind in PRODUCTS and self._is_linear(*PRODUCTS[kind](args)):
            self.flops += _product(out, PRODUCTS[kind](args)[0])
        elif kind is aten.mkldnn_rnn_layer:
            self.flops += args[0].shape[:2].numel() * (args[1].numel() + args[2].numel())
        depth = None if kind in CONSTANTS else self.depth(given)
        if depth is not None:
            self.follow(tree_leaves(out), depth + (kind in CONVOLUTIONS))
        return out

    def _is_linear(self, *sides: Tensor) -> bool:
        constant = [side for side in sides if self.depth([side]) is None]
        return bool(constant) and (sides[0].ndim < 3 or any(_memory(side) in self._parameters for side in constant))


def _tensors(values: list[Any]) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]


def _memory(tensor: Tensor) -> int:
    """What a tensor shares with its views."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:  # a kind of tensor without storage has no views either
        return id(tensor)


def _convolution(out: Tensor, input: Tensor, weight: Tensor, *geometry: Any, **named: Any) -> int:
    transposed = named.get("transposed", geometry[4] if len(geometry) > 4 else False)
    return (input if transposed else out).numel() * prod(weight.shape[1:])


def _product(out: Tensor, left: Tensor) -> int:
    return out.numel() * left.shape[-1]


OWN = frozenset({"aten", "prim", "prims", "profiler", "inductor"})
"""Namespaces of operations that are torch's own."""

CONVOLUTIONS = frozenset({aten.convolution, aten._convolution})

PRODUCTS: dict[Any, Callable[[Any], tuple[Tensor, ...]]] = {
    aten.mm: lambda args: args[:2],
    aten.bmm: lambda args: args[:2],
    aten.mv: lambda args: args[:2],
    aten.dot: lambda args: args[:2],
    aten.addmm: lambda args: args[1:3],
    aten.addmv: lambda args: args[1:3],
    aten.addbmm: lambda args: args[1:3],
    aten.baddbmm: lambda args: args[1:3],
}
"""The two sides of each matrix product."""

CONSTANTS = frozenset({
    aten.zeros_like, aten.ones_like, aten.empty_like, aten.full_like, aten.rand_like, aten.randn_like,
    aten.randint_like, aten.new_zeros, aten.new_ones, aten.new_empty, aten.new_full, aten.new_empty_strided,
})  # fmt: skip
"""Operations whose results depend on the shape of their argument, not on its values."""
