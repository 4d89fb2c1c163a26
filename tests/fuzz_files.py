"""Feeds damaged files to every reader of files, and says what became of them; run by hand.

    python tests/fuzz_files.py [--minutes 5] [--seed 0] [READER …]

A file is made as its reader expects it, a few of its bytes are changed, cut out, repeated or replaced, and it is read.
It may be read, or refused by `UsageError` in one line; anything else is a crash, and so is a file that takes longer
than `SECONDS` of processor time or makes the process grow by more than `GROWTH` bytes. The exit code is 1 then.
"""

import argparse
import contextlib
import gzip
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import torch
from official_files import CELLS, nasbench201
from PIL import Image

import nas
from nas import plugins
from nas.cli.recipe import steps
from nas.data.minibatch import minibatch
from nas.data.official.table import import_table
from nas.data.table import Table
from nas.errors import UsageError
from nas.runs.yaml_file import read_yaml
from nas.space import SPACES
from nas.store import packs
from nas.training.checkpoint import read_weights, write_weights

SECONDS = 5.0
GROWTH = 2**30
SPACE = "nasbench201"
TEXTS = [SPACES[SPACE]().text(SPACES[SPACE]().sample(Random(seed))) for seed in range(40)]
PIECES = [
    b"", b"\0", b"\n", b"\xff\xff\xff\xff", b"9" * 30, b"1e999", b"NaN", b"[" * 3000, b"- " * 200, b"&a *a",
    b"\xef\xbb\xbf", b'"', b"{", b"}", b"(lp0",
]  # fmt: skip


def frame():
    return pd.DataFrame({"arch": TEXTS, "accuracy": np.linspace(80, 94, len(TEXTS)), "note": "x"})


def csv(folder):
    frame().to_csv(folder / "t.csv", index=False)
    return folder / "t.csv", lambda path: Table(path, SPACES[SPACE]()).target("accuracy")


def csv_gz(folder):
    frame().to_csv(folder / "t.csv.gz", index=False)
    return folder / "t.csv.gz", lambda path: Table(path, SPACES[SPACE]()).target("accuracy")


def parquet(folder):
    frame().to_parquet(folder / "t.parquet")
    return folder / "t.parquet", lambda path: Table(path, SPACES[SPACE]()).target("accuracy")


def official(folder):
    path = folder / "NAS-Bench-201-v1_1-096897.pth"
    torch.save(nasbench201(CELLS[:1]), path, _use_new_zipfile_serialization=False)
    return path, lambda path: import_table(path, path.with_name("out.csv"))


def npz(folder):
    rng = np.random.default_rng(0)
    path = folder / "i.npz"
    np.savez_compressed(path, images=rng.integers(0, 256, (90, 8, 8, 3), dtype=np.uint8), labels=np.arange(90) % 3)
    return path, lambda path: minibatch(path, 12)


def png(folder):
    rng = np.random.default_rng(0)
    for label in range(2):
        (folder / "images" / str(label)).mkdir(parents=True)
        for number in range(8):
            picture = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
            picture.save(folder / "images" / str(label) / f"{number}.png")
    return folder / "images" / "1" / "3.png", lambda path: minibatch(path.parent.parent, 12)


def yaml(folder):
    path = folder / "c.yaml"
    path.write_text("space: nasbench201\nbudget: 20\nset: {evolution: {population: 10}}\nproxies: [naswot, params]\n")
    return path, read_yaml


def recipe(folder):
    path = folder / "r.yaml"
    path.write_text(
        "command: search\nbudget: 5\nsteps:\n- {name: a, seed: 1}\n- {name: b, set: {evolution: {population: 4}}}\n"
    )
    return path, lambda path: steps(path, path.parent / "out")


def _run(folder):
    run = folder / "run"
    nas.search(SPACE, "params", "random_search", 6, run_folder=run, store="none")
    return run


def trials(folder):
    return _run(folder) / "trials.jsonl", lambda path: nas.load(path.parent)


