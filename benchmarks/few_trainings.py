"""What a few trainings are worth on a space of one's own: the digits of scikit-learn, small networks with convolutions,
or without (mixers).

    python -m benchmarks.few_trainings OUT [--space digits_mixer] [--networks 60] [--epochs 4] [--evaluate 12]

Trains ``networks`` random networks as the yardstick. Then, 20 times: of 30 of them, drawn at random, the best by
validation of ``evaluate`` that ``nas search --evaluate`` chooses, of as many at random, and of as many down the
ranking; by test accuracy and by their place among the 30. And once for real: a search that scores 100 and trains as
many, beside as many random ones, and what it spends its time on. Everything is kept in the folder OUT, one for each
space, and continued there.
"""

from __future__ import annotations

import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import typer
from sklearn.datasets import load_digits
from torch import nn

import nas
from nas.choices import ChoiceSpace, choices, integers, one_of, repeated
from nas.runs import evaluation
from nas.space import space
from nas.statistics.beliefs import believe

PROXIES = {"digits_convolutions": "gradalign_i+synflow+naswot", "digits_mixer": "gradalign_i+synflow+grad_norm"}
"""What each space is searched by; naswot counts ReLUs, of which mixers have none."""
REPETITIONS, POOL, SCORED = 20, 30, 100


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, op, kernel, norm, shortcut):
        super().__init__()
        layers = {
            "conv": lambda: [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)],
            "separable": lambda: [nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs),
                                  nn.Conv2d(inputs, outputs, 1)],
            "pool": lambda: [nn.AvgPool2d(3, stride, 1), nn.Conv2d(inputs, outputs, 1)],
        }[op]()  # fmt: skip
        layers += [nn.BatchNorm2d(outputs)] if norm else []
        self.body = nn.Sequential(*layers, nn.ReLU())
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if shortcut else None

    def forward(self, x):
        return self.body(x) if self.shortcut is None else self.body(x) + self.shortcut(x)


def build(choice, task):
    layers, inputs = [nn.Conv2d(task.channels, 8, 3, padding=1)], 8
    for number, block in enumerate(choice.block):
        layers.append(Block(inputs, block.width, 1 + number % 2, block.op, block.kernel, block.norm, block.shortcut))
        inputs = block.width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, task.classes))


@space("digits_convolutions")
def digits_convolutions():
    block = repeated(4, op=one_of("conv", "separable", "pool"), kernel=one_of(1, 3, 5), width=one_of(8, 16, 32),
                     norm=one_of(True, False), shortcut=one_of(True, False))  # fmt: skip
    return ChoiceSpace(choices(block=block), build)


class Mixing(nn.Module):
    """An MLP over the tokens, or over the channels where ``across`` is false; [images, tokens, channels]."""

    def __init__(self, tokens, width, ratio, norm, shortcut, across):
        super().__init__()
        size = tokens if across else width
        hidden = max(1, int(ratio * size))
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.layers = nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size))
        self.across, self.shortcut = across, shortcut

    def forward(self, x):
        y = self.norm(x)
        y = self.layers(y.transpose(1, 2)).transpose(1, 2) if self.across else self.layers(y)
        return x + y if self.shortcut else y


