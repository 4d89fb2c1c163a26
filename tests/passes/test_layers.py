"""What the first entry of a weight sees."""

import pytest
import torch
from torch.nn import functional as F

from nas.passes.layers import seen_by_first_entry


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"padding": 1},
        {"padding": (0, 2), "stride": (2, 1)},
        {"padding": [1], "stride": [3], "dilation": 2},
        {"padding": "same", "dilation": (1, 3)},
        {"padding": "valid"},
    ],
    ids=str,
)
def test_what_the_first_entry_of_a_weight_sees(how):
    """The gain of the output with a weight that is zero but for that entry."""
    x, weight = torch.randn(2, 3, 9, 8, dtype=torch.float64), torch.zeros(4, 3, 2, 3, dtype=torch.float64)
    weight[0, 0, 0, 0] = 1
    out = F.conv2d(x, weight, None, **how)
    settings = {"stride": 1, "padding": 0, "dilation": 1} | how
    assert torch.equal(seen_by_first_entry(x, weight, out.shape, **settings), out[:, 0])
