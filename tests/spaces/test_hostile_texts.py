"""Texts from outside are architectures or refused with one sentence."""

import time
from random import Random

import pytest
from hostile import mutations, quick, refused_in_a_line
from hypothesis import given
from hypothesis import strategies as st

from nas.calls.settings import parse
from nas.space import SPACES, is_leaf

SPACE_NAMES = sorted(name for name in SPACES if SPACES[name].__module__.startswith("spaces."))
MADE = {name: SPACES[name]() for name in SPACE_NAMES}


def texts_of(name):
    space = MADE[name]
    if not all(space.slots):
        return ["timm:resnet18", "networks.py:small", "timm:", ":"]
    archs = [space.sample(Random(seed)) for seed in range(2)]
    texts = [f"{kind}:{text}" if kind != "text" else text for a in archs for kind, text in space.notations(a).items()]
    return [*texts, space.text(space.full())] if space.supernet else texts


TEXTS = {name: texts_of(name) for name in SPACE_NAMES}


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
