import os
import sys
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
import torch

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))  # pytest runs two processes of its own
os.environ["NAS_STORE"] = "none"  # a test that looks at the store names a file of its own

from nas import cli, plugins  # noqa: E402
from nas.testing import narrow_space  # noqa: E402

plugins.load()

LONG = {
    "cli/test_train_and_export.py", "data/test_bombs.py", "engines/test_processes.py", "runs/test_resume.py",
    "runs/test_strange_scores.py", "scoring/test_rude_proxies.py", "searchers/test_conformance.py",
    "studies/test_every_study.py", "store/test_disturbed_stores.py", "scoring/test_cost.py",
    "formats/test_every_space.py",
}  # fmt: skip
"""Files of tests that all start processes or measure much; left out unless asked for by -m long."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix() in LONG:
            item.add_marker("long")


WITHOUT_FIGURES = ("calls", "engines", "runs", "scoring", "searchers", "store", "training")
"""Folders of tests whose searches write their page without its figures, which take longer to draw than all else."""


@pytest.fixture(autouse=True, scope="module")
def figures(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name in WITHOUT_FIGURES:
            patch.setattr("nas.report.page.inline_svg", lambda chart, prefix: f"<svg id='{prefix}'/>")
        yield


@pytest.fixture(scope="session")
def nas_data() -> Path:
    """The folder of trained accuracies and probe images."""
    if "NAS_DATA" not in os.environ:
        pytest.skip("NAS_DATA is not set: it names the folder with nasbench201.csv.gz and the probe images")
    return Path(os.environ["NAS_DATA"])


@pytest.fixture
def images(tmp_path) -> Path:
    """A small .npz of labelled images: three classes of thirty, 8 x 8 pixels."""
    rng = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(path, images=rng.integers(0, 256, (90, 8, 8, 3), dtype=np.uint8), labels=np.arange(90) % 3)
    return path


@pytest.fixture
def nas(monkeypatch, capsys, tmp_path):
    """Runs ``nas ARGUMENTS`` in an empty folder; gives (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return call


@pytest.fixture
def table(tmp_path) -> Path:
    """Thirty cells with an accuracy, as CSV and, beside it, as Parquet."""
    toy = narrow_space()
    archs = [toy.sample(Random(seed)) for seed in range(30)]
    frame = pd.DataFrame({"arch": map(toy.text, archs), "accuracy": np.arange(30.0), "note": "x"})
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    return tmp_path / "table.csv"
