"""Declared choices: what is counted, drawn, read, written and built, against listing everything by hand."""

import re
from collections import Counter
from itertools import product
from random import Random

import pytest
import torch
from cases import ROOT
from torch import nn

import nas
from nas import plugins
from nas.choices import ChoiceSpace, choices, floats, integers, one_of, repeated
from nas.choices.reading import Chain, Mixed
from nas.errors import UsageError
from nas.report.cells import drawing
from nas.scoring.limits import Limited, parse_limit
from nas.scoring.measurer import build, counted
from nas.space import SPACES, Task, is_leaf
from nas.testing.spaces import SPACE_CHECKS

BLOCKS = dict(
    re.findall(r"```python\n# (\w+\.py)\n(.*?)```", (ROOT / "docs" / "choices.md").read_text(), flags=re.DOTALL)
)
TASK = Task(3, 3, 8)
SINGLE = torch.tensor([[[[1.0, 2.0]]]])


def nothing(choice, task):
    raise AssertionError("nothing is built here")


def layer():
    return repeated("depth", kernel=one_of(3, 5), ratio=one_of(1, 2).when(kernel=5))


DECLARED = {
    "plain": lambda: choices(a=one_of(1, 2, 3), b=one_of("x", "y")),
    "conditional": lambda: choices(
        op=one_of("conv", "attention", "none"),
        kernel=one_of(3, 5, 7).when(op="conv"),
        heads=one_of(2, 4).when(op=("attention", "conv")),
        wide=one_of(True, False).when(op="conv", kernel=(5, 7)),
    ),
    "depth from nothing": lambda: choices(depth=integers(0, 2), layer=layer()),
    "stages": lambda: choices(
        width=one_of(16, 24), stage=repeated(2, depth=integers(1, 2), layer=layer(), last=one_of("a", "b"))
    ),
    "rules": lambda: choices(
        lambda width, depth: width + depth < 8,
        width=integers(4, 6),
        depth=integers(1, 3),
        block=repeated("depth", lambda width, heads: width % heads == 0, heads=one_of(1, 2, 3)),
    ),
    "a rule of what may not be there": lambda: choices(
        lambda op, kernel: (op, kernel) != ("big", 3),
        op=one_of("none", "small", "big"),
        kernel=one_of(3, 5).when(op=("small", "big")),
        further=repeated(2, x=one_of(1, 2)).when(op="big"),
    ),
    "conditions on conditions": lambda: choices(
        a=one_of(0, 1), b=one_of(0, 1, 2).when(a=1), part=repeated("b", c=one_of(5, 6)), d=one_of(7, 8).when(b=(0, 2))
    ),
}


@pytest.fixture(params=DECLARED)
def space(request):
    return ChoiceSpace(DECLARED[request.param](), nothing)


def facts(space, leaf):
    """The values of a leaf by the paths of its slots, read by hand: a slot counts where all that it needs are used."""
    slots, values = space._leaves.slots, {}
    for number, slot in enumerate(slots):
        if all(slots[s].path in values and leaf[s][0] in allowed for s, allowed in slot.needs.items()):
            values[slot.path] = slot.values[leaf[number][0]]
    return values


def every_leaf(space):
    """All valid leaves: of the whole product, those that hold first options where they are not used, and all rules."""
    slots = space._leaves.slots
    for options in product(*(range(len(slot.values)) for slot in slots)):
        leaf = tuple((option,) for option in options)
        values = facts(space, leaf)
        rules = [rule for rules in space._leaves.rules for rule in rules]
        there = [
            [values[slots[s].path] for s in rule.slots]
            for rule in rules
            if all(slots[s].path in values for s in rule.slots)
        ]
        holds = [rule for rule in rules if all(slots[s].path in values for s in rule.slots)]
        unused = all(leaf[n] == (0,) for n, slot in enumerate(slots) if slot.path not in values)
        if unused and all(rule.holds(*given) for rule, given in zip(holds, there, strict=True)):
            yield leaf


def test_the_networks_are_those_of_the_whole_product(space):
    leaves = list(every_leaf(space))
    assert list(space) == leaves
    assert space.size() == len(leaves)
    assert len({space.text(leaf) for leaf in leaves}) == len(leaves), "a network is there twice"
    assert len({tuple(facts(space, leaf).items()) for leaf in leaves}) == len(leaves)


