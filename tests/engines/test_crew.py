"""What the dispatcher does with workers that die, hang or never begin, and what is asked for."""

from collections import deque

import pytest
from faulty_runs import SEARCH, settings

import nas
from nas.data.minibatch import minibatch
from nas.engines.crew import Crew, LostWorker, NeverBegun, Plan, TimedOut
from nas.errors import UsageError
from nas.proxy import PROXIES
from nas.scoring.measurer import OF_THE_MACHINE, Measurer, Score
from nas.scoring.scorer import Job
from nas.testing import narrow_space


class Scripted(Crew):
    """Workers that answer as the script says: a list of outcomes for each job, in the order it is asked."""

    def __init__(self, size, script, starts=()):
        super().__init__(Plan("toy", {}, (), 7), size)
        self.script = {arch: self._queues(outcomes) for arch, outcomes in script.items()}
        self.seconds = []
        self.starts = deque(starts)
        self.asked = []
        self.open = {}

    def _queues(self, outcomes):
        if isinstance(outcomes, dict):
            return {names: deque(answers) for names, answers in outcomes.items()}
        return deque(outcomes)

    def ready(self, worker):
        return True

    def prepare(self, worker, key, measurer):
        return self._open(worker, self.starts.popleft() if self.starts else None)

    def measure(self, worker, key, arch, asked, seconds):
        self.asked.append((worker, arch))
        self.seconds.append(seconds)
        outcomes = self.script[arch]
        if isinstance(outcomes, dict):  # by the proxies that are asked together
            outcomes = outcomes["+".join(name for name, _ in asked)]
        return self._open(worker, outcomes.popleft())

    def _open(self, worker, outcome):
        assert worker not in [other for other, _ in self.open.values()], "one task at a time"
        handle = object()
        self.open[handle] = worker, outcome
        return handle

    def wait(self, handles, measuring):
        return [handles[-1]]  # the last one first, so that order is of no consequence

    def answer(self, worker, handle):
        outcome = self.open.pop(handle)[1]
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None or isinstance(outcome, dict):
            return outcome
        return {"params": Score(outcome)}

    def close(self):
        self.closed = True


def answers(crew, count):
    measurer = Measurer(narrow_space(), minibatch("synthetic:classes=3,size=8", 12))
    jobs = [Job(((number,),), (PROXIES["params"],)) for number in range(count)]
    found = {number: scores["params"] for number, scores in crew(measurer, jobs)}
    assert all(outcome is None for _, outcome in crew.open.values()), "no job is left behind"
    return [found[number] for number in range(count)]


def test_a_job_is_tried_once_more_elsewhere():
    died = LostWorker("signal 9")
    crew = Scripted(2, {((0,),): [1.0], ((1,),): [died, 2.0], ((2,),): [died, died], ((3,),): [4.0]})
    found = answers(crew, 4)
    assert [score.value for score in found] == [1.0, 2.0, None, 4.0]
    assert (found[2].status, found[2].reason) == ("lost", "2 workers died while measuring it: signal 9")
    assert [arch for _, arch in crew.asked].count(((2,),)) == 2


@pytest.mark.parametrize(("ends", "status", "reason"), [
    ([LostWorker("signal 11")] * 2, "lost", "2 workers died while measuring it: signal 11"),
    ([TimedOut()], "timeout", "no score within 3.5 s"),
], ids=["dies", "hangs"])  # fmt: skip
def test_a_proxy_that_ends_its_worker_costs_its_own_score_alone(ends, status, reason):
    """Its neighbours are asked once more without it, each with an equal share of the time."""
    script = {"params+depth": ends, "params": [{"params": Score(1.0)}], "depth": ends[:1]}
    crew = Scripted(1, {((0,),): script})
    job = Job(((0,),), (PROXIES["params"], PROXIES["depth"]))
    measurer = Measurer(narrow_space(), minibatch("synthetic:classes=3,size=8", 12))
    assert list(crew(measurer, [job])) == [(0, {"params": Score(1.0), "depth": Score(None, status, reason)})]
    assert crew.seconds == [7] * len(ends) + [3.5, 3.5]


def test_a_worker_that_dies_beside_a_job_is_not_the_jobs_fault():
    early = NeverBegun("it ended")
    found = answers(Scripted(1, {((0,),): [early, early, early, 1.0]}), 1)
    assert found[0].value == 1.0


def test_a_job_that_takes_too_long_is_not_tried_again():
    found = answers(Scripted(1, {((0,),): [TimedOut()], ((1,),): [2.0]}), 2)
    assert (found[0].status, found[0].reason) == ("timeout", "no score within 7 s")
    assert found[1].value == 2.0


def test_workers_that_never_begin_end_the_run():
    with pytest.raises(UsageError, match=r"end before they have measured anything \(it ended\): .*__main__"):
        answers(Scripted(1, {((0,),): [1.0]}, starts=[NeverBegun("it ended")] * 5), 1)


def test_what_a_worker_raises_ends_the_run():
    with pytest.raises(UsageError, match=r"^no plug-in$"):
        answers(Scripted(1, {((0,),): [1.0]}, starts=[UsageError("no plug-in")]), 1)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"workers": 0}, "workers is a whole number: give at least 1"),
        ({"workers": 1.5}, "workers is a whole number"),
        ({"timeout": 0}, "timeout is a number of seconds, more than 0, not 0"),
        ({"timeout": float("nan")}, "timeout is a number of seconds, more than 0, not nan"),
        ({"searcher": "local_search", "batch": 4}, "local_search proposes in rounds of its own size, so it takes no b"),
        ({"batch": 0}, "batch is a whole number: give at least 1"),
    ],
)
def test_what_is_no_engine_is_refused(given, reason, tmp_path):
    with pytest.raises(UsageError, match=reason):
        nas.search(**SEARCH | {"settings": settings(), "run_folder": tmp_path / "run"} | given)
    assert not (tmp_path / "run").exists()


def test_options_that_cannot_be_sent_are_refused():
    with pytest.raises(UsageError, match="the options of the space toy cannot be sent to workers: "):
        Plan.of("toy", {"toy": {"operation": lambda: 0}}, (), None)


def test_batches_of_one_are_the_default(tmp_path):
    alone = {"settings": settings() | {"evolution": {"population": 8, "batch": 1}}, "run_folder": tmp_path}
    one = nas.search(**{name: value for name, value in SEARCH.items() if name != "batch"} | alone).trials
    default = nas.search(**SEARCH | {"settings": settings(), "batch": None}).trials
    assert one["arch"].tolist() == default["arch"].tolist()
    assert nas.search(**SEARCH | {"settings": settings()}).trials["arch"].tolist() != default["arch"].tolist()


def test_what_says_something_of_the_machine_is_told_apart():
    assert {"timeout", "lost", "memory"} == OF_THE_MACHINE
