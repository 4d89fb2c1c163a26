"""What `bench` measures and prints: sleeping proxies, known tensors, the contract of the JSON file."""

import importlib
import json
import math
import sys
import time

import pytest
import torch
from cases import ROOT

import nas
from nas import cli
from nas.data.minibatch import minibatch
from nas.proxy import PROXIES, ProxyFailure, proxy
from nas.scoring import cost
from nas.scoring.measurer import THIN_INPUTS, THIN_SIZE, build
from nas.scoring.scorer import Scorer
from nas.space import SPACES, Space, space

SMALL = {"nasbench201": {"widths": [4, 8], "repeats": 1}}
FLAGS = [
    "--set", "nasbench201.widths=4,8", "--set", "nasbench201.repeats=1", "--data", "synthetic:classes=3,size=8",
    "--batch-size", "12",
]  # fmt: skip
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
MEGABYTES = 64


@pytest.fixture(scope="module", autouse=True)
def plugins_of_these_tests():
    """Proxies of known cost and a space of failing networks, registered for these tests alone; and a single thread, for
    two that wait for each other on a busy machine are far slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with PROXIES.put_back(), SPACES.put_back():
        register()
        yield
    torch.set_num_threads(threads)


def register():
    @proxy("sleeper")
    def sleeper(probe):
        time.sleep(0.05)
        return 1.0

    @proxy("sleeper_of_three", initialisations=3)
    def sleeper_of_three(probe):
        time.sleep(0.05)
        return 1.0

    @proxy("glutton")
    def glutton(probe):
        return torch.ones(MEGABYTES * 250_000, device=probe.images.device).sum()

    @proxy("never")
    def never(probe):
        raise ProxyFailure("no network is good enough")

    class Single(torch.nn.Flatten):
        def forward(self, x):
            if len(x) > 1:
                raise RuntimeError("one image at a time")
            return super().forward(x)

    @space("single_file")
    def single_file():
        class Networks(Space):
            slots = (("only",),)

            def build(self, arch, task):
                return torch.nn.Sequential(Single(), torch.nn.Linear(task.channels * task.size**2, task.classes))

        return Networks()


def bench(archs=(), proxies="params", **given):
    options = {"settings": SMALL, "data": "synthetic:classes=3,size=8", "batch_size": 12} | given
    return nas.bench("nasbench201", archs, proxies, **options)


def row(frame, name):
    (found,) = frame[frame["proxy"] == name].to_dict("records")
    return found


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs ``nas bench ARGUMENTS`` in an empty folder; gives (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["nas", "bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return call


def test_the_file_and_the_table(command, tmp_path):
    code, out, err = command(CELL, "--proxies", "GradSign,naswot", "--json", "costs.json", *FLAGS)
    assert (code, err) == (0, "")
    rows = json.loads((tmp_path / "costs.json").read_text())
    assert [list(entry) for entry in rows] == [["proxy", "ms", "ratio", "peak_mb"]] * 4
    assert [entry["proxy"] for entry in rows] == ["gradsign", "naswot", "all", "plain"]
    assert rows[-1]["ratio"] == 1
    for entry in rows:
        assert entry["ms"] > 0
        assert entry["ratio"] == pytest.approx(entry["ms"] / rows[-1]["ms"])
        assert entry["proxy"] in out
    assert CELL in out


def test_options_come_from_a_file(command, tmp_path):
    settings = "set: {nasbench201: {widths: [4, 8], repeats: 1}}\ndata: 'synthetic:classes=3,size=8'\nbatch_size: 12\n"
    (tmp_path / "c.yaml").write_text(settings + "proxies: params\n")
    code, out, _ = command("--config", "c.yaml", "--quiet")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["proxy", "params", "all", "plain"]


@pytest.mark.long
def test_all_proxies_by_default(command, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "ROUNDS", 1)
    code, out, _ = command("--json", "costs.json", *FLAGS)
    assert code == 0
    names = [entry["proxy"] for entry in json.loads((tmp_path / "costs.json").read_text())]
    assert len(set(names)) == len(names)
    assert set(names) == {n for n in PROXIES if not PROXIES[n].machine} | {"all", "plain", "plain (proxy)"}
    assert "never gave no score: no network is good enough" in out


def test_a_nap_is_measured():
    frame = bench(CELL, ["sleeper", "sleeper_of_three", "params"])
    assert row(frame, "sleeper")["ms"] >= 50
    assert row(frame, "sleeper_of_three")["ms"] >= 150
    assert row(frame, "all")["ms"] >= 200


def test_a_combination_costs_the_visit_of_its_parts():
    assert row(bench(CELL, "sleeper+sleeper_of_three"), "sleeper+sleeper_of_three")["ms"] >= 200


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU's peak memory is known in Linux only")
def test_a_large_tensor_is_seen():
    for _ in range(2):  # also when the allocator has that much to hand already
        frame = bench(CELL, "glutton,params")
        assert MEGABYTES * 0.99 <= row(frame, "glutton")["peak_mb"] < MEGABYTES + 30
        assert MEGABYTES * 0.99 <= row(frame, "all")["peak_mb"] < MEGABYTES + 30
        assert row(frame, "params")["peak_mb"] < 30


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_large_tensor_is_seen_on_the_gpu():
    frame = bench(CELL, "glutton,params", device="cuda")
    assert MEGABYTES * 0.99 <= row(frame, "glutton")["peak_mb"] < MEGABYTES + 30
    assert row(frame, "params")["peak_mb"] < 30


def test_memory_that_nobody_tells_is_null(command, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "_reset_high_water_mark", lambda: False)
    code, out, _ = command(CELL, "--proxies", "params", "--json", "costs.json", "--device", "cpu", *FLAGS)
    assert code == 0
    assert out.count("unknown") == 3
    assert {entry["peak_mb"] for entry in json.loads((tmp_path / "costs.json").read_text())} == {None}


def test_a_failure_is_told_and_costs_what_it_costs():
    frame = bench([CELL, "nats:1,1,1,1,1,1"], "never,params,sleeper+never")
    assert row(frame, "never")["reason"] == "no network is good enough"
    assert row(frame, "sleeper+never")["reason"] == "never: no network is good enough"
    assert row(frame, "sleeper+never")["ms"] >= 50
    assert row(frame, "params")["reason"] == row(frame, "all")["reason"] == ""


def test_a_proxy_called_as_a_row_keeps_apart():
    frame = bench(CELL, "plain")
    assert frame["proxy"].tolist() == ["plain (proxy)", "all", "plain"]
    assert row(frame, "plain (proxy)")["ratio"] > 1
    assert row(frame, "plain")["ratio"] == 1


def test_several_architectures_are_averaged(monkeypatch):
    def alone(cases, device, step):
        return {name: 10.0 if name == "plain" else 10 * next(numbers) for name in cases}

    numbers = iter([2, 3, 4, 5])
    monkeypatch.setattr(cost, "milliseconds", alone)
    frame = bench([CELL, "nats:1,1,1,1,1,1"], "params")
    assert frame["ms"].tolist() == [30.0, 40.0, 10.0]
    assert frame["ratio"].tolist() == [3.0, 4.0, 1.0]
    assert frame.attrs["archs"] == [CELL, SPACES["nasbench201"]().text(((1,),) * 6)]


def test_the_random_architecture_comes_from_the_seed():
    archs = [bench(seed=seed).attrs["archs"] for seed in (3, 3, 4)]
    assert archs[0] == archs[1] != archs[2]


def test_turns_are_interleaved_and_slow_cases_stop(monkeypatch):
    monkeypatch.setattr(cost, "MAX_SECONDS", 0.03)
    turns = []
    cases = {"slow": lambda: (turns.append("slow"), time.sleep(0.04)), "quick": lambda: turns.append("quick")}
    taken = cost.milliseconds(cases, torch.device("cpu"))
    assert turns == ["slow", *["quick"] * 5]
    assert taken["slow"] >= 40 > taken["quick"]


def test_progress_is_told_to_the_end():
    told = []
    bench(CELL, "params,depth", watch=lambda *what: told.append(what))
    total = 4 * (1 + cost.ROUNDS)
    assert [done for done, _, _ in told] == list(range(total))
    assert {total for _, total, _ in told} == {total}
    assert {name for _, _, name in told} == {"params", "depth", "all", "plain"}


@pytest.mark.parametrize("name", ["zen", "vkdnw", "linear_regions", "ntk", "naswot"])
def test_the_published_way_measures_the_networks_that_the_scorer_measures(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    alone = importlib.import_module("published_way").alone
    space, data, proxy = (
        SPACES["nasbench201"](widths=(4, 8), repeats=1),
        minibatch("synthetic:size=8", 40),
        PROXIES[name],
    )
    scorer, arch = Scorer(space, data, device="cpu"), space.canonical(space.parse(CELL))
    inputs = data if proxy.network == "full" else data.crops(THIN_INPUTS, THIN_SIZE)
    net = build(space if proxy.network == "full" else space.thin(), arch, inputs.task)
    found = alone(scorer, arch, proxy, net, inputs)
    assert len(found) == proxy.initialisations
    expected = scorer([arch], [proxy])[0][name]
    assert expected.status == "ok"
    assert sum(map(float, found)) / len(found) == pytest.approx(expected.value, rel=1e-9)


WRONG = {
    "unknown proxy": (["--proxies", "naswto"], "did you mean 'naswot'"),
    "no proxy": (["--proxies", ""], "no proxy was named"),
    "unknown space": (["--space", "nasbench210"], "did you mean 'nasbench201'"),
    "no architecture of the space": (["conv"], "not in this space's notation"),
    "negative seed": (["--seed", "-1"], "seed is a whole number"),
    "unknown device": (["--device", "tpu9"], "device 'tpu9' cannot be used here"),
    "a folder for the costs": (["--json", "."], ". cannot be written: it is a folder"),
    "no folder for the costs": (["--json", "there/costs.json"], "no folder there"),
    "a network that fails": (["--space", "single_file"], "backward pass of only fails on this minibatch: one image"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_sentence(command, case):
    arguments, reason = WRONG[case]
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("nas: ")
    assert err.count("\n") == 1
    assert reason in err


def test_peak_memory_is_not_a_number_on_other_devices():
    assert math.isnan(cost.peak_memory(lambda: None, torch.device("meta")))
