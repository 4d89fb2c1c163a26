"""Damaged and odd images are read or refused with one sentence, and run no code."""

import io
import pickle
import struct
import time
import warnings
import zipfile
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hostile import damaged, quick, refused_in_a_line
from hypothesis import given
from PIL import Image

from nas.data.minibatch import minibatch
from nas.data.unpickle import Unpickler
from nas.errors import UsageError


def arrays(**members):
    found = io.BytesIO()
    np.savez(found, **members)
    return found.getvalue()


RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(24) % 3


class Trap:
    def __reduce__(self):
        return (open, ("a-file-ran-code", "w"))


def zipped(**members):
    """A .npz of raw bytes."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return found.getvalue()


def header(text):
    content = text.encode("latin1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(content)) + content


def shaped(shape):
    return header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (arrays(images=IMAGES, labels=np.array([Trap()] * 24, dtype=object)), "cannot be read as .npz: Object arrays"),
        (zipped(images=b"not an array", labels=b""), "images must be uint8 .*, not bytes|cannot be read as .npz"),
        (zipped(images=shaped((10**12,)), labels=b""), "cannot be read as .npz"),
        (zipped(images=header("(" * 9000), labels=b""), "cannot be read as .npz"),
        (zipped(images=header("{'descr': 'O'*9}"), labels=b""), "cannot be read as .npz"),
        (zipped(images=shaped((10**8,)) + bytes(10**8), labels=b""), "more than 1000 times its own size"),
        (arrays(images=IMAGES[:, :0], labels=LABELS), "images must be uint8"),
        (arrays(images=IMAGES[..., :0], labels=LABELS), "images must be uint8"),
        (arrays(images=IMAGES.astype("c8"), labels=LABELS), "images must be uint8"),
        (arrays(images=IMAGES, labels=LABELS.astype(np.uint64) + 2**63), "labels must be from 0 to 99999"),
        (arrays(images=IMAGES, labels=LABELS - 1), "labels must be from 0 to 99999, not -1"),
        (arrays(images=IMAGES, labels=LABELS.astype("M8[s]")), "labels must be 24 whole numbers"),
        (arrays(images=IMAGES[:, :7], labels=LABELS), "must be square"),
        (b"", "cannot be read as .npz"),
    ],
)
def test_arrays_made_to_hurt_are_refused(tmp_path, monkeypatch, content, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(UsageError, match=rf"bad\.npz: .*({sentence})") as refused:
        minibatch(str(tmp_path / "bad.npz"), 12)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "a-file-ran-code").exists()


@quick(150)
@given(damaged(arrays(images=IMAGES, labels=LABELS)))
def test_a_damaged_npz_is_read_or_refused(tmp_path, content):
    (tmp_path / "some.npz").write_bytes(content)
    with refused_in_a_line():
        minibatch(str(tmp_path / "some.npz"), 12)


def cifar(**changes):
    rows = RNG.integers(0, 256, (24, 3072), dtype=np.uint8)
    batch = {b"data": rows, b"labels": LABELS.tolist()} | {name.encode(): value for name, value in changes.items()}
    return pickle.dumps(batch, protocol=2)


def of_python_2():
    """A batch as CIFAR's authors wrote theirs, with the texts of Python 2."""
    rows = RNG.integers(0, 256, (24, 3072), dtype=np.uint8)
    short = {name: b"U" + bytes([len(name)]) + name for name in (b"data", b"labels", b"b", b"u1", b"|")}
    array = b"".join([
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85", short[b"b"],
        b"\x87R(K\x01K\x18M\x00\x0c\x86cnumpy\ndtype\n", short[b"u1"], b"K\x00K\x01\x87R(K\x03", short[b"|"],
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T", struct.pack("<i", rows.nbytes), rows.tobytes(), b"tb",
    ])  # fmt: skip
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS.tolist()) + b"e"
    return b"\x80\x02}(" + short[b"data"] + array + short[b"labels"] + labels + b"u.", rows


def test_a_cifar_batch_of_python_2_is_read(tmp_path):
    content, rows = of_python_2()
    assert (pickle.loads(content, encoding="bytes")[b"data"] == rows).all()
    (tmp_path / "data_batch_1").write_bytes(content)
    found = minibatch(str(tmp_path), 12)
    (tmp_path / "data_batch_1").unlink()
    np.savez(tmp_path / "same.npz", images=rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels=LABELS)
    assert found.fingerprint == minibatch(str(tmp_path / "same.npz"), 12).fingerprint


def doubling():
    """Tuples of tuples that share their parts: a kilobyte that takes 2^60 steps to hash."""
    return b"\x80\x02)q\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(60))


