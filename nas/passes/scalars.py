"""The Jacobian with respect to one scalar of each weight, batch norm in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.passes.intercept import (
    CONVOLUTION,
    LINEAR,
    Intercept,
    Visits,
    attention_projected_by,
    normalising,
    running_normalisation,
    sample_normalisation,
)
from nas.passes.layers import check_samples, seen_by_first_entry
from nas.passes.running import untouched
from nas.passes.tokens import are_tokens
from nas.passes.weights import check_weights, gradients_of, require_gradients, weights_of


def visit_scalars(net: nn.Module, images: Tensor, visits: Visits, each_by_itself: bool = False) -> None:
    """Passes of all images with batch norm in evaluation mode, or ``each_by_itself`` normalised: one forward, and one
    backward for each class.

    Visitors:
        scalars: the logits [samples, classes], and their Jacobian [samples, classes, weights] with respect to the first
            entry of each convolution and linear weight, as one pair.
    """
    if are_tokens(images):
        raise ValueError("there are too many logits of a sequence to differentiate each of them by itself")
    weights = weights_of(net, [images])
    check_weights(weights)
    place = {weight.data_ptr(): number for number, weight in enumerate(weights)}  # shared by its first rows
    own = {tensor.untyped_storage().data_ptr() for tensor in (*weights, *net.buffers())}
    rows = images.new_zeros(len(weights), len(images))

    def follow(out: Tensor, weight: Tensor, gain: Callable[[], Tensor], channel: int) -> Tensor:
        """``gain()``, [samples, …], is the derivative of the output's first channel by the weight's first entry."""
        if weight.untyped_storage().data_ptr() not in own:
            raise ValueError("the weight of a layer is computed from others: its entries are not the network's own")
        if weight.data_ptr() not in place or not out.requires_grad:
            return out
        check_samples(out, len(images))
        factor, row = gain().to(out.dtype).reshape(len(out), -1), rows[place[weight.data_ptr()]]

        def add(gradient: Tensor) -> None:
            row.add_(torch.linalg.vecdot(gradient.select(channel, 0).reshape(factor.shape), factor))

        out.register_hook(add)  # type: ignore[no-untyped-call]
        return out

    def convolve(
        input: Tensor, weight: Tensor, bias: Any = None,
        stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        out = F.conv2d(input, weight, bias, stride, padding, dilation, groups)
        gain = partial(seen_by_first_entry, input.detach(), weight, out.shape, stride, padding, dilation)
        return follow(out, weight, gain, 1)

    def linear(input: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
        return follow(F.linear(input, weight, bias), weight, lambda: input.detach()[..., 0], -1)

    handlers = normalising(sample_normalisation if each_by_itself else running_normalisation) | {
        CONVOLUTION: convolve,
        LINEAR: linear,
    }
    handlers[F.multi_head_attention_forward] = attention_projected_by(linear)
    with untouched(net) as run:
        net.eval()
        require_gradients(net)
        images = images.detach().requires_grad_()
        logits = run(images, Intercept(handlers))
        jacobian = []
        for logit in logits.sum(0):
            rows.zero_()
            gradients_of(logit, [images], retain_graph=True)
            jacobian.append(rows.T.clone())
    visits["scalars"]((logits.detach(), torch.stack(jacobian, 1)))
