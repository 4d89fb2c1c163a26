"""Files that hold more than their size: how much one may become, in proportion to its bytes, and reading no more.

A few kilobytes can stand for gigabytes: compressed zeros, one value that is repeated, one list that is copied. What is
read here is bounded by what honest files of the kind reach, times a few, and never by less than a small file may have.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from nas.files import open_file

MEGABYTE = 2**20
FREE_BYTES = 32 * MEGABYTE
"""Bytes that any file may become."""
MAX_RATIO = 50
"""How many bytes of text each byte of a file may become; those of benchmarks become 3 to 20."""


class Bomb(ValueError):
    """A file that becomes more than a file of its size does."""

    def __init__(self, size: int, what: str, most: int) -> None:
        super().__init__(
            f"its {size:,} bytes stand for more than {most:,} {what}, the limit for a file of that size: it is "
            "damaged, or made to do harm"
        )


def most_bytes(size: int, ratio: int = MAX_RATIO, free: int = FREE_BYTES) -> int:
    """How many bytes a file of ``size`` bytes may become."""
    return max(free, ratio * size)


class Bounded(io.RawIOBase):
    """What another reader gives, up to a number of bytes; `Bomb` beyond.

    Args:
        inner: gives bytes.
        size: of the file that they come from.
        most: how many it may give.
    """

    def __init__(self, inner: Any, size: int, most: int) -> None:
        self._inner, self._size, self._most, self._given = inner, size, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._inner.read(min(len(buffer), self._most + 1 - self._given))
        self._given += len(content)
        if self._given > self._most:
            raise Bomb(self._size, "bytes", self._most)
        buffer[: len(content)] = content
        return len(content)

    def tell(self) -> int:
        return self._given


def buffered(inner: Any, size: int, most: int) -> BinaryIO:
    """`Bounded`, read in large pieces."""
    return cast(BinaryIO, io.BufferedReader(Bounded(inner, size, most), MEGABYTE))


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """The content of a file, unpacked where its suffix says that it is packed: .gz, .bz2, .xz, .zip with one file.

    Raises:
        OSError: it is no file.
        ValueError: (on reading) it becomes more than it may, see `most_bytes`, or is packed in another way.
        OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile: (on reading) it is damaged.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_file(path))
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        suffix = path.suffix.lower()
        if suffix in (".zst", ".tar", ".tgz", ".rar", ".7z"):
            raise ValueError(f"it is packed as {suffix}: give it unpacked, or as .gz")
        if suffix == ".zip":
            archive = stack.enter_context(zipfile.ZipFile(file))
            if len(archive.namelist()) != 1:
                raise ValueError(f"it is a .zip of {len(archive.namelist())} files, not of one")
            inner: Any = stack.enter_context(archive.open(archive.namelist()[0]))
        else:
            openers: dict[str, Any] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}
            inner = file
            if suffix in openers:
                named = {"fileobj": file} if suffix == ".gz" else {"filename": file}
                inner = stack.enter_context(openers[suffix](**named))
        yield buffered(inner, size, most_bytes(size) if inner is not file else size)
