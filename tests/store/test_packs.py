"""Packs, counts and pruning."""

import sqlite3
import sys
import warnings

import pandas as pd
import pytest
from stores import KEY, score

from nas import cli
from nas.errors import UsageError
from nas.scoring.measurer import Score
from nas.store import packs as stored
from nas.store import store
from nas.store.store import Store


def test_packs_bring_scores_from_one_store_to_another(file, tmp_path, visits):
    score(file, proxies="gradsign,params")
    score(file, seed=1)
    assert stored.export(tmp_path / "all.parquet", path=file) == 9
    assert stored.export(tmp_path / "some.parquet", space="NASBench201", proxy="Params", path=file) == 3
    other = tmp_path / "other.sqlite"
    score(other)
    assert stored.import_pack(tmp_path / "all.parquet", other) == (9, 6)
    assert stored.import_pack(tmp_path / "all.parquet", other) == (9, 0)
    visits.clear()
    pd.testing.assert_frame_equal(score(other, seed=1), score(file, seed=1))
    assert not visits


@pytest.mark.parametrize("name", ["scores.sqlite", "table.parquet", "cut.parquet", "notes.txt"])
def test_an_export_replaces_nothing_but_a_pack(file, tmp_path, name):
    score(file)
    pd.DataFrame({"arch": ["0"]}).to_parquet(tmp_path / "table.parquet")
    pack_of(tmp_path / "cut.parquet", [GOOD])
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-20])
    (tmp_path / "notes.txt").write_text("")
    target = file if name == "scores.sqlite" else tmp_path / name
    before = target.read_bytes()
    with pytest.raises(UsageError, match="is no pack of scores, and is left as it is"):
        stored.export(target, path=file)
    assert target.read_bytes() == before
    pack = tmp_path / "pack.parquet"
    assert stored.export(pack, path=file) == stored.export(pack, path=file) == stored.import_pack(pack, file).scores


def test_an_import_never_replaces(tmp_path):
    for name, value in (("a", 1.0), ("b", 2.0)):
        with Store(tmp_path / name) as opened:
            opened.put(KEY, "x", Score(value))
    stored.export(tmp_path / "b.parquet", path=tmp_path / "b")
    assert stored.import_pack(tmp_path / "b.parquet", tmp_path / "a") == (1, 0)
    with Store(tmp_path / "a") as opened:
        assert opened.find(KEY, "x") == Score(1.0)


def pack_of(path, rows, mark=True):
    import pyarrow as pa
    from pyarrow import parquet

    columns = dict(zip(stored.COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table(columns)
    parquet.write_table(table.replace_schema_metadata({stored.MARK: stored.PACK} if mark else None), path)


GOOD = (KEY, "x", 1.0, "ok", "", 0.5)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([GOOD, GOOD], "names a score twice"),
        ([GOOD, (KEY, "y", None, "ok", "", 0.5)], "'ok' with value None is no score"),
        ([GOOD, (KEY, "y", float("nan"), "ok", "", 0.5)], "'ok' with value nan is no score"),
        ([GOOD, (KEY, "y", 1.0, "failed", "why", 0.5)], "'failed' with value 1.0 is no score"),
        ([GOOD, (KEY, "y", 1.0, "timeout", "", 0.5)], "'timeout' with value 1.0 is no score"),
        ([GOOD, (KEY, "y", 1.0, "ok", "", -1.0)], "is no score"),
        ([GOOD, (KEY, "\x1b[2J", 1.0, "ok", "", 0.5)], "control characters"),
        ([GOOD, (KEY, None, 1.0, "ok", "", 0.5)], "a text in it is not one"),
        ([GOOD, ("{}", "y", 1.0, "ok", "", 0.5)], "does not say what a score depends on"),
        ([GOOD, (f" {KEY}", "y", 1.0, "ok", "", 0.5)], "does not say what a score depends on"),
        ([GOOD, ("[" * 90_000, "y", 1.0, "ok", "", 0.5)], "recursion"),
        ([GOOD, (KEY, "y" * 100_001, 1.0, "ok", "", 0.5)], "too long"),
    ],
)
def test_a_damaged_pack_changes_nothing(file, tmp_path, rows, sentence):
    pack_of(tmp_path / "bad.parquet", rows)
    with pytest.raises(UsageError, match=f"bad.parquet is damaged.*{sentence}"):
        stored.import_pack(tmp_path / "bad.parquet", file)
    assert stored.info(file).empty


