"""Random tokens."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from nas.data.sources import MAX_COUNT, Source, source
from nas.data.sources._windows import LENGTH, MAX_LENGTH, MAX_VOCABULARY, VOCABULARY, Predict, of_windows
from nas.registry import Range


@source("tokens")
def tokens(
    rng: np.random.Generator,
    count: int,
    *,
    vocab: Annotated[int, Range(3, MAX_VOCABULARY)] = VOCABULARY,
    length: Annotated[int, Range(2, MAX_LENGTH)] = LENGTH,
    predict: Predict = "next",
) -> Source:
    """Sequences of tokens that say nothing about each other: as many as are drawn.

    Args:
        vocab: how many different tokens there are; where masked ones are predicted, the last of them is the mask.
        length: tokens of a sequence.
        predict: the ``next`` token after each, or those that are ``masked``.
    """
    ordinary = vocab - (predict == "masked")
    ids = rng.integers(ordinary, size=min(count, MAX_COUNT) * length + 1)
    return of_windows(ids, tuple(map(str, range(vocab))), length, predict)
