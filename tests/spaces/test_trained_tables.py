"""MnasNets, TransNAS cells and multi-resolution networks against their tables and published counts."""

from random import Random

import pandas as pd
import pytest
import torch
from cases import SMALL, counted
from torch import nn

from nas.errors import UsageError
from nas.scoring.measurer import build
from nas.space import SPACES, Task

TABLES = {"mnasnet": "accel_nasbench", "transnas_micro": "transnas_micro", "multi_resolution": "nasbench_mr"}
IMAGENET, SCENES, FIFTY = Task(1000, 3, 224), Task(63, 3, 64), Task(50, 3, 128)
B0 = "e1k3l1s e6k3l2s e6k5l2s e6k3l3s e6k5l3s e6k5l4s e6k3l1s"
NO_NAMES = "[[8,8],[[1,[1],[8]],[2,[1,1],[8,8]],[3,[1,1,1],[8,8,8]],[4,[1,1,1,1],[8,8,8,8]]],8]"
CODE = "8_8-1_1_1_8-1_2_1_1_8_8-1_3_1_1_1_8_8_8-1_4_1_1_1_1_8_8_8_8-8"


@pytest.fixture(params=TABLES)
def table(request, nas_data):
    return request.param, pd.read_csv(nas_data / f"{TABLES[request.param]}.csv.gz")


def test_every_row_is_read_and_written_back(table):
    name, rows = table
    space = SPACES[name]()
    for text in rows["arch"]:
        arch = space.parse(text)
        assert space.text(arch) == text
        for dialect, other in list(space.notations(arch).items())[1:]:
            assert space.parse(f"{dialect}:{other}") == arch


def outputs(net, task, kind):
    """Output elements of each module of ``kind``, for one image."""
    met, hooks = [], []
    for module in net.modules():
        if isinstance(module, kind):
            hooks.append(module.register_forward_hook(lambda m, _, out: met.append((m, out.numel()))))
    with torch.no_grad():
        net(torch.zeros(1, task.channels, task.size, task.size, device="meta"))
    for hook in hooks:
        hook.remove()
    return met


def test_mnasnets_have_the_parameters_and_macs_of_their_table(nas_data):
    """The tool that counted adds four for each output of an affine batch norm, and the additions of poolings."""
    rows, space = pd.read_csv(nas_data / "accel_nasbench.csv.gz"), SPACES["mnasnet"]()
    for row in rows.itertuples():
        assert space.counts(space.parse(row.arch), IMAGENET).params == round(1e6 * row.params), row.arch
    for row in rows.sample(3, random_state=0).itertuples():
        arch = space.parse(row.arch)
        with torch.device("meta"):
            net = space.build(arch, IMAGENET)
        params, flops = counted(space, row.arch, IMAGENET)
        pooled = 1280 * (49 + 1)
        squeezes = [module for module in net.modules() if type(module).__name__ == "SqueezeExcite"]
        for squeeze, (_, size) in zip(
            squeezes, outputs(net, IMAGENET, type(squeezes[0])) if squeezes else [], strict=True
        ):
            channels = squeeze.scale[1].in_channels
            pooled += size + channels
        norms = sum(4 * size for _, size in outputs(net, IMAGENET, nn.BatchNorm2d))
        assert (params, flops + norms + pooled) == (round(1e6 * row.params), round(1e6 * row.macs)), row.arch


def test_published_mnasnets():
    space = SPACES["mnasnet"]()
    assert space.size() == 36**6 * 48
    largest = "e6k5l3s " * 5 + "e6k5l4s e6k5l3s"
    sizes = {"e1k3l1 " * 7: (1_798_072, 51_594_768), B0: (5_288_548, 385_814_752), largest: (8_593_116, 884_060_256)}
    for text, expected in sizes.items():
        assert counted(space, text, IMAGENET) == expected
    assert space.notations(space.parse(B0))["anb"] == (
        "[[1, 6, 6, 6, 6, 6, 6], [3, 3, 5, 3, 5, 5, 3], [1, 2, 2, 3, 3, 4, 1], [1, 1, 1, 1, 1, 1, 1]]"
    )


