"""Settings of plug-ins as a user gives them, each number within its bounds."""

import pytest
from searches import SEARCH

import nas
from nas import registry
from nas.calls.settings import checked_settings
from nas.errors import UsageError
from nas.proxy import PROXIES
from nas.registry import checked_options
from nas.searcher import SEARCHERS

BOUNDS = {  # an allowed value, and the next that is refused
    "gradalign_ii.eps": (0, -1e-9),
    "ntk.images": (2, 1),
    "swap.images": (48, 49),
    "vkdnw.images": (1, 0),
    "zen.images": (1, 0),
    "zen.step": (1e-9, 0),
    "evolution.batch": (1, 0),
    "evolution.population": (1, 0),
    "evolution.tournament": (1, 0),
    "random_search.batch": (1, 0),
}


def test_every_number_of_a_proxy_or_searcher_has_its_bounds():
    functions = {name: PROXIES[name].function for name in PROXIES if not PROXIES[name].parts}
    functions |= {name: SEARCHERS[name].function for name in SEARCHERS}
    numbers = set()
    for name, function in functions.items():
        defaults = registry.options(function)
        assert checked_options(name, function, defaults) == defaults
        numbers |= {f"{name}.{option}" for option, value in defaults.items() if type(value) in (int, float)}
    assert numbers == set(BOUNDS)


@pytest.mark.parametrize("label", BOUNDS)
def test_bounds_of_options(label):
    owner, option = label.split(".")
    allowed, refused = BOUNDS[label]
    checked_settings({owner: {option: allowed}})
    with pytest.raises(UsageError, match=rf"^{label} is (at least|more than) .*, not {refused}"):
        checked_settings({owner: {option: refused}})


def test_choices_come_from_the_annotation():
    with pytest.raises(UsageError, match=r"unknown value for gradalign_i\.direction 'sing': .*did you mean 'sign'"):
        checked_settings({"gradalign_i": {"direction": "sing"}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget": "3"},
        {"budget": 3.5},
        {"seed": None},
        {"settings": {"evolution": 5}},
        {"constraints": "params"},
        {"plugin": "x.py"},
    ],
)
def test_python_users_get_the_same_sentences(wrong):
    with pytest.raises(UsageError, match=r"whole number|pairs, not 5|constraint 'params'|x\.py does not exist"):
        nas.search(**SEARCH | wrong)
