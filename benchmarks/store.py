"""The costs of the store: bytes of a score, microseconds of reading and of writing one, time added to a search; and
whether processes that write at once lose anything.

    python -m benchmarks.store [--seconds 60] [--processes 8] [--evaluations 100000]

The measuring itself is replaced by a constant, so that what is left is the engine with and without a store.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count
from math import inf
from pathlib import Path
from random import Random

from nas import plugins
from nas.data.minibatch import minibatch
from nas.proxy import PROXIES
from nas.scoring.measurer import Measurer, Score
from nas.scoring.scorer import Job, Scorer
from nas.space import Arch, Space, make_space
from nas.store.store import FIELDS, Store, as_text

KEY = as_text({name: kind() for name, kind in FIELDS.items()})


def instant(measurer: Measurer, jobs: Sequence[Job]) -> Iterator[tuple[int, dict[str, Score]]]:
    """An engine that measures nothing."""
    for number, job in enumerate(jobs):
        yield number, {proxy.name: Score(number / 7, seconds=1 / 3) for proxy in job.proxies}


def seconds_to_score(space: Space, name: str, archs: Sequence[Arch], store: Store) -> float:
    """The time to score architectures one after the other, as a search does."""
    data = minibatch("synthetic", 64, 0)
    start = time.perf_counter()
    with store:
        scorer = Scorer(space, data, device="cpu", engine=instant, shelf=store.shelf(name, {}))
        for arch in archs:
            scorer([arch], [PROXIES["params"]])
    return time.perf_counter() - start


def write(path: Path, worker: int, seconds: float) -> int:
    """Writes scores as fast as possible, and returns how many of its own."""
    end = time.monotonic() + seconds
    with Store(path) as store:
        for number in count():
            if time.monotonic() > end:
                return number
            store.put(KEY, f"{worker}-{number}", Score(float(number)))
            store.put(KEY, f"shared-{number}", Score(float(number)))
            time.sleep(0.001)
    raise AssertionError("counting ends")


def load(path: Path, processes: int, seconds: float) -> None:
    command = [sys.executable, "-m", "benchmarks.store", "--write", str(path), "--seconds", str(seconds), "--worker"]
    started = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in range(processes)]
    counts = [int(process.communicate()[0]) for process in started]
    with Store(path) as store:
        lost = sum(
            store.find(KEY, f"{worker}-{number}") != Score(float(number))
            for worker, of_worker in enumerate(counts)
            for number in range(of_worker)
        )
        lost += sum(store.find(KEY, f"shared-{number}") != Score(float(number)) for number in range(max(counts)))
    failed = sum(process.returncode != 0 for process in started)
    print(
        f"{processes} processes, {seconds:g} s: {2 * sum(counts):,} scores put, {lost} lost, {failed} processes failed"
    )


def costs(folder: Path, evaluations: int) -> None:
    rng = Random(0)
    for name in ("nasbench201", "nds_resnet"):
        space = make_space(name, {})
        archs = [space.canonical(space.sample(rng)) for _ in range(evaluations)]
        distinct = len(set(archs))
        paths = [folder / f"{name}-{repeat}.sqlite" for repeat in range(3)]
        without = cold = warm = inf
        for path in paths:  # by turns, so that a busy machine is as busy for each
            without = min(without, seconds_to_score(space, name, archs, Store("none")))
            cold = min(cold, seconds_to_score(space, name, archs, Store(path)))
            warm = min(warm, seconds_to_score(space, name, archs, Store(path)))
        added = ", ".join(
            f"{label} {1000 * (took - without) / evaluations:.4f} ms"
            for label, took in (("cold", cold), ("warm", warm))
        )
        print(f"{name}: {evaluations:,} evaluations, {distinct:,} distinct; the store adds {added} to each")
        print(f"{name}: {path.stat().st_size / distinct:.0f} bytes a score, {path.stat().st_size / 1e6:.1f} MB")
    texts = [f"{'x' * 80}{number}" for number in range(20_000)]
    with Store(folder / "plain.sqlite") as store:
        start = time.perf_counter()
        for text in texts:
            store.put(KEY, text, Score(1 / 3))
        store.__exit__(None, None, None)
        put = time.perf_counter() - start
    with Store(folder / "plain.sqlite") as store:
        start = time.perf_counter()
        count_found = sum(store.find(KEY, text) is not None for text in texts)
        get = time.perf_counter() - start
    assert count_found == len(texts)
    print(f"put {1e6 * put / len(texts):.1f} µs, get {1e6 * get / len(texts):.1f} µs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--worker", type=int)
    arguments = parser.parse_args()
    if arguments.write is not None:
        print(write(arguments.write, arguments.worker, arguments.seconds))
        return
    plugins.load()
    with tempfile.TemporaryDirectory() as folder:
        costs(Path(folder), arguments.evaluations)
        load(Path(folder) / "load.sqlite", arguments.processes, arguments.seconds)


if __name__ == "__main__":
    main()
