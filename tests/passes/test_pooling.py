"""Pooling by products of matrices, and by another kernel, against torch's functions."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.nn import functional as F

from nas.passes.counts import trace
from nas.passes.intercept import Intercept
from nas.passes.pooling import MAX_PIXELS, POOLINGS, average_pooling, max_pooling

GEOMETRIES = list(product((2, 3, (3, 2), [5]), (None, 1, 2, (1, 2)), (0, 1, (1, 0)), (False, True)))
"""Kernel, stride, padding and `ceil_mode`. Torch allows a padding of at most half the kernel; all of these are."""


def with_gradient(pool, x):
    x = x.clone().requires_grad_()
    out = pool(x)
    torch.manual_seed(1)
    return out, *torch.autograd.grad(out, x, torch.randn_like(out))


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 1, 7, 9), (1, 2, 5, 32)])
@pytest.mark.parametrize("include", [False, True])
def test_averages(shape, include):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    for kernel, stride, padding, ceil_mode in GEOMETRIES:
        arguments = (kernel, stride, padding, ceil_mode, include)
        for own, torchs in zip(
            with_gradient(lambda x, a=arguments: average_pooling(x, *a), x),
            with_gradient(lambda x, a=arguments: F.avg_pool2d(x, *a), x),
            strict=True,
        ):
            torch.testing.assert_close(own, torchs, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 1, 7, 9)])
def test_maxima_are_the_same_bit_for_bit(shape):
    """Also where several pixels have the maximum: the gradient goes to the same one."""
    torch.manual_seed(0)
    for x in (torch.randn(shape), torch.randn(shape).relu(), torch.zeros(shape)):
        for kernel, stride, padding, ceil_mode in GEOMETRIES:
            arguments = (kernel, stride, padding, 1, ceil_mode)
            for own, torchs in zip(
                with_gradient(lambda x, a=arguments: max_pooling(x, *a), x),
                with_gradient(lambda x, a=arguments: F.max_pool2d(x, *a), x),
                strict=True,
            ):
                assert torch.equal(own, torchs)
            assert max_pooling(x, *arguments).is_contiguous()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by torch's own forward mode
def test_derivatives_of_derivatives_and_maps_over_samples():
    torch.manual_seed(0)
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    for pool in (lambda x: average_pooling(x, 3, 1, 1, False, False), lambda x: max_pooling(x, 3, 1, 1)):
        assert torch.autograd.gradgradcheck(lambda x, pool=pool: pool(x).square(), (x,))
        assert torch.autograd.gradcheck(pool, (x,), check_forward_ad=True)
        each = vmap(lambda row, pool=pool: pool(row[None])[0])(x)
        torch.testing.assert_close(each, pool(x))


def test_what_a_constant_becomes():
    """A batch norm after it tells a constant by its rounding."""
    x = torch.full((1, 1, 32, 32), 0.1)
    assert ((average_pooling(x, 3, 1, 1, False, False) / 0.1 - 1).abs() <= 2 * torch.finfo(x.dtype).eps).all()
    assert torch.equal(average_pooling(torch.zeros_like(x), 3, 1, 1), torch.zeros_like(x))


@pytest.mark.parametrize(
    ("x", "kernel"),
    [
        (torch.randn(1, 2, 7, 7), 7),
        (torch.randn(1, 1, 3, MAX_PIXELS + 1), 3),
        (torch.randn(2, 8, 8), 3),
        (torch.randn(1, 2, 8, 8).bfloat16(), 3),
        (torch.randn(1, 2, 8, 8).index_fill(3, torch.tensor(0), float("inf")), 3),
        (torch.randn(1, 2, 8, 8).index_fill(3, torch.tensor(0), float("nan")), 3),
    ],
    ids=["the whole image", "large", "without a batch", "another precision", "infinite", "no numbers"],
)
def test_all_else_goes_to_torch(x, kernel):
    for own, torchs in ((average_pooling, F.avg_pool2d), (max_pooling, F.max_pool2d)):
        assert torch.equal(own(x, kernel, 1).nan_to_num(nan=7.0), torchs(x, kernel, 1).nan_to_num(nan=7.0))


def test_modules_are_seen():
    x, seen = torch.randn(1, 2, 8, 8), []

    def noting(function):
        def pool(*args, **kwargs):
            seen.append(function)
            return POOLINGS[function](*args, **kwargs)

        return pool

    note = {function: noting(function) for function in POOLINGS}
    with Intercept(note):
        nn.AvgPool2d(3, 1, 1)(x), nn.MaxPool2d(3, 1, 1)(x), F.avg_pool2d(x, 3, 1), F.max_pool2d(x, 3, 1)
    assert seen == [F.avg_pool2d, F.max_pool2d] * 2


def test_pooling_is_not_counted():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(3, 1, 1), nn.MaxPool2d(3, 1, 1))
    assert trace(net, torch.randn(1, 3, 8, 8)).flops == 64 * 4 * 27
