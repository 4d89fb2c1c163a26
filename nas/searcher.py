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

SearchMany = Generator[list[Arch], list[tuple[float, ...]], None]
"""The same for several objectives: one tuple for each proposal, with a score by each objective."""

AnySearch = Generator[list[Arch], Any, None]

SearcherFn = Callable[..., AnySearch]
"""``(space, rng, *, options) -> Search``."""


@dataclass(frozen=True)
class Searcher:
    """A registered search strategy.

    Attributes:
        supernet: it proposes architectures with open slots, so the space must be able to build them.
        objectives: it receives ``one`` score for each proposal, or a tuple with those by ``many`` objectives (one or
            more).
        ranks: with several proxies as one objective, an architecture is ranked in a fixed ``reference`` sample, or
            within the ``batch`` it was proposed in, for strategies that only ever compare members of one batch.
    """

    name: str
    function: SearcherFn
    paper: str = ""
    supernet: bool = False
    ranks: Literal["reference", "batch"] = "reference"
    objectives: Literal["one", "many"] = "one"

    def start(self, space: Space, rng: Random, options: dict[str, Any]) -> tuple[AnySearch, list[Arch]]:
        """The generator on ``space`` and its first proposals.

        Raises:
            UsageError: an option that the strategy does not have, or refuses.
        """
        search = self.function(space, rng, **checked_options(self.name, self.function, options))
        try:
            return search, told(search, None)
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(f"{self.name}: {error}") from None


def told(search: AnySearch, scores: list[Any] | None) -> list[Arch]:
    """What ``search`` proposes, told the scores of its last proposals (None: at its start); nothing at its end.

    Raises:
        UsageError: it would have ended the process, by `SystemExit` or the like.
    """
    try:
        return next(search) if scores is None else search.send(scores)
    except StopIteration:
        return []
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UsageError(f"the searcher would have ended the process: {type(error).__name__}: {error}") from error


SEARCHERS: Registry[Searcher] = Registry("searcher")

Function = TypeVar("Function", bound=SearcherFn)


def searcher(
    name: str,
    *,
    paper: str = "",
    supernet: bool = False,
    ranks: Literal["reference", "batch"] = "reference",
    objectives: Literal["one", "many"] = "one",
) -> Callable[[Function], Function]:
    """Registers a search strategy under ``name``; see `Searcher` for the declarations."""

    def register(function: Function) -> Function:
        SEARCHERS.add(name, Searcher(name, function, paper, supernet, ranks, objectives), origin(function))
        return function

    return register


def as_searcher(given: str | Searcher | SearcherFn) -> Searcher:
    """The strategy that a name, or a function ``(space, rng) -> Search``, stands for: the registered one, or for a
    function that is not registered one of its name with one objective.

    Raises:
        UsageError: no strategy has this name, or what is given is neither a name nor a function.
    """
    if isinstance(given, Searcher):
        return given
    if isinstance(given, str):
        return SEARCHERS[given]
    if not callable(given):
        raise UsageError(f"a searcher is a name or a function of a space and a random generator, not {given!r}")
    registered = next((record for record in map(SEARCHERS.__getitem__, SEARCHERS) if record.function is given), None)
    return registered or Searcher(getattr(given, "__name__", type(given).__name__), given)
