"""Search spaces: a lattice of architectures, from the supernet down to single networks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import product
from random import Random
from types import FunctionType, ModuleType
from typing import Any, Literal, NamedTuple, TypeVar, final

import networkx as nx
import torch
from torch import Tensor, nn

from nas.errors import UsageError, unknown
from nas.passes.counts import Counts as Counts
from nas.passes.tokens import loss
from nas.registry import Registry, Settings, checked_options, normal, origin

__all__ = [
    "SPACES", "Arch", "Counts", "Kind", "Output", "Space", "SpaceFactory", "SpaceWrapper", "Task", "choice",
    "is_leaf", "make_space", "space",
]  # fmt: skip

Arch = tuple[tuple[int, ...], ...]
"""Per slot, the options still alive: one in each slot is a single network (a leaf), all of them the supernet."""

ATTEMPTS = 100
"""Random draws that `Space.sample` and `Space.crossover` make before they turn to a surer way."""


Kind = Literal["images", "tokens"]
Output = Literal["classes", "next", "masked"]
"""What a network predicts: the class of an image, of each token of a sequence the next one, or the tokens that are
masked."""


class Task(NamedTuple):
    """What goes into a network, what comes out of it, and the loss that follows.

    Attributes:
        classes: how many an output is chosen from; of tokens, how many different ones there are.
        channels, size: of images.
        length: of sequences of tokens.
        kind: what goes in, ``images`` [samples, channels, size, size] or ``tokens`` [samples, length], whole numbers.
        masked: of tokens, those that are masked are predicted, and not the next ones.
    """

    classes: int
    channels: int = 3
    size: int = 32
    length: int = 0
    kind: Kind = "images"
    masked: bool = False

    @property
    def output(self) -> Output:
        if self.kind == "images":
            return "classes"
        return "masked" if self.masked else "next"

    @property
    def shape(self) -> tuple[int, ...]:
        """That of one input."""
        return (self.channels, self.size, self.size) if self.kind == "images" else (self.length,)

    def inputs(self, count: int, device: str = "cpu") -> Tensor:
        """Inputs that hold nothing but zeros."""
        dtype = torch.float32 if self.kind == "images" else torch.int64
        return torch.zeros(count, *self.shape, dtype=dtype, device=device)

    def labels(self, count: int, device: str = "cpu") -> Tensor:
        """Labels of as many inputs, all zero."""
        return torch.zeros(
            (count, *self.shape) if self.kind == "tokens" else (count,), dtype=torch.int64, device=device
        )

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean over the samples of what a network is trained to make small; see `nas.passes.tokens.loss`."""
        return loss(outputs, labels)

    def __str__(self) -> str:
        if self.kind == "images":
            return f"{self.classes} classes and images of {self.channels} x {self.size} x {self.size}"
        what = "masked tokens" if self.masked else "the next token"
        return f"{what} among {self.classes} and sequences of {self.length}"

    @property
    def described(self) -> dict[str, Any]:
        """What there is to say of it, by field, as plain values; the others have their defaults."""
        names = ("classes", "channels", "size") if self.kind == "images" else ("classes", "length", "kind", "masked")
        return {name: getattr(self, name) for name in names}


def is_leaf(arch: Arch) -> bool:
    """Whether ``arch`` is a single network: one option in each slot."""
    return all(len(options) == 1 for options in arch)


