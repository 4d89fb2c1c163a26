"""Sequences as windows of one long row of tokens."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nas.data.sources import Source
from nas.errors import UsageError
from nas.space import Task

Predict = Literal["next", "masked"]
"""What is asked of a network: the token after each, or those that are masked."""

VOCABULARY, LENGTH = 1000, 32
MAX_VOCABULARY, MAX_LENGTH = 1_000_000, 100_000


def of_windows(
    ids: NDArray[Any], entries: tuple[str, ...], length: int, predict: str, notes: tuple[str, ...] = ()
) -> Source:
    """A source of disjoint windows of ``length`` of the tokens ``ids``, each read with the token behind it.

    Args:
        ids: places among the ``entries`` of the vocabulary, of which the last is the mask where masked tokens are
            predicted.
    """
    count = (len(ids) - 1) // length
    if count < 1:
        raise UsageError(f"{len(ids)} tokens are too few for a sequence of {length} and the token after it")
    ids = ids.astype(np.int64)

    def read(places: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(ids[places[:, None] * length + np.arange(length + 1)])

    return Source(
        labels=np.zeros(count, dtype=np.int64),
        classes=entries,
        task=Task(len(entries), length=length, kind="tokens", masked=predict == "masked"),
        read=read,
        standardised=True,
        notes=notes,
    )
