"""Faults that take minutes: what survives them, and whether the history is that of the undisturbed run.

NAS_DATA=... python -m benchmarks.faults [FAULT …]

Each search (40 evaluations of gradalign_i by evolution, in batches of 4) is disturbed and continued to its end. A fault
has survived if it ended as it must and no record is lost, doubled or other than in the undisturbed run; seconds apart.
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
from collections.abc import Callable, Iterator
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


def start(folder: Path, *more: str, room: int | None = None) -> subprocess.Popen[str]:
    """The command line, in a process group of its own; with ``room``, no file may have more bytes."""

    def limit() -> None:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    given = more if "--proxy" in more else (*PROXY, *more)
    return subprocess.Popen(
        [sys.executable, "-m", "nas.cli", *SEARCH, *given, "--run", str(folder)], cwd=ROOT, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=limit,
    )  # fmt: skip


def records(folder: Path) -> list[Record]:
    file = folder / "trials.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def processes(group: int) -> list[int]:
    """The live processes of a group, but for its first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != group:
            try:
                state, _, its = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:  # it has ended since
                continue
            if int(its) == group and state != "Z":
                found.append(int(entry.name))
    return found


def named(name: bytes, group: int) -> list[int]:
    """The live processes of a group with ``name`` in their command line."""
    found = []
    for pid in processes(group):
        try:
            words = (Path("/proc") / str(pid) / "cmdline").read_bytes()
        except OSError:
            continue
        if name in words:
            found.append(pid)
    return found


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


def fault_interrupt(place: Path, rng: random.Random) -> Iterator[bool]:
    process = start(place, "--workers", "2")
    wait_for(lambda: len(records(place)) >= 1)
    time.sleep(rng.random())
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    silent = said == "nas: interrupted; the same command continues where it stopped\n"
    yield process.returncode == 130 and silent and wait_for(lambda: not processes(process.pid), 10)
    yield finish(place)


def fault_disk(place: Path, rng: random.Random) -> Iterator[bool]:
    process = start(place, room=rng.randrange(100, 6000))
    _, said = process.communicate()
    yield process.returncode == 2 and said.count("\n") == 1 and "cannot be written (File too large)" in said
    yield finish(place)


def fault_two(place: Path, rng: random.Random) -> Iterator[bool]:
    first = start(place, "--workers", "1")
    wait_for(lambda: len(records(place)) >= 1)
    first.send_signal(signal.SIGSTOP)  # so that it is not over before the second begins
    second = start(place)
    _, said = second.communicate()
    first.send_signal(signal.SIGCONT)
    yield second.returncode == 2 and "another run is writing to" in said and said.count("\n") == 1
    first.communicate()
    yield first.returncode == 0


def faulty(fault: str, status: str, *more: str) -> Callable[[Path, random.Random], Iterator[bool]]:
    """A proxy that is faulty on a third of the networks: these have no score, and the others the undisturbed one."""

    def disturb(place: Path, rng: random.Random) -> Iterator[bool]:
        given = ["--proxy", "faulty", "--searcher", "random_search", "--set", f"faulty.fault={fault!r}", *more]
        for _ in range(2):  # the second time it is all recorded
            process = start(place, *given)
            process.communicate()
            found = records(place)
            params = {trial["arch"]: trial["score"] for trial in found if trial["status"] == "ok"}
            failed = [trial for trial in found if trial["status"] != "ok"]
            yield (
                process.returncode == 0 and len(found) == 40 and {trial["status"] for trial in failed} == {status}
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
    _, said = process.communicate()
    yield process.returncode == 0 and "Traceback" not in said


def ray_node(place: Path, rng: random.Random) -> Iterator[bool]:
    """A node with an actor of its own goes, while the other one's goes on."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    process = start(place, "--ray", str(cluster.address), "--workers", "2")
    wait_for(lambda: len(records(place)) >= 4)
    time.sleep(rng.random())
    cluster.remove_node(node, allow_graceful=False)
    _, said = process.communicate()
    cluster.shutdown()
    yield process.returncode == 0 and "Traceback" not in said


FAULTS: dict[str, tuple[int, Callable[[Path, random.Random], Iterator[bool]]]] = {
    "kill": (50, fault_kill),
    "worker": (5, fault_worker),
    "interrupt": (5, fault_interrupt),
    "disk": (5, fault_disk),
    "two": (2, fault_two),
    "ray_worker": (2, ray_worker),
    "ray_node": (2, ray_node),
    "memory": (1, faulty("memory", "memory")),
    "raises": (1, faulty("raises", "failed")),
    "nan": (1, faulty("nan", "failed")),
    "complex": (1, faulty("complex", "failed")),
    "shape": (1, faulty("shape", "failed")),
    "hangs": (1, faulty("hangs", "timeout", "--timeout", "1", "--workers", "2")),
    "dies": (1, faulty("dies", "lost", "--workers", "2")),
}
"""How many times, and what; those that end a run continue it."""
OWN_HISTORY = {"memory", "raises", "nan", "complex", "shape", "hangs", "dies"}


def main() -> None:
    os.environ["NAS_STORE"] = "none"  # what is measured here is measured
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        assert finish(place / "whole")
        whole = records(place / "whole")
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
