"""What networks of tokens share."""

from __future__ import annotations

from nas.space import Task


def check_tokens(task: Task, most: int | None = None) -> None:
    """`ValueError` for a task without tokens, or with sequences longer than ``most``."""
    if task.kind != "tokens" or task.length < 1:
        raise ValueError("the space's networks take tokens, and the task is one of images")
    if most is not None and task.length > most:
        raise ValueError(f"the network has {most} positions, and sequences have {task.length} tokens")
