"""What made a run's records besides its settings: the machine, and the versions of what it ran in."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from nas.scoring.machine import machine

MADE = "made.jsonl"
"""The file of a run's folder that says it, a line for each machine or version; nothing is compared with it."""
DISTRIBUTION = "gradalign-nas"


def made_here(device: torch.device, workers: int | None = None, ray: str | None = None) -> dict[str, str]:
    """What makes records here and now, in words by its name."""
    try:
        own = version(DISTRIBUTION)
    except PackageNotFoundError:
        own = "not installed (run from its sources)"
    made = {"machine": machine(device), DISTRIBUTION: own, "Python": platform.python_version()}
    made["torch"] = torch.__version__
    if ray is not None:
        made["measured by"] = "a Ray cluster, which may have other machines"
    elif workers is not None:
        made["measured by"] = f"{workers} worker process{'es' * (workers != 1)}"
    return made
