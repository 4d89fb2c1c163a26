"""What every proxy, space and searcher must keep: checks that a third party runs over its own plug-ins.

    from nas.testing import PROXY_CHECKS

    @pytest.mark.parametrize("check", PROXY_CHECKS, ids=lambda check: check.__name__)
    def test_my_proxy(check):
        check("my_proxy")

A check takes the registered name and raises `AssertionError` with what it found.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from nas import plugins
from nas.data.minibatch import Minibatch, minibatch
from nas.probe import Probe, measure
from nas.proxy import PROXIES, Proxy
from nas.registry import options
from nas.scoring.measurer import Score, build
from nas.scoring.scorer import Scorer
from nas.searcher import SEARCHERS
from nas.space import SPACES, Arch, Space, Task, is_leaf
from nas.testing.spaces import SPACE_CHECKS, same_graph

__all__ = ["PROXY_CHECKS", "SEARCHER_CHECKS", "SPACE_CHECKS", "same_graph"]

BUDGET = 80
"""Evaluations of a searcher in its checks."""


def narrow_space() -> Space:
    """NAS-Bench-201 at a width and depth at which a network is scored in milliseconds."""
    plugins.load()
    return SPACES["nasbench201"](widths=(4, 8), repeats=1)


def networks() -> dict[str, str]:
    """Architectures of `narrow_space` on which every proxy gives a number or says why not."""
    return {
        "ordinary": "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|",
        "all convolutions": narrow_space().text(((3,),) * 6),
        "all skip": narrow_space().text(((1,),) * 6),
        "disconnected": "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|",
        "supernet": narrow_space().text(narrow_space().full()),
    }


class Transformers(Space):
    """Small vision transformers of one or two blocks; their 12 tokens are the channels."""

    slots = (("1", "2"),)

    def build(self, arch: Arch, task: Task) -> nn.Module:
        layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        patches = nn.Conv2d(task.channels, 12, task.size // 4, stride=task.size // 4)
        blocks = nn.TransformerEncoder(layer, 1 + arch[0][0])
        return nn.Sequential(patches, nn.Flatten(2), blocks, nn.Flatten(), nn.Linear(12 * 16, task.classes))


# Proxies


def proxy_gives_a_finite_number_or_a_reason(name: str) -> None:
    for label, text in networks().items():
        for proxy, score in _scores(name, text).items():
            if score.status == "ok":
                assert score.value is not None, f"{proxy} on the {label} network: ok without a value"
                assert math.isfinite(score.value), f"{proxy} on the {label} network: {score.value}"
            else:
                assert score.reason, f"{proxy} on the {label} network: {score.status} without a reason"
    if PROXIES[name].transformers:
        ordinary = Scorer(Transformers(), _minibatch(), device="cpu")([((1,),)], [PROXIES[name]])[0]
    else:
        ordinary = _scores(name, networks()["ordinary"])
    assert all(s.status in ("ok", "saturated") for s in ordinary.values()), f"an ordinary network fails: {ordinary}"


def proxy_gives_the_same_value_for_the_same_seed(name: str) -> None:
    for text in networks().values():
        assert _values(name, text) == _values(name, text), text


def proxy_does_not_depend_on_what_was_scored_before(name: str) -> None:
    alone = {label: _values(name, text) for label, text in networks().items()}
    scorer = _scorer()
    together = {label: _values(name, text, scorer) for label, text in reversed(networks().items())}
    assert alone == together


def proxy_does_not_depend_on_who_else_is_asked(name: str) -> None:
    others = [PROXIES[other] for other in PROXIES if not PROXIES[other].parts and PROXIES[other].initialisations == 1]
    space, text = narrow_space(), networks()["ordinary"]
    alone = _values(name, text)
    everyone = list({proxy.name: proxy for proxy in [*others, *_parts(name)]}.values())
    among = Scorer(space, _minibatch(), device="cpu")([space.parse(text)], everyone)[0]
    assert alone == {proxy: among[proxy].value for proxy in alone}


def proxy_changes_nothing(name: str) -> None:
    """Not the network, its buffers, modes and flags, not the minibatch, not torch's generator."""
    space, data = narrow_space(), _minibatch()
    for text in networks().values():
        net = build(space, space.parse(text), data.task)
        before, images, labels = _state(net), data.images.clone(), data.labels.clone()
        torch.manual_seed(0)
        generator = torch.get_rng_state()
        measure(Probe(net, data.images, data.labels), {proxy.name: proxy for proxy in _parts(name)})
        assert torch.equal(generator, torch.get_rng_state()), f"{name} moves torch's generator"
        assert torch.equal(images, data.images), f"{name} changes the images"
        assert torch.equal(labels, data.labels), f"{name} changes the labels"
        after = _state(net)
        changed = [key for key in before if not _same(before[key], after[key])]
        assert not changed, f"{name} changes {changed}"


