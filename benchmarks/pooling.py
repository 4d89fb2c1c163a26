"""Forward and backward pass of 3 x 3 pooling with stride 1 on a CPU: torch's kernels and those of `nas.passes.pooling`,
beside a 3 x 3 convolution.

    OMP_NUM_THREADS=1 python -m benchmarks.pooling [--samples 16]

Prints milliseconds, the best of 15 rounds each, for feature maps of the given channels and pixels a side. Larger ones
than `MAX_PIXELS` are averaged by products here, too, to see where these stop being the faster way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from unittest.mock import patch

import torch
import typer
from torch import Tensor
from torch.nn import functional as F

from nas.passes import pooling

SHAPES = ((16, 32), (32, 16), (64, 8), (16, 64), (16, 96), (16, 128), (16, 224))
ROUNDS = 15


def main(samples: int = 16) -> None:
    for channels, pixels in SHAPES:
        x, weight = torch.randn(samples, channels, pixels, pixels), torch.randn(channels, channels, 3, 3)
        cases: dict[str, Callable[[Tensor], Tensor]] = {
            "average, torch": lambda x: F.avg_pool2d(x, 3, 1, 1, False, False),
            "average": lambda x: pooling.average_pooling(x, 3, 1, 1, False, False),
            "maximum, torch": lambda x: F.max_pool2d(x, 3, 1, 1),
            "maximum": lambda x: pooling.max_pooling(x, 3, 1, 1),
            "convolution": lambda x, weight=weight: F.conv2d(x, weight, padding=1),
        }  # fmt: skip
        with patch.object(pooling, "MAX_PIXELS", pixels):
            times = {name: milliseconds(case, x) for name, case in cases.items()}
        print(f"{channels} x {pixels} x {pixels}:", ", ".join(f"{name} {ms:.2f}" for name, ms in times.items()))


def milliseconds(case: Callable[[Tensor], Tensor], x: Tensor) -> float:
    x = x.clone().requires_grad_()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        out = case(x)
        torch.autograd.grad(out, x, out.detach())
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


if __name__ == "__main__":
    typer.run(main)
