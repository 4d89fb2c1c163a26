"""Several initialisations of one network at once, or one after the other: the cost of a forward and backward pass.

    python -m benchmarks.seeds [--seeds 4] [--device cpu]

The vectorised way stacks the parameters and maps the pass over them (`torch.func.vmap`); a convolution with a kernel
for each network then is a grouped one. Prints milliseconds for all seeds and the ratio; where the ratio is above
1, the loop that `--seeds` makes is the faster way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from nas import plugins
from nas.data.minibatch import minibatch
from nas.passes.intercept import Intercept, batch_normalisation, normalising
from nas.scoring.measurer import build, resolve_device
from nas.space import SPACES

CELLS = {"largest": "nats:3,3,3,3,3,3", "middle": "nats:3,1,2,0,3,1"}
ROUNDS = 3


def main(seeds: int = 4, batch_size: int = 64, device: Annotated[str, typer.Option()] = "cpu") -> None:
    torch.set_num_threads(2)
    plugins.load()
    space, data, place = SPACES["nasbench201"](), minibatch("synthetic", batch_size), resolve_device(device)
    images, labels = data.images.to(place), data.labels.to(place)
    for label, text in CELLS.items():
        nets = [build(space, space.parse(text), data.task, seed).to(place).train() for seed in range(seeds)]
        looped = milliseconds(lambda nets=nets: [one(net, images, labels) for net in nets], place)
        mapped = milliseconds(lambda nets=nets: together(nets, images, labels), place)
        print(f"{label} cell, {seeds} seeds: loop {looped:.0f} ms, vmap {mapped:.0f} ms, ratio {mapped / looped:.2f}")


def one(net: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(F.cross_entropy(net(images), labels), list(net.parameters()), allow_unused=True)


def together(nets: list[nn.Module], images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(functional_call(nets[0], parameters, (images,)), labels)

    parameters, _ = stack_module_state(nets)
    with Intercept(normalising(batch_normalisation)):
        return vmap(grad(loss))(parameters)  # type: ignore[no-any-return]


def milliseconds(case: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        case()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1000)
    return min(times[1:])


if __name__ == "__main__":
    typer.run(main)
