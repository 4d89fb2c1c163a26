"""Reads files that hold more than their size, up to a limit in proportion to their bytes.

A few kilobytes can stand for gigabytes: compressed zeros, one value that is repeated, one list that is copied. The
limit is a few times what honest files of the kind reach, and never less than any small file may need.
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
"""Bytes that any file may unpack to."""
MAX_RATIO = 50
"""How many bytes of text each byte of a file may unpack to; those of benchmarks unpack to 3 to 20."""


class Bomb(ValueError):
    """A file that holds more than a file of its size may."""

    def __init__(self, size: int, what: str, most: int) -> None:
        super().__init__(
            f"its {size:,} bytes stand for more than {most:,} {what}, the limit for a file of that size: it is "
            "damaged, or made to do harm"
        )


def most_bytes(size: int, ratio: int = MAX_RATIO, free: int = FREE_BYTES) -> int:
    """How many bytes a file of ``size`` bytes may unpack to."""
    return max(free, ratio * size)


class Bounded(io.RawIOBase):
    """The bytes of another reader, up to a limit; `Bomb` beyond.

    Args:
        inner: the other reader.
        size: that of the file it reads, in bytes.
        most: the limit, in bytes.
    """

    def __init__(self, inner: Any, size: int, most: int) -> None:
        self._inner, self._size, self._most, self._position = inner, size, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._inner.read(min(len(buffer), self._most + 1 - self._position))
        self._position += len(content)
        if self._position > self._most:
            raise Bomb(self._size, "bytes", self._most)
        buffer[: len(content)] = content
        return len(content)

    def tell(self) -> int:
        return self._position


def buffered(inner: Any, size: int, most: int) -> BinaryIO:
    """`Bounded`, read in large pieces."""
    return cast(BinaryIO, io.BufferedReader(Bounded(inner, size, most), MEGABYTE))


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """The content of a file, unpacked where its suffix says that it is packed: .gz, .bz2, .xz, .zip with one file.

    Raises:
        OSError: it is not a file.
        ValueError: (on reading) it unpacks to more than it may, see `most_bytes`, or is packed in another way.
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