@pytest.mark.parametrize(
    "content",
    [
        cifar(trap=Trap()),
        cifar(data=np.zeros((24, 3071), dtype=np.uint8)),
        cifar(data=np.zeros((24, 3072), dtype=np.float32)),
        cifar(data=[[0] * 3072] * 24),
        cifar(labels=["cat"] * 24),
        cifar(labels=[2**80] * 24),
        cifar(labels=[-1] * 24),
        cifar(labels=7),
        pickle.dumps([1, 2], protocol=2),
        pickle.dumps(np.array([Trap()], dtype=object), protocol=2),
        doubling() + b"}h\x00K\x01s.",
        doubling() + b"\x8fh\x00a.",
        doubling() + b"cbuiltins\nset\n(h\x00\x85\x85R.",
        doubling() + b"h\x00h\x00\x93.",
        b"\x80\x02cposix\nsystem\nU\x08touch me\x85R.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02O8\x85RU\x08AAAAAAAA\x86R.",
        b"\x80\x02T\xff\xff\xff\xff.",
        b"\x80\x05\x8e" + struct.pack("<Q", 2**60) + b".",
        b"",
    ],
)
def test_batches_made_to_hurt_are_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(content)
    start = time.process_time()
    with pytest.raises(UsageError, match=r"CIFAR batch|labels must be|whole numbers"):
        minibatch(str(tmp_path), 12)
    assert time.process_time() - start < 2
    assert [path.name for path in tmp_path.iterdir()] == ["data_batch_1"]


@quick(150)
@given(damaged(cifar()[:400] + cifar()[-400:]) | damaged(cifar()))
def test_a_damaged_batch_is_read_or_refused(tmp_path, content):
    (tmp_path / "data_batch_1").write_bytes(content)
    with refused_in_a_line():
        minibatch(str(tmp_path), 12)


@quick(100)
@given(damaged(pickle.dumps({"a": [1, (2.5, "x"), {"k": {1, 2}}], "b": np.arange(5)}, protocol=4)))
def test_a_damaged_pickle_ends_in_an_error_that_readers_know(content):
    from nas.data.official.columns import DAMAGE

    with suppress(*DAMAGE):
        Unpickler(io.BytesIO(content)).load()


def picture(mode="RGB", size=(9, 7), form="PNG"):
    found = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(found, form)
    return found.getvalue()


def folder_of(tmp_path, content, name="x.png"):
    for label in ("cats", "dogs"):
        (tmp_path / label).mkdir(exist_ok=True)
        for number in range(6):
            (tmp_path / label / f"{number}.png").write_bytes(picture())
    for number in range(6):
        (tmp_path / "cats" / f"{number}.png").unlink()
        (tmp_path / "cats" / f"{number}{name}").write_bytes(content)


def bomb():
    """A picture of 10^5 x 10^5 pixels in a hundred bytes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"", "x.png"), (b"no picture", "x.png"), (picture()[:50], "x.png"), (bomb(), "x.png"),
     (picture(size=(99, 99))[:-99], "x.png"), (b"GIF89a" + bytes(20), "x.gif"), (b"BM" + bytes(60), "x.bmp")],
)  # fmt: skip
def test_pictures_made_to_hurt_are_refused(tmp_path, content, name):
    folder_of(tmp_path, content, name)
    with pytest.raises(UsageError, match=f"{tmp_path}/cats.* cannot be read as an image") as refused:
        minibatch(f"{tmp_path}:size=8", 12)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_pictures_of_any_mode_are_read(tmp_path, mode):
    folder_of(tmp_path, picture(mode, form="TIFF" if mode in ("CMYK", "YCbCr") else "PNG"))
    assert minibatch(f"{tmp_path}:size=8", 12).images.shape == (12, 3, 8, 8)


@quick(100)
@given(damaged(picture(size=(40, 40))) | damaged(picture(form="JPEG")) | damaged(picture("P", form="GIF")))
def test_a_damaged_picture_is_read_or_refused(tmp_path, content):
    folder_of(tmp_path, content)
    with warnings.catch_warnings(action="ignore"), refused_in_a_line():
        minibatch(f"{tmp_path}:size=8", 12)


def test_a_pipe_is_no_picture(tmp_path):
    import os

    folder_of(tmp_path, picture())
    for number in range(6):
        (tmp_path / "cats" / f"{number}x.png").unlink()
        os.mkfifo(tmp_path / "cats" / f"{number}x.png")
    with pytest.raises(UsageError, match=r"cats/\dx\.png: is not a file"):
        minibatch(f"{tmp_path}:size=8", 12)
