"""A search killed with SIGKILL at ten random moments and continued: is its history that of an undisturbed run?

NAS_DATA=... python benchmarks/kill.py
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEARCH = ["search", "--budget", "100", "--quiet", "--data", f"{os.environ['NAS_DATA']}/cifar10_probe.npz"]


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "nas.cli", *SEARCH, "--run", str(folder)], stdout=subprocess.DEVNULL)


def trials(folder: Path) -> list[dict[str, object]]:
    file = folder / "trials.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def main() -> None:
    rng = random.Random()
    with tempfile.TemporaryDirectory() as place:
        whole, killed = Path(place) / "whole", Path(place) / "killed"
        begin = time.perf_counter()
        assert start(whole).wait() == 0
        seconds, moments = time.perf_counter() - begin, []
        for _ in range(10):
            process, before = start(killed), len(trials(killed))
            while process.poll() is None and len(trials(killed)) == before:
                time.sleep(0.01)
            time.sleep(rng.random() * seconds / 20)
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append(len(trials(killed)))
        assert start(killed).wait() == 0
        same = trials(killed) == trials(whole)
        print(f"{seconds:.0f} s undisturbed; trials at each kill {moments}; identical history: {same}")
        sys.exit(not same)


if __name__ == "__main__":
    main()
