"""The store of scores: its key field by field, its file, packs, and several processes at once."""

import json
import sqlite3
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import pandas as pd
import platformdirs
import pytest
import torch

import nas
from nas import cli, plugins
from nas.data.minibatch import minibatch
from nas.errors import UsageError
from nas.proxy import PROXIES
from nas.scoring.measurer import Measurer, Score
from nas.scoring.scorer import Scorer
from nas.space import make_space
from nas.store import packs as stored
from nas.store import store
from nas.store import versions as sources
from nas.store.store import Store

OPTIONS = {"data": "synthetic:classes=3,size=8", "batch_size": 12}
SETTINGS = {"nasbench201": {"widths": (4, 8), "repeats": 1}}
CELLS = ["|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|", "0", "7"]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "scores.sqlite"


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """What a test registers is gone after it."""
    for name in ("_plugins", "_origins"):
        monkeypatch.setattr(PROXIES, name, dict(vars(PROXIES)[name]))


@pytest.fixture
def visits(monkeypatch):
    """The architectures that were really measured."""
    made = []
    original = Measurer.__call__

    def measure(self, arch, proxies):
        made.extend((arch, proxy.name) for proxy in proxies)
        return original(self, arch, proxies)

    monkeypatch.setattr(Measurer, "__call__", measure)
    return made


def score(file, **changes):
    given = OPTIONS | {"settings": SETTINGS, "store": file} | changes
    return nas.score("nasbench201", given.pop("archs", CELLS), given.pop("proxies", "gradsign"), **given)


# The key


def test_what_is_there_is_not_measured_again(file, visits):
    first = score(file)
    assert len(visits) == 3
    again = score(file)
    assert len(visits) == 3
    pd.testing.assert_frame_equal(first, again)
    assert (again["seconds"] > 0).all()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"precision": "float64"},
        {"batch_size": 16},
        {"data": "synthetic:classes=4,size=8"},
        {"data": "synthetic:classes=3,size=16"},
        {"settings": SETTINGS | {"nasbench201": {"widths": (4, 8), "repeats": 2}}},
        {"proxies": "grad_norm"},
        {"proxies": "gradalign_ii", "settings": SETTINGS | {"gradalign_ii": {"eps": 0.1}}},
        {"archs": ["100", "200", "300"]},
    ],
    ids=str,
)
def test_whatever_determines_a_score_keeps_it_apart(file, visits, change):
    score(file)
    score(file, proxies="gradalign_ii")
    before = len(visits)
    score(file, **change)
    assert len(visits) == before + 3
    score(file, **change)
    score(file)
    assert len(visits) == before + 3


def test_options_that_are_the_defaults_change_nothing(file, visits):
    score(file, proxies="gradalign_ii")
    score(file, proxies="GradAlign-II", settings=SETTINGS | {"gradalign_ii": {"eps": "1e-3"}})
    assert len(visits) == 3


def key_of(proxy="gradsign", settings=SETTINGS, seed=0, precision="float32", data="synthetic:classes=3,size=8"):
    space = make_space("nasbench201", settings)
    measurer = Measurer(space, minibatch(data, 12, 0), seed=seed, device="cpu", precision=precision)
    shelf = Store("unused").shelf("nasbench201", settings)(measurer)
    return json.loads(shelf.key(space.full(), PROXIES[proxy]))


def another_device(monkeypatch):
    monkeypatch.setattr(Measurer, "__init__", with_device(Measurer.__init__))


def with_device(original):
    def init(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.device = torch.device("cuda:1")

    return init


def another_text(name):
    """The source of a module that others import is another one."""

    def change(monkeypatch):
        known = sources._text
        monkeypatch.setattr(sources, "_known", type(sources._known)())
        monkeypatch.setattr(sources, "_text", lambda path: known(path) + b"#" * (path.name == name))

    return change


def another_root(name):
    """The source of the module that a plug-in is defined in is another one."""

    def change(monkeypatch):
        known = sources._read
        monkeypatch.setattr(sources, "_known", type(sources._known)())
        monkeypatch.setattr(sources, "_read", lambda path: known(path) + b"#" * (path.name == name))

    return change


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("seed", {"seed": 3}),
        ("precision", {"precision": "bfloat16"}),
        ("minibatch", {"data": "synthetic:classes=4,size=8"}),
        ("task", {"data": "synthetic:classes=4,size=8"}),
        ("space_options", {"settings": {}}),
        ("proxy", {"proxy": "naswot"}),
        ("device", another_device),
        ("engine", lambda monkeypatch: monkeypatch.setattr(store, "NUMBERS", store.NUMBERS + 1)),
        ("torch", lambda monkeypatch: monkeypatch.setattr(store, "torch_release", lambda: "1.13")),
        ("space_version", another_root("nasbench201.py")),
        ("space_version", another_text("_cell.py")),
        ("space_version", another_text("cells.py")),
        ("proxy_version", another_root("gradsign.py")),
    ],
)
def test_each_field_of_the_key(monkeypatch, field, change):
    before = key_of()
    if callable(change):
        change(monkeypatch)
        after = key_of()
    else:
        after = key_of(**change)
    assert set(before) == set(store.FIELDS)
    assert before[field] != after[field]
    same = {"proxy": {"proxy_version"}, "minibatch": {"task"}, "task": {"minibatch"}}.get(field, set())
    assert {name for name in before if before[name] != after[name]} <= {field} | same


