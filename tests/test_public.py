"""What docs/public.md calls public is what there is, both ways: names, arguments, commands, columns, exit codes."""

import inspect
import json
import re
import signal
import sys
from importlib import import_module
from random import Random

import pandas as pd
import pytest
import yaml
from cases import ROOT
from typer.main import get_command

import nas
from nas import cli
from nas.calls.options import OPTIONS
from nas.runs.folder import CONFIG, DERIVED, RECORDS
from nas.runs.loop import Trial
from nas.scoring.rows import SCORES
from nas.testing import narrow_space
from nas.training.loop import Epoch
from nas.training.table import COLUMNS

PAGE = (ROOT / "docs" / "public.md").read_text(encoding="utf-8")
ADVICE = (
    "docs/public.md says what is public: change it there too, and add an entry to CHANGELOG.md that names what was "
    "added, renamed or taken away"
)


def rows(heading):
    """The rows of the table under a heading: the first cell's name -> the names in the second cell."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): re.findall(r"`([^`]+)`", row[1]) for row in cells}


def members(thing):
    """The public attributes and methods of a class."""
    stated = {name for kind in inspect.getmro(thing) for name in vars(kind).get("__annotations__", {})}
    return sorted(name for name in {*dir(thing), *stated} if not name.startswith("_"))


def arguments(call):
    """The names of a call's arguments, those of a setup as one."""
    parameters = inspect.signature(call).parameters.values()
    return [p.name if p.kind is not p.VAR_KEYWORD else "**options" for p in parameters]


def test_the_calls():
    calls = {name: arguments(getattr(nas, name)) for name in nas.__all__ if not inspect.isclass(getattr(nas, name))}
    assert rows("Calls") == {f"nas.{name}": names for name, names in calls.items()}, ADVICE
    assert rows("Options of calls") == {"**options": sorted(OPTIONS)}, ADVICE


def test_the_classes():
    listed = rows("Classes")
    names = {f"nas.{name}" for name in nas.__all__ if inspect.isclass(getattr(nas, name))}
    assert names | {"nas.space.Space", "nas.probe.Probe"} == set(listed), ADVICE
    for path, given in listed.items():
        module, _, name = path.rpartition(".")
        kind = getattr(import_module(module), name)
        found = {*members(kind), *(("inputs", "labels", "mixed", "seed") if name == "Probe" else ())}
        inherited = set(members(ValueError)) if issubclass(kind, Exception) else set()
        assert given == sorted(found - inherited), f"{path}: {ADVICE}"


def test_the_modules():
    listed = rows("Modules")
    lobby = {f"nas.{name}" for name in nas.LOBBY}
    assert lobby | {"nas.testing", "nas.data.sources", "spaces.cells"} <= set(listed), ADVICE
    assert {f"nas.{name}" for name in nas.BRIDGES} <= set(listed), ADVICE
    for name, given in listed.items():
        module = getattr(nas, name[4:]) if name[4:] in nas.BRIDGES else import_module(name)
        assert given == sorted(module.__all__), f"{name}: {ADVICE}"
        assert all(hasattr(module, public) for public in given), name


def test_plugins_use_what_is_public():
    for folder in ("spaces", "proxies", "searchers"):
        for file in (ROOT / folder).glob("*.py"):
            for module, names in re.findall(r"^\s*from (nas\.\w+) import ([^(\n]+)", file.read_text(), re.MULTILINE):
                strangers = {name.strip() for name in names.split(",")} - set(import_module(module).__all__)
                assert not strangers, f"{file.name} imports {strangers} from {module}, which are not public"


