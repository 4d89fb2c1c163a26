"""``nas show --data``: what is said of a source."""

import re

import numpy as np
import pytest
from PIL import Image


def facts(out):
    return {name.strip(): value for name, value in re.findall(r"^(.{1,22}?) {2,}(\S.*)$", out, re.MULTILINE)}


def test_a_folder_is_described(nas, tmp_path):
    for name, count in (("cat", 9), ("dog", 6), ("emu", 2)):
        (tmp_path / "photos" / "train" / name).mkdir(parents=True)
        (tmp_path / "photos" / "val" / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((20, 20, 3), (0, 100, 200), np.uint8) + np.uint8(number % 2 * 50)
            Image.fromarray(pixels).save(tmp_path / "photos" / "train" / name / f"{number}.png")
        Image.fromarray(pixels).save(tmp_path / "photos" / "val" / name / "0.png")
    code, out, err = nas("show", "--data", "photos:size=8")
    assert code == 0, err
    shown = facts(out)
    pixels = np.array([number % 2 * 50 for count in (9, 6, 2) for number in range(count)])
    assert shown["kind"] == "folder (a folder of class folders)"
    assert shown["images"] == "17"
    assert shown["classes"] == "3"
    assert shown["images by class"] == "cat: 9, dog: 6, emu: 2"
    assert shown["smallest, largest"] == "2 and 9 images"
    assert shown["largest minibatch"] == "13"
    assert shown["size"] == "3 x 8 x 8 (channels, height, width)"
    mean = pixels.mean()
    assert shown["mean"] == ", ".join(f"{value:.4g}" for value in (mean, 100 + mean, 200 + mean))
    assert shown["standard deviation"] == ", ".join([f"{pixels.std():.4g}"] * 3)
    assert shown["kept apart"] == "validation"
    assert "of the folders train, val, train is read" in out
    assert "images of 20 x 20 pixels are scaled and cut to 8 x 8" in out


def test_what_is_made_up_is_described(nas):
    code, out, err = nas("show", "--data", "synthetic:classes=7,size=9")
    assert code == 0, err
    assert facts(out)["classes"] == "7"
    assert facts(out)["size"].startswith("3 x 9 x 9")
    assert "mean" not in facts(out)


def test_many_classes_are_shortened(nas, tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((300, 4, 4), np.uint8), labels=np.arange(300) % 30 + 1)
    code, out, err = nas("show", "--data", "x.npz")
    assert code == 0, err
    assert "10: 10, … and 20 more" in out
    assert "labels go from 1 to 30 and 30 of them occur" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--data", "nowhere"), "nowhere does not exist"),
        (("--data", "synthetic", "--out", "x.svg"), "data cannot be drawn"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_line(nas, arguments, sentence):
    code, out, err = nas("show", *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


def test_an_architecture_is_shown_for_the_data(nas):
    code, out, err = nas("show", "--data", "synthetic:classes=7,size=16", "nats:3,3,3,3,3,3")
    assert code == 0, err
    assert facts(out)["task"] == "7 classes, 3 x 16 x 16"
