"""NAS-Bench-201 and NATS-Bench (Dong & Yang 2020, arXiv:2001.00326; Dong et al. 2021, arXiv:2009.00437), as published.

Their files are pickles of nested dictionaries: per schedule an architecture's results, per (dataset, seed) a training
with a number for each epoch. As soon as a training has been read, only its last epoch is kept.
"""

from __future__ import annotations

import bz2
import io
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any, BinaryIO

from nas.data.bounded import buffered, most_bytes
from nas.data.official.columns import Row, Watch, measured, reading
from nas.data.unpickle import Unpickler
from nas.errors import UsageError
from nas.files import open_file

META = "meta.pickle.pbz2"
DATASETS = {
    "cifar10": "cifar10", "cifar10-valid": "cifar10valid", "cifar100": "cifar100", "ImageNet16-120": "imagenet16",
}  # fmt: skip
SPLITS = {"train": "train", "x-valid": "valid", "x-test": "test", "ori-test": "validtest"}
MILLION = 1e6
MAGIC = 0x1950A86A20F9469CFC6C
"""What torch writes before a pickle where it does not write a zip file."""
MEGABYTE = 2**20
FREE_PICKLE_BYTES = 8 * MEGABYTE
"""Bytes that any packed pickle may unpack to: an architecture's takes a tenth of them, the list of all a fifth."""
MAX_EPOCHS, MAX_NAMES, MAX_RESULTS, MAX_SCHEDULES = 10_000, 100, 1000, 10
"""The epochs of a training, the sets of images that it is evaluated on, the trainings of a schedule, the schedules of a
network. A value that is read once may stand in many places, so computing with it has to be quick."""


def recognises_folder(path: Path) -> bool:
    return (path / META).is_file()


def recognises_torch(path: Path) -> bool:
    return path.is_file() and path.suffix == ".pth"


def folder_rows(path: Path, watch: Watch) -> Iterator[Row]:
    """A row for each architecture of ``NATS-tss-…-simple`` or ``NATS-sss-…-simple``, a folder of one file for each.

    Memory: one architecture.
    """
    with reading(path / META), _buffered(path / META) as file:
        meta = Unpickler(file).load()
        archs = meta["meta_archs"]
        indices = sorted(meta.get("evaluated_indexes") or range(len(archs)))
    for done, index in enumerate(indices, start=1):
        file_of_one = _file_of(path, index)
        with reading(file_of_one), _buffered(file_of_one) as file:
            results = Unpickler(file, _summarise_training).load()
            row = _row(archs[index], results)
        watch(done, len(indices), "")
        yield row


