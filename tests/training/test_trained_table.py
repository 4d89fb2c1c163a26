"""The record of a run's architectures, and its table."""

import json

import pytest

from nas.errors import UsageError
from nas.runs.folder import RunFolder
from nas.testing import narrow_space
from nas.training.table import COLUMNS, enlisted, failures_of, jobs_in, table_of

SAME = ["|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|",
        "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"]  # fmt: skip
"""The same network, written twice."""


def test_each_network_is_enlisted_once(tmp_path):
    space = narrow_space()
    first, second = map(space.parse, SAME)
    other = space.parse("nats:3,3,3,3,3,3")
    with RunFolder(tmp_path / "run", {}) as folder:
        jobs = enlisted(folder, space, [first, second])
        assert [job.text for job in jobs] == [space.text(first)]
        jobs = enlisted(folder, space, [second, other, other])
    assert [job.text for job in jobs] == [space.text(first), space.text(other)]
    assert jobs == jobs_in(tmp_path / "run")
    names = [job.folder.path.name for job in jobs]
    assert [name.partition("-")[0] for name in names] == ["1", "2"]
    assert all(len(name) < 50 for name in names)


def test_a_line_that_was_cut_off_is_written_again(tmp_path):
    space = narrow_space()
    with RunFolder(tmp_path / "run", {}) as folder:
        enlisted(folder, space, [space.parse(SAME[0])])
        record = tmp_path / "run" / "archs.jsonl"
        record.write_text(record.read_text() + '{"arch": "|nor')
        jobs = enlisted(folder, space, [space.parse("nats:3,3,3,3,3,3")])
    assert len(jobs) == len(jobs_in(tmp_path / "run")) == 2


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"arch": "x"}', '{"arch": 1, "folder": "a"}', '{"arch": "x", "folder": "../elsewhere"}',
             '{"arch": "x", "folder": ".."}', '{"arch": "x", "folder": 3}']
)  # fmt: skip
def test_a_damaged_record_is_one_sentence(tmp_path, line):
    good = json.dumps({"arch": SAME[0], "folder": "1-a"})
    (tmp_path / "archs.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(UsageError, match=r"archs\.jsonl: line 2 is damaged"):
        jobs_in(tmp_path)


def test_the_table_has_what_was_trained():
    good = {"arch": "a", "status": "ok", "reason": "", "valid_accuracy": 90.0, "test_accuracy": 89.0, "epochs": 3,
            "seed": 0, "params": 10, "seconds": 1.5, "optimiser": "sgd"}  # fmt: skip
    bad = {"arch": "b", "status": "failed", "reason": "no"}
    table = table_of([good, bad])
    assert tuple(table.columns) == COLUMNS
    assert table.to_dict("records") == [{name: good[name] for name in COLUMNS}]
    assert failures_of([good, bad]).to_dict("records") == [bad]
    assert table_of([]).empty