def test_sizes_by_hand():
    sizes = {name: ChoiceSpace(declared(), nothing).size() for name, declared in DECLARED.items()}
    stage = 3 * 2 + 9 * 2
    assert sizes == {
        "plain": 6,
        "conditional": 2 * (1 + 2 * 2) + 2 + 1,
        "depth from nothing": 1 + 3 + 9,
        "stages": 2 * stage**2,
        "rules": (2 + 2**2 + 2**3) + (1 + 1) + 3,
        "a rule of what may not be there": 1 + 2 + 1 * 4,
        "conditions on conditions": 1 + (2 + 2 + 4 * 2),
    }


def test_open_architectures_are_valid_where_a_leaf_below_is(space):
    leaves, rng = set(every_leaf(space)), Random(0)
    for _ in range(200):
        arch = tuple(tuple(o for o in options if rng.random() < 0.6) or options[:1] for options in space.full())
        below = leaves.intersection(tuple((o,) for o in leaf) for leaf in product(*arch))
        assert space.valid(arch) == bool(below)
        assert space._leaves.count(arch) == len(below)


def test_draws_are_uniform(space):
    size, rng, each = space.size(), Random(1), 8
    draws = Counter(space.sample(rng) for _ in range(each * size))
    assert set(draws) == set(every_leaf(space))
    chi_square = sum((count - each) ** 2 / each for count in draws.values())
    assert chi_square < size + 6 * (2 * size) ** 0.5  # six deviations above its mean


def test_what_is_used_is_what_some_leaf_below_uses():
    space = ChoiceSpace(DECLARED["stages"](), nothing)
    leaves, rng = list(every_leaf(space)), Random(0)
    for _ in range(60):
        arch = tuple(tuple(o for o in options if rng.random() < 0.5) or options[:1] for options in space.full())
        settled = [space.settled(tuple((o,) for o in leaf)) for leaf in product(*arch)]
        assert set(settled) <= set(leaves)
        paths = {path for leaf in settled for path in facts(space, leaf)}
        used = space._leaves.used(arch)
        assert {slot.path for slot, there in zip(space._leaves.slots, used, strict=True) if there} == paths
        assert space.canonical(space.canonical(arch)) == space.canonical(arch)


def test_notation_of_every_network(space):
    for leaf in space:
        assert space.parse(space.text(leaf)) == leaf
    assert space.parse(space.text(space.full())) == space.full()


def test_a_mutation_takes_away_what_is_then_unused():
    space = ChoiceSpace(choices(depth=integers(0, 2), layer=layer()), nothing)
    deep = space.parse("depth=2 layer(kernel=5 ratio=2)(kernel=5 ratio=2)")
    assert [space.text(leaf) for leaf in space.neighbours(deep)] == [
        "depth=0",
        "depth=1 layer(kernel=5 ratio=2)",
        "depth=2 layer(kernel=3)(kernel=5 ratio=2)",
        "depth=2 layer(kernel=5 ratio=1)(kernel=5 ratio=2)",
        "depth=2 layer(kernel=5 ratio=2)(kernel=3)",
        "depth=2 layer(kernel=5 ratio=2)(kernel=5 ratio=1)",
    ]
    assert all(leaf != other for leaf in space for other in space.neighbours(leaf))
    shallow, rng = space.parse("depth=0"), Random(0)
    children = {space.text(space.crossover(deep, shallow, rng)) for _ in range(50)}
    assert {"depth=0", "depth=2 layer(kernel=5 ratio=2)(kernel=5 ratio=2)"} <= children


