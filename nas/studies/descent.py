"""GradAlign's theorem on real networks: one step of gradient descent against its bound, and the first steps after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, nan
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.errors import UsageError
from nas.passes.intercept import Intercept, batch_normalisation, normalising, sample_normalisation
from nas.passes.running import untouched
from nas.probe import Probe
from nas.registry import Range
from nas.scoring.measurer import build
from nas.scoring.objective import resolve
from nas.scoring.scorer import Scorer
from nas.space import Arch
from nas.statistics import ranks
from nas.studies import Findings, Material, oriented, study
from nas.studies._figures import legend_below, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALWAYS = "gradalign_i+gradalign_ii+params"
ITERATIONS = 10
"""Iterations of the power method."""
NEAR_SHARE = 1e-4
"""The distance of a finite difference, as a share of the weights' length."""

Function = Callable[[Sequence[Tensor]], tuple[float, list[Tensor]]]
"""Weights -> the function's value and gradient there."""


class Step(NamedTuple):
    """One step of gradient descent from θ to θ − λ∇L, and the descent lemma's bound for it.

    Attributes:
        share: λ times the curvature at θ; 1 is the largest step that the theorem allows there.
        decrease: L(θ) − L(θ⁺).
        guaranteed: (λ/2)‖∇L‖², the lemma's bound where λ ≤ 1/M.
        curvature: ‖H‖ at θ, from the power method on finite differences: the smoothness known beforehand.
        secant: the largest ‖∇L(θ) − ∇L(θ − t∇L)‖ / t‖∇L‖ at four points along the step, the smoothness met on the way.
    """

    share: float
    rate: float
    loss: float
    decrease: float
    guaranteed: float
    curvature: float
    secant: float

    @property
    def premise(self) -> bool:
        """Whether the step is no longer than 1/M for the smoothness met on the way."""
        return self.rate * self.secant <= 1

    @property
    def holds(self) -> bool:
        return self.decrease >= self.guaranteed


@study("descent")
def descent(
    material: Material,
    *,
    shares: Annotated[tuple[float, ...], Range(above=0)] = (0.01, 0.1, 0.5, 1.0),
    steps: Annotated[int, Range(1)] = 20,
    rate: Annotated[float, Range(above=0)] = 0.05,
) -> Findings:
    """The loss after one step of gradient descent against the bound of GradAlign's theorem, and GradAlign-I against the
    decrease over the first steps of training.

    For an M-smooth loss and λ ≤ 1/M the descent lemma gives L(θ⁺) ≤ L(θ) − (λ/2)‖ḡ‖². L is the function of the
    convolution and linear weights whose per-sample gradients g_i GradAlign uses (batch norm on each sample by itself),
    in float64. A network with ReLUs is not smooth, so M is measured twice (see `Step`). Conflict enters by
    ‖ḡ‖² = (1/N²)(Σ_i ‖g_i‖² + Σ_{i≠j} ⟨g_i, g_j⟩); ``alignment`` is ‖ḡ‖² over the mean of ‖g_i‖², 1 without conflict.

    Args:
        shares: the steps λ, times the curvature at the start.
        steps: how many steps of plain gradient descent on the study's minibatch count as the first steps of training:
            ordinary batch norm, all parameters. (Other minibatches have other classes where not all fit, and then the
            measured loss rises.)
        rate: their learning rate.
    """
    scorer = material.scorer()
    proxies = list({p.name: p for p in [*resolve(ALWAYS, {})[0], *material.proxies]}.values())
    bounds, rows = [], []
    for arch, text in material.each(list(zip(material.archs, material.texts, strict=True))):
        scores = {name: score.value for name, score in scorer([arch], proxies)[0].items()}
        net = network(scorer, arch).double()
        images, labels = scorer.data.images.to(scorer.device).double(), scorer.data.labels.to(scorer.device)
        weights = Probe(net, images, labels).weights
        moves = one_step(sample_loss(net, weights, images, labels), weights, shares)
        bounds += [{"arch": text} | step._asdict() | {"premise": step.premise, "holds": step.holds} for step in moves]
        decrease = first_steps(network(scorer, arch), scorer, steps, rate)
        rows.append({"arch": text, "decrease": decrease} | conflict(Probe(net, images, labels)) | scores)
    if not bounds:
        raise UsageError("the loss of none of these networks changes with its weights: there is no step to take")
    bound, training = pd.DataFrame(bounds), pd.DataFrame(rows)
    full = bound[bound["share"] == max(shares)]
    training["guaranteed"] = training["arch"].map(full.set_index("arch")["guaranteed"]).fillna(0.0)
    order = correlations(training, material.targets, [proxy.name for proxy in proxies])
    frames = {"summary": summary_of(bound), "correlations": order, "bound": bound, "training": training}
    return Findings(frames, {"descent": _figure(bound, training, steps)}, _text(frames, steps, rate))


