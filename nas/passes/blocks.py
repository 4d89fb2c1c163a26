"""Blocks: the per-sample gradients of some weights, as many as fit into memory together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from nas.passes.shown import shared_property

MAX_BLOCK_BYTES = 2**27
"""Bytes that the gradients of one block may take, all samples together; one output channel may take more."""

CHUNK_BYTES = 2**24
"""Bytes of gradients that are in float64 at a time."""

CACHED_BYTES = 2**20
"""Bytes that stay in a processor core's own cache from one operation to the next."""


class Block:
    """The per-sample gradients of one convolution or linear weight, or of some of its output channels.

    Attributes:
        weight: the parameter.
        gradients: [samples, weights of the block], in the parameter's dtype.
        rows: the block's part of the parameter's first dimension; all of it where the gradients fit into
            `MAX_BLOCK_BYTES`.
    """

    def __init__(self, weight: Tensor, gradients: Tensor, rows: slice = slice(None)) -> None:
        self.weight = weight
        self.gradients = gradients
        self.rows = rows

    @shared_property
    def signs(self) -> Tensor:
        """The signs of the gradients, -1, 0 or 1: [samples, weights] int8."""
        signs = torch.empty_like(self.gradients, dtype=torch.int8)
        samples, weights = self.gradients.shape
        piece = max(1, CACHED_BYTES // (4 * weights)) if signs.device.type == "cpu" else samples
        for to, gradients in zip(torch.split(signs, piece), torch.split(self.gradients, piece), strict=True):
            to.copy_(gradients.sign())
        return signs

    @shared_property
    def gram(self) -> Tensor:
        """Inner products of the samples' gradients: [samples, samples] float64."""
        samples = len(self.gradients)
        gram = torch.zeros(samples, samples, dtype=torch.float64, device=self.gradients.device)
        for columns in torch.split(self.gradients, max(1, CHUNK_BYTES // (8 * samples)), 1):
            columns = columns.double()
            gram.addmm_(columns, columns.T)
        return gram

    @shared_property
    def sign_gram(self) -> Tensor:
        """Inner products of the samples' signs: [samples, samples] float64, whole numbers."""
        return product_of_signs(self.signs, self.signs.T)

    def sums(self, group: Tensor, groups: int) -> Tensor:
        """The gradients summed over the samples of each group: [groups, weights].

        Args:
            group: the group of each sample, [samples] whole numbers below ``groups``.
        """
        if self.gradients.device.type == "cpu":
            return self.gradients.new_zeros(groups, self.gradients.shape[1]).index_add_(0, group, self.gradients)
        return (
            F.one_hot(group, groups).T.to(self.gradients.dtype) @ self.gradients
        )  # adds in a fixed order, atomics do not


EXACT_TERMS = 2**24
"""Terms of size one that a sum in float32 holds exactly."""


def product_of_signs(left: Tensor, right: Tensor) -> Tensor:
    """The exact matrix product of two int8 matrices of -1, 0 and 1, as float64.

    On processors with integer products this is an integer product, several times faster than that of floats. On others,
    where torch's integer product is slower, it is computed in float32, in parts of as many terms as float32 adds
    exactly.
    """
    if left.device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512":
        return torch._int_mm(left, right).double()
    parts = zip(torch.split(left, EXACT_TERMS, 1), torch.split(right, EXACT_TERMS), strict=True)
    return torch.stack([(a.float() @ b.float()).double() for a, b in parts]).sum(0)


def slices(weight: Tensor, samples: int, unit: int | None = None) -> Iterator[slice]:
    """The parts of a weight's first dimension whose gradients fit into `MAX_BLOCK_BYTES`: all of it where possible.

    Args:
        unit: parts do not cross multiples of this number of rows (the output channels of a convolution's group).
    """
    rows = len(weight)
    most = max(1, MAX_BLOCK_BYTES // (samples * weight[0].numel() * weight.element_size()))
    if most >= rows:
        unit = most = rows
    unit = unit or rows
    for first in range(0, rows, unit):
        for start in range(first, first + unit, most):
            yield slice(start, min(start + most, first + unit))
