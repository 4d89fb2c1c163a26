"""Text, as words or bytes, or tokens that are numbers already."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from nas.data.sources import Source, source
from nas.data.sources._windows import LENGTH, MAX_LENGTH, MAX_VOCABULARY, Predict, of_windows
from nas.data.sources.npz import opened_arrays
from nas.errors import UsageError
from nas.files import read_file
from nas.registry import Range

MAX_BYTES = 2**30
"""Of a text; of longer ones a part is enough."""
END, UNKNOWN, MASK = "<eos>", "<unk>", "<mask>"
ENDINGS = (".txt", ".text")


@source("text", reads="a text", recognises=lambda path: path.suffix.lower() in ENDINGS and path.is_file())
def text(
    path: Path,
    *,
    tokens: Literal["words", "bytes", "ids"] = "words",
    vocab: Annotated[int, Range(0, MAX_VOCABULARY)] = 0,
    length: Annotated[int, Range(2, MAX_LENGTH)] = LENGTH,
    predict: Predict = "next",
) -> Source:
    """Windows of a text.

    ``words`` are what blanks separate, with ``<eos>`` at the end of each line; the vocabulary has the most frequent
    ones (of equals, the first in the text), and what it has not is ``<unk>``. ``bytes`` are 256 tokens. ``ids`` are
    whole numbers from 0 in the array ``ids`` of a .npz file, whose tokens are always these.

    Args:
        vocab: entries of the vocabulary, ``<unk>`` and the mask among them; 0: as many as there are.
        length: tokens of a sequence.
        predict: the ``next`` token after each, or those that are ``masked``, for which the last entry of the vocabulary
            stands.
    """
    masked = predict == "masked"
    if path.suffix.lower() == ".npz" or tokens == "ids":
        return _of_ids(path, vocab, length, predict)
    content = read_file(path, MAX_BYTES)
    if not content.strip():
        raise UsageError(f"{path}: holds no text")
    if tokens == "bytes":
        if vocab not in (0, 256 + masked):
            raise UsageError(
                f"{path}: bytes are {256 + masked} different tokens{' with the mask' * masked}: no vocab={vocab}"
            )
        entries = tuple(f"{byte:#04x}" for byte in range(256)) + (MASK,) * masked
        return of_windows(np.frombuffer(content, dtype=np.uint8), entries, length, predict)
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: is no UTF-8 text ({error.reason} at byte {error.start}): give tokens=bytes"
        ) from None
    return _of_words([word for line in lines for word in (*line.split(), END)], vocab, length, predict)


def _of_words(words: list[str], vocab: int, length: int, predict: str) -> Source:
    counts = Counter(words)
    masked = (MASK,) * (predict == "masked")
    special = {UNKNOWN, *masked}
    frequent = [word for word, _ in counts.most_common() if word not in special]
    without = bool(special & counts.keys())  # a text may hold what stands for something else here
    size = vocab or len(frequent) + without + len(masked)
    if size <= len(special):
        raise UsageError(f"a vocabulary of {size} entries has no words beside {' and '.join(sorted(special))}")
    rest: tuple[str, ...] = ()
    if without or size < len(frequent) + len(masked):
        frequent, rest = frequent[: size - len(special)], (UNKNOWN,)
    blank = tuple(f"<unused {number}>" for number in range(size - len(frequent) - len(rest) - len(masked)))
    entries = (*frequent, *rest, *blank, *masked)
    places = {word: place for place, word in enumerate((*frequent, *rest))}
    unknown = len(frequent)
    ids = np.array([places.get(word, unknown) for word in words])
    missing = sum(counts.values()) - sum(counts[word] for word in (*frequent, UNKNOWN))
    note = f"{missing} of the {len(words)} words are not in the vocabulary of {size}, and read as {UNKNOWN}"
    return of_windows(ids, entries, length, predict, (note,) * bool(missing))


def _of_ids(path: Path, vocab: int, length: int, predict: str) -> Source:
    ids = _ids(path)
    masked = predict == "masked"
    most = int(ids.max())
    size = vocab or most + 1 + masked
    if ids.min() < 0 or most >= size - masked or size > MAX_VOCABULARY:
        allowed = min(size, MAX_VOCABULARY) - 1 - masked
        raise UsageError(
            f"{path}: ids are from 0 to {allowed}{', and then the mask' * masked}, not {ids.min()} to {most}"
        )
    return of_windows(ids, tuple(map(str, range(size))), length, predict)


def _ids(path: Path) -> NDArray[np.int64]:
    """All ids in one row."""
    with opened_arrays(path) as file:
        names = file.files
        name = "ids" if "ids" in names else names[0] if len(names) == 1 else ""
        if not name:
            raise UsageError(f"{path}: has no array ids, only {', '.join(names) or 'nothing'}")
        ids = file[name]
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or ids.ndim not in (1, 2) or not ids.size:
        is_ = f"{ids.dtype} {list(ids.shape)}" if isinstance(ids, np.ndarray) else type(ids).__name__
        raise UsageError(f"{path}: ids are whole numbers in one row, or in rows that follow each other, not {is_}")
    if ids.max() > MAX_VOCABULARY:
        raise UsageError(f"{path}: ids are below {MAX_VOCABULARY}, not {ids.max()}")
    return ids.astype(np.int64).ravel()
