"""The pages of searches and comparisons: what they hold, that nothing in them acts, what they weigh; ancestry."""

import json
import re
from html.parser import HTMLParser
from random import Random

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import HOSTILE, comparison, comparison_page, trial

import nas
from nas.report import charts
from nas.report import search as report_search
from nas.report.page import Section, Sheet, page
from nas.report.search import ancestors, search_report
from nas.report.svg import Chart
from nas.runs.ancestry import Ancestry
from nas.runs.loop import Trial
from nas.scoring.limits import Limited, parse_limit
from nas.searcher import SEARCHERS
from nas.space import Task
from nas.testing import ToySpace, narrow_space

SPACE = narrow_space()
ARCHS = [SPACE.text(((first,), (second,), (3,), (2,), (1,), (0,))) for first in range(5) for second in range(5)]


class Reader(HTMLParser):
    """The page as a browser without scripts reads it: texts of cells, captions and headings, elements, its data."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.rows, self.texts, self.data = [], [], [], ""
        self._open = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if "script" in self._open:
            self.data = data if data.startswith("{") else self.data
            return
        self.texts.append(data)
        if "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data.strip()

    @property
    def points(self):
        return json.loads(self.data)


def search_trials():
    return [
        trial(0, ARCHS[0], 1.0),
        trial(1, ARCHS[1], None, status="failed", reason=f"no gradient {HOSTILE}"),
        trial(2, ARCHS[6], 3.0, [0]),
        trial(3, ARCHS[7], 2.0, [2], seconds=0.0, cached=True),
        trial(4, ARCHS[12], 5.0, [3, 2]),
        trial(5, ARCHS[13], 4.0, [4]),
    ]


FOUND = {"arch": ARCHS[12], "score": 5.0, "values": {"gradsign": 5.0}, "params": 1234567, "flops": 89}


def test_the_page_of_a_search_tells_what_happened():
    truth = pd.DataFrame({"accuracy": [50.0, 60.0, 70.0], "params": 1.0}, index=[ARCHS[0], ARCHS[6], ARCHS[12]])
    seen = Reader(search_report("A search", search_trials(), SPACE, FOUND, truth))
    assert ["params", "1,234,567"] in seen.rows
    once = "slot 1: skip_connect → nor_conv_1x1"
    changed = f"{once}; {once}, slot 2: skip_connect → nor_conv_1x1"
    assert ["4", "5", "3 and 2", changed, ARCHS[12]] in seen.rows
    assert [row[0] for row in seen.rows if row[-1] in ARCHS and len(row) == 5] == ["4", "3", "2", "0"]
    assert ["failed", f"no gradient {HOSTILE}", "1"] in seen.rows
    assert any(row[:4] == ["6", "5", "1", "1"] for row in seen.rows), "evaluations, computed, known before, failed"
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


def test_the_page_of_a_comparison_holds_its_numbers():
    found = comparison()
    seen = Reader(comparison_page(found))
    header = next(row for row in seen.rows if "kendall" in row)
    assert header == [*found.correlations.drop(columns="seed").columns]
    body = {row[0]: dict(zip(header, row, strict=True)) for row in seen.rows if len(row) == len(header)}
    for row in found.correlations.itertuples():
        assert body[row.proxy]["kendall"] == f"{row.kendall:.3f}"
        assert body[row.proxy]["failed"] == str(row.failed)
    assert body["params"]["kendall_top10"] == "–"
    assert ["last", "failed", "no gradient", "8"] in seen.rows
    assert sum(tag == "svg" for tag, _ in seen.tags) == 1 + 1 + 4 + 1 + 2, "intervals, key, scatters, time, heat maps"
    texts = seen.points["texts"]
    scatters = list(seen.points["points"].values())[:4]
    for name, (places, notes) in zip(found.correlations["proxy"][::-1], scatters, strict=True):
        values = found.scores[found.scores["proxy"] == name].set_index("arch")
        assert sorted(texts[place] for place in places) == sorted(values.index)
        for place, note in zip(places, notes, strict=True):
            row, truth = values.loc[texts[place]], found.truth[texts[place]]
            expected = (
                f"{row['value']:.4g} → {truth:.5g}" if row["status"] == "ok" else f"{truth:.5g}; failed: no gradient "
            )
            assert note == expected


def test_marks_stand_where_matplotlib_puts_them():
    figure = Figure(figsize=(4, 3))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 4), ylim=(0, 3))
    axes.scatter([1, 2, np.nan], [1, 2.5, 1], c="k", s=9)
    html = page("Marks", [Section("One", figures=[Chart(figure, "marks", [(0, "a"), (0, "b"), (0, "c")])])], ["arch"])
    (marks,) = [attributes for tag, attributes in Reader(html).tags if attributes.get("class") == "marks"]
    assert marks["d"] == "M72.0 144.0h0M144.0 36.0h0"
    assert marks["data-point"] == "0,1"
    assert axes.collections[0].get_visible()
    assert figure.dpi == 100


def test_a_point_for_every_mark():
    figure = charts.scatter(np.arange(3.0), np.arange(3.0), np.zeros(3, dtype=int))
    with pytest.raises(ValueError, match="three has 3 marks, but 1 points"):
        page("Marks", [Section("One", figures=[Chart(figure, "three", [(0, "a")])])], ["arch"])


def everything_hostile():
    figure = Figure()
    figure.add_subplot().set_title(HOSTILE)
    table = pd.DataFrame({HOSTILE: [HOSTILE, HOSTILE], "number": [1.0, np.inf]})
    study = page(
        HOSTILE,
        [
            Section(
                HOSTILE,
                HOSTILE,
                [Chart(figure, HOSTILE)],
                [table, Sheet(table, HOSTILE, True, about={HOSTILE: HOSTILE})],
            )
        ],
        [HOSTILE],
    )
    return {
        "study": study,
        "comparison": comparison_page(comparison(hostile=HOSTILE), HOSTILE),
        "search": search_report(HOSTILE, search_trials(), SPACE, FOUND | {HOSTILE: HOSTILE}),
    }


@pytest.mark.parametrize("kind", ["study", "comparison", "search"])
def test_nothing_that_was_given_acts(kind):
    html = everything_hostile()[kind]
    seen = Reader(html)
    assert not [tag for tag, _ in seen.tags if tag in ("img", "iframe", "object", "link")]
    assert sum(tag == "script" for tag, _ in seen.tags) == 2
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert any(HOSTILE in text for text in seen.texts), "it is shown as it was given"
    assert "49" not in "".join(text for text in seen.texts if "7 * 7" in text)
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", html), "nothing is fetched"


def test_a_large_comparison_is_light():
    assert len(comparison_page(comparison(15, 1000)).encode()) < 1_500_000


def test_more_architectures_than_fit_are_thinned_out(monkeypatch):
    monkeypatch.setattr("nas.report.comparison.POINTS", 40)
    seen = Reader(comparison_page(comparison()))
    assert "Of 40 architectures 10 are drawn" in " ".join(seen.texts)
    assert len(next(iter(seen.points["points"].values()))[0]) == 10


def test_tables_say_what_heads_them():
    table = pd.DataFrame({"proxy": ["a", "b"], "count": [3, 40_000], "tiny": [1e-9, 2e-9], "none": [None, "x"]})
    seen = Reader(page("Tables", [Section("One", tables=[table])]))
    assert seen.rows == [
        ["proxy", "count", "tiny", "none"],
        ["a", "3", "1e-09", "–"],
        ["b", "40000", "2e-09", "x"],
    ]
    scopes = [attributes.get("scope") for tag, attributes in seen.tags if tag == "th"]
    assert scopes == ["col"] * 4 + ["row"] * 2
    assert [a["aria-sort"] for tag, a in seen.tags if tag == "th" and "aria-sort" in a] == ["none"] * 4


def luminance(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_stand_out_on_both_pages():
    html = page("Colours", [])
    colours = {name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", html)}
    paper = colours.pop("paper")
    assert {"ink", "quiet", "link", "level-0", "series-1", "cycle-9"} <= colours.keys()
    for name, pair in colours.items():
        for colour, background in zip(pair, paper, strict=True):
            dark, bright = sorted([luminance(colour), luminance(background)])
            least = 3 if name.startswith("level") else 1 if name in ("line", "raised") else 4.5
            assert (bright + 0.05) / (dark + 0.05) >= least, (name, colour, background)


# Ancestry


def test_mutations_and_crossovers_are_noted():
    ancestry, rng = Ancestry(), Random(0)
    space = ancestry.noting(ToySpace())
    first, second = space.sample(rng), space.sample(rng)
    assert ancestry.proposed(first, 0) == ancestry.proposed(second, 1) == ()
    child = space.mutate(first, rng)
    assert ancestry.proposed(child, 2) == (0,)
    mixed = space.mutate(space.crossover(child, second, rng), rng)
    assert set(ancestry.proposed(mixed, 3)) == {2, 1}
    near = space.neighbours(mixed)
    assert ancestry.proposed(near[0], 4) == (3,)
    assert ancestry.proposed(near[0], 5) == (), "noted once, proposed again by chance"
    below = space.cuts(space.full())
    assert ancestry.proposed(below[0][2], 6) == (), "the supernet was never proposed"


@pytest.mark.parametrize("name", list(SEARCHERS))
def test_a_searcher_proposes_the_same_on_a_space_that_notes(name):
    for space in (narrow_space(), Limited(narrow_space(), [parse_limit("params<=2000")], Task(3, 3, 8))):
        histories = []
        for inside in (space, Ancestry().noting(space)):
            search, proposals = SEARCHERS[name].start(inside, Random(3), {})
            history = []
            while proposals and len(history) < 30:
                history += proposals
                scores = [sum(slot[0] for slot in arch) for arch in proposals]
                try:
                    proposals = search.send(scores)
                except StopIteration:
                    break
            histories.append(history)
        assert histories[0] == histories[1]
        assert space._born is None


SEARCH = {
    "space": "nasbench201", "proxy": "params", "searcher": "evolution", "budget": 12, "batch_size": 12,
    "data": "synthetic:classes=3,size=8",
    "settings": {"nasbench201": {"widths": (4, 8), "repeats": 1}, "evolution": {"population": 4}},
}  # fmt: skip


def test_a_search_writes_parents_and_a_page_and_continues_folders_without(tmp_path):
    nas.search(**SEARCH, run_folder=tmp_path)
    lines = (tmp_path / "trials.jsonl").read_text().splitlines()
    parents = [json.loads(line)["parents"] for line in lines]
    assert all(list(json.loads(line))[-1] == "parents" for line in lines)
    assert parents[:4] == [[]] * 4
    assert all(len(found) == 1 and found[0] < number for number, found in enumerate(parents) if number >= 4)
    written = (tmp_path / "report.html").read_text()
    assert "Ancestry of the best" in written
    older = [json.dumps({k: v for k, v in json.loads(line).items() if k != "parents"}) + "\n" for line in lines]
    (tmp_path / "trials.jsonl").write_text("".join(older))
    (tmp_path / "report.html").unlink()
    again = nas.search(**SEARCH, run_folder=tmp_path)
    assert [list(found) for found in again["parents"]] == parents
    assert (tmp_path / "trials.jsonl").read_text() == "".join(older)
    assert (tmp_path / "report.html").read_text() == written


def test_a_comparison_writes_its_page(tmp_path):
    table = tmp_path / "table.csv"
    pd.DataFrame({"arch": ARCHS[:12], "accuracy": np.linspace(50, 90, 12)}).to_csv(table, index=False)
    nas.compare("nasbench201", table, "accuracy", "gradsign", data=SEARCH["data"], batch_size=12,
                settings={"nasbench201": SEARCH["settings"]["nasbench201"]}, run_folder=tmp_path / "run")  # fmt: skip
    seen = Reader((tmp_path / "run" / "report.html").read_text())
    assert {"gradsign", "params", "flops", "depth"} <= {row[0] for row in seen.rows}
    assert not (tmp_path / "run" / "report.html.new").exists()


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
    html = search_report("long", trials, space, {"arch": "a", "score": highest})
    assert f"Of 20000 evaluations {len(drawn)} are drawn" in html
    assert len(html) < 2_000_000
