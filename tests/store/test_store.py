"""The store's file: what is found again, what is no store, and several processes at once."""

import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import platformdirs
import pytest
from cases import ROOT
from stores import KEY, OPTIONS, SETTINGS, score

import nas
from nas.errors import UsageError
from nas.scoring.measurer import Score
from nas.space import make_space
from nas.store import store
from nas.store.store import Store


def test_a_search_by_another_searcher_finds_what_a_search_has_scored(file, tmp_path, visits):
    given = OPTIONS | {"settings": SETTINGS, "store": file}
    first = nas.search("nasbench201", "gradsign", "random_search", 30, **given)
    assert first.stored == 0
    measured = len(visits)
    again = nas.search("nasbench201", "gradsign", "random_search", 30, run_folder=tmp_path / "run", **given)
    assert len(visits) == measured
    assert again.stored == measured == 30 - again.trials["cached"].sum()
    pd.testing.assert_frame_equal(first.trials, again.trials)
    other = nas.search("nasbench201", "gradsign", "local_search", 30, seed=0, **given)
    assert other.stored + len(visits) - measured == 30 - other.trials["cached"].sum()


def test_a_comparison_finds_what_a_search_has_scored(monkeypatch, file, tmp_path, visits):
    monkeypatch.setattr("nas.calls.compare.peak_memories", lambda *arguments: {})  # which visits once more
    given = OPTIONS | {"settings": SETTINGS, "store": file}
    trials = nas.search("nasbench201", "gradsign", "random_search", 12, **given).trials.drop_duplicates("arch")
    trials.assign(accuracy=range(len(trials)))[["arch", "accuracy"]].to_csv(tmp_path / "table.csv", index=False)
    visits.clear()
    found = nas.compare("nasbench201", tmp_path / "table.csv", "accuracy", "gradsign", **given)
    assert {name for _, name in visits} == {"params", "flops", "depth"}
    values = found.scores[found.scores["proxy"] == "gradsign"].set_index("arch")
    assert values["value"].to_dict() == trials.set_index("arch")["score"].to_dict()
    cost = found.correlations.set_index("proxy").loc["gradsign", "ms_per_arch"]
    assert cost == pytest.approx(1000 * values["seconds"].mean(), abs=2e-3)


def test_failures_of_the_machine_are_not_kept(file):
    kept = [Score(1.0), Score(None, "failed", "ValueError: no number"), Score(None, "saturated", "full")]
    lost = [
        Score(None, "timeout", "took longer than 5 s"),
        Score(None, "lost", "its worker died"),
        Score(None, "failed", "MemoryError: no message"),
        Score(None, "failed", "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
        Score(None, "failed", "RuntimeError: [enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate"),
        Score(None, "failed", "OSError: [Errno 28] No space left on device"),
    ]
    with Store(file) as opened:
        for number, outcome in enumerate(kept + lost):
            opened.put(KEY, str(number), outcome)
    with Store(file) as opened:
        assert [opened.find(KEY, str(number)) for number in range(9)] == kept + [None] * 6


def test_a_score_that_is_there_stays(file):
    with Store(file) as opened:
        opened.put(KEY, "a", Score(1.0, seconds=0.25))
    with Store(file) as opened:
        opened.put(KEY, "a", Score(2.0))
    with Store(file) as opened:
        assert opened.find(KEY, "a") == Score(1.0, seconds=0.25)


def test_the_store_is_in_the_users_cache(monkeypatch):
    monkeypatch.delenv("NAS_STORE")
    assert Store().path == Path(platformdirs.user_cache_dir("gradalign-nas")) / "scores.sqlite"
    monkeypatch.setenv("NAS_STORE", "~/elsewhere.sqlite")
    assert Store().path == Path("~/elsewhere.sqlite").expanduser()
    monkeypatch.setenv("NAS_STORE", "none")
    assert Store().path is None
    assert Store("other").path == Path("other")


def test_without_a_store_all_is_measured(tmp_path, monkeypatch, visits):
    monkeypatch.chdir(tmp_path)
    score("none")
    score("none")
    assert len(visits) == 6
    assert not list(tmp_path.iterdir())


def garbage(file):
    file.write_bytes(b"not a database, but a text of some length" * 100)


def foreign(file):
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE holidays (place)")
    database.close()


def newer(file):
    with Store(file) as opened:
        opened.put(KEY, "a", Score(1.0))
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()


def cut_off(file):
    with Store(file) as opened:
        for number in range(2000):
            opened.put(KEY, f"{number}", Score(1.0))
    file.write_bytes(file.read_bytes()[:-8192])


def overwritten(file):
    cut_off(file)
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * len(content[4096:])
    file.write_bytes(content)


def with_a_view(file):
    with Store(file):
        pass
    with sqlite3.connect(file) as database:
        database.execute("DROP TABLE scores")
        database.execute(
            "CREATE VIEW scores AS WITH RECURSIVE n (context) AS (SELECT 1 UNION ALL SELECT context + 1 FROM n) "
            "SELECT context, '' AS arch, 1 AS value, 'ok' AS status, '' AS reason, 1 AS seconds FROM n"
        )
    database.close()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (garbage, "is no store of scores"),
        (foreign, "is no store of scores"),
        (newer, "is of format 2, newer than 1"),
        (cut_off, "cannot be used: .*(malformed|damaged)"),
        (overwritten, "cannot be used: .*(malformed|damaged)"),
        (with_a_view, "has other tables than a store"),
        (Path.mkdir, "cannot be used: .*Is a directory"),
    ],
)
def test_what_is_no_store_is_refused_and_left_alone(file, make, sentence):
    make(file)
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(UsageError, match=f"{sentence}.*--store FILE, or --store none") as refused:
        score(file)
    assert "\n" not in str(refused.value)
    assert (file.read_bytes() if file.is_file() else None) == before


