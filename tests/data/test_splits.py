"""Parts of a source: disjoint, stratified, the same again, standardised by the training images."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from nas.data import splits as module
from nas.data.minibatch import minibatch
from nas.data.splits import splits
from nas.errors import UsageError
from nas.space import Task

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
LABELS = np.repeat([0, 1, 2], [100, 60, 40])
PARTS = ("train", "validation", "test")


def write_folder(root, counts, make=lambda: RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)):
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(make()).save(root / name / f"{number}.png")
    return root


def everything(part):
    return part.images(torch.arange(len(part)))


def test_parts_are_drawn_disjoint_and_stratified():
    found = splits((PIXELS, LABELS), seed=3)
    parts = [getattr(found, name) for name in PARTS]
    assert [part.labels.bincount().tolist() for part in parts] == [[80, 48, 32], [10, 6, 4], [10, 6, 4]]
    places = np.concatenate([part.places for part in parts])
    assert sorted(places.tolist()) == list(range(200))
    for part in parts:
        assert (LABELS[part.places] == part.labels.numpy()).all()
    assert found.task == Task(3, 3, 8)
    assert found.classes == ("0", "1", "2")
    assert "validation: 0.1 of the images of each class, drawn by the seed" in found.notes


def test_all_parts_are_standardised_by_the_training_images():
    found = splits((PIXELS, LABELS))
    train = PIXELS[found.train.places]
    mean, std = train.mean((0, 1, 2)), train.std((0, 1, 2))
    for part in (found.train, found.validation, found.test):
        expected = ((PIXELS[part.places] - mean) / std).transpose(0, 3, 1, 2)
        torch.testing.assert_close(everything(part).double().numpy(), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(everything(found.train).mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)


def test_a_seed_gives_the_same_parts_again():
    first, again, other = (splits((PIXELS, LABELS), seed).validation.places.tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("counts", "validation", "test"),
    [
        ([3, 3], [1, 1], [1, 1]),
        ([1, 2, 3], [0, 0, 1], [0, 0, 1]),
        ([10, 20], [1, 2], [1, 2]),
        ([14, 15], [1, 2], [1, 2]),
    ],
)
def test_a_class_with_enough_images_is_in_every_part(counts, validation, test):
    found = splits((PIXELS[: sum(counts)], np.repeat(np.arange(len(counts)), counts)))
    assert found.validation.labels.bincount(minlength=len(counts)).tolist() == validation
    assert found.test.labels.bincount(minlength=len(counts)).tolist() == test
    assert found.train.labels.bincount(minlength=len(counts)).min() > 0
    assert any("validation: has no image of 2 classes" in note for note in found.notes) == (0 in validation)


def test_fractions_may_be_given():
    found = splits((PIXELS, LABELS), fractions={"validation": 0.5})
    assert [len(getattr(found, name)) for name in PARTS] == [80, 100, 20]
    for fractions, sentence in (
        ({"validation": 0.6, "test": 0.4}, "leave no images for training"),
        ({"validation": 1.0}, "a fraction between 0 and 1"),
        ({"tests": 0.1}, "unknown part 'tests': .*did you mean 'test'"),
    ):
        with pytest.raises(UsageError, match=sentence):
            splits((PIXELS, LABELS), fractions=fractions)


def test_folders_of_splits_are_the_parts(tmp_path):
    for name, count in (("train", 9), ("val", 5), ("test", 4)):
        write_folder(tmp_path / name, {"ant": count, "bee": count + 1})
    found = splits(f"{tmp_path}:size=8")
    assert [len(getattr(found, name)) for name in PARTS] == [19, 11, 9]
    assert found.classes == ("ant", "bee")
    assert found.validation.labels.tolist() == [0] * 5 + [1] * 6
    files = sorted((tmp_path / "train").rglob("*.png")), sorted((tmp_path / "test").rglob("*.png"))
    train, test = (np.stack([np.asarray(Image.open(file).copy()) for file in names]) for names in files)
    expected = ((test - train.mean((0, 1, 2))) / train.std((0, 1, 2))).transpose(0, 3, 1, 2)
    torch.testing.assert_close(everything(found.test).double().numpy(), expected, atol=1e-4, rtol=0)


def test_of_folders_the_missing_part_is_drawn(tmp_path):
    write_folder(tmp_path / "train", {"a": 20, "b": 20}), write_folder(tmp_path / "valid", {"a": 3, "b": 4})
    found = splits(f"{tmp_path}:size=8")
    assert [len(getattr(found, name)) for name in PARTS] == [36, 7, 4]
    assert [note for note in found.notes if "drawn" in note] == [
        "test: 0.1 of the images of each class, drawn by the seed"
    ]


def test_parts_have_the_classes_and_the_channels_of_the_training_images(tmp_path):
    write_folder(tmp_path / "train", {"a": 9, "b": 9, "c": 9})
    write_folder(tmp_path / "val", {"b": 3, "c": 3}, lambda: RNG.integers(0, 256, (8, 8), dtype=np.uint8))
    found = splits(f"{tmp_path}:size=8")
    assert found.validation.labels.tolist() == [1] * 3 + [2] * 3
    assert everything(found.validation).shape == (6, 3, 8, 8)
    assert "validation: has no image of 1 class" in found.notes
    write_folder(tmp_path / "test", {"a": 1, "d": 1, "e": 1})
    with pytest.raises(UsageError, match="test has 2 classes without images for training: d, e"):
        splits(f"{tmp_path}:size=8")
    with pytest.raises(UsageError, match=r"splits take the whole folder, without split="):
        splits(f"{tmp_path}:size=8,split=validation")


def test_arrays_and_batches_keep_their_test_images(tmp_path):
    arrays = {"x_train": PIXELS, "y_train": LABELS * 2, "x_test": PIXELS[:9], "y_test": [4, 2, 0] * 3}
    np.savez(tmp_path / "x.npz", **arrays)
    found = splits(tmp_path / "x.npz")
    assert [len(getattr(found, name)) for name in PARTS] == [180, 20, 9]
    assert found.test.labels.tolist() == [2, 1, 0] * 3
    assert found.classes == ("0", "2", "4")
    np.savez(tmp_path / "x.npz", **arrays | {"x_test": PIXELS[:9, :4, :4]})
    with pytest.raises(UsageError, match="images for training are 3 x 8 x 8, those for test 3 x 4 x 4"):
        splits(tmp_path / "x.npz")
    rows = RNG.integers(0, 256, (40, 3072), dtype=np.uint8)
    for name in ("data_batch_1", "test_batch"):
        (tmp_path / name).write_bytes(pickle.dumps({b"data": rows, b"labels": [0, 1] * 20}, protocol=2))
    assert [len(getattr(splits(tmp_path), name)) for name in PARTS] == [36, 4, 40]


def test_a_part_that_stays_in_memory_is_read_once(tmp_path, monkeypatch):
    write_folder(tmp_path, {"a": 20, "b": 20})
    small = splits(f"{tmp_path}:size=8")
    assert small.train.bytes == 32 * 3 * 8 * 8 * 4
    assert small.train.kept
    numbers = torch.tensor([5, 0, 5, 31])
    before = small.train.images(numbers)
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 1000)
    large = splits(f"{tmp_path}:size=8")
    assert not large.train.kept
    assert large.train.images(numbers).equal(before)
    assert before[0].equal(before[2])
    monkeypatch.undo()
    for file in tmp_path.rglob("*.png"):
        file.unlink()
    assert small.train.images(numbers).equal(before)
    with pytest.raises(UsageError, match="is not a file"):
        large.train.images(numbers)


def test_other_sources_are_split_too():
    first = np.moveaxis(PIXELS, 3, 1)
    given = splits(TensorDataset(torch.from_numpy(first), torch.from_numpy(LABELS)), 5)
    torch.testing.assert_close(everything(given.test), everything(splits((PIXELS, LABELS), 5).test), atol=1e-5, rtol=0)
    noise = splits("synthetic:classes=4,size=6")
    assert [len(getattr(noise, name)) for name in PARTS] == [1600, 200, 200]
    assert noise.task == Task(4, 3, 6)


def test_what_cannot_be_split_is_refused(tmp_path):
    with pytest.raises(UsageError, match="the arrays: has too few images to draw some for validation and test"):
        splits((PIXELS[:4], [0, 0, 1, 1]))
    with pytest.raises(UsageError, match="nowhere does not exist"):
        splits("nowhere")
    with pytest.raises(UsageError, match="a Minibatch holds a few images"):
        splits(minibatch("synthetic:size=4", 8))
