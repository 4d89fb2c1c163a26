"""Folders of images: which files are read, as what, and what is said of the rest."""

import os
import struct
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from nas.data import sources
from nas.data.minibatch import minibatch
from nas.errors import UsageError
from nas.space import Task

RNG = np.random.default_rng(0)


def save(file, pixels, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, **options)


def colours(side=8, channels=3):
    return RNG.integers(0, 256, (side, side, channels)[: 3 if channels > 1 else 2], dtype=np.uint8)


def fill(root, classes="ab", count=6, suffix=".png", make=colours):
    for name in classes:
        for number in range(count):
            save(root / name / f"{number}{suffix}", make())
    return root


def stored(file, mode=None):
    """The pixels of a file as Pillow gives them."""
    with Image.open(file) as image:
        return np.asarray(image if mode is None else image.convert(mode))


def said(data, text):
    assert any(text in note for note in data.notes), data.notes


def standard(stack):
    """[n, height, width, channels] or [n, height, width], each channel standardised over all of it."""
    stack = np.asarray(stack, dtype=np.float64)
    stack = stack[..., None] if stack.ndim == 3 else stack
    return ((stack - stack.mean((0, 1, 2))) / stack.std((0, 1, 2))).transpose(0, 3, 1, 2)


def test_images_are_standardised_over_the_whole_folder(tmp_path):
    fill(tmp_path, count=20, make=lambda: colours(20)[:, :14])
    files = sorted(tmp_path.rglob("*.png"))
    whole = standard([np.asarray(ImageOps.fit(Image.fromarray(stored(file)), (8, 8))) for file in files])
    data = minibatch(f"{tmp_path}:size=8", 12)
    for image, label in zip(data.images.numpy(), data.labels, strict=True):
        distance = np.abs(whole - image).max((1, 2, 3))
        assert distance.min() < 1e-4
        assert np.argmin(distance) // 20 == label
    everything = minibatch(f"{tmp_path}:size=8", 40).images
    torch.testing.assert_close(everything.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(everything.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)
    said(data, "images of 14 x 20 pixels are scaled and cut to 8 x 8")


def test_a_folder_is_read_as_the_same_arrays_are(tmp_path):
    for channels in (1, 3):
        root = fill(tmp_path / str(channels), count=10, make=lambda channels=channels: colours(8, channels))
        pixels = [stored(file) for file in sorted(root.rglob("*.png"))]
        np.savez(tmp_path / "same.npz", images=pixels, labels=np.repeat([0, 1], 10))
        folder, array = minibatch(f"{root}:size=8", 12), minibatch(tmp_path / "same.npz", 12)
        assert folder.task == array.task == Task(2, channels, 8)
        torch.testing.assert_close(folder.images, array.images, atol=1e-5, rtol=0)
        assert folder.labels.equal(array.labels)


def test_of_many_images_some_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_FILES_LOOKED_AT", 10)
    fill(tmp_path, count=15)
    data = minibatch(f"{tmp_path}:size=8", 12)
    said(data, "mean and standard deviation are those of 10 of the 30 images")
    assert minibatch(f"{tmp_path}:size=8", 12, 0).fingerprint == data.fingerprint
    assert abs(float(data.images.mean())) < 0.3
    before = [torch.sort(minibatch(f"{tmp_path}:size=8", 30, seed).images.flatten())[0] for seed in (0, 1)]
    assert before[0].equal(before[1]), "the images that are looked at do not depend on the seed"


def sixteen(side=8):
    return RNG.integers(0, 256, (side, side)).astype(np.uint16) * 257


@pytest.mark.parametrize("scale", [1, 16])
@pytest.mark.parametrize(("suffix", "order"), [(".png", "<u2"), (".tif", "<u2"), (".tif", ">u2")])
def test_sixteen_bits_are_read_to_the_last(tmp_path, scale, suffix, order):
    stack = [sixteen() // scale for _ in range(12)]
    for number, pixels in enumerate(stack):
        save(tmp_path / "ab"[number // 6] / f"{number:02}{suffix}", pixels.astype(order))
    data = minibatch(f"{tmp_path}:size=8", 12)
    assert data.task == Task(2, 1, 8)
    whole = standard(stack)
    assert max(np.abs(whole - image).max((1, 2, 3)).min() for image in data.images.numpy()) < 1e-5
    said(data, "12 have 16 bits")


def test_sixteen_bits_are_those_of_eight_beside_them(tmp_path):
    for name, deep in (("plain", False), ("deep", True), ("mixed", None)):
        rng = np.random.default_rng(0)
        for number in range(12):
            pixels = rng.integers(0, 256, (12, 12), dtype=np.uint8)
            as_deep = number % 2 if deep is None else deep
            save(
                tmp_path / name / "ab"[number // 6] / f"{number}.png",
                pixels.astype(np.uint16) * 257 if as_deep else pixels,
            )
    plain = minibatch(f"{tmp_path}/plain:size=12", 12)
    for name in ("deep", "mixed"):
        torch.testing.assert_close(minibatch(f"{tmp_path}/{name}:size=12", 12).images, plain.images, atol=1e-5, rtol=0)
    scaled = [minibatch(f"{tmp_path}/{name}:size=8", 12).images for name in ("plain", "deep")]
    torch.testing.assert_close(*scaled, atol=0.05, rtol=0)  # bytes are rounded after scaling


def test_numbers_of_any_size_are_read_where_all_are_such(tmp_path):
    for kind in (np.float32, np.int32):
        stack = [(RNG.standard_normal((8, 8)) * 1000 + 5000).astype(kind) for _ in range(12)]
        root = tmp_path / np.dtype(kind).name
        for number, pixels in enumerate(stack):
            save(root / "ab"[number // 6] / f"{number:02}.tiff", pixels)
        data, whole = minibatch(f"{root}:size=8", 12), standard(stack)
        assert max(np.abs(whole - image).max((1, 2, 3)).min() for image in data.images.numpy()) < 1e-4
    save(root / "a" / "x.png", colours(8, 1))
    with pytest.raises(UsageError, match="12 of 13 images hold floating-point or 32-bit numbers and the others do not"):
        minibatch(f"{root}:size=8", 12)


def test_a_number_that_is_none_is_refused(tmp_path):
    fill(tmp_path, suffix=".tiff", make=lambda: np.full((8, 8), np.nan, np.float32))
    with pytest.raises(UsageError, match="values that are no numbers"):
        minibatch(f"{tmp_path}:size=8", 8)


def test_what_is_no_class_is_left_out(tmp_path):
    fill(tmp_path / "photos")
    plain = minibatch(f"{tmp_path}/photos", 12)
    for name in (".ipynb_checkpoints", "__MACOSX", ".git"):
        fill(tmp_path / "photos" / name)
        fill(tmp_path / "photos" / "a" / name)
    fill(tmp_path / "photos", classes=["__MACOSX"])
    (tmp_path / "photos" / "empty" / "deeper").mkdir(parents=True)
    (tmp_path / "photos" / "notes").mkdir()
    (tmp_path / "photos" / "notes" / "read.me").write_text("text")
    (tmp_path / "photos" / "a" / "._0.png").write_bytes(b"what macOS leaves")
    (tmp_path / "photos" / "a" / "Thumbs.db").write_bytes(b"what Windows leaves")
    save(tmp_path / "photos" / "cover.png", colours())
    data = minibatch(f"{tmp_path}/photos", 12)
    assert data.fingerprint == plain.fingerprint
    said(data, "left out: 2 folders without images (empty, notes)")
    said(data, "left out: 7 hidden entries (.git, .ipynb_checkpoints, __MACOSX, a/._0.png, a/.git, … and 2 more)")
    said(data, "left out: 2 files that are no images (1 with .db, 1 with .me)")
    said(data, "left out: 1 image outside of the class folders")
    assert not any("left out" in note for note in plain.notes)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: fill(p, classes=["only"]), "of 1 class, at least 2 are needed"),
        (lambda p: fill(p / "photos"), "of 1 class.*did you mean .*/photos"),
        (lambda p: [save(p / f"{i}.png", colours()) for i in range(9)], "of 0 class.*9 images lie outside of any"),
        (lambda p: fill(p, classes=[".a", ".b"]), "of 0 class"),
        (lambda p: fill(p, classes=["train", "test"]), "without class folders in test, train; .*with split=none"),
        (lambda p: fill(p / "val"), "has no folder train"),
        (lambda p: fill(p / "train") and fill(p / "training"), "has both train and training"),
        (lambda p: fill(p / "train") and fill(p, classes=["x"]), r"of splits \(train\) beside others \(x\)"),
        (lambda p: fill(p / "train", classes="a") and fill(p / "val"), "/train: holds images of 1 class"),
    ],
)  # fmt: skip
def test_folders_that_leave_doubt_are_refused(tmp_path, make, sentence):
    make(tmp_path)
    with pytest.raises(UsageError, match=sentence) as refused:
        minibatch(f"{tmp_path}:size=8", 8)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "VALID", "Testing"), ("training", "validation", "test")]
)
def test_of_splits_the_training_images_are_read(tmp_path, names):
    parts = [fill(tmp_path / name, classes="abc") for name in names]
    for split, part in zip(("train", "validation", "test"), parts, strict=True):
        alone = minibatch(f"{part}:size=8", 12)
        assert minibatch(f"{tmp_path}:size=8,split={split}", 12).fingerprint == alone.fingerprint
    data = minibatch(f"{tmp_path}:size=8", 12)
    assert data.fingerprint == minibatch(f"{parts[0]}:size=8", 12).fingerprint
    said(data, f"of the folders {', '.join(sorted(names))}, {names[0]} is read")
    assert minibatch(f"{tmp_path}:size=8,split=none", 12).classes == 3, "here the splits happen to be as many"


def test_classes_that_one_split_has_alone_are_said(tmp_path):
    fill(tmp_path / "train", classes="abc"), fill(tmp_path / "val", classes="abd")
    data = minibatch(f"{tmp_path}:size=8", 12)
    assert data.classes == 3
    said(data, "1 class of train not in val: c")
    said(data, "1 class of val not in train: d")


def test_a_test_folder_without_classes_is_left_out(tmp_path):
    fill(tmp_path / "train"), fill(tmp_path, classes=["test"])
    data = minibatch(f"{tmp_path}:size=8", 12)
    assert data.fingerprint == minibatch(f"{tmp_path}/train:size=8", 12).fingerprint
    said(data, "left out: test, which has no class folders")


def test_classes_may_be_called_as_splits_are(tmp_path):
    fill(tmp_path, classes=["train", "bus", "test"])
    assert minibatch(f"{tmp_path}:size=8", 12).classes == 3
    fill(tmp_path / "two", classes=["train", "test"])
    assert minibatch(f"{tmp_path}/two:size=8,split=none", 12).classes == 2


def test_class_folders_within_class_folders_count_for_them(tmp_path):
    fill(tmp_path / "animals", classes=["cat", "dog"]), fill(tmp_path, classes=["plants"], count=12)
    data = minibatch(f"{tmp_path}:size=8", 24)
    assert data.classes == 2
    said(data, "12 images in folders within a class folder, which count for the class")


def test_numbers_as_names_are_in_the_order_of_texts(tmp_path):
    fill(tmp_path, classes=["1", "2", "10"])
    data = minibatch(f"{tmp_path}:size=8", 12)
    said(data, "in the order of their names as texts, as torchvision's: 1, 10, 2")


def test_links_are_followed_once(tmp_path):
    fill(tmp_path / "real"), fill(tmp_path / "elsewhere", classes="c", count=8)
    plain = minibatch(f"{tmp_path}/real:size=8", 12)
    (tmp_path / "real" / "a" / "again").symlink_to(tmp_path / "real" / "a")
    (tmp_path / "real" / "b" / "up").symlink_to(tmp_path / "real")
    assert minibatch(f"{tmp_path}/real:size=8", 12).fingerprint == plain.fingerprint
    (tmp_path / "real" / "c").symlink_to(tmp_path / "elsewhere" / "c")
    assert minibatch(f"{tmp_path}/real:size=8", 12).classes == 3
    (tmp_path / "real" / "a" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UsageError, match=r"lost\.png: is not a file"):
        minibatch(f"{tmp_path}/real:size=8", 12)


def test_suffixes_may_be_upper_case(tmp_path):
    fill(tmp_path, count=3, suffix=".PNG"), fill(tmp_path, count=3, suffix=".JPeG")
    assert len(minibatch(f"{tmp_path}:size=8", 12).labels) == 12


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("P", "png"),
        ("P", "gif"),
        ("RGBA", "png"),
        ("RGBA", "webp"),
        ("CMYK", "tiff"),
        ("CMYK", "jpg"),
        ("YCbCr", "tiff"),
    ],
)
def test_colours_of_any_mode_are_red_green_and_blue(tmp_path, mode, suffix):
    fill(tmp_path, suffix=f".{suffix}", make=lambda: Image.fromarray(colours()).convert(mode))
    files = sorted(tmp_path.rglob(f"*.{suffix}"))
    whole = standard([stored(file, "RGB") for file in files])
    data = minibatch(f"{tmp_path}:size=8", 12)
    assert max(np.abs(whole - image).max((1, 2, 3)).min() for image in data.images.numpy()) < 1e-4


