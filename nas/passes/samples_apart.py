"""Which calls of torch functions are known to treat the samples of a batch apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.passes.intercept import CONVOLUTION, DROPOUTS, LINEAR, Intercept

QUESTIONS = {Tensor.dim, Tensor.size, *(getattr(Tensor, name).__get__ for name in ("ndim", "shape", "dtype", "device"))}
ELEMENTWISE = {
    Tensor.clone, Tensor.contiguous, Tensor.add, Tensor.add_, Tensor.sub, Tensor.mul, Tensor.div, torch.add, torch.mul,
    torch.zeros_like, F.relu, torch.relu, torch.relu_, F.relu6, F.hardtanh, F.leaky_relu, F.gelu, F.silu, F.hardswish,
    F.hardsigmoid, torch.sigmoid, Tensor.sigmoid, torch.tanh, *DROPOUTS,
}  # fmt: skip
POOLING = {F.avg_pool2d, F.max_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
WEIGHTED = {CONVOLUTION: 4, F.batch_norm: 2, LINEAR: 2}
"""With the fewest dimensions of an input whose first one is the batch."""


class Watch(Intercept):
    """Intercepts, and notes whether every call was `apart`: then no row of any result depends on another sample's.

    Attributes:
        apart: whether that is so, as far as is known.
    """

    def __init__(self, handlers: Mapping[Callable[..., Any], Callable[..., Any]], samples: int) -> None:
        super().__init__(handlers)
        self.samples = samples
        self.apart = True

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.apart = self.apart and apart(func, args, kwargs or {}, self.samples)
        return super().__torch_function__(func, types, args, kwargs)


def apart(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], samples: int) -> bool:
    """Whether a call is known to give rows that are the samples, each computed from its own row of each argument.

    True only where every tensor computed from the images is known to have the samples as its rows: it is for the first
    call, and stays so from call to call. Batch norm counts as what normalises each sample by itself. Where False,
    nothing is known.
    """
    if function in QUESTIONS:
        return True
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    if function is torch.cat and args:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        return dim > 0 and all(len(tensor) == samples for tensor in args[0])
    if not args or not tensors:
        return False
    first, *others = tensors
    if function in ELEMENTWISE:
        return all(other.ndim == first.ndim and (first.ndim == 0 or len(other) == samples) for other in tensors)
    if function in WEIGHTED:
        own = all(isinstance(other, nn.Parameter) or other.ndim == 1 for other in others)  # and running statistics
        return own and first.ndim >= WEIGHTED[function] and len(first) == samples
    if function in POOLING:
        return first.ndim == 4
    if function is F.pad:
        return len(args) > 1 and len(args[1]) < 2 * first.ndim
    if function in (Tensor.flatten, torch.flatten):
        return len(args) > 1 and args[1] > 0
    return function is Tensor.__getitem__ and isinstance(args[1], tuple) and _keeps_rows(args[1])


def _keeps_rows(index: tuple[Any, ...]) -> bool:
    """Whether ``tensor[index]`` has all rows in their order."""
    return all(isinstance(part, slice) for part in index) and index[:1] == (slice(None),)
