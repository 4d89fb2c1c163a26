"""What a forward pass in use takes: against networks whose time and memory are known."""

import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from nas.probe import Probe, measure
from nas.proxy import PROXIES, ProxyFailure

ONNX = find_spec("onnx") is not None and find_spec("onnxscript") is not None and find_spec("onnxruntime") is not None
IMAGES, LABELS = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(4) % 3
latency, memory = (PROXIES[name].function for name in ("latency", "memory"))


class Slow(nn.Module):
    """Takes some milliseconds for each image in evaluation mode, and seconds in training mode."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 3)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        time.sleep(2 if self.training else 0.004 * len(x))
        return self.norm(self.head(x.flatten(1)))


def test_latency_is_that_of_an_image_in_evaluation_mode():
    probe = Probe(Slow(), IMAGES, LABELS)
    one, eight = latency(probe, seconds=0.05), latency(probe, batch=8, seconds=0.05)
    assert 4 <= one < eight
    assert eight >= 32
    assert probe.net.training
    assert int(probe.net.norm.num_batches_tracked) == 0


def test_a_busy_moment_is_not_the_median():
    class Sometimes(Slow):
        passes = 0

        def forward(self, x):
            type(self).passes += 1
            time.sleep(0.06 if type(self).passes % 4 == 0 else 0.002)
            return self.head(x.flatten(1))

    assert 2 <= latency(Probe(Sometimes(), IMAGES, LABELS), seconds=0.4) < 50


@pytest.mark.parametrize("threads", [1, 2])
def test_it_runs_with_the_threads_of_the_process(threads):
    met = set()

    class Counting(Slow):
        def forward(self, x):
            met.add((torch.get_num_threads(), torch.is_inference_mode_enabled()))
            return self.head(x.flatten(1))

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        latency(Probe(Counting(), IMAGES, LABELS), seconds=0.01)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert met == {(threads, True)}


def chain(inplace):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


@pytest.mark.parametrize(
    ("net", "one"),
    [
        (chain(False), 2 * 4 * 64 * 4),  # what the convolution gives and what ReLU makes of it
        (chain(True), (4 * 64 + 4) * 4),  # and here the mean of either channel beside it
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), 3 * 4),  # the images are no part of it, nor a view of them
    ],
)
def test_memory_is_what_is_alive_together(net, one):
    probe = Probe(net, IMAGES, LABELS)
    assert memory(probe) == one
    assert memory(probe, batch=4) == 4 * one
    assert memory(probe, batch=7) == 7 * one  # some images again
    assert net.training


class Branches(nn.Module):
    """Keeps what it took apart until the end."""

    def forward(self, x):
        parts = [x * number for number in (1.0, 2.0, 3.0)]
        torch.zeros(1000).sum()  # 4,000 bytes for a moment
        return torch.stack(parts).sum((0, 2, 3)).repeat(1, 3)


def test_memory_of_branches():
    assert memory(Probe(Branches(), IMAGES, LABELS)) == 3 * 256 + 4000 + 4


@pytest.mark.skipif(not ONNX, reason="ONNX is not installed: pip install 'gradalign-nas[onnx]'")
def test_what_onnxruntime_takes():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert 0 < latency(Probe(net, IMAGES, LABELS), runtime="onnxruntime", batch=2, seconds=0.01) < 1000
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_without_onnx_one_sentence(monkeypatch):
    monkeypatch.setattr(sys.modules[latency.__module__], "find_spec", lambda name: None)
    with pytest.raises(ProxyFailure, match=r"onnxruntime takes onnx and onnxscript and onnxruntime: pip install"):
        latency(Probe(nn.Flatten(), IMAGES, LABELS), runtime="onnxruntime")


def test_beside_others_they_leave_the_network_as_it_was():
    net = chain(True)
    names = ("memory", "naswot", "latency", "params")
    values = measure(Probe(net, IMAGES, LABELS), {name: PROXIES[name] for name in names})
    assert values["memory"][0] == (4 * 64 + 4) * 4
    assert values["latency"][0] > 0
    assert values["naswot"][0] == measure(Probe(net, IMAGES, LABELS), {"naswot": PROXIES["naswot"]})["naswot"][0]


def test_loading_the_proxies_looks_for_no_compiler():
    """Where CUDA's compiler is installed and no GPU is there, as on a cluster's front end, torch would warn with every
    command."""
    code = "import sys; from nas import plugins; plugins.load(); print('torch.utils.cpp_extension' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
