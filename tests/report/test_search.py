"""The page of a search: what it holds, and what it weighs."""

import json
from random import Random

import pandas as pd
from pages import ARCHS, FOUND, HOSTILE, SEARCH, SPACE, Reader, search_trials, trial

import nas
from nas.report import search as report_search
from nas.report.search import ancestors, search_report
from nas.runs.loop import Trial
from nas.testing import narrow_space


def test_the_page_of_a_search_tells_what_happened():
    truth = pd.DataFrame({"accuracy": [50.0, 60.0, 70.0], "params": 1.0}, index=[ARCHS[0], ARCHS[6], ARCHS[12]])
    seen = Reader(search_report("A search", search_trials(), SPACE, FOUND, truth))
    assert ["parameters", "1,234,567"] in seen.rows
    once = "slot 1: skip_connect → nor_conv_1x1"
    changed = f"{once}; {once}, slot 2: skip_connect → nor_conv_1x1"
    assert ["4", "5", "3 and 2", changed, ARCHS[12]] in seen.rows
    assert [row[0] for row in seen.rows if row[-1] in ARCHS and len(row) == 5] == ["4", "3", "2", "0"]
    assert ["failed", f"no gradient {HOSTILE}", "1"] in seen.rows
    costs = {row[0]: row[1] for row in seen.rows if len(row) == 2}
    assert [costs[name] for name in ("evaluations", "computed", "known before", "failed")] == ["6", "5", "1", "1"]
    course, training = seen.points["points"].values()
    assert [seen.points["texts"][place] for place in course[0]] == [t.arch for t in search_trials()]
    assert course[1][4] == "evaluation 4, score 5"
    assert course[1][1].endswith(HOSTILE)
    assert [seen.points["texts"][place] for place in training[0]] == [ARCHS[0], ARCHS[6], ARCHS[12]]
    assert training[1] == ["accuracy 50, score 1", "accuracy 60, score 3", "accuracy 70, score 5"]


def test_ancestors_are_the_best_and_all_that_led_to_it():
    assert [t.number for t in ancestors(search_trials())] == [4, 3, 2, 0]


def test_a_search_of_one_failure_and_one_success_has_a_page():
    trials = [trial(0, ARCHS[0], None, status="failed", reason="nothing"), trial(1, ARCHS[1], 2.0)]
    assert "was not made from another one" in search_report("Short", trials, SPACE, FOUND | {"score": 2.0})


def test_a_search_writes_parents_and_a_page_and_continues_folders_without(tmp_path):
    nas.search(**SEARCH, run_folder=tmp_path)
    lines = (tmp_path / "trials.jsonl").read_text().splitlines()
    parents = [json.loads(line)["parents"] for line in lines]
    assert all(list(json.loads(line))[-3:] == ["parents", "params", "flops"] for line in lines)
    assert parents[:4] == [[]] * 4
    assert all(len(found) == 1 and found[0] < number for number, found in enumerate(parents) if number >= 4)
    written = (tmp_path / "report.html").read_text()
    assert "Ancestry of the best" in written
    older = [json.dumps({k: v for k, v in json.loads(line).items() if k != "parents"}) + "\n" for line in lines]
    (tmp_path / "trials.jsonl").write_text("".join(older))
    (tmp_path / "report.html").unlink()
    again = nas.search(**SEARCH, run_folder=tmp_path).trials
    assert [list(found) for found in again["parents"]] == parents
    assert (tmp_path / "trials.jsonl").read_text() == "".join(older)
    assert (tmp_path / "report.html").read_text() == written


def test_a_long_search_has_a_light_page():
    space, rng = narrow_space(), Random(0)
    trials, records, highest = [], [], -1.0
    for number in range(20_000):
        score = rng.random() * (1 + number / 20_000)
        if score > highest:
            highest, records = score, [*records, number]
        arch = space.text(space.sample(rng))
        trials.append(Trial(number, arch, score, {"p": score}, "ok", "", True, False, 0.001, []))
    drawn = report_search._drawn(trials, ancestors(trials))
    assert report_search.MARKS <= len(drawn) < report_search.MARKS + len(records)
    assert set(records) <= {trial.number for trial in drawn}
    html = search_report("long", trials, space, {"arch": "a", "score": highest, "task": {"classes": 3}})
    assert f"Of 20000 evaluations {len(drawn)} are drawn" in html
    assert len(html) < 2_000_000
