"""The notebooks of docs/, run from the first cell to the last in this process, with less to do."""

import json
from io import BytesIO

import pandas as pd
import pytest
from cases import ROOT
from matplotlib.figure import Figure

NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))


def cells_of(name):
    notebook = json.loads((ROOT / "docs" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(name, folder, **parameters):
    """Its variables at the end, after it has run in ``folder``. ``parameters`` replace those of the cell that is tagged
    so, as papermill does it."""
    variables = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for cell in cells_of(name):
            exec(compile("".join(cell["source"]), f"{name}, {cell['id']}", "exec"), variables)
            if "parameters" in cell["metadata"].get("tags", ()):
                assert set(parameters) <= set(variables), "a notebook has no such parameter"
                variables |= parameters
    return variables


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_as_jupyter_wants_it(notebook):
    assert notebook.stat().st_size < 200_000
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"]) > 8
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in content["cells"])
    assert "".join(content["cells"][0]["source"]).startswith("# ")
    assert sum(cell["metadata"].get("tags") == ["parameters"] for cell in content["cells"]) == 1


def test_every_notebook_is_run_here():
    assert [path.stem for path in NOTEBOOKS] == ["comparison", "digits_to_onnx"]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    variables = run("comparison", folder, archs=12, budget=4)
    assert not list(folder.iterdir()), "without a run folder nothing is written"
    return variables


def test_the_comparison_returns_frames(comparison):
    found = comparison["found"]
    assert set(found.correlations["proxy"]) == {
        "gradalign_i", "gradalign_ii", "naswot", "synflow", "params", "flops", "depth",
    }  # fmt: skip
    assert found.scores["arch"].nunique() == 12
    assert set(found.selection["n"]) == {10}
    trials = comparison["result"].trials
    assert isinstance(trials, pd.DataFrame)
    assert len(trials) == 4
    assert comparison["result"].best.score == trials["score"].max()


def test_its_figures_can_be_shown(comparison):
    for figure in (comparison["intervals"], comparison["heat"], *comparison["seeds"].figures.values()):
        assert isinstance(figure, Figure)
        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=40)
        assert picture.getvalue().startswith(b"\x89PNG")


@pytest.mark.long
def test_digits_become_an_onnx_file_that_classifies_them(tmp_path):
    variables = run("digits_to_onnx", tmp_path, budget=4, epochs=4)
    assert variables["accuracy"] == pytest.approx(variables["trained"].table["test_accuracy"].iloc[0], abs=0.3)
    assert variables["accuracy"] > 60
    assert variables["exported"].files[0].name == "digits.onnx"
