"""Faults that take minutes: how many searches survive them, and whether the history is that of the undisturbed run.

NAS_DATA=... python -m benchmarks.faults [FAULT …]
python -m benchmarks.faults --minutes 20        searches that meet all sorts of faults at random, one after the other

Each search (40 evaluations of gradalign_i by evolution, in batches of 4) is disturbed and continued to its end. It has
survived if it ended as it must and no record is lost, doubled or different from the undisturbed run, except in its
seconds.
"""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
FAULTY = ROOT / "tests" / "faulty.py"
SMALL = ["--set", "nasbench201.widths=[4,8]", "--set", "nasbench201.repeats=1"]
SEARCH = [
    "search", "--budget", "40", "--quiet", "--data", "synthetic:size=16", "--batch-size", "16", "--batch", "4",
    "--set", "evolution.population=10", "--plugin", str(FAULTY), *SMALL,
]  # fmt: skip
PROXY = ["--proxy", "gradalign_i"]
Record = dict[str, object]


def start(folder: Path, *more: str, room: int | None = None, store: object = "none") -> subprocess.Popen[str]:
    """The command line, in a process group of its own; with ``room``, no file may have more bytes."""

    def limit() -> None:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    options = more if "--proxy" in more else (*PROXY, *more)
    return subprocess.Popen(
        [sys.executable, "-m", "nas.cli", *SEARCH, *options, "--run", str(folder), "--store", str(store)],
        cwd=ROOT, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=limit,
    )  # fmt: skip


