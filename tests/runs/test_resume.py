"""A run folder: what it holds, that it is continued to the identical history, and which folder is refused."""

import os
import signal
import subprocess
import sys
import time
from random import Random

import numpy as np
import pandas as pd
import pytest
import yaml
from searches import SEARCH, recorded

import nas
from nas.errors import UsageError
from nas.runs.folder import RunFolder
from nas.scoring.measurer import Measurer


def test_a_run_with_options_continues_without_scoring_again(tmp_path, monkeypatch):
    options = SEARCH["settings"] | {"swap": {"images": 4}}
    settings = SEARCH | {"proxy": "swap+depth", "budget": 8, "settings": options, "run_folder": tmp_path}
    whole = nas.search(**settings).trials
    monkeypatch.setattr(Measurer, "_visit", lambda self, *args: pytest.fail("scored again"))
    pd.testing.assert_frame_equal(nas.search(**settings).trials, whole)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    nas.search(**SEARCH, run_folder=folder)
    return folder


def test_a_run_folder_holds_what_it_promises(undisturbed):
    trials = recorded(undisturbed)
    assert [trial["number"] for trial in trials] == list(range(40))
    assert set(trials[0]) == {"number", "arch", "score", "values", "status", "reason", "leaf", "cached", "parents",
                              "params", "flops"}  # fmt: skip
    found = yaml.safe_load((undisturbed / "best.yaml").read_text())
    assert found["score"] == max(trial["score"] for trial in trials)
    assert {"arch", "score", "values", "params", "flops"} <= found.keys()
    assert yaml.safe_load((undisturbed / "config.yaml").read_text())["proxy"] == "gradsign"


@pytest.mark.parametrize("kept", [0, 1, 17, 39, 40])
def test_a_truncated_run_continues_without_scoring_again(undisturbed, tmp_path, kept, monkeypatch):
    lines = (undisturbed / "trials.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_text("".join(lines[:kept]) + lines[-1][:25] * (kept < 40))  # the last is torn
    (tmp_path / "config.yaml").write_text((undisturbed / "config.yaml").read_text())
    visits = []
    original = Measurer._visit
    monkeypatch.setattr(Measurer, "_visit", lambda self, *args: visits.append(args[0]) or original(self, *args))
    nas.search(**SEARCH, run_folder=tmp_path)
    assert recorded(tmp_path) == recorded(undisturbed)
    assert len(visits) == sum(not trial["cached"] for trial in recorded(undisturbed)[kept:])


def test_a_larger_budget_continues_a_run(undisturbed, tmp_path):
    nas.search(**SEARCH | {"budget": 15}, run_folder=tmp_path)
    nas.search(**SEARCH, run_folder=tmp_path)
    assert recorded(tmp_path) == recorded(undisturbed)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="holds 40 trials already"):
        nas.search(**SEARCH | {"budget": 15}, run_folder=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_combination_continues_without_scoring_its_reference_again(tmp_path, monkeypatch):
    settings = SEARCH | {"proxy": "gradsign+depth", "budget": 12}
    nas.search(**settings, run_folder=tmp_path)
    before = (tmp_path / "reference.jsonl").read_text()
    monkeypatch.setattr(Measurer, "_visit", lambda self, *args: pytest.fail("scored again"))
    nas.search(**settings, run_folder=tmp_path)
    assert (tmp_path / "reference.jsonl").read_text() == before


def test_a_combination_with_the_reference_sample_of_an_earlier_version_is_refused(tmp_path):
    settings = SEARCH | {"proxy": "params+depth", "budget": 3}
    nas.search(**settings, run_folder=tmp_path)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["versions"].pop("the reference sample") == "2"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UsageError, match=r"holds a run with another version of the reference sample, .*another folder"):
        nas.search(**settings, run_folder=tmp_path)


@pytest.mark.long
def test_killed_at_random_moments_it_ends_with_the_identical_history(undisturbed, tmp_path):
    """SIGKILL, three times at random moments, then to the end; fifty times over is in benchmarks/faults.py."""
    code = f"import nas, sys; nas.search(**{SEARCH!r}, run_folder=sys.argv[1])"
    rng = Random(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE)
        before = len(recorded(tmp_path)) if (tmp_path / "trials.jsonl").exists() else 0
        while process.poll() is None and (
            not (tmp_path / "trials.jsonl").exists() or (tmp_path / "trials.jsonl").read_bytes().count(b"\n") <= before
        ):
            time.sleep(0.001)
        time.sleep(rng.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    nas.search(**SEARCH, run_folder=tmp_path)
    assert recorded(tmp_path) == recorded(undisturbed)


def test_other_images_under_the_same_name_are_refused(tmp_path, images):
    settings = SEARCH | {"data": str(images), "budget": 3}
    nas.search(**settings, run_folder=tmp_path / "run")
    rng = np.random.default_rng(1)
    np.savez(images, images=rng.integers(0, 256, (90, 8, 8, 3), dtype=np.uint8), labels=np.arange(90) % 3)
    with pytest.raises(UsageError, match="holds a run with minibatch"):
        nas.search(**settings | {"budget": 6}, run_folder=tmp_path / "run")


def test_a_continued_run_returns_what_was_recorded(undisturbed, tmp_path):
    whole = nas.search(**SEARCH, run_folder=tmp_path).trials
    pd.testing.assert_frame_equal(nas.search(**SEARCH, run_folder=tmp_path).trials, whole)


def test_another_runs_folder_is_refused_and_kept(undisturbed):
    before = {path.name: path.read_bytes() for path in undisturbed.iterdir()}
    with pytest.raises(UsageError, match="holds a run with seed 0, not 1"):
        nas.search(**SEARCH, seed=1, run_folder=undisturbed)
    assert {path.name: path.read_bytes() for path in undisturbed.iterdir()} == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"no run folder: it has no config\.yaml, but thesis\.tex"):
        nas.search(**SEARCH, run_folder=tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix", reason="locks are POSIX's")
def test_two_runs_do_not_share_a_folder(tmp_path):
    with RunFolder(tmp_path, {}), pytest.raises(UsageError, match="another run is writing"):
        RunFolder(tmp_path, {})


def test_a_damaged_record_is_refused(undisturbed, tmp_path):
    (tmp_path / "config.yaml").write_text((undisturbed / "config.yaml").read_text())
    good = (undisturbed / "trials.jsonl").read_text().splitlines()[0]
    for line in ("{broken}", "[1]", '{"a": 1}', good.replace("|", "?"), good.replace('"gradsign": ', '"gradsign": "x')):
        (tmp_path / "trials.jsonl").write_text(line + "\n")
        with pytest.raises(UsageError, match=r"trials\.jsonl: line 1 is "):
            nas.search(**SEARCH, run_folder=tmp_path)
