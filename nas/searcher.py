"""Search strategies: generators that propose architectures and are told their scores."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, TypeVar

from nas.errors import UsageError
from nas.registry import Registry, checked_options, origin
from nas.space import Arch, Space

Search = Generator[list[Arch], list[float], None]
"""Yields proposals, receives one score for each (larger is better; a failure is minus infinity)."""

SearcherFn = Callable[..., Search]
"""``(space, rng, *, options) -> Search``."""


@dataclass(frozen=True)
class Searcher:
    """A registered search strategy.

    Attributes:
        supernet: it proposes architectures with open slots, so the space must be able to build them.
        ranks: with several proxies as one objective, an architecture is ranked in a fixed ``reference`` sample, or
            within the ``batch`` it was proposed in, for strategies that only ever compare members of one batch.
    """

    name: str
    function: SearcherFn
    paper: str = ""
    supernet: bool = False
    ranks: Literal["reference", "batch"] = "reference"

    def start(self, space: Space, rng: Random, options: dict[str, Any]) -> tuple[Search, list[Arch]]:
        """The generator on ``space`` and its first proposals.

        Raises:
            UsageError: an option that the strategy does not have, or refuses.
        """
        search = self.function(space, rng, **checked_options(self.name, self.function, options))
        try:
            return search, next(search, [])
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(f"{self.name}: {error}") from None


SEARCHERS: Registry[Searcher] = Registry("searcher")

Function = TypeVar("Function", bound=SearcherFn)


def searcher(
    name: str, *, paper: str = "", supernet: bool = False, ranks: Literal["reference", "batch"] = "reference"
) -> Callable[[Function], Function]:
    """Registers a search strategy under ``name``; see `Searcher` for the declarations."""

    def register(function: Function) -> Function:
        SEARCHERS.add(name, Searcher(name, function, paper, supernet, ranks), origin(function))
        return function

    return register
