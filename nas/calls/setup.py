"""What is fixed in a run, stated once: for Python, for the command line, for ``config.yaml``."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from types import TracebackType, UnionType
from typing import Any, Self

import torch

from nas import plugins
from nas.calls.costs import Column, columns, parts_of
from nas.calls.options import DEFAULTS, OPTIONS
from nas.calls.settings import as_list, checked_settings, proxy_list
from nas.data.minibatch import Data, Minibatch, minibatch
from nas.data.opening import source_name
from nas.engines import check_timeout, open_engine
from nas.errors import UsageError, unknown
from nas.graph import forks
from nas.proxy import PROXIES, Proxy, ProxyFn, is_registered
from nas.registry import Settings, check_number, normal
from nas.runs.folder import plugin_source
from nas.runs.made import made_here
from nas.scoring.limits import Limit, Limited, parse_limit
from nas.scoring.machine import machine
from nas.scoring.measurer import PRECISIONS, resolve_device
from nas.scoring.objective import resolve
from nas.scoring.scorer import Engine, Scorer
from nas.searcher import SEARCHERS
from nas.space import SPACES, Space, Task, make_space
from nas.store.store import Store, default_store

LOG = logging.getLogger("nas")
"""Where calls log decisions that a user might not expect; the command line shows them."""

UNDETERMINING = ("budget", "minibatch", "plugin_source", "versions")
"""What ``config.yaml`` holds without being part of the run folder's name."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything that a score depends on except the architecture and the proxy, and where it is measured and kept.

    Made by `of`, which checks everything. A context manager: at its end the engine and the store are closed.

    Attributes:
        space: where architectures are from; without the limits, see `limited`.
        space_name: its registered name; None for a `Space` object.
        data: what minibatches are drawn from; see `nas.data.minibatch.minibatch`.
        batch_size: images in a minibatch.
        seed: of the minibatch, the initialisation and the searcher.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …
        precision: see `nas.scoring.measurer.PRECISIONS`; ``float32`` or ``float64`` throughout, or mixed precision.
        constraints: bounds like ``params<=0.6e6``; an architecture that breaks one is never scored.
        costs: columns of tables, as ``NAME=FILE:COLUMN``; their names may be used like those of proxies.
        settings: options by plug-in.
        plugin: Python files with further plug-ins.
        store: a file that keeps scores from one run to the next, ``none``, or None for `nas.store.store.default_store`.
        workers, ray, timeout: see `nas.engines.open_engine`.
    """

    space: Space
    space_name: str | None
    data: Data
    batch_size: int
    seed: int
    device: str
    precision: str
    constraints: tuple[str, ...]
    costs: tuple[str, ...]
    settings: Settings
    plugin: tuple[str, ...]
    store: str | Path | None
    workers: int | None
    ray: str | None
    timeout: float | None

    @classmethod
    def of(cls, space: Space | str, options: Mapping[str, Any], without: Collection[str] = ()) -> Setup:
        """The setup of a call on ``space``: plug-ins loaded, names normalised, everything checked.

        Args:
            options: the call's `SetupOptions`.
            without: those of them that the call does not take.

        Raises:
            UsageError: something given cannot be used.
        """
        for name in options:
            if name not in OPTIONS or name in without:
                raise unknown("option of this call", name, set(OPTIONS) - set(without))
        absent = [name for name, value in options.items() if value is None and DEFAULTS[name] in (None, (), {})]
        values = DEFAULTS | {name: value for name, value in options.items() if name not in absent}
        if not isinstance(space, Space | str):
            raise UsageError(f"a space is a name or a Space, not {space!r}")
        plugin = tuple(map(str, _list_of("plugin", values["plugin"], str | Path)))
        plugins.load(plugin)
        settings = checked_settings(values["settings"])
        registered = None if isinstance(space, Space) else normal(space)
        own = space if isinstance(space, Space) else make_space(space, settings)
        setup = cls(**values | {
            "space": own, "space_name": registered, "settings": settings, "plugin": plugin,
            "constraints": tuple(_list_of("constraints", values["constraints"], str)),
            "costs": tuple(_list_of("costs", values["costs"], str)),
            "precision": normal(str(values["precision"])),
        })  # fmt: skip
        setup._check()
        return setup

    def _check(self) -> None:
        check_number("seed", self.seed, 0)
        check_number("batch_size", self.batch_size, 1)
        if self.workers is not None:
            check_number("workers", self.workers, 1)
        check_timeout(self.timeout)
        resolve_device(str(self.device))
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if self.space_name is None:
            self.needs_no_name("a Space that was handed over")

    def needs_no_name(self, what: str, run_folder: object = None) -> None:
        """`UsageError` where a call with an object that no other process could find by name asks for workers, a store
        or a run folder."""
        wanted = {"workers": self.workers, "ray": self.ray, "timeout": self.timeout, "run_folder": run_folder}
        wanted |= {} if str(self.store) == "none" else {"store": self.store}
        names = [name for name, value in wanted.items() if value is not None]
        if names:
            raise UsageError(
                f"{what} has no name that another process could find, so it goes without {' and '.join(names)}: "
                "register it in a file and give that as plugin"
            )

    def may_keep(self, proxies: Sequence[str | Proxy | ProxyFn], run_folder: object = None) -> bool:
        """Whether the store may keep the scores: whether all that they depend on has a name. If not, and the default
        store would have kept them, it warns.

        Raises:
            UsageError: workers, a store or a run folder was asked for, which need names.
        """
        parts = [part for proxy in proxies for part in resolve(proxy, self.settings)[0]]
        nameless = [f"the function {part.name}" for part in parts if part.known is None and not is_registered(part)]
        if self.space_name is None:
            nameless.append("a Space that was handed over")
        if nameless:
            self.needs_no_name(nameless[0], run_folder)
            self.say_without_store(nameless[0])
        return not nameless

    def say_without_store(self, what: str) -> None:
        """Warns that scores are not kept, where the default store would keep them."""
        if str(default_store() if self.store is None else self.store) != "none":
            warnings.warn(f"{what} has no name that another process could find: scores are not kept", stacklevel=4)

    @cached_property
    def limits(self) -> list[Limit]:
        """The bounds, with the options of their proxies."""
        limits = [parse_limit(text, self._looked_up) for text in self.constraints]
        return [limit._replace(proxy=self._with_options(limit.proxy)) for limit in limits]

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The costs that are looked up, by name."""
        return columns(self.costs, self.space)

    @cached_property
    def _looked_up(self) -> dict[str, Proxy]:
        return {name: Proxy(name, None, larger_is_better=False, known=column) for name, column in self.columns.items()}

    def _with_options(self, record: Proxy) -> Proxy:
        return record.with_options(dict(self.settings.get(record.name, {})))

    def named(self, proxy: str | Proxy | ProxyFn, *, say: bool = True) -> str | Proxy | ProxyFn:
        """The cost that ``proxy`` names, if it is one that is looked up; the combination that it stands for on a space
        of cells, if it names one that has another there, with a note if that is to be said; else ``proxy`` itself."""
        if not isinstance(proxy, str):
            return proxy
        return self._looked_up.get(normal(proxy)) or "+".join(self._here(name, say) for name in proxy.split("+"))

    def _here(self, name: str, say: bool) -> str:
        on_cells = PROXIES[name].on_cells if name in PROXIES else None
        if on_cells is None or not self._has_cells:
            return name
        if say:
            LOG.info("on this space, of cells, %s is %s", name, on_cells)
        return on_cells

    @cached_property
    def _has_cells(self) -> bool:
        """Whether the space's networks are made of cells: one drawn at random has layers side by side."""
        if type(self.space).graph is Space.graph:
            return False
        graph = self.space.graph(self.space.sample(Random(0)))
        return graph is not None and forks(graph)

    def check_images(self, done: str) -> None:
        """`UsageError` where the space's networks take tokens alone, with which something is not ``done`` yet."""
        if "classes" not in self.space.predicts:
            raise UsageError(f"the networks of the space take tokens, and networks of images alone are {done}")

    def minibatch(self, seed: int | None = None) -> Minibatch:
        """The images drawn by ``seed``, or by the run's own; or as many sequences of tokens."""
        drawn = minibatch(self.data, self.batch_size, self.seed if seed is None else seed, self.space.predicts)
        for note in drawn.notes:
            LOG.info("data: %s", note)
        return drawn

    def proxies(self, names: Sequence[str | Proxy | ProxyFn] | str | ProxyFn) -> dict[str, str | Proxy | ProxyFn]:
        """`nas.calls.settings.proxy_list` with the costs that are looked up."""
        entries = names.split(",") if isinstance(names, str) else names
        if entries == ["all"]:
            entries = list(proxy_list("all"))
        return proxy_list([self.named(e) for e in entries] if isinstance(entries, Sequence) else entries)

    def limited(self, task: Task, scorer: Scorer) -> Space:
        """The space; where there are limits, only architectures within them are valid. ``scorer`` measures what cannot
        be counted."""
        return Limited(self.space, self.limits, task, scorer) if self.constraints else self.space

    def of_the_machine(self, proxies: Iterable[Proxy], device: torch.device) -> dict[str, str]:
        """What to record about the machine if one of ``proxies`` or of the limits depends on it."""
        every = [*proxies, *(limit.proxy for limit in self.limits)]
        return {"machine": machine(device)} if any(record.machine for record in every) else {}

    def made(self) -> dict[str, str]:
        """What makes the records of a run with this setup here and now."""
        return made_here(resolve_device(self.device), self.workers, self.ray)

    @property
    def versions(self) -> dict[str, str]:
        """The version of each cost that is looked up."""
        return {f"the cost {name}": column.digest for name, column in self.columns.items()}

    def scorer(self, seed: int | None = None, data: Minibatch | None = None, *, kept: bool = True) -> Scorer:
        """A scorer for ``seed``, or the run's own, with the setup's engine and, where scores are ``kept``, its store.

        Args:
            data: the minibatch; drawn from ``seed`` where it is not given.
        """
        seed = self.seed if seed is None else seed
        drawn = self.minibatch(seed) if data is None else data
        shelf = self._store.shelf(self.space_name, self.settings) if kept and self.space_name is not None else None
        return Scorer(
            self.space, drawn, seed=seed, device=self.device, precision=self.precision, engine=self._engine, shelf=shelf
        )

    def record(self, **own: Any) -> dict[str, Any]:
        """What determines a run, as plain values under their names on the command line: ``own`` and the setup's.

        Raises:
            UsageError: the data have no name.
        """
        if source_name(self.data) is None:
            self.needs_no_name("data that were handed over", run_folder="given")
        common = {
            "data": source_name(self.data), "batch_size": self.batch_size, "seed": self.seed, "device": self.device,
            "precision": self.precision, "constraint": self.constraints, **({"cost": self.costs} if self.costs else {}),
            "set": self.settings, "plugin": self.plugin,
        }  # fmt: skip
        fixed = {"plugin_source": plugin_source(self.plugin)} if self.plugin else {}
        last = {"minibatch": own.pop("minibatch")} if "minibatch" in own else {}
        plain: dict[str, Any] = json.loads(json.dumps({"space": self.space_name} | own | common | last, default=str))
        return plain | fixed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.__exit__(kind, error, at)

    @cached_property
    def _open(self) -> ExitStack:
        return ExitStack()

    @cached_property
    def _engine(self) -> Engine:
        engine = open_engine(
            self.space_name or "", self.settings, self.plugin, workers=self.workers, ray=self.ray, timeout=self.timeout
        )
        return self._open.enter_context(engine)

    @cached_property
    def _store(self) -> Store:
        return self._open.enter_context(Store(self.store))


def normalised(config: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded configuration with registered names, to compare with another one."""
    plain = dict(config)
    for name, registry in (("space", SPACES), ("searcher", SEARCHERS)):
        if plain.get(name) in registry:
            plain[name] = normal(plain[name])
    costs = {parts_of(text)[0] for text in plain.get("cost", ())}
    for name in {"proxy", "proxies"} & plain.keys():
        named = str(plain[name]).split(",")
        plain[name] = ",".join(entry if entry in costs else ",".join(proxy_list(entry)) for entry in named)
    if isinstance(plain.get("set"), Mapping):
        plain["set"] = json.loads(json.dumps(checked_settings(plain["set"]), default=str))
    return plain


def _list_of(name: str, argument: Any, kind: type | UnionType) -> list[Any]:
    values = as_list(argument)
    if not isinstance(values, Sequence) or not all(isinstance(value, kind) for value in values):
        raise UsageError(f"{name} takes a text or a list of texts, not {argument!r}")
    return list(values)
