"""Minibatches from every kind of source, and what is said of broken ones."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data.minibatch import minibatch
from nas.errors import UsageError
from nas.space import Task


def test_synthetic_is_balanced_noise():
    data = minibatch("synthetic", 64, seed=1)
    assert data.task == Task(10, 3, 32)
    assert data.images.shape == (64, 3, 32, 32)
    assert abs(float(data.images.mean())) < 0.02
    assert abs(float(data.images.std()) - 1) < 0.02
    assert sorted(data.labels.bincount().tolist()) == [6] * 6 + [7] * 4


def test_the_seed_alone_determines_the_minibatch(images):
    for source in ("synthetic", str(images)):
        assert minibatch(source, 12, 0).fingerprint == minibatch(source, 12, 0).fingerprint
        assert minibatch(source, 12, 0).fingerprint != minibatch(source, 12, 1).fingerprint


def test_every_prefix_is_balanced_and_every_class_has_four(images):
    for size in (12, 17, 30):
        data = minibatch(str(images), size)
        for prefix in range(3, size + 1):
            counts = data.labels[:prefix].bincount(minlength=3)
            assert counts.max() - counts.min() <= 1
        assert data.labels.bincount().min() >= 4


def test_where_the_classes_do_not_fit_some_are_drawn():
    data = minibatch("synthetic:classes=100,size=8", 64)
    assert data.classes == 100
    counts = data.labels.bincount(minlength=100)
    assert sorted(counts[counts > 0].tolist()) == [4] * 16
    assert set(minibatch("synthetic:classes=100,size=8", 64, seed=1).labels.tolist()) != set(data.labels.tolist())


def test_npz_is_read_and_standardised(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 6, 6, 2), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(40) % 2)
    data = minibatch(str(tmp_path / "a.npz"), 40)
    assert data.task == Task(2, 2, 6)
    torch.testing.assert_close(data.images.mean((0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(data.images.std((0, 2, 3), correction=0), torch.ones(2), atol=1e-4, rtol=0)
    standard = ((pixels - pixels.mean((0, 1, 2))) / pixels.std((0, 1, 2))).transpose(0, 3, 1, 2)
    distances = np.abs(data.images[0].numpy() - standard).max((1, 2, 3))
    assert distances.min() < 1e-4, "the first image is one of the file's"
    assert np.argmin(distances) % 2 == data.labels[0], "and has its label"


def write_cifar(folder, names, key, classes, extra=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        rows = np.random.default_rng(len(name)).integers(0, 256, (classes * 5, 3072), dtype=np.uint8)
        batch = {b"data": rows, key: [i % classes for i in range(len(rows))], b"batch_label": b"x"} | (extra or {})
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


def test_cifar_folders(tmp_path):
    write_cifar(tmp_path / "ten" / "cifar-10-batches-py", ["data_batch_1", "data_batch_2"], b"labels", 10)
    write_cifar(tmp_path / "hundred", ["train"], b"fine_labels", 100)
    assert minibatch(str(tmp_path / "ten"), 80).task == Task(10, 3, 32)
    assert minibatch(str(tmp_path / "hundred"), 64).task == Task(100, 3, 32)
    raw = pickle.loads((tmp_path / "hundred" / "train").read_bytes())[b"data"].reshape(-1, 3, 32, 32)
    standard = (raw - raw.mean((0, 2, 3), keepdims=True)) / raw.std((0, 2, 3), keepdims=True)
    data = minibatch(str(tmp_path / "hundred"), 64)
    row = np.abs(standard - data.images[0].numpy()).max((1, 2, 3))
    assert row.min() < 1e-3
    assert np.argmin(row) % 100 == data.labels[0]


class Trap:
    def __reduce__(self):
        return (open, ("/tmp/a-cifar-batch-ran-code", "w"))


def test_a_cifar_batch_runs_no_code(tmp_path):
    write_cifar(tmp_path, ["data_batch_1"], b"labels", 10, {b"trap": Trap()})
    with pytest.raises(UsageError, match=r"io\.open"):
        minibatch(str(tmp_path), 40)


def write_images(folder, classes, count=6, size=(20, 14)):
    rng = np.random.default_rng(0)
    for label in classes:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / label / f"{number}.png")


def test_image_folder(tmp_path):
    write_images(tmp_path, ["cat", "dog"])
    assert minibatch(str(tmp_path), 12).task == Task(2, 3, 32)
    assert minibatch(f"{tmp_path}:size=16", 12).images.shape == (12, 3, 16, 16)


PIXELS = np.zeros((8, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: np.savez(p / "x.npz", pictures=np.zeros(3)), "no array images or labels, only pictures"),
        (lambda p: (p / "x.npz").write_bytes(b"PK\3\4 broken"), "cannot be read as .npz"),
        (lambda p: np.savez(p / "x.npz", images=np.array([{}], dtype=object), labels=[0]), "cannot be read as .npz"),
        (lambda p: np.savez(p / "x.npz", images=np.zeros((8, 4, 4, 3)), labels=np.zeros(8, int)), "of 1 class"),
        (lambda p: np.savez(p / "x.npz", images=PIXELS, labels=np.zeros(7, int)), "labels must be 8"),
        (lambda p: np.savez(p / "x.npz", images=PIXELS, labels=np.zeros(8, int)), "of 1 class"),
        (lambda p: np.savez(p / "x.npz", images=PIXELS[:, 1:], labels=np.arange(8) % 2), "must be square"),
        (lambda p: np.savez(p / "x.npz", images=PIXELS[:6], labels=np.arange(6) % 2), "fewer than 2 classes"),
        (lambda p: (p / "x.npz").mkdir(), "of 0 class"),
        (lambda p: write_images(p / "x.npz", ["only"]), "of 1 class"),
        (lambda p: None, "does not exist"),
    ],
)  # fmt: skip
def test_broken_sources(tmp_path, make, reason):
    make(tmp_path)
    with pytest.raises(UsageError, match=reason):
        minibatch(str(tmp_path / "x.npz"), 8)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("synthetic:clases=10", "did you mean 'classes'"),
        ("synthetic:classes=1", "at least 2 and"),
        ("nowhere", "does not exist"),
    ],
)
def test_broken_settings(source, reason):
    with pytest.raises(UsageError, match=reason):
        minibatch(source, 64)


def test_a_broken_image_is_named(tmp_path):
    write_images(tmp_path, ["cat", "dog"], count=4)
    (tmp_path / "cat" / "2.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"cat/2\.png"):
        minibatch(str(tmp_path), 8)


def test_crops_are_windows_of_the_images(images):
    data = minibatch(str(images), 12)
    crops = data.crops(50, 3)
    assert crops.images.shape == (50, 1, 3, 3)
    windows = {
        tuple(data.images[n, c, i : i + 3, j : j + 3].flatten().tolist())
        for n in range(12) for c in range(3) for i in range(6) for j in range(6)
    }  # fmt: skip
    assert all(tuple(crop.flatten().tolist()) in windows for crop in crops.images)
    assert len({tuple(crop.flatten().tolist()) for crop in crops.images}) > 45
