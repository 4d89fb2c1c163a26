"""What a network costs and how its parts depend on each other, from one forward pass of one image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from nas.passes.intercept import CONVOLUTION, LINEAR, no_normalisation, normalising
from nas.passes.running import untouched


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

    Only the shapes and the order of the calls matter, so batch norm is skipped, which one image may not admit.
    """
    tracer = _Tracer()
    with untouched(net), torch.no_grad():
        tracer.depths[image] = 0
        with tracer:
            out = net(image)
    return Trace(tracer.flops, tracer.depth(out) or 0)


class _Tracer(TorchFunctionMode):
    """Counts, and carries the number of convolutions behind each tensor from function to function."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.depths: dict[Tensor, int] = {}  # a tensor that is no key does not depend on the input
        self.handlers: dict[Callable[..., Any], Callable[..., Any]] = normalising(no_normalisation)

    def depth(self, arguments: Any) -> int | None:
        return max((self.depths[t] for t in _tensors(arguments) if t in self.depths), default=None)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        depth = None if func in CONSTANTS else self.depth((args, kwargs))
        out = self.handlers.get(func, func)(*args, **kwargs)
        if func is CONVOLUTION or func is LINEAR:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            self.flops += out[0].numel() * weight[0].numel()
        if func is F.multi_head_attention_forward:  # its projections are computed out of sight
            query, key, value = args[:3]
            self.flops += (2 * query.numel() + key.numel() + value.numel()) * query.shape[-1]
        if depth is not None:
            self.depths.update((t, depth + (func is CONVOLUTION)) for t in _tensors(out))
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
