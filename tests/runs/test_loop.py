"""The loop of proposals and scores."""

from random import Random

import pytest
from searches import DATA, SEARCH, recorded

import nas
from nas.errors import UsageError
from nas.proxy import Proxy, ProxyFailure, proxy
from nas.runs.loop import best, run
from nas.scoring.objective import Objective
from nas.scoring.scorer import Scorer
from nas.searcher import SEARCHERS
from nas.testing import narrow_space


def test_pruning_takes_the_rounds_of_the_paper():
    toy = narrow_space()
    trials = list(
        run(
            toy,
            SEARCHERS["pruning"].start(toy, Random(0), {}),
            Objective(Scorer(toy, DATA, device="cpu"), "params"),
            100,
        )
    )
    rounds = [sum(len(slot) for slot in toy.parse(trial.arch)) for trial in trials]
    assert rounds == [23] * 24 + [17] * 18 + [11] * 12 + [6]  # options left: all but one of 24, of 18, of 12; a path
    assert [trial.leaf for trial in trials] == [False] * 54 + [True]


@pytest.mark.long
def test_te_nas_prunes_by_ranks_within_the_round():
    """The cut that each slot keeps is the one with the largest sum of its two ranks among all cuts of the round."""
    settings = SEARCH["settings"] | {"ntk": {"images": 6}}
    given = {"proxy": "te_nas", "searcher": "pruning", "budget": 60, "settings": settings}
    trials = nas.search(**SEARCH | given).trials
    assert len(trials) == 55
    toy, rounds = narrow_space(), trials.iloc[:24]
    ranks = rounds["linear_regions"].rank() + (-rounds["ntk"]).rank()
    assert rounds["status"].eq("ok").all()
    assert rounds["score"].tolist() == pytest.approx((ranks / 24).tolist())
    kept = toy.parse(trials["arch"].iloc[24])  # a cut of what the first round left
    for slot in range(6):
        of_slot = [(ranks.iloc[4 * slot + option], option + 1) for option in range(4)]
        assert max(of_slot, key=lambda pair: pair[0])[1] not in kept[slot]


def test_a_failure_ranks_last_and_is_never_best():
    toy = narrow_space()
    flaky = Proxy("flaky", lambda probe: 1.0 if probe.params % 3 else 1 / 0)
    objective = Objective(Scorer(toy, DATA, device="cpu"), "params")
    objective.proxies = [flaky]
    trials = list(run(toy, SEARCHERS["random_search"].start(toy, Random(0), {}), objective, 20))
    failed = [trial for trial in trials if trial.status == "failed"]
    assert failed
    assert all(trial.score is None and "ZeroDivisionError" in trial.reason for trial in failed)
    assert best(trials).score == 1.0


@pytest.mark.long
def test_pruning_needs_the_budget_to_reach_a_network(tmp_path):
    settings = SEARCH | {"proxy": "gradsign+depth", "searcher": "pruning"}
    with pytest.raises(UsageError, match=r"takes 55 evaluations .* more than the budget of 54: give a larger --budget"):
        nas.search(**settings | {"budget": 54}, run_folder=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    nas.search(**settings | {"budget": 55}, run_folder=tmp_path / "a")
    assert len(recorded(tmp_path / "a")) == 55


def test_nothing_scored_is_an_error_that_says_why():
    with pytest.raises(UsageError, match="none of the 3 networks could be scored; mostly: it never works"):
        nas.search(**SEARCH | {"proxy": "always_fails", "budget": 3})


@proxy("always_fails")
def always_fails(probe):
    """A proxy that has no number for anything."""
    raise ProxyFailure("it never works")


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), type("Own", (BaseException,), {})("of its own")])
def test_a_searcher_that_would_end_the_process_ends_the_run_with_a_sentence(after, error):
    def leaving(space, rng):
        for _ in range(after):
            yield [space.sample(rng)]
        raise error

    with pytest.raises(
        UsageError, match=rf"^the searcher leaving would have ended the process: {type(error).__name__}: "
    ):
        nas.search(**SEARCH | {"searcher": leaving, "settings": {"nasbench201": SEARCH["settings"]["nasbench201"]}})
