"""Data that Python users hand over: pairs of arrays, data sets, minibatches."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset, TensorDataset

from nas.data import objects
from nas.data.minibatch import Minibatch, minibatch
from nas.errors import UsageError
from nas.space import Task

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


class Items(Dataset):
    """A data set as users write them."""

    def __init__(self, images, labels, **attributes):
        self.images, self.labels = images, labels
        vars(self).update(attributes)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


@pytest.fixture
def expected(tmp_path):
    """The minibatch of the same images in a file."""
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=LABELS)
    return minibatch(tmp_path / "x.npz", 24, seed=3)


FIRST = np.moveaxis(PIXELS, 3, 1)


@pytest.mark.parametrize(
    "given",
    [
        (PIXELS, LABELS),
        [PIXELS, LABELS.tolist()],
        (FIRST, LABELS),
        (torch.from_numpy(PIXELS), torch.from_numpy(LABELS)),
        (torch.from_numpy(FIRST), torch.from_numpy(LABELS)[:, None]),
        Items([Image.fromarray(image) for image in PIXELS], LABELS.tolist()),
        Items([Image.fromarray(image) for image in PIXELS], LABELS.tolist(), targets=LABELS.tolist()),
        Items(torch.from_numpy(FIRST), torch.from_numpy(LABELS), classes=["a", "b", "c"]),
        TensorDataset(torch.from_numpy(FIRST), torch.from_numpy(LABELS)),
        Subset(TensorDataset(torch.from_numpy(FIRST), torch.from_numpy(LABELS)), range(60)),
    ],
)  # fmt: skip
def test_the_same_images_are_the_same_minibatch(expected, given):
    assert minibatch(given, 24, seed=3).fingerprint == expected.fingerprint


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.uint16, np.int64])
def test_the_scale_of_numbers_does_not_matter(expected, kind):
    scaled = FIRST.astype(kind) / (kind(255) if np.dtype(kind).kind == "f" else 1)
    for given in ((scaled, LABELS), Items(list(scaled), LABELS.tolist())):
        drawn = minibatch(given, 24, seed=3)
        torch.testing.assert_close(drawn.images, expected.images, atol=5e-3 if kind == np.float16 else 1e-5, rtol=0)
        assert drawn.labels.equal(expected.labels)


def test_grey_images_have_one_channel():
    for given in ((PIXELS[..., 0], LABELS), Items([Image.fromarray(image[..., 0]) for image in PIXELS], LABELS)):
        assert minibatch(given, 24).task == Task(3, 1, 8)


def test_the_classes_of_a_data_set_are_those_that_it_names():
    few = Items(list(PIXELS), [int(label) for label in LABELS], classes=list("abcde"), targets=LABELS)
    assert minibatch(few, 24).classes == 5


def test_a_subset_has_the_labels_and_classes_of_the_whole(monkeypatch):
    monkeypatch.setattr(objects, "MAX_ITEMS", 10)
    whole = Items(list(PIXELS), LABELS, targets=torch.from_numpy(LABELS), classes=list("abcde"))
    few = Subset(Subset(whole, range(50)), range(10, 40))
    data = minibatch(few, 12)
    assert data.classes == 5
    given = ((PIXELS[10:40] - PIXELS[10:40].mean((0, 1, 2))) / PIXELS[10:40].std((0, 1, 2))).transpose(0, 3, 1, 2)
    for image, label in zip(data.images.numpy(), data.labels, strict=True):
        assert LABELS[10:40][np.abs(given - image).max((1, 2, 3)).argmin()] == label


def test_targets_that_are_transformed_are_read_from_the_items(expected):
    items = Items(list(PIXELS), LABELS, targets=LABELS * 7 + 1, target_transform=lambda label: label // 7)
    assert minibatch(items, 24, seed=3).fingerprint == expected.fingerprint


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "F"])
def test_images_of_any_mode_are_items(tmp_path, mode):
    images = [Image.fromarray(image[..., 0] if mode in ("I;16", "F") else image).convert(mode) for image in PIXELS]
    data = minibatch(Items(images, LABELS), 24)
    for number, image in enumerate(images):
        (tmp_path / str(LABELS[number])).mkdir(exist_ok=True)
        suffix = "tiff" if mode == "F" else "png"
        image.save(tmp_path / str(LABELS[number]) / f"{number:02}.{suffix}")
    folder = minibatch(f"{tmp_path}:size=8", 60)
    assert data.task == folder.task
    assert max((folder.images - image).abs().amax((1, 2, 3)).min() for image in data.images) < 1e-4


def test_what_a_transform_leaves_to_chance_is_the_same_again():
    class Noisy(Items):
        def __getitem__(self, index):
            noise = torch.randn(3, 8, 8) + random.random() + np.random.rand()
            return torch.from_numpy(FIRST[index]) + noise, self.labels[index]

    noisy = Noisy(PIXELS, LABELS)
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    first = minibatch(noisy, 24)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert (states[2] == np.random.get_state()[1]).all()
    torch.manual_seed(2), random.seed(2), np.random.seed(2)
    assert minibatch(noisy, 24).fingerprint == first.fingerprint


def test_a_minibatch_is_used_as_it_is():
    given = minibatch("synthetic:size=4", 8)
    assert minibatch(given, 64, seed=5) is given


FLOAT = torch.zeros(8, 3, 4, 4)


@pytest.mark.parametrize(
    ("images", "labels", "classes", "sentence"),
    [
        (FLOAT.double(), torch.zeros(8).long(), 2, "images that are float32"),
        (FLOAT[0], torch.zeros(3).long(), 2, "images that are float32"),
        (FLOAT[..., :3], torch.zeros(8).long(), 2, "square, on the CPU and finite"),
        (FLOAT + torch.nan, torch.zeros(8).long(), 2, "square, on the CPU and finite"),
        (FLOAT, torch.zeros(8), 2, "a label for each image"),
        (FLOAT, torch.zeros(7).long(), 2, "a label for each image"),
        (FLOAT, torch.full((8,), 2), 2, "labels from 0 to 1"),
    ],
)
def test_a_minibatch_that_is_none_is_refused(images, labels, classes, sentence):
    with pytest.raises(UsageError, match=f"a Minibatch .*{sentence}"):
        minibatch(Minibatch(images, labels, classes))


class Broken(Items):
    def __getitem__(self, index):
        raise RuntimeError("the disk\nis on fire")


class Unsized:
    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((PIXELS, LABELS[:9]), "the arrays: labels must be 60 whole numbers"),
        ((PIXELS[:0], LABELS[:0]), "the arrays: images must be uint8"),
        ((PIXELS[:, :7], LABELS), "the arrays: images must be square"),
        (("a", "b"), "the arrays: images must be uint8 .*not str"),
        ((PIXELS + np.nan, LABELS), "the arrays: has images with values that are no numbers"),
        (Items([], []), "Items: has no items"),
        (Items([1] * 20, [0, 1] * 10), "Items: images must be uint8 .*not int"),
        (Items(list(PIXELS), [[1, 1]] * 60), r"Items: labels must be 60 whole numbers"),
        (Items(list(PIXELS), [np.zeros(2)] * 60), "Items: labels must be 60 whole numbers"),
        (Items(list(PIXELS), [0, [1, 2]] * 30), "Items: labels must be 60 whole numbers"),
        (Items(list(PIXELS), LABELS, targets=LABELS[::-1]), "Items: item 0 has the label 0, but its targets say 2"),
        (Items(list(PIXELS), LABELS, targets=LABELS[:50]), "Items: labels must be 60 whole numbers"),
        (Broken(list(PIXELS), LABELS), "Broken: cannot be read as a data set: the disk$"),
        (Broken(list(PIXELS), LABELS, targets=LABELS), "Broken: cannot be read as a data set: the disk$"),
        ((torch.zeros(60, 3, 8, 8, dtype=torch.bfloat16), LABELS), "the arrays: cannot be read as images and labels"),
        (Items([*PIXELS[:30], *PIXELS[:30, :4, :4]], LABELS), r"Items: images must be alike.* uint8 \[3, 4, 4\]"),
        (TensorDataset(torch.from_numpy(FIRST)), "items must be .* item 0 is a tuple of 1"),
        (Unsized(), "not Unsized"),
    ],
)  # fmt: skip
def test_objects_that_do_not_fit_are_refused_in_a_sentence(given, sentence):
    with pytest.raises(UsageError, match=sentence) as refused:
        minibatch(given, 24)
    assert "\n" not in str(refused.value)


def test_labels_are_read_item_by_item_up_to_a_number(monkeypatch):
    monkeypatch.setattr(objects, "MAX_ITEMS", 59)
    with pytest.raises(UsageError, match="has 60 items and no 'targets'"):
        minibatch(Items(list(PIXELS), LABELS), 24)
    assert minibatch(Items(list(PIXELS), LABELS, targets=LABELS), 24).classes == 3
