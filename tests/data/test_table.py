"""Tables of trained accuracies."""

import pytest

from nas.data.table import OWN, Table
from nas.errors import UsageError
from nas.space import SPACES
from nas.testing import narrow_space


def test_tables(table):
    toy = narrow_space()
    first = Table(table, toy)
    second = Table(table.with_suffix(".parquet"), toy)
    assert first.archs == second.archs
    assert first.row(first.archs[3])["accuracy"] == 3.0
    assert "note" not in first.row(first.archs[3])
    twins = [(a, b) for b in first.archs for a in toy if a not in first.archs and toy.canonical(a) == toy.canonical(b)]
    assert twins
    assert all(first.row(a) == first.row(b) for a, b in twins)
    with pytest.raises(UsageError, match="did you mean 'accuracy'"):
        first.target("acuracy")
    with pytest.raises(UsageError, match="not numbers"):
        first.target("note")


def test_the_table_that_comes_with_the_toolkit(nas_data):
    """Its rows are those of the whole one; a file of the same name goes before it."""
    space = SPACES["nasbench201"]()
    table, whole = Table("nasbench201", space), Table(nas_data / "nasbench201.csv.gz", space)
    assert set(OWN) == {"nasbench201"}
    assert len(set(table.archs)) == 300
    for arch in table.archs:
        own, expected = table.row(arch), whole.row(arch)
        assert own == {name: round(expected[name], 4) for name in own}


def test_a_file_goes_before_a_table_that_comes_along(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nasbench201").mkdir()  # no folder does
    assert len(Table("nasbench201", SPACES["nasbench201"]()).archs) == 300
    (tmp_path / "nasbench201").rmdir()
    (tmp_path / "nasbench201").write_bytes(table.read_bytes())
    assert len(Table("nasbench201", narrow_space()).archs) == 30
