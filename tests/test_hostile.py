"""Bad and hostile input: what comes from outside is understood, or refused with one sentence, and runs no code."""

import ast
import io
import json
import pickle
import struct
import sys
import time
import warnings
import zipfile
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import nas
from nas import cli
from nas.calls.settings import parse
from nas.data.minibatch import minibatch
from nas.data.table import Table
from nas.data.unpickle import Unpickler
from nas.errors import UsageError
from nas.runs.folder import read_yaml
from nas.scoring.measurer import Score
from nas.space import SPACES, is_leaf
from nas.store import packs as stored
from nas.store.store import Store
from nas.testing import narrow_space

ROOT = Path(__file__).parent.parent
SPACE_NAMES = sorted(name for name in SPACES if SPACES[name].__module__.startswith("spaces."))
MADE = {name: SPACES[name]() for name in SPACE_NAMES}


def quick(examples):
    """Hypothesis's settings here: the same examples in every run."""
    return settings(
        max_examples=examples, derandomize=True, deadline=None, database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )  # fmt: skip


@contextmanager
def refused_in_a_line():
    """Whatever is refused within is refused with one line."""
    try:
        yield
    except UsageError as refused:
        if len(str(refused).splitlines()) != 1:
            raise AssertionError(f"not one line: {refused}") from refused


# Architectures


def texts_of(name):
    space = MADE[name]
    if not all(space.slots):
        return ["timm:resnet18", "networks.py:small", "timm:", ":"]
    archs = [space.sample(Random(seed)) for seed in range(2)]
    texts = [f"{kind}:{text}" if kind != "text" else text for a in archs for kind, text in space.notations(a).items()]
    return [*texts, space.text(space.full())] if space.supernet else texts


TEXTS = {name: texts_of(name) for name in SPACE_NAMES}
PIECES = [
    "", "[", "]", "{", "}", "(", '"', "'", ":", ",", "|", "~", "+", "/", "-", "\\", "\0", "\n", "null", "true", "NaN",
    "1e999", "-1", "9" * 30, "9" * 5000, "[" * 5000, "(" * 300, "**{}", "range(9)", "genotype", "lambda:0", "\ud800",
    "٣",
]  # fmt: skip


@st.composite
def mutations(draw, texts):
    """A text of a list, with pieces cut out, repeated, or replaced by others."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from([*PIECES, text[start:end] * 3]) | st.text(max_size=4))
        text = text[:start] + piece + text[end:]
    return text


def check_parser(space, text):
    before = time.process_time()
    with refused_in_a_line():
        arch = parse(space, text)
        assert parse(space, space.text(arch)) == arch
        if is_leaf(arch):
            assert parse(space, space.text(space.canonical(arch)))
    assert time.process_time() - before < 2


@pytest.mark.parametrize("name", SPACE_NAMES)
def test_a_text_is_an_architecture_or_refused(name):
    @quick(60)
    @given(st.text(max_size=60) | mutations(TEXTS[name]))
    def check(text):
        check_parser(SPACES[name]() if name == "networks" else MADE[name], text)

    check()


@pytest.mark.parametrize("name", SPACE_NAMES)
@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 100_000,
        "(" * 100_000,
        "-" * 100_000 + "1",
        "1+" * 100_000 + "1",
        "9" * 1_000_000,
        "|" * 1_000_000,
        "a," * 300_000,
        "a~0|" * 200_000,
        "Genotype(" + "[" * 100_000,
        "Genotype(normal=" + "(" * 150 + ")" * 150 + ")",
        "Genotype(normal=range(10**9))",
        "Genotype(normal=[('none', 0)] * 10**9)",
        '{"genotype": [[5, []], ["normal", []], ["reduce", []], ["normal_concat", []], ["reduce_concat", []]]}',
        '{"matrix": [[0, 1], [0, 0]], "ops": ["input", "\\ud800"]}',
        '{"ds": [1e400, 1, 1], "ws": [NaN, 1, 1]}',
        "x" * 300 + ".py:f",
        "~nobody/x.py:f",
        "\0.py:f",
        "",
        " ",
    ],
    ids=lambda text: f"{text[:12]}…{len(text)}",
)
def test_texts_made_to_hurt_are_refused(name, text):
    check_parser(SPACES[name]() if name == "networks" else MADE[name], text)


@pytest.fixture
def refused_line(monkeypatch, capsys):
    """What the command line says of arguments that it refuses."""

    def run(*arguments):
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which the command line replaces
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
        with pytest.raises(SystemExit, match="2"):
            cli.main()
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        return said.err

    return run


def test_a_long_text_is_answered_with_a_short_line(refused_line):
    assert len(refused_line("show", "x" * 100_000)) < 2100


# YAML


def nested(depth):
    return "a: " + "[" * depth + "]" * depth


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
BAD_YAML = [
    "a: !!python/object/apply:os.system ['touch ran']",
    "a: !!python/name:os.system",
    "a: 2001-99-99",
    "a: !!int x",
    "a: !!bool x",
    "a: !!timestamp x",
    "a: !!binary \x01",
    "? [a, b]\n: c",
    "a: *nowhere",
    "a: &a [*a]",
    nested(10_000),
    LAUGHS,
    "- a\n- b",
    "\x00",
    "a: " + "9" * 5000,
    "a: [\n",
    "<<: 3",
    "",
]


@pytest.mark.parametrize("text", BAD_YAML, ids=lambda text: text[:20])
def test_yaml_made_to_hurt_is_refused(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"bad\.yaml (is not whole YAML|must hold settings)"):
        read_yaml(tmp_path / "bad.yaml")


RECIPE = yaml.safe_dump(
    {"space": "nasbench201", "budget": 3, "set": {"evolution": {"population": 4}}, "constraint": ["params<=1e6"]}
)


@quick(150)
@given(mutations([RECIPE]))
def test_yaml_is_settings_or_refused(tmp_path, text):
    (tmp_path / "some.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = read_yaml(tmp_path / "some.yaml")
    except UsageError:
        return
    assert isinstance(found, dict)


@pytest.mark.parametrize(
    "text",
    ["budget: [1, 2]", "budget: {a: 1}", "set: 5", "set: {evolution: 5}", "set: [a]", "space: 2001-01-01", "1: 2",
     "constraint: [[1]]", "plugin: {a: b}", "data: null\nbudget: x", "seed: -1", "set: {evolution: {population: .nan}}",
     "budget: 1e3"],
)  # fmt: skip
def test_a_config_of_another_kind_is_one_line(tmp_path, refused_line, text):
    (tmp_path / "bad.yaml").write_text(text)
    assert refused_line("search", "--config", tmp_path / "bad.yaml", "--run", tmp_path / "run")


# Bytes


@st.composite
def damaged(draw, content):
    """Bytes with some changed, or with the end missing."""
    found = bytearray(content)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(found) - 1))
        found[at : at + draw(st.integers(1, 4))] = draw(st.binary(min_size=1, max_size=4))
    return bytes(found[: draw(st.integers(0, len(found)))]) if draw(st.integers(0, 3)) == 0 else bytes(found)


def written(write, name):
    """What ``write`` writes to a file of that name."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


