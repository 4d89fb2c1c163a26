"""Bad input made from good: texts and bytes with parts changed, and what may be answered to them."""

import tempfile
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pandas as pd
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from nas.errors import UsageError
from nas.testing import narrow_space


def quick(examples):
    """Hypothesis's settings here: the same examples in every run."""
    return settings(
        max_examples=examples, derandomize=True, deadline=None, database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )  # fmt: skip


@contextmanager
def refused_in_a_line():
    """Whatever is refused within is refused with one line."""
    try:
        yield
    except UsageError as refused:
        if len(str(refused).splitlines()) != 1:
            raise AssertionError(f"not one line: {refused}") from refused


PIECES = [
    "", "[", "]", "{", "}", "(", '"', "'", ":", ",", "|", "~", "+", "/", "-", "\\", "\0", "\n", "null", "true", "NaN",
    "1e999", "-1", "9" * 30, "9" * 5000, "[" * 5000, "(" * 300, "**{}", "range(9)", "genotype", "lambda:0", "\ud800",
    "٣",
]  # fmt: skip


@st.composite
def mutations(draw, texts):
    """A text of a list, with pieces cut out, repeated, or replaced by others."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from([*PIECES, text[start:end] * 3]) | st.text(max_size=4))
        text = text[:start] + piece + text[end:]
    return text


@st.composite
def damaged(draw, content):
    """Bytes with some changed, or with the end missing."""
    found = bytearray(content)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(found) - 1))
        found[at : at + draw(st.integers(1, 4))] = draw(st.binary(min_size=1, max_size=4))
    return bytes(found[: draw(st.integers(0, len(found)))]) if draw(st.integers(0, 3)) == 0 else bytes(found)


def written(write, name):
    """What ``write`` writes to a file of that name."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


FRAME = pd.DataFrame(
    {"arch": [narrow_space().text(narrow_space().sample(Random(n))) for n in range(6)], "acc": range(6)}
)
SCORE = {"data": "synthetic:classes=3,size=8", "batch_size": 12, "proxies": "params",
         "settings": {"nasbench201": {"widths": (4,), "repeats": 1}}}  # fmt: skip
