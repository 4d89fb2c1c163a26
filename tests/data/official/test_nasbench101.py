"""NAS-Bench-101, written in its publishers' structure, becomes a plain table."""

import base64
import json
import struct
from statistics import fmean

import numpy as np
import pandas as pd
import pytest

from nas.data.official.nasbench101 import Checksum
from nas.data.official.table import import_table
from nas.data.table import Table
from nas.errors import UsageError


def slow_crc32c(message):
    register = 0xFFFFFFFF
    for byte in message:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_checksum():
    assert Checksum()(b"123456789") == 0xE3069283  # the check value of the CRC catalogue
    rng = np.random.default_rng(0)
    checksum = Checksum()
    for length in (4, 5, 8, 100, 1000, 7):
        message = rng.bytes(length)
        assert checksum(message) == slow_crc32c(message)


def varint(value):
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number, value):
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def metrics(params, evaluations):
    """A serialised ModelMetrics, with the fields in the order of the .proto file."""
    parts = [
        b"".join(field(n, v) for n, v in enumerate(values, start=1)) + field(6, b"model.ckpt") for values in evaluations
    ]
    return b"".join(field(1, part) for part in parts) + field(2, params) + field(3, 1234.5)


def framed(payload):
    def masked(message):
        found = slow_crc32c(message)
        return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF

    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", masked(length)) + payload + struct.pack("<I", masked(payload))


MODULES = {
    "00005c142e6f48ac74fdcf73e3439874": ("0100000110001000", "input,conv3x3-bn-relu,maxpool3x3,output", 8555530),
    "0000a1b2": ("010", "", 1),
}
HASH = "00005c142e6f48ac74fdcf73e3439874"


def training(module, epochs, run):
    adjacency, operations, params = MODULES[module]
    rng = np.random.default_rng([epochs, run])
    evaluations = [[0.0, 0.0, 0.1, 0.1, 0.1]] + [[epochs / 2, *rng.uniform(0.5, 1, 4)] for _ in range(2)]
    encoded = base64.b64encode(metrics(params, [list(map(float, values)) for values in evaluations])).decode()
    return json.dumps([module, epochs, adjacency, operations, encoded]).encode(), evaluations[1:]


@pytest.fixture
def nasbench101(tmp_path):
    """Trainings of two modules, and not side by side."""
    other = json.loads(training(HASH, 108, 9)[0])
    other[0] = "ffff"
    order = [(108, 0), (4, 0), (108, 1), None, (4, 1), (108, 2), (4, 2)]
    payloads = [json.dumps(other).encode() if at is None else training(HASH, *at)[0] for at in order]
    path = tmp_path / "nasbench_full.tfrecord"
    path.write_bytes(b"".join(map(framed, payloads)))
    return path


def test_nasbench101(nasbench101, tmp_path):
    done = import_table(nasbench101, tmp_path / "t.parquet")
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert done.columns[:3] == ["arch", "hash", "params"]
    assert frame["hash"].tolist() == [HASH, "ffff"]
    row = frame.iloc[0]
    assert row["arch"] == (
        '{"matrix":[[0,1,0,0],[0,0,0,1],[1,0,0,0],[1,0,0,0]],"ops":["input","conv3x3-bn-relu","maxpool3x3","output"]}'
    )
    assert row["params"] == 8555530
    for epochs, middle in ((108, "54of108"), (4, "2of4")):
        finals = []
        for run in range(3):
            (_, half_seconds, _, _, half_test), (_, _, _, valid, test) = training(HASH, epochs, run)[1]
            assert row[f"cifar10_test_{epochs}ep_run{run + 1}"] == 100 * test
            assert row[f"cifar10_valid_{epochs}ep_run{run + 1}"] == 100 * valid
            assert row[f"cifar10_test_{middle}ep_run{run + 1}"] == 100 * half_test
            assert row[f"cifar10_train_seconds_{middle}ep_run{run + 1}"] == half_seconds
            finals.append(100 * test)
        assert row[f"cifar10_test_{epochs}ep_mean"] == pytest.approx(fmean(finals))
        assert row[f"cifar10_test_{epochs}ep_trials"] == 3
    assert frame.loc[1, "cifar10_test_108ep_trials"] == 1
    assert np.isnan(frame.loc[1, "cifar10_test_4ep_mean"])


class Modules:
    """Reads NAS-Bench-101's notation as one slot, enough of a space to carry a table."""

    def __init__(self, archs):
        self.slots = (tuple(archs),)

    def parse(self, text):
        return ((self.slots[0].index(text),),)

    def canonical(self, arch):
        return arch


def test_a_table_carries_the_text_column_hash(nasbench101, tmp_path):
    import_table(nasbench101, tmp_path / "t.csv.gz")
    frame = pd.read_csv(tmp_path / "t.csv.gz").iloc[:1].assign(hash=[HASH])
    frame.to_csv(tmp_path / "one.csv")
    table = Table(tmp_path / "one.csv", Modules(frame["arch"]))
    row = table.row(((0,),))
    assert "hash" not in row
    assert row["params"] == 8555530
    with pytest.raises(UsageError, match="not numbers"):
        table.target("hash")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-7], "ends within a record"),
        (lambda content: content[:5], "ends within a record"),
        (lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:], "checksum of a record differs"),
        (lambda content: b"PK" + content[2:], "no TFRecord file"),
        (lambda content: b"", "holds no architectures"),
        (lambda content: framed(b'["only", "two"]'), "damaged, cut off or of another form"),
        (lambda content: framed(training("0000a1b2", 4, 0)[0]), "entries in its matrix"),
    ],
)
def test_damaged_tfrecords(nasbench101, tmp_path, damage, said):
    nasbench101.write_bytes(damage(nasbench101.read_bytes()))
    with pytest.raises(UsageError, match=said):
        import_table(nasbench101, tmp_path / "t.csv")
    assert not list(tmp_path.glob("*t.csv"))
