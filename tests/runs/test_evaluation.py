"""What is evaluated after a search: the model against the textbook, choices, batches, failures."""

import numpy as np
import pytest
from scipy.stats import kendalltau, multivariate_normal

from nas.runs.evaluation import EXPECTED, FIRST, UNSURE, evaluation
from nas.statistics import beliefs
from nas.statistics.beliefs import Beliefs, Candidates, believe, normal_scores


def candidates(count=300, seed=0, wrong=False):
    """Six slots with five options each, whose truth is a sum over slots; a ranking by four proxies, of which some are
    noise, or the opposite of the truth."""
    rng = np.random.default_rng(seed)
    operations = rng.integers(0, 5, (count, 6))
    truth = rng.normal(size=(6, 5))[np.arange(6), operations].sum(1)
    columns = [truth + rng.normal(0, 2.0, count), *rng.normal(size=(2, count)), -truth + rng.normal(0, 1.0, count)]
    if not wrong:
        columns[3] = truth + rng.normal(0, 4.0, count)
    proxies = np.column_stack([normal_scores(column) for column in columns])
    return Candidates(normal_scores(proxies.sum(1)), proxies, operations), truth


def evaluated(pool, truth, count, batch=1, known=()):
    search = evaluation(pool, batch, known)
    choices, places = next(search), []
    while True:
        places += [choice.place for choice in choices]
        if len(places) >= count:
            return places
        choices = search.send([float(truth[choice.place]) for choice in choices])


def test_beliefs_are_those_of_the_textbook():
    """One point of the grid at a time: the posterior of a joint normal distribution, written out in full."""
    pool, truth = candidates(40)
    places, truths = [3, 11, 25], normal_scores(truth[[3, 11, 25]])
    slope, tau, noise = 2.0, 0.7, 0.3
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("SLOPES", (slope,)), ("TAU", tau), ("NOISES", (noise,))):
            patch.setattr(beliefs, name, value)
        result = believe(pool, places, truths)
    differ = (pool.operations[:, None] != pool.operations[None]).mean(-1)
    weights = tau**2 / 4 * np.eye(4)
    joint = pool.proxies @ weights @ pool.proxies.T + beliefs.REST**2 * np.exp(-3 * differ) + 4
    inverse = np.linalg.inv(joint[np.ix_(places, places)] + noise**2 * np.eye(3))
    residual = truths - slope * pool.ranking[places]
    assert result.mean == pytest.approx(slope * pool.ranking + joint[:, places] @ inverse @ residual)
    posterior = joint - joint[:, places] @ inverse @ joint[places]
    assert result.deviation == pytest.approx(np.sqrt(np.diag(posterior)))
    cross = weights @ pool.proxies[places].T
    shares = np.linalg.lstsq(pool.proxies, pool.ranking, rcond=None)[0]
    assert result.weights == pytest.approx(slope * shares + cross @ inverse @ residual)
    assert result.weight_deviations == pytest.approx(np.sqrt(np.diag(weights - cross @ inverse @ cross.T)))


def test_the_grid_is_weighed_by_its_likelihood(monkeypatch):
    pool, truth = candidates(30)
    places, truths = [1, 2, 5, 8], normal_scores(truth[[1, 2, 5, 8]])
    monkeypatch.setattr(beliefs, "TAU", 0.7)
    monkeypatch.setattr(beliefs, "NOISES", (0.3,))
    differ = (pool.operations[places][:, None] != pool.operations[places][None]).mean(-1)
    own = pool.proxies[places]
    covariance = 0.49 / 4 * own @ own.T + beliefs.REST**2 * np.exp(-3 * differ) + 4 + 0.09 * np.eye(4)
    likelihoods, means = [], []
    for slope in (1.0, 2.0, 4.0):
        monkeypatch.setattr(beliefs, "SLOPES", (slope,))
        means.append(believe(pool, places, truths).mean)
        likelihoods.append(multivariate_normal(slope * pool.ranking[places], covariance).pdf(truths))
    monkeypatch.setattr(beliefs, "SLOPES", (1.0, 2.0, 4.0))
    shares = np.array(likelihoods) / sum(likelihoods)
    assert believe(pool, places, truths).mean == pytest.approx(shares @ np.array(means))


