"""Expressions written out, and functions for what they repeat."""

import pytest

from nas.formats.expressions import MAX_LINE_CHARACTERS, Expression, Item, factored


def call(head, *values, suggested=""):
    items = []
    for value in values:
        key, value = value if isinstance(value, tuple) else ("", value)
        inner = value if isinstance(value, Expression) else Expression(str(value))
        items.append(Item(inner, f"{key}=" if key else "", key or "value"))
    return Expression(f"{head}(", tuple(items), ")", suggested)


def block(a, b):
    return call("Block", call("Conv", a, b), call("Norm", b), call("Act"), suggested="block")


def noted(name):
    return lambda *arguments, **more: (name, arguments, tuple(more.items()))


SCOPE = {name: noted(name) for name in ("Block", "Conv", "Norm", "Act", "Net")}


def evaluated(expression, functions):
    scope = dict(SCOPE) | {"nn": type("nn", (), {"Module": object})}
    for function in functions:
        exec("from __future__ import annotations\n" + function.written(), scope)
    return eval(expression.written().replace("\n", " "), scope)


def test_what_occurs_twice_becomes_a_function():
    net = call("Net", block(3, 16), block(16, 32), ("last", block(32, 32)))
    short, functions = factored(net, ["block"])
    (function,) = functions
    assert function.name == "block2"
    assert len(function.parameters) == 2
    assert short.written() == "Net(block2(3, 16), block2(16, 32), last=block2(32, 32))"
    assert evaluated(short, functions) == evaluated(net, [])


def test_numbers_that_are_always_the_same_are_no_parameters():
    net = call("Net", block(16, 16), block(16, 16))
    short, (function,) = factored(net, [])
    assert function.parameters == ()
    assert short.written() == "Net(block(), block())"
    assert evaluated(short, [function]) == evaluated(net, [])


def test_functions_within_functions():
    def pair(a, b):
        return call("Net", block(a, b), block(b, b), call("Act"), suggested="pair")

    net = call("Net", pair(1, 2), pair(3, 4), block(5, 6))
    short, functions = factored(net, [])
    assert [function.name for function in functions] == ["block", "pair"]
    assert short.written() == "Net(pair(1, 2), pair(3, 4), block(5, 6))"
    assert evaluated(short, functions) == evaluated(net, [])


@pytest.mark.parametrize(
    "net", [call("Net", block(1, 2)), call("Net", call("Act", suggested="act"), call("Act", suggested="act"))]
)
def test_what_is_small_or_occurs_once_stays(net):
    assert factored(net, []) == (net, [])


def test_lines_are_short():
    net = call("Net", *(block(1000 + n, 1000) for n in range(40)))
    text = net.written()
    assert max(map(len, text.splitlines())) <= MAX_LINE_CHARACTERS
    assert eval(text, dict(SCOPE)) == eval(text.replace("\n", " "), dict(SCOPE))
    assert call("Act").written() == "Act()"
