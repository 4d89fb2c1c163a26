"""The facts that go with an exported network: what it is, its input, its classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nas.space import Task


@dataclass(frozen=True)
class ModelCard:
    """Facts about a network.

    Attributes:
        name: the architecture.
        task: what it takes and tells apart.
        classes: their names, in the order of the logits.
        mean, std: of each channel of the images that it was trained on, in their stored units (8 bits for images in
            files); it takes ``(image - mean) / std``.
        about: more facts, as texts by name.
    """

    name: str
    task: Task
    classes: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    about: Mapping[str, str] = field(default_factory=dict)

    def texts(self) -> dict[str, str]:
        """All facts as texts by name; lists are JSON."""
        lists = {"classes": list(self.classes), "mean": list(self.mean), "std": list(self.std)}
        shape = ["batch", self.task.channels, self.task.size, self.task.size]
        written = {name: json.dumps(value, ensure_ascii=False) for name, value in (lists | {"input": shape}).items()}
        return {"architecture": self.name, **written, **self.about}
