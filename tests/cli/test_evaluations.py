"""`nas search --evaluate`, and `nas compare` with a recommendation and without a table, from the command line."""

import shlex
from random import Random

import pandas as pd

from nas.testing import narrow_space

SMALL = ("--data", "synthetic:classes=3,size=8", "--batch-size", "12", "--set", "nasbench201.widths=[4,8]",
         "--set", "nasbench201.repeats=1", "--quiet")  # fmt: skip


def test_search_evaluate_and_the_recommended_command(nas, tmp_path):
    space, rng = narrow_space(), Random(0)
    archs = list({space.text(space.sample(rng)): None for _ in range(30)})  # what random search draws
    pd.DataFrame({"arch": archs, "place": [float(len(a)) for a in archs]}).to_csv(tmp_path / "t.csv", index=False)
    code, out, err = nas("search", "--space", "nasbench201", "--proxy", "params", "--searcher", "random_search",
                         "--budget", "30", "--table", "t.csv", "--target", "place", "--evaluate", "4", "--run", "r",
                         *SMALL)  # fmt: skip
    assert (code, err) == (0, "")
    assert "Evaluated by place" in out
    assert "the best of the ranking" in out
    assert "weights believed in: params " in out
    assert "next: nas train --run r" in out
    assert len(pd.read_csv(tmp_path / "r" / "evaluations.csv")) == 4
    code, out, err = nas("compare", "--space", "nasbench201", "--table", "t.csv", "--target", "place", "--proxies",
                         "params", "--run", "c", *SMALL)  # fmt: skip
    assert (code, err) == (0, "")
    command = shlex.split(out.split("next: ")[1].splitlines()[0])
    code, out, err = nas(*command[1:], "--budget", "30", "--searcher", "random_search", "--store", "none", "--quiet")
    assert code == 0, err
    assert "Best architectures" in out


def test_search_evaluates_by_a_function_in_a_file(nas, tmp_path):
    (tmp_path / "mine.py").write_text("def short(arch):\n    return -len(arch)\n")
    call = ("search", "--proxy", "params", "--searcher", "random_search", "--budget", "9", "--run", "r", *SMALL)
    code, out, err = nas(*call, "--evaluate", "2", "--truth", "mine.py:short")
    assert (code, err) == (0, "")
    assert "Evaluated by short" in out
    code, _, err = nas(*call, "--evaluate", "3", "--truth", "mine.py:shrt")
    assert (code, err) == (2, "nas: unknown function of mine.py 'shrt': known are short; did you mean 'short'?\n")


def test_compare_without_a_table(nas):
    code, out, err = nas("compare", "--space", "nasbench201", "--proxies", "params", "--archs", "6", "--seeds", "2",
                         "--run", "c", *SMALL)  # fmt: skip
    assert (code, err) == (0, "")
    assert "Spearman's ρ between proxies on nasbench201, 6 architectures" in out
    assert "No proxy's ranking is mostly chance here." in out
