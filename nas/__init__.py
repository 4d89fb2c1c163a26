"""Neural architecture search without training.

    import nas
    trials = nas.search("nasbench201", "gradalign_i", "evolution", budget=200)

`search`, `compare`, `score`, `bench` and `study` are imported when first used, so that ``import nas`` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.calls.compare import compare
    from nas.calls.search import bench, score, search
    from nas.calls.study import study
    from nas.errors import UsageError
    from nas.statistics.comparison import Comparison

__all__ = ["Comparison", "UsageError", "bench", "compare", "score", "search", "study"]


def __getattr__(name: str) -> Any:
    if name == "UsageError":
        from nas.errors import UsageError

        return UsageError
    if name == "compare":
        from nas.calls.compare import compare

        return compare
    if name == "Comparison":
        from nas.statistics.comparison import Comparison

        return Comparison
    if name == "study":
        from nas.calls.study import study

        return study
    if name in __all__:
        from nas.calls import search as calls

        return getattr(calls, name)
    raise AttributeError(f"module 'nas' has no attribute {name!r}")
