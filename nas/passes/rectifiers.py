"""The ReLUs of a network, however they are written: operations that set numbers to zero, or bend them, where they are
not positive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from nas.passes.operations import Dispatch, aten

RELUS = frozenset({
    aten.relu, aten.relu_, aten.leaky_relu, aten.leaky_relu_, aten._prelu_kernel, aten.prelu, aten.rrelu,
    aten.rrelu_, aten.rrelu_with_noise, aten.rrelu_with_noise_, aten.rrelu_with_noise_functional,
})  # fmt: skip

BOUNDED: dict[Any, Callable[..., bool]] = {
    **dict.fromkeys((aten.clamp, aten.clamp_), lambda x, min=None, max=None: _is_zero(min)),
    **dict.fromkeys((aten.clamp_min, aten.clamp_min_), lambda x, min: _is_zero(min)),
    **dict.fromkeys((aten.hardtanh, aten.hardtanh_), lambda x, min_val=-1, max_val=1: _is_zero(min_val)),
    **dict.fromkeys((aten.threshold, aten.threshold_), lambda x, threshold, value: _is_zero(threshold, value)),
}
"""Operations that are ReLUs with certain bounds."""

SELECTIONS = frozenset({
    aten.where, aten.maximum, aten.fmax, aten.mul, aten.mul_, aten.masked_fill, aten.masked_fill_, aten.index_put,
    aten.index_put_, aten.masked_scatter, aten.clamp, aten.clamp_min, aten.clamp_, aten.clamp_min_,
})  # fmt: skip
"""Operations that are ReLUs where their result is that of one."""

COMPARISONS = frozenset({aten.gt, aten.ge, aten.lt, aten.le, aten.sign, aten.sgn, aten.heaviside, aten.signbit})


class Rectifiers(Dispatch):  # type: ignore[no-untyped-call]
    """A context in which ``visit`` gets the input > 0, [samples, units] bool, of each ReLU: before it runs, or
    afterwards where it is written as a selection."""

    def __init__(self, visit: Callable[[Tensor], None], samples: int, parameters: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.visit = visit
        self.samples = samples
        self.parameters = {parameter.data_ptr() for parameter in parameters}
        self.compared = False  # so far; without a comparison no product selects

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind, kwargs = func.overloadpacket, kwargs or {}
        if kind in RELUS or (kind in BOUNDED and BOUNDED[kind](*args, **kwargs)):
            self.take(args[0], args[0] > 0)
            return func(*args, **kwargs)
        self.compared = self.compared or kind in COMPARISONS
        if kind not in SELECTIONS or (kind in (aten.mul, aten.mul_) and not self.compared):
            return func(*args, **kwargs)
        inputs = [x for x in args if isinstance(x, Tensor) and x.is_floating_point()]
        rectified = [(x, x > 0, x.clamp_min(0)) for x in inputs if bool((x < 0).any())]  # before it is written to
        out = func(*args, **kwargs)
        for x, positive, expected in rectified:
            if isinstance(out, Tensor) and torch.equal(out, expected):
                self.take(x, positive)
                break
        return out

    def take(self, x: Tensor, positive: Tensor) -> None:
        if x.data_ptr() in self.parameters:  # it bounds a weight, which is not a unit of the network
            return
        if x.ndim == 0 or len(x) != self.samples:
            rows = 1 if x.ndim == 0 else len(x)
            raise ValueError(f"a ReLU takes {rows} rows for {self.samples} images: which are whose is not known")
        self.visit(positive.flatten(1) if x.ndim > 1 else positive[:, None])


def _is_zero(*values: Any) -> bool:
    return all(isinstance(value, int | float) and value == 0 for value in values)
