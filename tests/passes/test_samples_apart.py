"""Which calls treat samples apart: those that are said to do so do, and the published spaces need no further check."""

from random import Random

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.passes import per_sample as gradients
from nas.passes.intercept import CONVOLUTION, DROPOUTS, LINEAR, sample_normalisation
from nas.passes.per_sample import visit_blocks
from nas.passes.samples_apart import ELEMENTWISE, POOLING, QUESTIONS, WEIGHTED, apart
from nas.scoring.measurer import build
from nas.space import SPACES, Task

SAMPLES = 4
X = torch.randn(SAMPLES, 6, 8, 8, generator=torch.Generator().manual_seed(0))
ROWS = X.flatten(1)
FILTERS, MATRIX = nn.Parameter(torch.randn(5, 6, 3, 3)), nn.Parameter(torch.randn(5, 384))

BINARY = {Tensor.add, Tensor.add_, Tensor.sub, Tensor.mul, Tensor.div, torch.add, torch.mul}


def by_name(functions):
    return sorted(functions, key=lambda function: function.__name__)


APART = [
    *((function, (X,), {}) for function in by_name(ELEMENTWISE - BINARY - {*DROPOUTS})),
    *((function, (X, X * X), {}) for function in by_name(BINARY)),
    *((function, (X, 2), {}) for function in by_name(POOLING)),
    (Tensor.mul, (X, 3.0), {}),
    (CONVOLUTION, (X, FILTERS, nn.Parameter(torch.ones(5)), 1, 1), {}),
    (LINEAR, (ROWS, MATRIX), {}),
    (F.batch_norm, (X, torch.zeros(6), torch.ones(6)), {}),
    (torch.cat, ([X, X], 1), {}),
    (torch.cat, ([X, X],), {"dim": 2}),
    (F.pad, (X, [1, 0, 0, 1]), {}),
    (Tensor.flatten, (X, 1), {}),
    (torch.flatten, (X, 1), {}),
    (Tensor.__getitem__, (X, (slice(None), slice(None), slice(1, None), slice(1, None))), {}),
]
UNKNOWN = {
    "another order": (Tensor.flip, (X, 0), {}),
    "mean": (Tensor.mean, (X, 0), {}),
    "one row for all": (Tensor.add, (X, X[:1]), {}),
    "rows along channels": (Tensor.mul, (ROWS[:, :4], ROWS[0, :4]), {}),
    "samples joined": (torch.cat, ([X, X], 0), {}),
    "samples joined by default": (torch.cat, ([X, X],), {}),
    "from the end": (torch.cat, ([X, X], -4), {}),
    "joined by name": (torch.cat, (), {"tensors": [X, X], "dim": 1}),
    "padded by name": (F.pad, (X,), {"pad": [1, 1]}),
    "itself": (Tensor.__getitem__, (X, ()), {}),
    "one row": (Tensor.__getitem__, (X, 0), {}),
    "every second row": (Tensor.__getitem__, (X, (slice(None, None, 2), slice(None))), {}),
    "rows turned": (Tensor.__getitem__, (X, (torch.tensor([1, 0, 3, 2]), slice(None))), {}),
    "all in one": (Tensor.flatten, (X,), {}),
    "more rows": (F.pad, (X, [0, 0, 0, 0, 0, 0, 1, 0]), {}),
    "product with itself": (LINEAR, (ROWS, ROWS), {}),
    "filters of the images": (CONVOLUTION, (X, X[:, :, :3, :3]), {}),
    "images as one": (CONVOLUTION, (X[:, :1, :, 0].transpose(0, 1), nn.Parameter(torch.ones(2, 4, 3))), {}),
    "pooled over samples": (F.avg_pool2d, (X[:, 0], 2), {}),
    "other rows": (F.relu, (X.reshape(8, 3, 8, 8), X), {}),
}  # fmt: skip


@pytest.mark.parametrize(("function", "args", "kwargs"), APART, ids=lambda part: getattr(part, "__name__", ""))
def test_calls_that_are_apart_give_rows_of_their_own(function, args, kwargs):
    assert apart(function, args, kwargs, SAMPLES)
    if function is F.batch_norm:
        function, args = sample_normalisation, (*args, None, None, 1e-5)
    whole = function(*own(args), **kwargs)
    assert len(whole) == SAMPLES
    for row in range(SAMPLES):
        spoilt = own(args)
        for tensor in with_samples(spoilt):
            tensor[[other for other in range(SAMPLES) if other != row]] = torch.nan
        torch.testing.assert_close(function(*spoilt, **kwargs)[row], whole[row])


def own(args):
    """The arguments, with copies of the tensors that have samples."""
    copied = [[tensor.clone() for tensor in arg] if isinstance(arg, list) and arg[0] is X else arg for arg in args]
    return [arg.clone() if isinstance(arg, Tensor) and len(arg) == SAMPLES else arg for arg in copied]


def with_samples(args):
    for arg in args:
        tensors = arg if isinstance(arg, list) else [arg]
        yield from (tensor for tensor in tensors if isinstance(tensor, Tensor) and len(tensor) == SAMPLES)


def test_every_function_that_may_be_apart_is_tried():
    tried = {function for function, _, _ in APART}
    assert ELEMENTWISE | POOLING | WEIGHTED.keys() <= tried | {*DROPOUTS}  # interception makes these the identity
    assert all(apart(function, (X,), {}, SAMPLES) for function in QUESTIONS)


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_calls_are_unknown(name):
    function, args, kwargs = UNKNOWN[name]
    assert not apart(function, args, kwargs, SAMPLES)


@pytest.mark.parametrize(
    "name", ["nasbench201", "nasbench101", "nats_sss", "nasbench_macro", "darts", "nds_pnas", "nds_resnext"]
)
def test_networks_of_published_spaces_need_no_check(name, monkeypatch):
    def run_otherwise(*_):
        raise AssertionError("not known to treat samples apart")

    monkeypatch.setattr(gradients, "_visit_mapped", run_otherwise)
    space = SPACES[name]()
    net = build(space, space.sample(Random(0)), Task(3, 3, 16))
    blocks = []
    visit_blocks(net, torch.randn(2, 3, 16, 16), torch.arange(2), blocks.append)
    assert blocks