def test_values_are_read_by_name():
    space = ChoiceSpace(DECLARED["stages"](), nothing)
    text = "width=24 stage(depth=1 layer(kernel=5 ratio=2) last=b)(depth=2 layer(kernel=3)(kernel=5 ratio=1) last=a)"
    choice = space.choice(space.parse(text))
    assert (choice.width, choice.stage[1].width) == (24, 24)
    assert [len(stage.layer) for stage in choice.stage] == [1, 2]
    assert [layer.kernel for layer in choice.stage[1].layer] == [3, 5]
    assert choice.stage[-1].layer[-1].ratio == 1
    assert [stage.last for stage in choice.stage[:1]] == ["b"]
    with pytest.raises(
        UsageError, match=r"stage\[1\].layer\[0\].ratio is not used .* stage\[1\].layer\[0\].kernel is 5"
    ):
        _ = choice.stage[1].layer[0].ratio
    with pytest.raises(UsageError, match=r"unknown choice of stage\[0\] 'dept'.*did you mean 'depth'"):
        _ = choice.stage[0].dept
    with pytest.raises(IndexError, match="there are 1 layer in this network, and no number 1"):
        _ = choice.stage[0].layer[1]
    with pytest.raises(UsageError, match=r"width is open \(16/24\): read it in choice.mixed\(lambda width: …\)"):
        _ = space.choice(space.full()).width
    with pytest.raises(UsageError, match=r"how many layer there are is open \(1/2\): make them by layer.chain"):
        len(space.choice(space.full()).stage[0].layer)
    other = ChoiceSpace(DECLARED["a rule of what may not be there"](), nothing)
    with pytest.raises(UsageError, match="further is not used in this network: it is where op is big"):
        _ = other.choice(other.parse("op=none")).further


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: one_of(), "the options of a choice are distinct, and at least one, not ()"),
        (lambda: one_of(1, 1.0), "distinct"),
        (lambda: one_of(1, "1"), "distinct"),
        (lambda: one_of("a b"), "written without blanks"),
        (lambda: one_of(None), "options are numbers, texts, True or False, not None"),
        (lambda: one_of(float("nan")), "not nan"),
        (lambda: integers(3, 1), "not 3, 1, 1"),
        (lambda: integers(1, 2.0), "not 1, 2.0, 1"),
        (lambda: floats(0, 1, 0), "larger than 0"),
        (lambda: floats(0, 1, 1e-9), "at most 10000 steps"),
        (lambda: repeated(0, a=one_of(1)), "a whole number of times from 1.* not 0"),
        (lambda: repeated(True, a=one_of(1)), "not True"),
        (lambda: choices(), "repeated choices are at least one choice"),
        (lambda: choices(mixed=one_of(1)), "not 'mixed'"),
        (lambda: choices(_a=one_of(1)), "not '_a'"),
        (lambda: choices(**{"a b": one_of(1)}), "not 'a b'"),
        (lambda: choices(a=3), "declared by one_of, integers, floats or repeated, not as 3"),
        (lambda: choices(3, a=one_of(1)), "a rule is a function of choices.*not 3"),
        (lambda: ChoiceSpace(one_of(1, 2), nothing), "declared by choices"),
        (lambda: ChoiceSpace(choices(lambda: True, a=one_of(1)), nothing), "this one has none"),
        (lambda: ChoiceSpace(choices(lambda b: True, a=one_of(1)), nothing), "unknown choice of a rule 'b'"),
        (lambda: ChoiceSpace(choices(lambda a: False, a=one_of(1)), nothing), "the rules leave no network"),
        (lambda: ChoiceSpace(choices(a=one_of(1).when(b=1), b=one_of(1)), nothing), "unknown choice before a 'b'"),
        (lambda: ChoiceSpace(choices(b=one_of(1, 2), a=one_of(1).when(b=3)), nothing), "option of b.*'3'.*1, 2"),
        (lambda: ChoiceSpace(choices(a=repeated("depht", x=one_of(1)), depth=one_of(1)), nothing), "'depht'"),
        (lambda: ChoiceSpace(choices(n=one_of("a"), a=repeated("n", x=one_of(1))), nothing), "not of 'a'"),
        (lambda: ChoiceSpace(choices(a=repeated(101, b=repeated(100, x=one_of(1)))), nothing), "at most 10000 choices"),
    ],
)  # fmt: skip
def test_what_is_declared_wrongly(declare, message):
    with pytest.raises(UsageError, match=message.replace("()", r"\(\)")):
        declare()


def test_rules_that_tie_too_much_together_are_refused():
    names = [f"x{number}" for number in range(20)]
    rule = eval(f"lambda {', '.join(names)}: True")
    with pytest.raises(UsageError, match="tie choices together in more than 20000 combinations"):
        ChoiceSpace(choices(rule, **dict.fromkeys(names, one_of(*range(4)))), nothing)


