"""What wraps a space answers as the space does, by mechanism: a hook that is added to `Space` is forwarded too."""

from random import Random

import pytest
from torch import nn

from nas.runs.ancestry import Ancestry
from nas.scoring.limits import Limited, parse_limit
from nas.space import HOOKS, SPACES, Space, SpaceWrapper, Task

TASK = Task(10, 3, 32)


class Talkative(Space):
    """Answers every hook in a way of its own, and has an attribute that no `Space` has."""

    slots = (("a", "b"), ("a", "b"))
    supernet = True
    supernet_takes = "nothing"
    colour = "green"

    def build(self, arch, task):
        return nn.Sequential(nn.Flatten(), nn.Linear(task.channels * task.size**2, 1 + arch[0][0]))


for _name in set(HOOKS) - {"build", "valid", "canonical", "random_leaf", "size"}:
    setattr(Talkative, _name, lambda self, *arguments, _name=_name: (_name, *arguments))


def test_every_hook_is_forwarded():
    inner = Talkative()
    wrapped = type("Plain", (SpaceWrapper,), {})(inner)
    arch = ((0,), (1,))
    arguments = {"build": (arch, TASK), "parse": ("a,b",), "random_leaf": (Random(0),), "thin": (), "size": ()}
    for hook in HOOKS:
        given = arguments.get(hook, (arch,))
        if hook in ("build", "random_leaf"):
            continue
        assert getattr(wrapped, hook)(*given) == getattr(inner, hook)(*given), hook
    assert isinstance(wrapped.build(arch, TASK), nn.Module)
    assert wrapped.random_leaf(Random(3)) == inner.random_leaf(Random(3))
    assert (wrapped.slots, wrapped.supernet, wrapped.supernet_takes) == (inner.slots, True, "nothing")
    assert wrapped.colour == "green"


def test_hooks_are_all_that_a_space_may_replace():
    assert set(HOOKS) == {
        "build", "valid", "graph", "text", "parse", "notations", "canonical", "settled", "counts", "thin", "origins",
        "random_leaf", "size",
    }  # fmt: skip


def test_limits_forward_what_they_do_not_change():
    space = SPACES["nasbench201"]()
    limited = Limited(space, [parse_limit("params<=0.4e6")], TASK)
    arch = space.parse("nats:1,1,1,1,1,1")
    assert limited.notations(arch) == space.notations(arch)
    assert limited.origins(arch) == space.origins(arch)
    assert limited.supernet_takes == space.supernet_takes
    assert limited.valid(arch)
    assert not limited.valid(space.parse("nats:3,3,3,3,3,3"))


@pytest.mark.parametrize("name", ["nasbench201", "nasbench101"])
def test_a_noting_space_proposes_what_the_space_does(name):
    space = SPACES[name]()
    noting = Ancestry().noting(space)
    first, second = Random(1), Random(1)
    parent, other = space.sample(first), space.sample(first)
    assert (noting.sample(second), noting.sample(second)) == (parent, other)
    assert noting.mutate(parent, second) == space.mutate(parent, first)
    assert noting.crossover(parent, other, second) == space.crossover(parent, other, first)
    assert noting.neighbours(parent) == space.neighbours(parent)
    assert noting.cuts(space.full()) == space.cuts(space.full())
    assert (len(noting.slots), noting.text(parent)) == (len(space.slots), space.text(parent))


def test_a_noting_space_knows_parents():
    space, ancestry = SPACES["nasbench201"](), Ancestry()
    noting, rng = ancestry.noting(space), Random(0)
    parent, other = noting.sample(rng), noting.sample(rng)
    assert ancestry.proposed(parent, 0) == ancestry.proposed(other, 1) == ()
    assert ancestry.proposed(noting.mutate(parent, rng), 2) == (0,)
    child = noting.mutate(noting.mutate(other, rng), rng)  # of one that was never proposed
    assert ancestry.proposed(child, 3) == (1,)
    cross = noting.crossover(space.parse("nats:0,0,0,0,0,0"), parent, rng)
    assert ancestry.proposed(cross, 4) == (0,)


def test_a_sample_in_the_place_of_a_mutant_has_no_parents():
    class Lonely(Talkative):
        def valid(self, arch):
            return arch in (((0,), (0,)), ((1,), (1,)))  # no two differ in one slot only

    ancestry = Ancestry()
    noting, parent = ancestry.noting(Lonely()), ((0,), (0,))
    ancestry.proposed(parent, 0)
    child = noting.mutate(parent, Random(1))
    assert ancestry.proposed(child, 1) == ()