@pytest.mark.parametrize(
    ("mode", "suffix"), [("1", "png"), ("L", "png"), ("LA", "png"), ("L", "jpg"), ("L", "gif"), ("L", "pgm")]
)
def test_grey_of_any_mode_is_one_channel(tmp_path, mode, suffix):
    fill(tmp_path, suffix=f".{suffix}", make=lambda: Image.fromarray(colours(8, 1)).convert(mode))
    whole = standard([stored(file, "L") for file in sorted(tmp_path.rglob(f"*.{suffix}"))])
    data = minibatch(f"{tmp_path}:size=8", 12)
    assert data.task == Task(2, 1, 8)
    assert max(np.abs(whole - image).max((1, 2, 3)).min() for image in data.images.numpy()) < 1e-4
    said(data, "all 12 images are grey: one channel")
    three = minibatch(f"{tmp_path}:size=8,colour=rgb", 12)
    torch.testing.assert_close(three.images, data.images.expand(-1, 3, -1, -1), atol=1e-5, rtol=0)


def test_grey_beside_colours(tmp_path, monkeypatch):
    fill(tmp_path, classes="a"), fill(tmp_path, classes="b", make=lambda: colours(8, 1))
    data = minibatch(f"{tmp_path}:size=8", 12)
    assert data.task == Task(2, 3, 8)
    said(data, "of the 12 images that were looked at, 6 are grey: they become three equal channels")
    grey = minibatch(f"{tmp_path}:size=8,colour=grey", 12)
    assert grey.task == Task(2, 1, 8)
    said(grey, "6 have colours: they become grey")
    monkeypatch.setattr("nas.data.sources.folder.looked_at", lambda places: places[-3:])
    with pytest.raises(
        UsageError, match=r"a/\d\.png: has colours, unlike the images that were looked at first.*colour=rgb"
    ):
        minibatch(f"{tmp_path}:size=8", 12)


