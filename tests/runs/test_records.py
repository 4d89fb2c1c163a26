"""Lines that were appended: what a power cut, a copy or an editor makes of them."""

import json
import os

import pytest

import nas
from nas.errors import UsageError
from nas.runs import records
from nas.runs.folder import RunFolder
from nas.runs.resume import read_trials

GIVEN = {
    "data": "synthetic:classes=3,size=8", "batch_size": 12,
    "settings": {"nasbench201": {"widths": (4, 8), "repeats": 1}},
}  # fmt: skip


def search(folder, budget=6):
    return nas.search("nasbench201", "params", "random_search", budget, run_folder=folder, **GIVEN).trials


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    search(folder)
    return folder


@pytest.fixture
def run(whole, tmp_path):
    (tmp_path / "config.yaml").write_bytes((whole / "config.yaml").read_bytes())
    return tmp_path


def lines(folder):
    return (folder / "trials.jsonl").read_bytes().splitlines(keepends=True)


DAMAGES = {
    "the last line twice": (lambda given: [*given, given[-1]], r"line 7 is trial 5, where trial 6 belongs"),
    "two lines swapped": (lambda given: [given[1], given[0], *given[2:]], r"line 1 is trial 1, where trial 0 belongs"),
    "a line lost": (lambda given: [*given[:2], *given[3:]], r"line 3 is trial 3, where trial 2 belongs"),
    "a line in the middle twice": (
        lambda given: [*given[:3], given[2], *given[3:]],
        r"line 4 is trial 2, where trial 3",
    ),
    "two files joined": (lambda given: [*given, *given], r"line 7 is trial 0, where trial 6 belongs"),
    "zeros in the middle": (lambda given: [*given[:2], bytes(40) + b"\n", *given[3:]], r"line 3 is damaged"),
    "no UTF-8": (lambda given: [*given[:2], b"\xff\xfe\n", *given[3:]], r"damaged: line 3"),
    "a number doubled": (
        lambda given: [*given[:5], given[5].replace(b'"number": 5', b'"number": 4')],
        r"line 6 is trial 4, where trial 5 belongs",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_out_of_place_is_refused_with_the_line_and_a_way_on(whole, run, kind):
    damage, expected = DAMAGES[kind]
    (run / "trials.jsonl").write_bytes(b"".join(damage(lines(whole))))
    before = (run / "trials.jsonl").read_bytes()
    for call in (lambda: search(run), lambda: read_trials(run)):
        with pytest.raises(UsageError, match=rf"trials\.jsonl.*{expected}.*remove that line and those after it"):
            call()
    assert (run / "trials.jsonl").read_bytes() == before
    if kind not in ("the last line twice", "a line lost"):
        return
    number = int(expected.partition("line ")[2].partition(" ")[0].rstrip(":"))
    (run / "trials.jsonl").write_bytes(b"".join(before.splitlines(keepends=True)[: number - 1]))
    again = search(run)
    assert again["arch"].tolist() == [json.loads(line)["arch"] for line in lines(whole)]


HARMLESS = {
    "an empty line at the end": lambda given: [*given, b"\n"],
    "several": lambda given: [*given, b"\n", b"  \n", b"\r\n"],
    "one in the middle": lambda given: [*given[:3], b"\n", *given[3:]],
    "a byte order mark": lambda given: [b"\xef\xbb\xbf", *given],
    "line ends of Windows": lambda given: [line.replace(b"\n", b"\r\n") for line in given],
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_an_editor_leaves_is_read(whole, run, kind):
    (run / "trials.jsonl").write_bytes(b"".join(HARMLESS[kind](lines(whole)[:4])))
    assert [trial.number for trial in read_trials(run)] == list(range(4))
    if kind in ("several", "a byte order mark"):
        assert search(run)["arch"].tolist() == [json.loads(line)["arch"] for line in lines(whole)]
        assert [trial.number for trial in read_trials(run)] == list(range(6))


def test_zeros_of_a_power_cut_are_said(whole, run, monkeypatch):
    """At the end of the file, and in place of all of it; a line that a killed process left half is no such thing."""
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 2**16)
    for content in (b"".join(lines(whole)[:3]) + bytes(500), bytes(2**16 + 4096)):
        (run / "trials.jsonl").write_bytes(content)
        with pytest.warns(UserWarning, match=r"trials\.jsonl ended in zero bytes, as a power cut leaves them"):
            search(run)
        assert len(read_trials(run)) == 6
    (run / "trials.jsonl").write_bytes(b"".join(lines(whole)[:3]) + lines(whole)[3][:20])
    search(run)  # where a warning would be an error
    assert len(read_trials(run)) == 6


def test_a_line_without_end_is_refused_before_it_is_read(run, monkeypatch):
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 1000)
    (run / "trials.jsonl").write_bytes(b"x" * 5000)
    with pytest.raises(UsageError, match=r"trials\.jsonl is damaged: line 1 has more than 1,000 bytes"):
        search(run)


@pytest.mark.parametrize("what", ["removed", "replaced", "shortened", "lengthened"])
def test_a_file_that_changes_under_a_run_stops_it(tmp_path, what):
    path = tmp_path / "trials.jsonl"
    with RunFolder(tmp_path, {}) as folder, folder.appender("trials.jsonl") as appender:
        appender.add_record({"number": 0})
        appender.add_record({"number": 1})
        whole = path.read_bytes()
        if what in ("removed", "replaced"):
            path.unlink()
        if what == "replaced":
            path.write_bytes(whole)
        if what == "shortened":
            os.truncate(path, 5)
        if what == "lengthened":
            with path.open("ab") as other:
                other.write(b"{}\n")
        with pytest.raises(
            UsageError, match=r"trials\.jsonl was removed, replaced or changed while the run was writing"
        ):
            appender.add_record({"number": 2})


def test_a_disk_that_takes_a_part_of_a_line_gets_the_rest(tmp_path, monkeypatch):
    with RunFolder(tmp_path, {}) as folder, folder.appender("trials.jsonl") as appender:
        file = appender._opened()

        class Slow:
            def write(self, content):
                return file.write(content[:3])

            def fileno(self):
                return file.fileno()

        monkeypatch.setattr(appender, "_opened", Slow)
        appender.add_record({"number": 0, "arch": "é"})
    assert [record for _, record in records.read_records(tmp_path / "trials.jsonl")] == [{"number": 0, "arch": "é"}]