def test_no_first_layer_of_a_mnasnet_has_a_shortcut():
    space = SPACES["mnasnet"](widths=(4,) * 7, stem=4)
    net = build(space, space.parse("e1k3l3 " * 7), Task(3, 3, 32))
    layers = [module for module in net.modules() if type(module).__name__ == "Layer"]
    assert [layer.shortcut for layer in layers] == [False, True, True] * 7


def test_a_transnas_cell_has_the_parameters_of_its_operations():
    """io + 2o for a 1 x 1, 9io + 2o for a 3 x 3, io + 2o for a skip that changes the shape; all 4,096 against that."""
    space, shapes = SPACES["transnas_micro"](), [(64, 128), (128, 128), (128, 256), (256, 256), (256, 512)]
    for arch in list(space)[::7]:
        params = 19_488 + 512 * 63 + 63
        for slot, (op,) in enumerate(arch):
            from_input = slot in (0, 1, 3)
            for inputs, outputs_ in shapes:
                for cell in range(2):
                    i = inputs if from_input and not cell else outputs_
                    weights = {0: 0, 1: i * outputs_ if i != outputs_ else 0, 2: i * outputs_, 3: 9 * i * outputs_}[op]
                    params += weights + (2 * outputs_ if weights else 0)
        assert space.counts(arch, SCENES).params == params
    sizes = {"0_00_000": 51_807, "1_02_333": 22_552_927, "3_33_333": 41_443_935}
    assert {text: counted(space, f"64-41414-{text}", SCENES)[0] for text in sizes} == sizes
    assert space.parse("tuple:(1, 0, 2, 3, 3, 3)") == space.parse("64-41414-1_02_333")


def test_transnas_cells_that_are_the_same():
    space = SPACES["transnas_micro"]()
    assert len({space.canonical(arch) for arch in space}) == 2952

    def form(text):
        return space.text(space.canonical(space.parse(f"64-41414-{text}"))).removeprefix("64-41414-")

    assert form("3_20_312") == form("2_30_321") == "2_30_321", "nodes 1 and 2 may change places"
    assert form("3_22_312") != form("2_32_321"), "with an edge between them they may not"
    assert form("1_00_300") == "0_10_300", "a dead skip from the input has weights"
    assert form("0_00_310") == "0_00_300", "one between other nodes has none"
    flat = SPACES["transnas_micro"](macro="11")
    assert flat.text(flat.canonical(flat.parse("64-11-1_00_300"))) == "64-11-0_00_300", "nor has one that keeps shapes"


def test_a_jigsaw_puzzle_goes_through_one_network():
    space = SPACES["transnas_micro"](**SMALL["transnas_micro"], head="jigsaw")
    arch = space.parse("4-4-3_13_232")
    net = build(space, arch, Task(7, 3, 24)).eval()
    images = torch.randn(2, 3, 24, 24)
    tiles = images.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(1, 2)  # [2, 9, 3, 8, 8]
    features = torch.cat([net.tile(tiles[:, number]) for number in range(9)], 1)
    assert torch.equal(net(images), net.classifier(features))
    with pytest.raises(ValueError, match="3 equal tiles a side, not of 32 pixels"):
        space.build(arch, Task(7, 3, 32))


def test_multi_resolution_networks_have_the_counts_of_their_table(nas_data):
    """FLOPs of convolutions, and two for each output of a batch norm, one for each bias of the head."""
    rows, space = pd.read_csv(nas_data / "nasbench_mr.csv.gz"), SPACES["multi_resolution"]()
    for row in rows[::5].itertuples():
        assert space.counts(space.parse(row.arch), FIFTY).params == round(1e6 * row.params_m), row.arch
    for row in rows[rows["params_m"] < 1].sample(2, random_state=0).itertuples():
        with torch.device("meta"):
            net = space.build(space.parse(row.arch), FIFTY)
        norms = sum(2 * size for _, size in outputs(net, FIFTY, nn.BatchNorm2d))
        params, flops = counted(space, row.arch, FIFTY)
        assert (params, flops + 50 + norms) == (round(1e6 * row.params_m), round(1e9 * row.flops_g))


