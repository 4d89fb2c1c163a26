"""The cost and the exactness of per-sample gradients, on the largest cell of NAS-Bench-201 with 64 images.

    python benchmarks/gradients.py [--device cuda]

Times are medians of interleaved runs in one process: one plain forward and backward pass, the proxies, and the
published way, one image at a time. Errors and signs are those of the fast path against that loop.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from nas import plugins
from nas.data.minibatch import minibatch
from nas.passes.per_sample import visit_blocks
from nas.probe import Probe, measure
from nas.proxy import PROXIES
from nas.scoring.measurer import build
from nas.space import SPACES

ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--arch", default="nats:3,3,3,3,3,3")
    arguments = parser.parse_args()
    plugins.load()
    torch.set_num_threads(2)
    device = torch.device(arguments.device)
    space, data = SPACES["nasbench201"](), minibatch("synthetic", 64)
    net = build(space, space.parse(arguments.arch), data.task).to(device)
    images, labels = data.images.to(device), data.labels.to(device)

    def plain() -> None:
        net.zero_grad()
        F.cross_entropy(net(images), labels).backward()

    def ask(*names: str) -> Callable[[], object]:
        return lambda: measure(Probe(net, images, labels), {name: PROXIES[name] for name in names})

    def loop() -> None:
        for image, label in zip(images, labels, strict=True):
            net.zero_grad()
            F.cross_entropy(net(image[None]), label[None]).backward()

    cases: dict[str, Callable[[], object]] = {
        "plain": plain,
        "gradalign_i": ask("gradalign_i"),
        "gradalign_ii": ask("gradalign_ii"),
        "gradalign_i + gradalign_ii": ask("gradalign_i", "gradalign_ii"),
        "gradsign": ask("gradsign"),
        "naswot": ask("naswot"),
        "one image at a time, no proxy": loop,
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS + 1):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    middle = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    for name, seconds in middle.items():
        print(f"{name:32} {seconds * 1000:8.1f} ms {seconds / middle['plain']:6.2f}")
    report_errors(net, images[:16], labels[:16])


Rows = list[torch.Tensor]
"""Per-sample gradients of each weight, [samples, weights] float64."""


def report_errors(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Fast path and loop, in single and double precision, against each other.

    In single precision a ReLU whose input is within rounding of zero may open in one computation and stay shut in the
    other, so the loop itself is then off by percents from the exact gradient of that image.
    """
    fast, slow = fast_rows(net, images, labels), loop_rows(net, images, labels)
    net, images = net.double(), images.double()
    exact = loop_rows(net, images, labels)
    print(f"float64, fast path against the loop: relative error {error(fast_rows(net, images, labels), exact):.1e}")
    for name, rows, truth in (
        ("fast path against the loop", fast, slow),
        ("fast path against float64", fast, exact),
        ("loop against float64", slow, exact),
    ):
        single = statistics.median(error([r[i] for r in rows], [t[i] for t in truth]) for i in range(len(images)))
        flips = sum(float((r.sign() != t.sign()).sum()) for r, t in zip(rows, truth, strict=True))
        share = flips / sum(t.numel() for t in truth)
        print(f"float32, {name}: relative error {error(rows, truth):.1e}, median image {single:.1e}, signs {share:.1e}")


def fast_rows(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Rows:
    rows_by_weight: dict[torch.Tensor, Rows] = {}
    visit_blocks(net, images, labels, lambda b: rows_by_weight.setdefault(b.weight, []).append(b.gradients.double()))
    return [torch.cat(rows_by_weight[weight], 1) for weight in weights_of(net)]


def loop_rows(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Rows:
    rows = []
    for image, label in zip(images, labels, strict=True):
        loss = F.cross_entropy(net(image[None]), label[None])
        rows.append([gradient.flatten().double() for gradient in torch.autograd.grad(loss, weights_of(net))])
    return [torch.stack(of_weight) for of_weight in zip(*rows, strict=True)]


def weights_of(net: nn.Module) -> list[torch.Tensor]:
    return [module.weight for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def error(rows: Rows, truth: Rows) -> float:
    difference = sum(float((r - t).square().sum()) for r, t in zip(rows, truth, strict=True))
    return (difference / sum(float(t.square().sum()) for t in truth)) ** 0.5


if __name__ == "__main__":
    main()
