"""A store that is damaged, replaced, removed, locked, or of an earlier version: no wrong value, no lost run."""

import os
import shutil
import sqlite3
import warnings
from contextlib import closing, contextmanager
from random import Random

import pytest
from stores import KEY, score

from nas.errors import UsageError
from nas.scoring.measurer import Score
from nas.store import database, packs
from nas.store import store as module
from nas.store.store import Store

VERSION_0_1_0 = """
CREATE TABLE contexts (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, used TEXT NOT NULL);
CREATE TABLE scores (
    context INTEGER NOT NULL REFERENCES contexts (id) ON DELETE CASCADE, arch TEXT NOT NULL,
    value REAL, status TEXT NOT NULL, reason TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (context, arch)
) WITHOUT ROWID;
"""
"""The tables as version 0.1.0 made them."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Each score is written when it is put."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", -1.0)
    monkeypatch.setattr(module, "PAUSE_RATIO", 0)


def value(number):
    return Score(number / 7, seconds=0.25)


def fill(file, count=100, add=0.0):
    with Store(file) as store:
        for number in range(count):
            store.put(KEY, f"|arch~{number}|", Score(number / 7 + add, seconds=0.25))


def kept(file, count):
    """How many of the scores are in a store, as they were put."""
    with Store(file) as store:
        return sum(store.find(KEY, f"|arch~{number}|") == value(number) for number in range(count))


def test_a_flipped_bit_gives_no_other_value(file, tmp_path):
    """At 150 places; the store is refused, or the score is not found and is measured again."""
    fill(file)
    whole, rng = file.read_bytes(), Random(0)
    found = refused = 0
    for _ in range(150):
        content = bytearray(whole)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        flipped = tmp_path / "flipped"
        flipped.write_bytes(content)
        with warnings.catch_warnings(action="ignore"):
            try:
                with Store(flipped) as store:
                    for number in range(100):
                        score = store.find(KEY, f"|arch~{number}|")
                        assert score in (None, value(number))
                        found += score is not None
                    assert store.find(KEY.replace("params", "pasams"), "|arch~3|") is None
            except UsageError:
                refused += 1
    assert found > 100 * 100
    assert refused < 50


def test_a_damaged_score_is_said_and_replaced(file):
    fill(file)
    with closing(sqlite3.connect(file)) as opened, opened:
        opened.execute("UPDATE scores SET value = 99 WHERE arch = '|arch~5|'")

    def measure_again():
        with Store(file) as store:
            assert store.find(KEY, "|arch~5|") is None
            store.put(KEY, "|arch~5|", value(5))

    with pytest.warns(UserWarning, match="holds scores that are damaged, by their checksums: they are measured again"):
        measure_again()
    assert kept(file, 100) == 100


def stranger(file):
    """Another store, with other values for the same."""
    shutil.copy(file, file.with_name("before"))
    fill(file.with_name("stranger"), add=1.0)


DISTURBANCES = {
    "unlinked": lambda file: file.unlink(),
    "renamed": lambda file: file.rename(file.with_name("elsewhere")),
    "replaced by an earlier copy": lambda file: os.replace(file.with_name("before"), file),
    "an earlier copy written over it": lambda file: shutil.copy(file.with_name("before"), file),
    "garbage": lambda file: file.write_bytes(b"x" * 10_000),
    "emptied": lambda file: file.write_bytes(b""),
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "gone with its folder": lambda file: shutil.rmtree(file.parent),
}
LOST = ("garbage", "a folder", "cut")
"""After these nothing can be kept there; the run goes on and says so."""


@pytest.mark.parametrize("kind", DISTURBANCES)
def test_a_store_that_is_disturbed_keeps_the_scores_of_the_run_or_says_that_it_does_not(tmp_path, kind):
    file = tmp_path / "inner" / "scores.sqlite"
    fill(file, 20)
    stranger(file)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with Store(file) as store:
            for number in range(20, 40):
                store.put(KEY, f"|arch~{number}|", value(number))
            DISTURBANCES[kind](file)
            for number in range(40, 60):
                assert store.find(KEY, f"|arch~{number}|") is None
                store.put(KEY, f"|arch~{number}|", value(number))
            for number in range(20, 60):
                assert store.find(KEY, f"|arch~{number}|") in (None, value(number))
    sentences = [str(warning.message) for warning in told]
    assert sentences, "nothing is said"
    assert all("\n" not in sentence for sentence in sentences)
    if kind in LOST:
        assert any("goes on without it" in sentence for sentence in sentences)
    else:
        assert any("the scores of this run go to what is there now" in sentence for sentence in sentences)
        with Store(file) as store:
            assert all(store.find(KEY, f"|arch~{number}|") == value(number) for number in range(20, 60))


def test_one_that_another_replaces_by_a_stranger_gives_no_score_twice(tmp_path):
    """What the other one holds is what is found from then on, but for the run's own scores."""
    file = tmp_path / "scores.sqlite"
    fill(file, 20)
    stranger(file)
    with warnings.catch_warnings(action="ignore"), Store(file) as store:
        store.put(KEY, "|arch~90|", value(90))
        os.replace(file.with_name("stranger"), file)
        store.put(KEY, "|arch~200|", value(200))
        assert store.find(KEY, "|arch~200|") == value(200)
    with Store(file) as store:
        assert store.find(KEY, "|arch~5|") == Score(5 / 7 + 1, seconds=0.25)
        assert store.find(KEY, "|arch~200|") == value(200)