def test_a_grid_of_decimals():
    assert floats(0.1, 0.3, 0.1).values == (0.1, 0.2, 0.3)
    assert floats(1, 2, 0.25).values == (1.0, 1.25, 1.5, 1.75, 2.0)
    assert floats(0.5, 1.2, 0.5).values == (0.5, 1.0)


def test_many_layers_are_counted_exactly():
    deep = repeated("depth", **layer().members)
    space = ChoiceSpace(choices(depth=integers(0, 60), layer=deep), nothing)
    assert space.size() == sum(3**depth for depth in range(61))
    leaf = space.sample(Random(0))
    assert space.parse(space.text(leaf)) == leaf
    assert space.choice(leaf).depth > 50, "deep networks are nearly all"
    long = ChoiceSpace(choices(part=repeated(1500, x=one_of(1, 2, 3))), nothing)  # more than Python's recursion
    assert long.size() == 3**1500
    assert long.valid(long.parse(long.text(long.sample(Random(0)))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not say width: 16/24"),
        ("width=16", r"does not say stage\[0\].depth"),
        ("width=17 stage", "unknown option of width '17'"),
        ("width=16 width=16", "names width twice"),
        ("width=16/16", "names an option of width twice"),
        ("width(depth=1)", "takes width for several choices"),
        ("width=16 stage=3", "takes stage for one choice"),
        ("width=16 (depth=1)", "a bracket without a name in front"),
        ("width=16 stage(depth=1 layer(kernel=3) last=a", r"does not close the brackets of stage"),
        ("width=16 stage(depth=1 layer(kernel=3) last=a)", "does not say stage.1..depth"),
        ("width=16 stage(depth=1 layer(kernel=3) last=a)(depth=1 layer(kernel=3) last=a)(", "more than the 2"),
        ("width=16 stage(depth=1 layer(kernel=3) last=a)(depth=1 layer(kernel=3) last=a))", "goes on after its end"),
        (
            "width=16 stage(depth=1 layer(kernel=3) last=a)(depth=1 layer(kernel=3)(kernel=3) last=a)",
            "1..kernel, which",
        ),
        ("width=16 stage(depth=1 layer(kernel=3 ratio=1) last=a)(depth=1 layer(kernel=3) last=a)", "ratio, which the"),
        ("wide=16", "unknown choice 'wide'.*did you mean 'width'"),
        ("width=16 stage(" * 3000, "unknown choice"),
        ("x" * 2_000_000, "more than any architecture"),
    ],
)
def test_texts_that_are_no_networks(text, message):
    space = ChoiceSpace(DECLARED["stages"](), nothing)
    with pytest.raises(UsageError, match=message):
        space.parse(text)


def test_texts_that_break_a_rule_or_say_nothing_too_often():
    rules = ChoiceSpace(DECLARED["rules"](), nothing)
    with pytest.raises(UsageError, match="breaks a rule of the space: width=6 with depth=3 is not allowed"):
        rules.parse("width=6 depth=3 block(heads=1)(heads=1)(heads=1)")
    with pytest.raises(UsageError, match=r"width=5 with block\[0\].heads=2 is not allowed"):
        rules.parse("width=5 depth=1 block(heads=2)")
    silent = ChoiceSpace(
        choices(a=one_of(0, 1), depth=integers(1, 2), layer=repeated("depth", b=one_of(1, 2).when(a=1))), nothing
    )
    assert silent.text(silent.parse("a=0 depth=2 layer()()")) == "a=0 depth=2 layer()()"
    with pytest.raises(UsageError, match="has 1 of layer instead of 2"):
        silent.parse("a=0 depth=2 layer()")


class Times(nn.Module):
    """Multiplies by a number, or by one that is drawn."""

    def __init__(self, factor=None):
        super().__init__()
        self.factor = nn.Parameter(torch.randn(())) if factor is None else factor

    def forward(self, x):
        return self.factor * x


