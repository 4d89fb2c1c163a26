"""Arrays in files: layouts, types of numbers, labels, parts; and CIFAR's files."""

import pickle

import numpy as np
import pytest
import torch

from nas.data.minibatch import minibatch
from nas.errors import UsageError
from nas.space import Task

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


def save(tmp_path, **arrays):
    np.savez(tmp_path / "x.npz", **arrays)
    return minibatch(tmp_path / "x.npz", 24, seed=1)


@pytest.fixture
def expected(tmp_path):
    return save(tmp_path, images=PIXELS, labels=LABELS)


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.astype(np.int8), LABELS.astype(np.uint64), LABELS.astype(np.float64), LABELS.astype(np.float16),
        LABELS[:, None], LABELS[:, None].astype(np.uint8), np.eye(3)[LABELS], np.eye(3, dtype=bool)[LABELS],
        LABELS + 1, LABELS * 300, LABELS * 2 + 7, np.array(["ant", "bee", "cat"])[LABELS],
        np.array([b"ant", b"bee", b"cat"])[LABELS],
    ],
)  # fmt: skip
def test_labels_that_mean_the_same_are_the_same(tmp_path, expected, labels):
    assert save(tmp_path, images=PIXELS, labels=labels).fingerprint == expected.fingerprint


def test_truth_values_are_two_classes(tmp_path):
    two = save(tmp_path, images=PIXELS, labels=LABELS % 2)
    assert save(tmp_path, images=PIXELS, labels=LABELS % 2 == 1).fingerprint == two.fingerprint


@pytest.mark.parametrize(
    ("labels", "says"),
    [(LABELS, False), (LABELS + 1, True), (LABELS * 2, True), (np.array(["a", "b", "c"])[LABELS], False)],
)
def test_labels_with_gaps_are_said(tmp_path, labels, says):
    notes = save(tmp_path, images=PIXELS, labels=labels).notes
    assert any(f"labels go from {labels.min()} to {labels.max()} and 3 of them occur" in note for note in notes) == says


def test_the_number_of_classes_can_be_said(tmp_path):
    save(tmp_path, images=PIXELS, labels=LABELS + 1)
    data = minibatch(f"{tmp_path}/x.npz:classes=10", 24)
    assert data.classes == 10
    assert set(data.labels.tolist()) == {1, 2, 3}
    assert not data.notes
    with pytest.raises(UsageError, match="labels must be from 0 to 2, not 1 to 3"):
        minibatch(f"{tmp_path}/x.npz:classes=3", 24)


def test_one_hot_labels_say_how_many_classes_there_are(tmp_path):
    assert save(tmp_path, images=PIXELS, labels=np.eye(5)[LABELS]).classes == 5


@pytest.mark.parametrize(
    "labels",
    [
        LABELS + 0.5, np.where(LABELS, LABELS, np.nan), np.where(LABELS, LABELS, np.inf), LABELS[:59],
        np.stack([LABELS, LABELS], 1), np.ones((60, 3)), np.zeros((60, 3)), np.eye(3)[LABELS] * 0.5, LABELS[None],
        LABELS.astype(complex), LABELS.astype("M8[s]"), 7,
    ],
)  # fmt: skip
def test_labels_that_leave_doubt_are_refused(tmp_path, labels):
    with pytest.raises(UsageError, match=r"x\.npz: labels must be 60 whole numbers, one for each image, not "):
        save(tmp_path, images=PIXELS, labels=labels)


@pytest.mark.parametrize("labels", [LABELS.astype(np.int8) - 1, LABELS.astype(float) - 2, LABELS + 10**6])
def test_labels_below_0_or_very_large_are_refused(tmp_path, labels):
    with pytest.raises(UsageError, match="labels must be from 0 to 99999, not"):
        save(tmp_path, images=PIXELS, labels=labels)


@pytest.mark.parametrize(
    "images",
    [
        PIXELS.transpose(0, 3, 1, 2), np.asfortranarray(PIXELS), PIXELS.astype(np.uint16) * 257, PIXELS / 255,
        (PIXELS / 255).astype(np.float32).transpose(0, 3, 1, 2), PIXELS.astype(np.int16) - 128, PIXELS.astype(">i4"),
    ],
)  # fmt: skip
def test_images_that_mean_the_same_are_the_same(tmp_path, expected, images):
    data = save(tmp_path, images=images, labels=LABELS)
    assert data.labels.equal(expected.labels)
    torch.testing.assert_close(data.images, expected.images, atol=1e-5, rtol=0)


def test_grey_images_need_no_channel(tmp_path):
    with_channel = save(tmp_path, images=PIXELS[..., :1], labels=LABELS)
    assert with_channel.task == Task(3, 1, 8)
    for images in (PIXELS[..., 0], PIXELS[:, None, :, :, 0]):
        assert save(tmp_path, images=images, labels=LABELS).fingerprint == with_channel.fingerprint


