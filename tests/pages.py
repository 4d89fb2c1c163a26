"""Made-up comparisons and searches, whose pages the tests look at."""

import numpy as np
import pandas as pd

from nas.report.comparison import comparison_report
from nas.runs.loop import Trial
from nas.statistics.comparison import Comparison, mean_over_seeds, oriented, target_correlations

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
