"""The arguments that a module of PyTorch was made with, read from its attributes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.formats.sources import NoSource

SQUARES = ("kernel_size", "stride", "padding", "dilation", "output_padding")
"""Arguments that may be one number for all directions."""
NO_ATTRIBUTE = ("self", "device", "dtype")


def arguments_of(module: nn.Module, cls: type[nn.Module]) -> dict[str, Any]:
    """The arguments of ``cls`` that make ``module``, or the part of it that ``cls`` defines, without those that have
    their default.

    Raises:
        NoSource: its attributes do not show them, or these arguments make something else.
    """
    if cls in READERS:
        arguments = READERS[cls](module)
    else:
        arguments = {}
        for name, parameter in inspect.signature(cls.__init__).parameters.items():
            if name in NO_ATTRIBUTE or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if not hasattr(module, name) and parameter.default is not parameter.empty:
                continue
            value = _value(module, cls, name)
            if parameter.default is parameter.empty or not _same(value, parameter.default):
                arguments[name] = value
    _check(module, cls, arguments)
    return arguments


def fresh(cls: type[nn.Module], arguments: Mapping[str, Any]) -> nn.Module:
    """The module that the arguments make, without weights."""
    try:
        with torch.device("meta"):
            return cls(**arguments)
    except Exception as error:
        raise NoSource(f"a {cls.__name__} cannot be made again ({error})") from None


def _value(module: nn.Module, cls: type, name: str) -> Any:
    if not hasattr(module, name):
        raise NoSource(f"a {cls.__name__} does not show its argument {name}")
    value = getattr(module, name)
    if name == "bias" and (value is None or isinstance(value, Tensor)):
        return value is not None
    if name in SQUARES and isinstance(value, tuple) and len(set(value)) == 1:
        return value[0]
    return value


def _attention(module: Any) -> dict[str, Any]:
    arguments = {
        "embed_dim": module.embed_dim, "num_heads": module.num_heads, "dropout": module.dropout,
        "bias": module.in_proj_bias is not None, "add_bias_kv": module.bias_k is not None,
        "add_zero_attn": module.add_zero_attn, "kdim": module.kdim, "vdim": module.vdim,
        "batch_first": module.batch_first,
    }  # fmt: skip
    defaults = {"dropout": 0.0, "bias": True, "add_bias_kv": False, "add_zero_attn": False, "batch_first": False,
            "kdim": module.embed_dim, "vdim": module.embed_dim}  # fmt: skip
    return {name: value for name, value in arguments.items() if name not in defaults or value != defaults[name]}


def _encoder_layer(module: Any) -> dict[str, Any]:
    attention = module.self_attn
    arguments = {
        "d_model": attention.embed_dim, "nhead": attention.num_heads, "dim_feedforward": module.linear1.out_features,
        "dropout": module.dropout.p, "activation": module.activation, "layer_norm_eps": module.norm1.eps,
        "batch_first": attention.batch_first, "norm_first": module.norm_first, "bias": module.linear1.bias is not None,
    }  # fmt: skip
    defaults = {"dim_feedforward": 2048, "dropout": 0.1, "activation": F.relu, "layer_norm_eps": 1e-5,
            "batch_first": False, "norm_first": False, "bias": True}  # fmt: skip
    return {name: value for name, value in arguments.items() if name not in defaults or value != defaults[name]}


READERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    nn.MultiheadAttention: _attention,
    nn.TransformerEncoderLayer: _encoder_layer,
}
"""The readers for modules whose attributes have other names than their arguments."""


def _check(module: nn.Module, cls: type[nn.Module], arguments: Mapping[str, Any]) -> None:
    """`NoSource` where the module that the arguments make differs from ``module`` in parts, shapes or plain values."""
    rebuilt = fresh(cls, arguments)
    parts = {name: type(part) for name, part in rebuilt.named_modules() if name}
    theirs = {name: type(part) for name, part in module.named_modules() if name}
    shapes = {name: tensor.shape for name, tensor in rebuilt.state_dict().items()}
    state = {name: tensor.shape for name, tensor in module.state_dict().items()}
    values = {name: value for name, value in vars(rebuilt).items() if not name.startswith("_") and name != "training"}
    own = type(module) is not cls
    differs = bool(parts.items() - theirs.items() or shapes.items() - state.items())
    if not own:  # a subclass may have more
        differs = parts != theirs or shapes != state
    if differs or any(name not in vars(module) or not _same(vars(module)[name], values[name]) for name in values):
        raise NoSource(f"a {cls.__name__} is not what its arguments make")


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, Tensor) or isinstance(other, Tensor):
        return isinstance(value, Tensor) and isinstance(other, Tensor) and value.shape == other.shape
    return type(value) is type(other) and bool(value == other)
