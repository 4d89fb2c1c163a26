"""The types of numbers that a network computes in: its own, or float64 throughout."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

WIDER = {
    torch.float32: torch.float64, torch.float16: torch.float64, torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128, torch.complex32: torch.complex128,
}  # fmt: skip
"""The replacement of each shorter type where everything is float64."""

CONVERSIONS = {
    Tensor.float: Tensor.double, Tensor.half: Tensor.double, Tensor.bfloat16: Tensor.double,
    Tensor.cfloat: Tensor.cdouble, Tensor.chalf: Tensor.cdouble,  # type: ignore[attr-defined]
}  # fmt: skip


WRITING = re.compile(r".*[^_]_|__(i.*|set|setitem)__")
"""Names of functions that write to an argument, which has to stay the same tensor."""


def placed(net: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """``net`` on a device, ready for images of ``dtype``: float32 or float64.

    In float64 all its floating-point numbers are float64, and complex ones complex128. In float32 it keeps its own
    types, for which it has its reasons, unless it is of a single other one throughout.
    """
    types = {parameter.dtype for parameter in net.parameters() if parameter.is_floating_point()}
    casts: dict[torch.dtype, torch.dtype] = {}
    if dtype == torch.float64:
        casts = WIDER
    elif len(types) == 1 and types != {dtype}:
        casts = dict.fromkeys(types, dtype) | {torch.complex128: torch.complex64}
    net._apply(lambda tensor: tensor.to(device, casts.get(tensor.dtype, tensor.dtype)))  # type: ignore[no-untyped-call]
    return net


def number_type(net: nn.Module, inputs: Tensor) -> torch.dtype:
    """The type of numbers in which ``net`` computes on ``inputs``: theirs, and of tokens its first parameter's."""
    if inputs.is_floating_point():
        return inputs.dtype
    own = (parameter.dtype for parameter in net.parameters() if parameter.is_floating_point())
    return next(own, torch.get_default_dtype())


def computing_in(dtype: torch.dtype) -> AbstractContextManager[Any]:
    """A context in which, if ``dtype`` is float64, no result is of a shorter type, whatever the network asks for."""
    return Float64() if dtype == torch.float64 else nullcontext()


class Float64(TorchFunctionMode):
    """A context in which conversions to shorter types are conversions to float64, as are arguments and results of
    shorter types: a network that computes in types of its own does so in float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = _asking(args), _asking(kwargs or {})
        if not (kwargs.keys() & {"out"} or WRITING.fullmatch(getattr(func, "__name__", ""))):
            args, kwargs = wide(args), wide(kwargs)
        result = CONVERSIONS.get(func, func)(*args, **kwargs)
        return result if args and result is args[0] else wide(result)


def wide(value: Any) -> Any:
    """``value`` with all shorter tensors in it, in tuples, lists and dictionaries, converted to float64."""
    if isinstance(value, Tensor):
        return value.to(WIDER[value.dtype]) if value.dtype in WIDER else value
    if isinstance(value, dict):
        return {key: wide(part) for key, part in value.items()}
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        parts = [wide(part) for part in value]
        if all(map(is_, parts, value)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _asking(arguments: Any) -> Any:
    """Arguments that ask for float64 where they ask for a shorter type."""
    if isinstance(arguments, dict):
        return {
            name: WIDER.get(value, value) if isinstance(value, torch.dtype) else value
            for name, value in arguments.items()
        }
    return tuple(WIDER.get(value, value) if isinstance(value, torch.dtype) else value for value in arguments)