def test_transparency_is_left_out(tmp_path):
    fill(tmp_path, classes="a", make=lambda: Image.fromarray(colours(8, 4)))
    for number in range(6):
        image = Image.fromarray(colours()).convert("P")
        save(tmp_path / "b" / f"{number}.png", image, transparency=bytes(range(256)))
    said(minibatch(f"{tmp_path}:size=8", 12), "12 have an alpha channel, which is left out as torchvision does")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright(tmp_path, orientation):
    turns = [(), (), ("mirror",), ("r", "r"), ("flip",), ("mirror", "r"), ("r",), ("flip", "r"), ("r", "r", "r")]
    upright = fill(tmp_path / "upright", make=lambda: colours(8)[:, :6])
    for file in sorted(upright.rglob("*.png")):
        pixels = stored(file)
        for turn in turns[orientation]:  # what the EXIF number says was done to the scene, the other way round
            pixels = {"mirror": np.fliplr, "flip": np.flipud, "r": np.rot90}[turn](pixels)
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(tmp_path / "stored" / file.relative_to(upright), np.ascontiguousarray(pixels), exif=exif)
    data = minibatch(f"{tmp_path}/stored:size=4", 12)
    assert data.fingerprint == minibatch(f"{upright}:size=4", 12).fingerprint
    assert any("12 are turned upright" in note for note in data.notes) == (orientation > 1)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
