"""Searchers that break their promise: a sentence that names them, at the start and after some scores."""

import numpy as np
import pytest
from searches import SEARCH

import nas
from nas.errors import UsageError
from nas.searcher import Searcher


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no")


def search(searcher, tmp_path=None, budget=10):
    given = SEARCH | {"searcher": searcher, "proxy": "params", "budget": budget}
    return nas.search(**given | {"settings": {"nasbench201": SEARCH["settings"]["nasbench201"]}}, run_folder=tmp_path)


LEAF = ((0,),) * 6
NO_LIST = {
    "a generator": lambda: (arch for arch in [LEAF]),
    "a text": lambda: "|nor_conv_3x3~0|",
    "a number": lambda: 3,
    "nothing": lambda: None,
    "a set": lambda: {LEAF},
    "an array": lambda: np.zeros((6, 1), int),
    "unprintable": Unprintable,
}
NO_ARCHITECTURE = {
    "a text": ("|nor_conv_3x3~0|", "it is no tuple"),
    "a list": ([[0]] * 6, "it is no tuple"),
    "None": (None, "it is no tuple"),
    "too short": (LEAF[:5], "it has 5 slots, not 6"),
    "too long": ((*LEAF, (0,)), "it has 7 slots, not 6"),
    "numbers": ((0,) * 6, "its slot 0 is 0, no tuple of numbers"),
    "halves": (((0.5,),) * 6, r"its slot 0 is \(0.5,\), no tuple of numbers"),
    "names": ((*LEAF[:5], ("none",)), r"its slot 5 is \('none',\), no tuple of numbers"),
    "too large": ((*LEAF[:5], (5,)), r"its slot 5 is \(5,\), and has options from 0 to 4"),
    "negative": (((-1,), *LEAF[1:]), r"its slot 0 is \(-1,\), and has options from 0 to 4"),
    "no option": (((), *LEAF[1:]), r"its slot 0 is \(\), and has options from 0 to 4"),
    "twice": (((0, 0), *LEAF[1:]), r"its slot 0 is \(0, 0\), with options twice or out of order"),
    "huge": (((10**5000,), *LEAF[1:]), "its slot 0 is .*, and has options from 0 to 4"),
    "unprintable": (Unprintable(), "it is no tuple"),
}


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("kind", NO_LIST)
def test_proposals_are_lists(kind, after):
    def rude(space, rng):
        for _ in range(after):
            yield [space.sample(rng)]
        yield NO_LIST[kind]()

    with pytest.raises(UsageError, match=r"^the searcher rude proposed .*, where a list of architectures belongs$"):
        search(rude)


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("kind", NO_ARCHITECTURE)
def test_proposals_are_architectures_of_the_space(kind, after, tmp_path):
    proposal, wrong = NO_ARCHITECTURE[kind]

    def rude(space, rng):
        for _ in range(after):
            yield [space.sample(rng)]
        yield [space.sample(rng), proposal]

    expected = (
        rf"^the searcher rude proposed .* which is no architecture of its space \({wrong}\): the space's sample, "
    )
    with pytest.raises(UsageError, match=expected) as error:
        search(rude)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (lambda space, rng: 3, "3"),
        (lambda space, rng: [space.sample(rng)], r"\[\(\("),
        (lambda space, rng: iter([[space.sample(rng)]]), "<list_iterator"),
        (lambda space, rng: None, "None"),
    ],
)
def test_a_searcher_is_a_generator(function, shown):
    function.__name__ = "plain"
    with pytest.raises(
        UsageError, match=rf"^the searcher plain is no generator: it gives {shown}.*yield lists of arch"
    ):
        search(function)


def returning(value, after=0):
    def returns(space, rng):
        for _ in range(after):
            yield [space.full()]
        return value
        yield

    return returns


@pytest.mark.parametrize(("value", "gave"), [(None, ""), (3, ", but returned 3")])
def test_one_that_proposes_nothing_is_not_sent_for_a_larger_budget(value, gave):
    with pytest.raises(
        UsageError, match=rf"^the searcher returns ended before it proposed anything{gave}: it has to y"
    ):
        search(returning(value))


def empty(space, rng):
    yield []


def test_an_empty_list_is_nothing():
    with pytest.raises(
        UsageError, match=r"^the searcher empty ended before it proposed anything: it has to yield lists"
    ):
        search(empty)


def test_one_that_ends_above_all_networks_is_not_sent_for_a_larger_budget():
    with pytest.raises(UsageError, match=r"^the searcher above ended after 2 evaluations, none of a single network$"):
        search(Searcher("above", returning(None, 2)))
    with pytest.raises(
        UsageError, match=r"^the budget of 2 evaluations ends before a single network is reached: give a"
    ):
        search(Searcher("above", returning(None, 9)), budget=2)


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("by what"), "ZeroDivisionError: by what"),
        (ValueError("no"), "ValueError: no"),
        (Unspeakable(), "Unspeakable"),
        (StopIteration(), "RuntimeError: generator raised StopIteration"),
        (MemoryError(), "MemoryError: "),
    ],
)
def test_one_that_raises_when_it_is_told_scores_is_named_with_the_line(error, words, after):
    def raising(space, rng):
        for _ in range(after):
            yield [space.sample(rng)]
        raise error

    line = raising.__code__.co_firstlineno + 3
    expected = rf"^the searcher raising failed at line {line} of test_rude_searchers\.py: {words}$"
    with pytest.raises(UsageError, match=expected):
        search(raising)


def test_its_own_words_before_any_score_are_kept():
    def picky(space, rng):
        raise ValueError("takes an even seed")
        yield

    with pytest.raises(UsageError, match=r"^picky: takes an even seed$"):
        search(picky)


def test_numbers_of_numpy_and_a_list_that_is_used_again_are_harmless(tmp_path):
    """The history is that of the searcher that does neither."""

    def plain(space, rng):
        while True:
            yield [space.sample(rng)]

    def reckless(space, rng):
        batch = []
        while True:
            batch[:] = [tuple(tuple(np.array(slot)) for slot in space.sample(rng))]
            yield batch
            batch.append("spoiled")

    expected = search(plain).trials
    trials = search(reckless).trials
    assert trials["arch"].tolist() == expected["arch"].tolist()
    assert trials["score"].tolist() == expected["score"].tolist()


def test_an_architecture_outside_the_limits_names_the_searcher():
    def stubborn(space, rng):
        while True:
            yield [((3,),) * 6]

    with pytest.raises(UsageError, match=r"^the searcher stubborn proposed .*, which is not valid in its space$"):
        nas.search(**SEARCH | {"searcher": stubborn, "proxy": "params", "constraints": ["params<=2000"],
                               "settings": {"nasbench201": SEARCH["settings"]["nasbench201"]}})  # fmt: skip


def test_one_that_never_comes_to_a_network_is_not_asked_for_ever(monkeypatch):
    """What a searcher that walks down takes is counted in a dry run, which ends."""

    def endless(space, rng):
        while True:
            yield [space.full()] * 100

    with pytest.raises(UsageError, match="endless takes 20000 evaluations down to a single network of this space"):
        search(Searcher("endless", endless, supernet=True))
