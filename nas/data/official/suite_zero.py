"""NAS-Bench-Suite-Zero (Krishnakumar et al. 2022, arXiv:2210.03230), as published: NASLib's scores of 13 proxies."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from math import isqrt
from pathlib import Path
from typing import Any

from nas.data.official.columns import MAX_JSON_BYTES, Row, Watch, reading
from nas.errors import UsageError
from nas.files import read_file

CELL_201 = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
EDGES_201 = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""NASLib's order, from 0 here: edges by where they start. The notation lists them by where they end."""
MODULE_101 = ("input", "output", "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")
CELL_301 = (
    "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip
"""Without ``none``, unlike the operations of DARTS."""


def recognises(path: Path) -> bool:
    return path.is_file() and path.suffix == ".json" and path.name.startswith("zc_")


def rows(path: Path, watch: Watch) -> Iterator[Row]:
    """A row for each architecture of ``zc_nasbench101.json``, ``zc_nasbench201.json`` or ``zc_nasbench301.json``.

    The scores are NASLib's, of its own networks and minibatches. Memory: the text of the file (some ten megabytes), and
    the scores.
    """
    notation = next((read for name, read in NOTATIONS.items() if name in path.name), None)
    if notation is None:
        file_names = ", ".join(f"zc_{name}.json" for name in NOTATIONS)
        raise UsageError(f"{path}: of NAS-Bench-Suite-Zero's files {file_names} are understood")
    with reading(path):
        data = json.loads(read_file(path, MAX_JSON_BYTES), object_hook=_scores)
        archs = {key: notation(ast.literal_eval(key)) for key in dict.fromkeys(key for d in data.values() for key in d)}
        for done, (key, arch) in enumerate(archs.items(), start=1):
            row: Row = {"arch": arch}
            for dataset, scores in data.items():
                row |= {f"{_short(dataset)}_{name}": float(value) for name, value in scores.get(key, {}).items()}
            watch(done, len(archs), "")
            yield row


def _scores(record: dict[str, Any]) -> dict[str, Any]:
    """An architecture's record, as soon as it is parsed, as columns of the table; any other record as it is."""
    scored = {name: value for name, value in record.items() if isinstance(value, dict) and "score" in value}
    if "val_accuracy" not in record and not scored:
        return record
    columns = {"valid_naslib": record.get("val_accuracy")}
    columns |= {f"{name}_naslib": value["score"] for name, value in scored.items()}
    columns |= {f"{name}_naslib_seconds": value.get("time") for name, value in scored.items()}
    return {name: value for name, value in columns.items() if value is not None}


def _short(dataset: str) -> str:
    return {"ImageNet16-120": "imagenet16"}.get(dataset, dataset)


def cell_201(key: tuple[int, ...]) -> str:
    """Six operation numbers in NASLib's order as ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``."""
    chosen = dict(zip(EDGES_201, key, strict=True))
    groups = ("".join(f"{CELL_201[chosen[i, j]]}~{i}|" for i in range(j)) for j in range(1, 4))
    return "+".join(f"|{group}" for group in groups)


def module_101(key: tuple[int, ...]) -> str:
    """The n x n entries of a matrix and n operation numbers as ``{"matrix":…,"ops":…}``."""
    side = (isqrt(1 + 4 * len(key)) - 1) // 2
    if len(key) != side * (side + 1):
        raise ValueError(f"{len(key)} numbers are no square matrix with an operation for each row")
    matrix = [[int(entry) for entry in key[row * side : (row + 1) * side]] for row in range(side)]
    operations = [MODULE_101[number] for number in key[side * side :]]
    return json.dumps({"matrix": matrix, "ops": operations}, separators=(",", ":"))


def genotype_301(key: tuple[tuple[tuple[int, int], ...], ...]) -> str:
    """Two cells of eight (input, operation number) as ``Genotype(normal=…, …)``."""
    normal, reduce = ([(CELL_301[operation], source) for source, operation in cell] for cell in key)
    nodes = [2, 3, 4, 5]
    return f"Genotype(normal={normal!r}, normal_concat={nodes!r}, reduce={reduce!r}, reduce_concat={nodes!r})"


NOTATIONS: dict[str, Callable[[Any], str]] = {
    "nasbench101": module_101,
    "nasbench201": cell_201,
    "nasbench301": genotype_301,
}
