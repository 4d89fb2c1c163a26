"""Proxies that were made for language models.

Serianni & Kalita (ACL 2023, arXiv:2305.04384) score BERTs; their code keeps dropout on, here a score is one of the
network without it. LPZero's and other authors' formulas are given with each proxy. What a weight is for is found where
modules mix tokens: see `nas.passes.roles`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from nas.probe import Layer, Probe, Role
from nas.proxy import ProxyFailure, proxy
from nas.registry import Range

PAPER = "Serianni & Kalita 2023, arXiv:2305.04384"
PROJECTIONS = {
    "query", "key", "value", "q", "k", "v", "q_proj", "k_proj", "v_proj", "q_lin", "k_lin", "v_lin", "to_q", "to_k",
    "to_v", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight",
}  # fmt: skip
"""What linear layers are called that give queries, keys or values."""
PACKED = {"qkv", "in_proj", "c_attn", "Wqkv"}
"""What those are called that give all three."""
TINY = 1e-5


@proxy("head_confidence", family="activations", passes=4.5, transformers=True, paper=PAPER)
def head_confidence(probe: Probe) -> Tensor:
    """How large the projections of attention become at some token, summed over them; larger is better.

        Σ over queries, keys, values of mean over samples and channels of max over tokens

    They are what the linear layers give that are called so, not the attention between tokens.
    """
    names = {storage(role.weight): role.name for role in roles(probe, "attention")}

    def confidence(layer: Layer) -> Tensor | None:
        path = names.get(storage(layer.weight), "").removesuffix(".weight").rpartition(".")[2]
        if path not in PROJECTIONS | PACKED:
            return None
        parts = layer.output.chunk(3, -1) if path in PACKED else (layer.output,)
        return torch.stack([part.double().amax(1).mean() for part in parts]).sum()

    terms = [term for term in probe.map_layers(confidence) if term is not None]
    if not terms:
        raise ProxyFailure("no linear layer of the network's attention is called query, key or value")
    return torch.stack(terms).sum()


@proxy("synaptic_diversity", family="pruning", passes=8.3, transformers=True, paper=PAPER)
def synaptic_diversity(probe: Probe) -> Tensor:
    """Nuclear norms of attention weights and of their gradients, multiplied and summed; larger is better.

        Σ over attention weights of ‖W‖_* ‖∂R/∂W‖_*,   R = Σ of all logits

    The published code takes for R the sum of the last hidden states. Where a layer norm gives these, as in a BERT, that
    sum does not depend on any weight, and its gradient is rounding; so R is here the sum of the logits, as in `dss`.
    """

    def term(weight: Tensor, gradient: Tensor) -> Tensor:
        matrices = (m.double().flatten(1) for m in (weight, gradient))
        nuclear = [torch.linalg.svdvals(matrix).sum() for matrix in matrices]
        product: Tensor = nuclear[0] * nuclear[1]
        return product

    return saliencies(probe, "attention", term)


@proxy("synaptic_saliency", family="pruning", passes=4.9, transformers=True, paper=PAPER)
def synaptic_saliency(probe: Probe) -> Tensor:
    """What removing single weights of the feed-forwards would change in the output; larger is better.

    Σ over feed-forward weights of Σ |W · ∂R/∂W|, with R as in `synaptic_diversity`
    """
    return saliencies(probe, "mlp", lambda weight, gradient: (weight.double() * gradient.double()).abs().sum())


def saliencies(probe: Probe, role: str, term: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The sum of ``term`` of each weight of this role and its gradient of the sum of all logits."""
    wanted = {storage(one.weight) for one in roles(probe, role)}
    blocks = probe.map_blocks(lambda block: (block.weight, block.rows, block.gradients.sum(0)), target="logits")
    gradients: dict[Tensor, Tensor] = {}
    for weight, rows, gradient in blocks:
        if storage(weight) in wanted:
            whole = gradients.setdefault(weight, torch.zeros_like(weight))
            whole[rows] = gradient.view(whole[rows].shape)
    return torch.stack([term(weight.detach(), gradient) for weight, gradient in gradients.items()]).sum()


@proxy("activation_distance", family="activations", passes=3.6, transformers=True, paper=PAPER)
def activation_distance(probe: Probe) -> Tensor:
    """How many units answer alike to the tokens of the first sample, two by two; larger is better.

        Σ over activations of feed-forwards of the sum of all entries of X Xᵀ + (1 − X)(1 − X)ᵀ

    X, [tokens, units], says where the input of the activation, what a linear layer gives, is positive.
    """
    blocks: dict[str, list[int]] = {}
    for role in roles(probe, "mlp"):
        blocks.setdefault(role.block, []).append(storage(role.weight))
    activated = {weight for own in blocks.values() for weight in own[:-1]}  # the last layer's output is no such input

    def alike(layer: Layer) -> Tensor | None:
        if storage(layer.weight) not in activated:
            return None
        x = (layer.output[0] > 0).double()
        x = x.reshape(-1, x.shape[-1])
        counts = x.sum(0)  # of each unit, the tokens at which it is positive
        return (counts.square() + (len(x) - counts).square()).sum()

    terms = [term for term in probe.map_layers(alike) if term is not None]
    if not terms:
        raise ProxyFailure("the network's feed-forwards have no activation")
    return torch.stack(terms).sum()


