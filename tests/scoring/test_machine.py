"""What depends on the machine: measured here, kept by no shelf, limited, and never silently within a limit."""

import pytest
import torch
from searches import DATA

from nas.errors import UsageError
from nas.proxy import PROXIES, Proxy, ProxyFailure, proxy
from nas.scoring.limits import Limited, Unmeasured, keeps, parse_limit
from nas.scoring.machine import machine
from nas.scoring.scorer import Scorer
from nas.space import SPACES

SPACE = SPACES["cells"](widths=(4, 8), repeats=1)  # 27 cells


@pytest.fixture
def measured():
    """A proxy of the machine whose number is known, a thousandth of the parameters, and whom it was asked of."""
    asked = []
    with PROXIES.put_back():

        @proxy("toy_latency", machine=True, larger_is_better=False)
        def toy_latency(probe, *, factor: float = 1.0):
            asked.append(probe.params)
            if probe.params == 0:
                raise ProxyFailure("nothing to run")
            return factor * probe.params / 1000

        yield asked


class Shelf:
    def __init__(self, measurer):
        self.kept = []

    def get(self, arch, proxy):
        assert not proxy.machine
        return

    def put(self, arch, scores):
        self.kept += [proxy.name for proxy, _ in scores]


def test_it_is_measured_here_and_kept_by_no_shelf(measured):
    jobs = []

    def engine(measurer, given):
        jobs.extend(given)
        for number, job in enumerate(given):
            yield number, measurer(job.arch, job.proxies)

    scorer = Scorer(SPACE, DATA, device="cpu", engine=engine, shelf=Shelf)
    told = []
    scorer.listener = lambda arch, proxy, score: told.append((arch, proxy.name, score.value))
    archs = list(SPACE)[:3]
    both = [PROXIES["toy_latency"], PROXIES["params"]]
    scores = scorer([*archs, archs[0]], both)
    assert [s["toy_latency"].value for s in scores] == [s["params"].value / 1000 for s in scores]
    assert [[p.name for p in job.proxies] for job in jobs] == [["params"]] * len(jobs)
    assert set(scorer._shelf.kept) == {"params"}
    assert len(measured) == len(told) == len({SPACE.canonical(arch) for arch in archs})
    again = Scorer(SPACE, DATA, device="cpu", engine=engine, shelf=Shelf)
    again([archs[0]], [PROXIES["toy_latency"]])
    assert len(jobs) == len({SPACE.canonical(arch) for arch in archs})  # nothing for the engine


def test_limits_on_it_are_exact(measured):
    scorer = Scorer(SPACE, DATA, device="cpu")
    bounds = [parse_limit("toy_latency<=1.5"), parse_limit("depth>=3")]
    limited = Limited(SPACE, bounds, DATA.task, scorer)
    counts = {arch: {n: s.value for n, s in scorer([arch], [PROXIES["params"], PROXIES["depth"]])[0].items()}
              for arch in SPACE}  # fmt: skip
    kept = [arch for arch, own in counts.items() if own["params"] <= 1500 and own["depth"] >= 3]
    assert 0 < len(kept) < len(counts)
    assert list(limited) == kept
    keep = keeps(SPACE, bounds, DATA.task, scorer)
    assert [arch for arch in SPACE if keep(arch)] == kept
    assert len(measured) <= len(counts)  # each network once


def test_a_limit_that_nobody_can_check_is_an_error(measured):
    with pytest.raises(Unmeasured, match=r"the constraint toy_latency<=1\.5 takes something that is not measured here"):
        Limited(SPACE, [parse_limit("toy_latency<=1.5")], DATA.task)

    def known(space, arch):
        raise ProxyFailure(f"no row of {space.text(arch)}")

    further = {"raspi": Proxy("raspi", None, known=known)}
    scorer = Scorer(SPACE, DATA, device="cpu")
    with pytest.raises(UsageError, match=r"nobody knows whether .* keeps raspi<=5: no row of "):
        Limited(SPACE, [parse_limit("raspi<=5", further)], DATA.task, scorer)
    with pytest.raises(Unmeasured, match="nobody knows"):
        keeps(SPACE, [parse_limit("raspi<=5", further)], DATA.task, scorer)(next(iter(SPACE)))
    with pytest.raises(UsageError, match=r"unknown quantity in a constraint 'raspi'.*'?memory"):
        parse_limit("raspi<=5")


def test_the_machine_in_words():
    words = machine(torch.device("cpu"))
    assert f"{torch.get_num_threads()} thread" in words
    assert words == machine(torch.device("cpu"))