def torch_rows(path: Path, watch: Watch) -> Iterator[Row]:
    """A row for each architecture of ``NAS-Bench-201-v1_1-096897.pth``, without torch.

    Memory: one architecture, and about 6 % of the file's size for what `nas.data.unpickle.Unpickler` has to remember,
    0.3 GB of the official 4.7; torch would take tens of gigabytes for its hundreds of millions of numbers.
    """
    with reading(path), ExitStack() as stack:
        file = stack.enter_context(open_file(path, MEGABYTE))
        whole = path.stat().st_size // MEGABYTE
        pickled = _open_torch(file, stack)
        for row in Unpickler(pickled, _summarise_architecture, storages=True).pieces():
            watch(min(pickled.tell() // MEGABYTE, whole), whole, "MB")
            yield row


@contextmanager
def _buffered(path: Path) -> Iterator[BinaryIO]:
    """The pickle in a packed file."""
    with open_file(path) as file, bz2.BZ2File(file) as unpacked:
        size = path.stat().st_size
        yield buffered(unpacked, size, most_bytes(size, free=FREE_PICKLE_BYTES))


def _file_of(folder: Path, index: int) -> Path:
    """The two ways in which the benchmark numbers its files."""
    for name in (f"{index:06d}.pickle.pbz2", f"{index}.pickle.pbz2"):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"{folder} is not whole: architecture {index} has no file {index:06d}.pickle.pbz2")


def _open_torch(file: BinaryIO, stack: ExitStack) -> BinaryIO:
    """A file written by `torch.save`, in its older or newer form, at the first byte of the pickle."""
    if zipfile.is_zipfile(file):
        archive = stack.enter_context(zipfile.ZipFile(file))
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise UsageError("is a zip file, but not one that torch writes: it has no data.pkl")
        member = stack.enter_context(archive.open(names[0]))
        size = file.seek(0, io.SEEK_END)
        return buffered(member, size, most_bytes(size, free=FREE_PICKLE_BYTES))
    file.seek(0)
    if file.read(1) != b"\x80":
        raise UsageError("is not a file that torch writes")
    file.seek(0)
    if Unpickler(file).load() != MAGIC:
        raise UsageError("is a pickle, but not one that torch writes")
    for _ in range(2):  # the form's version, and the machine that wrote it
        Unpickler(file).load()
    return file


def _summarise_training(record: dict[Any, Any]) -> list[Row] | None:
    """Reduces one training, which holds numbers for each epoch, to those after the last."""
    if "train_acc1es" not in record or "eval_acc1es" not in record:
        return None
    epochs, times = record["epochs"], record["train_times"]
    if type(epochs) is not int or not 1 <= epochs <= MAX_EPOCHS:
        raise ValueError(f"a training of {epochs!r} epochs"[:200])
    _check_length("latency", record["latency"], MAX_EPOCHS)
    _check_length("eval_names", record["eval_names"], MAX_NAMES)
    accuracies = {"train": record["train_acc1es"].get(epochs - 1)} | {
        name: record["eval_acc1es"].get(f"{name}@{epochs - 1}") for name in record["eval_names"]
    }
    final = {
        "epochs": epochs,
        "params": record["params"],
        "flops": record["flop"],
        "latency": fmean(record["latency"]) if record["latency"] else None,
        "accuracies": {name: value for name, value in accuracies.items() if value is not None},
        "seconds": sum(times[epoch] for epoch in range(epochs)) if times else None,
    }
    record.clear()
    record.update(final)
    return []


def _check_length(name: str, values: Collection[Any] | None, most: int) -> None:
    if values is not None and len(values) > most:
        raise ValueError(f"{name} of {len(values):,} entries, more than {most:,}")


def _summarise_architecture(record: dict[Any, Any]) -> list[Row] | None:
    if "less" not in record or "full" not in record:  # the 12-epoch and the 200-epoch schedule
        return _summarise_training(record)
    row = _row(record["full"]["arch_str"], record)
    record.clear()
    return [row]


def _row(arch: str, schedules: Mapping[str, Any]) -> Row:
    """The columns of one architecture from its results under each schedule."""
    if not isinstance(arch, str):
        raise TypeError(f"an architecture's name is a {type(arch).__name__}")
    row: Row = {"arch": arch}
    _check_length("schedules", schedules, MAX_SCHEDULES)
    for results in schedules.values():
        _check_length("all_results", results["all_results"], MAX_RESULTS)
        trainings: dict[str, dict[int, Any]] = {}
        for (dataset, seed), training in results["all_results"].items():
            trainings.setdefault(dataset, {})[seed] = training
        for dataset, name in DATASETS.items():
            if dataset in trainings:
                _add(row, name, dict(sorted(trainings[dataset].items())))
    if len(row) == 1:
        raise LookupError(f"no results of {arch} on any of {', '.join(DATASETS)}")
    return row


def _add(row: Row, dataset: str, trainings: Mapping[int, Mapping[str, Any]]) -> None:
    first = next(iter(trainings.values()))
    for cost in ("params", "flops"):
        name = cost if dataset in ("cifar10", "cifar10valid") else f"{dataset}_{cost}"
        row.setdefault(name, float(round(first[cost] * MILLION)))
    if latencies := [training["latency"] for training in trainings.values() if (training["latency"] or 0) > 0]:
        row.setdefault(f"{dataset}_latency_seconds", fmean(latencies))
    for epochs in dict.fromkeys(training["epochs"] for training in trainings.values()):
        chosen = {f"seed{seed}": training for seed, training in trainings.items() if training["epochs"] == epochs}
        for split, label in SPLITS.items():
            if split == "ori-test" and dataset in ("cifar10", "cifar10valid"):
                label = "test"  # for CIFAR-10 the benchmark uses no test images for validation
            values = {name: t["accuracies"][split] for name, t in chosen.items() if split in t["accuracies"]}
            row |= measured(f"{dataset}_{label}", epochs, values)
        seconds = {name: t["seconds"] for name, t in chosen.items() if t["seconds"] is not None}
        row |= measured(f"{dataset}_train_seconds", epochs, seconds)
