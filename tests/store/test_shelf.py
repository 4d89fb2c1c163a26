"""What is said of scores that came from the store."""

import pytest
from stores import OPTIONS, SETTINGS

from nas.calls.setup import Setup
from nas.data.minibatch import minibatch
from nas.proxy import PROXIES
from nas.scoring.scorer import Scorer
from nas.space import make_space


def test_a_scorer_without_a_shelf_says_nothing_of_one():
    scorer = Scorer(make_space("nasbench201", SETTINGS), minibatch("synthetic:classes=3,size=8", 12, 0))
    assert not scorer.shelved(scorer.space.parse("0"))


@pytest.mark.parametrize(("asked", "from_store"), [("gradsign", True), ("gradsign,naswot", False), ("naswot", False)])
def test_what_was_measured_in_part_did_not_come_from_the_store(asked, from_store, tmp_path):
    given = OPTIONS | {"settings": SETTINGS, "store": str(tmp_path / "s.sqlite")}
    for names in ("gradsign", asked):
        with Setup.of("nasbench201", given) as setup:
            scorer, arch = setup.scorer(), setup.space.parse("7")
            scorer([arch], [PROXIES[name] for name in names.split(",")])
    assert scorer.shelved(arch) == from_store
