"""What is said where there is no store."""

from stores import SETTINGS

from nas.data.minibatch import minibatch
from nas.scoring.scorer import Scorer
from nas.space import make_space


def test_a_scorer_without_a_shelf_says_nothing_of_one():
    scorer = Scorer(make_space("nasbench201", SETTINGS), minibatch("synthetic:classes=3,size=8", 12, 0))
    assert not scorer.shelved(scorer.space.parse("0"))
