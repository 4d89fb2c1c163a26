"""Tokens as data: what is read of texts and numbers, how it is drawn, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.data.description import describe
from nas.data.minibatch import Minibatch, minibatch
from nas.data.splits import splits
from nas.errors import UsageError
from nas.passes.tokens import UNLABELLED
from nas.space import Task

TEXT = "the cat sat\non the mat\n\nthe end\n" * 20


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(TEXT)
    return path


def windows(ids, length):
    """Every window that may be drawn, with the token behind it."""
    return [tuple(ids[start : start + length + 1]) for start in range(0, len(ids) - length, length)]


def drawn(data):
    return [(*row, after[-1]) for row, after in zip(data.images.tolist(), data.labels.tolist(), strict=True)]


def check_next(data, ids, length):
    """They are disjoint windows of ``ids``, and the labels are the tokens that follow."""
    known = windows(ids, length)
    assert all(window in known for window in drawn(data))
    assert torch.equal(data.labels[:, :-1], data.images[:, 1:])


def test_words_by_how_often_they_occur(text):
    words = [word for line in TEXT.splitlines() for word in (*line.split(), "<eos>")]
    data = minibatch(f"text:{text}:length=5", 6)
    entries = ["<eos>", "the", "cat", "sat", "on", "mat", "end"]
    assert data.task == Task(7, length=5, kind="tokens")
    check_next(data, [entries.index(word) for word in words], 5)
    assert (
        minibatch(f"{text}:length=5", 6).fingerprint
        == data.fingerprint
        == minibatch(str(text) + ":length=5", 6).fingerprint
    )
    few = minibatch(f"text:{text}:length=5,vocab=4", 6)
    kept = ["<eos>", "the", "cat"]
    check_next(few, [kept.index(word) if word in kept else 3 for word in words], 5)
    assert few.notes == ("80 of the 240 words are not in the vocabulary of 4, and read as <unk>",)
    assert minibatch(f"text:{text}:length=5,vocab=30", 6).task.classes == 30


def test_windows_are_disjoint_and_drawn_by_the_seed(tmp_path):
    np.savez(tmp_path / "a.npz", ids=np.arange(101))
    data = [minibatch(f"text:{tmp_path / 'a.npz'}:length=5", 20, seed) for seed in (0, 0, 1)]
    assert sorted(data[0].images.flatten().tolist()) == list(range(100))
    assert data[0].fingerprint == data[1].fingerprint != data[2].fingerprint
    with pytest.raises(UsageError, match="has 20 sequences of 5 tokens, fewer than the 21 asked for"):
        minibatch(f"text:{tmp_path / 'a.npz'}:length=5", 21)


def test_bytes(text):
    data = minibatch(f"text:{text}:tokens=bytes,length=7", 5)
    assert data.task == Task(256, length=7, kind="tokens")
    check_next(data, list(TEXT.encode()), 7)
    masked = minibatch(f"text:{text}:tokens=bytes,length=7,predict=masked", 5)
    assert masked.task == Task(257, length=7, kind="tokens", masked=True)
    assert (masked.images == 256).sum() == 5


@pytest.mark.parametrize("length", [3, 9, 32])
def test_masked_tokens_are_the_labels(length):
    data = minibatch(f"tokens:vocab=50,length={length},predict=masked", 6)
    plain = minibatch(f"tokens:vocab=50,length={length},predict=masked", 6)
    hidden = data.images == 49
    assert hidden.sum(1).tolist() == [max(1, round(0.15 * length))] * 6
    assert torch.equal(hidden, data.labels != UNLABELLED)
    assert data.labels[hidden].max() < 49
    assert plain.fingerprint == data.fingerprint
    assert len({tuple(row) for row in hidden.tolist()}) > 1


def test_ids_and_their_vocabulary(tmp_path):
    path = tmp_path / "ids.npz"
    np.savez(path, ids=np.arange(60).reshape(6, 10) % 7)
    data = minibatch(f"text:{path}:length=4", 5)
    check_next(data, [number % 7 for number in range(60)], 4)
    assert minibatch(f"text:{path}:length=4,vocab=90,predict=masked", 5).images.max() == 89
    assert minibatch(f"text:{path}:length=4,predict=masked", 5).task.classes == 8


def test_what_a_space_predicts_decides_what_is_made_up():
    assert minibatch("synthetic", 4, predicts=("masked",)).task == Task(1000, length=32, kind="tokens", masked=True)
    assert minibatch("synthetic", 4, predicts=("next", "masked")).task.output == "next"
    assert minibatch("synthetic", 8, predicts=("classes",)).task == Task(10)
    assert minibatch("tokens:predict=masked", 4, predicts=("next", "masked")).task.output == "masked"


@pytest.mark.parametrize(
    ("given", "predicts", "reason"),
    [
        ("tokens", ("classes",), "take images, and the data ask for next tokens: give images"),
        (
            "synthetic:classes=3",
            ("masked",),
            "predict masked tokens, and the data are images: give tokens, as text:FILE",
        ),
        ("tokens:predict=next", ("masked",), "predict masked tokens, and the data ask for next tokens"),
    ],
)
def test_data_of_the_other_kind_are_refused(given, predicts, reason):
    with pytest.raises(UsageError, match=reason):
        minibatch(given, 8, predicts=predicts)


def test_the_fingerprint_holds_all(text):
    made = [f"text:{text}:length=5,predict=masked", f"text:{text}:length=5", f"text:{text}:length=5,vocab=30"]
    assert len({minibatch(given, 6).fingerprint for given in made}) == 3
    data = minibatch(made[0], 6)
    assert replace(data, masked=False).fingerprint != data.fingerprint
    assert minibatch(data).fingerprint == data.fingerprint


def test_what_is_said_of_a_text(text):
    facts = describe(f"text:{text}:length=5,predict=masked")
    assert facts["kind"] == "a text"
    assert facts["sequences"] == 47
    assert facts["vocabulary"].startswith("8: <eos>, the")
    assert facts["size"] == "5 tokens"
    assert facts["predicted"] == "masked tokens"
    assert describe("tokens")["sequences"] == "made up as they are drawn"
    with pytest.raises(UsageError, match="are tokens, and networks are trained on images only"):
        splits("tokens")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("tokens=letters", "unknown value for text.tokens 'letters': known are bytes, ids, words"),
        ("predict=all", "unknown value for text.predict 'all'"),
        ("length=1", "text.length is at least 2"),
        ("length=5000", "240 tokens are too few for a sequence of 5000"),
        ("vocab=1", "a vocabulary of 1 entries has no words beside <unk>"),
        ("tokens=bytes,vocab=99", "bytes are 256 different tokens: no vocab=99"),
        ("tokens=ids", "cannot be read as .npz"),
    ],
)
def test_options_that_cannot_be_used(text, options, reason):
    with pytest.raises(UsageError, match=reason):
        minibatch(f"text:{text}:{options}", 8)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"ids": np.arange(90.0)}, "ids are whole numbers in one row, or in rows that follow each other, not float64"),
        ({"ids": np.arange(90) - 3}, "ids are from 0 to 86, not -3 to 86"),
        ({"ids": np.arange(90) * 10**7}, "ids are below 1000000, not 890000000"),
        ({"a": np.arange(90), "b": np.arange(90)}, "has no array ids, only a, b"),
        ({"ids": np.empty(0, int)}, "ids are whole numbers in one row"),
    ],
)
def test_numbers_that_are_no_tokens(tmp_path, arrays, reason):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UsageError, match=reason):
        minibatch(f"text:{tmp_path / 'x.npz'}:length=4", 8)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "holds no text"), (b"\xff\xfe\x00", "is no UTF-8 text .* give tokens=bytes"), (b" \n ", "holds no text")],
)
def test_files_that_are_no_text(tmp_path, content, reason):
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        minibatch(f"text:{tmp_path / 'x.txt'}", 8)


def test_what_stands_for_something_else_in_a_text(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a <unk> <mask> a a\n" * 20)
    data = minibatch(f"text:{path}:length=6,predict=masked", 6)
    assert data.task.classes == 4  # a, <eos>, <unk> and the mask
    assert ((data.images == 3) == (data.labels != UNLABELLED)).all()


TOKENS = torch.zeros(2, 3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("tokens", "labels", "reason"),
    [
        (TOKENS[0], TOKENS, r"has int64 \[samples, length\]"),
        (TOKENS + 4, TOKENS, "of 4 different tokens has tokens from 0 to 3"),
        (TOKENS, TOKENS[:, 0], "a label for each of them"),
        (TOKENS, TOKENS - 100, "of each sample one at least"),
        (TOKENS, TOKENS + 4, "has labels from 0 to 3"),
    ],
)
def test_minibatches_that_are_none(tokens, labels, reason):
    with pytest.raises(UsageError, match=reason):
        minibatch(Minibatch(tokens, labels, 4))
