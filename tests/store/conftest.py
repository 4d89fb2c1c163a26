"""A store of its own for every test, and what was really measured."""

import pytest

from nas.proxy import PROXIES
from nas.scoring.measurer import Measurer


@pytest.fixture
def file(tmp_path):
    return tmp_path / "scores.sqlite"


@pytest.fixture(autouse=True)
def registered():
    """What a test registers is gone after it."""
    with PROXIES.put_back():
        yield


@pytest.fixture
def visits(monkeypatch):
    """The architectures that were really measured."""
    made = []
    original = Measurer.__call__

    def measure(self, arch, proxies):
        made.extend((arch, proxy.name) for proxy in proxies)
        return original(self, arch, proxies)

    monkeypatch.setattr(Measurer, "__call__", measure)
    return made
