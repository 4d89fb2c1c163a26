"""Where the truth about an architecture comes from: a table, a training on this machine, a function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from nas import plugins
from nas.calls.options import DEFAULTS, SetupOptions
from nas.calls.train import NothingTrained, train_some
from nas.data.table import Table
from nas.errors import UsageError, unknown
from nas.files import check_file
from nas.runs.versions import digest
from nas.scoring.measurer import reason_of
from nas.scoring.scorer import Watch
from nas.space import Arch, Space

TRUSTED = "valid_accuracy"
"""The column of a training by which architectures are compared; the test accuracy stands beside it."""
BESIDE = "test_accuracy"

TruthFn = Callable[[str], float]
"""The truth of an architecture in the space's notation, larger is better."""


class Truth(NamedTuple):
    """What came out for one architecture.

    Attributes:
        value: larger is better; None for a failure.
        reason: why it failed.
        columns: further numbers.
        seconds: what it took.
    """

    value: float | None
    reason: str = ""
    columns: Mapping[str, float] = {}
    seconds: float = 0.0


class Source(Protocol):
    """Where truths come from.

    Attributes:
        name: of the truth, in words that tell it from another one.
        column: its short name.
    """

    name: str
    column: str

    def knows(self, arch: Arch) -> bool:
        """Whether this architecture can be asked for."""
        ...

    def __call__(self, archs: Sequence[Arch], watch: Watch | None) -> list[Truth]: ...


class LookedUp:
    """The column of a table; only what stands there can be asked for."""

    def __init__(self, table: Table, target: str) -> None:
        self.values = table.target(target)
        self.table, self.column = table, target
        own = dict(zip(map(table.space.text, table.archs), self.values.tolist(), strict=True))
        self.name = f"{target} of a table with the digest {digest(own)}"

    def knows(self, arch: Arch) -> bool:
        return isfinite(self._value(arch))

    def __call__(self, archs: Sequence[Arch], watch: Watch | None) -> list[Truth]:
        return [Truth(self._value(arch)) for arch in archs]

    def _value(self, arch: Arch) -> float:
        place = self.table.place(arch)
        return nan if place is None else float(self.values.iloc[place])


class TrainedHere:
    """A training on the data of the search: the validation accuracy, with the test accuracy beside it."""

    column = TRUSTED

    def __init__(
        self, space: Space, given: Space | str, options: SetupOptions, epochs: int, folder: Path | None
    ) -> None:
        self.space, self.given, self.options, self.epochs, self.folder = space, given, options, epochs, folder
        self.name = f"{TRUSTED} after {epochs} epochs"

    def knows(self, arch: Arch) -> bool:
        return True

    def __call__(self, archs: Sequence[Arch], watch: Watch | None) -> list[Truth]:
        texts = [self.space.text(arch) for arch in archs]
        try:
            result = train_some(
                self.given, texts, self.options, out=self.folder, epochs=self.epochs, watch=watch
            )  # fmt: skip
            rows, failures = result.table.to_dict("records"), result.failures
        except NothingTrained as nothing:
            rows, failures = [], nothing.failures
        results = {self._form(row["arch"]): row for row in rows}
        reasons = {self._form(arch): str(why) for arch, why in zip(failures["arch"], failures["reason"], strict=True)}
        return [self._truth(results, reasons, self._form(text)) for text in texts]

    def _form(self, text: Any) -> Arch:
        return self.space.canonical(self.space.parse(str(text)))

    def _truth(self, known: Mapping[Arch, Mapping[Any, Any]], reasons: Mapping[Arch, str], form: Arch) -> Truth:
        if form not in known:
            return Truth(None, reasons.get(form, "its training is not over"))
        row = known[form]
        return Truth(float(row[TRUSTED]), "", {BESIDE: float(row[BESIDE])}, float(row["seconds"]))


class Asked:
    """A function of the user's. What it raises is a failure of the architecture.

    Args:
        file: where it stands, if it was named so.
    """

    def __init__(self, space: Space, function: TruthFn, file: Path | None = None) -> None:
        self.space, self.function = space, function
        self.column = getattr(function, "__name__", type(function).__name__)
        self.name = f"the function {self.column}"
        if file is not None:
            self.name += f" of a file with the digest {digest({'source': file.read_text()})}"

    def knows(self, arch: Arch) -> bool:
        return True

    def __call__(self, archs: Sequence[Arch], watch: Watch | None) -> list[Truth]:
        return [self._ask(self.space.text(arch)) for arch in archs]

    def _ask(self, text: str) -> Truth:
        start = perf_counter()
        try:
            value = float(self.function(text))
        except Exception as error:  # a stranger's
            return Truth(None, reason_of(error), {}, perf_counter() - start)
        seconds = perf_counter() - start
        return Truth(value, "", {}, seconds) if isfinite(value) else Truth(None, f"it is {value}", {}, seconds)


def function_in(reference: str) -> tuple[TruthFn, Path]:
    """The function that ``FILE.py:NAME`` names, and its file, which is run.

    Raises:
        UsageError: there is no such file, or nothing in it that can be called by that name.
    """
    file, colon, name = reference.rpartition(":")
    if not colon or not file or not name.isidentifier():
        raise UsageError(f"truth takes a function as FILE.py:NAME, not {reference!r}")
    path = Path(file).expanduser()
    check_file(path, "the truth's file")
    plugins.load([path])
    functions = {
        key: value for key, value in vars(plugins.module_of(path)).items() if callable(value) and key[0] != "_"
    }
    if name not in functions:
        raise unknown(f"function of {path}", name, functions)
    return functions[name], path


def truth_source(
    space: Space,
    given: Space | str,
    options: SetupOptions,
    *,
    table: Table | None,
    target: str | None,
    function: TruthFn | str | None,
    epochs: int,
    folder: Path | None,
) -> Source:
    """The source that a call names: a function, else the column of a table, else a training on its data.

    Raises:
        UsageError: what is named does not go together, or nothing is.
    """
    if function is not None:
        if target is not None:
            raise UsageError(f"the truth is a function and the column {target!r} of a table: name one of them")
        if isinstance(function, str):
            return Asked(space, *function_in(function))
        if not callable(function):
            raise UsageError(f"truth takes a function of an architecture's notation, not {function!r}")
        return Asked(space, function)
    if target is not None:
        if table is None:
            raise UsageError(f"the target {target!r} is a column of a table, and none is named: --table names it")
        return LookedUp(table, target)
    data = options.get("data", DEFAULTS["data"])
    if isinstance(data, str) and data == DEFAULTS["data"]:
        raise UsageError(
            "there is nothing to evaluate by: --data takes images to train on, --table and --target accuracies to look "
            "up"
        )
    return TrainedHere(space, given, options, epochs, folder)
