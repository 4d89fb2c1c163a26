"""Batch norm and convolution that are differentiated twice, against PyTorch's and against differences."""

import pytest
import torch
from torch.nn import functional as F

from nas.passes.second_order import Convolution, batch_norm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(5, 3, 4, 2), (7, 3)])
def test_batch_norm_and_both_derivatives(shape, affine):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight, bias = torch.randn(2, 3, dtype=torch.float64) if affine else (None, None)

    def normalise(x):
        return batch_norm(x, None, None, weight, bias, 1e-5)

    assert torch.equal(normalise(x), F.batch_norm(x, None, None, weight, bias, training=True))
    assert torch.autograd.gradcheck(normalise, (x,))
    assert torch.autograd.gradgradcheck(normalise, (x,))


def test_a_weight_of_zero():
    x = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.zeros(2, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: batch_norm(x, None, None, weight, None, 1e-5), (x,))


GEOMETRIES = {
    "1 x 1": ((2, 3, 1, 1), {}),
    "padded": ((2, 3, 3, 3), {"padding": 1}),
    "strided": ((2, 3, 3, 2), {"stride": (2, 1), "padding": (0, 1)}),
    "dilated": ((2, 3, 2, 2), {"dilation": 2, "stride": [2]}),
    "grouped": ((3, 1, 3, 3), {"groups": 3, "padding": 1}),
    "same": ((2, 3, 2, 3), {"padding": "same"}),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("bias", [None, False, True], ids=["no bias", "bias", "bias with a gradient"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_convolution_and_both_derivatives(name, bias):
    torch.manual_seed(0)
    shape, how = GEOMETRIES[name]
    x = torch.randn(2, 3, 4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    bias = None if bias is None else torch.randn(shape[0], dtype=torch.float64, requires_grad=bias)
    inputs = (x, weight) if bias is None or not bias.requires_grad else (x, weight, bias)

    def convolve(x, weight, bias=bias):
        return Convolution()(x, weight, bias, **how)

    assert torch.equal(convolve(x, weight), F.conv2d(x, weight, bias, **how))
    assert torch.autograd.gradcheck(convolve, inputs)
    assert torch.autograd.gradgradcheck(convolve, inputs)
    for alone in inputs[:2]:  # the other one is a constant
        others = [tensor.detach() for tensor in inputs if tensor is not alone]
        place = next(i for i, tensor in enumerate(inputs) if tensor is alone)
        assert torch.autograd.gradgradcheck(lambda t: convolve(*others[:place], t, *others[place:]), (alone,))  # noqa: B023


def test_a_backward_pass_that_is_not_for_the_weights():
    convolution = Convolution()
    x, weight = torch.randn(2, 3, 5, 5, requires_grad=True), torch.randn(4, 3, 3, 3, requires_grad=True)
    out = convolution(x, weight).square().sum()
    convolution.weights = False
    by_x, by_weight = torch.autograd.grad(out, [x, weight], retain_graph=True, allow_unused=True)
    assert by_weight is None
    convolution.weights = True
    ordinary = torch.autograd.grad(F.conv2d(x, weight).square().sum(), [x, weight])
    for ours, theirs in zip(torch.autograd.grad(out, [x, weight]), ordinary, strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(by_x, ordinary[0])
