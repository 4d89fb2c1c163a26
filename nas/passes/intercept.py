"""Seeing, and changing, what a network computes: torch functions intercepted while it runs.

Interception works on functions, not on modules, so it sees ``F.relu(x)`` as well as ``nn.ReLU()(x)``, a weight that is
used twice as two uses, and it leaves the modules as they are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn, overrides
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from nas.passes.pooling import POOLINGS

CONVOLUTION = F.conv2d
LINEAR = F.linear
ATTENTION = F.multi_head_attention_forward
ATTENTIONS = (F.scaled_dot_product_attention, ATTENTION)
SOFTMAXES = (F.softmax, torch.softmax, Tensor.softmax)
SWITCHES = (Tensor.requires_grad_, *(getattr(Tensor, name).__set__ for name in ("requires_grad",)))
DROPOUTS = (
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout,
)  # fmt: skip
DIFFERENTIATION = (Tensor.backward, torch.autograd.backward, torch.autograd.grad)


Visits = Mapping[str, Callable[[Any], None]]
"""The visitors of a pass, by the kind of what they see."""


@contextmanager
def not_intercepted() -> Iterator[None]:
    """A context in the middle of a pass for code that is not the network's: its calls of torch go nowhere else."""
    depth = overrides._len_torch_function_stack()  # type: ignore[attr-defined]
    modes = [overrides._pop_mode() for _ in range(depth)]  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for mode in reversed(modes):
            overrides._push_mode(mode)  # type: ignore[no-untyped-call]


class Intercept(TorchFunctionMode):
    """A context in which calls of the torch functions in ``handlers`` go to their handlers instead."""

    def __init__(self, handlers: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
        super().__init__()
        self.handlers = handlers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.handlers.get(func, func)(*args, **(kwargs or {}))


def batch_normalisation(x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Tensor:
    """Training-mode batch norm over the whole batch, which records nothing in the running statistics."""
    return F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


def batch_normalisation_of_several(x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Tensor:
    """The same, with a sentence where there is a single value per channel."""
    if x.numel() == x.shape[1]:
        raise ValueError(
            "batch norm has a single value per channel and is not defined there: the images are too small for this "
            "network, which makes a single pixel of them"
        )
    return batch_normalisation(x, mean, var, weight, bias, eps)


def sample_normalisation(x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Tensor:
    """Training-mode batch norm of each row by itself, where the rows are samples: a group norm with one group per
    channel."""
    _check_several(x[0, 0].numel(), x)
    return F.group_norm(x, x.shape[1], weight, bias, eps)


def image_normalisation(x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Tensor:
    """Training-mode batch norm of a single image, which may have several rows (windows, tokens)."""
    if len(x) == 1:
        return sample_normalisation(x, mean, var, weight, bias, eps)
    _check_several(x.numel() // x.shape[1], x)
    return F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


def _check_several(values: int, x: Tensor) -> None:
    if values == 1:
        hint = "; larger images leave more, unless a pooling over the whole image goes before" if x.ndim > 2 else ""
        raise ValueError(
            f"batch norm of one sample by itself has a single value per channel and is not defined there{hint}"
        )


def running_normalisation(x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Tensor:
    """Evaluation-mode batch norm, by the running statistics where it has them."""
    return F.batch_norm(x, mean, var, weight, bias, training=mean is None, eps=eps)


def no_normalisation(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def switched_by_the_pass(switch: Callable[..., Any]) -> Callable[..., Any]:
    """A handler that keeps a network from changing which of its parameters require gradients: the pass decides that."""

    def refuse(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        return tensor if isinstance(tensor, nn.Parameter) else switch(tensor, *args, **kwargs)

    return refuse


def hooked_where_there_is_a_gradient(tensor: Tensor, hook: Callable[..., Any]) -> RemovableHandle:
    """`Tensor.register_hook`, in passes without gradients too."""
    return tensor.register_hook(hook) if tensor.requires_grad else RemovableHandle(OrderedDict())  # type: ignore[no-untyped-call]


def differentiating(function: Callable[..., Any]) -> Callable[..., Any]:
    """A handler that turns a network's failing differentiation in a pass without gradients into a clear error."""

    def differentiate(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except RuntimeError as error:
            raise ValueError("the network differentiates while it runs, which this pass does not allow") from error

    return differentiate


def no_dropout(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def attention_without_dropout(*args: Any, **kwargs: Any) -> Any:
    arguments = signature(F.multi_head_attention_forward).bind(*args, **kwargs).arguments
    return F.multi_head_attention_forward(**arguments | {"training": False})


def attention_projected_by(linear: Callable[..., Tensor]) -> Callable[..., Any]:
    """A handler under which attention, without dropout, projects its inputs and outputs, [samples, tokens, channels],
    by ``linear``. The function itself would do so where no handler sees it; it gets identities, which change nothing.
    """

    def samples_first(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return linear(x.transpose(0, 1), weight, bias).transpose(0, 1)

    def attend(*args: Any, **kwargs: Any) -> Any:
        bound = signature(F.multi_head_attention_forward).bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = bound.arguments
        if arguments["query"].ndim < 3:
            raise ValueError("an attention takes all samples as one sequence")
        names = ("query", "key", "value")
        separate = [arguments.pop(f"{name[0]}_proj_weight") for name in names]
        weights = separate if arguments["use_separate_proj_weight"] else arguments["in_proj_weight"].chunk(3)
        biases = [None] * 3 if arguments["in_proj_bias"] is None else arguments["in_proj_bias"].chunk(3)
        for name, weight, bias in zip(names, weights, biases, strict=True):
            arguments[name] = samples_first(arguments[name], weight, bias)
        identity = torch.eye(len(weights[0]), dtype=weights[0].dtype, device=weights[0].device)
        projections = {"in_proj_weight": identity.repeat(3, 1), "in_proj_bias": None, "use_separate_proj_weight": False}
        projections |= {"out_proj_weight": identity, "out_proj_bias": None}
        out, attention = F.multi_head_attention_forward(**arguments | projections | {"training": False})
        return samples_first(out, arguments["out_proj_weight"], arguments["out_proj_bias"]), attention

    return attend


def product_without_dropout(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None, dropout_p: Any = 0.0, *args: Any, **kwargs: Any
) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, attn_mask, 0.0, *args, **kwargs)


def normalising(how: Callable[..., Tensor]) -> dict[Callable[..., Any], Callable[..., Any]]:
    """Handlers under which every batch norm goes through ``how`` and dropout drops nothing (a score is a function of
    the network, not of a mask); pooling gives the same by faster ways.

    Args:
        how: ``(input, running mean, running variance, weight, bias, eps) -> output``.
    """

    def normalise(
        input: Tensor, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
        training: bool = False, momentum: Any = 0.1, eps: float = 1e-5,
    ) -> Tensor:  # fmt: skip
        return how(input, running_mean, running_var, weight, bias, eps)

    return {
        F.batch_norm: normalise,
        **{switch: switched_by_the_pass(switch) for switch in SWITCHES},
        Tensor.register_hook: hooked_where_there_is_a_gradient,
        **{function: differentiating(function) for function in DIFFERENTIATION},
        ATTENTION: attention_without_dropout,
        F.scaled_dot_product_attention: product_without_dropout,
        **dict.fromkeys(DROPOUTS, no_dropout),
        **POOLINGS,
    }