def test_a_place_where_nothing_can_be_written_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be used: .*/file: File exists: .*--store none"):
        (tmp_path / "file").touch() or score(tmp_path / "file" / "scores.sqlite")


def test_a_store_that_fails_in_mid_run_says_so_once_and_the_run_goes_on(file, visits, monkeypatch):
    score(file)

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "context_id", full)
    with pytest.warns(UserWarning, match=r"the store .*scores.sqlite failed \(database or disk is full\)") as told:
        found = score(file, seeds=3)
    assert len(told) == 1
    assert len(found) == 9
    assert found["value"].notna().all()


@pytest.mark.long
def test_on_the_command_line_a_failing_store_is_one_line(file, tmp_path):
    code = f"""
        import resource, signal, sys
        from nas import cli
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        sys.argv = ["nas", "score", "--store", {str(file)!r}, "--data", "synthetic:classes=3,size=8", "--batch-size",
                    "12", "--proxies", "params", "--set", "nasbench201.widths=4", "--set", "nasbench201.repeats=1",
                    *map(str, range(600))]
        cli.main()
    """
    done = run_python(code)
    assert done.returncode == 0
    assert "params" in done.stdout
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"nas: the store {file} failed (")


def test_rows_of_another_form_are_not_found(file):
    with Store(file) as opened:
        opened.put(KEY, "a", Score(1.0))
    with sqlite3.connect(file) as database:
        database.execute("UPDATE scores SET value = 'much'")
    database.close()
    with Store(file) as opened:
        assert opened.find(KEY, "a") is None


def test_a_score_takes_less_than_300_bytes(file):
    space = make_space("nasbench201", {})
    with Store(file) as opened:
        for number, arch in zip(range(5000), space, strict=False):
            opened.put(KEY, space.text(arch), Score(number / 7, seconds=number / 1e5))
    assert file.stat().st_size / 5000 < 300


WRITER = """
    import sys, time
    from nas.scoring.measurer import Score
    from nas.store.store import Store

    end = time.monotonic() + {seconds}
    with Store({file!r}) as opened:
        count = 0
        while time.monotonic() < end:
            opened.put({key!r}, f"{worker}-{{count}}", Score(float(count)))
            opened.put({key!r}, f"shared-{{count}}", Score(float(count)))
            count += 1
            time.sleep(0.0002)
    print(count)
"""


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False,
        cwd=ROOT,
    )  # fmt: skip


def test_processes_that_write_at_once_lose_nothing(file):
    code = [
        textwrap.dedent(WRITER.format(seconds=2, file=str(file), key=KEY, worker=worker).replace("{{", "{"))
        for worker in range(3)
    ]
    started = [subprocess.Popen([sys.executable, "-c", each], stdout=subprocess.PIPE, text=True) for each in code]
    counts = [int(process.communicate()[0]) for process in started]
    assert all(process.returncode == 0 for process in started)
    with Store(file) as opened:
        for worker, count in enumerate(counts):
            assert count > 100
            assert all(opened.find(KEY, f"{worker}-{n}") == Score(float(n)) for n in range(count))
        assert all(opened.find(KEY, f"shared-{n}") == Score(float(n)) for n in range(max(counts)))


def test_a_killed_process_leaves_a_whole_store(file):
    code = textwrap.dedent(WRITER.format(seconds=60, file=str(file), key=KEY, worker=0))
    process = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 60
    while not (file.exists() and file.stat().st_size > 4096) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)
    process.kill()
    process.wait()
    with Store(file) as opened:
        assert opened.find(KEY, "0-0") == Score(0.0)
        opened.put(KEY, "after", Score(5.0))
    with Store(file) as opened:
        assert opened.find(KEY, "after") == Score(5.0)
