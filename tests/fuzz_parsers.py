"""Feeds mutated texts to every parser of architectures, guided by coverage; needs atheris and is run by hand.

    python tests/fuzz_parsers.py [libFuzzer's options, like -max_total_time=300]

A text is parsed to an architecture that comes back from its own text, or refused with `ValueError`; anything else, or a
second's work, is a crash. The first byte chooses the space, the second a text to begin with, the rest what becomes
of it; the corpus is what libFuzzer makes of that.
"""

import sys
import time
from random import Random

import atheris

with atheris.instrument_imports(include=["spaces", "nas.space", "nas.graph", "nas.registry", "nas.errors"]):
    from nas import plugins
    from nas.space import SPACES, is_leaf

    plugins.load()

SECOND = 1.0
MADE = {name: SPACES[name]() for name in SPACES}


def seeds(name):
    """Texts that the space reads: of random architectures in every notation, and of its supernet."""
    space = MADE[name]
    if not all(space.slots):
        return ["timm:resnet18", "networks.py:small", "timm:", ":", "/dev/null:x"]
    archs = [space.sample(Random(seed)) for seed in range(3)]
    texts = [f"{kind}:{text}" if kind != "text" else text for a in archs for kind, text in space.notations(a).items()]
    return [*texts, space.text(space.full())] if space.supernet else texts


TEXTS = {name: seeds(name) for name in MADE}


def mutated(data, text):
    for _ in range(data.ConsumeIntInRange(0, 6)):
        at = data.ConsumeIntInRange(0, len(text))
        kind = data.ConsumeIntInRange(0, 5)
        if kind == 0:
            text = text[:at] + text[at + data.ConsumeIntInRange(0, 12) :]
        elif kind == 1:
            text = text[:at] + data.ConsumeUnicode(8) + text[at:]
        elif kind == 2:
            piece = text[at : at + data.ConsumeIntInRange(1, 24)]
            text = text[:at] + piece * data.ConsumeIntInRange(2, 400) + text[at:]
        elif kind == 3:
            text = text[:at] + str(data.ConsumeInt(16)) + text[at + 1 :]
        elif kind == 4:
            text = text[:at] + data.PickValueInList(PIECES) + text[at + 1 :]
        else:
            other = data.PickValueInList(ALL)
            text = text[:at] + other[data.ConsumeIntInRange(0, len(other)) :]
    return text


PIECES = [
    "[", "]", "{", "}", "(", ")", '"', "'", ":", ",", "|", "~", "+", "/", "-", "\\", "\0", "\n", "null", "true", "NaN",
    "1e999", "-0", "9" * 30, "9" * 5000, "[" * 3000, "(" * 300, "-" * 3000, "{" * 1000 + "}", "**{}", "*[]", "range(9)",
    "genotype", "matrix", "ops", "normal", "width", "depth", "lambda:0", "f''", "b''", "1j", "...", "\ud800", "²", "٣",
]  # fmt: skip
ALL = [text for texts in TEXTS.values() for text in texts]


def one(content):
    data = atheris.FuzzedDataProvider(content)
    name = data.PickValueInList(sorted(MADE))
    text = data.PickValueInList(TEXTS[name]) if data.ConsumeBool() else data.ConsumeUnicode(200)
    text = mutated(data, text)
    space = SPACES[name]() if name == "networks" else MADE[name]
    start = time.process_time()
    try:
        arch = space.parse(text)
    except ValueError:
        pass
    else:
        assert len(arch) == len(space.slots)
        assert all(
            0 <= option < len(names) for options, names in zip(arch, space.slots, strict=True) for option in options
        )
        assert space.parse(space.text(arch)) == arch, text
        if is_leaf(arch):
            space.canonical(arch)
    assert time.process_time() - start < SECOND, f"{name}: slow: {text[:200]!r}"


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