@proxy("hidden_covariance", family="activations", passes=0.5, paper=PAPER)
def hidden_covariance(probe: Probe, *, layer: Annotated[int, Range(1)] = 1) -> Tensor:
    """How far the units of a layer are from being correlated; larger is better. Made for recurrent networks.

        −Σ (log(v + k) + 1 / (v + k)),   v the eigenvalues of the correlation matrix of the units, k = 1e-5

    A unit is a channel of what the layer gives, at all places of all samples.

    Args:
        layer: which one: those of the proxy ``layers``.
    """
    rows = probe.features(lambda features: states(features, layer))
    rows = rows - rows.mean(1, keepdim=True)
    lengths = rows.norm(dim=1, keepdim=True)
    if not (lengths > 0).all():
        raise ProxyFailure(f"a unit of layer {layer} is the same everywhere")
    rows = rows / lengths
    eigenvalues: Tensor = torch.linalg.eigvalsh(rows @ rows.T).clamp_min(0) + TINY
    return -(eigenvalues.log() + 1 / eigenvalues).sum()


def states(features: list[Tensor], layer: int) -> Tensor:
    """What a layer gives, [units, places] float64."""
    if layer >= len(features):
        raise ProxyFailure(f"the network has {max(0, len(features) - 1)} layers, and no layer {layer}")
    states = features[layer].detach().double()
    return states.flatten(0, 1).T if states.ndim == 3 else states.transpose(0, 1).flatten(1)


@proxy("zerolm", family="pruning", passes=2.5, transformers=True, paper="ZeroLM 2025, arXiv:2503.18646")
def zerolm(probe: Probe, *, alpha: Annotated[float, Range(0)] = 1.0) -> Tensor:
    """Size of the weights against their rank, of feed-forwards and of attention; larger is better.

        Σ over feed-forwards + α Σ over attention of ‖W‖_F² / min(m, n),   W of m x n

    At an initialisation of variance σ² that is σ² max(m, n): it counts widths.

    Args:
        alpha: the published one is chosen after the accuracies.
    """
    roles(probe, "attention")
    weigh = {"mlp": 1.0, "attention": alpha, "other": 0.0}
    terms = [
        weigh[role.role] * role.weight.detach().double().square().sum() / min(role.weight.flatten(1).shape)
        for role in probe.weight_roles()
    ]
    return torch.stack(terms).sum()


@proxy("w_pca", family="activations", passes=3.8, transformers=True, paper="W-PCA, ICLR 2025")
def w_pca(probe: Probe, *, variance: Annotated[float, Range(above=0, most=1)] = 0.99, params: bool = True) -> float:
    """Parameters, times how many directions the feed-forwards use; larger is better.

        params · mean over layers of the fewest principal components above 0.99 of the variance

    of what the first linear layer of a feed-forward gives, before its activation, at all tokens of all samples.

    Args:
        variance: the part of it that the components have to have.
        params: False leaves the number of parameters out.
    """
    first: dict[str, Role] = {}
    for role in roles(probe, "mlp"):
        first.setdefault(role.block, role)
    wanted = {storage(role.weight) for role in first.values()}

    def components(layer: Layer) -> float | None:
        if storage(layer.weight) not in wanted:
            return None
        rows = layer.output.double().flatten(0, -2)
        parts = torch.linalg.svdvals(rows - rows.mean(0)).square()
        share = parts.cumsum(0) / parts.sum()
        return float(min(int((share <= variance).sum()) + 1, len(share))) if parts.sum() > 0 else 0.0

    numbers = [number for number in probe.map_layers(components) if number is not None]
    if not numbers:
        raise ProxyFailure("the network's output depends on none of its feed-forwards")
    mean = sum(numbers) / len(numbers)
    return float(probe.params * mean if params else mean)


def roles(probe: Probe, role: str) -> list[Role]:
    """The weights of this role, in the order of the modules; `ProxyFailure` where there are none."""
    own = [one for one in probe.weight_roles() if one.role == role]
    if not own:
        what = "attention" if role == "attention" else "feed-forward beside attention"
        raise ProxyFailure(f"the network has no {what}: this proxy is for transformers")
    return own


def storage(weight: Tensor) -> int:
    """What a weight shares with its rows."""
    return weight.untyped_storage().data_ptr()
