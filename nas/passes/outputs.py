"""A forward pass in which the outputs of layers are looked at, for proxies without gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.passes.intercept import ATTENTIONS, CONVOLUTION, SOFTMAXES, Intercept, Visits, normalising
from nas.passes.running import untouched


def visit_outputs(net: nn.Module, images: Tensor, visits: Visits) -> None:
    """A forward pass, batch norm in training mode over the images.

    Visitors:
        convolutions: the output of each convolution, [samples, channels, height, width].
        last: the last feature map of more than one pixel, [samples, channels, height, width]: what a function gave, but
            from an attention to the next convolution, where four dimensions may mean heads and tokens; without a
            convolution after the last attention there is none.
        variances: the variance of each channel of what each batch norm takes, over the images: [channels] float64, zero
            where the channel is constant up to rounding.
    """
    last: list[Tensor] = []
    attending = False

    class Watch(Intercept):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal attending
            out = super().__torch_function__(func, types, args, kwargs)
            if func in ATTENTIONS or (func in SOFTMAXES and out.ndim > 2 and min(out.shape[-2:]) > 1):
                attending = True
                last.clear()
            attending = attending and func is not CONVOLUTION
            if attending or not isinstance(out, Tensor):
                return out
            if out.ndim == 4 and out[0, 0].numel() > 1 and out.is_floating_point():
                last[:] = [out]
            return out

    def normalise(x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Tensor:
        if "variances" in visits:
            visits["variances"](channel_variances(x))
        return torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)[0]

    def convolve(*args: Any, **kwargs: Any) -> Tensor:
        out = F.conv2d(*args, **kwargs)
        if "convolutions" in visits:
            visits["convolutions"](out)
        return out

    with untouched(net) as run, torch.no_grad():
        run(images, Watch(normalising(normalise) | {CONVOLUTION: convolve}))
    if "last" in visits and last:
        visits["last"](last[0])


def channel_variances(x: Tensor) -> Tensor:
    """The variance of each channel of [samples, channels, …], float64; zero where it is rounding."""
    channels = x.double().transpose(0, 1).flatten(1)
    variances = channels.var(1, correction=0)
    rounding = (4 * torch.finfo(x.dtype).eps) ** 2 * channels.square().mean(1)
    return torch.where(variances > rounding, variances, 0.0)
