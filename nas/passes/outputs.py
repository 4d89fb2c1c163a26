"""A forward pass that shows the outputs of layers, for proxies without gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nas.passes.intercept import Intercept, Visits, batch_normalisation_of_several, normalising
from nas.passes.operations import (
    ATTENTIONS,
    BATCH_NORMS,
    CONVOLUTIONS,
    SOFTMAXES,
    Dispatched,
    first_tensor,
)
from nas.passes.running import untouched


class Output(NamedTuple):
    """What a module gives.

    Attributes:
        name: that of the module, by which random numbers for it may be drawn.
        module: the module. Look, do not touch.
        value: [samples, …]; the first tensor where it gives several.
    """

    name: str
    module: nn.Module
    value: Tensor


def visit_modules(net: nn.Module, images: Tensor, visits: Visits) -> None:
    """A forward pass, batch norm in training mode over the images.

    Visitors:
        modules: the `Output` of each module for these images, containers too, whenever it has run; what has another
            number of rows than there are images, as a computed weight, is left out.
    """

    def watched(name: str) -> Any:
        def look(module: nn.Module, inputs: Any, out: Any) -> None:
            value = first_tensor(out)
            if value is not None and value.ndim > 1 and len(value) == len(images) and value.is_floating_point():
                visits["modules"](Output(name, module, value.detach()))

        return look

    with untouched(net) as run, torch.no_grad():
        hooks = [module.register_forward_hook(watched(name)) for name, module in net.named_modules()]
        try:
            run(images, Intercept(normalising(batch_normalisation_of_several)))
        finally:
            for hook in hooks:
                hook.remove()


def visit_outputs(net: nn.Module, images: Tensor, visits: Visits) -> None:
    """A forward pass, batch norm in training mode over the images.

    Visitors:
        convolutions: the output of each convolution, [samples, channels, …].
        last: the last feature map of more than one pixel, [samples, channels, height, width]: the result of an
            operation, except between an attention and the next convolution, where four dimensions may mean heads and
            tokens; without a convolution after the last attention there is none.
        variances: for each batch norm, the variance of each channel of its input over the images: [channels] float64,
            zero where the channel is constant up to rounding.
    """
    last: list[Tensor] = []
    attending = False

    def look(kind: Any, args: Any, kwargs: Any, out: Any) -> None:
        nonlocal attending
        result = first_tensor(out)
        if result is None:
            return
        if kind in BATCH_NORMS and "variances" in visits:
            visits["variances"](channel_variances(args[0]))
        if kind in CONVOLUTIONS:
            attending = False
            if "convolutions" in visits:
                visits["convolutions"](result)
        elif kind in ATTENTIONS or (kind in SOFTMAXES and result.ndim > 2 and min(result.shape[-2:]) > 1):
            attending = True
            last.clear()
        if not attending and result.ndim == 4 and result[0, 0].numel() > 1 and result.is_floating_point():
            last[:] = [result]

    @contextmanager
    def watched() -> Iterator[None]:
        with Intercept(normalising(_normalise)), Dispatched(look):
            yield

    with untouched(net) as run, torch.no_grad():
        run(images, watched())
    if "last" in visits and last:
        visits["last"](last[0])


def _normalise(x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Tensor:
    """Training-mode batch norm, also where a channel has a single value."""
    return torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)[0]


def channel_variances(x: Tensor) -> Tensor:
    """The variance of each channel of [samples, channels, …], float64; zero where it is rounding."""
    channels = x.double().transpose(0, 1).flatten(1)
    variances = channels.var(1, correction=0)
    rounding = (4 * torch.finfo(x.dtype).eps) ** 2 * channels.square().mean(1)
    return torch.where(variances > rounding, variances, 0.0)