def config(folder):
    return _run(folder) / "config.yaml", lambda path: nas.load(path.parent)


def best(folder):
    return _run(folder) / "best.yaml", lambda path: nas.load(path.parent)


def store(folder):
    path = folder / "s.sqlite"
    nas.search(SPACE, "depth", "random_search", 30, store=path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    return path, lambda path: (packs.info(path), nas.search(SPACE, "depth", "random_search", 3, store=path))


def pack(folder):
    path, _ = store(folder)
    packs.export(folder / "p.parquet", path=path)

    def read(path):
        (path.parent / "new.sqlite").unlink(missing_ok=True)
        packs.import_pack(path, path.parent / "new.sqlite")

    return folder / "p.parquet", read


def weights(folder):
    path = folder / "w.pt"
    write_weights(path, {"a.weight": torch.randn(4, 3, 3, 3), "a.bias": torch.zeros(4)})
    return path, read_weights


READERS = {make.__name__: make for make in (
    csv, csv_gz, parquet, official, npz, png, yaml, recipe, trials, config, best, store, pack, weights,
)}  # fmt: skip


def damaged(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 2)):
        at = rng.randint(0, len(changed))
        kind = rng.randrange(6)
        if kind == 0:
            del changed[at : at + rng.choice((1, 4, 64, 100_000))]
        elif kind == 1:
            changed[at : at + rng.choice((0, 1, 4))] = rng.choice(PIECES)
        elif kind == 2:
            changed[at:at] = changed[at : at + 64] * rng.choice((1, 2, 200))
        elif kind == 3 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 4:
            changed[at : at + 4] = rng.randbytes(4)
        elif changed:
            other = rng.randrange(len(changed))
            changed[at : at + 16] = changed[other : other + 16]
    return bytes(changed)


def one(read, path: Path, content: bytes, name: str) -> str:
    """What became of one file: "read", "refused", or a crash in words."""
    path.write_bytes(gzip.compress(content) if name == "csv_gz" else content)
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
        outcome = "read"
    except UsageError as refused:
        outcome = "refused" if len(str(refused).splitlines()) == 1 else f"not one line: {str(refused)[:200]!r}"
    except Exception as error:
        outcome = f"{type(error).__name__}: {str(error)[:200]}"
    if time.process_time() - start > SECONDS:
        outcome = f"{outcome} after {time.process_time() - start:.1f} s"
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 > GROWTH:
        outcome = f"{outcome} with a GB of memory"
    return outcome


def fuzz(name: str, seconds: float, rng: Random) -> tuple[Counter, list[str]]:
    outcomes, crashes = Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        path, read = READERS[name](Path(folder))
        content = path.read_bytes()
        read(path)  # as it is it can be read
        plain = gzip.decompress(content) if name == "csv_gz" else content
        whole = Path(folder, "whole")
        shutil.copytree(path.parent, whole, ignore=shutil.ignore_patterns("whole"))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            changed = damaged(plain, rng)
            outcome = one(read, path, changed, name)
            outcomes[outcome if outcome in ("read", "refused") else "crash"] += 1
            if outcome not in ("read", "refused"):
                crashes.append(outcome)
                print(f"    {name}: {outcome}: {changed[:300]!r}", flush=True)
            for file in whole.iterdir():  # what a reader may have written besides
                if file.is_file():
                    shutil.copy2(file, path.parent)
    return outcomes, crashes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", default=list(READERS))
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    plugins.load()
    rng, crashed, total = Random(arguments.seed), 0, 0
    for name in arguments.readers:
        outcomes, crashes = fuzz(name, arguments.minutes * 60 / len(arguments.readers), rng)
        print(
            f"{name:10} {outcomes['read']:6} read {outcomes['refused']:6} refused {outcomes['crash']:4} crashed",
            flush=True,
        )
        crashed, total = crashed + len(crashes), total + outcomes.total()
    print(f"{total} files, {crashed} crashes")
    sys.exit(crashed > 0)


if __name__ == "__main__":
    main()
