"""Dextr (Asthana et al. 2025, arXiv:2508.12977)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from nas.probe import Output, Probe
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range

PAPER = "Asthana et al. 2025, arXiv:2508.12977"

LOGITS = 10
"""How many are drawn, with replacement."""


@proxy("dextr_condition", family="activations", passes=0.40, paper=PAPER)
def dextr_condition(probe: Probe) -> Tensor:
    """How evenly what each module gives fills its channels, summed over modules; larger is better.

        S = Σ_modules σ_min / σ_max of [channels, pixels], for one image, not centred

    The first part of `dextr`, which by itself ranks better on NAS-Bench-201. The image is the minibatch's first, alone,
    batch norm in training mode on it. Modules are those without parts: containers, which the published code counts too,
    would count the same output again, so that the sum depended on how a network is written. What has a single column,
    as linear layers and pooled maps, adds 1, and what is zero nothing.
    """
    return torch.stack([ratio for ratio in probe.map_modules(condition, samples=1) if ratio is not None]).sum()


def condition(output: Output) -> Tensor | None:
    if next(output.module.children(), None) is not None:
        return None
    value = output.value[0].double()
    value = value.flatten(1) if value.ndim > 1 else value[:, None]
    if value.shape[1] > 2 * len(value):  # R of a QR decomposition has the same singular values, and is a square
        value = torch.linalg.qr(value.T, mode="r").R
    values = torch.linalg.svdvals(value)
    ratio: Tensor = (values[-1] / values[0]).nan_to_num(nan=0.0, posinf=0.0)
    return ratio


@proxy("dextr", family="Jacobians", passes=1.7, needs=("images",), paper=PAPER)
def dextr(probe: Probe, *, curves: Annotated[int, Range(1)] = 4, size: Annotated[int, Range(0)] = 0) -> Tensor:
    """Evenness of feature maps and curvature of what the network makes of a circle; larger is better.

        a b / (a + b),   a = log(1 + S),   b = log(1 + κ),   S `dextr_condition`
        κ = √(|v|² |a|² − (v · a)²) / |v|³,   v = f'(0), a = f''(0),   f(θ) = f(u₁ cos θ + u₂ sin θ)

    f are ten of the logits, drawn with replacement, u₁ and u₂ random, orthonormal: one input of noise, of length 1, on
    which alone batch norm is in training mode. Labels do not count. Fails where κ is not defined, as the logits do not
    move along the circle (where the published code falls back to a alone, another scale), and on whatever else that
    code gives 12345 for.

    Args:
        curves: κ is the geometric mean over so many (ours; the published code takes one: κ of one network varies by
            half of itself with the draw).
        size: of the input, in pixels; 0 is that of the images. The published code takes 64 on NAS-Bench-201.
    """
    s = dextr_condition(probe).log1p()
    stream = torch.Generator().manual_seed(probe.seed)
    shape = probe.images.shape[1:] if size == 0 else (probe.images.shape[1], size, size)
    k = torch.stack([curvature(probe, shape, stream).log() for _ in range(curves)]).mean().exp().log1p()
    return s * k / (s + k)


def curvature(probe: Probe, shape: tuple[int, ...], stream: torch.Generator) -> Tensor:
    """κ of ten logits along one random circle, float64."""
    basis = torch.randn(torch.Size(shape).numel(), 2, generator=stream, dtype=torch.float64)
    u = torch.linalg.qr(basis).Q.T.reshape(2, 1, *shape).to(probe.images)
    angle = torch.zeros((), dtype=u.dtype, device=u.device, requires_grad=True)
    logits = probe.forward(images=u[0] * angle.cos() + u[1] * angle.sin())[0]
    chosen = logits[torch.randint(len(logits), (LOGITS,), generator=stream).to(logits.device)]
    v, a = derivatives(chosen, angle)
    speed, bend = v.square().sum(), a.square().sum()
    square = speed * bend - (v @ a).square()
    if not square > torch.finfo(logits.dtype).eps * speed * bend:  # which is NaN or zero where nothing moves
        raise ProxyFailure("the logits do not bend along a circle of inputs, up to rounding: their curvature is zero")
    return square.clamp_min(0).sqrt() / speed**1.5


def derivatives(values: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivatives of ``values`` [n] with respect to ``angle``, float64, by reverse mode throughout:
    forward mode within forward mode differentiates training-mode batch norm wrongly.

    Reverse mode gives those of a sum w · values, which are linear in w: their own gradient with respect to w has them
    all at once.
    """
    w = torch.ones_like(values, requires_grad=True)
    first = gradient(values @ w, angle, create_graph=True)
    v = gradient(first, w, retain_graph=True)
    a = gradient(gradient(first, angle, create_graph=True), w)
    return v.double(), a.double()


def gradient(value: Tensor, of: Tensor, *, retain_graph: bool = False, create_graph: bool = False) -> Tensor:
    if not value.requires_grad:
        return torch.zeros_like(of)
    (result,) = torch.autograd.grad(
        value, of, retain_graph=retain_graph or create_graph, create_graph=create_graph, allow_unused=True,
        materialize_grads=True,
    )  # fmt: skip
    return result