def network(scorer: Scorer, arch: Arch) -> nn.Module:
    """The network of ``arch`` as the scorer builds it, on its device."""
    data = scorer.data
    return build(scorer.space, scorer.space.canonical(arch), data.task, scorer.seed).to(scorer.device)


def sample_loss(net: nn.Module, weights: Sequence[Tensor], images: Tensor, labels: Tensor) -> Function:
    """The mean cross-entropy as a function of ``weights``, batch norm on each sample by itself; the weights are
    restored."""

    def at(values: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        original = [weight.detach().clone() for weight in weights]
        _set(weights, values)
        try:
            with untouched(net), Intercept(normalising(sample_normalisation)):
                loss = F.cross_entropy(net(images.clone()), labels)
                gradients = torch.autograd.grad(loss, list(weights), allow_unused=True, materialize_grads=True)
        finally:
            _set(weights, original)
        return loss.item(), list(gradients)

    return at


def one_step(function: Function, start: Sequence[Tensor], shares: Sequence[float]) -> list[Step]:
    """A step for each of ``shares``, all from ``start``; none where the function is constant, as the loss of a cell
    whose output is cut off from its input."""
    start = [weight.detach().clone() for weight in start]
    loss, gradient = function(start)
    squared = _dot(gradient, gradient)
    curvature = largest_curvature(function, start, gradient)
    results: list[Step] = []
    for share in shares if squared > 0 and curvature > 0 else ():
        rate = share / curvature
        secants = []
        for part in (0.25, 0.5, 0.75, 1.0):
            after, there = function(_moved(start, gradient, -part * rate))
            change = _moved(there, gradient, -1.0)
            secants.append((_dot(change, change) / squared) ** 0.5 / (part * rate))
        results.append(Step(share, rate, loss, loss - after, rate / 2 * squared, curvature, max(secants)))
    return results


def largest_curvature(function: Function, start: Sequence[Tensor], gradient: Sequence[Tensor]) -> float:
    """‖H‖ at ``start``: the power method from the gradient, with H v from the change of the gradient nearby.

    Each step's ‖H v‖ is a lower bound of it; the largest is returned.
    """
    near = NEAR_SHARE * max(_dot(start, start) ** 0.5, NEAR_SHARE)
    direction, largest = list(gradient), 0.0
    for _ in range(ITERATIONS):
        length = _dot(direction, direction) ** 0.5
        if length == 0:
            break
        _, there = function(_moved(start, direction, near / length))
        direction = [part / near for part in _moved(there, gradient, -1.0)]
        largest = max(largest, _dot(direction, direction) ** 0.5)
    return largest


def conflict(probe: Probe) -> dict[str, float]:
    """The parts of ‖ḡ‖²: ``squared`` itself, its part ``own`` from single samples, its part ``cross`` from pairs, and
    ``alignment``, ‖ḡ‖² over the mean of ‖g_i‖²."""
    gram = sum(probe.map_blocks(lambda block: block.gram))
    samples = len(gram)
    squared, own = gram.mean().item(), gram.trace().item() / samples**2
    return {
        "squared": squared,
        "own": own,
        "cross": squared - own,
        "alignment": squared / (own * samples) if own else nan,
    }


def first_steps(net: nn.Module, scorer: Scorer, steps: int, rate: float) -> float:
    """How far the loss of the scorer's minibatch falls over ``steps`` steps of gradient descent on it."""
    images, labels = scorer.data.images.to(scorer.device), scorer.data.labels.to(scorer.device)
    net.train()

    descend = torch.optim.SGD(net.parameters(), lr=rate)
    losses = []
    with Intercept(normalising(batch_normalisation)):
        for _ in range(steps + 1):
            descend.zero_grad()
            loss = F.cross_entropy(net(images.clone()), labels)
            losses.append(loss.item())
            torch.autograd.backward(loss)
            descend.step()
    return losses[0] - losses[-1] if np.isfinite(losses[-1]) else -inf


def summary_of(bound: pd.DataFrame) -> pd.DataFrame:
    """By step: shares of the networks where the premise, the bound, and, given the premise, the bound hold; medians of
    the gain over the guaranteed gain, and of the smoothness met over that at the start."""
    rows = []
    for share, group in bound.groupby("share"):
        premised = group[group["premise"]]
        gain, met = group["decrease"] / group["guaranteed"], group["secant"] / group["curvature"]
        within = premised["holds"].mean() if len(premised) else np.nan
        rows.append(
            (share, len(group), group["premise"].mean(), group["holds"].mean(), within, gain.median(), met.median())
        )
    columns = ["share", "networks", "premise", "holds", "holds_with_premise", "gain", "smoothness_met"]
    return pd.DataFrame(rows, columns=columns)


def correlations(training: pd.DataFrame, targets: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """τ of each score with the measured ``decrease``, with the ``guaranteed`` one, and with each target; and with the
    decrease given params."""
    columns = [*names, "guaranteed", "alignment", "decrease"]
    values = oriented(training[columns])
    truths = {name: values[name].to_numpy(float) for name in ("decrease", "guaranteed")}
    truths |= {str(name): targets[name].to_numpy(float) for name in targets}
    params = values["params"].to_numpy(float)
    rows = []
    for name in columns:
        score = values[name].to_numpy(float)
        taus = {truth: ranks.kendall(score, column) if name != truth else np.nan for truth, column in truths.items()}
        partial = (
            ranks.kendall_given(score, truths["decrease"], params) if name not in ("params", "decrease") else np.nan
        )
        rows.append({"score": name} | taus | {"decrease_given_params": partial})
    return pd.DataFrame(rows)


def _figure(bound: pd.DataFrame, training: pd.DataFrame, steps: int) -> Figure:
    figure, axes = panels(2, width=4.8, height=4)
    for number, (share, rows) in enumerate(bound.groupby("share")):
        gain, look = rows["decrease"] / rows["guaranteed"], style(number)
        label = f"λ = {share:g} / curvature"
        axes[0].plot(rows["guaranteed"], gain, linestyle="none", markersize=5, label=label, **look)
    axes[0].axhline(1, color="black", linewidth=1, label="bound")
    axes[0].set_xscale("log")
    axes[0].set(xlabel="guaranteed decrease (λ/2)‖ḡ‖²", ylabel="measured decrease / guaranteed")
    legend_below(figure, axes[0], 5)
    finite = training[np.isfinite(training["decrease"])]
    axes[1].plot(finite["gradalign_i"], finite["decrease"], "o", markersize=5, color="C0")
    axes[1].set(xlabel="GradAlign-I", ylabel=f"decrease of the loss over {steps} steps")
    for axis in axes:
        axis.grid(alpha=0.3)
    return figure


def _text(frames: dict[str, pd.DataFrame], steps: int, rate: float) -> str:
    lines = [
        f"λ = {r.share:g} / curvature: the bound holds for {r.holds:.0%} of {r.networks} networks, its premise for "
        f"{r.premise:.0%}; the decrease is {r.gain:.2f} times the promised one (median)."
        for r in frames["summary"].itertuples()
    ]
    with_decrease = [
        f"{r.score} {r.decrease:.2f}" for r in frames["correlations"].itertuples() if r.score != "decrease"
    ]
    lines.append(f"τ with the decrease over {steps} steps of rate {rate:g}: {', '.join(with_decrease)}.")
    return "\n".join(lines)


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    return float(sum((a.detach() * b.detach()).sum() for a, b in zip(left, right, strict=True)))


def _moved(start: Sequence[Tensor], direction: Sequence[Tensor], by: float) -> list[Tensor]:
    return [(a + by * b).detach() for a, b in zip(start, direction, strict=True)]


@torch.no_grad()
def _set(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)
