"""From a score to a network in use, on the command line: search, train, export; and what it says."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from exported import outputs_elsewhere
from PIL import Image
from trainings import CELL, OTHER, stripes_file

SMALL = ["--set", "nasbench201.widths=4,8", "--set", "nasbench201.repeats=1"]


def test_train_prints_its_table_and_what_is_next(nas, tmp_path):
    stripes_file(tmp_path)
    call = ["train", CELL, OTHER, "--data", "stripes.npz", "--epochs", "2", "--out", "run", *SMALL]
    code, out, err = nas(*call)
    assert code == 0
    assert "nas: data: validation: 0.1 of the images of each class, drawn by the seed" in err
    assert "nas: training: images are shown as they are; --augment says otherwise" in err
    table = pd.read_csv(tmp_path / "run" / "table.csv")
    best = table.loc[table["valid_accuracy"].idxmax(), "arch"]
    lines = out.splitlines()
    assert lines[0] == "Trained networks"
    assert lines[2].endswith(best)
    assert lines[-2] == "next: nas export --run run --out net.py"
    assert lines[-1] == (
        "or: nas compare --space nasbench201 --data stripes.npz --set 'nasbench201.widths=[4, 8]' "
        "--set nasbench201.repeats=1 --table run/table.csv --target test_accuracy"
    )
    before = (tmp_path / "run" / "table.csv").read_text()
    assert nas(*call)[0] == 0
    assert (tmp_path / "run" / "table.csv").read_text() == before
    assert nas("train", CELL, "--config", "run/config.yaml", "--out", "run")[0] == 0
    code, _, err = nas(*call, "--lr", "0.2")
    assert (code, err.splitlines()[-1]) == (
        2,
        "nas: run holds a run with lr None, not 0.2: give another folder with --out",
    )


def test_export_says_what_it_wrote_and_what_is_next(nas, tmp_path):
    stripes_file(tmp_path)
    assert nas("train", CELL, "--data", "stripes.npz", "--epochs", "1", "--out", "run", *SMALL)[0] == 0
    code, out, _ = nas("export", "--run", "run")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].endswith(", weights: trained, of epoch 1 of 1")
    assert lines[1] == "takes any number of images of 1 x 8 x 8, and of other sizes; tells 3 classes apart"
    assert lines[2] == "largest difference to the network's own logits: 0, on random images and 9 of the data"
    assert lines[3:] == ["written to net.py and net.pt", "next: from net import load; net = load()"]
    code, out, _ = nas("export", CELL, "--out", "net.pt2", *SMALL)
    assert code == 0
    assert "tells 10 classes apart" in out
    assert out.splitlines()[-1] == "next: import torch; net = torch.export.load('net.pt2').module()"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "stripes.npz"], "no architecture was named"),
        (["train", CELL], "no data were named to train on: --data takes a folder"),
        (["train", CELL, "--archs", "3", "--data", "stripes.npz"], "leave it out for those that you name"),
        (["train", CELL, "--spread", "params", "--data", "stripes.npz"], "say how many with --archs N"),
        (["train", CELL, "--data", "stripes.npz", "--epochs", "0"], "epochs is a whole number"),
        (["train", CELL, "--data", "stripes.npz", "--store", "x"], "--store"),
        (["train", "--run", "nowhere", "--data", "stripes.npz"], "nowhere/config.yaml cannot be read"),
        (["export", "--out", "x.onnxx"], "unknown format '.onnxx'"),
        (["export"], "no architecture was named"),
    ],
)
def test_wrong_use_is_one_line(nas, tmp_path, arguments, message):
    stripes_file(tmp_path)
    code, out, err = nas(*arguments)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == {"stripes.npz"}


@pytest.mark.long
def test_killed_ten_times_it_comes_to_the_same(tmp_path):
    """SIGKILL, at moments of chance in the middle of training."""
    stripes_file(tmp_path)
    command = [sys.executable, "-m", "nas.cli", "train", CELL, "--data", "stripes.npz", "--epochs", "120", *SMALL]
    subprocess.run([*command, "--out", "whole"], cwd=tmp_path, check=True, capture_output=True)

    def rows(folder):
        (file,) = (tmp_path / folder).glob("*/history.csv")
        return [line.rpartition(",")[0] for line in file.read_text().splitlines()]

    reached = 1
    for pause in np.random.default_rng().uniform(0, 0.3, 10):
        process = subprocess.Popen([*command, "--out", "killed"], cwd=tmp_path, stderr=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        end = time.monotonic() + 120
        while process.poll() is None and not (
            list((tmp_path / "killed").glob("*/history.csv")) and len(rows("killed")) > reached
        ):
            assert time.monotonic() < end, "training does not begin"
            time.sleep(0.01)
        time.sleep(pause)
        assert process.poll() is None, "training was over before it was killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reached = len(rows("killed"))
    subprocess.run([*command, "--out", "killed"], cwd=tmp_path, check=True, capture_output=True)
    assert rows("killed") == rows("whole")
    for name in ("best.pt", "last.pt"):
        (whole,), (killed,) = ((tmp_path / folder).glob(f"*/{name}") for folder in ("whole", "killed"))
        first, second = torch.load(whole, weights_only=True), torch.load(killed, weights_only=True)
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A third of the handwritten digits of scikit-learn, 8 x 8, as arrays and as class folders."""
    load_digits = pytest.importorskip(
        "sklearn.datasets", reason="scikit-learn, which has them, is not installed"
    ).load_digits
    folder = tmp_path_factory.mktemp("digits")
    loaded = load_digits()
    images = np.round(loaded.images[::3] * 255 / 16).astype(np.uint8)
    labels = loaded.target[::3]
    np.savez(folder / "digits.npz", images=images, labels=labels)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / "digits" / f"digit {label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "digits" / f"digit {label}" / f"{number}.png")
    return folder


@pytest.mark.parametrize("kind", [pytest.param("digits.npz", marks=pytest.mark.long), "digits:size=8"])
def test_from_a_score_to_a_network_in_use(nas, tmp_path, digits, kind):
    data = ["--data", f"{digits}/{kind}"]
    code, out, _ = nas(
        "search", "--proxy", "naswot", "--searcher", "random_search", "--budget", "3", "--batch-size", "20", *data,
        "--constraint", "params<=1e5", "--run", "found", "--set", "nasbench201.widths=8,16",
        "--set", "nasbench201.repeats=1",
    )  # fmt: skip
    assert code == 0
    code, out, _ = nas("train", "--run", "found", "--epochs", "6", "--out", "trained", "--lr", "0.05")
    assert code == 0
    table = pd.read_csv(tmp_path / "trained" / "table.csv")
    assert table["test_accuracy"].item() > 60  # of few digits, in few epochs; enough of both make 98 % and more
    assert table["params"].item() <= 1e5
    files = [tmp_path / f"net.{suffix}" for suffix in ("py", "pt2", "onnx")]
    for file in files:
        code, out, err = nas("export", "--run", "trained", "--out", file)
        if code == 2 and "ONNX takes" in err:
            continue
        assert code == 0, err
        assert re.search(r"on random images and 32 of the data\n", out)
    from nas.data.splits import splits

    test = splits(f"{digits}/{kind}").test
    for logits in outputs_elsewhere([file for file in files if file.exists()], test.images(torch.arange(len(test)))):
        right = (logits[: len(test)].argmax(1) == test.labels).float().mean()
        assert 100 * float(right) == pytest.approx(table["test_accuracy"].item(), abs=1e-3)
    assert ("digit 3" in files[0].read_text()) == kind.startswith("digits:")
