"""Everything that a proxy may look at: one network at initialisation on one minibatch, measured once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from nas.errors import ProxyError as ProxyError
from nas.errors import ProxyFailure
from nas.passes.asking import Asked, measure
from nas.passes.batch import Layer, visit_batch, visit_halves
from nas.passes.blocks import Block, product_of_signs
from nas.passes.counts import Counts, Trace, trace
from nas.passes.intercept import Intercept, Visits, batch_normalisation, batch_normalisation_of_several, normalising
from nas.passes.linearised import Flow, visit_flow
from nas.passes.outputs import Output, visit_modules, visit_outputs
from nas.passes.per_image import Target
from nas.passes.per_sample import visit_blocks
from nas.passes.questions import Pass
from nas.passes.rectified import Rectified, visit_rectified
from nas.passes.roles import Role, visit_roles
from nas.passes.running import again, untouched
from nas.passes.scalars import visit_scalars
from nas.passes.second_order import hardsigmoid
from nas.passes.thinned import visit_thinned
from nas.passes.tokens import are_tokens
from nas.passes.weights import check_weights, real, weights_of

__all__ = [
    "Block",
    "Flow",
    "Layer",
    "Output",
    "Probe",
    "Rectified",
    "Role",
    "Target",
    "Weighted",
    "measure",
    "product_of_signs",
]

Weighted = list[tuple[Tensor, Tensor]]
"""Each convolution and linear weight with a tensor that belongs to it."""


class Probe(Asked):
    """One network on one minibatch.

    A proxy asks for what it needs and gets the answer. Where several proxies are asked together (`measure`), one pass
    serves all that need one of the same kind: the pass waits until every proxy has said what it wants from it. Those
    that hand over the very same function share what it returns.

    Attributes:
        net: ``inputs`` to logits [samples, classes], or of tokens [samples, length, classes]. Look, do not touch.
        inputs: images [samples, channels, height, width], or tokens [samples, length] int64, on the network's device.
            Of images, every prefix holds the classes in equal numbers, to within one.
        images: the same, for proxies that look at images; with tokens, these fail.
        labels: [samples], whole numbers; of tokens [samples, length], negative where nothing is predicted.
        seed: torch's global generator starts from it whenever a proxy is run by `measure`.
        mixed: the shorter type in which `torch.autocast` runs the network's convolutions and products, if any; what
            proxies compute themselves is not touched by it.
    """

    def __init__(
        self, net: nn.Module | Callable[[], nn.Module], inputs: Tensor, labels: Tensor, seed: int = 0,
        mixed: torch.dtype | None = None, counts: Counts | None = None,
    ) -> None:  # fmt: skip
        """``net`` may be what makes the network when it is asked for; ``counts`` are its own, where they are known."""
        super().__init__(net, inputs, labels, seed, mixed)
        self._counts = counts

    def __setattr__(self, name: str, value: Any) -> None:
        own = name in vars(self) or isinstance(getattr(type(self), name, None), property)
        if not name.startswith("_") and own:
            raise AttributeError(f"the {name} of a probe is not for its proxies to set")
        super().__setattr__(name, value)

    @property
    def images(self) -> Tensor:
        if are_tokens(self.inputs):
            raise ProxyFailure("the proxy looks at images, and the data are tokens")
        return self.inputs

    @property
    def groups(self) -> Tensor:
        """The class of each sample, [samples]; sequences are of one class."""
        return self.labels if self.labels.ndim == 1 else self.labels.new_zeros(self.samples)

    @property
    def samples(self) -> int:
        return len(self.inputs)

    @cached_property
    def params(self) -> int:
        """The number of parameters."""
        return self._counts.params if self._counts else sum(parameter.numel() for parameter in self.net.parameters())

    @cached_property
    def trace(self) -> Trace:
        """What one input costs; see `nas.passes.counts.Trace`."""
        counts = self._counts
        return trace(self.net, self.inputs[:1].clone()) if counts is None else Trace(counts.flops, counts.depth)

    @cached_property
    def convolutions(self) -> int:
        """How many convolutions run for one input."""
        return trace(self.net, self.inputs[:1].clone()).convolutions or 0

    @property
    def weights(self) -> list[Tensor]:
        """The convolution and linear weights, each once (see `nas.passes.weights.Weights`): those of modules first."""
        weights = again(lambda: weights_of(self.net, [self.inputs]))
        check_weights(weights)
        return [real(weight) for weight in weights]

    def map_blocks(
        self, function: Callable[[Block], Any], target: Target = "loss", samples: int | Sequence[int] | None = None
    ) -> list[Any]:
        """``function`` of the exact per-sample gradients of each Conv2d and Linear weight that the output depends on.

        They are those of the ``samples`` first images (default: all), or of the images at these places. Batch norm
        normalises each sample by itself.
        Blocks come in the order of the backward pass, and only one exists at a time; what ``function`` returns is kept.
        See `nas.passes.per_sample.visit_blocks`.
        """

        places = range(self.samples)[:samples] if samples is None or isinstance(samples, int) else samples
        first = list(places) == list(range(len(places)))
        chosen = slice(len(places)) if first else list(places)

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_blocks(net, images[chosen], labels[chosen], visits["blocks"], target)

        which = len(places) if first else f"those at {', '.join(map(str, places))}"
        answers = self._ask(Pass(f"{target} of {which}", run), "blocks", function)
        if not answers:
            raise ValueError("no convolution of two dimensions and no linear layer lies between input and output")
        return answers

    def map_relus(self, function: Callable[[Tensor], Any], samples: int | None = None) -> list[Any]:
        """``function`` of the activation pattern, [samples, units] bool (input > 0), of each ReLU that runs.

        They come in the order of the forward pass. Batch norm is in training mode over the ``samples`` first images
        (default: all).
        """
        answers = self._ask(self._batch(samples), "relus", function)
        if not answers:
            raise ValueError("the network has no ReLU, or none that is seen as one")
        return answers

    def map_thinned_relus(
        self, function: Callable[[Tensor], Any], part: float, samples: int | None = None
    ) -> list[Any]:
        """The same of the network whose convolutions are thinned out by ``part`` and that normalises layers; see
        `nas.passes.thinned.visit_thinned`."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_thinned(net, images[:samples], visits, part, self.seed)

        answers = self._ask(Pass(f"{self._number(samples)} thinned by {part}", run), "relus", function)
        if not answers:
            raise ValueError("the network has no ReLU, or none that is seen as one")
        return answers

    def map_rectified(self, function: Callable[[Rectified], Any]) -> list[Any]:
        """``function`` of what each ReLU is given, and its gradient, in the order of the backward pass. The loss is the
        mean over the batch, batch norm in training mode."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_rectified(net, images, labels, visits)

        answers = self._ask(Pass("what ReLUs are given", run), "rectified", function)
        if not answers:
            raise ValueError("the network has no ReLU, or none that is seen as one")
        return answers

    def map_modules(self, function: Callable[[Output], Any], samples: int | None = None) -> list[Any]:
        """``function`` of what each module gives for the ``samples`` first images alone, containers too, in the order
        in which they end; batch norm in training mode over these images."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_modules(net, images[:samples], visits)

        return self._ask(Pass(f"modules of {self._number(samples)}", run), "modules", function)

    def map_layers(self, function: Callable[[Layer], Any]) -> list[Any]:
        """``function`` of each use of a convolution or linear weight that the loss depends on: output and gradient.

        They come in the order of the backward pass. The loss is the mean over the batch, batch norm in training mode.
        """
        answers = self._ask(self._batch(), "layers", function)
        if not answers:
            raise ValueError("no convolution of two dimensions and no linear layer lies between input and output")
        return answers

    def weight_roles(self) -> list[Role]:
        """What each of the `weights` is for in a transformer, as far as the network uses them."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_roles(net, images[:1], visits)

        return self._ask(Pass("roles", run), "roles", _itself)[0]  # type: ignore[no-any-return]

    def features(self, function: Callable[[list[Tensor]], Any], samples: int | None = None) -> Any:
        """``function`` of the features: what the first block takes and what each block gives, with their graph, for the
        ``samples`` first images (default: all).

        Blocks are the network's outermost modules with parts of their own (see `nas.passes.features.blocks`); features
        are [samples, channels, height, width] or [samples, tokens, channels]; what is pooled over all places does not
        count. Batch norm is in training mode over these images. Random numbers that ``function`` needs come from a
        generator of its own.
        """
        return self._ask(self._batch(samples), "features", function)[0]

    def loss_gradients(self) -> Weighted:
        """∂L/∂w of each of the `weights`: L is the mean over the batch, batch norm in training mode."""
        return self._ask(self._batch(), "gradients", _itself)[0]  # type: ignore[no-any-return]

    def half_gradients(self) -> Weighted:
        """∂L/∂w of each of the `weights` for either half of the batch alone: [2, *w]."""
        return self._ask(Pass("halves", visit_halves), "gradients", _itself)[0]  # type: ignore[no-any-return]

    def hessian_gradients(self) -> Weighted:
        """H ∂L/∂w of each of the `weights`, with H the Hessian of the batch's loss for all of them."""
        return self._ask(self._batch(), "curvature", _itself)[0]  # type: ignore[no-any-return]

    def input_gradients(self, samples: int | None = None) -> Tensor:
        """∂(Σ logits)/∂x of the ``samples`` first images (default: all), [samples, inputs]; batch norm in training mode
        over them, so images act on each other. Of tokens, x is what they are looked up as."""
        return self._ask(self._batch(samples), "input", _itself)[0]  # type: ignore[no-any-return]

    def flow(self) -> list[Flow]:
        """Each of the `weights` in the linearised network: absolute parameters, no batch norm, an input of ones."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_flow(net, images, visits)

        return self._ask(Pass("flow", run), "flow", _itself)

    def scalar_jacobian(
        self, samples: int | None = None, batch_norm: Literal["running", "sample"] = "running"
    ) -> tuple[Tensor, Tensor]:
        """Logits [samples, classes] and their Jacobian [samples, classes, weights] with respect to the first entry of
        each of the `weights`, for the first ``samples`` images; batch norm in evaluation mode, by its
        ``running`` statistics or, as where it keeps none, each ``sample`` by itself."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_scalars(net, images[:samples], visits, batch_norm == "sample")

        return self._ask(Pass(f"scalars of {self._number(samples)} by {batch_norm}", run), "scalars", _itself)[0]  # type: ignore[no-any-return]

    def map_convolutions(self, function: Callable[[Tensor], Any], samples: int | None = None) -> list[Any]:
        """``function`` of the output of each convolution, [samples, channels, height, width], for the first ``samples``
        images alone; batch norm in training mode over them."""

        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_outputs(net, images[:samples], visits)

        answers = self._ask(Pass(f"outputs of {self._number(samples)}", run), "convolutions", function)
        if not answers:
            raise ValueError("the network has no convolution")
        return answers

    def last_features(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The last feature map for other images, and of each batch norm the variance of each channel.

        The feature map [samples, channels, height, width] is what the network's head averages over: a transformer, in
        which no convolution follows the last attention, has none (`ValueError`). Batch norm is in training mode.
        """
        maps: list[Tensor] = []
        variances: list[Tensor] = []

        def visit() -> None:
            maps.clear()
            variances.clear()
            with self._autocast():
                visit_outputs(self.net, images, {"last": maps.append, "variances": variances.append})

        again(visit)
        if not maps:
            raise ValueError("the network has no map of several pixels, or no convolution after its last attention")
        return maps[0], variances

    def forward(self, samples: int | None = None, images: Tensor | None = None) -> Tensor:
        """The logits [samples, classes] of the first ``samples`` images (default: all), or of other ``images``, with
        their graph, for `torch.autograd.grad`, as often as one likes. Batch norm is in training mode over these images;
        nothing is recorded in it."""
        inputs = self.inputs[:samples] if images is None else images
        handlers = normalising(batch_normalisation if images is None else batch_normalisation_of_several)
        handlers |= {F.hardsigmoid: hardsigmoid} if images is not None else {}

        def run() -> Tensor:
            differentiable = nullcontext() if images is None else sdpa_kernel(SDPBackend.MATH)
            with differentiable, self._autocast(), untouched(self.net) as run:
                return run(inputs, Intercept(handlers))  # type: ignore[no-any-return]

        return again(run)

    def _batch(self, samples: int | None = None) -> Pass:
        def run(net: nn.Module, images: Tensor, labels: Tensor, visits: Visits) -> None:
            visit_batch(net, images[:samples], labels[:samples], visits)

        return Pass(f"batch of {self._number(samples)}", run)

    def _number(self, samples: int | None) -> int:
        return self.samples if samples is None else min(samples, self.samples)


def _itself(part: Any) -> Any:
    return part