def test_what_is_mixed_is_the_mean_of_the_options():
    declared = choices(op=one_of("a", "b"), k=one_of(2, 6, 10).when(op="a"))
    space = ChoiceSpace(declared, lambda choice, task: choice.mixed(lambda op, k: Times(k if op == "a" else 100)))
    assert space.build(space.full(), TASK)(SINGLE).tolist() == [[[[53.0, 106.0]]]]  # half of 6, half of 100
    for text, factor in (("op=a k=6", 6), ("op=b", 100), ("op=a k=2/6", 4), ("op=a/b k=10", 55)):
        assert torch.equal(space.build(space.parse(text), TASK)(SINGLE), factor * SINGLE), text


def test_rules_leave_combinations_out_of_a_mixture():
    declared = choices(lambda a, b: a != b, a=one_of(1, 2), b=one_of(1, 2))
    space = ChoiceSpace(declared, lambda choice, task: choice.mixed(lambda a, b: Times(10 * a + b)))
    net = space.build(space.full(), TASK)
    assert list(net) == ["a=1_b=2", "a=2_b=1"]
    assert torch.equal(net(SINGLE), 16.5 * SINGLE)


def test_a_chain_of_open_length_is_the_mean_over_its_lengths():
    declared = choices(depth=one_of(0, 1, 3), layer=repeated("depth", k=one_of(2, 4)))
    space = ChoiceSpace(
        declared, lambda choice, task: choice.layer.chain(lambda layer, number: layer.mixed(lambda k: Times(k)))
    )
    net = space.build(space.full(), TASK)
    assert torch.allclose(net(SINGLE), (1 + 3 + 27) / 3 * SINGLE)
    closed = space.build(space.parse("depth=3 layer(k=2)(k=4)(k=4)"), TASK)
    assert type(closed) is nn.Sequential
    assert torch.equal(closed(SINGLE), 32 * SINGLE)
    assert len(space.build(space.parse("depth=0"), TASK)) == 0


def test_outputs_of_several_shapes_are_no_mean():
    with pytest.raises(ValueError, match=r"outputs of several shapes: a \[1, 2\], b \[1, 1\]"):
        Mixed({"a": nn.Linear(3, 2), "b": nn.Linear(3, 1)}, [0.5, 0.5])(torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"after its layers: 0: \[1, 3\], 1: \[1, 1\]"):
        Chain([nn.Linear(3, 1)], [0, 1])(torch.ones(1, 3))


def drawn(choice, task):
    """Weights within mixtures and chains, between them, and two mixtures of the same choice."""
    layers = [
        Times(),
        choice.layer.chain(lambda layer, number: layer.mixed(lambda k, r: nn.Sequential(Times(), Times()))),
    ]
    return nn.Sequential(
        *layers, Times(), choice.mixed(lambda last: Times()), choice.mixed(lambda last: Times()), Times()
    )


def test_weights_stay_when_a_supernet_is_cut():
    declared = choices(
        depth=integers(1, 3), layer=repeated("depth", k=one_of(3, 5), r=floats(0.5, 1, 0.5)), last=one_of("a", "b")
    )
    space = ChoiceSpace(declared, drawn, supernet=True)
    whole = build(space, space.full(), TASK, 3).state_dict()
    assert len(set(map(float, whole.values()))) == len(whole), "every weight is drawn anew"
    for seed in range(10):
        arch = space.full()
        while not is_leaf(arch):
            arch = Random(seed).choice(space.cuts(arch))[2]
            part = build(space, arch, TASK, 3).state_dict()
            assert part.keys() <= whole.keys()
            assert all(torch.equal(weight, whole[name]) for name, weight in part.items())
    other = build(space, arch, TASK, 4).state_dict()
    assert not any(torch.equal(weight, whole[name]) for name, weight in other.items())


def test_an_unknown_choice_is_not_mixed():
    space = ChoiceSpace(choices(kernel=one_of(3, 5)), lambda choice, task: choice.mixed(lambda kernle: nn.Identity()))
    with pytest.raises(UsageError, match=r"unknown choice to mix 'kernle'.*did you mean 'kernel'"):
        space.build(space.full(), TASK)


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    """The spaces of the document, registered from its own text."""
    place = tmp_path_factory.mktemp("documented")
    for name, code in BLOCKS.items():
        (place / name).write_text(code)
    plugins.load([place / name for name in BLOCKS])
    return place


def test_the_documented_spaces_take_25_lines():
    assert set(BLOCKS) == {"my_mobile.py", "my_vit.py", "my_macro.py"}
    for name, code in BLOCKS.items():
        assert len([line for line in code.splitlines() if line.strip()]) <= 25, name
        assert max(map(len, code.splitlines())) <= 120, name


