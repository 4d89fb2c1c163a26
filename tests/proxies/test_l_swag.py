"""L-SWAG against loops over single weights and units."""

import math

import numpy as np
import pytest
from cases import make
from references import relu_inputs, weights_and_gradients

from nas.probe import Probe
from nas.proxy import ProxyFailure
from proxies.l_swag import l_swag, within


def l_swag_by_definition(name, images, last, monkeypatch):
    net, batch, labels = make(name)
    first = weights_and_gradients(net, batch[:4], labels[:4])
    second = weights_and_gradients(net, batch[4:8], labels[4:8])
    steady = 0.0
    for (_, g), (_, h) in within(list(zip(first, second, strict=True)), 1, last):
        spreads = [np.std([abs(a), abs(b)]) for a, b in zip(g, h, strict=True)]
        if any(spreads):
            steady += math.log(sum(1 / spread for spread in spreads if spread > 0))
    relus = within(relu_inputs(make(name)[0], batch[:images], monkeypatch), 1, last)
    return steady * len({tuple(v > 0 for v in column) for relu in relus for column in zip(*relu, strict=True)})


@pytest.mark.parametrize(("name", "last"), [("plain", 10), ("residual", 10), ("cells", 10), ("cells", 5)])
def test_l_swag(name, last, monkeypatch):
    expected = l_swag_by_definition(name, 5, last, monkeypatch)
    assert float(l_swag(Probe(*make(name)), images=5, last=last)) == pytest.approx(expected, rel=1e-6)


def test_bins_divide_by_order():
    assert within(list(range(20)), 1, 10) == list(range(20))
    assert within(list(range(20)), 2, 3) == [2, 3, 4, 5]
    assert within(["a", "b"], 1, 5) == ["a"]


def test_l_swag_refuses_what_has_no_size():
    net, images, labels = make("fully connected")
    with pytest.raises(ProxyFailure, match="is not positive"):  # the inverses of so large spreads are small
        l_swag(Probe(net, 1e9 * images, labels))
    with pytest.raises(ProxyFailure, match="no layer lies from bin 4 to bin 3"):
        l_swag(Probe(net, images, labels), first=4, last=3)