class Space(ABC):
    """A search space: slots with options, and how a choice becomes a network.

    A subclass sets ``slots`` and writes `build`. It may replace the hooks `valid`, `graph`, `text`, `parse`,
    `notations`, `canonical`, `settled`, `counts`, `thin`, `origins`, `random_leaf` and `size`, whose defaults suit a
    space without constraints, pictures or a notation of its own, and it is never subclassed itself. Everything that
    searchers call is final.
    """

    slots: tuple[tuple[str, ...], ...]
    """The names of the options of each slot."""
    supernet: bool = False
    """Whether `build` accepts open slots (as the mean of their options); pruning needs that."""

    predicts: tuple[Output, ...] = ("classes",)
    """What its networks may predict, and so what they take; the first is what data without a task of their own ask."""

    lattice: bool = True
    """Whether `valid` can tell of open architectures; a space whose rules are those of single networks alone says no,
    and has neither a way down from the supernet nor an enumeration."""

    supernet_takes: str = ""
    """What ``supernet`` takes, where it depends on the space's options."""

    @abstractmethod
    def build(self, arch: Arch, task: Task) -> nn.Module:
        """The network of ``arch`` for ``task``, freshly initialised: images [samples, channels, size, size] to logits
        [samples, classes], or tokens [samples, length] to logits [samples, length, classes]. Where ``supernet`` is set,
        an open slot is the mean of its options."""

    def valid(self, arch: Arch) -> bool:
        """Whether ``arch`` belongs to the space; for an open one, whether anything below it does."""
        return True

    def graph(self, arch: Arch) -> nx.DiGraph[int] | None:
        """The cell of ``arch``, or its layers as a chain; None where the space has no picture.

        Nodes are whole numbers in topological order. An operation is the attribute ``op`` of an edge or of a node; a
        node may have a ``label``, a ``width`` (the height of its box in a chain), the ``terminal`` that it is
        ("input" or "output"; else the lowest node and the highest are these) and, in a space with several cells, the
        name of its ``cell``.
        """
        return None

    def text(self, arch: Arch) -> str:
        """``arch`` in the space's notation; options that are alive together are joined with ``/``."""
        return ",".join("/".join(names[o] for o in options) for names, options in zip(self.slots, arch, strict=True))

    def parse(self, text: str) -> Arch:
        """The inverse of `text`. Raises `ValueError` with what is wrong."""
        parts = text.strip().split(",")
        if len(parts) != len(self.slots):
            raise UsageError(f"{text!r} names {len(parts)} slots, the space has {len(self.slots)}")
        return tuple(choice(part.split("/"), names) for part, names in zip(parts, self.slots, strict=True))

    def notations(self, arch: Arch) -> dict[str, str]:
        """The leaf ``arch`` in every notation of the space, by name, its own first; `parse` reads the others
        as ``name:…``, or says why it cannot."""
        return {"text": self.text(arch)}

    def canonical(self, arch: Arch) -> Arch:
        """One representative for all architectures whose networks are isomorphic and have the same parameters."""
        return arch

    def settled(self, arch: Arch) -> Arch:
        """``arch`` with the first option in every slot that its other slots leave unused: so a mutation can take a
        layer away, whatever was chosen in it."""
        return arch

    def counts(self, arch: Arch, task: Task) -> Counts | None:
        """The counts of the network that `build` makes, where they are known without it; None where it has to be made
        to count."""
        return None

    def thin(self) -> Space | None:
        """The same space at width 1 with one cell per stage and no stem, or None where there is no such thing."""
        return None

    def origins(self, arch: Arch) -> tuple[ModuleType, ...]:
        """The modules, beside the space's own, whose code makes the network of ``arch``: where one of them changes,
        scores that were kept are not taken for those of the new network."""
        return ()

    def random_leaf(self, rng: Random) -> Arch:
        """A random leaf for `sample` to look at: uniform among all. A space in which few of these are valid replaces it
        by a draw that is uniform among the valid ones, or nearly so."""
        return tuple((rng.randrange(len(names)),) for names in self.slots)

    def size(self) -> int:
        """The number of valid leaves: by multiplication where every leaf is valid, else by counting them, which a space
        of more than some millions replaces."""
        if type(self).valid is Space.valid:
            return math.prod(len(names) for names in self.slots)
        return sum(1 for _ in self)

    @final
    def full(self) -> Arch:
        """The top of the lattice: every option of every slot."""
        return tuple(tuple(range(len(names))) for names in self.slots)

    @final
    def sample(self, rng: Random) -> Arch:
        """A random leaf: uniform among the valid ones while `valid` rejects fewer than nearly all draws, else reached
        by a random walk down the lattice, which `valid` keeps above some valid leaf.

        Raises:
            UsageError: neither way found a valid leaf.
        """
        for _ in range(ATTEMPTS):
            arch = self.random_leaf(rng)
            if self.valid(arch):
                return arch
        if not self.lattice:
            raise UsageError(f"no valid architecture found in the space after {ATTEMPTS} random draws")
        arch = self.full()
        for slot in rng.sample(range(len(arch)), len(arch)):
            below = [_with(arch, slot, (option,)) for option in rng.sample(arch[slot], len(arch[slot]))]
            arch = next((a for a in below if self.valid(a)), below[0])
        if not self.valid(arch):
            raise UsageError(f"no valid architecture found in the space after {ATTEMPTS} random draws and a descent")
        return arch

    @final
    def mutate(self, arch: Arch, rng: Random) -> Arch:
        """A random valid leaf that differs from the leaf ``arch`` in exactly one slot, and in those that this leaves
        unused; a random sample of the space where no neighbour is valid."""
        candidates = list(self._changes(arch))
        rng.shuffle(candidates)
        child = next(filter(self.valid, candidates), None)
        return self.sample(rng) if child is None else child

    @final
    def crossover(self, first: Arch, second: Arch, rng: Random) -> Arch:
        """A valid leaf that takes each slot from ``first`` or ``second``, each with probability ½, `settled`; ``first``
        where 100 draws give no valid one."""
        for _ in range(ATTEMPTS):
            child = self.settled(tuple(rng.choice(pair) for pair in zip(first, second, strict=True)))
            if self.valid(child):
                return child
        return first

    @final
    def repaired(self, arch: Arch) -> Arch:
        """A valid leaf, the same one whenever it is asked for the same leaf ``arch``: ``arch`` itself, `settled`, where
        that is valid; else it takes slot after slot the option of ``arch``, or the next one with something valid below,
        or where `valid` cannot tell of open architectures a draw that depends on ``arch`` alone."""
        if self.valid(near := self.settled(arch)):
            return near
        if self.lattice:
            near = self.full()
            for slot, (wanted,) in enumerate(arch):
                count = len(self.slots[slot])
                below = [_with(near, slot, ((wanted + step) % count,)) for step in range(count)]
                near = next(filter(self.valid, below), below[0])
            if self.valid(near):
                return near
        return self.sample(Random(str(arch)))

    @final
    def neighbours(self, arch: Arch) -> list[Arch]:
        """All valid leaves that differ from the leaf ``arch`` in exactly one slot, and in those that this leaves
        unused, in a fixed order."""
        return list(filter(self.valid, self._changes(arch)))

    @final
    def cuts(self, arch: Arch) -> list[tuple[int, int, Arch]]:
        """All valid one-step descents of the lattice: (slot, option removed, what remains), in a fixed order."""
        if not self.lattice:
            raise UsageError("the architectures of this space are drawn, and no way leads down to them")
        steps = (
            (slot, option, _with(arch, slot, tuple(o for o in options if o != option)))
            for slot, options in enumerate(arch)
            if len(options) > 1
            for option in options
        )
        return [(slot, option, below) for slot, option, below in steps if self.valid(below)]

    @final
    def __iter__(self) -> Iterator[Arch]:
        """All valid leaves, the last slot changing fastest. What `valid` says of open architectures saves looking at
        what lies below those that are not."""
        if not self.lattice:
            raise UsageError("the architectures of this space are drawn, and cannot be listed")
        if type(self).valid is Space.valid:
            yield from product(*(((option,) for option in range(len(names))) for names in self.slots))
        else:
            yield from self._below(self.full(), 0)

    def _below(self, arch: Arch, slot: int) -> Iterator[Arch]:
        if self.valid(arch):
            if slot == len(arch):
                yield arch
            else:
                for option in arch[slot]:
                    yield from self._below(_with(arch, slot, (option,)), slot + 1)

    @final
    def __len__(self) -> int:
        """The number of valid leaves, as `size`; `OverflowError` beyond 2^63."""
        return self.size()

    def _changes(self, arch: Arch) -> Iterator[Arch]:
        for slot, names in enumerate(self.slots):
            for option in range(len(names)):
                if arch[slot] != (option,):
                    changed = self.settled(_with(arch, slot, (option,)))
                    if changed != arch:  # a slot that is not used does not change
                        yield changed