def test_damaged_exif_data_are_not_the_image(tmp_path, exif):
    fill(tmp_path / "plain", suffix=".jpg")
    for file in (tmp_path / "plain").rglob("*.jpg"):
        content = file.read_bytes()
        damaged = tmp_path / "damaged" / file.relative_to(tmp_path / "plain")
        damaged.parent.mkdir(parents=True, exist_ok=True)
        damaged.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:])
    with warnings.catch_warnings(action="error"):
        data = minibatch(f"{tmp_path}/damaged:size=8", 12)
    assert data.fingerprint == minibatch(f"{tmp_path}/plain:size=8", 12).fingerprint


def test_of_several_frames_the_first_is_read(tmp_path):
    fill(tmp_path, classes="b", suffix=".gif", make=lambda: colours(8, 1))
    for number in range(6):
        frames = [Image.fromarray(colours(8, 1)) for _ in range(3)]
        (tmp_path / "a").mkdir(exist_ok=True)
        frames[0].save(tmp_path / "a" / f"{number}.gif", save_all=True, append_images=frames[1:])
    data = minibatch(f"{tmp_path}:size=8", 12)
    whole = standard([stored(file, "L") for file in sorted(tmp_path.rglob("*.gif"))])
    assert max(np.abs(whole - image).max((1, 2, 3)).min() for image in data.images.numpy()) < 1e-4
    said(data, "6 have several frames, of which the first is read")


