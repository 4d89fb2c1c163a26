"""Settings of plug-ins as a user gives them, each number within its bounds."""

import math
from typing import get_type_hints

import pytest
from searches import SEARCH

import nas
from nas.calls.settings import checked_settings
from nas.errors import UsageError
from nas.proxy import PROXIES
from nas.registry import checked_options, options
from nas.searcher import SEARCHERS
from nas.space import SPACES
from nas.studies import STUDIES


def numbers():
    """Every option of a registered plug-in that takes numbers: its label, the plug-in's function, the default."""
    functions = {name: PROXIES[name].function for name in PROXIES if not PROXIES[name].parts}
    functions |= {name: SEARCHERS[name].function for name in SEARCHERS}
    functions |= {name: SPACES[name] for name in SPACES} | {name: STUDIES[name].function for name in STUDIES}
    for name, function in functions.items():
        for option, default in options(function).items():
            members = default if isinstance(default, tuple) else (default,)
            if members and all(type(number) in (int, float) for number in members):
                yield pytest.param(name, option, function, default, id=f"{name}.{option}")


@pytest.mark.parametrize(("name", "option", "function", "default"), list(numbers()))
def test_every_number_is_bounded_where_its_range_says(name, option, function, default):
    ranges = getattr(get_type_hints(function, include_extras=True)[option], "__metadata__", ())
    assert len(ranges) == 1, f"say which numbers {name}.{option} takes: Annotated[…, Range(…)]"
    (allowed,) = ranges
    listed = isinstance(default, tuple)
    kind = type(default[0] if listed else default)

    def checked(number):
        return checked_options(name, function, {option: [number] if listed else number})

    def beyond(bound, direction):
        return bound + direction if kind is int else math.nextafter(bound, direction * math.inf)

    assert checked_options(name, function, {option: default}) == {option: default}
    edges = [(allowed.least, beyond(allowed.least, -1)), (allowed.most, beyond(allowed.most, 1))]
    edges.append((beyond(allowed.above, 1), allowed.above))
    for inside, outside in edges:
        if math.isfinite(inside) and math.isfinite(outside):
            assert checked(kind(inside)) == {option: (kind(inside),) if listed else kind(inside)}
            with pytest.raises(UsageError, match=rf"^{name}\.{option} is {allowed}, not {kind(outside)!r}$"):
                checked(kind(outside))


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