@contextmanager
def held(file):
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other
        other.execute("ROLLBACK")


def test_one_that_is_locked_at_opening_is_gone_without(file, monkeypatch):
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.2)
    fill(file)

    def run():
        with held(file), Store(file) as store:
            store.put(KEY, "|arch~200|", value(200))
            assert store.find(KEY, "|arch~5|") is None

    with pytest.warns(UserWarning, match=r"cannot be used: database is locked.*: the run goes on without it"):
        run()
    assert kept(file, 100) == 100


def test_one_that_is_locked_for_a_while_gets_what_waited(file, monkeypatch):
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.2)
    fill(file)
    with Store(file) as store:
        with held(file):
            store.put(KEY, "|arch~100|", value(100))
            assert store.find(KEY, "|arch~5|") is None
            assert store.find(KEY, "|arch~100|") == value(100)
        store._busy = store._next = 0.0
        assert store.find(KEY, "|arch~5|") == value(5)
        store.put(KEY, "|arch~101|", value(101))
    assert kept(file, 102) == 102


def test_one_that_stays_locked_to_the_end_says_what_it_costs(file, monkeypatch):
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.2)
    fill(file)

    def run():
        with closing(sqlite3.connect(file, isolation_level=None)) as other, Store(file) as store:
            other.execute("BEGIN EXCLUSIVE")
            store.put(KEY, "|arch~100|", value(100))

    with pytest.warns(UserWarning, match="is in use by another process: 1 scores are not kept"):
        run()
    assert kept(file, 101) == 100


def of_version_0_1_0(file, journal):
    """A store as version 0.1.0 wrote it, with its write-ahead log."""
    with closing(sqlite3.connect(file, isolation_level=None)) as old:
        old.executescript(VERSION_0_1_0)
        old.execute(f"PRAGMA application_id = {database.APPLICATION}")
        old.execute(f"PRAGMA user_version = {database.FORMAT}")
        old.execute(f"PRAGMA journal_mode = {journal}")
        old.execute("INSERT INTO contexts (key, used) VALUES (?, '2026-11-20')", (KEY,))
        rows = [(1, f"|arch~{number}|", *value(number)) for number in range(100)]
        old.executemany("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?)", rows)
        yield old


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_one_of_version_0_1_0_is_read_and_gets_checksums(file, journal):
    """Its scores are believed, since nothing tells whether they are damaged; what is new has a checksum. Its log is
    folded into the file, also where another process has it open at first."""
    for _ in of_version_0_1_0(file, journal):
        assert kept(file, 100) == 100, "while another process has it open"
    with Store(file) as store:
        store.put(KEY, "|arch~100|", value(100))
    assert kept(file, 101) == 101
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name], "no log lies beside it"
    with closing(sqlite3.connect(file)) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        known = dict(opened.execute("SELECT arch, checksum FROM scores"))
    assert known["|arch~5|"] is None
    assert known["|arch~100|"] == database.checksum((KEY, "|arch~100|", *value(100)))
    frame = packs.info(file)
    assert frame["scores"].tolist() == [101]


def test_one_of_version_0_1_0_whose_log_is_left_behind_is_read_with_it(file, tmp_path):
    """As its process was killed: the log holds what the file does not."""
    for _ in of_version_0_1_0(file, "WAL"):
        for path in tmp_path.glob("scores.sqlite*"):
            shutil.copy(path, tmp_path / f"copy{path.name.removeprefix('scores')}")
    assert (tmp_path / "copy.sqlite-wal").stat().st_size > 0
    assert kept(tmp_path / "copy.sqlite", 100) == 100


@pytest.mark.parametrize("how", ["no home", "read-only", "a file in the way", "damaged"])
def test_the_default_store_never_stops_a_run(tmp_path, monkeypatch, how):
    """As in a container: no home and an unknown user, a cache that cannot be written, or one that is damaged."""
    monkeypatch.delenv("NAS_STORE")
    cache = tmp_path / "cache"
    monkeypatch.setattr(module.platformdirs, "user_cache_path", lambda name: cache)
    if how == "no home":
        monkeypatch.setattr(module.platformdirs, "user_cache_path", lambda name: module.Path("~/.cache") / name)
    elif how == "read-only":
        monkeypatch.setattr(module.Path, "mkdir", denied)
    elif how == "a file in the way":
        cache.write_text("mine")
    else:
        cache.mkdir()
        (cache / "scores.sqlite").write_bytes(b"x" * 1000)
    with pytest.warns(UserWarning, match=r"so scores are not kept: --store|the run goes on without it") as told:
        assert score(None)["status"].eq("ok").all()
    assert len(told) == 1
    if how == "damaged":
        assert (cache / "scores.sqlite").read_bytes() == b"x" * 1000


def denied(path, *args, **kwargs):
    raise PermissionError(13, "Permission denied", str(path))


def test_one_that_was_named_is_refused_all_the_same(tmp_path):
    (tmp_path / "s.sqlite").write_bytes(b"x" * 1000)
    with pytest.raises(UsageError, match="is no store of scores"):
        score(tmp_path / "s.sqlite")
