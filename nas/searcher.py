"""Search strategies: generators that propose architectures and receive their scores."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from operator import index
from random import Random
from traceback import extract_tb
from typing import Any, Literal, TypeVar

from nas.errors import UsageError
from nas.registry import Registry, checked_options, origin
from nas.space import Arch, Space

__all__ = ["SEARCHERS", "AnySearch", "Search", "SearchMany", "Searcher", "SearcherFn", "as_searcher", "searcher"]

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

    def begin(self, space: Space, rng: Random, options: dict[str, Any]) -> AnySearch:
        """The generator on ``space``, as its function makes it; `UsageError` for an option that it does not have."""
        return self.function(space, rng, **checked_options(self.name, self.function, options))

    def start(self, space: Space, rng: Random, options: dict[str, Any]) -> tuple[AnySearch, list[Arch]]:
        """The generator on ``space``, its answers checked (see `_checked`), and its first proposals.

        Raises:
            UsageError: an option that the strategy does not have, or refuses; or it proposes nothing.
        """
        checked = _checked(self, _answer(self, lambda: self.begin(space, rng, options)), space)
        try:
            return checked, next(checked)
        except StopIteration as end:
            ending = "" if end.value is None else f", but returned {shown(end.value)}"
            raise UsageError(
                f"the searcher {self.name} ended before it proposed anything{ending}: it has to yield lists of "
                "architectures"
            ) from None


def told(search: AnySearch, scores: list[Any]) -> list[Arch]:
    """What ``search`` proposes when it is told the scores of its last proposals; nothing at its end."""
    try:
        return search.send(scores)
    except StopIteration:
        return []


def _checked(searcher: Searcher, search: Any, space: Space) -> Generator[list[Arch], Any, Any]:
    """The proposals of ``search``, until it proposes nothing; whatever else it does becomes a `UsageError` that names
    the searcher."""
    if not (hasattr(search, "__next__") and hasattr(search, "send")):
        raise UsageError(
            f"the searcher {searcher.name} is no generator: it gives {shown(search)}, but has to yield lists of "
            "architectures"
        )
    scores: list[Any] | None = None
    while True:
        try:
            proposals = _answer(searcher, partial(search.send, scores), scores is None)
        except StopIteration as end:
            return end.value
        if not isinstance(proposals, list | tuple):
            raise UsageError(
                f"the searcher {searcher.name} proposed {shown(proposals)}, where a list of architectures belongs"
            )
        if not proposals:
            return None
        scores = yield [_architecture(searcher, proposal, space) for proposal in proposals]


def _answer(searcher: Searcher, ask: Callable[[], Any], first: bool = True) -> Any:
    """The searcher's answer to ``ask``; a `UsageError` for all that it raises except `StopIteration`.

    Args:
        first: it has received no scores yet, so a `ValueError` is about its options.
    """
    try:
        return ask()
    except (StopIteration, UsageError, KeyboardInterrupt):
        raise
    except Exception as error:
        if first and isinstance(error, ValueError):
            raise UsageError(f"{searcher.name}: {error}") from None
        frames = [*extract_tb(error.__traceback__), *extract_tb(getattr(error.__cause__, "__traceback__", None))]
        at = [frame.lineno for frame in frames if frame.filename == _file(searcher.function)]
        where = f" at line {at[-1]} of {os.path.basename(_file(searcher.function))}" if at else ""
        raise UsageError(f"the searcher {searcher.name} failed{where}: {_words(error)}") from error
    except BaseException as error:
        raise UsageError(f"the searcher {searcher.name} would have ended the process: {_words(error)}") from error


def _architecture(searcher: Searcher, proposal: Any, space: Space) -> Arch:
    """``proposal`` with plain integers; `UsageError` where it is no architecture of the space, open or not."""
    arch: list[tuple[int, ...]] = []
    wrong = "" if isinstance(proposal, tuple) else "it is no tuple"
    if not wrong and len(proposal) != len(space.slots):
        wrong = f"it has {len(proposal)} slots, not {len(space.slots)}"
    for slot, (options, names) in enumerate(zip(() if wrong else proposal, space.slots, strict=False)):
        try:
            if not isinstance(options, tuple):
                raise TypeError
            arch.append(tuple(map(index, options)))
        except TypeError:
            wrong = wrong or f"its slot {slot} is {shown(options)}, no tuple of numbers"
            continue
        if not arch[-1] or not all(0 <= option < len(names) for option in arch[-1]):
            wrong = wrong or f"its slot {slot} is {shown(options)}, and has options from 0 to {len(names) - 1}"
        elif list(arch[-1]) != sorted(set(arch[-1])):
            wrong = wrong or f"its slot {slot} is {shown(options)}, with options twice or out of order"
    if wrong:
        raise UsageError(
            f"the searcher {searcher.name} proposed {shown(proposal)}, which is no architecture of its space "
            f"({wrong}): the space's sample, mutate, cuts and parse make them"
        )
    return tuple(arch)


MAX_SHOWN_CHARACTERS = 100


def shown(value: object) -> str:
    """A value as text, shortened; its type where its ``repr`` fails."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # third-party code
        text = f"a {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def _words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # third-party code
        return type(error).__name__


def _file(function: SearcherFn) -> str:
    return str(getattr(getattr(function, "__code__", None), "co_filename", ""))


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


def as_searcher(value: str | Searcher | SearcherFn) -> Searcher:
    """The strategy that a name or a function ``(space, rng) -> Search`` stands for: the registered one, else one with
    the function's name and one objective.

    Raises:
        UsageError: no strategy has this name, or ``value`` is neither a name nor a function.
    """
    if isinstance(value, Searcher):
        return value
    if isinstance(value, str):
        return SEARCHERS[value]
    if not callable(value):
        raise UsageError(f"a searcher is a name or a function of a space and a random generator, not {value!r}")
    registered = next((record for record in map(SEARCHERS.__getitem__, SEARCHERS) if record.function is value), None)
    return registered or Searcher(getattr(value, "__name__", type(value).__name__), value)
