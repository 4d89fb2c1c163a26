"""NATS-Bench and NAS-Bench-201, written in their publishers' structure, become plain tables."""

import tracemalloc
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
import torch
from official_files import CELLS, accuracy, nasbench201, write_nats

from nas.data.official import table as official
from nas.data.official.nats import torch_rows
from nas.data.official.table import import_table
from nas.data.table import Table
from nas.errors import UsageError
from nas.space import make_space


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
    monkeypatch.setattr(official, "ROWS_AT_ONCE", 2)
    whole = import_table(nats, tmp_path / "parts.csv.gz")
    monkeypatch.setattr(official, "ROWS_AT_ONCE", 100)
    assert import_table(nats, tmp_path / "whole.csv.gz") == whole
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "parts.csv.gz"), pd.read_csv(tmp_path / "whole.csv.gz"))
