"""Networks that recompute activations in the backward pass to save memory (`torch.utils.checkpoint`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils import checkpoint


class _Calling:
    """Replaces the function that runs another one without a graph, and again in the backward pass."""

    @staticmethod
    def apply(function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        return function(*args)


def _nothing(*_: Any, **__: Any) -> Iterator[None]:
    """Replaces the context of such a run where autograd's own graph is kept."""
    yield


@contextmanager
def without_recomputation() -> Iterator[None]:
    """A context in which `torch.utils.checkpoint.checkpoint` only calls its function.

    The values are the same by its definition. A recomputation during the backward pass would not be intercepted, since
    interception has ended by then. Networks hold references to ``checkpoint`` itself, so the functions that it calls
    are replaced: one for either value of ``use_reentrant``.
    """
    before = {name: getattr(checkpoint, name) for name in REPLACEMENTS}
    vars(checkpoint).update(REPLACEMENTS)
    try:
        yield
    finally:
        vars(checkpoint).update(before)


REPLACEMENTS = {"CheckpointFunction": _Calling, "_checkpoint_without_reentrant_generator": _nothing}
