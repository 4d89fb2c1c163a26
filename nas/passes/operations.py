"""Torch's operations by kind, as it dispatches them, whatever called them.

A function is seen under its Python name only where Python calls it under that name. Dispatched operations are always
seen: in modules, functions and methods, in networks that are traced, scripted or compiled, and in torch's composed
functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

CONVOLUTIONS = frozenset({
    aten.convolution, aten._convolution, aten.convolution_overrideable, aten.cudnn_convolution,
    aten.cudnn_convolution_relu, aten.cudnn_convolution_add_relu, aten.thnn_conv2d, aten._slow_conv2d_forward,
    aten._conv_depthwise2d, aten.conv_depthwise3d, aten.slow_conv3d, aten.slow_conv3d_forward,
    aten.slow_conv_dilated2d, aten.slow_conv_dilated3d, aten._nnpack_spatial_convolution,
    aten.cudnn_convolution_transpose, aten.slow_conv_transpose2d, aten.slow_conv_transpose3d,
})  # fmt: skip
"""Convolutions of one to three dimensions; they take the input and the weight [channels, …] first."""

TRANSPOSED = frozenset({aten.cudnn_convolution_transpose, aten.slow_conv_transpose2d, aten.slow_conv_transpose3d})
"""Convolutions that are always transposed; the first three of `CONVOLUTIONS` are where an argument says so."""

PRODUCTS: dict[Any, int] = {
    aten.mm: 0, aten.bmm: 0, aten.mv: 0, aten.dot: 0, aten.vdot: 0,
    aten.addmm: 1, aten.addmm_: 1, aten.addmv: 1, aten.addmv_: 1, aten._addmm_activation: 1,
    aten.addbmm: 1, aten.addbmm_: 1, aten.baddbmm: 1, aten.baddbmm_: 1,
}  # fmt: skip
"""Products of matrices and vectors, and the place of the left side among the arguments; the right side is next."""

RECURRENT: dict[Any, Callable[[Any], Sequence[Tensor]]] = {
    aten.mkldnn_rnn_layer: lambda args: args[1:3],
    aten._cudnn_rnn: lambda args: args[1],
}
"""Whole recurrent layers, and their weights and biases among the arguments; the first is the input [steps, …]."""

BATCH_NORMS = frozenset({
    aten.native_batch_norm, aten._native_batch_norm_legit, aten._native_batch_norm_legit_functional,
    aten._batch_norm_with_update, aten._batch_norm_with_update_functional, aten.cudnn_batch_norm,
    aten.miopen_batch_norm, aten._batch_norm_impl_index,
})  # fmt: skip

ATTENTIONS = frozenset({
    aten._scaled_dot_product_flash_attention_for_cpu, aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_efficient_attention, aten._scaled_dot_product_cudnn_attention,
    aten._scaled_dot_product_fused_attention_overrideable, aten._scaled_dot_product_attention_math,
    aten._native_multi_head_attention, aten._transformer_encoder_layer_fwd,
})  # fmt: skip

SOFTMAXES = frozenset({aten._softmax, aten._safe_softmax})

LAYERS = CONVOLUTIONS | PRODUCTS.keys() | RECURRENT.keys() | {aten._trilinear}
"""All operations whose multiply-accumulates are counted."""

OWN = frozenset({"aten", "prim", "prims", "profiler", "inductor"})
"""Namespaces of operations that are torch's own."""

PRODUCT = re.compile(
    r"(?<![a-z0-9])(conv(olution)?([123]d|_tbc)?|depthwise[123]d|(add)?mm|(ba|a)?ddbmm|bmm|(add)?mv|sspaddmm|smm|hspmm|"
    r"linear|matmul|rnn|lstm|gru|v?dot|vecdot|(bi|tri)linear|einsum|multi_head_attention|transformer_encoder_layer|"
    r"mkldnn)(?![a-z0-9])"
)
"""Names of torch's own operations that multiply matrices, and of formats whose products cannot be seen."""

NO_PRODUCT = re.compile(r"upsample|scaled_dot_product|_thnn_fused_|flatten_weight|_backward|linear_combination")
"""Names of those among them that do not, or only as attention does."""


def is_known(func: Any) -> bool:
    """Whether it is known what an operation computes as far as layers are concerned."""
    if func.overloadpacket in LAYERS:
        return True
    name = func.name().partition("::")[2].partition(".")[0]
    return func.namespace in OWN and (not PRODUCT.search(name) or bool(NO_PRODUCT.search(name)))


class Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that does not import torch's compiler, which takes two seconds and is of no use here: a compiled
    network runs as it is written under any such mode."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class Dispatched(Dispatch):  # type: ignore[no-untyped-call]
    """A context in which ``look(kind, args, kwargs, out)`` is called after each operation."""

    def __init__(self, look: Callable[[Any, Any, Any, Any], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.look = look

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.look(func.overloadpacket, args, kwargs or {}, out)
        return out


def first_tensor(out: Any) -> Tensor | None:
    """An operation's result, the first where there are several."""
    if isinstance(out, tuple | list) and out:
        out = out[0]
    return out if isinstance(out, Tensor) else None
