"""NDS, written in its publishers' structure, becomes a plain table."""

import json

import pandas as pd

from nas.data.official.table import import_table

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
