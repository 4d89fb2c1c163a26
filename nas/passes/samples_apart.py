"""The calls of torch functions that are known to treat the samples of a batch apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.passes.intercept import CONVOLUTION, DROPOUTS, LINEAR, Intercept

ROWS = "nas_rows"
"""The attribute of a tensor whose rows are known to be the samples: its version at that time."""
QUESTIONS = {Tensor.dim, *(getattr(Tensor, name).__get__ for name in ("ndim", "dtype", "device"))}
"""Attributes that a network may read, since they do not tell how many samples there are."""
ELEMENTWISE = {
    Tensor.clone, Tensor.contiguous, Tensor.add, Tensor.add_, Tensor.sub, Tensor.mul, Tensor.div, torch.add, torch.mul,
    torch.zeros_like, F.relu, torch.relu, torch.relu_, F.relu6, F.hardtanh, F.leaky_relu, F.gelu, F.silu, F.hardswish,
    F.hardsigmoid, torch.sigmoid, Tensor.sigmoid, torch.tanh, *DROPOUTS,
}  # fmt: skip
POOLING = {F.avg_pool2d, F.max_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
WEIGHTED = {CONVOLUTION: 4, F.batch_norm: 2, LINEAR: 2}
"""Functions with weights, and the fewest dimensions of an input whose first one is the batch."""


class NotKnown(BaseException):
    """Ends a pass at a call that is not known to treat samples apart. A network must not catch it."""


class Watch(Intercept):
    """Intercepts as long as no row of any result depends on another sample's, and then raises `NotKnown`.

    Rows are followed from the images on. Tensors from elsewhere are not known (from functions that are not intercepted,
    as those of TorchScript), nor is anything that a network decides by the number of samples.

    Args:
        constants: the parameters and buffers of the network.
    """

    def __init__(
        self, handlers: Mapping[Callable[..., Any], Callable[..., Any]], samples: int, constants: Iterable[Tensor]
    ) -> None:
        super().__init__(handlers)
        self.samples = samples
        self.constants = set(constants)
        self.images: Tensor | None = None
        self.ended = False

    def follow(self, images: Tensor) -> Tensor:
        """``images``, a fresh tensor, from which rows are followed."""
        self.images = images
        return images

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        queries = func in QUESTIONS or func is Tensor.size
        is_apart = (queries or self._known(func, args, kwargs)) and apart(func, args, kwargs, self.samples)
        if self.ended or not is_apart:
            self.ended = True
            raise NotKnown
        result = super().__torch_function__(func, types, args, kwargs)
        if isinstance(result, Tensor) and result not in self.constants:
            setattr(result, ROWS, result._version)
        return result

    def _known(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether it is known which tensors are rows: all but the weights of layers, and numbers that count calls."""
        parts = args[0] if function is torch.cat and args else (*args, *kwargs.values())
        tensors = [part for part in parts if isinstance(part, Tensor)]
        if not tensors:
            return False
        first, *others = tensors
        if function in WEIGHTED:
            return self._is_rows(first) and all(other in self.constants for other in others)
        if first.ndim == 0 and not others:
            return first in self.constants
        return all(map(self._is_rows, tensors))

    def _is_rows(self, tensor: Tensor) -> bool:
        return getattr(tensor, ROWS, 0 if tensor is self.images else None) == tensor._version


def apart(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], samples: int) -> bool:
    """Whether a call is known to give rows that are the samples, each computed from its own row of each argument.

    True only where the arguments are rows of samples, except weights and running statistics. Batch norm is taken to
    normalise each sample by itself. Where False, nothing is known.
    """
    if function in QUESTIONS:
        return True
    if function is Tensor.size:
        return len(args) > 1 and isinstance(args[1], int) and args[1] > 0
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