def test_with_nothing_known_the_ranking_is_believed():
    pool, _ = candidates(50)
    result = believe(pool, [], np.zeros(0))
    assert kendalltau(result.mean, pool.ranking).statistic == pytest.approx(1)
    first = next(evaluation(pool))[0]
    assert (first.place, first.why) == (int(pool.ranking.argmax()), FIRST)


def test_a_proxy_that_misleads_is_found_out():
    pool, truth = candidates(wrong=True)
    places = evaluated(pool, truth, 25)
    weights = believe(pool, places, normal_scores(truth[places])).weights
    assert weights[0] > 0.2
    assert weights[3] < weights[0] - 0.3


@pytest.mark.parametrize("batch", [1, 4])
def test_it_is_better_than_going_down_a_ranking_that_misleads(batch):
    regrets = []
    for seed in range(6):
        pool, truth = candidates(200, seed, wrong=True)
        ranked = np.argsort(-pool.ranking)[:16]
        regrets.append(
            (truth.max() - truth[evaluated(pool, truth, 16, batch)].max(), truth.max() - truth[ranked].max())
        )
    own, ranking = np.mean(regrets, axis=0)
    assert own < 0.6 * ranking


def test_choices_come_again_and_none_twice():
    pool, truth = candidates(60)
    places = evaluated(pool, truth, 60, 7)
    assert sorted(places) == list(range(60))
    assert evaluated(pool, truth, 20) == evaluated(pool, truth, 20)
    assert evaluated(pool, 1000 * np.exp(truth), 20) == evaluated(pool, truth, 20)  # only the order of truths counts


def test_what_failed_tells_nothing_and_is_not_asked_again():
    pool, _ = candidates(40)
    search = evaluation(pool)
    (first,) = next(search)
    (second,) = search.send([-np.inf])
    assert second.why == FIRST
    assert second.place != first.place
    (third,) = search.send([1.0])
    assert third.why == FIRST  # of two that came out
    (fourth,) = search.send([2.0])
    assert fourth.why in (EXPECTED, UNSURE)
    assert 0 < fourth.chance < 1
    places = {first.place, second.place, third.place, fourth.place}
    for _ in range(36):
        (choice,) = search.send([-np.inf])
        places.add(choice.place)
    assert len(places) == 40


def test_where_nothing_is_expected_to_be_better_what_is_left_is_evaluated_all_the_same(monkeypatch):
    pool, _ = candidates(4)
    mean = np.array([0.0, -3.0, -2.0, -1.0])
    hopeless = Beliefs(mean, np.full(4, 1e-6), np.zeros(4), np.ones(4))  # so far away that the improvement is zero
    monkeypatch.setattr("nas.runs.evaluation.believe", lambda *_: hopeless)
    (choice,) = next(evaluation(pool, 1, [(0, 1.0), (3, 0.5)]))
    assert (choice.place, choice.why) == (2, EXPECTED)


def test_what_is_known_from_the_start_is_learned_from():
    pool, truth = candidates(50)
    known = [(place, float(truth[place])) for place in (4, 9)]
    (choice,) = next(evaluation(pool, 1, known))
    assert choice.place not in (4, 9)
    assert choice.why != FIRST


def test_normal_scores_have_unit_variance_and_keep_ties():
    scores = normal_scores(np.array([3.0, -np.inf, 3.0, 10.0]))
    assert scores.std() == pytest.approx(1)
    assert scores[0] == scores[2]
    assert list(np.argsort(scores, kind="stable")) == [1, 0, 2, 3]
    assert normal_scores(np.full(3, 2.0)).tolist() == [0, 0, 0]
    assert normal_scores(np.zeros(0)).shape == (0,)
