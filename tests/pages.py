"""Made-up comparisons and searches, whose pages the tests look at."""

import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd

from nas.report.comparison import comparison_report
from nas.runs.loop import Trial
from nas.statistics.comparison import Comparison, mean_over_seeds, oriented, target_correlations
from nas.testing import narrow_space

HOSTILE = "</script><img src=x onerror=\"document.title='taken'\">&{{ 7 * 7 }}"
"""What must come out of every page as it went in, and do nothing."""


def comparison(proxies=4, archs=40, *, hostile=""):
    """Every fifth score of the last proxy failed; ``hostile`` goes wherever a file or a user may put text."""
    rng = np.random.default_rng(0)
    names = ["params", *(f"proxy_{number}" for number in range(proxies - 2)), f"last{hostile}"]
    texts = [f"|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|none~1|{n}~2|{hostile}" for n in range(archs)]
    quality = rng.random(archs)
    rows = []
    for name in names:
        values = quality + rng.normal(0, 0.3, archs) if name != "params" else 10 ** (5 + 2 * quality)
        for number, (text, value) in enumerate(zip(texts, values, strict=True)):
            failed = name == names[-1] and number % 5 == 0
            status, reason = ("failed", f"no gradient {hostile}") if failed else ("ok", "")
            rows.append((text, name, 0, None if failed else value, status, reason, 0.01))
    scores = pd.DataFrame(rows, columns=["arch", "proxy", "seed", "value", "status", "reason", "seconds"])
    truth = pd.Series(60 + 30 * quality, index=texts)
    tau = np.linspace(0.1, 0.8, proxies)
    correlations = pd.DataFrame({
        "proxy": names, "seed": "all", "n": archs, "failed": [0] * (proxies - 1) + [len(range(0, archs, 5))],
        "kendall": tau, "kendall_lo": tau - 0.05, "kendall_hi": tau + 0.05, "kendall_top10": tau / 2,
        "ms_per_arch": 1.5 ** np.arange(proxies),
    })  # fmt: skip
    correlations.loc[0, "kendall_top10"] = np.nan
    means = mean_over_seeds(oriented(scores, dict.fromkeys(names, True)))
    targets = target_correlations(means, pd.DataFrame({f"accuracy $x^{hostile}": truth, "constant": 1.0}))
    pairs = pd.DataFrame({"proxy_a": names[:1], "proxy_b": names[1:2], "difference": 0.1, "p": 0.5})
    chosen = pd.DataFrame({"proxy": names, "n": 10, "mean": 90.0, "sd": 1.0})
    return Comparison(scores, correlations, pairs, chosen, targets, truth, 3)


def comparison_page(found, target="accuracy"):
    names = list(found.correlations["proxy"])
    return comparison_report("A comparison", found, dict.fromkeys(names, True), target)


def trial(number, arch, score, parents=(), **others):
    values = {"status": "ok", "reason": "", "leaf": True, "cached": False, "seconds": 0.01} | others
    return Trial(number, arch, score, {"gradsign": score}, parents=tuple(parents), **values)


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


FOUND = {
    "arch": ARCHS[12], "score": 5.0, "values": {"gradsign": 5.0}, "params": 1234567, "flops": 89,
    "task": {"classes": 3},
}  # fmt: skip
SEARCH = {
    "space": "nasbench201", "proxy": "params", "searcher": "evolution", "budget": 12, "batch_size": 12,
    "data": "synthetic:classes=3,size=8",
    "settings": {"nasbench201": {"widths": (4, 8), "repeats": 1}, "evolution": {"population": 4}},
}  # fmt: skip