def test_the_smallest_multi_resolution_network():
    space = SPACES["multi_resolution"]()
    assert len(space.slots) == 27
    assert space.size() == 6**2 * 4**4 * 48**10 * 12
    assert counted(space, NO_NAMES, FIFTY) == (21_322, 10_501_520)
    assert space.notations(space.parse(NO_NAMES))["code"] == CODE


def test_widths_of_the_table_alone_are_read_and_never_drawn():
    space = SPACES["multi_resolution"]()
    arch = space.parse(NO_NAMES.replace("[4,[1,1,1,1],[8,8,8,8]]", "[4,[1,1,1,1],[8,72,8,8]]"))
    assert not space.valid(arch)
    assert counted(space, space.text(arch), FIFTY)[0] > 21_322
    rng = Random(0)
    assert not any("72" in space.text(space.sample(rng)) for _ in range(100))
    assert not any("72" in space.text(space.mutate(space.parse(NO_NAMES), rng)) for _ in range(50))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mnasnet", "e6k3l2", "has 1 blocks, not the 7"),
        ("mnasnet", B0.replace("l4", "l5"), "unknown number of layers of block 6 '5'"),
        ("mnasnet", B0.replace("e1", "e3"), "unknown expansion of block 1 '3'"),
        ("mnasnet", B0 + "x", "block 7, 'e6k3l1sx', is not like"),
        ("mnasnet", "anb:[[1],[3],[1],[0]]", "is not four lists of 7 numbers"),
        ("mnasnet", "anb:" + "[" * 3000, "is not four lists"),
        ("transnas_micro", "64-41414-1_02_33", "'33' in .* is not 3 digits from 0 to 3"),
        ("transnas_micro", "64-41414-4_02_333", "'4' in .* is not 1 digits from 0 to 3"),
        ("transnas_micro", "32-41414-1_02_333", "has the width 32 .* see its options width and macro"),
        ("transnas_micro", "64-41414-[11]_02_333", "not each named once"),
        ("transnas_micro", "tuple:(1, 0, 2, 3, 3)", "is not 6 whole numbers"),
        ("transnas_micro", "tuple:(1, 0, 2, 3, 3, 4)", "other numbers than 0"),
        ("multi_resolution", NO_NAMES.replace("[2,[1,1]", "[2,[1,1,1]"), "has b numbers of blocks and b widths"),
        ("multi_resolution", NO_NAMES.replace("[3,[1,1,1],[8,8,8]],", ""), "then of 2, 3 and 4"),
        ("multi_resolution", NO_NAMES.replace("[8,8],[[1", "[8,9],[[1"), "unknown width of the stem '9'"),
        ("multi_resolution", NO_NAMES.replace("[1,[1],[8]]", "[1,[5],[8]]"), "unknown number of blocks '5'"),
        ("multi_resolution", NO_NAMES.replace("[1,[1],[8]]", "[1,[true],[8]]"), "b numbers of blocks"),
        ("multi_resolution", "code:" + CODE[:-2], "is not like code:"),
        ("multi_resolution", "code:" + CODE.replace("1_2_1", "1_3_1"), "the stages have 1, 2, 3 and 4 branches"),
    ],
)
def test_texts_that_are_no_networks(name, text, message):
    with pytest.raises(ValueError, match=message):
        SPACES[name]().parse(text)


def test_options_that_do_not_fit():
    with pytest.raises(ValueError, match="widths are those of the 7 blocks, not 8,16"):
        SPACES["mnasnet"](widths=(8, 16))
    with pytest.raises(ValueError, match="macro is a digit for each module, 1 to 4, like 41414, not '415'"):
        SPACES["transnas_micro"](macro="415")
    space = SPACES["multi_resolution"](**SMALL["multi_resolution"])
    with pytest.raises(UsageError, match="unknown number of modules '2': known are 1"):
        space.parse(NO_NAMES.replace("[1,[1],[8]]", "[1,[1],[8]],[1,[1],[8]]"))
