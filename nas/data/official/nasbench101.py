"""NAS-Bench-101 (Ying et al. 2019, arXiv:1902.09635), as published: a TFRecord file, read without TensorFlow."""

from __future__ import annotations

import base64
import json
import struct
from array import array
from collections.abc import Iterator
from math import isqrt
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from nas.data.official.columns import Row, Watch, measured, reading
from nas.files import open_file

MEGABYTE = 2**20
MAX_RECORD_BYTES = 2**14
"""Bytes of one record; those of the benchmark have some hundreds."""
MAX_SCHEDULES = 16
"""Lengths of the trainings of one module; the benchmark has four."""
CASTAGNOLI = 0x82F63B78
"""The polynomial of CRC-32C, its bits reversed."""
EVALUATIONS = 3
"""The evaluations of each training: before it, at its middle, at its end."""
MEASURES = ("train_seconds", "train", "valid", "test")


def recognises(path: Path) -> bool:
    return path.is_file() and path.suffix == ".tfrecord"


class Module(NamedTuple):
    """A module and its trainings: for each the epochs and, at its middle and its end, the `MEASURES`."""

    adjacency: str
    operations: str
    params: int
    trainings: array[float]


def rows(path: Path, watch: Watch) -> Iterator[Row]:
    """A row for each module of ``nasbench_only108.tfrecord`` or ``nasbench_full.tfrecord``.

    The trainings of one module need not lie together, so the file is read to its end before the first row.
    Memory: about 1.5 kilobytes for each of the 423,624 modules (0.7 GB), a third of that without the shorter trainings.
    """
    modules: dict[str, Module] = {}
    shared: dict[str, str] = {}  # a few thousand different texts serve all modules
    with reading(path), open_file(path, MEGABYTE) as file:
        whole = path.stat().st_size // MEGABYTE
        for payload in records(file):
            name, epochs, adjacency, operations, encoded = json.loads(payload)
            params, evaluations = _metrics(base64.b64decode(encoded, validate=True))
            if len(evaluations) != EVALUATIONS:
                raise ValueError(f"module {name} has {len(evaluations)} evaluations of a training, not {EVALUATIONS}")
            if name not in modules:
                adjacency, operations = (
                    shared.setdefault(adjacency, adjacency),
                    shared.setdefault(operations, operations),
                )
                modules[name] = Module(adjacency, operations, params, array("d"))
            modules[name].trainings.extend([epochs, *evaluations[1], *evaluations[2]])
            watch(file.tell() // MEGABYTE, whole, "MB")
        for name, module in modules.items():
            yield _row(name, module)


def _row(name: str, module: Module) -> Row:
    side = isqrt(len(module.adjacency))
    matrix = [[int(digit) for digit in module.adjacency[row * side : (row + 1) * side]] for row in range(side)]
    operations = module.operations.split(",")
    if side * side != len(module.adjacency) or len(operations) != side:
        raise ValueError(
            f"module {name} has {len(module.adjacency)} entries in its matrix, {len(operations)} operations"
        )
    arch = json.dumps({"matrix": matrix, "ops": operations}, separators=(",", ":"))
    row: Row = {"arch": arch, "hash": str(name), "params": float(module.params)}
    width = 1 + 2 * len(MEASURES)
    trainings = [module.trainings[start : start + width] for start in range(0, len(module.trainings), width)]
    lengths = sorted({int(training[0]) for training in trainings})
    if len(lengths) > MAX_SCHEDULES:
        raise ValueError(f"module {name} has trainings of {len(lengths)} lengths, more than {MAX_SCHEDULES}")
    for epochs in lengths:
        repeats = [training for training in trainings if training[0] == epochs]
        for half, label in ((0, f"{epochs // 2}of{epochs}"), (1, str(epochs))):
            for place, measure in enumerate(MEASURES):
                scale = 1 if measure == "train_seconds" else 100  # accuracies are fractions in the file
                values = {
                    f"run{run}": scale * training[1 + half * len(MEASURES) + place]
                    for run, training in enumerate(repeats, start=1)
                }
                row |= measured(f"cifar10_{measure}", label, values)
    return row


def records(file: BinaryIO) -> Iterator[bytes]:
    """The payloads of a TFRecord file: length (8 bytes) and its checksum (4), payload and its checksum (4).

    Raises:
        ValueError, EOFError: a checksum differs, or the file ends within a record.
    """
    checksum = Checksum()
    while header := file.read(12):
        if len(header) < 12:
            raise EOFError("it ends within a record")
        length, expected = struct.unpack("<QI", header)
        if checksum.masked(header[:8]) != expected or length > MAX_RECORD_BYTES:
            raise ValueError("the checksum of a record's length differs: this is no TFRecord file, or a damaged one")
        rest = file.read(length + 4)
        if len(rest) < length + 4:
            raise EOFError("it ends within a record")
        if checksum.masked(rest[:-4]) != int.from_bytes(rest[-4:], "little"):
            raise ValueError("the checksum of a record differs")
        yield rest[:-4]


class Checksum:
    """CRC-32C of short messages.

    The checksum is linear: each byte contributes by its value and its distance from the end alone, and the
    contributions are added without carry. A table of them [distance, value] makes a message one look-up in numpy.
    """

    def __init__(self) -> None:
        contributions = np.arange(256, dtype=np.uint32)
        for _ in range(8):
            contributions = np.where(contributions & 1, contributions >> 1 ^ CASTAGNOLI, contributions >> 1)
        self.table = contributions.astype(np.uint32)[None]  # [distance from the end, value]

    def __call__(self, message: bytes) -> int:
        """The checksum of four bytes or more."""
        if len(self.table) < len(message):
            rows = [self.table[-1]]
            for _ in range(len(message) - len(self.table)):
                rows.append(self.table[0][rows[-1] & 255] ^ rows[-1] >> 8)
            self.table = np.concatenate([self.table, rows[1:]])
        values = np.frombuffer(message, np.uint8).copy()
        values[:4] ^= 255  # the register starts with all bits set
        distances = np.arange(len(values) - 1, -1, -1)
        return int(np.bitwise_xor.reduce(self.table[distances, values])) ^ 0xFFFFFFFF

    def masked(self, message: bytes) -> int:
        """As TFRecord stores it: rotated by 15 bits, plus a constant."""
        checksum = self(message)
        return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _metrics(message: bytes) -> tuple[int, list[list[float]]]:
    """The number of trainable parameters and each evaluation's `MEASURES`, from a ModelMetrics protocol buffer."""
    params, evaluations = 0, []
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            measures = dict(_fields(value))
            evaluations.append([float(measures[field]) for field in (2, 3, 4, 5)])
        elif number == 2 and isinstance(value, int):
            params = value
    return params, evaluations


def _fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """The fields of a protocol buffer: (number, value), in the order of the message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            whole, at = _varint(message, at)
            yield number, whole
        elif wire == 1:
            yield number, struct.unpack_from("<d", message, at)[0]
            at += 8
        elif wire == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise EOFError("a protocol buffer ends within a field")
            yield number, message[at : at + length]
            at += length
        else:
            raise ValueError(f"a protocol buffer has a field of wire type {wire}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        value |= (message[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if message[at - 1] < 128:
            return value, at
