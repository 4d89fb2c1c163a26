"""Images in batches, and flipped and cropped, against doing it one by one."""

import numpy as np
import pytest
import torch
from PIL import Image
from trainings import stripes

from nas.data import splits as splits_module
from nas.data.splits import splits
from nas.training import images as images_module
from nas.training.images import Images, augmented, in_order


@pytest.mark.parametrize(("count", "size"), [(10, 3), (64, 64), (65, 64), (1, 5), (129, 64)])
def test_batches_are_of_one_size_to_within_one(count, size):
    batches = in_order(count, size, torch.Generator().manual_seed(0))
    sizes = [len(batch) for batch in batches]
    assert len(sizes) == -(-count // size)
    assert max(sizes) - min(sizes) <= 1
    assert sorted(torch.cat(batches).tolist()) == list(range(count))
    assert torch.cat(in_order(count, size)).tolist() == list(range(count))


def one_by_one(images, how, generator):
    """The same chance, used image by image and pixel by pixel."""
    count, channels, size, _ = images.shape
    out = images.clone()
    if "flip" in how:
        for number, chance in enumerate(torch.rand(count, generator=generator).tolist()):
            if chance < 0.5:
                out[number] = out[number].flip(-1)
    if "crop" in how:
        border = size // 8
        tops, lefts = torch.randint(2 * border + 1, (2, count), generator=generator).tolist()
        for number in range(count):
            whole = torch.zeros(channels, size + 2 * border, size + 2 * border)
            whole[:, border : border + size, border : border + size] = out[number]
            top, left = tops[number], lefts[number]
            out[number] = whole[:, top : top + size, left : left + size]
    return out


@pytest.mark.parametrize("how", [(), ("flip",), ("crop",), ("flip", "crop")])
def test_augmentation_is_that_of_each_image(how):
    images = torch.randn(40, 3, 16, 16)
    made = augmented(images, how, torch.Generator().manual_seed(3))
    assert torch.equal(made, one_by_one(images, how, torch.Generator().manual_seed(3)))
    assert how == () or not torch.equal(made, images)


def test_images_too_small_to_crop_stay():
    images = torch.randn(4, 1, 7, 7)
    assert torch.equal(augmented(images, ("crop",), torch.Generator()), images)


@pytest.fixture(params=["arrays", "files"])
def part(request, tmp_path):
    images, labels = stripes(30)
    if request.param == "arrays":
        return splits((images, labels)).train
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(tmp_path / str(label) / f"{number}.png")
    return splits(f"{tmp_path}:size=8").train


def test_what_is_read_as_it_is_needed_is_what_is_kept(part, monkeypatch):
    numbers = in_order(len(part), 7, torch.Generator().manual_seed(1))
    monkeypatch.setattr(images_module, "READ_AT_A_TIME", 5)
    kept = Images(part, torch.device("cpu"), torch.float64)
    assert kept.kept is not None
    for module in (images_module, splits_module):
        monkeypatch.setattr(module, "MAX_KEPT_BYTES", 100)
    read = Images(part, torch.device("cpu"), torch.float64)
    assert read.kept is None
    assert part.kept is (not part.standard.source.lazy)
    for (images, labels), (others, theirs), chosen in zip(
        kept.batches(numbers), read.batches(numbers), numbers, strict=True
    ):
        assert images.dtype == others.dtype == torch.float64
        assert torch.equal(images, others)
        assert torch.equal(labels, theirs)
        assert np.array_equal(labels.numpy(), part.labels[chosen].numpy())
        assert torch.equal(images.float(), part.images(chosen))
