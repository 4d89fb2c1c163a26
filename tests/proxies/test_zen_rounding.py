"""Zen-Score: what is zero up to rounding is a stated failure in every precision."""

import pytest
import torch
from torch import nn

from nas.passes.outputs import channel_variances
from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.zen import zen


class Constant(nn.Module):
    """A batch norm that takes a constant, beside an ordinary path."""

    def __init__(self, value):
        super().__init__()
        self.path, self.norm, self.value = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), value
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        y = self.path(x)
        constant = nn.functional.avg_pool2d(torch.full_like(y, self.value), 3, 1, 1, count_include_pad=False)
        return self.head((y + self.norm(constant)).mean((2, 3)))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_variance_that_is_zero_is_a_failure(dtype, value):
    torch.manual_seed(0)
    probe = Probe(Constant(value).to(dtype), torch.randn(4, 3, 8, 8, dtype=dtype), torch.arange(4) % 2)
    with pytest.raises(ProxyFailure, match="a batch norm takes what is constant up to rounding"):
        zen(probe)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_feature_map_that_does_not_move_is_a_failure(dtype):
    class Still(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.convolution(torch.ones_like(x)).mean((2, 3)))

    probe = Probe(Still().to(dtype), torch.randn(4, 3, 8, 8, dtype=dtype), torch.arange(4) % 2)
    with pytest.raises(ProxyFailure, match="does not change with the input"):
        zen(probe)


def test_small_variances_are_no_rounding():
    x = 1 + 1e-5 * torch.randn(8, 3, 6, 6)
    expected = x.double().var((0, 2, 3), correction=0)
    assert torch.allclose(channel_variances(x), expected, rtol=1e-12)
    assert not channel_variances(torch.full((4, 2, 3, 3), 0.1)).any()