class Mixer(nn.Module):
    def __init__(self, choice, task):
        super().__init__()
        tokens = (task.size // choice.patch) ** 2
        self.embed = nn.Conv2d(task.channels, choice.width, choice.patch, choice.patch)
        self.blocks = nn.Sequential(*(
            Mixing(tokens, choice.width, ratio, block.norm, block.shortcut, across)
            for block in choice.block
            for ratio, across in ((block.tokens, True), (block.channels, False))
        ))  # fmt: skip
        self.head = nn.Linear(choice.width, task.classes)

    def forward(self, x):
        return self.head(self.blocks(self.embed(x).flatten(2).transpose(1, 2)).mean(1))


@space("digits_mixer")
def digits_mixer():
    block = repeated("depth", tokens=one_of(0.5, 1, 2), channels=one_of(0.5, 1, 2, 4),
                     norm=one_of(True, False), shortcut=one_of(True, False))  # fmt: skip
    return ChoiceSpace(
        choices(patch=one_of(1, 2, 4), width=one_of(8, 16, 32, 64), depth=integers(1, 4), block=block), Mixer
    )


def main(
    out: Path, networks: int = 60, epochs: int = 4, evaluate: int = 12, space: str = "digits_convolutions"
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    digits, data = load_digits(), out / "digits.npz"
    if not data.exists():
        np.savez(data, images=(digits.images * 15).astype(np.uint8)[..., None], labels=digits.target)
    given = {"data": str(data), "plugin": [__file__]}
    start = time.perf_counter()
    trained = nas.train(space, networks, epochs=epochs, out=out / "networks", **given)
    print(f"{networks} trainings: {time.perf_counter() - start:.0f} s, {trained.table['seconds'].mean():.1f} s each")
    print(trained.table[["valid_accuracy", "test_accuracy"]].describe().round(2))
    given |= {"batch_size": 16, "store": "none"}
    verdict = nas.compare(space, out / "networks" / "table.csv", "test_accuracy", PROXIES[space].split("+"), **given)
    print("\n".join(verdict.words))
    print(verdict.correlations[["proxy", "kendall", "kendall_lo", "kendall_hi", "kendall_given_params"]].round(2))
    repeated_draws(space, trained.table, evaluate, given)
    once(space, out, epochs, evaluate, given)


def repeated_draws(name: str, table: pd.DataFrame, evaluate: int, given: dict) -> None:
    known = table.set_index("arch")
    rows = []
    for seed in range(REPETITIONS):
        rng = np.random.default_rng(seed)
        archs = list(rng.permutation(known.index)[:POOL])

        def listed(space, rng, archs=archs):
            yield [space.parse(arch) for arch in archs]

        result = nas.search(name, PROXIES[name], listed, POOL, evaluate=evaluate, truth=valid_of(known), **given)
        random = known.loc[archs[:evaluate]]
        ranked = result.trials.sort_values("score", ascending=False)["arch"][:evaluate]
        chosen = {"evaluate": result.best.arch, "random": random["valid_accuracy"].idxmax(),
                  "ranking": known.loc[ranked, "valid_accuracy"].idxmax()}  # fmt: skip
        places = known.loc[archs, "valid_accuracy"].rank(ascending=False, method="min")
        rows += [(method, known.loc[arch, "test_accuracy"], places[arch]) for method, arch in chosen.items()]
    frame = pd.DataFrame(rows, columns=["method", "test", "place"]).groupby("method").agg(["mean", "std"])
    print(f"of {POOL}, {evaluate} evaluated, {REPETITIONS} repetitions; place by validation:\n{frame.round(2)}")


def valid_of(known: pd.DataFrame):
    def valid_accuracy(arch: str) -> float:
        return float(known.loc[arch, "valid_accuracy"])

    return valid_accuracy


def once(name: str, out: Path, epochs: int, evaluate: int, given: dict) -> None:
    believing: list[float] = []

    def timed(*args):
        start = time.perf_counter()
        beliefs = believe(*args)
        believing.append(time.perf_counter() - start)
        return beliefs

    start = time.perf_counter()
    with patch.object(evaluation, "believe", timed):
        result = nas.search(
            name, PROXIES[name], "random_search", SCORED, evaluate=evaluate, epochs=epochs,
            run_folder=out / "run", **given,
        )  # fmt: skip
    spent = {
        "proxies": result.trials["seconds"].sum(), "trainings": result.evaluations["seconds"].sum(),
        "model": sum(believing),
    }  # fmt: skip
    spent["data, files, pages"] = time.perf_counter() - start - sum(spent.values())
    print(f"once: {result.best.evaluated}; seconds: {', '.join(f'{what} {took:.1f}' for what, took in spent.items())}")
    random = nas.train(
        name, evaluate, epochs=epochs, out=out / "random", data=given["data"], plugin=[__file__], seed=1
    )  # fmt: skip
    print(
        "random:",
        random.table.loc[random.table["valid_accuracy"].idxmax(), ["valid_accuracy", "test_accuracy"]].to_dict(),
    )


if __name__ == "__main__":
    typer.run(main)
