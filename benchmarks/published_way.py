"""The time that our way of scoring saves over the published ways, on two cells of NAS-Bench-201.

    python benchmarks/published_way.py [--cells nats:3,3,3,3,3,3 1462] [--proxies all] [--batch-size 64] [--device cuda]

Ours is one visit of the scorer for all proxies together. The published codes

- copy the network for each measure and run each by itself: `alone`, a deep copy of the network and a probe of its own
  for each proxy, and a network drawn anew for each further initialisation that it declares;
- take per-sample gradients from one image at a time: `loop`, for the proxies that such a loop defines.

All are measured in one process, in turns, and the loops' values are compared with ours. Without --cells: the largest
cell and the one in the middle.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas import plugins
from nas.data.minibatch import Minibatch, minibatch
from nas.passes.initialisation import initialise
from nas.probe import Probe, measure
from nas.proxy import PROXIES, Proxy
from nas.scoring.cost import milliseconds, plain_pass, visit
from nas.scoring.measurer import THIN_INPUTS, THIN_SIZE, build, initialisation_seed
from nas.scoring.scorer import Scorer
from nas.space import SPACES, Arch, Space

LARGEST_CELL = "nats:3,3,3,3,3,3"
TOGETHER, PLAIN, ONE_LOOP, ONE_VISIT = "together", "plain pass", "one loop", "one visit"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+")
    parser.add_argument("--proxies", default="all", help="joined with commas, or 'all'")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    plugins.load()
    space = SPACES["nasbench201"]()
    cells = [space.parse(text) for text in arguments.cells or [LARGEST_CELL]]
    if arguments.cells is None:
        cells.append(middle(space))
    names = PROXIES if arguments.proxies == "all" else arguments.proxies.split(",")
    suite = [proxy for proxy in (PROXIES[name] for name in names) if not proxy.parts]
    scorer = Scorer(space, minibatch("synthetic", arguments.batch_size), device=arguments.device)
    for arch in cells:
        report(scorer, arch, suite)


def middle(space: Space) -> Arch:
    """The cell in the middle of all, ordered by cost and then by notation. In a cell, parameters and
    multiply-accumulates are both nine for each 3 x 3 convolution to one for each of 1 x 1, wherever they stand."""

    def cost(text: str) -> tuple[int, str]:
        return 9 * text.count("nor_conv_3x3") + text.count("nor_conv_1x1"), text

    texts = sorted(map(space.text, space), key=cost)
    return space.parse(texts[len(texts) // 2])


def report(scorer: Scorer, arch: Arch, suite: Sequence[Proxy]) -> None:
    arch = scorer.space.canonical(arch)
    inputs = on_device(scorer.data, scorer.device)
    networks = {"full": (build(scorer.space, arch, inputs.task).to(scorer.device), inputs)}
    thin = scorer.space.thin()
    if thin is not None and any(proxy.network == "thin" for proxy in suite):
        crops = on_device(scorer.data.crops(THIN_INPUTS, THIN_SIZE), scorer.device)
        networks["thin"] = (build(thin, arch, crops.task).to(scorer.device), crops)
    net, _ = networks["full"]
    looped = [proxy for proxy in suite if proxy.name in LOOPS]
    cases: dict[str, Callable[[], object]] = {PLAIN: plain_pass(scorer, arch)}
    cases |= {proxy.name: partial(alone, scorer, arch, proxy, *networks[proxy.network]) for proxy in suite}
    cases |= {TOGETHER: partial(visit, scorer, arch, suite), ONE_VISIT: partial(visit, scorer, arch, looped)}
    cases |= {f"loop {proxy.name}": partial(loop, net, inputs, [proxy.name]) for proxy in looped}
    cases[ONE_LOOP] = partial(loop, net, inputs, [proxy.name for proxy in looped])
    ours, theirs = visit(scorer, arch, looped), loop(net, inputs, [proxy.name for proxy in looped])  # and a warm start
    visit(scorer, arch, suite)
    times = milliseconds(cases, scorer.device)

    shape, threads = "x".join(map(str, inputs.images.shape)), torch.get_num_threads()
    print(f"\n{scorer.space.text(arch)}, {shape} on {scorer.device}, {threads} threads")
    print(f"{'proxy':24} {'alone ms':>10} {'of plain':>9} {'loop ms':>10} {'loop/alone':>10}")
    for proxy in suite:
        line = f"{proxy.name:24} {times[proxy.name]:10.1f} {times[proxy.name] / times[PLAIN]:9.2f}"
        if proxy in looped:
            slow = times[f"loop {proxy.name}"]
            line += f" {slow:10.1f} {slow / times[proxy.name]:10.2f}"
        print(line)
    total = sum(times[proxy.name] for proxy in suite)
    for label, value in (
        ("plain pass", times[PLAIN]),
        ("sum of all alone", total),
        ("together, ours", times[TOGETHER]),
    ):
        print(f"{label:24} {value:10.1f} {value / times[PLAIN]:9.2f}")
    print(f"together / sum of alone  {times[TOGETHER] / total:10.2f}")
    if looped:
        slow, fast = times[ONE_LOOP], times[ONE_VISIT]
        names = ", ".join(proxy.name for proxy in looped)
        apart = max(abs(theirs[p.name] / (ours[p.name].value or math.nan) - 1) for p in looped)
        print(f"{names}: one loop {slow:.1f} ms, one visit {fast:.1f} ms ({fast / times[PLAIN]:.2f} of plain), "
              f"loop/ours {slow / fast:.2f}; values apart by at most {apart:.1e}")  # fmt: skip


def on_device(data: Minibatch, device: torch.device) -> Minibatch:
    return Minibatch(data.images.to(device), data.labels.to(device), data.classes)


def alone(scorer: Scorer, arch: Arch, proxy: Proxy, net: nn.Module, inputs: Minibatch) -> list[object]:
    """One proxy by itself, with each of the initialisations that it declares: the values, or the reasons for none.

    Args:
        net: the network that ``proxy`` measures, in its own first initialisation.
    """
    space = scorer.space if proxy.network == "full" else scorer.space.thin()
    values: list[object] = []
    for number in range(proxy.repeats):
        seed = initialisation_seed(scorer.seed, number)
        own = build(space, arch, inputs.task, seed) if number else deepcopy(net)
        if proxy.drawn != "default":
            initialise(own.cpu(), proxy.drawn, seed)
        probe = Probe(own.to(scorer.device), inputs.images, inputs.labels, seed)
        ((value, _),) = measure(probe, {proxy.name: proxy}).values()
        values.append(value)
    return values


def loop(net: nn.Module, inputs: Minibatch, names: Sequence[str]) -> dict[str, float]:
    """Values by the definition: the gradients of one image at a time in training mode, so that batch norm sees that
    image alone, of all convolution and linear weights, in one large matrix."""
    net = deepcopy(net).train()
    weights = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    rows = []
    for image, label in zip(inputs.images, inputs.labels, strict=True):
        loss = F.cross_entropy(net(image[None]), label[None])
        gradients = torch.autograd.grad(loss, weights, materialize_grads=True)  # a dead branch has zeros
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    matrix = torch.stack(rows)  # [samples, weights]
    return {name: LOOPS[name](matrix, inputs.labels).item() for name in names}


def alignment(gradients: Tensor, labels: Tensor) -> Tensor:
    members = [gradients[labels == label] for label in torch.unique(labels)]
    return torch.stack([(own.sign() @ own.mean(0).sign()).double().mean() for own in members]).sum()


def log_determinant(gradients: Tensor, labels: Tensor) -> Tensor:
    signs = [gradients[labels == label].sign() for label in torch.unique(labels)]
    grams = [(own @ own.T).double() for own in signs]
    return torch.stack([torch.logdet(gram + 1e-3 * torch.eye(len(gram), device=gram.device)) for gram in grams]).sum()


def agreement(gradients: Tensor, labels: Tensor) -> Tensor:
    return gradients.sign().sum(0).abs().sum(dtype=torch.float64)


LOOPS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradalign_i": alignment,
    "gradalign_ii": log_determinant,
    "gradsign": agreement,
}
"""The definition of each proxy by its name: gradients [samples, weights] and labels [samples] to the value."""


if __name__ == "__main__":
    main()
