"""Networks of tokens: where their whole numbers become vectors, and the loss of what they predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

UNLABELLED = -100
"""The label of a position at which nothing is predicted."""

NORMS = (F.layer_norm, F.group_norm, F.rms_norm, F.instance_norm)
"""Norms beside batch norm, which token networks have in its place."""


def loss(outputs: Tensor, labels: Tensor, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """The loss of a batch: the mean of its samples' losses, or their sum.

    A sample's loss is the cross-entropy of its label, or of a sequence the mean cross-entropy over the positions at
    which something is predicted.

    Args:
        outputs: logits, [samples, classes] or [samples, positions, classes].
        labels: whole numbers, [samples] or [samples, positions]; `UNLABELLED` where nothing is predicted.
    """
    if labels.ndim == 1:
        return F.cross_entropy(outputs, labels, reduction=reduction)
    if outputs.shape[:-1] != labels.shape:
        raise ValueError(f"the network predicts {list(outputs.shape[:-1])} positions, labels are {list(labels.shape)}")
    entropies = F.cross_entropy(outputs.flatten(0, 1), labels.flatten(), ignore_index=UNLABELLED, reduction="none")
    samples = entropies.view(labels.shape).sum(1) / (labels != UNLABELLED).sum(1)
    return samples.mean() if reduction == "mean" else samples.sum()


def are_tokens(inputs: Tensor) -> bool:
    """Whether a network's inputs are tokens, whole numbers [samples, positions], and no images."""
    return not inputs.is_floating_point()


class Embedding:
    """Sees what a network's tokens are looked up as.

    Attributes:
        vectors: what each look-up of tokens gave, [samples, …, width], in order; with a gradient where ``graph`` is
            set.
    """

    def __init__(self, graph: bool = False, replaced: Callable[[Tensor, bool], Tensor] | None = None) -> None:
        """``replaced`` gives another tensor in place of what was looked up, told whether by tokens."""
        self.vectors: list[Tensor] = []
        self._graph, self._replaced = graph, replaced
        self._tokens: Tensor | None = None

    def follow(self, tokens: Tensor) -> Tensor:
        """``tokens``, fresh ones, whose look-ups are those that count; views of them are theirs too."""
        self._tokens = tokens
        return tokens

    @property
    def handlers(self) -> dict[Callable[..., Any], Callable[..., Any]]:
        return {F.embedding: self._look_up}

    def check(self) -> None:
        """`ValueError` where no look-up was seen."""
        if not self.vectors:
            raise ValueError("the network looks its tokens up in no embedding that is seen")

    def _look_up(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        vectors = F.embedding(input, *args, **kwargs)
        own = self._tokens is not None and (
            input.untyped_storage().data_ptr() == self._tokens.untyped_storage().data_ptr()
        )
        if self._replaced is not None:
            vectors = self._replaced(vectors, own)
        if own:
            if self._graph and not vectors.requires_grad:
                vectors.requires_grad_()
            self.vectors.append(vectors)
        return vectors


def ones_for_tokens(vectors: Tensor, by_tokens: bool) -> Tensor:
    """Ones in place of what tokens are looked up as, zeros in place of what else is, as positions."""
    return torch.ones_like(vectors) if by_tokens else torch.zeros_like(vectors)
