"""The memory that GradAlign needs on a network of ResNet-50's size, against one plain forward and backward pass.

    python benchmarks/memory.py [--size 64] [--samples 64] [--classes 1000] [--device cuda]

Each is measured in a process of its own: the largest resident memory it ever had, as Linux reports it, or on a GPU the
largest memory that tensors took. The difference is what per-sample gradients cost; without slices the largest weight's
alone would take 64 times its own size, several times over.
"""

import argparse
import resource
import subprocess
import sys
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas import plugins
from nas.probe import Probe, measure
from nas.proxy import PROXIES

MEGABYTE = 2**20
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Width, blocks and stride of each stage."""


class Bottleneck(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width),
        )  # fmt: skip
        self.skip = nn.Sequential()
        if channels != 4 * width:
            self.skip = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


def network(classes: int) -> nn.Module:
    """A residual network of 50 layers; 25.6 million parameters with 1000 classes."""
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, blocks, stride in STAGES:
        for block in range(blocks):
            layers.append(Bottleneck(channels, width, stride if block == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def run(what: str, arguments: argparse.Namespace) -> None:
    """Makes one pass, and prints the peak memory and the seconds."""
    plugins.load()
    torch.manual_seed(0)
    device = torch.device(arguments.device)
    net = network(arguments.classes).to(device)
    images = torch.randn(arguments.samples, 3, arguments.size, arguments.size, device=device)
    labels = torch.arange(arguments.samples, device=device) % 8
    start = time.perf_counter()
    if what == "plain":
        F.cross_entropy(net(images), labels).backward()
    else:
        names = ("gradalign_i", "gradalign_ii")
        results = measure(Probe(net, images, labels), {name: PROXIES[name] for name in names})
        for value, _ in results.values():
            if isinstance(value, Exception):
                raise value
    if device.type == "cuda":
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() / MEGABYTE
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in kilobytes
    print(peak, time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=["plain", "gradalign_i + gradalign_ii"], help="in this process")
    arguments = parser.parse_args()
    if arguments.only:
        run(arguments.only, arguments)
        return
    peaks = []
    for what in ("plain", "gradalign_i + gradalign_ii"):
        command = [sys.executable, __file__, *sys.argv[1:], "--only", what]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        peak, seconds = map(float, answer.split())
        print(f"{what:28} {peak:8.0f} MB {seconds:8.1f} s", flush=True)
        peaks.append(peak)
    print(f"{'difference':28} {peaks[1] - peaks[0]:8.0f} MB")


if __name__ == "__main__":
    main()
