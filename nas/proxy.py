"""Proxies: functions from a probe to a number, and what they declare about themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

from torch import Tensor

from nas.errors import ProxyFailure as ProxyFailure
from nas.errors import UsageError, unknown
from nas.probe import Probe
from nas.registry import Range, Registry, checked_options, normal, options, origin
from nas.space import Arch, Space

__all__ = [
    "FAMILIES", "PROXIES", "Family", "Initialisation", "Known", "Need", "Network", "Proxy", "ProxyFailure", "ProxyFn",
    "Saturated", "as_proxy", "combination", "proxy",
]  # fmt: skip

ProxyFn = Callable[..., "Tensor | float"]
"""``(probe, *, options) -> number``."""
Known = Callable[[Space, Arch], float]
"""Looks a number up; raises `ProxyFailure` where there is none."""

Network = Literal["full", "thin"]
Initialisation = Literal["default", "kaiming", "gaussian"]
"""How weights are drawn: as the network is made, or again by `nas.passes.initialisation.initialise`."""

Family = Literal[
    "counts", "gradients", "kernels", "Jacobians", "activations", "pruning", "costs", "combinations", "other"
]
FAMILIES: dict[Family, str] = {
    "counts": "how large the network is",
    "gradients": "how the gradients of single images, or of parts of the minibatch, agree and differ",
    "kernels": "how well gradients tell images apart: tangent kernels and Fisher matrices",
    "Jacobians": "how outputs follow their inputs",
    "activations": "how differently the network's units respond to images",
    "pruning": "what pruning at initialisation says of weights, summed",
    "costs": "what the network takes on this machine",
    "combinations": "several proxies, ranked together",
    "other": "proxies that declare no family",
}
"""What the proxies of each family measure."""
Need = Literal["images", "ReLUs", "convolutions", "labels", "attention"]
"""Without which a proxy has no number, or none of its own."""


class Saturated(ProxyFailure):
    """Raised by a proxy whose number has reached its ceiling and tells networks apart no more."""

    status = "saturated"


@dataclass(frozen=True)
class Proxy:
    """A registered proxy, or a combination of several by rank.

    Attributes:
        larger_is_better: the direction; values are stored as the proxy gives them, never negated.
        labels: the value depends on the labels of the minibatch.
        static: the value depends on the architecture alone, not on weights or images.
        network: the network it looks at, built at full size or as the space's ``thin`` copy (width 1, one cell per
            stage, no stem), which is probed with 3,000 crops of 3 x 3 pixels and one channel.
        initialisation: how its weights are drawn: as the network itself does, or see `nas.passes.initialisation`.
        initialisations: the value is the mean over this many initialisations.
        parts: for a combination, the names of its proxies.
        log: for a combination, whether quantiles are summed as logarithms.
        partial: for a combination, whether parts that can measure none of a space's networks are left out, with a
            warning; else every network fails.
        on_cells: for a combination, the one that its name stands for on spaces of cells, if that is another.
        transformers: it looks at attention, and fails on networks without.
        machine: the value depends on the machine and on the moment: it is recorded with its run and kept nowhere else,
            is measured where the run is, never by workers, and is no part of ``all`` proxies.
        known: the value is looked up, as a cost of a device that is not here; there is no function then.
        options: the options set, when they are not the defaults.
        family: what kind of thing it measures, see `FAMILIES`.
        own_needs: what it has no number without, besides labels and attention.
        grows: it adds up what a network has, so that without a limit the largest network is likely to have the best.
        passes: its cost in plain forward and backward passes of the same images, as `python -m benchmarks.passes`
            measures it; None where nobody has measured it.
    """

    name: str
    function: ProxyFn | None
    larger_is_better: bool = True
    labels: bool = False
    static: bool = False
    network: Network = "full"
    initialisation: Initialisation = "default"
    initialisations: int = 1
    parts: tuple[str, ...] = ()
    log: bool = True
    partial: bool = False
    on_cells: str | None = None
    paper: str = ""
    transformers: bool = False
    machine: bool = False
    known: Known | None = None
    options: dict[str, Any] = field(default_factory=dict)
    family: Family = "other"
    own_needs: tuple[Need, ...] = ()
    grows: bool = False
    passes: float | None = None

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it has no number without; a combination needs what its parts need."""
        declared: dict[Need, bool] = {**dict.fromkeys(self.own_needs, True), "labels": self.labels}
        declared["attention"] = self.transformers
        parts = [need for part in self.parts if part in PROXIES for need in PROXIES[part].needs]
        return tuple(dict.fromkeys([*parts, *(need for need, needed in declared.items() if needed)]))

    @property
    def limitable(self) -> bool:
        """Whether it may be limited: whether it says what an architecture costs, without regard to its weights."""
        return self.static or self.machine or self.known is not None

    @property
    def unshared(self) -> bool:
        """Whether its values are of use to no other run: they are a machine's, or stand in a table."""
        return self.machine or self.known is not None

    def __call__(self, probe: Probe) -> Tensor | float:
        if self.function is None:
            how = f"combines {' and '.join(self.parts)} by rank" if self.parts else "is looked up"
            raise TypeError(f"{self.name} {how} and has no value of its own")
        drawn = self._own_drawing
        return self.function(probe, **{name: value for name, value in self.options.items() if name not in drawn})

    @cached_property
    def setting(self) -> str:
        """The name with every option, by which scores of the same proxy with other options are told apart."""
        every = self.every_option
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in every.items())})"

    @property
    def every_option(self) -> dict[str, Any]:
        """Its options, and of those of `drawing` the ones that are set otherwise than it declares."""
        return options(self.function) | self.options if self.function else {}

    @property
    def drawn(self) -> Initialisation:
        """How weights are drawn: as set, or as declared."""
        return self._own_drawing.get("initialisation", self.initialisation)  # type: ignore[no-any-return]

    @property
    def repeats(self) -> int:
        """How many initialisations the value is the mean over: as set, or as declared."""
        return self._own_drawing.get("initialisations", self.initialisations)  # type: ignore[no-any-return]

    @property
    def _own_drawing(self) -> dict[str, Any]:
        own = options(self.function) if self.function else {}
        return {name: value for name, value in self.options.items() if name not in own}

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options by name, checked against the signature, and against that of `drawing` where the value depends on
        weights (`UsageError`)."""
        function = self.function or (lambda: 0.0)
        allowed = options(drawing) if self.function and not self.static and not self.machine else {}
        for name in given:
            if normal(name) not in (every := options(function) | allowed):
                raise unknown(f"option of {self.name}", name, every)
        common = {n: value for n, value in given.items() if normal(n) not in options(function)}
        own = {name: value for name, value in given.items() if name not in common}
        return checked_options(self.name, function, own) | checked_options(self.name, drawing, common)

    def with_options(self, given: Mapping[str, Any]) -> Proxy:
        """The same proxy with options set, checked (`UsageError`)."""
        declared = {"initialisation": self.initialisation, "initialisations": self.initialisations}
        own = options(self.function) if self.function else {}
        every = self.options | self.checked(given)
        kept = {name: value for name, value in every.items() if name in own or value != declared[name]}
        return replace(self, options=kept)


def drawing(*, initialisation: Initialisation = "default", initialisations: Annotated[int, Range(1)] = 1) -> None:
    """The options that every proxy has whose value depends on weights: how these are drawn, and over how many draws the
    value is the mean."""


PROXIES: Registry[Proxy] = Registry("proxy")

Function = TypeVar("Function", bound=ProxyFn)


def proxy(
    name: str,
    *,
    larger_is_better: bool = True,
    labels: bool = False,
    static: bool = False,
    network: Network = "full",
    initialisation: Initialisation = "default",
    initialisations: int = 1,
    paper: str = "",
    transformers: bool = False,
    machine: bool = False,
    family: Family = "other",
    needs: tuple[Need, ...] = (),
    grows: bool = False,
    passes: float | None = None,
) -> Callable[[Function], Function]:
    """Registers a function of a `Probe` as a proxy; see `Proxy` for what the declarations mean.

    Args:
        needs: what it has no number without, besides labels and attention, which have declarations of their own.

    Raises:
        UsageError: there is no such family.
    """
    if family not in FAMILIES:
        raise unknown("family of proxies", family, FAMILIES)

    def register(function: Function) -> Function:
        record = Proxy(
            name, function, larger_is_better, labels, static, network, initialisation, initialisations,
            paper=paper, transformers=transformers, machine=machine, family=family, own_needs=needs, grows=grows,
            passes=passes,
        )  # fmt: skip
        PROXIES.add(name, record, origin(function))
        return function

    return register


def combination(
    name: str,
    parts: tuple[str, ...],
    *,
    log: bool = True,
    partial: bool = False,
    on_cells: str | None = None,
    paper: str = "",
    passes: float | None = None,
) -> Proxy:
    """Registers the sum of the (log-)quantiles of several proxies under one name; larger is better."""
    record = Proxy(
        name, None, parts=parts, log=log, partial=partial, on_cells=on_cells, paper=paper, family="combinations",
        passes=passes,
    )  # fmt: skip
    PROXIES.add(name, record, "+".join(parts))
    return record


def as_proxy(given: str | Proxy | ProxyFn) -> Proxy:
    """The proxy that a name, or a function of a `Probe`, stands for: the registered one, or for a function that is not
    registered one of its name, of which larger is better.

    Raises:
        UsageError: no proxy has this name, or what is given is neither a name nor a function.
    """
    if isinstance(given, Proxy):
        return given
    if isinstance(given, str):
        return PROXIES[given]
    if not callable(given):
        raise UsageError(f"a proxy is a name or a function of a probe, not {given!r}")
    registered = next((record for record in map(PROXIES.__getitem__, PROXIES) if record.function is given), None)
    return registered or Proxy(getattr(given, "__name__", type(given).__name__), given)


def is_registered(record: Proxy) -> bool:
    """Whether another process could find the proxy by its name."""
    return record.name in PROXIES and PROXIES[record.name].function is record.function
