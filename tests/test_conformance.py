"""Every registered plug-in keeps what its kind promises. A new one is tested by being registered."""

import pytest
from cases import SMALL

from nas import plugins
from nas.proxy import PROXIES
from nas.searcher import SEARCHERS
from nas.space import SPACES
from nas.testing import PROXY_CHECKS, SEARCHER_CHECKS
from nas.testing.spaces import SPACE_CHECKS

plugins.load()


def name_of(check):
    return check.__name__


@pytest.mark.parametrize("check", PROXY_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", PROXIES)
def test_proxy(name, check):
    check(name)


@pytest.mark.parametrize("check", SPACE_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", SPACES)
def test_space(name, check):
    check(name, **SMALL.get(name, {}))


@pytest.mark.parametrize("check", SEARCHER_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", SEARCHERS)
def test_searcher(name, check):
    check(name)
