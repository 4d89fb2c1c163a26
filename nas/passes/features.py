"""The blocks of a network, and their inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)


def blocks(net: nn.Module, of: set[nn.Module]) -> list[nn.Module]:
    """The cells, blocks or stages of a network: its outermost modules among ``of``, looking through containers, and
    through a module that is the only one."""
    outermost = [block for child in net.children() for block in _outermost(child, of)]
    return (len(outermost) == 1 and blocks(outermost[0], of)) or outermost


def _outermost(module: nn.Module, of: set[nn.Module]) -> list[nn.Module]:
    if module in of:
        return [module]
    return [block for child in module.children() for block in _outermost(child, of)]


def with_parts(net: nn.Module) -> list[nn.Module]:
    """The modules that may be blocks: those with parts of their own, except norms that contain their activation."""
    return [m for m in net.modules() if not isinstance(m, CONTAINERS + NORMS) and list(m.children())]


@contextmanager
def features_of(net: nn.Module, wanted: bool) -> Iterator[list[Tensor]]:
    """Collects the features while the network runs, and has them when the context ends: the input of the first block
    and the output of each, in the order in which they run.

    Features are [samples, channels, height, width] or [samples, tokens, channels], with their graph, whatever the
    network's order of dimensions. A block gives features where its result, or the first of several, has positions: a
    head, whose result has none, is not a block, and neither is a module that only pools all positions into one.
    """
    features: list[Tensor] = []
    inputs_by_block: dict[nn.Module, Tensor] = {}
    outputs_by_block: list[tuple[nn.Module, Tensor]] = []

    def before(module: nn.Module, inputs: Any, named: Any) -> Any:
        name, first = next(iter([*enumerate(inputs), *named.items()]), (0, torch.empty(0)))
        if module in inputs_by_block or not _has_positions(first):
            return None
        inputs_by_block[module], own = _in_order(first, module)
        return ((own, *inputs[1:]), named) if inputs else (inputs, named | {name: own})

    def after(module: nn.Module, inputs: Any, out: Any) -> Any:
        is_sequence = isinstance(out, tuple | list) and len(out) > 0
        result = out[0] if is_sequence else out
        if not _has_positions(result) or (is_sequence and any(map(_has_positions, out[1:]))):
            return None
        feature, own = _in_order(result, module)
        pooled = module in inputs_by_block and _positions(feature) == 1 < _positions(inputs_by_block[module])
        if pooled and not list(module.parameters()):
            return None
        outputs_by_block.append((module, feature))
        if own is result:
            return None
        return type(out)([own, *out[1:]]) if is_sequence else own

    modules = [module for module in with_parts(net) if module is not net] if wanted else []
    hooks = [module.register_forward_pre_hook(before, with_kwargs=True) for module in modules]
    hooks += [module.register_forward_hook(after) for module in modules]
    try:
        yield features
    finally:
        for hook in hooks:
            hook.remove()
    chosen = set(blocks(net, {module for module, _ in outputs_by_block}))
    outputs = [(module, feature) for module, feature in outputs_by_block if module in chosen]
    if outputs:
        features += [inputs_by_block[module] for module, _ in outputs[:1] if module in inputs_by_block]
        features += [feature for _, feature in outputs]


def _has_positions(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 2 and value.is_floating_point()


def _positions(feature: Tensor) -> int:
    return feature.shape[1] if feature.ndim == 3 else feature[0, 0].numel()


def _in_order(tensor: Tensor, block: nn.Module) -> tuple[Tensor, Tensor]:
    """``tensor`` as a feature, and back in its own order: the same values, computed from the feature."""
    if _channels_last(tensor.shape, block):
        if tensor.ndim == 3:
            return tensor, tensor
        feature = tensor.movedim(-1, 1)
        return feature, feature.movedim(1, -1)
    if tensor.ndim == 3:  # of convolutions of one dimension
        feature = tensor.unsqueeze(3)
        return feature, feature.squeeze(3)
    return tensor, tensor


def _channels_last(shape: Sequence[int], block: nn.Module) -> bool:
    """Whether the channels of a block's input or output are its last dimension, not the first after the samples.

    Linear layers and layer norms have them last, convolutions and batch norms first; where the sizes of the block's
    layers leave it open, maps are square, and three dimensions are tokens.
    """
    first, last = set(), set()
    for module in block.modules():
        if isinstance(module, _ConvNd):
            first |= {module.in_channels, module.out_channels}
        elif isinstance(module, _BatchNorm):
            first.add(module.num_features)
        elif isinstance(module, nn.Linear):
            last |= {module.in_features, module.out_features}
        elif isinstance(module, nn.LayerNorm):
            last.add(module.normalized_shape[-1])
    if (shape[1] in first) != (shape[-1] in last):
        return shape[-1] in last
    if len(shape) == 3:
        return True
    return shape[1] == shape[2] != shape[3]
