"""Official files, written here in their publishers' structure, become plain tables; what would run is refused."""

import base64
import bz2
import copy
import json
import os
import pickle
import re
import struct
import sys
import tracemalloc
from collections import OrderedDict, defaultdict
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
import torch

from nas import cli
from nas.data.official import table as official
from nas.data.official.nasbench101 import Checksum
from nas.data.official.nats import torch_rows
from nas.data.official.table import import_table
from nas.data.table import Table
from nas.data.unpickle import Unpickler
from nas.errors import UsageError
from nas.space import make_space

CELLS = [
    "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|",
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
]
EVALUATED = {
    "cifar10-valid": ["x-valid", "ori-test"],
    "cifar10": ["ori-test"],
    "cifar100": ["x-valid", "x-test", "ori-test"],
    "ImageNet16-120": ["x-valid", "x-test", "ori-test"],
}


def accuracy(arch, dataset, seed, split, epochs, epoch):
    """A number that no other split, seed or epoch has."""
    return (
        hash((arch, dataset, seed, split, epochs, epoch)) % 300_000 / 4096 + 10
    )  # few digits: CSV gives them back exactly


def trained(arch, dataset, seed, epochs):
    """One training, as `ResultsCount.state_dict()` gives it."""
    splits = EVALUATED[dataset]
    keys = {split: [f"{split}@{epoch}" for epoch in range(epochs)] for split in splits}
    evaluations = {
        key: accuracy(arch, dataset, seed, split, epochs, epoch)
        for split in splits
        for epoch, key in enumerate(keys[split])
    }
    return {
        "name": "infer.tiny",
        "net_state_dict": None,
        "train_acc1es": {epoch: accuracy(arch, dataset, seed, "train", epochs, epoch) for epoch in range(epochs)},
        "train_acc5es": dict.fromkeys(range(epochs), 99.0),
        "train_losses": dict.fromkeys(range(epochs), 0.5),
        "train_times": OrderedDict((epoch, 2.5) for epoch in range(epochs)),
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10},
        "params": 0.802426 if dataset.startswith("cifar10") and dataset != "cifar100" else 0.808186,
        "flop": np.float64(117.825216) if dataset != "ImageNet16-120" else 29.8,
        "seed": seed,
        "epochs": epochs,
        "latency": [0.01, 0.03],
        "eval_names": splits,
        "eval_acc1es": evaluations,
        "eval_times": dict.fromkeys(evaluations, 0.25),
        "eval_losses": dict.fromkeys(evaluations, 1.5),
    }


def results(index, arch, epochs, seeds):
    """An architecture under one schedule, as `ArchResults.state_dict()` gives it."""
    return {
        "arch_index": index,
        "arch_str": arch,
        "all_results": {(d, seed): trained(arch, d, seed, epochs) for d in EVALUATED for seed in seeds},
        "dataset_seed": {dataset: list(seeds) for dataset in EVALUATED},
        "clear_net_done": True,
    }


