"""A searcher that declares ``objectives="many"`` receives tuples; the loop, the record, the replay carry them."""

import json

import pandas as pd
import pytest

import nas
from nas.errors import UsageError
from nas.searcher import SEARCHERS, searcher
from nas.testing import SEARCHER_CHECKS

SMALL = {"data": "synthetic:size=8,classes=3", "batch_size": 12}


@pytest.fixture(scope="module", autouse=True)
def pareto_walk():
    """A toy: it keeps what nothing known dominates, and mutates one of these."""

    @searcher("pareto_walk", objectives="many")
    def pareto_walk(space, rng):
        kept = []
        arch = space.sample(rng)
        while True:
            (scores,) = yield [arch]
            assert isinstance(scores, tuple)
            kept = [(a, s) for a, s in kept if not all(x <= y for x, y in zip(s, scores, strict=True))]
            if not any(all(x >= y for x, y in zip(s, scores, strict=True)) for _, s in kept):
                kept.append((arch, scores))
            arch = space.mutate(rng.choice(kept)[0], rng) if kept else space.sample(rng)

    yield
    SEARCHERS._plugins.pop("pareto_walk")
    SEARCHERS._origins.pop("pareto_walk")


def search(**given):
    return nas.search("nasbench201", "depth", "pareto_walk", **{"budget": 10, "minimise": "params"} | given, **SMALL)


def test_each_objective_stands_in_the_record(tmp_path):
    result = search(run_folder=tmp_path / "run")
    records = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    assert len(records) == len(result.trials) == 10
    for record in records:
        assert record["objectives"] == [record["values"]["depth"], -record["values"]["params"]]
        assert record["score"] == record["objectives"][0]
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "minimise:\n- params\n" in config


@pytest.mark.parametrize("cut", [0, 3, 9])
def test_resume_is_replay_here_too(tmp_path, cut):
    whole = search(run_folder=tmp_path / "run").trials
    file = tmp_path / "run" / "trials.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:cut]))
    again = search(run_folder=tmp_path / "run").trials
    assert again.drop(columns="seconds").equals(whole.drop(columns="seconds"))


def test_a_recorded_objective_that_differs_is_refused(tmp_path):
    search(run_folder=tmp_path / "run")
    file = tmp_path / "run" / "trials.jsonl"
    first, *others = file.read_text().splitlines()
    changed = json.loads(first)
    changed["objectives"][1] -= 1
    file.write_text("\n".join([json.dumps(changed), *others]) + "\n")
    with pytest.raises(UsageError, match="cannot be continued: its trial 0"):
        search(run_folder=tmp_path / "run")


def test_a_failure_of_one_objective_is_a_failure():
    result = search(minimise=["params", "linear_regions"], budget=4)  # images of ordinary size saturate it
    failed = result.trials[result.trials["status"] != "ok"]
    assert all(objectives == () for objectives in failed["objectives"])


def test_one_objective_comes_as_a_tuple_of_one():
    assert len(search(minimise=()).trials) == 10


@pytest.mark.long
def test_a_combination_is_one_of_several_objectives(tmp_path):
    result = nas.search(
        "nasbench201", "naswot+params", "pareto_walk", 6, minimise="flops", run_folder=tmp_path, **SMALL
    )
    assert set(result.trials["values"].iloc[0]) == {"naswot", "params", "flops"}
    assert all(len(objectives) == 2 for objectives in result.trials["objectives"])


def test_a_searcher_of_one_objective_says_so():
    with pytest.raises(UsageError, match="evolution takes one objective, not 2"):
        nas.search("nasbench201", "naswot", "evolution", 5, minimise="params", **SMALL)


@pytest.mark.parametrize(
    "check", [c for c in SEARCHER_CHECKS if "another_process" not in c.__name__ and "beats" not in c.__name__]
)
def test_conformance(check):
    check("pareto_walk")


def test_the_front_is_what_nothing_dominates(tmp_path):
    result = search(run_folder=tmp_path / "run", budget=30)
    written = pd.read_csv(tmp_path / "run" / "front.csv")
    pd.testing.assert_frame_equal(written, result.front, check_dtype=False)
    pd.testing.assert_frame_equal(nas.load(tmp_path / "run").front, result.front)
    rows = [(values["depth"], -values["params"]) for values in result.trials["values"]]
    front = {(float(depth), -float(params)) for depth, params in written[["depth", "params"]].itertuples(index=False)}
    for row in rows:
        dominated = any(all(a >= b for a, b in zip(other, row, strict=True)) and other != row for other in rows)
        assert (row in front) == (not dominated)
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"{len(front)} of " in page
    assert "dominated by no other one" in page


def test_one_objective_has_a_front_of_one():
    result = nas.search("nasbench201", "params", "random_search", 5, **SMALL)
    assert result.front.to_dict("records") == [{"arch": result.best.arch, "params": result.best.score}]
