"""Records of another form are refused with one sentence."""

import json

import pytest
from hostile import FRAME, SCORE, quick, refused_in_a_line
from hypothesis import given
from hypothesis import strategies as st

import nas
from nas.errors import UsageError

SEARCH = {"data": "synthetic:classes=3,size=8", "batch_size": 12, "settings": SCORE["settings"]}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    nas.search("nasbench201", "params", "random_search", 6, run_folder=folder, **SEARCH)
    return folder


def again(run):
    with refused_in_a_line():
        return nas.search("nasbench201", "params", "random_search", 6, run_folder=run, **SEARCH)


@pytest.mark.long
def test_a_trial_of_another_form_is_refused(run):
    path = run / "trials.jsonl"
    whole = path.read_text()
    record = json.loads(whole.splitlines()[2])

    @quick(50)
    @given(st.sampled_from(sorted(record)), ANYTHING)
    def check(name, value):
        changed = json.dumps(record | {name: value})
        path.write_text("\n".join([*whole.splitlines()[:2], changed, *whole.splitlines()[3:]]) + "\n")
        result = again(run)
        if result is not None:
            columns = ["arch", "score", "leaf", "cached", "status"]
            assert result.trials[columns].dtypes.astype(str).tolist()[1:4] == ["float64", "bool", "bool"]

    check()
    path.write_text(whole)
    assert len(again(run).trials) == 6


@pytest.mark.parametrize(
    "line", ["[" * 100_000, "{}", "null", '{"number": ' + "9" * 5000 + "}", "\0", "NaN", '{"a": 1, "a": 2}', "é\x00"]
)
@pytest.mark.parametrize("name", ["trials.jsonl"])
def test_a_line_of_another_form_is_refused(run, name, line):
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole.splitlines(keepends=True)[0] + line.encode("latin1") + b"\n")
    try:
        with pytest.raises(UsageError, match=r"trials\.jsonl.*(line 2|is damaged)"):
            nas.search("nasbench201", "params", "random_search", 6, run_folder=run, **SEARCH)
    finally:
        (run / name).write_bytes(whole)


def test_rows_of_a_comparison_of_another_form_are_refused(tmp_path):
    table = tmp_path / "t.csv"
    FRAME.to_csv(table, index=False)
    compare = {"run_folder": tmp_path / "run"} | SEARCH
    nas.compare("nasbench201", table, "acc", "params", **compare)
    whole = (tmp_path / "run" / "scores.csv").read_text().splitlines()
    for wrong in (
        whole[1] + ",more", whole[1].rpartition(",")[0], whole[2], "a,b", whole[1].replace("params", '"'), "\0" * 9,
        whole[1].replace(",0,", ",x,"), "x" * 200_000, "stranger," + whole[1].partition(",")[2],
    ):  # fmt: skip
        (tmp_path / "run" / "scores.csv").write_text("\n".join([whole[0], wrong, *whole[2:]]) + "\n")
        with pytest.raises(UsageError, match=r"scores\.csv"):
            nas.compare("nasbench201", table, "acc", "params", **compare)
