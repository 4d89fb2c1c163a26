"""Every registered searcher keeps what its kind promises. A new one is tested by being registered."""

import pytest
from searches import needs

from nas.searcher import SEARCHERS
from nas.testing import SEARCHER_CHECKS


def name_of(check):
    return check.__name__


@pytest.mark.parametrize("check", SEARCHER_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", SEARCHERS)
def test_searcher(name, check):
    needs(name)
    check(name)
