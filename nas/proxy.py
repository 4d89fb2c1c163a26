"""Proxies: functions from a probe to a number, and what they declare about themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

from torch import Tensor

from nas.errors import ProxyFailure as ProxyFailure
from nas.errors import UsageError
from nas.probe import Probe
from nas.registry import Registry, checked_options, options, origin
from nas.space import Arch, Space

__all__ = [
    "PROXIES", "Initialisation", "Known", "Network", "Proxy", "ProxyFailure", "ProxyFn", "Saturated", "as_proxy",
    "combination", "proxy",
]  # fmt: skip

ProxyFn = Callable[..., "Tensor | float"]
"""``(probe, *, options) -> number``."""
Known = Callable[[Space, Arch], float]
"""Looks a number up; raises `ProxyFailure` where there is none."""

Network = Literal["full", "thin"]
Initialisation = Literal["default", "kaiming", "gaussian"]
"""How weights are drawn: as the network is made, or again by `nas.passes.initialisation.initialise`."""


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
        transformers: it looks at attention, and fails on networks without.
        machine: the value depends on the machine and on the moment: it is recorded with its run and kept nowhere else,
            is measured where the run is, never by workers, and is no part of ``all`` proxies.
        known: the value is looked up, as a cost of a device that is not here; there is no function then.
        options: the options set, when they are not the defaults.
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
    paper: str = ""
    transformers: bool = False
    machine: bool = False
    known: Known | None = None
    options: dict[str, Any] = field(default_factory=dict)

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
        return self.function(probe, **self.options)

    @cached_property
    def setting(self) -> str:
        """The name with every option, by which scores of the same proxy with other options are told apart."""
        every = options(self.function) | self.options if self.function else {}
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in every.items())})"

    def with_options(self, given: dict[str, Any]) -> Proxy:
        """The same proxy with options set, checked against its signature (`UsageError`)."""
        if self.function is None:
            checked_options(self.name, lambda: 0, given)
            return self
        return replace(self, options=self.options | checked_options(self.name, self.function, given))


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
) -> Callable[[Function], Function]:
    """Registers a function of a `Probe` as a proxy; see `Proxy` for what the declarations mean."""

    def register(function: Function) -> Function:
        record = Proxy(
            name, function, larger_is_better, labels, static, network, initialisation, initialisations,
            paper=paper, transformers=transformers, machine=machine,
        )  # fmt: skip
        PROXIES.add(name, record, origin(function))
        return function

    return register


def combination(name: str, parts: tuple[str, ...], *, log: bool = True, paper: str = "") -> Proxy:
    """Registers the sum of the (log-)quantiles of several proxies under one name; larger is better."""
    record = Proxy(name, None, parts=parts, log=log, paper=paper)
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
