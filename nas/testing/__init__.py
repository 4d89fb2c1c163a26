"""Checks of what every proxy, space and searcher must satisfy, which third parties run over their own plug-ins.

    from nas.testing import PROXY_CHECKS

    @pytest.mark.parametrize("check", PROXY_CHECKS, ids=lambda check: check.__name__)
    def test_my_proxy(check):
        check("my_proxy")

A check takes the registered name and raises `AssertionError`, which says what is wrong.
"""

from nas.testing.proxies import PROXY_CHECKS
from nas.testing.searchers import SEARCHER_CHECKS, history
from nas.testing.spaces import SPACE_CHECKS, same_graph
from nas.testing.toys import ToySpace, Transformers, narrow_space, networks

__all__ = [
    "PROXY_CHECKS",
    "SEARCHER_CHECKS",
    "SPACE_CHECKS",
    "ToySpace",
    "Transformers",
    "history",
    "narrow_space",
    "networks",
    "same_graph",
]
