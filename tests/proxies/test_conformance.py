"""Every registered proxy keeps what its kind promises. A new one is tested by being registered."""

import pytest

from nas.proxy import PROXIES
from nas.testing import PROXY_CHECKS


def name_of(check):
    return check.__name__


PARTS_HAVE_THEIR_OWN = pytest.mark.long
"""Of a combination, whose parts are measured, and checked, by themselves."""
LONG = ("proxy_gives_the_same_value_for_the_same_seed", "proxy_does_not_depend_on_what_was_scored_before")
"""Each takes a minute over all proxies; that a score depends on nothing else, `…_on_who_else_is_asked` looks at too."""
CHECKS = [pytest.param(check, marks=pytest.mark.long) if check.__name__ in LONG else check for check in PROXY_CHECKS]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=PARTS_HAVE_THEIR_OWN) if PROXIES[n].parts else n for n in PROXIES]
)
def test_proxy(name, check):
    check(name)