def write_nats(folder, archs, schedules):
    folder.mkdir()
    meta = {"meta_archs": archs, "total_archs": len(archs), "evaluated_indexes": set(range(len(archs)))}
    contents = {"meta": meta} | {
        f"{index:06d}": OrderedDict((str(e), results(index, arch, e, s)) for e, s in schedules.items())
        for index, arch in enumerate(archs)
    }
    for name, content in contents.items():
        (folder / f"{name}.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))
    return folder


@pytest.fixture(scope="module")
def nats(tmp_path_factory):
    place = tmp_path_factory.mktemp("nats") / "NATS-tss-v1_0-3ffb9-simple"
    return write_nats(place, CELLS, {12: [111, 777], 200: [777, 888, 999]})


def nasbench201(archs):
    return {
        "meta_archs": list(archs),
        "total_archs": len(archs),
        "arch2infos": {
            index: {"less": results(index, arch, 12, [777]), "full": results(index, arch, 200, [777, 888][: index + 1])}
            for index, arch in enumerate(archs)
        },
        "evaluated_indexes": set(range(len(archs))),
    }


def check_nasbench201(row, arch, seeds):
    """One row against what was written, by the schemes' own words."""
    for split, label in (("ori-test", "test"), ("train", "train")):
        finals = {seed: accuracy(arch, "cifar10", seed, split, 200, 199) for seed in seeds}
        for seed, value in finals.items():
            assert row[f"cifar10_{label}_200ep_seed{seed}"] == value
        assert row[f"cifar10_{label}_200ep_mean"] == pytest.approx(fmean(finals.values()), rel=1e-12)
        assert row[f"cifar10_{label}_200ep_trials"] == len(seeds)
    assert row["cifar10valid_valid_12ep_seed777"] == accuracy(arch, "cifar10-valid", 777, "x-valid", 12, 11)
    assert row["cifar10valid_test_12ep_seed777"] == accuracy(arch, "cifar10-valid", 777, "ori-test", 12, 11)
    assert row["cifar100_test_200ep_seed777"] == accuracy(arch, "cifar100", 777, "x-test", 200, 199)
    assert row["cifar100_validtest_200ep_seed777"] == accuracy(arch, "cifar100", 777, "ori-test", 200, 199)
    assert row["imagenet16_valid_200ep_seed777"] == accuracy(arch, "ImageNet16-120", 777, "x-valid", 200, 199)
    assert (row["params"], row["flops"]) == (802426, 117825216)
    assert (row["cifar100_params"], row["imagenet16_flops"]) == (808186, 29800000)
    assert row["cifar10_train_seconds_200ep_seed777"] == 500
    assert row["cifar10_latency_seconds"] == pytest.approx(0.02)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz"])
def test_nats_bench_topology(nats, tmp_path, suffix):
    seen = []
    done = import_table(nats, tmp_path / f"t{suffix}", lambda *state: seen.append(state))
    table = Table(tmp_path / f"t{suffix}", make_space("nasbench201", {}))
    assert (done.rows, len(table.frame), seen[-1][:2]) == (3, 3, (3, 3))
    assert done.columns == list(table.frame.columns)
    assert table.frame["arch"].tolist() == CELLS
    for arch in CELLS:
        check_nasbench201(table.row(table.space.parse(arch)), arch, [777, 888, 999])
    assert [path.name for path in tmp_path.iterdir()] == [f"t{suffix}"]


def test_nothing_is_called_just_accuracy(nats, tmp_path):
    columns = import_table(nats, tmp_path / "t.parquet").columns
    costs = {name for name in columns if name.endswith(("params", "flops", "latency_seconds"))} | {"arch"}
    for name in set(columns) - costs:
        assert name.rpartition("_")[2] in ("mean", "trials", "seed111", "seed777", "seed888", "seed999"), name
        assert "_12ep_" in name or "_200ep_" in name, name


def test_nats_bench_size(tmp_path):
    folder = write_nats(tmp_path / "NATS-sss-v1_0-50262-simple", ["8:16:24:32:64"], {1: [777], 12: [777], 90: [777]})
    import_table(folder, tmp_path / "t.csv")
    frame = pd.read_csv(tmp_path / "t.csv")
    assert frame["arch"].tolist() == ["8:16:24:32:64"]
    value = accuracy("8:16:24:32:64", "cifar10", 777, "ori-test", 90, 89)
    assert frame["cifar10_test_90ep_seed777"].item() == pytest.approx(value, rel=1e-12)
    assert {"cifar10_test_1ep_mean", "cifar10_test_12ep_mean"} < set(frame)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip file", "older form"])
def test_nasbench201_as_torch_writes_it(tmp_path, zipped):
    content = nasbench201(CELLS)
    content["arch2infos"][1]["full"]["all_results"]["cifar10", 777]["net_state_dict"] = {"weight": torch.ones(3)}
    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    import_table(path, tmp_path / "t.parquet")
    frame = pd.read_parquet(tmp_path / "t.parquet").set_index("arch")
    assert frame.index.tolist() == CELLS
    for index, arch in enumerate(CELLS):
        check_nasbench201(frame.loc[arch], arch, [777, 888][: index + 1])
    assert np.isnan(frame.loc[CELLS[0], "cifar10_test_200ep_seed888"])


def test_what_was_read_is_forgotten(tmp_path):
    """Memory stays that of one architecture, though all of them are one batch of items in the pickle."""
    peaks = []
    for repeats in (1, 4):
        path = tmp_path / f"{repeats}.pth"
        torch.save(nasbench201(CELLS * repeats), path, _use_new_zipfile_serialization=False)
        tracemalloc.start()
        assert sum(1 for _ in torch_rows(path, lambda done, total, note: None)) == 3 * repeats
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], peaks


