"""The first line of a search: what is maximised, and why."""

import pytest
from searches import DATA

import nas
from nas.cli import printing
from nas.cli.search import maximised


@pytest.mark.parametrize(
    ("given", "asked", "line"),
    [
        ({}, False,
         "maximising nas_rank_cells (the default, chosen on trained networks of five spaces: gradalign_i + "
         "dextr_condition + az_expressivity + az_trainability by rank), by evolution on nasbench201"),
        ({"proxy": "gradalign_i"}, True,
         "maximising gradalign_i (asked for), by evolution on nasbench201; without a limit it favours the largest "
         "network: --constraint 'params<=…'"),
        ({"proxy": "gradalign_i", "constraints": ["params<=1e4"]}, True,
         "maximising gradalign_i (asked for), by evolution on nasbench201"),
        ({"proxy": "ntk", "searcher": "random_search"}, True,
         "minimising ntk (asked for), by random_search on nasbench201"),
        ({"proxy": "params+depth"}, True, "maximising params+depth (asked for), by evolution on nasbench201"),
        ({"proxy": "depth", "minimise": "flops", "searcher": "nsga2"}, True,
         "maximising depth (asked for), minimising flops, by nsga2 on nasbench201"),
    ],
)  # fmt: skip
def test_what_is_maximised(given, asked, line):
    said = []
    settings = {"nasbench201": {"widths": (4, 8), "repeats": 1}}
    nas.search(
        budget=1, data=DATA, settings=settings, announce=lambda plan: said.append(maximised(plan, asked)), **given
    )
    assert said == [line]


def test_it_is_said_where_a_terminal_shows_progress(monkeypatch, capsys):
    printing.announced("maximising", quiet=False)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    printing.announced("maximising", quiet=True)
    assert capsys.readouterr() == ("", "")
    printing.announced(
        "maximising [params] a long line that is not broken, since it may be copied from there" * 2, quiet=False
    )
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
