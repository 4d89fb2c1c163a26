"""Passes over a network other than the one for per-sample gradients.

A pass hands what it comes across to visitors, by kind, and does no more than the visitors present need. It leaves the
network as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from nas import curvature
from nas.intercept import (
    ATTENTIONS,
    CONVOLUTION,
    LINEAR,
    RECTIFIERS,
    SOFTMAXES,
    Intercept,
    attention_projected_by,
    batch_normalisation,
    no_normalisation,
    normalising,
    running_normalisation,
    untouched,
)
from nas.layers import own_weight, seen_by_first_entry

Visits = Mapping[str, Callable[[Any], None]]
"""Who wants to see what: kind -> visitor."""


class Layer(NamedTuple):
    """One use of a convolution or linear weight in a forward and backward pass.

    Attributes:
        weight: the parameter, or the rows of it that an attention takes for queries, keys or values.
        output: [samples, channels, …].
        gradient: the loss's gradient with respect to the output, of the same shape.
    """

    weight: Tensor
    output: Tensor
    gradient: Tensor


class Flow(NamedTuple):
    """A convolution or linear weight in the linearised network (`visit_flow`).

    Attributes:
        weight: its absolute values, float64.
        gradient: the gradient of the sum of all logits with respect to them.
        role: ``attention`` in a module that attends, ``mlp`` elsewhere in the block around one, otherwise ``other``.
    """

    weight: Tensor
    gradient: Tensor
    role: str


def visit_batch(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
    """A pass of all images together, batch norm in training mode over them; the loss is the mean cross-entropy.

    Visitors:
        relus: the input > 0 of each rectifier, [samples, units] bool, in the order of the forward pass.
        features: the input of the first block and the output of each (see `blocks`), with their graph, as one list.
        input: the gradient of the sum of all logits with respect to the images, [samples, inputs].
        gradients: (weight, ∂L/∂weight) of every convolution and linear weight, as one list.
        curvature: (weight, H ∂L/∂weight) of them, H the Hessian of L for these weights, as one list.
        layers: each use of such a weight that the loss depends on, a `Layer`.
    """
    by_weight = visits.keys() & {"gradients", "curvature", "layers"}
    weights = convolution_and_linear_weights(net) if by_weight else []
    by_input = visits.keys() & {"features", "input"}
    with untouched(net), torch.set_grad_enabled(bool(by_weight or by_input)):
        watched = {id(weight) for weight in weights}
        for parameter in net.parameters():
            parameter.requires_grad_(id(parameter) in watched)
        watch = _Layers(visits["layers"], len(images)) if "layers" in visits else None
        twice = "curvature" in visits
        convolution = curvature.Convolution()
        layers: dict[Callable[..., Any], Callable[..., Tensor]] = {
            CONVOLUTION: convolution if twice else F.conv2d,
            LINEAR: F.linear,
        }
        if watch is not None:
            layers = {function: partial(watch.use, handler) for function, handler in layers.items()}
        handlers = normalising(curvature.batch_norm if twice else batch_normalisation) | layers
        handlers |= _rectifiers(visits.get("relus"), watch)
        handlers[F.multi_head_attention_forward] = attention_projected_by(layers[LINEAR])  # always: numbers agree
        images = images.detach().requires_grad_(bool(by_input))
        differentiable = sdpa_kernel(SDPBackend.MATH)  # the only kernel twice so; for all, so that their numbers agree
        with differentiable, Intercept(handlers), _features(net, "features" in visits) as features:
            logits = net(images.clone())  # which the network may write to
        convolution.weights = False
        if "features" in visits:
            visits["features"](features)
        if "input" in visits:
            (jacobian,) = _gradients(logits.sum(), [images], retain_graph=bool(by_weight))
            visits["input"](jacobian.flatten(1))
        if not by_weight:
            return
        convolution.weights = True
        if watch is not None:
            watch.recording = True
        gradients = _gradients(F.cross_entropy(logits, labels), weights, create_graph=twice)
        if watch is not None:
            watch.recording = False
        if "gradients" in visits:
            visits["gradients"]([(w, g.detach()) for w, g in zip(weights, gradients, strict=True)])
        if twice:
            squared = torch.stack([(g * g.detach()).sum() for g in gradients]).sum()
            products = _gradients(squared, weights)
            visits["curvature"](list(zip(weights, products, strict=True)))


def visit_halves(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
    """Two passes of half the images each.

    Visitors:
        gradients: (weight, [2, *weight] the gradients of the two halves' losses) of every convolution and linear
            weight, as one list.
    """
    half = len(images) // 2
    found: list[list[tuple[Tensor, Tensor]]] = []
    for part in (slice(0, half), slice(half, 2 * half)):
        visit_batch(net, images[part], labels[part], {"gradients": found.append})
    visits["gradients"]([(weight, torch.stack([g, h])) for (weight, g), (_, h) in zip(*found, strict=True)])


def visit_outputs(net: nn.Module, images: Tensor, visits: Visits) -> None:
    """A forward pass, batch norm in training mode over the images.

    Visitors:
        convolutions: the output of each convolution, [samples, channels, height, width].
        last: the last feature map of more than one pixel, [samples, channels, height, width]: what a function gave, but
            from an attention to the next convolution, where four dimensions may mean heads and tokens; without a
            convolution after the last attention there is none.
        variances: the variance of each channel of what each batch norm takes, over the images: [channels].
    """
    last: list[Tensor] = []
    attending = False

    class Watch(Intercept):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal attending
            out = super().__torch_function__(func, types, args, kwargs)
            if func in ATTENTIONS or (func in SOFTMAXES and out.ndim > 2 and min(out.shape[-2:]) > 1):
                attending = True
                last.clear()
            attending = attending and func is not CONVOLUTION
            if attending or not isinstance(out, Tensor):
                return out
            if out.ndim == 4 and out[0, 0].numel() > 1 and out.is_floating_point():
                last[:] = [out]
            return out

    def normalise(x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Tensor:
        out, _, inverse = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        if "variances" in visits:
            visits["variances"](inverse**-2 - eps)
        return out

    def convolve(*args: Any, **kwargs: Any) -> Tensor:
        out = F.conv2d(*args, **kwargs)
        if "convolutions" in visits:
            visits["convolutions"](out)
        return out

    images = images.clone()  # which the network may write to
    with untouched(net), torch.no_grad(), Watch(normalising(normalise) | {CONVOLUTION: convolve}):
        net(images)
    if "last" in visits and last:
        visits["last"](last[0])


def visit_flow(net: nn.Module, images: Tensor, visits: Visits) -> None:
    """A forward and backward pass of one input of ones through the linearised network: every parameter is replaced by
    its absolute value, batch norm is bypassed, and all is float64.

    Visitors:
        flow: each convolution and linear weight, a `Flow`.
    """
    absolute = {name: parameter.detach().double().abs() for name, parameter in net.named_parameters()}
    buffers = {name: b.double() if b.is_floating_point() else b.clone() for name, b in net.named_buffers()}
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    chosen = [names[id(weight)] for weight in convolution_and_linear_weights(net)]
    ones = torch.ones_like(images[:1], dtype=torch.float64)
    with untouched(net), _attending(net, normalising(no_normalisation)) as (attending, handlers), Intercept(handlers):
        for name in chosen:
            absolute[name].requires_grad_()
        logits = functional_call(net, absolute | buffers, (ones,))
    gradients = _gradients(logits.sum(), [absolute[name] for name in chosen])
    around = {name.rpartition(".")[0] for name in attending}
    for name, gradient in zip(chosen, gradients, strict=True):
        role = "attention" if _inside(name, attending) else "mlp" if _inside(name, around - {""}) else "other"
        visits["flow"](Flow(absolute[name].detach(), gradient, role))


def visit_scalars(net: nn.Module, images: Tensor, visits: Visits) -> None:
    """Passes of all images with batch norm in evaluation mode: one forward, and one backward for each class.

    Visitors:
        scalars: the logits [samples, classes], and their Jacobian [samples, classes, weights] with respect to the first
            entry of each convolution and linear weight, as one pair.
    """
    weights = convolution_and_linear_weights(net)
    place = {weight.data_ptr(): number for number, weight in enumerate(weights)}  # its first rows have it too
    rows = images.new_zeros(len(weights), len(images))

    def follow(out: Tensor, weight: Tensor, gain: Callable[[], Tensor], channel: int) -> Tensor:
        """``gain()``, [samples, …], is what the output's first channel gains with the weight's first entry."""
        if weight.data_ptr() not in place or not out.requires_grad:
            return out
        _check_samples(out, len(images))
        factor, row = gain().to(out.dtype).reshape(len(out), -1), rows[place[weight.data_ptr()]]

        def add(gradient: Tensor) -> None:
            row.add_(torch.linalg.vecdot(gradient.select(channel, 0).reshape(factor.shape), factor))

        out.register_hook(add)  # type: ignore[no-untyped-call]
        return out

    def convolve(
        input: Tensor, weight: Tensor, bias: Any = None,
        stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        out = F.conv2d(input, weight, bias, stride, padding, dilation, groups)
        gain = partial(seen_by_first_entry, input.detach(), weight, out.shape, stride, padding, dilation)
        return follow(out, weight, gain, 1)

    def linear(input: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
        return follow(F.linear(input, weight, bias), weight, lambda: input.detach()[..., 0], -1)

    handlers = normalising(running_normalisation) | {CONVOLUTION: convolve, LINEAR: linear}
    handlers[F.multi_head_attention_forward] = attention_projected_by(linear)
    with untouched(net):
        net.eval().requires_grad_(False)
        images = images.detach().requires_grad_()
        with Intercept(handlers):
            logits = net(images.clone())
        jacobian = []
        for logit in logits.sum(0):
            rows.zero_()
            _gradients(logit, [images], retain_graph=True)
            jacobian.append(rows.T.clone())
    visits["scalars"]((logits.detach(), torch.stack(jacobian, 1)))


def _gradients(value: Tensor, inputs: list[Tensor], **how: Any) -> tuple[Tensor, ...]:
    """The gradients of ``value``; zeros for what it does not depend on."""
    if not value.requires_grad:
        return tuple(map(torch.zeros_like, inputs))
    return torch.autograd.grad(value, inputs, materialize_grads=True, allow_unused=True, **how)


def _check_samples(out: Tensor, samples: int) -> None:
    if len(out) != samples:
        raise ValueError(f"a layer gives {len(out)} rows for {samples} images: which are whose is not known")


def convolution_and_linear_weights(net: nn.Module) -> list[Tensor]:
    """The weights of all Conv2d and Linear modules and the projections of attention modules, each once.

    Raises:
        ValueError: one is no parameter but computed from others, as by weight normalisation.
    """
    found: dict[int, Tensor] = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            found[id(module.weight)] = own_weight(module, name)
        elif isinstance(module, nn.MultiheadAttention):
            found |= {id(p): p for p in module.parameters(recurse=False) if p.ndim == 2}
    return list(found.values())


def blocks(net: nn.Module) -> list[nn.Module]:
    """The cells, blocks or stages of a network: its outermost modules with parts of their own, looking through
    containers, and through a module that is the only one."""
    found = [block for child in net.children() for block in _blocks(child)]
    return blocks(found[0]) if len(found) == 1 and list(found[0].children()) else found


def _blocks(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return [block for child in module.children() for block in _blocks(child)]
    return [module] if list(module.children()) else []


@contextmanager
def _features(net: nn.Module, wanted: bool) -> Iterator[list[Tensor]]:
    """Collects the input of the first block and the output of each while the network runs."""
    features: list[Tensor] = []
    found = blocks(net) if wanted else []

    def before(module: nn.Module, inputs: Any) -> None:
        if not features and inputs and isinstance(inputs[0], Tensor):
            features.append(inputs[0])

    def after(module: nn.Module, inputs: Any, out: Any) -> None:
        if isinstance(out, Tensor):
            features.append(out)

    hooks = [block.register_forward_pre_hook(before) for block in found[:1]]
    hooks += [block.register_forward_hook(after) for block in found]
    try:
        yield features
    finally:
        for hook in hooks:
            hook.remove()


def _rectifiers(visit: Callable[[Tensor], None] | None, watch: _Layers | None) -> dict[Any, Any]:
    """Handlers of the rectifiers for these two."""

    def rectify(function: Callable[..., Tensor], input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if visit is not None:
            visit((input > 0).flatten(1))
        version = input._version
        out = function(input, *args, **kwargs)
        if watch is not None and function is not F.leaky_relu:
            watch.rectified(input, version)
        return out

    def hardtanh(input: Tensor, min_val: float = -1.0, *args: Any, **kwargs: Any) -> Tensor:
        function = partial(rectify, F.hardtanh) if min_val == 0 else F.hardtanh  # with 0 it is what nn.ReLU6 calls
        return function(input, min_val, *args, **kwargs)

    if visit is None and watch is None:
        return {}
    return {F.hardtanh: hardtanh} | {function: partial(rectify, function) for function in RECTIFIERS}


class _Layers:
    """Hands the outputs of layers and their gradients to a visitor while ``recording``."""

    def __init__(self, visit: Callable[[Layer], None], samples: int) -> None:
        self.visit = visit
        self.samples = samples
        self.recording = False
        self.intact: dict[int, int] = {}  # the last version of each output at which output x gradient is as it was

    def rectified(self, tensor: Tensor, version: int) -> None:
        """Told of a tensor that a rectifier took at this version: where it changes the tensor, the gradient is zero."""
        if self.intact.get(tensor.data_ptr()) == version:
            self.intact[tensor.data_ptr()] = tensor._version

    def use(self, function: Callable[..., Tensor], input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        out = function(input, weight, *args, **kwargs)
        if out.requires_grad:
            _check_samples(out, self.samples)
            output = out.detach()
            self.intact[output.data_ptr()] = output._version

            def take(gradient: Tensor) -> None:
                if not self.recording:
                    return
                if output._version != self.intact[output.data_ptr()]:
                    raise RuntimeError("the output of a layer is changed in place, and its value is lost")
                self.visit(Layer(weight, output, gradient.detach()))

            out.register_hook(take)  # type: ignore[no-untyped-call]
        return out


@contextmanager
def _attending(net: nn.Module, handlers: dict[Any, Any]) -> Iterator[tuple[set[str], dict[Any, Any]]]:
    """The names of the modules that attend, found while the network runs, and ``handlers`` that also find them."""
    running: list[str] = []
    found: set[str] = set()

    def attend(function: Callable[..., Any], handler: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        square = function in ATTENTIONS or (args[0].ndim > 2 and args[0].shape[-1] == args[0].shape[-2])
        if square and running:
            found.add(running[-1])
        return handler(*args, **kwargs)

    def enter(module: nn.Module, inputs: Any) -> None:
        running.append(names[module])

    def leave(module: nn.Module, inputs: Any, out: Any) -> None:
        running.pop()

    names = {module: name for name, module in net.named_modules()}
    hooks = [module.register_forward_pre_hook(enter) for module in names]
    hooks += [module.register_forward_hook(leave) for module in names]
    try:
        yield found, handlers | {f: partial(attend, f, handlers.get(f, f)) for f in (*ATTENTIONS, *SOFTMAXES)}
    finally:
        for hook in hooks:
            hook.remove()


def _inside(name: str, modules: set[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