def records(folder: Path) -> list[Record]:
    file = folder / "trials.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def processes(group: int) -> list[int]:
    """The live processes of a group, except its first."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != group:
            try:
                state, _, its = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:  # it has ended since
                continue
            if int(its) == group and state != "Z":
                pids.append(int(entry.name))
    return pids


def named(name: bytes, group: int) -> list[int]:
    """The live processes of a group with ``name`` in their command line."""
    pids = []
    for pid in processes(group):
        try:
            words = (Path("/proc") / str(pid) / "cmdline").read_bytes()
        except OSError:
            continue
        if name in words:
            pids.append(pid)
    return pids


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())


def finish(place: Path, *more: str) -> bool:
    process = start(place, *more)
    process.communicate()
    return process.returncode == 0


def fault_kill(place: Path, rng: random.Random) -> Iterator[bool]:
    """SIGKILL of the main process at a random moment after the next record; its workers end with it."""
    process, before = start(place, "--workers", "2"), len(records(place))
    wait_for(lambda: process.poll() is not None or len(records(place)) > before)
    time.sleep(rng.random() * 0.5)
    process.kill()
    process.communicate()
    yield wait_for(lambda: not processes(process.pid), 10)


def fault_worker(place: Path, rng: random.Random) -> Iterator[bool]:
    process = start(place, "--workers", "2")
    wait_for(lambda: len(records(place)) >= 4)
    for _ in range(3):
        time.sleep(rng.random())
        for pid in named(b"spawn_main", process.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
    process.communicate()
    yield process.returncode == 0


def ended(number: int, code: int, *more: str) -> Callable[[Path, random.Random], Iterator[bool]]:
    """A signal to the process and its workers, as a terminal sends it."""

    def disturb(place: Path, rng: random.Random) -> Iterator[bool]:
        process = start(place, "--workers", "2", *more)
        wait_for(lambda: len(records(place)) >= 1)
        time.sleep(rng.random())
        os.killpg(process.pid, number)
        _, message = process.communicate()
        silent = message == "nas: interrupted; the same command continues where it stopped\n"
        yield process.returncode == code and silent and wait_for(lambda: not processes(process.pid), 10)
        yield finish(place)

    return disturb


def kill_half_way(place: Path) -> None:
    process = start(place)
    wait_for(lambda: len(records(place)) >= 8)
    process.kill()
    process.communicate()


def fault_settings(place: Path, rng: random.Random) -> Iterator[bool]:
    """``config.yaml`` cut short, as by a power cut; then removed, as the sentence says."""
    kill_half_way(place)
    config = place / "config.yaml"
    os.truncate(config, rng.randrange(config.stat().st_size))
    process = start(place)
    _, message = process.communicate()
    yield (
        process.returncode == 2
        and message.count("\n") == 1
        and ("remove config.yaml" in message or "holds a run with" in message)
    )
    config.unlink()
    yield finish(place)


def fault_tail(place: Path, rng: random.Random) -> Iterator[bool]:
    """The end of ``trials.jsonl`` cut at any byte, and zeros behind it, as a power cut leaves them."""
    kill_half_way(place)
    file = place / "trials.jsonl"
    os.truncate(file, rng.randrange(file.stat().st_size))
    with file.open("ab") as opened:
        opened.write(bytes(rng.choice((0, 1, 512, 4096))))
    yield finish(place)


def fault_lock(place: Path, rng: random.Random) -> Iterator[bool]:
    """``.lock`` removed while a run writes; a second run is refused all the same."""
    first = start(place, "--workers", "1")
    wait_for(lambda: len(records(place)) >= 1)
    (place / ".lock").unlink()
    first.send_signal(signal.SIGSTOP)
    second = start(place)
    _, message = second.communicate()
    first.send_signal(signal.SIGCONT)
    yield second.returncode == 2 and "another run is writing to" in message and message.count("\n") == 1
    first.communicate()
    yield first.returncode == 0


def fault_stop(place: Path, rng: random.Random) -> Iterator[bool]:
    """Stopped with its workers for longer than the time limit, which does not count that time."""
    process = start(place, "--workers", "2", "--timeout", "20")
    wait_for(lambda: len(records(place)) >= 4)
    time.sleep(rng.random())
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(25)
    os.killpg(process.pid, signal.SIGCONT)
    process.communicate()
    yield process.returncode == 0


def disturbed_store(what: Callable[[Path], object]) -> Callable[[Path, random.Random], Iterator[bool]]:
    """The store removed, replaced or damaged while a run uses it: the run goes on, with one line of warning."""

    def disturb(place: Path, rng: random.Random) -> Iterator[bool]:
        store = place.with_name(f"{place.name}.sqlite")
        process = start(place, store=store)
        wait_for(lambda: len(records(place)) >= 4)
        what(store)
        _, text = process.communicate()
        yield (process.returncode == 0 and str(store) in text and text.count("\n") <= 2 and "Traceback" not in text)

    return disturb


def fault_disk(place: Path, rng: random.Random) -> Iterator[bool]:
    process = start(place, room=rng.randrange(100, 6000))
    _, message = process.communicate()
    yield process.returncode == 2 and message.count("\n") == 1 and "cannot be written (File too large)" in message
    yield finish(place)


def fault_two(place: Path, rng: random.Random) -> Iterator[bool]:
    first = start(place, "--workers", "1")
    wait_for(lambda: len(records(place)) >= 1)
    first.send_signal(signal.SIGSTOP)  # so that it is not over before the second begins
    second = start(place)
    _, message = second.communicate()
    first.send_signal(signal.SIGCONT)
    yield second.returncode == 2 and "another run is writing to" in message and message.count("\n") == 1
    first.communicate()
    yield first.returncode == 0


def faulty(fault: str, status: str, *more: str) -> Callable[[Path, random.Random], Iterator[bool]]:
    """A proxy that fails on a third of the networks: these have no score, and the others the undisturbed one."""

    def disturb(place: Path, rng: random.Random) -> Iterator[bool]:
        options = ["--proxy", "faulty", "--searcher", "random_search", "--set", f"faulty.fault={fault!r}", *more]
        for _ in range(2):  # the second time it is all recorded
            process = start(place, *options)
            process.communicate()
            trials = records(place)
            params = {trial["arch"]: trial["score"] for trial in trials if trial["status"] == "ok"}
            failed = [trial for trial in trials if trial["status"] != "ok"]
            yield (
                process.returncode == 0 and len(trials) == 40 and {trial["status"] for trial in failed} == {status}
                and all(float(str(score)) % 3 for score in params.values())
            )  # fmt: skip

    return disturb


def ray_worker(place: Path, rng: random.Random) -> Iterator[bool]:
    """SIGKILL of the actors' processes, one after the other."""
    process = start(place, "--ray", "local", "--workers", "2")
    wait_for(lambda: len(records(place)) >= 4)
    for _ in range(2):
        time.sleep(rng.random())
        for pid in named(b"ray::Workbench", process.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
    _, message = process.communicate()
    yield process.returncode == 0 and "Traceback" not in message


def ray_node(place: Path, rng: random.Random) -> Iterator[bool]:
    """A node with an actor of its own goes, while the other one's goes on."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    process = start(place, "--ray", str(cluster.address), "--workers", "2")
    wait_for(lambda: len(records(place)) >= 4)
    time.sleep(rng.random())
    cluster.remove_node(node, allow_graceful=False)
    _, message = process.communicate()
    cluster.shutdown()
    yield process.returncode == 0 and "Traceback" not in message


def ray_daemon(name: bytes) -> Callable[[Path, random.Random], Iterator[bool]]:
    """A process of Ray's own on the driver's machine is killed: one sentence, and the actors end."""

    def disturb(place: Path, rng: random.Random) -> Iterator[bool]:
        process = start(place, "--ray", "local", "--workers", "2")
        wait_for(lambda: len(records(place)) >= 4)
        time.sleep(rng.random())
        for pid in named(name, process.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
        _, message = process.communicate()
        one = message.startswith("nas: the Ray cluster is lost: ") and message.count("\n") == 1
        gone = wait_for(lambda: not named(b"ray::Workbench", process.pid), 10)
        yield process.returncode == 0 or (process.returncode == 2 and one and gone)
        yield finish(place)

    return disturb


def ray_driver(place: Path, rng: random.Random) -> Iterator[bool]:
    """The driver is killed: its actors end within seconds, not when Ray notices."""
    process = start(place, "--ray", "local", "--workers", "2")
    wait_for(lambda: len(records(place)) >= 4)
    process.kill()
    process.communicate()
    yield wait_for(lambda: not named(b"ray::Workbench", process.pid), 5)
    yield finish(place)


FAULTS: dict[str, tuple[int, Callable[[Path, random.Random], Iterator[bool]]]] = {
    "kill": (50, fault_kill),
    "worker": (5, fault_worker),
    "interrupt": (5, ended(signal.SIGINT, 130)),
    "sigterm": (5, ended(signal.SIGTERM, 143)),
    "sighup": (5, ended(signal.SIGHUP, 129)),
    "settings": (5, fault_settings),
    "tail": (10, fault_tail),
    "lock": (2, fault_lock),
    "stop": (1, fault_stop),
    "store_removed": (2, disturbed_store(Path.unlink)),
    "store_emptied": (2, disturbed_store(lambda store: store.write_bytes(b""))),
    "store_garbage": (2, disturbed_store(lambda store: store.write_bytes(b"x" * 10_000))),
    "disk": (5, fault_disk),
    "two": (2, fault_two),
    "ray_worker": (2, ray_worker),
    "ray_node": (2, ray_node),
    "ray_raylet": (2, ray_daemon(b"raylet/raylet")),
    "ray_service": (2, ray_daemon(b"gcs_server")),
    "ray_driver": (2, ray_driver),
    "ray_sigterm": (2, ended(signal.SIGTERM, 143, "--ray", "local")),
    "memory": (1, faulty("memory", "memory")),
    "raises": (1, faulty("raises", "failed")),
    "nan": (1, faulty("nan", "failed")),
    "complex": (1, faulty("complex", "failed")),
    "shape": (1, faulty("shape", "failed")),
    "hangs": (1, faulty("hangs", "timeout", "--timeout", "1", "--workers", "2")),
    "dies": (1, faulty("dies", "lost", "--workers", "2")),
}
"""How often each fault is tried, and its function; those that end a run continue it."""
OWN_HISTORY = {"memory", "raises", "nan", "complex", "shape", "hangs", "dies"}


def at_random(place: Path, whole: list[Record], rng: random.Random, minutes: float) -> None:
    """Disturbs searches on one store, each begun again until it is done; prints their faults and their histories."""
    end, met = time.monotonic() + 60 * minutes, Counter[str]()
    store, done, same, doubled, lost, unclear = place / "scores.sqlite", 0, True, 0, 0, 0
    number, before = 0, []
    while time.monotonic() < end or before:
        folder = place / f"random{number}"
        kind = rng.choice(("SIGKILL", "SIGSTOP", "SIGTERM", "store removed", "store damaged", "full disk", "full tail"))
        kind = kind if time.monotonic() < end else "none"
        met[kind] += 1
        room = None
        if kind == "full disk":
            room = rng.randrange(100, 20_000)
        elif kind == "full tail" and (folder / "trials.jsonl").exists():
            room = (folder / "trials.jsonl").stat().st_size + rng.randrange(300)
        process = start(folder, *rng.choice(((), ("--workers", "2"))), room=room, store=store)
        if kind not in ("none", "full disk", "full tail"):
            wait_for(partial(goes_on, process, folder, len(before)), 60)
            time.sleep(rng.random())
            strike(kind, process, store, rng)
        _, message = process.communicate()
        if "Traceback" in message or process.returncode not in (0, 2, -signal.SIGKILL, 143):
            unclear += 1
            print(f"{kind}: exit {process.returncode}: {message[-2000:]}", flush=True)
        wait_for(lambda process=process: not processes(process.pid), 20)
        now = records(folder)
        lost += sum(record not in now for record in before)
        doubled += len(now) - len({record["number"] for record in now})
        same &= without_caching(now) == without_caching(whole)[: len(now)]
        before = now
        if process.returncode == 0:
            same &= len(now) == len(whole)
            done, number, before = done + 1, number + 1, []
    faults_met = ", ".join(f"{count} {kind}" for kind, count in sorted(met.items()))
    print(f"{minutes:g} minutes: {faults_met}")
    print(f"searches done {done}, lost {lost}, doubled {doubled}, unclear endings {unclear}, ", end="")
    print(f"history {'identical' if same else 'DIFFERS'}", flush=True)


def goes_on(process: subprocess.Popen[str], folder: Path, known: int) -> bool:
    """Whether it has added a record, or has ended."""
    return process.poll() is not None or len(records(folder)) > known


def strike(kind: str, process: subprocess.Popen[str], store: Path, rng: random.Random) -> None:
    if process.poll() is not None:
        return
    if kind == "SIGKILL":
        process.kill()
    elif kind == "SIGTERM":
        process.terminate()
    elif kind == "SIGSTOP":
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(2 * rng.random())
        os.killpg(process.pid, signal.SIGCONT)
    elif kind == "store removed":
        store.unlink(missing_ok=True)
    elif store.exists():
        content = bytearray(store.read_bytes())
        for _ in range(20):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        store.write_bytes(content)


def without_caching(trials: list[Record]) -> list[Record]:
    """The parts of trials that a store may not change: all except whether a score was known."""
    return [{key: value for key, value in trial.items() if key != "cached"} for trial in trials]


def main() -> None:
    os.environ["NAS_STORE"] = "none"  # so that every score is measured
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        assert finish(place / "whole")
        whole = records(place / "whole")
        if sys.argv[1:2] == ["--minutes"]:
            at_random(place, whole, random.Random(0), float(sys.argv[2]))
            return
        print(f"{'fault':<12}{'tried':>6}{'survived':>10}{'lost':>6}{'doubled':>9}  history", flush=True)
        for fault in sys.argv[1:] or FAULTS:
            times, disturb = FAULTS[fault]
            survived = lost = doubled = 0
            same, number, before = True, 0, []
            for attempt in range(times):
                folder = place / f"{fault}{number}"
                survived += all(list(disturb(folder, rng)))
                now = records(folder)
                lost += sum(record not in now for record in before)
                numbers = [record["number"] for record in now]
                doubled += len(numbers) - len(set(numbers))
                if fault not in OWN_HISTORY:
                    same &= now == whole[: len(now)]
                before = now
                if fault != "kill" or len(now) == len(whole) or attempt == times - 1:
                    if fault == "kill":
                        same &= finish(folder, "--workers", "2") and records(folder) == whole
                    elif fault not in OWN_HISTORY:
                        same &= now == whole
                    number, before = number + 1, []
            history = "as it must be" if fault in OWN_HISTORY else "identical" if same else "DIFFERS"
            print(f"{fault:<12}{times:>6}{survived:>10}{lost:>6}{doubled:>9}  {history}", flush=True)


if __name__ == "__main__":
    main()