FRAME = pd.DataFrame(
    {"arch": [narrow_space().text(narrow_space().sample(Random(n))) for n in range(6)], "acc": range(6)}
)
TABLES = {
    "t.csv": lambda path: FRAME.to_csv(path, index=False),
    "t.csv.gz": lambda path: FRAME.to_csv(path, index=False),
    "t.csv.zip": lambda path: FRAME.to_csv(path, index=False),
    "t.csv.xz": lambda path: FRAME.to_csv(path, index=False),
    "t.parquet": lambda path: FRAME.to_parquet(path, index=False),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_table_is_read_or_refused(tmp_path, name):
    space = narrow_space()

    @quick(60)
    @given(damaged(written(TABLES[name], name)))
    def check(content):
        (tmp_path / name).write_bytes(content)
        with warnings.catch_warnings(action="ignore"), refused_in_a_line():
            Table(tmp_path / name, space).target("acc")

    check()


def test_tables_of_another_form_are_refused(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    twice = pa.table([pa.array(["0"]), pa.array(["1"])], names=["arch", "arch"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(UsageError, match=r"twice\.parquet: (has several columns 'arch'|cannot be read as a table)"):
        Table(tmp_path / "twice.parquet", narrow_space())
    lists = pa.table({"arch": pa.array([["0"]])})
    parquet.write_table(lists, tmp_path / "lists.parquet")
    with pytest.raises(UsageError, match=r"lists\.parquet: row 2"):
        Table(tmp_path / "lists.parquet", narrow_space())
    (tmp_path / "t.csv.zst").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"t\.csv\.zst: cannot be read as a table"):
        Table(tmp_path / "t.csv.zst", narrow_space())


# Images


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


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "YCbCr", "F"])
def test_pictures_of_any_mode_are_read(tmp_path, mode):
    folder_of(tmp_path, picture(mode, form="TIFF" if mode in ("CMYK", "YCbCr", "F") else "PNG"))
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


# The store and its packs


SCORE = {"data": "synthetic:classes=3,size=8", "batch_size": 12, "proxies": "params",
         "settings": {"nasbench201": {"widths": (4,), "repeats": 1}}}  # fmt: skip


def some_store(path):
    nas.score("nasbench201", ["0", "1"], store=path, **SCORE)


def some_pack(path):
    some_store(path.with_name("s"))
    stored.export(path, path=path.with_name("s"))


@quick(80)
@given(content=damaged(written(some_store, "s")))
def test_a_damaged_store_is_used_or_refused_and_a_run_goes_on(tmp_path, content):
    (tmp_path / "s").write_bytes(content)
    with warnings.catch_warnings(action="ignore"), refused_in_a_line():
        with Store(tmp_path / "s") as opened:
            assert opened.find("{}", "0") is None
            opened.put("{}", "0", Score(1.0))
        stored.info(tmp_path / "s")
    for rest in tmp_path.glob("s-*"):
        rest.unlink()


@quick(80)
@given(content=damaged(written(some_pack, "p.parquet")))
def test_a_damaged_pack_is_read_or_refused(tmp_path, content):
    (tmp_path / "p.parquet").write_bytes(content)
    with refused_in_a_line():
        stored.import_pack(tmp_path / "p.parquet", tmp_path / "s")


# Run folders


SEARCH = {"data": "synthetic:classes=3,size=8", "batch_size": 12, "settings": SCORE["settings"]}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    nas.search("nasbench201", "params", "random_search", 6, run_folder=folder, **SEARCH)
    return folder


def again(run):
    with refused_in_a_line():
        return nas.search("nasbench201", "params", "random_search", 6, run_folder=run, **SEARCH)


def test_a_trial_of_another_form_is_refused(run):
    path = run / "trials.jsonl"
    whole = path.read_text()
    record = json.loads(whole.splitlines()[2])

    @quick(80)
    @given(st.sampled_from(sorted(record)), ANYTHING)
    def check(name, value):
        changed = json.dumps(record | {name: value})
        path.write_text("\n".join([*whole.splitlines()[:2], changed, *whole.splitlines()[3:]]) + "\n")
        found = again(run)
        if found is not None:
            columns = ["arch", "score", "leaf", "cached", "status"]
            assert found[columns].dtypes.astype(str).tolist()[1:4] == ["float64", "bool", "bool"]

    check()
    path.write_text(whole)
    assert len(again(run)) == 6


@pytest.mark.parametrize(
    "line", ["[" * 100_000, "{}", "null", '{"number": ' + "9" * 5000 + "}", "\0", "NaN", '{"a": 1, "a": 2}', "é\x00"]
)
@pytest.mark.parametrize("name", ["trials.jsonl"])
def test_a_line_of_another_form_is_refused(run, name, line):
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole.splitlines(keepends=True)[0] + line.encode("latin1") + b"\n")
    try:
        with pytest.raises(UsageError, match=r"trials\.jsonl.*(line 2|is damaged)"):
            nas.search("nasbench201", "params", "random_search", 6, run_folder=run, **SEARCH)
    finally:
        (run / name).write_bytes(whole)


