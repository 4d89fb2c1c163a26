"""Neural architecture search without training.

    import nas
    trials = nas.search("nasbench201", "gradalign_i", "evolution", budget=200)

`search`, `compare`, `score` and `bench` are imported when first used, so that ``import nas`` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.calls import Comparison, bench, compare, score, search
    from nas.errors import UsageError

__all__ = ["Comparison", "UsageError", "bench", "compare", "score", "search"]


def __getattr__(name: str) -> Any:
    if name == "UsageError":
        from nas.errors import UsageError

        return UsageError
    if name in __all__:
        from nas import calls

        return getattr(calls, name)
    raise AttributeError(f"module 'nas' has no attribute {name!r}")
