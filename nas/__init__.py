"""Neural architecture search without training.

    import nas
    result = nas.search("nasbench201", "gradalign_i", "evolution", budget=200)
    net = result.network(classes=100)

What is named here is imported when it is first used, so that ``import nas`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.calls.bench import bench
    from nas.calls.build import build
    from nas.calls.compare import compare
    from nas.calls.export import export
    from nas.calls.result import SearchResult, load
    from nas.calls.score import score
    from nas.calls.search import search
    from nas.calls.study import study
    from nas.calls.train import train
    from nas.calls.trained import TrainResult
    from nas.errors import UsageError
    from nas.statistics.comparison import Comparison

__all__ = [
    "Comparison", "SearchResult", "TrainResult", "UsageError", "bench", "build", "compare", "export", "load", "score",
    "search", "study", "train",
]  # fmt: skip

_HOMES = {
    "Comparison": "nas.statistics.comparison",
    "SearchResult": "nas.calls.result",
    "TrainResult": "nas.calls.trained",
    "UsageError": "nas.errors",
    "load": "nas.calls.result",
}


LOBBY = ("choices", "errors", "files", "graph", "plugins", "probe", "proxy", "registry", "searcher", "space")
"""The modules that plug-ins import."""


BRIDGES = ("optuna",)
"""Modules of calls, each with what takes another package."""


def __getattr__(name: str) -> Any:
    if name in LOBBY:
        return import_module(f"nas.{name}")
    if name in BRIDGES:
        return import_module(f"nas.calls.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'nas' has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, f"nas.calls.{name}")), name)
    globals()[name] = value
    return value
