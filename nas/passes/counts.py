"""A network's costs and how its parts depend on each other, from one forward pass of one image."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from nas.passes.intercept import LINEAR, Intercept, attention_without_dropout, no_normalisation, normalising
from nas.passes.operations import CONVOLUTIONS, PRODUCTS, RECURRENT, TRANSPOSED, Dispatch, aten, is_known
from nas.passes.pooling import POOLINGS
from nas.passes.state import restored


class Counts(NamedTuple):
    """What a network costs for one input.

    Attributes:
        params: its parameters, including those that the output does not depend on.
        flops, depth: see `Trace`.
    """

    params: int
    flops: int
    depth: int


class Trace(NamedTuple):
    """Counts of one network for one input.

    Attributes:
        flops: multiply-accumulates of all convolutions and linear layers, whether the output depends on them or not.
        path: convolutions on the longest path from the input to the output; None where the output does not depend on
            the input.
        convolutions: all that run, counted as often as they run; None where nobody has counted.
    """

    flops: int
    path: int | None
    convolutions: int | None = None

    @property
    def depth(self) -> int:
        """The longest path, zero where there is none."""
        return self.path or 0


def trace(net: nn.Module, image: Tensor) -> Trace:
    """Runs ``net`` once on ``image`` [1, channels, height, width] and leaves it as it was.

    It counts what torch dispatches, so functions and traced, scripted and compiled networks count as modules do.

    - Convolutions have one to three dimensions and may be transposed; all that run are counted.
    - A matrix product, also one within ``einsum`` or a recurrent layer, belongs to a linear layer where one of its
      sides depends on the input and the other does not. Attention, where both do, is not counted, nor are its relative
      positions where they are looked up in a table. Where neither side depends on the input, the product belongs to a
      layer whose input is constant, or computes a weight, which is not counted. Sums of products that are written
      without a matrix product are not seen.
    - A bilinear layer counts the product of its first input with its weight. Complex numbers count as the operations on
      real ones that torch computes for them: four for a product, three for a convolution.

    Only the shapes and the order of the calls matter, so batch norm, which may not work for one image, is skipped.

    Raises:
        ValueError: the network calls an operation whose cost is not known: one that is not torch's own, or works on
            sparse or quantised numbers.
    """
    counter = _Counter(net)
    with restored(net), torch.no_grad(), Intercept(normalising(no_normalisation) | counter.handlers), counter:
        counter.follow([image], 0)
        out = net.train()(image)
    return Trace(counter.flops, counter.depth(tree_leaves(out)), counter.convolutions)


class _Counter(Dispatch):  # type: ignore[no-untyped-call]
    """Counts, and carries the number of convolutions before each tensor from operation to operation.

    Tensors are identified by their memory, which views share.

    Attributes:
        handlers: functions whose products are told apart from others while they run.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.convolutions = 0
        self.handlers: dict[Any, Callable[..., Any]] = {
            LINEAR: self._within_layer(F.linear),
            F.multi_head_attention_forward: self._within_layer(attention_without_dropout),
            **{pooling: pooling for pooling in POOLINGS},  # not by products, which are counted
        }
        self._parameters = {_memory(parameter) for parameter in net.parameters()}
        self._own = self._parameters | {_memory(buffer) for buffer in net.buffers()}
        self._depths: dict[int, int] = {}  # of what depends on the input
        self._looked_up: set[int] = set()
        self._alive: list[Tensor] = []  # so that no memory is used twice
        self._layers = 0  # that run now

    def depth(self, values: list[Any]) -> int | None:
        """The largest number of convolutions before any of these; None where none depends on the input."""
        return max((self._depths[m] for m in map(_memory, _tensors(values)) if m in self._depths), default=None)

    def follow(self, values: list[Any], depth: int) -> None:
        for tensor in _tensors(values):
            memory = _memory(tensor)
            self._depths[memory] = max(depth, self._depths.get(memory, 0))
            self._alive.append(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not is_known(func):
            with self:  # in inference mode torch's composed functions come as a whole
                out = func.decompose(*args, **kwargs)
            if out is NotImplemented:
                raise ValueError(f"what the operation {func.name()} costs is not known")
            return out
        out = func(*args, **kwargs)
        kind, arguments = func.overloadpacket, tree_leaves((args, kwargs))
        self.flops += self._cost(kind, out, args, kwargs)
        self.convolutions += kind in CONVOLUTIONS
        depth = None if kind in CONSTANTS else self.depth(arguments)
        if depth is not None:
            self.follow(tree_leaves(out), depth + (kind in CONVOLUTIONS))
        elif kind in LOOK_UPS or any(_memory(tensor) in self._looked_up for tensor in _tensors(arguments)):
            self._looked_up.update(map(_memory, _tensors(tree_leaves(out))))
            self._alive += _tensors(tree_leaves(out))
        return out

    def _cost(self, kind: Any, out: Any, args: Any, kwargs: Any) -> int:
        cost = 0
        if kind in CONVOLUTIONS:
            input, weight, *rest = args
            transposed = kind in TRANSPOSED or kwargs.get("transposed", len(rest) > 4 and rest[4] is True)
            cost = (input if transposed else out).numel() * prod(weight.shape[1:])
        elif kind in PRODUCTS:
            left, right = args[PRODUCTS[kind] : PRODUCTS[kind] + 2]
            if self._is_linear(left, right):
                columns = right.shape[-1] if right.ndim > 1 else 1
                cost = left.numel() * columns * (4 if left.is_complex() else 1)
        elif kind in RECURRENT:
            weights = sum(weight.numel() for weight in RECURRENT[kind](args) if weight.ndim > 1)
            cost = args[0].shape[:-1].numel() * weights
        elif kind is aten._trilinear:
            cost = args[0].shape[0] * args[1].numel()
        return cost

    def _is_linear(self, left: Tensor, right: Tensor) -> bool:
        constant = [side for side in (left, right) if self.depth([side]) is None]
        if len(constant) == 1:
            return constant[0].ndim < 3 or _memory(constant[0]) not in self._looked_up
        if not constant or left.ndim != 2 or right.ndim != 2:
            return False
        memories = {_memory(left), _memory(right)}
        return self._layers > 0 or (len(memories & self._parameters) == 1 == len(memories & self._own))

    def _within_layer(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            self._layers += 1
            try:
                return function(*args, **kwargs)
            finally:
                self._layers -= 1

        return run


def _tensors(values: list[Any]) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]


def _memory(tensor: Tensor) -> int:
    """The memory of a tensor, which it shares with its views."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:  # a kind of tensor without storage has no views either
        return id(tensor)


LOOK_UPS = frozenset({aten.index, aten.index_select, aten.gather, aten.embedding, aten.take})

CONSTANTS = frozenset({
    aten.zeros_like, aten.ones_like, aten.empty_like, aten.full_like, aten.rand_like, aten.randn_like,
    aten.randint_like, aten.new_zeros, aten.new_ones, aten.new_empty, aten.new_full, aten.new_empty_strided,
})  # fmt: skip
"""Operations whose results depend on the shape of their argument, not on its values."""
