"""Small files that stand for much: every reader stops early, and says its limit."""

import bz2
import gzip
import io
import lzma
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from nas.data.bounded import FREE_BYTES, Bomb, most_bytes, unpacked
from nas.data.reading import read_frame
from nas.data.unpickle import Unpickler
from nas.errors import UsageError
from nas.runs.folder import read_yaml

MEGABYTE = 2**20
MAX_SECONDS = 20.0
"""Of one bomb, on a machine that has much else to do; alone each takes a second at most."""
MAX_PEAK = 300 * MEGABYTE
"""Bytes of Python's and numpy's that reading one may take."""


def bounded(read, error, traced=True):
    """Reads within bounds of time and memory, and is refused. Threads that are not Python's crash where it traces."""
    if traced:
        tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(
            error, match=r"stand for more than|columns, more than the|begun and not ended|key of several"
        ):
            read()
        assert time.process_time() - start < MAX_SECONDS
        assert not traced or tracemalloc.get_traced_memory()[1] < MAX_PEAK
    finally:
        tracemalloc.stop()


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", content)
    return file.getvalue()


def column(values, **more):
    file = io.BytesIO()
    parquet.write_table(pa.table({"arch": values} | more), file, compression="zstd")
    return file.getvalue()


ROWS = b"arch,acc\n" + b"0,1\n" * 20_000_000
TABLES = {
    "rows.csv.gz": lambda: gzip.compress(ROWS, 6),
    "rows.csv.bz2": lambda: bz2.compress(ROWS[: 35 * MEGABYTE], 1),
    "rows.csv.xz": lambda: lzma.compress(ROWS[: 35 * MEGABYTE], preset=0),
    "rows.csv.zip": lambda: zipped(ROWS),
    "zeros.csv.gz": lambda: gzip.compress(bytes(100 * MEGABYTE), 6),
    "wide.csv": lambda: b"arch" + b",a" * 9_000 + b"\n" + b"0\n" * 100_000,
    "wider.csv": lambda: b"arch" + b",a" * 100_000 + b"\n0\n",
    "rows.parquet": lambda: column(pa.array(["0"] * 20_000_000).dictionary_encode()),
    "text.parquet": lambda: column(
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["x" * MEGABYTE]))
    ),
}


def test_what_is_nested_in_a_column_is_not_read(tmp_path):
    (tmp_path / "t.parquet").write_bytes(column(["0"] * 10, lists=pa.array([[0] * 1_000_000] * 10)))
    before = pa.default_memory_pool().max_memory()
    assert list(read_frame(tmp_path / "t.parquet")) == ["arch"]
    assert pa.default_memory_pool().max_memory() - before < MAX_PEAK


@pytest.mark.parametrize("name", TABLES)
def test_a_table_stands_for_no_more_than_its_size_allows(tmp_path, name):
    (tmp_path / name).write_bytes(TABLES[name]())
    before = pa.default_memory_pool().max_memory()
    bounded(lambda: read_frame(tmp_path / name), UsageError, traced=not name.endswith(".parquet"))
    assert pa.default_memory_pool().max_memory() < before + MAX_PEAK


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


HEAD = b"\x80\x04"
LONG_LIST = b"]\x94(" + b"N" * 300_000 + b"e"
PICKLES = {
    "copies of a list": LONG_LIST + b"0cbuiltins\nlist\n\x94" + b"h\x01h\x00\x85R\x94" * 400 + b".",
    "tuples of a list": b"(" + LONG_LIST + b"cbuiltins\ntuple\n\x94" + b"h\x01h\x00\x85R" * 400 + b"t.",
    "sets of a list": b"(" + LONG_LIST + b"cbuiltins\nset\n\x94" + b"h\x01h\x00\x85R" * 400 + b"t.",
    "marks": b"(" * 5_000_000 + b".",
    "texts that are encoded": b"(" + text(b"x" * 1_000_000) + b"\x94c_codecs\nencode\n\x94" + text(b"latin1") + b"\x94"
    + b"h\x01h\x00h\x02\x86R" * 4000 + b"t.",
    "arguments": b"(" + b"N" * 1_000_000 + b"t\x940(ccollections\ndefaultdict\n\x94" + b"h\x01h\x00R" * 20_000 + b".",
    "attributes": b"(}\x94(" + b"".join(text(b"%d" % number) + b"N" for number in range(100_000))
    + b"ucnats_bench.api\nArchResults\n\x94" + b"h\x01)Rh\x00b" * 5000 + b"t.",
}  # fmt: skip


