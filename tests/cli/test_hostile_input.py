"""What the command line answers to hostile input: one short line."""

import sys
import warnings

import pytest

from nas import cli


@pytest.fixture
def refused_line(monkeypatch, capsys):
    """What the command line says of arguments that it refuses."""

    def run(*arguments):
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which the command line replaces
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
        with pytest.raises(SystemExit, match="2"):
            cli.main()
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        return said.err

    return run


def test_a_long_text_is_answered_with_a_short_line(refused_line):
    assert len(refused_line("show", "x" * 100_000)) < 2100


@pytest.mark.parametrize(
    "text",
    ["budget: [1, 2]", "budget: {a: 1}", "set: 5", "set: {evolution: 5}", "set: [a]", "space: 2001-01-01", "1: 2",
     "constraint: [[1]]", "plugin: {a: b}", "data: null\nbudget: x", "seed: -1", "set: {evolution: {population: .nan}}",
     "budget: 1e3"],
)  # fmt: skip
def test_a_config_of_another_kind_is_one_line(tmp_path, refused_line, text):
    (tmp_path / "bad.yaml").write_text(text)
    assert refused_line("search", "--config", tmp_path / "bad.yaml", "--run", tmp_path / "run")