def test_where_the_shape_does_not_say_it_channels_come_last(tmp_path):
    cubes = RNG.integers(0, 256, (60, 3, 3, 3), dtype=np.uint8)
    data = save(tmp_path, images=cubes, labels=LABELS)
    whole = ((cubes - cubes.mean((0, 1, 2))) / cubes.std((0, 1, 2))).transpose(0, 3, 1, 2)
    assert max(np.abs(whole - image).max((1, 2, 3)).min() for image in data.images.numpy()) < 1e-4


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (PIXELS[:, :7], "images must be square"),
        (PIXELS.transpose(0, 3, 1, 2)[..., :7], "images must be square"),
        (PIXELS[:, 0], "images must be square"),
        (PIXELS.reshape(60, -1), "images must be uint8"),
        (PIXELS[None], "images must be uint8"),
        (PIXELS.astype(complex), "images must be uint8 .*not complex128"),
        (np.where(PIXELS > 250, np.nan, PIXELS), "values that are no numbers"),
        (np.where(PIXELS > 250, np.inf, PIXELS), "values that are no numbers"),
    ],
)  # fmt: skip
def test_images_that_leave_doubt_are_refused(tmp_path, images, sentence):
    with pytest.raises(UsageError, match=rf"x\.npz: .*{sentence}"):
        save(tmp_path, images=images, labels=LABELS)


def test_images_without_difference_are_nothing_and_said(tmp_path):
    for value in (7, 0.1):
        data = save(tmp_path, images=np.full((60, 8, 8, 3), value), labels=LABELS)
        assert data.images.abs().max() < 1e-4
        assert any("the same number everywhere in channel 0, 1, 2" in note for note in data.notes)


def test_of_large_numbers_the_differences_count(tmp_path, expected):
    for images in (PIXELS + 1e12, PIXELS.astype(np.int64) + 2**40, PIXELS * 1e-30, PIXELS * 1e100):
        data = save(tmp_path, images=images, labels=LABELS)
        torch.testing.assert_close(data.images, expected.images, atol=1e-3, rtol=0)
    with pytest.raises(UsageError, match="numbers too large"):
        save(tmp_path, images=PIXELS * 1e300, labels=LABELS)


@pytest.mark.parametrize(("image", "label"), [("images_{}", "labels_{}"), ("{}_images", "{}_labels"), ("x_{}", "y_{}")])
def test_of_arrays_in_parts_the_training_images_are_read(tmp_path, expected, image, label):
    parts = {"train": (PIXELS, LABELS), "val": (PIXELS[:9], LABELS[:9]), "test": (PIXELS[:6], LABELS[:6] + 9)}
    arrays = {
        name.format(part): array
        for part, pair in parts.items()
        for name, array in zip((image, label), pair, strict=True)
    }
    assert save(tmp_path, **arrays).fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": PIXELS}, "has no array labels, only images"),
        ({"x_train": PIXELS, "labels": LABELS}, "has no array images, only x_train, labels"),
        ({"images": PIXELS, "labels": LABELS, "x_train": PIXELS, "y_train": LABELS}, "has images and x_train, so that"),
    ],
)
def test_arrays_that_leave_doubt_are_refused(tmp_path, arrays, sentence):
    with pytest.raises(UsageError, match=sentence):
        save(tmp_path, **arrays)


def write(folder, name, content):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(content, protocol=2))


def batch(labels, **more):
    rows = RNG.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    return {b"data": rows, b"labels": labels} | {key.encode(): value for key, value in more.items()}


def test_cifar_10_has_the_classes_that_its_names_list(tmp_path):
    for number in (1, 2):
        write(tmp_path, f"data_batch_{number}", batch([0, 4] * 10))
    (tmp_path / "data_batch_1 (copy)").write_bytes(b"what a file manager leaves")
    (tmp_path / "data_batch_1.bak").write_bytes(b"what an editor leaves")
    assert minibatch(tmp_path, 8).classes == 2
    write(tmp_path, "batches.meta", {b"label_names": [b"airplane", b"car", b"bird", b"cat", b"deer"]})
    data = minibatch(tmp_path, 8)
    assert data.classes == 5
    assert set(data.labels.tolist()) == {0, 4}
    assert "2 of the 5 training batches are there" in data.notes
    write(tmp_path, "batches.meta", {b"label_names": 7})
    with pytest.raises(UsageError, match=r"batches\.meta: has no list 'label_names' of texts"):
        minibatch(tmp_path, 8)


def test_cifar_100_has_coarse_labels_too(tmp_path):
    fine = list(range(100)) * 4
    coarse = [label // 5 for label in fine]
    write(tmp_path, "train", batch([], fine_labels=fine, coarse_labels=coarse) | batch(fine))
    assert minibatch(tmp_path, 64).classes == 100
    assert minibatch(f"{tmp_path}:labels=coarse", 64).classes == 20
    write(tmp_path / "ten", "data_batch_1", batch([0, 1] * 8))
    with pytest.raises(UsageError, match=r"CIFAR-10 has no coarse labels"):
        minibatch(f"{tmp_path}/ten:labels=coarse", 8)


def test_the_binary_version_of_cifar_is_no_folder_of_images(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073))
    with pytest.raises(UsageError, match="of 0 class"):
        minibatch(tmp_path, 8)
    with pytest.raises(UsageError, match="holds no CIFAR batches for Python"):
        minibatch(f"cifar:{tmp_path}", 8)
