"""The notebook-like example of docs/, run from its first cell to its last."""

import runpy
from io import BytesIO

import pandas as pd
import pytest
from cases import ROOT
from matplotlib.figure import Figure

TOUR = ROOT / "docs" / "tour.py"


@pytest.fixture(scope="module")
def tour(nas_data, tmp_path_factory):
    """Its variables, after it has run in an empty folder."""
    folder = tmp_path_factory.mktemp("tour")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NAS_DATA", str(nas_data))
        found = runpy.run_path(str(TOUR))
    assert not list(folder.iterdir()), "without a run folder nothing is written"
    return found


@pytest.mark.long
def test_the_calls_return_frames(tour):
    found = tour["found"]
    assert set(found.correlations["proxy"]) == {
        "gradalign_i", "gradalign_ii", "naswot", "synflow", "params", "flops", "depth",
    }  # fmt: skip
    assert found.scores["arch"].nunique() == 20
    assert set(found.selection["n"]) == {10}
    trials = tour["result"].trials
    assert isinstance(trials, pd.DataFrame)
    assert len(trials) == 30
    assert tour["result"].best.score == trials["score"].max()


@pytest.mark.long
def test_the_figures_are_shown_by_a_notebook(tour):
    for figure in (tour["intervals"], tour["heat"], *tour["seeds"].figures.values()):
        assert isinstance(figure, Figure)
        picture = BytesIO()
        figure.savefig(picture, format="png")
        assert picture.getvalue().startswith(b"\x89PNG")


def test_it_is_a_notebook_in_cells(tour):
    cells = TOUR.read_text().split("# %%")
    assert len(cells) > 8
    assert all(cell.startswith((" [markdown]", "\n")) for cell in cells[1:])