def test_a_reference_to_what_was_forgotten_is_refused(tmp_path):
    content = nasbench201(CELLS[:1])
    trainings = content["arch2infos"][0]["full"]["all_results"]
    trainings["cifar100", 777]["train_acc1es"] = trainings["cifar10", 777]["train_acc1es"]
    torch.save(content, tmp_path / "NAS-Bench-201-v1_1-096897.pth")
    with pytest.raises(UsageError, match="refers back to part of a network's results"):
        import_table(tmp_path / "NAS-Bench-201-v1_1-096897.pth", tmp_path / "t.csv")


def test_rows_beyond_one_batch(tmp_path, monkeypatch, nats):
    monkeypatch.setattr(official, "ROWS", 2)
    whole = import_table(nats, tmp_path / "parts.csv.gz")
    monkeypatch.setattr(official, "ROWS", 100)
    assert import_table(nats, tmp_path / "whole.csv.gz") == whole
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "parts.csv.gz"), pd.read_csv(tmp_path / "whole.csv.gz"))


# NAS-Bench-101


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


# NDS

GENOTYPE = {
    "normal": [["sep_conv_3x3", 0], ["max_pool_3x3", 1]],
    "normal_concat": [2],
    "reduce": [["skip_connect", 0], ["dil_conv_5x5", 1]],
    "reduce_concat": [2, 3],
}


def network(net, seed=1, errors=(80.0, 7.5, 8.25), rate=0.1):
    return {
        "job_id": 7,
        "rng_seed": seed,
        "exp_mem": 1.0,
        "params": 3200000,
        "flops": 520000000.0,
        "net": net,
        "optim": {"lr": rate, "wd": 5e-4},
        "act_mem": 2.0,
        "prec_time": 0.1,
        "iter_time": 0.2,
        "min_test_top1": min(errors),
        "train_ep_loss": [1.0] * len(errors),
        "train_ep_top1": [error / 2 for error in errors],
        "test_ep_top1": list(errors),
        "train_it_loss": [1.0] * 50,
        "train_it_top1": [50.0] * 50,
    }


def test_nds_cells(tmp_path):
    one, two = ({"genotype": GENOTYPE, "width": 16, "depth": depth, "aux": False} for depth in (8, 20))
    again, other = network(one, seed=2, errors=(70.0, 9.0, 9.5)), network(two, rate=0.05)
    (tmp_path / "DARTS.json").write_text(json.dumps({"top": [network(one)], "mid": [again, other, network(two)]}))
    import_table(tmp_path / "DARTS.json", tmp_path / "t.parquet")
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert frame["arch"].tolist()[:2] == [
        f"Genotype(normal=[('sep_conv_3x3', 0), ('max_pool_3x3', 1)], normal_concat=[2], reduce=[('skip_connect', 0), "
        f"('dil_conv_5x5', 1)], reduce_concat=[2, 3], width=16, depth={depth})"
        for depth in (8, 20)
    ]
    assert frame["lr"].tolist() == [0.1, 0.05, 0.1]  # another training recipe is another row
    first = frame.iloc[0]
    assert (first["params"], first["flops"]) == (3200000, 520000000)
    assert (first["cifar10_test_3ep_seed1"], first["cifar10_test_3ep_seed2"]) == (91.75, 90.5)  # the last, not the best
    assert (first["cifar10_test_3ep_mean"], first["cifar10_test_3ep_trials"]) == (91.125, 2)
    assert first["cifar10_train_3ep_seed1"] == 100 - 8.25 / 2


