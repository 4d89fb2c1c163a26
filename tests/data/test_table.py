"""Tables of trained accuracies."""

import pytest

from nas.data.table import Table
from nas.errors import UsageError
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
