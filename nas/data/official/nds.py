"""Network design spaces (Radosavovic et al. 2019, arXiv:1905.13214), as published: a JSON file for each space."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.data.official.columns import MAX_JSON_BYTES, Row, Watch, measured, reading
from nas.errors import UsageError
from nas.files import read_file

CELLS = ("normal", "normal_concat", "reduce", "reduce_concat")
STAGES = ("ds", "ws", "bot_muls", "num_gs")
"""The depth, width, bottleneck ratio and groups of each stage, as the file calls them."""
PARTS = ("top", "mid")
ERRORS = {"train_ep_top1": "train", "test_ep_top1": "test"}


def recognises(path: Path) -> bool:
    return path.is_file() and path.suffix == ".json" and not path.name.startswith("zc_")


def rows(path: Path, watch: Watch) -> Iterator[Row]:
    """A row for each network of ``DARTS.json``, ``ResNet.json`` and the like; ``…_in.json`` is ImageNet.

    The files state the error in per cent after each epoch; the last one is taken, since the lowest, which they state
    too, is chosen by the test images. Trainings of one network that differ in nothing but the seed share a row.

    Memory: the text of the file (up to some hundred megabytes), and the content of each network's row.
    """
    with reading(path):
        data = json.loads(read_file(path, MAX_JSON_BYTES), object_hook=_last_epoch)
        parts = [data[part] for part in PARTS if part in data] if isinstance(data, dict) else [data]
        entries = [entry for part in parts for entry in part]
        if not entries or not all(isinstance(entry, dict) and "net" in entry for entry in entries):
            raise UsageError(
                "holds no networks of NDS: those are a list, or the lists 'top' and 'mid', of records with 'net'"
            )
        dataset = "imagenet" if path.stem.endswith("_in") else "cifar10"
        networks: dict[tuple[object, ...], dict[str, dict[str, Any]]] = {}
        repeats: Counter[tuple[object, ...]] = Counter()
        for entry in entries:
            optimiser = entry.get("optim") or {}
            seed = f"seed{int(entry['rng_seed'])}" if entry.get("rng_seed") is not None else "run1"
            alike = (_text(entry["net"]), optimiser.get("lr"), optimiser.get("wd"))
            networks.setdefault((*alike, repeats[*alike, seed]), {})[seed] = entry
            repeats[*alike, seed] += 1
        for done, ((arch, rate, decay, _), trainings) in enumerate(networks.items(), start=1):
            costs = {cost: next(iter(trainings.values())).get(cost) for cost in ("params", "flops")}
            row: Row = {"arch": str(arch), **_numbers(costs | {"lr": rate, "wd": decay})}
            for errors, split in ERRORS.items():
                curves = {seed: entry[errors] for seed, entry in trainings.items() if entry.get(errors)}
                for epochs in dict.fromkeys(length for length, _ in curves.values()):
                    last = {seed: 100 - error for seed, (length, error) in curves.items() if length == epochs}
                    row |= measured(f"{dataset}_{split}", epochs, last)
            watch(done, len(networks), "")
            yield row


def _last_epoch(record: dict[str, Any]) -> dict[str, Any]:
    """A record as soon as it is parsed, without its long lists: of the errors, only their number and the last."""
    for name, value in list(record.items()):
        if name in ERRORS:
            record[name] = (len(value), float(value[-1])) if value else None
        elif "_ep_" in name or "_it_" in name:
            del record[name]
    return record


def _text(net: dict[str, Any]) -> str:
    """The architecture in its space's notation."""
    if "genotype" not in net:
        return json.dumps({name: net[name] for name in STAGES if net.get(name)}, separators=(",", ":"))
    genotype = net["genotype"]
    cells = {
        name: [(operation, source) for operation, source in genotype[name]] if "concat" not in name else genotype[name]
        for name in CELLS
    }
    fields = cells | {"width": net["width"], "depth": net["depth"]}
    return f"Genotype({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


def _numbers(values: dict[str, Any]) -> Row:
    return {name: float(value) for name, value in values.items() if value is not None}
