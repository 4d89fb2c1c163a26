"""Studies, each of which tests a claim about scores: their material and their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from nas.data.minibatch import Minibatch
from nas.probe import Probe, measure
from nas.proxy import PROXIES, Proxy
from nas.registry import Registry, origin
from nas.scoring.scorer import Scorer
from nas.space import Arch, Space

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Item = TypeVar("Item")


@dataclass(frozen=True)
class Findings:
    """The findings of a study.

    Attributes:
        frames: its tables by name.
        figures: its figures by name, made without pyplot.
        text: their meaning, in sentences.
        folder: the run folder, where there is one.
    """

    frames: dict[str, pd.DataFrame]
    figures: dict[str, Figure]
    text: str
    folder: Path | None = None


@dataclass(frozen=True)
class Material:
    """The material of a study.

    Attributes:
        space: where the architectures are from.
        archs: the architectures.
        proxies: the requested ones with their options, each once; a combination counts as its parts.
        targets: trained accuracies, a row for each architecture by its text and a column for each target, larger is
            better; no columns where no table was given.
        draw: (batch size, seed) -> minibatch.
        vary: the same space with other options.
        options: the options of the space.
        watch: called with the number of steps done, that of all steps, and a note.
    """

    space: Space
    archs: Sequence[Arch]
    proxies: Sequence[Proxy]
    targets: pd.DataFrame
    draw: Callable[[int, int], Minibatch]
    vary: Callable[..., Space]
    options: Mapping[str, Any]
    batch_size: int = 64
    seed: int = 0
    device: str = "auto"
    precision: str = "float32"
    watch: Callable[[int, int, str], None] | None = None

    @property
    def texts(self) -> list[str]:
        return [self.space.text(arch) for arch in self.archs]

    def each(self, items: Sequence[Item], note: str = "") -> Iterator[Item]:
        """The items one after the other, reported to ``watch``."""
        for number, item in enumerate(items):
            if self.watch is not None:
                self.watch(number, len(items), note)
            yield item

    def scorer(
        self,
        *,
        space: Space | None = None,
        seed: int | None = None,
        minibatch_seed: int | None = None,
        batch_size: int | None = None,
    ) -> Scorer:
        """A scorer; the study's own settings stand in for those that are not given."""
        data = self.draw(batch_size or self.batch_size, self.seed if minibatch_seed is None else minibatch_seed)
        seed = self.seed if seed is None else seed
        return Scorer(space or self.space, data, seed=seed, device=self.device, precision=self.precision)

    def probes(self, scorer: Scorer, arch: Arch, proxies: Sequence[Proxy] = ()) -> list[tuple[Probe, list[Proxy]]]:
        """Each network of ``arch`` that ``proxies`` (default: all) measure, freshly initialised, with these proxies.

        Where a proxy averages over several initialisations it is the first. Proxies that measure a thin copy are left
        out where the space has none.
        """
        proxies = proxies or self.proxies
        probes = []
        for network, how in dict.fromkeys((proxy.network, proxy.initialisation) for proxy in proxies):
            if network == "full" or scorer.space.thin() is not None:
                probe = scorer.measurer.probe(scorer.space.canonical(arch), network, how)
                probes.append((probe, [p for p in proxies if (p.network, p.initialisation) == (network, how)]))
        return probes


def oriented(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores, a column for each proxy, in the form for rank statistics: larger is better, a failure minus infinity."""
    names = [str(name) for name in scores]
    signs = {name: 1 if name not in PROXIES or PROXIES[name].larger_is_better else -1 for name in names}
    return (scores.astype(float) * pd.Series(signs)).fillna(-inf)


def values(probe: Probe, functions: Mapping[str, Callable[[Probe], Any]]) -> dict[str, float]:
    """The value of each function, a proxy or another, for the probe; nan where it fails or is not finite."""
    measured = measure(probe, dict(functions))
    numbers = {name: nan if isinstance(value, BaseException) else float(value) for name, (value, _) in measured.items()}
    return {name: value if isfinite(value) else nan for name, value in numbers.items()}


StudyFn = Callable[..., Findings]
"""``(material, *, options) -> Findings``."""


@dataclass(frozen=True)
class Study:
    """A registered study.

    Attributes:
        table: it compares with trained accuracy, and so takes a table.
    """

    name: str
    function: StudyFn
    table: bool = False


STUDIES: Registry[Study] = Registry("study", folder="nas.studies")

Function = TypeVar("Function", bound=StudyFn)


def study(name: str, *, table: bool = False) -> Callable[[Function], Function]:
    """Registers a function of `Material` as a study; its keyword-only arguments are its options."""

    def register(function: Function) -> Function:
        STUDIES.add(name, Study(name, function, table), origin(function))
        return function

    return register