@pytest.mark.parametrize("check", SPACE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["my_mobile", "my_vit"])
def test_documented_space(documented, name, check):
    check(name)


@pytest.mark.usefixtures("documented")
def test_a_declared_space_builds_what_the_one_by_hand_does():
    declared, by_hand, task = SPACES["my_macro"](), SPACES["nasbench_macro"](), Task(7, 3, 16)
    assert declared.size() == by_hand.size() == 3**8
    for arch in map(by_hand.sample, map(Random, range(4))):
        own, other = (build(space, arch, task, 5).state_dict() for space in (declared, by_hand))
        assert own.keys() == other.keys()
        assert all(torch.equal(own[name], other[name]) for name in own)


def test_notations_in_the_document(documented):
    text = (ROOT / "docs" / "choices.md").read_text()
    vit = SPACES["my_vit"]()
    written = re.search(r"^    (width=.*)$", text, flags=re.MULTILINE)[1]
    assert vit.text(vit.parse(written)) == written
    assert vit.size() == 4 * sum((5 * heads) ** depth for heads in (3, 2) for depth in range(1, 5))
    mobile = SPACES["my_mobile"]()
    assert mobile.size() == (6 + 6**2 + 6**3) ** 3


def test_limits_hold_within_a_documented_space(documented):
    space = SPACES["my_mobile"]()
    limited = Limited(space, [parse_limit("params<=2e4")], TASK)
    arch = limited.sample(Random(0))
    for seed in range(2):
        arch = limited.mutate(arch, Random(seed))
        assert counted(space, arch, TASK).params <= 2e4


def test_pictures_have_a_box_for_each_stage(documented):
    space = SPACES["my_mobile"]()
    arch = space.parse(
        "stage(depth=1 layer(kernel=3 expansion=6))(depth=2 layer(kernel=3 expansion=3)(kernel=7 expansion=6))"
        "(depth=1 layer(kernel=5 expansion=3))"
    )
    boxes = [op for _, op in space.graph(arch).nodes(data="op") if op]
    assert boxes == [
        "stage 1; depth 1; layer 1: kernel 3, expansion 6",
        "stage 2; depth 2; layer 1: kernel 3, expansion 3; layer 2: kernel 7, expansion 6",
        "stage 3; depth 1; layer 1: kernel 5, expansion 3",
    ]
    axes = drawing(space.graph(arch)).axes[0]
    spots = [text.get_text().partition("\n")[0] for text in axes.texts]
    assert [spot for spot in spots if spot.startswith("stage")] == ["stage 1", "stage 2", "stage 3"]


def test_a_supernet_is_pruned_to_a_network():
    def small(choice, task):
        def make(layer, number):
            return layer.mixed(lambda kernel: nn.Conv2d(4, 4, kernel, padding=kernel // 2))

        layers = nn.Conv2d(3, 4, 3), choice.layer.chain(make), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return nn.Sequential(*layers, nn.Linear(4, task.classes))

    declared = choices(depth=integers(1, 2), layer=repeated("depth", kernel=one_of(1, 3)))
    space = ChoiceSpace(declared, small, supernet=True)
    result = nas.search(space, "gradsign", "pruning", 20, data="synthetic:size=8,classes=3", batch_size=6)
    assert space.size() == 6
    assert "/" not in result.best.arch
    assert {"depth=1/2 layer(kernel=1/3)(kernel=3)", "depth=2 layer(kernel=1/3)(kernel=1/3)"} <= set(
        result.trials["arch"]
    )
    with pytest.raises(UsageError, match="supernet=True, and a builder that reads open choices by `mixed`"):
        nas.search(ChoiceSpace(declared, small), "gradsign", "pruning", 20, data="synthetic:size=8,classes=3")


def test_the_page_draws_the_best(documented, tmp_path):
    folder = tmp_path / "run"
    nas.search(
        "my_mobile", "params", "random_search", 3, data="synthetic:size=8", plugin=documented / "my_mobile.py",
        run_folder=folder,
    )  # fmt: skip
    page = (folder / "report.html").read_text()
    assert page.count("stage 1") >= 3
