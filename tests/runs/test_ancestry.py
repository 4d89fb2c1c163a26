"""Who came from whom."""

from random import Random

import pytest
from searches import needs

from nas.runs.ancestry import Ancestry
from nas.scoring.limits import Limited, parse_limit
from nas.searcher import SEARCHERS
from nas.space import Task
from nas.testing import ToySpace, narrow_space


def test_mutations_and_crossovers_are_noted():
    ancestry, rng = Ancestry(), Random(0)
    space = ancestry.noting(ToySpace())
    first, second = space.sample(rng), space.sample(rng)
    assert ancestry.proposed(first, 0) == ancestry.proposed(second, 1) == ()
    child = space.mutate(first, rng)
    assert ancestry.proposed(child, 2) == (0,)
    mixed = space.mutate(space.crossover(child, second, rng), rng)
    assert set(ancestry.proposed(mixed, 3)) == {2, 1}
    near = space.neighbours(mixed)
    assert ancestry.proposed(near[0], 4) == (3,)
    assert ancestry.proposed(near[0], 5) == (), "noted once, proposed again by chance"
    below = space.cuts(space.full())
    assert ancestry.proposed(below[0][2], 6) == (), "the supernet was never proposed"


@pytest.mark.parametrize("name", list(SEARCHERS))
def test_a_searcher_proposes_the_same_on_a_space_that_notes(name):
    needs(name)
    for space in (narrow_space(), Limited(narrow_space(), [parse_limit("params<=2000")], Task(3, 3, 8))):
        histories = []
        for searched in (space, Ancestry().noting(space)):
            search, proposals = SEARCHERS[name].start(searched, Random(3), {})
            history = []
            while proposals and len(history) < 30:
                history += proposals
                scores = [sum(slot[0] for slot in arch) for arch in proposals]
                if SEARCHERS[name].objectives == "many":
                    scores = [(score, -arch[0][0]) for score, arch in zip(scores, proposals, strict=True)]
                try:
                    proposals = search.send(scores)
                except StopIteration:
                    break
            histories.append(history)
        assert histories[0] == histories[1]
