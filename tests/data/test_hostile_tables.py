"""Damaged and odd tables are read or refused with one sentence."""

import warnings

import pytest
from hostile import FRAME, damaged, quick, refused_in_a_line, written
from hypothesis import given

from nas.data.table import Table
from nas.errors import UsageError
from nas.testing import narrow_space

TABLES = {
    "t.csv": lambda path: FRAME.to_csv(path, index=False),
    "t.csv.gz": lambda path: FRAME.to_csv(path, index=False),
    "t.csv.zip": lambda path: FRAME.to_csv(path, index=False),
    "t.csv.xz": lambda path: FRAME.to_csv(path, index=False),
    "t.parquet": lambda path: FRAME.to_parquet(path, index=False),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_table_is_read_or_refused(tmp_path, name):
    space = narrow_space()

    @quick(60)
    @given(damaged(written(TABLES[name], name)))
    def check(content):
        (tmp_path / name).write_bytes(content)
        with warnings.catch_warnings(action="ignore"), refused_in_a_line():
            Table(tmp_path / name, space).target("acc")

    check()


def test_tables_of_another_form_are_refused(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    twice = pa.table([pa.array(["0"]), pa.array(["1"])], names=["arch", "arch"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(UsageError, match=r"twice\.parquet: (has several columns 'arch'|cannot be read as a table)"):
        Table(tmp_path / "twice.parquet", narrow_space())
    lists = pa.table({"arch": pa.array([["0"]])})
    parquet.write_table(lists, tmp_path / "lists.parquet")
    with pytest.raises(UsageError, match=r"lists\.parquet: row 2"):
        Table(tmp_path / "lists.parquet", narrow_space())
    (tmp_path / "t.csv.zst").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"t\.csv\.zst: cannot be read as a table"):
        Table(tmp_path / "t.csv.zst", narrow_space())
