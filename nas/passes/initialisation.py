"""Seeds, and other initialisations than a network's own, for proxies that declare one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from zlib import crc32

import torch
from torch import Tensor, nn

from nas.passes.layers import own_weight


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """A context in which torch's generators, of the CPU and of ``device``, start from ``seed``; afterwards they go on
    as if nothing had been drawn.

    On the CPU it avoids `torch.manual_seed`, which formats the stack once for every possible kind of device and takes
    longer than some proxies.
    """
    elsewhere = device is not None and device.type != "cpu"
    with torch.random.fork_rng(devices=[device] if device is not None and device.type == "cuda" else []):
        (torch.manual_seed if elsewhere else torch.default_generator.manual_seed)(seed)
        yield


def initialise(net: nn.Module, how: str, seed: int, weights: Iterable[Tensor] = ()) -> None:
    """Draws the weights of all convolutions, linear layers and attention's projections again; biases become zero, norm
    layers the identity.

    A layer's stream depends only on ``seed`` and the layer's name. Torch's generator is left as it was.

    Args:
        weights: others that are drawn too: those that no module of these kinds has (see `nas.passes.weights`).
        how: ``gaussian``, N(0, 1), as for Zen-Score; ``kaiming``, N(0, 2 / inputs) (He et al. 2015).

    Raises:
        ValueError: a weight is not a parameter but computed from others, as by weight normalisation.
    """
    others = set(weights)
    for name, module in net.named_modules():
        drawn: dict[str, Tensor] = {}
        if isinstance(module, nn.Conv2d | nn.Linear):
            drawn = {name: own_weight(module, name)}
        elif isinstance(module, nn.MultiheadAttention):
            own = dict(module.named_parameters(prefix=name, recurse=False))
            drawn = {path: parameter for path, parameter in own.items() if parameter.ndim == 2}
            for bias in own.keys() - drawn.keys():
                nn.init.zeros_(own[bias])
        for path, weight in drawn.items():
            _draw(weight, how, seed ^ crc32(path.encode()))
            others.discard(weight)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            for parameter, value in ((module.weight, 1.0), (module.bias, 0.0)):
                if parameter is not None:
                    nn.init.constant_(parameter, value)
    for name, parameter in net.named_parameters():
        if parameter in others:
            _draw(parameter, how, seed ^ crc32(name.encode()))


def _draw(weight: Tensor, how: str, seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    scale = 1.0 if how == "gaussian" else (2 / weight[0].numel()) ** 0.5
    values = torch.randn(weight.shape, generator=stream, dtype=weight.dtype if weight.is_complex() else None)
    with torch.no_grad():
        weight.copy_(values * scale)
