"""What the command line refuses: one sentence, and nothing is changed."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from arguments import CELL, SMALL
from PIL import Image


def files_below(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_class(folder):
    (folder / "photos" / "cats").mkdir(parents=True)
    for number in range(30):
        Image.new("RGB", (9, 9)).save(folder / "photos" / "cats" / f"{number}.png")


def prepare(folder):
    """Every broken file that a user may come with."""
    one_class(folder)
    (folder / "corrupt.npz").write_bytes(b"PK\x03\x04 and then nothing")
    (folder / "cut.yaml").write_text("space: nasbench201\nset: {evolution: {popul")
    (folder / "list.yaml").write_text("- a\n- b\n")
    (folder / "typo.yaml").write_text("spcae: nasbench201\n")
    (folder / "bad.csv").write_text("arch,accuracy\nconv-conv-conv,1\n0,2\n")
    (folder / "good.csv").write_text("arch,accuracy,note\n0,1,x\n1,2,y\n2,3,z\n")
    (folder / "noarch.csv").write_text("cell,accuracy\n0,1\n")
    (folder / "empty.csv").write_text("")
    (folder / "binary.parquet").write_bytes(b"not parquet")
    (folder / "broken.py").write_text("import nas\n1 / 0\n")
    (folder / "own.py").write_text("def net(classes): raise KeyError(1)\n")
    (folder / "exits.py").write_text("raise SystemExit(3)\n")
    (folder / "random.py").write_text(
        "from nas.proxy import proxy\n\n\n@proxy('random', larger_is_better=True)\ndef ours(probe):\n    return 1.0\n"
    )
    (folder / "odd.yaml").write_text("set: {evolution: 5}\n")
    open_slot = CELL.replace("skip_connect", "skip_connect/none")
    (folder / "open.csv").write_text(f"arch,accuracy\n{open_slot},1\n0,2\n")
    (folder / "twice.csv").write_text("arch,accuracy\n0,1\n1,2\n0,3\n")
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.tex").write_text("x")
    np.savez(folder / "flat.npz", images=np.zeros((8, 16), np.uint8), labels=np.arange(8))


COMPARE = ["compare", "--space", "nasbench201", "--target", "accuracy"]
WRONG = {
    "unknown command": (["serach"], "serach"),
    "unknown option": (["search", "--bugdet", "3"], "--bugdet"),
    "not a number": (["search", "--budget", "many"], "--budget"),
    "unknown space": (["search", "--space", "nasbench210"], "did you mean 'nasbench201'"),
    "unknown proxy": (["search", "--proxy", "gradalign"], "did you mean 'gradalign_i"),
    "unknown proxy in a combination": (["search", "--proxy", "naswot+dpeth"], "did you mean 'depth'"),
    "a list of proxies": (["search", "--proxy", "naswot, params"], "naswot+params combines them by rank"),
    "unknown searcher": (["search", "--searcher", "evolutoin"], "did you mean 'evolution'"),
    "unknown device": (["search", "--device", "tpu9"], "device 'tpu9' cannot be used here"),
    "budget 0": (["search", "--budget", "0"], "give at least 1"),
    "negative budget": (["search", "--budget", "-3"], "give at least 1"),
    "batch size": (["search", "--batch-size", "2"], "it takes 4 to"),
    "set without a value": (["search", "--set", "evolution.population"], "PLUGIN.OPTION=VALUE"),
    "set of an unknown plug-in": (["search", "--set", "evoluton.population=3"], "did you mean 'evolution'"),
    "set of an unknown option": (["search", "--set", "evolution.populaton=3"], "did you mean 'population'"),
    "set of another type": (["search", "--set", "evolution.population=many"], "takes a whole number, not 'many'"),
    "set of a refused value": (["search", "--set", "evolution.population=0"], "at least 1, not 0"),
    "set of too few images": (["score", "0", "--proxies", "ntk", "--set", "ntk.images=-4"], "is at least 2, not -4"),
    "set of too many images": (["bench", "--set", "swap.images=99"], "at least 1 and at most 48, not 99"),
    "set of no step": (["search", "--proxy", "zen", "--set", "zen.step=0"], "zen.step is more than 0, not 0.0"),
    "set of a refused space": (["show", "0", "--space", "cells", "--set", "cells.operations=convv"], "known are"),
    "set of a negative depth": (
        ["search", "--set", "nasbench201.repeats=-1"],
        "nasbench201.repeats is at least 1, not -1",
    ),
    "set of a width of zero": (
        ["search", "--set", "nasbench201.widths=0,4"],
        "nasbench201.widths is at least 1, not 0",
    ),
    "set of one operation twice": (
        ["show", "0", "--space", "cells", "--set", "cells.operations=none,none"],
        "distinct",
    ),
    "negative seed": (["search", "--seed", "-1"], "seed is a whole number"),
    "huge seed": (["search", "--seed", "99999999999999999999"], "seed is a whole number"),
    "huge batch": (["search", "--batch-size", "1000000000"], "it takes 4 to"),
    "huge images": (["search", "--data", "synthetic:size=1000000"], "at most 100000, not 1000000"),
    "images too small": (["search", "--data", "synthetic:size=1"], "does not run on images of 3 x 1 x 1"),
    "no data named": (["search", "--data", ""], "no data source was named"),
    "a budget too small for pruning": (
        ["search", "--searcher", "pruning", "--budget", "10", *SMALL],
        "larger --budget",
    ),
    "constraint": (["search", "--constraint", "params"], "params<=0.6e6"),
    "impossible constraint": (
        ["search", "--constraint", "params<=100"],
        "no architecture of the space was found that satisfies",
    ),
    "no data": (["search", "--data", "nowhere.npz"], "does not exist"),
    "corrupt npz": (["search", "--data", "corrupt.npz"], "cannot be read as .npz"),
    "npz of another shape": (["search", "--data", "flat.npz"], "images must be uint8 [n, height, width, channels]"),
    "one class": (["search", "--data", "photos"], "1 class, at least 2"),
    "truncated YAML": (["search", "--config", "cut.yaml"], "not whole YAML"),
    "YAML list": (["search", "--config", "list.yaml"], "not list"),
    "YAML typo": (["search", "--config", "typo.yaml"], "did you mean 'space'"),
    "YAML with an odd set": (["search", "--config", "odd.yaml"], "under 'set' are 'name: value' pairs, not 5"),
    "a plug-in that exits": (["search", "--plugin", "exits.py"], "SystemExit: 3"),
    "a folder as plug-in": (["search", "--plugin", "mine"], "is not a file"),
    "a folder as table": ([*COMPARE, "--table", "mine"], "is not a file"),
    "a table of supernets": ([*COMPARE, "--table", "open.csv"], "row 2: .*leaves operations open"),
    "a table with one cell twice": ([*COMPARE, "--table", "twice.csv"], "has several rows"),
    "odd digits": (["show", "²"], "not in this space's notation"),
    "a folder for the scores": (["score", "0", "--csv", "mine"], "it is a folder"),
    "no YAML": (["search", "--config", "none.yaml"], "cannot be read"),
    "no plug-in": (["search", "--plugin", "none.py"], "does not exist"),
    "broken plug-in": (["search", "--plugin", "broken.py"], "ZeroDivisionError"),
    "a folder of something else": (["search", "--run", "mine"], "no run folder"),
    "missing options": (["compare"], "--space"),
    "no table": ([*COMPARE, "--table", "none.csv"], "does not exist"),
    "missing column": ([*COMPARE[:-1], "acuracy", "--table", "good.csv"], "did you mean 'accuracy'"),
    "text column": ([*COMPARE[:-1], "note", "--table", "good.csv"], "not numbers"),
    "table that does not parse": ([*COMPARE, "--table", "bad.csv"], "row 2"),
    "table without arch": ([*COMPARE, "--table", "noarch.csv"], "no column 'arch'"),
    "empty table": ([*COMPARE, "--table", "empty.csv"], "cannot be read as a table"),
    "broken parquet": ([*COMPARE, "--table", "binary.parquet"], "cannot be read as a table"),
    "too many architectures": ([*COMPARE, "--table", "good.csv", "--archs", "4"], "the table has a target for 3"),
    "architectures that are no number": ([*COMPARE, "--table", "good.csv", "--archs", "few"], "a number or 'all'"),
    "no seeds": ([*COMPARE, "--table", "good.csv", "--seeds", "0"], "at least 1"),
    "a proxy called as a row of every comparison": (
        [*COMPARE, "--table", "good.csv", "--plugin", "random.py", "--proxies", "random"],
        "'random' has a row of its own",
    ),
    "no proxy": ([*COMPARE, "--table", "good.csv", "--proxies", ""], "no proxy was named"),
    "nothing to score": (["score"], "no architecture was given"),
    "no architecture": (["score", "conv"], "not in this space's notation"),
    "ambiguous tuple": (["score", "(1, 2, 3, 4, 0, 1)"], "nats:"),
    "no folder for the scores": (["score", "0", "--csv", "there/out.csv"], "no folder"),
    "picture of another kind": (["show", "0", "--out", "cell.xyz"], ".svg, .png, .pdf, .tex or .dot"),
    "nothing to search": (["search", "--space", "networks"], "(options: names)"),
    "network that cannot be made": (["show", "--space", "networks", "own.py:net"], "own.py:net raises KeyError: 1"),
    "unknown kind": (["list", "searcher"], "did you mean 'searchers'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_sentence_and_changes_nothing(nas, tmp_path, case):
    arguments, reason = WRONG[case]
    prepare(tmp_path)
    before = files_below(tmp_path)
    code, out, err = nas(*arguments)
    assert code == 2
    assert err.startswith("nas: ")
    assert err.count("\n") == 1, "one line"
    assert re.search(reason, err) if ".*" in reason else reason in err
    assert "Traceback" not in out + err
    assert files_below(tmp_path) == before


def test_options_on_the_command_line_are_added_to_the_files(nas, tmp_path):
    (tmp_path / "c.yaml").write_text("set: {nasbench201: {widths: [4, 8], repeats: 1}, evolution: {population: 3}}\n")
    arguments = ["--budget", "4", "--data", "synthetic:classes=3,size=8", "--batch-size", "12", "--run", "r"]
    assert nas("search", "--config", "c.yaml", "--set", "evolution.population=2", *arguments)[0] == 0
    found = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())["set"]
    assert found == {"nasbench201": {"widths": [4, 8], "repeats": 1}, "evolution": {"population": 2}}


def test_what_cannot_be_written_is_one_sentence(nas, tmp_path):
    (tmp_path / "cell.png").mkdir()
    code, _, err = nas("show", "0", "--out", "cell.png")
    assert (code, err) == (2, "nas: cell.png: Is a directory\n")


def test_what_may_not_be_written_is_refused_before_anything_is_scored(nas, monkeypatch, tmp_path):
    from nas.scoring.measurer import Measurer

    monkeypatch.setattr(Measurer, "_visit", lambda self, *arguments: pytest.fail("scored for nothing"))
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked.csv").write_text("mine")
    access = os.access  # an administrator may write anywhere, so it is not enough to take the right away

    def granted(path, mode):
        return access(path, mode) and not (mode == os.W_OK and "locked" in Path(path).name)

    monkeypatch.setattr(os, "access", granted)
    code, _, err = nas("score", "0", "--csv", "locked/out.csv", *SMALL)
    assert code == 2
    assert err == f"nas: locked/out.csv cannot be written: no permission to write to the folder {tmp_path / 'locked'}\n"
    code, _, err = nas("score", "0", "--csv", "locked.csv", *SMALL)
    assert (code, err) == (2, "nas: locked.csv cannot be written: no permission to write it\n")
    assert (tmp_path / "locked.csv").read_text() == "mine"


def test_interrupted_is_130_and_can_be_continued(nas, monkeypatch, tmp_path):
    from nas.scoring.measurer import Measurer

    original, visits = Measurer._visit, []

    def visit(self, *arguments):
        visits.append(1)
        if len(visits) == 4:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(Measurer, "_visit", visit)
    arguments = ["search", "--proxy", "gradsign", "--budget", "6", "--searcher", "random_search", "--run", "r", *SMALL]
    code, _, err = nas(*arguments)
    assert (code, err) == (130, "nas: interrupted; the same command continues where it stopped\n")
    assert len((tmp_path / "r" / "trials.jsonl").read_text().splitlines()) == 3
    assert nas(*arguments)[0] == 0
    assert len((tmp_path / "r" / "trials.jsonl").read_text().splitlines()) == 6


def test_a_file_may_list_proxies(nas, tmp_path):
    (tmp_path / "c.yaml").write_text("proxies: [params, depth]\ndata: synthetic:size=8\n")
    code, out, _ = nas("score", "--config", tmp_path / "c.yaml", "nats:1,1,1,1,1,1")
    assert code == 0
    assert out.splitlines()[0].split() == ["params", "depth", "arch"]


LEAVING = """
import sys
from nas.proxy import proxy
from nas.searcher import searcher
from nas.studies import study

@searcher("leaving_searcher")
def leaving_searcher(space, rng):
    yield [space.sample(rng)]
    sys.exit(0)

@proxy("leaving_proxy")
def leaving_proxy(probe):
    sys.exit(0)

@study("leaving_study")
def leaving_study(material):
    sys.exit(0)
"""


@pytest.fixture(scope="module")
def leaving(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugin") / "leaving.py"
    file.write_text(LEAVING)
    return file


@pytest.mark.parametrize(("arguments", "said"), [
    (["search", "--searcher", "leaving_searcher", "--proxy", "params"],
     "the searcher leaving_searcher would have ended the process: "),
    (["search", "--searcher", "random_search", "--proxy", "leaving_proxy"], "could be scored; mostly: SystemExit: 0"),
    (["study", "leaving_study"], "a plug-in would have ended the program: SystemExit: 0"),
])  # fmt: skip
def test_a_plug_in_that_leaves_does_not_pass_for_the_end(nas, leaving, arguments, said):
    budget = ["--budget", "3"] if arguments[0] == "search" else []
    code, _, err = nas(*arguments, *budget, "--plugin", str(leaving), *SMALL)
    assert code == 2
    assert err.startswith("nas: ")
    assert err.count("\n") == 1
    assert said in err
