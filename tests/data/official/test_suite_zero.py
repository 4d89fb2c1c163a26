"""NAS-Bench-Suite-Zero, written in its publishers' structure, becomes a plain table."""

import json

import pandas as pd
import pytest

from nas.data.official.table import import_table
from nas.space import make_space

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