def test_the_commands():
    def options(command):
        names = {name for p in command.params for name in p.opts if name.startswith("-")}
        return sorted(names) + [
            p.name.removesuffix("_given").upper() for p in command.params if p.param_type_name == "argument"
        ]

    def walk(group, before):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, f"{before} {name}")
            else:
                yield f"{before} {name}", options(command)

    group = get_command(cli.app)
    listed = rows("Commands")
    assert listed == dict(walk(group, "nas")), ADVICE


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with one run of each kind."""
    place = tmp_path_factory.mktemp("runs")
    space, rng = narrow_space(), Random(0)
    archs = list({space.text(space.sample(rng)): None for _ in range(12)})
    table = pd.DataFrame({"arch": archs, "accuracy": [float(len(a)) for a in archs], "group": ["a", "b"] * 6})
    table.to_csv(place / "given.csv", index=False)
    settings = {"nasbench201": {"widths": (4, 8), "repeats": 1}}
    setup = {"data": "synthetic:size=8,classes=3", "batch_size": 6, "settings": settings}
    scored = setup | {"table": place / "given.csv", "target": "accuracy", "store": "none"}
    untold = setup | {"store": "none"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.report.page.inline_svg", lambda chart, prefix: f"<svg id='{prefix}'/>")
        many = untold | {"settings": settings | {"nsga2": {"population": 4}}}
        nas.search("nasbench201", "naswot", "nsga2", 6, minimise="latency", run_folder=place / "many", **many)
        one = scored | {"run_folder": place / "one", "evaluate": 2, "baseline": True}
        nas.search("nasbench201", "naswot+depth", "random_search", 8, **one)
        nas.compare("nasbench201", proxies="naswot,depth", within="group", run_folder=place / "compare", **scored)
        nas.train("nasbench201", archs[:1], epochs=1, out=place / "train", **setup)
    return place


def columns(file):
    """The columns or keys of a file, in the words of the page."""
    match file.suffix:
        case ".csv":
            names = list(pd.read_csv(file, nrows=0))
        case ".jsonl":
            names = list(dict.fromkeys(key for line in file.read_text().splitlines() for key in json.loads(line)))
        case ".yaml":
            names = list(yaml.safe_load(file.read_text()))
        case _:
            return None
    named = {"naswot": "PROXY", "depth": "PROXY", "latency": "PROXY", "accuracy": "TARGET", "group": "COLUMN"}
    if file.name in ("machine.jsonl", "evaluations.csv", "best.yaml", "front.csv", "targets.csv"):
        names = [re.sub("|".join(named), lambda found: named[found[0]], name) for name in names]
    return list(dict.fromkeys(names))


def test_the_columns_that_the_code_states():
    listed = rows("Files of a run folder")
    assert {*RECORDS, *DERIVED, CONFIG} <= set(listed), ADVICE
    stated = {"scores.csv": SCORES, "table.csv": COLUMNS, "trials.jsonl": Trial._fields, "history.csv": Epoch._fields}
    for name, columns in stated.items():
        assert set(listed[name]) == set(columns), f"{name}: {ADVICE}"


@pytest.mark.long
def test_the_files_of_a_run(runs):
    listed = rows("Files of a run folder")
    files = [file for file in runs.glob("*/**/*") if file.is_file() and file.name != ".lock"]
    assert {file.name for file in files} == set(listed), ADVICE
    seen = {name: set() for name in listed}
    for file in files:
        if (names := columns(file)) is not None:
            strangers = set(names) - set(listed[file.name])
            assert not strangers, f"{file.name} has {strangers}: {ADVICE}"
            seen[file.name] |= set(names)
    missing = {name: set(listed[name]) - seen[name] for name in listed if set(listed[name]) - seen[name]}
    assert not missing, f"no run wrote {missing}: {ADVICE}"


def test_the_exit_codes(monkeypatch):
    def ended_by(kind):
        default = signal.default_int_handler if kind == signal.SIGINT else signal.SIG_DFL
        before = signal.signal(kind, default)  # a library, as Ray, may have taken it meanwhile
        monkeypatch.setattr(cli, "app", lambda *_, **__: signal.raise_signal(kind))
        try:
            with pytest.raises(SystemExit) as end:
                cli.main()
        finally:
            signal.signal(kind, before)
        return str(end.value.code)

    monkeypatch.setattr(sys, "argv", ["nas", "list", "--nonsense"])
    with pytest.raises(SystemExit) as wrong:
        cli.main()
    monkeypatch.setattr(cli, "app", lambda *_, **__: None)
    with pytest.raises(SystemExit) as done:
        cli.main()
    ends = [str(done.value.code), str(wrong.value.code), *map(ended_by, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))]
    assert ends == list(rows("Exit codes")), ADVICE


def test_a_changed_face_asks_for_a_changelog_entry(monkeypatch):
    monkeypatch.setattr(nas, "__all__", [*nas.__all__, "LOBBY"])
    monkeypatch.setattr(nas, "LOBBY", lambda of: of)
    with pytest.raises(AssertionError, match=r"add an entry to CHANGELOG\.md"):
        test_the_calls()