def test_what_is_no_pack_is_refused(file, tmp_path):
    pack_of(tmp_path / "foreign.parquet", [GOOD], mark=False)
    (tmp_path / "text.parquet").write_text("no Parquet")
    pack_of(tmp_path / "cut.parquet", [GOOD])
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-20])
    for name, sentence in (("foreign", "no pack of scores"), ("text", "is damaged"), ("cut", "is damaged")):
        with pytest.raises(UsageError, match=sentence):
            stored.import_pack(tmp_path / f"{name}.parquet", file)
    with pytest.raises(UsageError, match=r"pack .*nowhere\.parquet does not exist"):
        stored.import_pack(tmp_path / "nowhere.parquet", file)


def test_info_counts(file):
    score(file, proxies="gradsign,params", seeds=2)
    found = stored.info(file)
    assert found[["space", "proxy", "settings", "scores", "failed"]].to_numpy().tolist() == [
        ["nasbench201", "gradsign", 2, 6, 0], ["nasbench201", "params", 2, 6, 0],
    ]  # fmt: skip
    assert found.attrs["bytes"] == file.stat().st_size
    with pytest.raises(UsageError, match="there is no store at"):
        stored.info(file.with_name("nowhere"))
    with pytest.raises(UsageError, match="--store none names no store"):
        stored.info("none")


def test_prune(file, monkeypatch):
    score(file, proxies="gradsign,params")
    monkeypatch.setattr(store, "ENGINE_VERSION", 0)
    score(file, seed=1)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="nothing says what to delete"):
        stored.prune(path=file)
    with pytest.raises(UsageError, match=r"unknown proxy in the store 'gradsing'.*did you mean 'gradsign'"):
        stored.prune(proxy="gradsing", path=file)
    with pytest.raises(UsageError, match=r"number of days from 0 to 100,000, not -1"):
        stored.prune(unused=-1, path=file)
    assert stored.prune(unused=1, path=file) == 0
    assert stored.prune(stale=True, path=file) == 3
    assert stored.prune(proxy="params", path=file) == 3
    assert stored.prune(unused=0, space="nasbench201", path=file) == 3
    assert stored.info(file).empty


def test_the_day_of_use_is_that_of_the_last_run_that_found_something(file, monkeypatch):
    score(file)
    with sqlite3.connect(file) as database:
        database.execute("UPDATE contexts SET used = '2020-01-01'")
    database.close()
    score(file)
    assert stored.prune(unused=100, path=file) == 0


def test_what_is_put_while_its_setting_is_pruned_is_kept_under_a_setting_of_its_own(file):
    with Store(file) as opened:
        opened.put(KEY, "x", Score(1.0))
        assert stored.prune(proxy="params", path=file) == 1
        with Store(file) as second:
            second.put(KEY.replace("params", "other"), "x", Score(3.0))
        assert opened.find(KEY, "x") is None
        opened.put(KEY, "y", Score(2.0))
    with Store(file) as opened:
        assert [opened.find(KEY, arch) for arch in "xy"] == [None, Score(2.0)]


def test_the_command_line(file, tmp_path, monkeypatch, capsys):
    score(file)

    def said(*arguments, code=0):
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which the command line replaces
        monkeypatch.setattr(sys, "argv", ["nas", "store", *map(str, arguments)])
        with pytest.raises(SystemExit, match=str(code)):
            cli.main()
        return " ".join("".join(capsys.readouterr()).split())

    pack, other = tmp_path / "pack.parquet", tmp_path / "other"
    assert said("info", "--store", file).endswith(f"3 scores, 0.0 MB in {file}")
    assert said("export", pack, "--store", file) == f"3 scores in {pack}"
    assert said("import", pack, "--store", other) == f"3 scores in {pack}, 3 of them new"
    assert said("prune", "--proxy", "gradsign", "--store", other) == "3 scores deleted"
    assert said("prune", "--store", other, code=2).startswith("nas: nothing says what to delete")