@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_makes_no_more_than_its_size_allows(kind):
    def read():
        try:
            Unpickler(io.BytesIO(HEAD + PICKLES[kind])).load()
        except TypeError as error:  # arguments of another form are refused before they are counted
            raise ValueError(f"stand for more than: {error}") from error

    bounded(read, ValueError)


ODD = {
    "another protocol": b"\x80\xffN.",
    "none": b"N.",
    "a second one": HEAD + b"\x80\x04N.",
    "something left over": HEAD + b"NN.",
    "a mark left over": HEAD + b"(N.",
    "a frame that is too long": HEAD + b"\x95" + struct.pack("<Q", 100) + b"N.",
    "a frame in a frame": HEAD + b"\x95" + struct.pack("<Q", 20) + b"\x95" + struct.pack("<Q", 2) + b"N.",
    "what lies elsewhere": HEAD + b"NQ.",
    "an operation of protocol 0": HEAD + b"I1\n.",
    "an extension": HEAD + b"\x82\x01.",
    "a buffer": HEAD + b"\x97.",
    "the end": HEAD + b"]",
    "attributes of a number": HEAD + b"K\x00N}b.",
}


@pytest.mark.parametrize("kind", ODD)
def test_no_operation_is_read_as_nothing(kind):
    with pytest.raises((ValueError, EOFError, TypeError), match=r"."):
        Unpickler(io.BytesIO(ODD[kind])).load()


def test_what_is_honest_is_read_in_full(tmp_path):
    """A million numbers, texts, and tuples that picklers share."""
    value = {
        "numbers": [float(number) for number in range(200_000)], "texts": [f"|{number}|" for number in range(100_000)],
        "tuples": [(number, number + 1) for number in range(100_000)], "sets": [{1, 2}] * 1000,
    }  # fmt: skip
    for protocol in range(2, 6):
        assert Unpickler(io.BytesIO(pickle.dumps(value, protocol))).load() == value
    frame = {"arch": [f"|{n}|" for n in range(50_000)], "acc": list(range(50_000))}
    (tmp_path / "t.csv.gz").write_bytes(
        gzip.compress(b"arch,acc\n" + b"".join(b"|%d|,%d\n" % (n, n) for n in range(50_000)), 9)
    )
    assert read_frame(tmp_path / "t.csv.gz").to_dict("list") == frame


def test_the_limit_is_in_proportion_to_the_file(tmp_path):
    assert most_bytes(1) == most_bytes(1000) == FREE_BYTES
    assert most_bytes(FREE_BYTES) == 50 * FREE_BYTES
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(bytes(FREE_BYTES), 9))
    with unpacked(path) as file:
        assert len(file.read()) == FREE_BYTES
    path.write_bytes(gzip.compress(bytes(FREE_BYTES + 1), 9))
    with (
        unpacked(path) as file,
        pytest.raises(Bomb, match=f"stand for more than {FREE_BYTES:,} bytes, the limit for a"),
    ):
        file.read()


def test_settings_without_end_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("a: " + "[" * 600_000 + "]" * 600_000)
    with pytest.raises(UsageError, match=r"a\.yaml cannot be read: it has more than 1,048,576 bytes"):
        read_yaml(tmp_path / "a.yaml")