def proxy_uses_labels_only_if_declared(name: str) -> None:
    data = _minibatch()
    order = torch.randperm(len(data.labels), generator=torch.Generator().manual_seed(1))
    permuted = Minibatch(data.images, data.labels[order], data.classes)
    for proxy in _parts(name):
        if not proxy.labels:
            text = networks()["ordinary"]
            values = [_values(proxy.name, text, Scorer(narrow_space(), d, device="cpu")) for d in (data, permuted)]
            assert values[0] == values[1], f"{proxy.name} depends on the labels and does not declare it"


PROXY_CHECKS: Sequence[Callable[[str], None]] = (
    proxy_gives_a_finite_number_or_a_reason,
    proxy_gives_the_same_value_for_the_same_seed,
    proxy_does_not_depend_on_what_was_scored_before,
    proxy_does_not_depend_on_who_else_is_asked,
    proxy_changes_nothing,
    proxy_uses_labels_only_if_declared,
)


def _minibatch() -> Minibatch:
    return minibatch("synthetic:classes=3,size=8", 12, seed=0)


def _scorer() -> Scorer:
    return Scorer(narrow_space(), _minibatch(), device="cpu")


def _parts(name: str) -> list[Proxy]:
    """A combination's checks are those of its proxies."""
    return [PROXIES[part] for part in PROXIES[name].parts] or [PROXIES[name]]


def _scores(name: str, text: str, scorer: Scorer | None = None) -> dict[str, Score]:
    scorer = scorer or _scorer()
    return scorer([scorer.space.parse(text)], _parts(name))[0]


def _values(name: str, text: str, scorer: Scorer | None = None) -> dict[str, float | None]:
    return {proxy: score.value for proxy, score in _scores(name, text, scorer).items()}


def _state(net: nn.Module) -> dict[str, Any]:
    return (
        {f"tensor {name}": tensor.clone() for name, tensor in net.state_dict().items()}
        | {f"requires_grad of {name}": parameter.requires_grad for name, parameter in net.named_parameters()}
        | {f"gradient of {name}": deepcopy(parameter.grad) for name, parameter in net.named_parameters()}
        | {f"mode of {name}": module.training for name, module in net.named_modules()}
        | {f"hooks of {name}": len(module._forward_hooks) for name, module in net.named_modules()}
    )


def _same(before: Any, after: Any) -> bool:
    return torch.equal(before, after) if isinstance(before, torch.Tensor) else before == after


# Searchers


class ToySpace(Space):
    """Eight slots of four options; nothing is ever built."""

    slots = (("a", "b", "c", "d"),) * 8
    supernet = True

    def build(self, arch: Arch, task: Task) -> nn.Module:
        raise AssertionError("a searcher never builds a network")


def additive(arch: Arch) -> float:
    """A toy objective: each slot has its best option; an open slot counts the mean of its options."""
    return sum(sum(-abs(o - slot % 4) for o in options) / len(options) for slot, options in enumerate(arch))