def test_nds_stages(tmp_path):
    plain = {"block_type": "res_basic_block", "ds": [1, 2], "ws": [16, 32], "bot_muls": [], "num_gs": None}
    grouped = {"num_gs": [1, 4], "ws": [64, 128], "bot_muls": [1.0, 0.5], "ds": [1, 16]}
    (tmp_path / "ResNeXt-A_in.json").write_text(json.dumps([network(plain), network(grouped)]))
    import_table(tmp_path / "ResNeXt-A_in.json", tmp_path / "t.parquet")
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert frame["arch"].tolist() == [
        '{"ds":[1,2],"ws":[16,32]}',
        '{"ds":[1,16],"ws":[64,128],"bot_muls":[1.0,0.5],"num_gs":[1,4]}',
    ]
    assert frame["imagenet_test_3ep_mean"].tolist() == [91.75, 91.75]


# NAS-Bench-Suite-Zero

COMPACT = (((0, 6), (1, 5)) * 4, ((0, 2), (1, 3)) * 4)
SUITE = {
    "nasbench201": ("(4, 0, 3, 1, 2, 2)", "naslib:4,0,3,1,2,2"),
    "nasbench101": (
        "(0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 4, 1)",
        '{"matrix":[[0,1,1],[0,0,1],[0,0,0]],"ops":["input","conv3x3-bn-relu","output"]}',
    ),
    "nasbench301": (
        str(COMPACT),
        f"Genotype(normal={[('dil_conv_5x5', 0), ('dil_conv_3x3', 1)] * 4}, normal_concat=[2, 3, 4, 5], "
        f"reduce={[('skip_connect', 0), ('sep_conv_3x3', 1)] * 4}, reduce_concat=[2, 3, 4, 5])",
    ),
}


@pytest.mark.parametrize("benchmark", SUITE)
def test_suite_zero(tmp_path, benchmark):
    key, arch = SUITE[benchmark]
    scored = {
        "id": 3,
        "val_accuracy": 89.5,
        "synflow": {"score": 12.5, "time": 0.5},
        "flops": {"score": 7, "time": None},
    }
    path = tmp_path / f"zc_{benchmark}.json"
    path.write_text(json.dumps({"cifar10": {key: scored}, "ImageNet16-120": {key: scored | {"val_accuracy": 40.0}}}))
    import_table(path, tmp_path / "t.parquet")
    (row,) = pd.read_parquet(tmp_path / "t.parquet").to_dict("records")
    if benchmark == "nasbench201":
        space = make_space("nasbench201", {})
        arch = space.text(space.parse(arch))
    assert row == {
        "arch": arch,
        "cifar10_valid_naslib": 89.5,
        "cifar10_synflow_naslib": 12.5,
        "cifar10_synflow_naslib_seconds": 0.5,
        "cifar10_flops_naslib": 7,
        "imagenet16_valid_naslib": 40,
        "imagenet16_synflow_naslib": 12.5,
        "imagenet16_synflow_naslib_seconds": 0.5,
        "imagenet16_flops_naslib": 7,
    }


# Pickles


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


class Evaluated:
    def __reduce__(self):
        return eval, ("open('harmed', 'w')",)


