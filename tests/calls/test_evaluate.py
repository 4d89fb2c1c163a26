"""`nas.search(evaluate=…)`: by a table, by a function, by training; files, resuming, and what is refused."""

import json
from random import Random

import pandas as pd
import pytest
import yaml
from searches import SEARCH
from trainings import NARROW, stripes_file

import nas
from nas.errors import UsageError
from nas.testing import narrow_space

GIVEN = SEARCH | {"proxy": "params+flops+depth", "searcher": "random_search", "budget": 40}
GIVEN["settings"] = {"nasbench201": SEARCH["settings"]["nasbench201"]}
SPACE = narrow_space()


@pytest.fixture(autouse=True)
def no_page(request, monkeypatch):
    """Drawing takes longer than all else; one test looks at the page."""
    if "page" not in request.node.name:
        monkeypatch.setattr("nas.report.search.search_report", lambda *args, **kwargs: "a page")


def weight(text):
    """A truth that no proxy knows: pooling is good, and most so in the last slot."""
    form = SPACE.canonical(SPACE.parse(text))
    return float(sum((slot == (4,)) * (1 + place) for place, slot in enumerate(form)))


@pytest.fixture(scope="module")
def truths(tmp_path_factory):
    archs = {SPACE.text(SPACE.sample(Random(seed))) for seed in range(3000)}
    path = tmp_path_factory.mktemp("truths") / "truths.csv"
    pd.DataFrame({"arch": sorted(archs), "valid": [weight(a) for a in sorted(archs)], "test": 7.0}).to_csv(
        path, index=False
    )
    return path


def test_a_search_that_learns_from_a_table_and_its_page(truths, tmp_path):
    run = tmp_path / "run"
    result = nas.search(**GIVEN, table=truths, target="valid", evaluate=12, run_folder=run)
    table = pd.read_csv(run / "evaluations.csv")
    assert len(table) == table["arch"].nunique() == 12
    assert list(table["evaluation"]) == list(range(1, 13))
    assert table["truth"].tolist() == [weight(arch) for arch in table["arch"]]
    assert result.best.arch == table["arch"][table["truth"].argmax()]
    assert result.best.evaluated == {"valid": table["truth"].max()}
    assert {f"{kind}_{name}" for kind in ("belief", "doubt") for name in ("params", "flops", "depth")} <= set(table)
    assert table["why"][0] == "the best of the ranking"
    assert table["place"][0] == 1
    best = yaml.safe_load((run / "best.yaml").read_text())
    assert best["evaluated"] == {"valid": table["truth"].max()}
    assert best["test"] == 7.0
    loaded = nas.load(run)
    assert loaded.best == result.best
    pd.testing.assert_frame_equal(loaded.evaluations, table)
    page = (run / "report.html").read_text()
    assert "Evaluations" in page
    assert "What each proxy is believed to be worth" in page
    assert "--evaluate 12" in page


def test_a_loss_is_a_truth_of_which_smaller_is_better(truths, tmp_path):
    frame = pd.read_csv(truths)
    frame.assign(loss=-frame["valid"]).drop(columns="valid").to_csv(tmp_path / "losses.csv", index=False)
    by_accuracy = nas.search(**GIVEN, table=truths, target="valid", evaluate=6)
    by_loss = nas.search(**GIVEN, table=tmp_path / "losses.csv", target="-loss", evaluate=6)
    assert by_loss.best.arch == by_accuracy.best.arch
    assert by_loss.best.evaluated == {"-loss": by_accuracy.best.evaluated["valid"]}


def test_an_interrupted_evaluation_goes_on_alike_and_further_ones_are_added(truths, tmp_path):
    given = GIVEN | {"table": truths, "target": "valid"}
    run = tmp_path / "run"
    whole = nas.search(**given, evaluate=9, run_folder=run)
    records = (run / "evaluations.jsonl").read_text().splitlines(keepends=True)
    (run / "evaluations.jsonl").write_text("".join(records[:4]) + records[4][:20])
    (run / "evaluations.csv").unlink()
    again = nas.search(**given, evaluate=9, run_folder=run)
    pd.testing.assert_frame_equal(again.evaluations, whole.evaluations)
    more = nas.search(**given, evaluate=11, run_folder=run)
    pd.testing.assert_frame_equal(more.evaluations[:9], whole.evaluations[:9])
    assert (run / "evaluations.jsonl").read_text().splitlines(keepends=True)[:9] == records
    assert yaml.safe_load((run / "config.yaml").read_text())["evaluate"] == 11


def test_evaluations_count_when_the_search_has_scored_more(truths, tmp_path):
    given = GIVEN | {"table": truths, "target": "valid", "run_folder": tmp_path / "run"}
    first = nas.search(**given | {"budget": 30}, evaluate=5)
    second = nas.search(**given, evaluate=8)
    assert list(second.evaluations["arch"][:5]) == list(first.evaluations["arch"])
    assert len(set(second.evaluations["arch"])) == 8
    third = nas.search(**given, evaluate=8)
    pd.testing.assert_frame_equal(third.evaluations, second.evaluations)


def test_a_search_without_evaluations_goes_on_with_some(truths, tmp_path):
    run = tmp_path / "run"
    plain = nas.search(**GIVEN, run_folder=run)
    before = (run / "trials.jsonl").read_bytes()
    result = nas.search(**GIVEN, table=truths, target="valid", evaluate=3, run_folder=run)
    assert (run / "trials.jsonl").read_bytes() == before
    assert len(result.evaluations) == 3
    assert plain.evaluations.empty