def test_rows_of_a_comparison_of_another_form_are_refused(tmp_path):
    table = tmp_path / "t.csv"
    FRAME.to_csv(table, index=False)
    compare = {"run_folder": tmp_path / "run"} | SEARCH
    nas.compare("nasbench201", table, "acc", "params", **compare)
    whole = (tmp_path / "run" / "scores.csv").read_text().splitlines()
    for wrong in (
        whole[1] + ",more", whole[1].rpartition(",")[0], whole[2], "a,b", whole[1].replace("params", '"'), "\0" * 9,
        whole[1].replace(",0,", ",x,"), "x" * 200_000, "stranger," + whole[1].partition(",")[2],
    ):  # fmt: skip
        (tmp_path / "run" / "scores.csv").write_text("\n".join([whole[0], wrong, *whole[2:]]) + "\n")
        with pytest.raises(UsageError, match=r"scores\.csv"):
            nas.compare("nasbench201", table, "acc", "params", **compare)


# Code


LOADERS = {
    "exec": ["nas/plugins.py", "spaces/networks.py"],  # the files of --plugin and of the space networks
    "eval": [],
    "yaml.load": [],
    "yaml.unsafe_load": [],
    "yaml.full_load": [],
    "pickle.loads": [],
    "pickle.load": ["nas/data/official/table.py"],  # a nameless file that it has just written
    "pickle.Unpickler": [],
    "pd.read_pickle": [],
    "torch.load": [],
    "np.load": [],
    "marshal.loads": [],
    "shelve.open": [],
    "joblib.load": [],
}


def test_no_file_from_outside_runs_code():
    found = {name: [] for name in LOADERS}
    for folder in ("nas", "spaces", "proxies", "searchers"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in found:
                    found[name].append(str(file.relative_to(ROOT)))
                assert not (
                    isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False"
                )
    assert found == LOADERS