def by_line(module, name):
    """A pickle that calls what it names, however a pickler would have written it."""
    return b"\x80\x02" + f"c{module}\n{name}\n".encode() + b"(X\x0c\x00\x00\x00touch harmedtR."


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (pickle.dumps(Harmful(), protocol=2), r"posix\.system|nt\.system"),
        (pickle.dumps({"meta_archs": [Harmful()]}, protocol=4), r"posix\.system|nt\.system"),
        (pickle.dumps(Evaluated(), protocol=4), r"builtins\.eval"),
        (pickle.dumps(os.path.join, protocol=2), r"posixpath\.join|ntpath\.join"),
        (by_line("builtins", "exec"), r"builtins\.exec"),
        (by_line("builtins", "getattr"), r"builtins\.getattr"),
        (by_line("collections", "OrderedDict.__init__"), r"collections\.OrderedDict\.__init__"),
        (by_line("torch.storage", "_load_from_bytes"), r"torch\.storage\._load_from_bytes"),
        (by_line("numpy.f2py.crackfortran", "myeval"), r"numpy\.f2py\.crackfortran\.myeval"),
    ],
)
def test_a_pickle_that_would_run_something_is_refused(tmp_path, monkeypatch, content, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "NATS").mkdir()
    (tmp_path / "NATS" / "meta.pickle.pbz2").write_bytes(bz2.compress(content))
    with pytest.raises(UsageError, match=rf"it asks for ({named}), which .* nothing of it was run"):
        import_table("NATS", "t.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["NATS"]


def test_harm_in_the_middle_of_a_torch_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = nasbench201(CELLS)
    content["arch2infos"][1]["full"]["all_results"]["cifar10", 777]["arch_config"]["genotype"] = Harmful()
    torch.save(content, "NAS-Bench-201-v1_1-096897.pth")
    with pytest.raises(UsageError, match=r"NAS-Bench-201-v1_1-096897\.pth: it asks for (posix|nt)\.system"):
        import_table("NAS-Bench-201-v1_1-096897.pth", "t.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["NAS-Bench-201-v1_1-096897.pth"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_comes_out_of_every_protocol(tmp_path, protocol):
    shared = ["x", "x" * 300, -1, 70_000, 2**40, -(2**70), 1.5, None, True, False, b"bytes", b"b" * 300, (), (1,)]
    value = {
        "shared": shared,
        "again": shared,
        "tuples": [(1, 2), (1, 2, 3), (1, 2, 3, 4), ((),)],
        "sets": {1, 2} | set("ab"),
        "frozen": frozenset((1,)),
        "ordered": OrderedDict(b=1, a=2),
        "long": list(range(3000)),
        "many": {number: str(number) for number in range(3000)},
    }
    read = load(tmp_path, pickle.dumps(value | {"counted": defaultdict(list, a=[1])}, protocol=protocol))
    assert read == value | {"counted": {"a": [1]}}
    assert read["shared"] is read["again"]


@pytest.mark.parametrize("kind", ["f4", "f8", ">f8", "i8", "u1", "?"])
def test_numpy_comes_out_as_plain_numbers(tmp_path, kind):
    array = np.array([[0, 1, 2], [3, 4, 5]], dtype=kind)
    read = load(tmp_path, pickle.dumps([array, np.asfortranarray(array), array[1, 2]], protocol=4))
    assert read == [array.tolist(), array.tolist(), array[1, 2].item()]


def load(folder, content):
    (folder / "p").write_bytes(content)
    with (folder / "p").open("rb") as file:
        return Unpickler(file).load()


def test_objects_of_numpy_and_results_classes(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="not one of plain numbers"):
        load(tmp_path, pickle.dumps(np.array([{}], dtype=object), protocol=4))
    results_count = type("ResultsCount", (), {"__module__": "nats_bench.api_utils"})
    monkeypatch.setitem(sys.modules, "nats_bench", type(sys)("nats_bench"))
    monkeypatch.setitem(sys.modules, "nats_bench.api_utils", type(sys)("nats_bench.api_utils"))
    sys.modules["nats_bench.api_utils"].ResultsCount = results_count
    instance = results_count()
    instance.epochs = 12
    assert load(tmp_path, pickle.dumps(instance, protocol=4)) == {"epochs": 12}


def test_every_cut_of_a_pickle_is_refused(nats, tmp_path):
    folder = tmp_path / "cut"
    folder.mkdir()
    whole = bz2.decompress((nats / "meta.pickle.pbz2").read_bytes())
    for length in range(len(whole)):
        (folder / "meta.pickle.pbz2").write_bytes(bz2.compress(whole[:length]))
        with pytest.raises(UsageError, match="damaged, cut off"):
            import_table(folder, tmp_path / "t.csv")


# Wrong files, and where to write


def write_wrong(folder, nats):
    (folder / "accuracies.xlsx").write_bytes(b"no table")
    (folder / "empty").mkdir()
    (folder / "list.json").write_text("[1, 2]")
    (folder / "cut.json").write_text('{"top": [')
    (folder / "zc_transbench101_micro.json").write_text("{}")
    (folder / "zc_nasbench201.json").write_text('{"cifar10": {"__import__(1)": {"val_accuracy": 1}}}')
    (folder / "zc_nasbench101.json").write_text('{"cifar10": {"(0, 1": {"val_accuracy": 1}}}')
    (folder / "text.pth").write_text("no torch")
    torch.save({"weight": torch.ones(2)}, folder / "network.pth")
    (folder / "pickle.pth").write_bytes(pickle.dumps(3))
    whole = copy.deepcopy(nasbench201(CELLS[:2]))
    torch.save(whole, folder / "whole.pth", _use_new_zipfile_serialization=False)
    (folder / "cut.pth").write_bytes((folder / "whole.pth").read_bytes()[:-30_000])
    for name in ("missing", "cut", "swapped"):
        (folder / name).mkdir()
        for file in nats.iterdir():
            (folder / name / file.name).write_bytes(file.read_bytes())
    (folder / "missing" / "000001.pickle.pbz2").unlink()
    (folder / "cut" / "000001.pickle.pbz2").write_bytes((nats / "000001.pickle.pbz2").read_bytes()[:500])
    (folder / "swapped" / "000001.pickle.pbz2").write_bytes(b"no bzip2")


WRONG = {
    "nowhere.pth": "does not exist",
    "accuracies.xlsx": r"none of the official files .*: NATS-Bench.*096897\.pth; NAS-Bench-101.*zc_nasbench201.*NDS",
    "empty": "none of the official files",
    "list.json": "holds no networks of NDS",
    "cut.json": "damaged, cut off",
    "zc_transbench101_micro.json": r"zc_nasbench101\.json, zc_nasbench201\.json, zc_nasbench301\.json are understood",
    "zc_nasbench201.json": "damaged, cut off or of another form: ValueError",
    "zc_nasbench101.json": "damaged, cut off or of another form: SyntaxError",
    "text.pth": "no file that torch writes",
    "network.pth": "holds no architectures of NAS-Bench-201",
    "pickle.pth": "none that torch writes",
    "cut.pth": "it ends in the middle|damaged, cut off",
    "missing": r"architecture 1 has no file 000001\.pickle\.pbz2",
    "cut": r"000001\.pickle\.pbz2 is damaged, cut off",
    "swapped": r"000001\.pickle\.pbz2 is damaged, cut off",
}


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory, nats):
    folder = tmp_path_factory.mktemp("wrong")
    write_wrong(folder, nats)
    return folder


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files(wrong_files, name, tmp_path):
    (tmp_path / "t.csv").write_text("what was there before")
    with pytest.raises(UsageError, match=WRONG[name]) as refusal:
        import_table(wrong_files / name, tmp_path / "t.csv")
    assert "\n" not in str(refusal.value)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("t.csv", "what was there before")]


