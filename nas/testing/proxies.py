"""The checks of proxies; see `nas.testing`."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from nas.data.minibatch import Minibatch
from nas.probe import Probe
from nas.proxy import PROXIES, Proxy, ProxyFn
from nas.scoring.measurer import Score, build
from nas.scoring.scorer import Scorer
from nas.searcher import SEARCHERS
from nas.space import SPACES
from nas.testing.toys import Transformers, generators, narrow_space, networks, small_minibatch

NEIGHBOURS = (
    "gradsign", "grad_norm", "grasp", "fisher", "zico", "naswot", "jacov", "synflow", "vkdnw", "meco", "zen",
    "az_trainability", "params",
)  # fmt: skip
"""Proxies that together use everything that a probe offers."""


def proxy_gives_a_finite_number_or_a_reason(name: str) -> None:
    for label, text in networks().items():
        for proxy, score in _scores(name, text).items():
            if score.status == "ok":
                assert score.value is not None, f"{proxy} on the {label} network: ok without a value"
                assert math.isfinite(score.value), f"{proxy} on the {label} network: {score.value}"
            else:
                assert score.reason, f"{proxy} on the {label} network: {score.status} without a reason"
    if PROXIES[name].transformers:
        ordinary = Scorer(Transformers(), small_minibatch(), device="cpu")([((1,),)], [PROXIES[name]])[0]
    else:
        ordinary = _scores(name, networks()["ordinary"])
    assert all(s.status in ("ok", "saturated") for s in ordinary.values()), f"an ordinary network fails: {ordinary}"


def proxy_gives_the_same_value_for_the_same_seed(name: str) -> None:
    """Unless the value depends on the machine, and is a different one every time."""
    if _is_the_machines(name):
        return
    for label, text in networks().items():
        assert _values(name, text) == _values(name, text), f"the {label} network has another value the second time"


def proxy_does_not_depend_on_what_was_scored_before(name: str) -> None:
    """Neither within one scorer nor through anything that the proxy's module remembers."""
    if _is_the_machines(name):
        return
    alone = {}
    for label, text in networks().items():
        with _afresh(name) as parts:
            alone[label] = _values(name, text, parts=parts)
    with _afresh(name) as parts:
        scorer = _scorer()
        together = {label: _values(name, text, scorer, parts) for label, text in reversed(networks().items())}
    for label, values in alone.items():
        assert together[label] == values, f"the {label} network has another value after others were scored"


def proxy_does_not_depend_on_who_else_is_asked(name: str) -> None:
    """Nor do the others' scores depend on whether it is asked."""
    parts = _parts(name)
    names = tuple(other for other in NEIGHBOURS if other not in {part.name for part in parts})
    others = [PROXIES[other] for other in names]
    arch = narrow_space().parse(networks()["ordinary"])
    alone = _scorer()([arch], parts)[0]
    apart = _neighbours_alone(names)
    among = _scorer()([arch], [*others, *parts])[0]
    for proxy, score in (alone | apart).items():
        assert _repeatable(proxy, among[proxy]) == _repeatable(proxy, score), (
            f"{proxy} has another score among {len(among) - 1} others"
        )


@cache
def _neighbours_alone(names: tuple[str, ...]) -> dict[str, Score]:
    arch = narrow_space().parse(networks()["ordinary"])
    return _scorer()([arch], [PROXIES[name] for name in names])[0]


def proxy_is_unharmed_by_a_rude_neighbour(name: str) -> None:
    """The neighbour, which zeroes weights and images, disables gradients and leaves hooks, has failed; the other scores
    are the same."""
    parts = _parts(name)
    arch = narrow_space().parse(networks()["ordinary"])
    alone, among = (_scorer()([arch], proxies)[0] for proxies in (parts, [Proxy("a rude neighbour", _rude), *parts]))
    assert among["a rude neighbour"].status == "failed", "the rude neighbour has a score"
    for proxy, score in alone.items():
        assert _repeatable(proxy, among[proxy]) == _repeatable(proxy, score), (
            f"{proxy} has another score beside a rude neighbour"
        )


def _rude(probe: Probe) -> float:
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    probe.images.zero_()
    probe.net.eval()
    for parameter in probe.net.parameters():
        parameter.zero_()
    for module in probe.net.modules():
        module.register_forward_hook(lambda *_: None)
    return float(sum(probe.map_relus(lambda pattern: float(pattern.sum()))))


def proxy_changes_nothing(name: str) -> None:
    """Neither the network, its buffers, modes, hooks and flags, nor the minibatch, nor the generators of the process;
    it may draw from torch's."""
    space, data = narrow_space(), small_minibatch()
    for text in networks().values():
        for proxy in _parts(name):
            drawn = []
            for seed in (1, 2):
                net = build(space, space.parse(text), data.task)
                probe = Probe(net, data.images.clone(), data.labels.clone())
                with generators(seed) as states:
                    before = _state(probe) | states()
                    with suppress(Exception):  # a proxy that fails changes nothing either
                        proxy(probe)
                    after = _state(probe) | states()
                drawn.append(after.pop("torch's generator"))
                changed = [key for key in before | after if not _same(before.get(key), after.get(key))]
                changed.remove("torch's generator")
                assert not changed, f"{name} changes {', '.join(changed)}"
            assert drawn[0] != drawn[1], f"{name} sets torch's generator"


