"""Every registered space keeps what its kind promises. A new one is tested by being registered."""

import pytest
from cases import SMALL

from nas.space import SPACES
from nas.testing.spaces import SPACE_CHECKS


def name_of(check):
    return check.__name__


@pytest.mark.parametrize("check", SPACE_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", SPACES)
def test_space(name, check):
    check(name, **SMALL.get(name, {}))