def test_refused_before_anything_is_read(tmp_path, monkeypatch, nats):
    monkeypatch.setattr(official, "READERS", [])  # reading would now say something else
    for out, said in (
        ("t.xlsx", r"a \.parquet, \.csv or \.csv\.gz file"),
        ("t.gz", r"a \.parquet, \.csv or \.csv\.gz file"),
        ("nowhere/t.csv", "no folder"),
    ):
        with pytest.raises(UsageError, match=said):
            import_table(nats, tmp_path / out)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        import_table(nats, tmp_path / "folder.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"takes pyarrow: pip install 'gradalign-nas\[parquet\]'"):
        import_table(nats, tmp_path / "t.parquet")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="nothing may be written in"):
        import_table(nats, tmp_path / "t.csv")


def test_an_interrupted_import_leaves_nothing(tmp_path, nats):
    def interrupt(done, total, note):
        raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        import_table(nats, tmp_path / "t.csv", interrupt)
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path, monkeypatch, capsys, nats):
    monkeypatch.chdir(tmp_path)

    def stop(*arguments):
        raise KeyboardInterrupt

    stopped = official.Reader("stopped", lambda path: path.name == "stopped", stop)
    monkeypatch.setattr(official, "READERS", [stopped, *official.READERS])
    (tmp_path / "stopped").mkdir()
    for arguments, code, said in (
        (["import", str(nats), "t.csv.gz", "--quiet"], 0, "3 architectures .*cifar10_test_200ep_mean"),
        (["import", str(tmp_path), "t.csv.gz"], 2, "nas: .* is none of the official files"),
        (["import", "stopped", "s.csv"], 130, "nas: interrupted; s.csv was not written\n$"),
        (["import"], 2, "Missing argument"),
        ([], 2, "Missing command"),
    ):
        monkeypatch.setattr(sys, "argv", ["nas", "table", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert end.value.code == code
        assert re.search(said, out + err), (out, err)
    assert len(pd.read_csv("t.csv.gz")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "t.csv.gz"]