def proxy_uses_labels_only_if_declared(name: str) -> None:
    data = small_minibatch()
    order = torch.randperm(len(data.labels), generator=torch.Generator().manual_seed(1))
    permuted = replace(data, labels=data.labels[order])
    for proxy in _parts(name):
        if not proxy.labels:
            values = [_values(proxy.name, networks()["ordinary"], _scorer(d)) for d in (data, permuted)]
            assert values[0] == values[1], f"{proxy.name} depends on the labels and does not declare it"


def proxy_is_static_if_declared(name: str) -> None:
    """A proxy that may be limited depends on neither weights nor images: other seeds and images change nothing."""
    for proxy in _parts(name):
        if proxy.static:
            for label, text in networks().items():
                values = [_values(proxy.name, text, _scorer(small_minibatch(seed), seed)) for seed in (0, 1)]
                assert values[0] == values[1], f"{proxy.name} is not static: see the {label} network"


PROXY_CHECKS: Sequence[Callable[[str], None]] = (
    proxy_gives_a_finite_number_or_a_reason,
    proxy_gives_the_same_value_for_the_same_seed,
    proxy_does_not_depend_on_what_was_scored_before,
    proxy_does_not_depend_on_who_else_is_asked,
    proxy_is_unharmed_by_a_rude_neighbour,
    proxy_changes_nothing,
    proxy_uses_labels_only_if_declared,
    proxy_is_static_if_declared,
)


def _is_the_machines(name: str) -> bool:
    return any(proxy.machine for proxy in _parts(name))


def _scorer(data: Minibatch | None = None, seed: int = 0) -> Scorer:
    return Scorer(narrow_space(), data or small_minibatch(), seed=seed, device="cpu")


def _parts(name: str) -> list[Proxy]:
    """The proxies of a combination, whose checks are theirs; else the proxy itself."""
    return [PROXIES[part] for part in PROXIES[name].parts] or [PROXIES[name]]


def _scores(
    name: str, text: str, scorer: Scorer | None = None, parts: Sequence[Proxy] | None = None
) -> dict[str, Score]:
    scorer = scorer or _scorer()
    return scorer([scorer.space.parse(text)], parts or _parts(name))[0]


def _values(
    name: str, text: str, scorer: Scorer | None = None, parts: Sequence[Proxy] | None = None
) -> dict[str, float | None]:
    return {proxy: _repeatable(proxy, score)[0] for proxy, score in _scores(name, text, scorer, parts).items()}


def _repeatable(name: str, score: Score) -> tuple[float | None, str, str]:
    """The parts of a score that are the same every time; if it depends on the machine, only whether there is a
    number."""
    the_machines = name in PROXIES and PROXIES[name].machine
    return (score.value and 1.0) if the_machines else score.value, score.status, score.reason


@contextmanager
def _afresh(name: str) -> Iterator[list[Proxy]]:
    """The proxies of ``name`` without any memory: their files run once more, as modules of their own."""
    with PROXIES.put_back(), SEARCHERS.put_back(), SPACES.put_back():
        yield [replace(proxy, function=_run_again(proxy.function)) for proxy in _parts(name)]


def _run_again(function: ProxyFn | None) -> ProxyFn | None:
    module = sys.modules[getattr(function, "__module__", "")]
    spec = importlib.util.spec_from_file_location(module.__name__, module.__file__ or "")
    if spec is None or spec.loader is None:
        return function
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    return getattr(again, getattr(function, "__name__", ""), function)


def _state(probe: Probe) -> dict[str, Any]:
    """Everything that a proxy could change, tensors copied, by its name in a sentence."""
    hooks = ("forward", "forward_pre", "backward", "backward_pre", "state_dict", "load_state_dict_pre")
    tensors = dict(probe.net.named_parameters()) | dict(probe.net.named_buffers())
    tensors |= {"the images": probe.images, "the labels": probe.labels}
    state: dict[str, Any] = {"the network": id(probe.net)}
    for name, tensor in tensors.items():
        state[f"the values of {name}"] = tensor.detach().clone()
        state[f"the tensor {name}"] = id(tensor), tensor.requires_grad, len(tensor._backward_hooks or ())
        state[f"the gradient of {name}"] = deepcopy(tensor.grad)
    for name, module in probe.net.named_modules():
        label = name or "the network"
        state[f"the mode of {label}"] = module.training
        state[f"the module {label}"] = id(module), sorted(set(vars(module)))
        state[f"the hooks of {label}"] = [list(getattr(module, f"_{kind}_hooks", ())) for kind in hooks]
    return state


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor):
        return before.dtype == after.dtype and torch.equal(before, after)
    return type(before) is type(after) and bool(before == after)