def test_a_device_of_the_same_kind_is_the_same(monkeypatch):
    another_device(monkeypatch)
    assert key_of()["device"] == "cuda"


def test_a_module_that_does_not_matter_changes_nothing(monkeypatch):
    before = key_of()
    another_text("_genotype.py")(monkeypatch)
    another_root("darts.py")(monkeypatch)
    assert key_of() == before


PLUGIN = """
from nas.proxy import proxy
{imports}

@proxy("from_a_file")
def from_a_file(probe):
    return {value}
"""


def test_a_plug_in_file_is_run_again_when_it_changes_and_old_scores_are_not_found(file, tmp_path, visits):
    plugin = tmp_path / "mine.py"
    for value, measured in ((1.0, 3), (2.0, 6), (2.0, 6), (1.0, 6)):
        plugin.write_text(PLUGIN.format(imports="", value=value))
        assert score(file, proxies="from_a_file", plugin=[plugin])["value"].tolist() == [value] * 3
        assert len(visits) == measured


def test_what_a_plug_in_file_imports_from_beside_it_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    plugin, beside = tmp_path / "mine_too.py", tmp_path / "beside_mine.py"
    text = PLUGIN.format(imports="import beside_mine, json, torch", value="beside_mine.VALUE")
    plugin.write_text(text.replace("from_a_file", "from_beside"))
    beside.write_text("VALUE = 1")
    plugins.load([plugin])
    versions = []
    for text in ("VALUE = 1", "VALUE = 2"):
        beside.write_text(text)
        sources._text.cache_clear()  # as in a new process
        versions.append(sources._digest(sys.modules["nas_plugin_mine_too"]))
    assert versions[0] != versions[1]


def test_what_has_no_source_is_not_kept(file, visits):
    typed = PLUGIN.format(imports="", value=1.0).replace("from_a_file", "typed_in")
    exec(compile(typed, "<typed in>", "exec"), {"__name__": "nowhere"})
    score(file, proxies="typed_in")
    score(file, proxies="typed_in")
    assert len(visits) == 6


NETWORK = """
from torch import nn

def small(classes, channels):
    return nn.Sequential(nn.Conv2d(channels, {width}, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear({width}, classes))
"""


def test_the_file_of_a_users_network_counts(file, tmp_path, visits):
    networks = tmp_path / "own_networks.py"
    for width, measured in ((4, 1), (8, 2), (8, 2), (4, 2)):
        networks.write_text(NETWORK.format(width=width))
        found = nas.score("networks", [f"{networks}:small"], "params", store=file, **OPTIONS)
        assert found["value"].tolist() == [27 * width + width + 3 * width + 3]
        assert len(visits) == measured


def test_the_version_of_an_installed_package_counts(monkeypatch):
    package = type(sys)("some_models")
    package.__path__, package.__version__ = [], "1.2"
    assert sources.version(package) == "some_models 1.2"


# Runs


def test_a_search_by_another_searcher_finds_what_a_search_has_scored(file, tmp_path, visits):
    given = OPTIONS | {"settings": SETTINGS, "store": file}
    first = nas.search("nasbench201", "gradsign", "random_search", 30, **given)
    assert first.attrs["stored"] == 0
    measured = len(visits)
    again = nas.search("nasbench201", "gradsign", "random_search", 30, run_folder=tmp_path / "run", **given)
    assert len(visits) == measured
    assert again.attrs["stored"] == measured == 30 - again["cached"].sum()
    pd.testing.assert_frame_equal(first, again)
    other = nas.search("nasbench201", "gradsign", "local_search", 30, seed=0, **given)
    assert other.attrs["stored"] + len(visits) - measured == 30 - other["cached"].sum()


def test_a_comparison_finds_what_a_search_has_scored(monkeypatch, file, tmp_path, visits):
    monkeypatch.setattr("nas.calls.compare.peak_memories", lambda *arguments: {})  # which visits once more
    given = OPTIONS | {"settings": SETTINGS, "store": file}
    trials = nas.search("nasbench201", "gradsign", "random_search", 12, **given).drop_duplicates("arch")
    trials.assign(accuracy=range(len(trials)))[["arch", "accuracy"]].to_csv(tmp_path / "table.csv", index=False)
    visits.clear()
    found = nas.compare("nasbench201", tmp_path / "table.csv", "accuracy", "gradsign", **given)
    assert {name for _, name in visits} == {"params", "flops", "depth"}
    values = found.scores[found.scores["proxy"] == "gradsign"].set_index("arch")
    assert values["value"].to_dict() == trials.set_index("arch")["score"].to_dict()
    cost = found.correlations.set_index("proxy").loc["gradsign", "ms_per_arch"]
    assert cost.iloc[0] == pytest.approx(1000 * values["seconds"].mean(), abs=2e-3)


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


KEY = store.as_text({name: kind() for name, kind in store.FIELDS.items()} | {"space": "nasbench201", "proxy": "params"})


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


# The file


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


# Several processes


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
        cwd=Path(__file__).parent.parent,
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


# Packs, counts, pruning


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
        ([GOOD, (KEY, None, 1.0, "ok", "", 0.5)], "a text in it is none"),
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
    monkeypatch.setattr(store, "NUMBERS", 0)
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


def test_a_scorer_without_a_shelf_says_nothing_of_one():
    scorer = Scorer(make_space("nasbench201", SETTINGS), minibatch("synthetic:classes=3,size=8", 12, 0))
    assert scorer.shelf is None
