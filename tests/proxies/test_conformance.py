"""Every registered proxy keeps what its kind promises. A new one is tested by being registered."""

import pytest

from nas.proxy import PROXIES
from nas.testing import PROXY_CHECKS


def name_of(check):
    return check.__name__


@pytest.mark.parametrize("check", PROXY_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", PROXIES)
def test_proxy(name, check):
    check(name)