def test_a_function_is_the_truth_and_its_failures_are_passed_over():
    asked = []

    def truth(arch):
        asked.append(arch)
        if len(asked) in (1, 3):
            raise RuntimeError("the machine is busy")
        return weight(arch)

    result = nas.search(**GIVEN, evaluate=6, batch=2, truth=truth)
    assert list(result.evaluations["arch"]) == asked
    assert result.evaluations["truth"].isna().tolist() == [True, False, True, False, False, False]
    assert "the machine is busy" in result.evaluations["reason"][0]
    assert result.best.evaluated == {"truth": result.evaluations["truth"].max()}
    with pytest.raises(UsageError, match="none of the 2 networks could be evaluated: it is nan"):
        nas.search(**GIVEN, evaluate=2, truth=lambda arch: float("nan"))


def test_a_function_in_a_file_is_the_truth_and_one_that_has_changed_is_another(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from math import nan\n\ndef length(arch):\n    return len(arch)\n")
    given = GIVEN | {"run_folder": tmp_path / "run", "truth": f"{file}:length"}
    result = nas.search(**given, evaluate=3)
    assert result.evaluations["truth"].tolist() == result.evaluations["arch"].map(len).tolist()
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["truth"] == f"{file}:length"
    assert len(nas.search(**given, evaluate=4).evaluations) == 4
    file.write_text("def length(arch):\n    return -len(arch)\n")
    with pytest.raises(UsageError, match="holds evaluations by the function length of a file with the digest"):
        nas.search(**given, evaluate=5)


def test_a_function_that_no_file_has(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def length(arch):\n    return len(arch)\n")
    for reference, reason in {
        "length": "truth takes a function as FILE.py:NAME, not 'length'",
        f"{file}:": "truth takes a function as FILE.py:NAME",
        f"{file}:lenght": "unknown function of .* known are length; did you mean 'length'",
        f"{tmp_path}/none.py:length": "the truth's file .*none.py does not exist",
    }.items():
        with pytest.raises(UsageError, match=reason):
            nas.search(**GIVEN, evaluate=3, truth=reference, run_folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_networks_are_trained_and_the_best_is_exported(tmp_path):
    run = tmp_path / "run"
    given = GIVEN | {"data": stripes_file(tmp_path), "settings": NARROW, "budget": 12, "evaluate": 2, "epochs": 1}
    result = nas.search(**given, run_folder=run)
    trained = pd.read_csv(run / "networks" / "table.csv").set_index("arch")
    row = trained.loc[result.best.arch]
    assert result.best.evaluated == {name: row[name] for name in ("valid_accuracy", "test_accuracy")}
    files = sorted((run / "networks").glob("*/best.pt"))
    times = [file.stat().st_mtime_ns for file in files]
    nas.search(**given, run_folder=run)
    assert [file.stat().st_mtime_ns for file in files] == times
    export = nas.export(run=run, out=tmp_path / "net.py")
    assert export.weights == "trained, of epoch 1 of 1"
    assert export.card.name == result.best.arch
    with pytest.raises(UsageError, match="valid_accuracy after 1 epochs, not by valid_accuracy after 2 epochs"):
        nas.search(**given | {"epochs": 2}, run_folder=run)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"evaluate": 0}, "evaluate is a whole number: give at least 1"),
        ({"evaluate": 3, "data": "synthetic"}, "there is nothing to evaluate by: --data takes images to train on"),
        ({"evaluate": 3, "target": "valid"}, "the target 'valid' is a column of a table, and none is named"),
        ({"target": "valid"}, "target says what to evaluate by, and nothing is to be evaluated"),
        ({"truth": weight}, "truth says what to evaluate by, and nothing is to be evaluated"),
        ({"evaluate": 3, "truth": 5}, "truth takes a function of an architecture's notation, not 5"),
        ({"evaluate": 3, "truth": weight, "target": "valid"}, "name one of them"),
        ({"evaluate": 3, "truth": weight, "searcher": "nsga2", "minimise": "params"}, "chooses by one objective"),
        ({"evaluate": 3, "truth": weight, "budget": 1}, "of the 1 networks that were scored 1 can be evaluated"),
    ],
)
def test_what_cannot_be_evaluated(given, reason):
    with pytest.raises(UsageError, match=reason):
        nas.search(**GIVEN | {"proxy": "params"} | given)


def test_a_table_must_know_what_was_scored(tmp_path):
    pd.DataFrame({"arch": ["nats:1,1,1,1,1,1"], "valid": 3.0}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(UsageError, match="networks that were scored 0 can be evaluated by valid"):
        nas.search(**GIVEN | {"budget": 5}, table=tmp_path / "t.csv", target="valid", evaluate=3)
    with pytest.raises(UsageError, match="did you mean 'valid'"):
        nas.search(**GIVEN | {"budget": 5}, table=tmp_path / "t.csv", target="vallid", evaluate=3)


def test_damaged_records_are_refused(truths, tmp_path):
    given = GIVEN | {"table": truths, "target": "valid", "evaluate": 4, "run_folder": tmp_path / "run"}
    nas.search(**given)
    file = tmp_path / "run" / "evaluations.jsonl"
    whole = [json.loads(line) for line in file.read_text().splitlines()]
    for change, reason in (
        ({"truth": "high"}, "line 2 is no evaluation of this search"),
        ({"arch": "nats:9"}, "line 2 is no evaluation of this search"),
        ({"by": "another truth"}, "holds evaluations by another truth, not by valid of a table"),
        ({"arch": whole[3]["arch"]}, "cannot be continued: it evaluated"),
    ):
        lines = [whole[0], whole[1] | change, whole[2]]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        with pytest.raises(UsageError, match=reason):
            nas.search(**given)