def test_a_damaged_image_anywhere_is_named(tmp_path):
    fill(tmp_path, count=30)
    (tmp_path / "b" / "7.png").write_bytes((tmp_path / "b" / "7.png").read_bytes()[:-80])
    with pytest.raises(UsageError, match=r"b/7\.png: cannot be read as an image"):
        minibatch(f"{tmp_path}:size=8", 8)


def test_images_that_show_nothing_are_said(tmp_path):
    fill(tmp_path, classes="a"), fill(tmp_path, classes="b", make=lambda: np.full((8, 8, 3), 7, np.uint8))
    said(minibatch(f"{tmp_path}:size=8", 12), "6 of the 12 images drawn are the same everywhere")
    fill(tmp_path, classes="a", make=lambda: np.full((8, 8, 3), 7, np.uint8))
    data = minibatch(f"{tmp_path}:size=8", 12)
    said(data, "all images are the same number everywhere in channel 0, 1, 2")
    assert data.images.eq(0).all()


def test_a_name_of_any_bytes_is_a_class(tmp_path):
    fill(tmp_path, classes=["a\nb", "[red]c", "d,e=f:g"])
    os.rename(tmp_path / "[red]c", os.fsencode(tmp_path) + b"/\xff\xfe")
    assert minibatch(f"{tmp_path}:size=8", 12).classes == 3


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    fill(tmp_path)
    listed = os.scandir

    def closed(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(UsageError, match="/b: cannot be listed: Permission denied"):
        minibatch(f"{tmp_path}:size=8", 8)


def test_the_order_of_the_file_system_does_not_matter(tmp_path, monkeypatch):
    fill(tmp_path, count=12), fill(tmp_path / "a", classes=["sub"])
    before = minibatch(f"{tmp_path}:size=8", 12)
    listed = os.scandir

    class Backwards:
        def __init__(self, path):
            self.entries = list(listed(path))[::-1]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert minibatch(f"{tmp_path}:size=8", 12).fingerprint == before.fingerprint


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("size=0", "at least 1"),
        ("split=all", "unknown value for folder.split"),
        ("colour=blue", "unknown value for folder.colour"),
    ],
)
def test_options_of_folders_are_checked(tmp_path, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        minibatch(f"{fill(tmp_path)}:{options}", 8)
