"""Every registered study from end to end on a tiny space, and its misuse."""

import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from studied import AUTOFORMER, DATA, SETTINGS, TINY, table_of

import nas
import nas.calls.study
from nas import cli
from nas.errors import UsageError
from nas.scoring import cost
from nas.space import SPACES
from nas.studies import (
    STUDIES,
    oriented,
)

ONE_BLOCK = {"depths": (1,), "mlp_ratios": (4.0,)}


@pytest.mark.parametrize("with_table", [False, True])
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_runs(name, with_table, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "ROUNDS", 1)
    if STUDIES[name].table and not with_table:
        with pytest.raises(UsageError, match="compares with trained accuracy: give a table with --table FILE"):
            nas.study(name)
        return
    space = "autoformer" if name == "transformers" else "nasbench201"
    settings = {key: SETTINGS[key] for key in SETTINGS if key in (name, space)} | {"autoformer": AUTOFORMER}
    given = {}
    if with_table:
        given["table"] = tmp_path / "t.csv"
        table_of(SPACES[space](**settings[space]), given["table"])
    proxies = "gradalign_i,naswot" if name == "scaling" else "gradalign_i,grad_condition,naswot,zen,params"
    found = nas.study(
        name, space, 4, proxies, data=DATA, batch_size=12, settings=settings,
        run_folder=tmp_path / "run", **given,
    )  # fmt: skip
    written = {path.name for path in (tmp_path / "run").iterdir()}
    expected = {f"{frame}.csv" for frame in found.frames} | {f"{figure}.svg" for figure in found.figures}
    assert written == expected | {"config.yaml", "findings.txt", "made.jsonl", "report.html", ".lock"}
    assert found.frames
    assert found.figures
    for label, frame in found.frames.items():
        assert len(frame), label
        read = pd.read_csv(tmp_path / "run" / f"{label}.csv")
        assert list(read) == list(frame)
    assert (tmp_path / "run" / "findings.txt").read_text().strip() == found.text
    assert "gradalign_i" in found.text
    if with_table and name not in ("perturbation", "scaling"):
        assert any("accuracy" in frame.to_csv() for frame in found.frames.values())


def test_a_column_without_a_number_is_no_target(tmp_path):
    space = SPACES["nasbench201"]()
    table_of(space, tmp_path / "t.csv")
    pd.read_csv(tmp_path / "t.csv").assign(empty=np.nan).to_csv(tmp_path / "t.csv", index=False)
    table = nas.data.table.Table(tmp_path / "t.csv", space)
    assert nas.calls.study._columns(table, []) == ["accuracy", "other"]
    with pytest.raises(UsageError, match="4 architectures cannot be compared: the table has a target for 0"):
        nas.calls.study.choose(space, 4, table, ["empty"], 0)


def test_a_study_repeats_itself(tmp_path):
    def run():
        return nas.study("seeds", archs=3, proxies="gradalign_i", data=DATA, batch_size=12, settings=SETTINGS).frames

    first, second = run(), run()
    for name, frame in first.items():
        pd.testing.assert_frame_equal(frame, second[name])


MISUSE = {
    "unknown study": ({"name": "sedes"}, "unknown study 'sedes': known are .*did you mean 'seeds'"),
    "unknown option": ({"settings": {"seeds": {"repeat": 3}}}, "unknown option of seeds 'repeat'.*'repeats'"),
    "bad option": ({"settings": {"seeds": {"repeats": 1}}}, "seeds.repeats is at least 2, not 1"),
    "one architecture": ({"archs": ["17"]}, "a study compares architectures: name two or more, not 1"),
    "no number": ({"archs": "many"}, "--archs takes a number from 2, and 'all' with a table, not 'many'"),
    "all without a table": ({"archs": "all"}, "--archs takes a number from 2, and 'all' with a table, not 'all'"),
    "too many": (
        {"space": "autoformer", "archs": 9, "settings": {"autoformer": AUTOFORMER | ONE_BLOCK}},
        "9 different networks were not found in the space, only 4: give a smaller --archs",
    ),
    "target without a table": ({"target": "accuracy"}, "--target accuracy names a column of a table"),
    "unknown proxy": ({"proxies": "naswott"}, "unknown proxy 'naswott'.*'naswot'"),
    "factors that coincide": (
        {"name": "scaling", "space": "autoformer", "settings": {"autoformer": AUTOFORMER}},
        "depths are distinct.*: give other factors with --set scaling.factors=1,2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISUSE)
def test_misuse_is_one_sentence(case):
    given, sentence = MISUSE[case]
    with pytest.raises(UsageError, match=sentence):
        nas.study(**{"name": "seeds", "archs": 3, "data": DATA, "batch_size": 12} | given)


def test_a_study_of_ones_own(tmp_path):
    (tmp_path / "my_study.py").write_text(
        "from nas.studies import Findings, study\n\n\n"
        "@study('sizes')\ndef sizes(material, *, times: int = 1):\n"
        "    return Findings({}, {}, f'{times} x {len(material.archs)} with {material.proxies[0].name}')\n"
    )
    found = nas.study(
        "sizes", archs=["17", "18"], plugin=tmp_path / "my_study.py", settings={"sizes": {"times": 3}}, data=DATA
    )
    assert found.text == "3 x 2 with gradalign_i"


def test_the_command_writes_its_folder_and_is_repeated_from_it(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    table_of(SPACES["nasbench201"](**TINY), tmp_path / "t.csv")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    tiny = ["--set", "nasbench201.widths=4,8", "--set", "nasbench201.repeats=1", "--data", DATA, "--batch-size", 12]
    arguments = [
        "study",
        "Seeds",
        "--table",
        "t.csv",
        "--target",
        "accuracy,other",
        "--archs",
        4,
        "--proxies",
        "naswot",
    ]
    code, out, err = call(*arguments, *tiny, "--set", "seeds.repeats=2")
    assert (code, err) == (0, "")
    assert "Median coefficient of variation over 2 of minibatch: naswot" in out
    (folder,) = (tmp_path / "runs").iterdir()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["study"], config["target"], config["set"]["seeds"]) == ("seeds", "accuracy,other", {"repeats": 2})
    before = (folder / "tau.csv").read_text()
    assert set(pd.read_csv(folder / "tau.csv")["target"]) == {"accuracy", "other"}
    (folder / "tau.csv").unlink()
    assert call("study", "seeds", "--config", folder / "config.yaml", "--run", folder)[0] == 0
    assert (folder / "tau.csv").read_text() == before
    code, out, _ = call("study", "seeds", 17, 18, "--proxies", "naswot", *tiny, "--run", "named")
    assert code == 0
    assert call("study", "seeds", "--config", "named/config.yaml", "--run", "named")[0] == 0
    assert len(pd.read_csv("named/scores.csv")["arch"].unique()) == 2
    assert "seeds" in call("list", "studies")[1]


def test_oriented_turns_round_what_is_better_when_smaller():
    frame = oriented(pd.DataFrame({"grad_condition": [3.0, None], "naswot": [1.0, 2.0], "effective_rank": [5.0, 6.0]}))
    assert frame.to_dict("list") == {
        "grad_condition": [-3.0, -np.inf], "naswot": [1.0, 2.0], "effective_rank": [5.0, 6.0]
    }  # fmt: skip