def history(
    name: str,
    seed: int = 0,
    objective: Callable[[Arch], float] = additive,
    known: Sequence[float] = (),
    budget: int = BUDGET,
) -> list[tuple[Arch, float]]:
    """What a searcher proposes on the toy space and is told; the first scores come from ``known``."""
    search, proposals = SEARCHERS[name].start(ToySpace(), Random(seed), small_options(name))
    many = SEARCHERS[name].objectives == "many"
    trials: list[tuple[Arch, float]] = []
    while proposals and len(trials) < budget:
        start = len(trials)
        for arch in proposals[: budget - start]:
            trials.append((arch, known[len(trials)] if len(trials) < len(known) else objective(arch)))
        if len(trials) == budget:
            break
        try:
            scores = [score for _, score in trials[start:]]
            proposals = search.send([(score, -abs(score)) for score in scores] if many else scores)
        except StopIteration:
            break
    return trials


def small_options(name: str) -> dict[str, Any]:
    """Whole-number options at most 10, so that a population leaves room in the budget."""
    return {option: min(value, 10) for option, value in options(SEARCHERS[name].function).items() if type(value) is int}


def searcher_keeps_the_budget(name: str) -> None:
    for budget in (1, 7, BUDGET):
        assert 1 <= len(history(name, budget=budget)) <= budget


def searcher_proposes_what_belongs_to_the_space(name: str) -> None:
    for arch, _ in history(name):
        assert len(arch) == len(ToySpace.slots)
        assert all(options and set(options) <= set(range(4)) for options in arch)
        assert SEARCHERS[name].supernet or is_leaf(arch), "only a strategy that declares it may propose open slots"


def searcher_depends_on_its_seed_alone(name: str) -> None:
    assert history(name) == history(name)
    if not SEARCHERS[name].supernet:
        assert history(name, seed=0) != history(name, seed=1), "the seed changes nothing"


def searcher_repeats_itself_in_another_process(name: str) -> None:
    code = (
        "import json, sys; from nas import plugins, testing; plugins.load(json.loads(sys.argv[2]));"
        "print(json.dumps(testing.history(sys.argv[1])))"
    )
    file = sys.modules[SEARCHERS[name].function.__module__].__file__
    extra = [file] if SEARCHERS[name].function.__module__.startswith("nas_plugin_") else []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, name, json.dumps(extra)],
            capture_output=True, text=True, check=False, cwd=Path(plugins.__file__).parent.parent,
            env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == json.loads(json.dumps(history(name)))


def searcher_continues_identically_from_any_truncation(name: str) -> None:
    whole = history(name)
    scores = [score for _, score in whole]
    for cut in range(len(whole) + 1):
        asked: list[Arch] = []

        def ask(arch: Arch, asked: list[Arch] = asked) -> float:
            asked.append(arch)
            return additive(arch)

        assert history(name, objective=ask, known=scores[:cut]) == whole
        assert len(asked) == len(whole) - cut, "a known score was asked for again"


def searcher_survives_ties_and_failures(name: str) -> None:
    full = len(history(name))
    outcomes: dict[str, Callable[[Arch], float]] = {
        "all equal": lambda arch: 0.0,
        "all failed": lambda arch: -math.inf,
        "every other failed": lambda arch: additive(arch) if sum(map(sum, arch)) % 2 else -math.inf,
    }
    for label, objective in outcomes.items():
        assert len(history(name, objective=objective)) == full, f"{label}: it stopped early"


def searcher_beats_random_sampling(name: str) -> None:
    """On an additive objective, over 20 seeds, the mean of the best is not below that of random sampling."""

    def mean_of_best(searcher: str) -> float:
        best = [max(s for a, s in history(searcher, seed) if is_leaf(a)) for seed in range(20)]
        return sum(best) / len(best)

    assert mean_of_best(name) >= mean_of_best("random_search")


SEARCHER_CHECKS: Sequence[Callable[[str], None]] = (
    searcher_keeps_the_budget,
    searcher_proposes_what_belongs_to_the_space,
    searcher_depends_on_its_seed_alone,
    searcher_repeats_itself_in_another_process,
    searcher_continues_identically_from_any_truncation,
    searcher_survives_ties_and_failures,
    searcher_beats_random_sampling,
)