def _forwarding(name: str) -> Callable[..., Any]:
    hook = getattr(Space, name)

    @wraps(hook)
    def forward(self: SpaceWrapper, *arguments: Any) -> Any:
        return getattr(self.space, name)(*arguments)

    return forward


HOOKS = tuple(
    name
    for name, hook in vars(Space).items()
    if isinstance(hook, FunctionType) and not name.startswith("_") and not hasattr(hook, "__final__")
)
"""The methods that a space may replace."""


class SpaceWrapper(Space):
    """A space that answers as ``space`` does in all that a subclass does not say otherwise: every hook goes there, and
    so does every attribute that is not a `Space`'s own.

    A subclass that replaces `valid` replaces `size` with it.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.slots, self.supernet, self.supernet_takes = space.slots, space.supernet, space.supernet_takes
        self.predicts, self.lattice = space.predicts, space.lattice

    def build(self, arch: Arch, task: Task) -> nn.Module:
        return self.space.build(arch, task)

    def __getattr__(self, name: str) -> Any:
        if name == "space":  # not there yet, as while it is unpickled
            raise AttributeError(name)
        return getattr(self.space, name)


for _name in set(HOOKS) - {"build"}:
    setattr(SpaceWrapper, _name, _forwarding(_name))


def _with(arch: Arch, slot: int, options: tuple[int, ...]) -> Arch:
    return arch[:slot] + (options,) + arch[slot + 1 :]


def choice(names: list[str], known: tuple[str, ...], kind: str = "operation") -> tuple[int, ...]:
    """The options called ``names`` among ``known``, in the order of ``known``, for writing a `parse`."""
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)
    return tuple(option for option, name in enumerate(known) if name in names)


SpaceFactory = Callable[..., Space]
SPACES: Registry[SpaceFactory] = Registry("space")

Factory = TypeVar("Factory", bound=SpaceFactory)


def space(name: str) -> Callable[[Factory], Factory]:
    """Registers a function (or class) that returns a `Space`; its keyword-only arguments are the space's options."""

    def register(factory: Factory) -> Factory:
        SPACES.add(name, factory, origin(factory))
        return factory

    return register


def make_space(name: str, settings: Settings) -> Space:
    """The space called ``name`` with its options."""
    factory = SPACES[name]
    given = settings.get(normal(name), {})
    try:
        return factory(**checked_options(normal(name), factory, given))
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"space {name}: {error}") from None
