"""The errors that tell users what is wrong with what they gave."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

__all__ = ["ProxyError", "ProxyFailure", "UsageError", "missing_extra", "unknown", "unreadable"]


class UsageError(ValueError):
    """Something the user gave cannot be used. The message is one sentence: value given, values allowed, next step."""


class ProxyFailure(Exception):
    """Raised by a proxy that has no meaningful number for a network; the message is the reason that is recorded."""

    status = "failed"


class ProxyError(Exception):
    """A proxy did what it may not, so that its value cannot be trusted; the message says what."""


def unknown(kind: str, value: object, choices: Iterable[str]) -> UsageError:
    """The error for a name that is not among ``choices``: it lists them and proposes the nearest one."""
    names = sorted(choices)
    near = get_close_matches(str(value).lower().replace("-", "_"), [name.lower() for name in names], n=1, cutoff=0.5)
    hint = next((f"; did you mean {name!r}?" for name in names if near and name.lower() == near[0]), "")
    return UsageError(f"unknown {kind} {value!r}: known are {', '.join(names) or 'none'}{hint}")


def unreadable(file: object, what: str, error: BaseException) -> UsageError:
    """The error for a file that is not ``what`` it should be, with the first line of its reader's message."""
    message = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UsageError(f"{file}: cannot be read as {what}: {message[:300]}")


def missing_extra(what: str, module: str, extra: str, error: BaseException) -> UsageError:
    """The error for ``what`` takes a module that cannot be imported: it is not installed, or it is and fails."""
    if isinstance(error, ModuleNotFoundError) and error.name == module:
        return UsageError(f"{what} takes {module}, which is not installed: pip install 'gradalign-nas[{extra}]'")
    reason = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
    return UsageError(
        f"{what} takes {module}, which is installed but cannot be imported ({reason}): 'nas doctor' lists what is "
        "installed"
    )


def without_pyarrow(path: Path) -> UsageError:
    """The error for a Parquet file where pyarrow is not installed."""
    return UsageError(f"{path}: Parquet takes pyarrow: pip install 'gradalign-nas[parquet]'")
