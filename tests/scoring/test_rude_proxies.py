"""Whatever a proxy does to the network, the minibatch, the probe or the process: its neighbours' scores, and those of
later networks, are what they would be without it."""

import gc
import os
import random
import re
import signal
import sys
import warnings
from random import Random

import numpy as np
import pytest
import torch
from searches import DATA
from torch import nn

from nas.passes.footprint import Footprint
from nas.passes.surroundings import PROCESS, PYTHON_MODES, TORCH_MODES
from nas.probe import Probe, measure
from nas.proxy import PROXIES, Proxy
from nas.scoring.measurer import Measurer
from nas.scoring.scorer import Scorer
from nas.testing import narrow_space, networks

NEIGHBOURS = ("gradsign", "naswot", "l2_norm", "jacov", "zen", "snip", "params")


def first(probe):
    return next(probe.net.parameters())


def normalisation(probe):
    return next(module for module in probe.net.modules() if isinstance(module, nn.BatchNorm2d))


def convolution(probe):
    return next(module for module in probe.net.modules() if isinstance(module, nn.Conv2d))


def keep(probe, value):
    """A mode that is entered and never left, and not forgotten either."""
    value.__enter__()
    kept.append(value)


kept = []
ON_THE_NETWORK = {
    "zeroes a weight": lambda p: nn.init.zeros_(first(p)),
    "zeroes a weight unrecorded": lambda p: first(p).data.zero_(),
    "writes through numpy": lambda p: first(p).detach().numpy().fill(3.0),
    "another tensor for a weight": lambda p: setattr(first(p), "data", torch.ones_like(first(p))),
    "replaces a weight": lambda p: setattr(convolution(p), "weight", nn.Parameter(convolution(p).weight.detach() * 2)),
    "removes a layer": lambda p: p.net._modules.popitem(),
    "replaces a layer": lambda p: setattr(p.net, "stem", nn.Conv2d(3, 4, 3, padding=1)),
    "no gradients": lambda p: p.net.requires_grad_(False),
    "evaluation mode": lambda p: p.net.eval(),
    "evaluation mode of one layer": lambda p: normalisation(p).eval(),
    "double": lambda p: p.net.double(),
    "bfloat16": lambda p: p.net.to(torch.bfloat16),
    "a buffer": lambda p: normalisation(p).running_var.fill_(9.0),
    "a gradient is left": lambda p: p.forward().sum().backward(),
    "a pass by itself": lambda p: p.net(p.images),
    "a hook": lambda p: convolution(p).register_forward_hook(lambda m, inputs, out: out * 2),
    "a hook before": lambda p: convolution(p).register_forward_pre_hook(lambda m, inputs: inputs[0] * 2),
    "a hook backward": lambda p: convolution(p).register_full_backward_hook(lambda m, grads, out: (grads[0] * 2,)),
    "a hook of a tensor": lambda p: first(p).register_hook(lambda grad: grad * 2),
    "forward": lambda p: setattr(convolution(p), "forward", lambda x: torch.zeros(len(x), 4, *x.shape[2:])),
    "another class": lambda p: setattr(normalisation(p), "__class__", nn.Identity),
    "an attribute": lambda p: setattr(convolution(p), "padding", (0, 0)) or setattr(normalisation(p), "eps", 9.0),
    "the images": lambda p: p.images.zero_(),
    "the images unrecorded": lambda p: p.images.data.add_(1.0),
    "the images want gradients": lambda p: p.images.requires_grad_(),
    "the labels": lambda p: p.labels.zero_(),
}
IN_THE_PROCESS = {
    "no gradients": lambda p: torch.set_grad_enabled(False),
    "inference mode": lambda p: keep(p, torch.inference_mode()),
    "float64": lambda p: torch.set_default_dtype(torch.float64),
    "device": lambda p: torch.set_default_device("meta"),
    "autocast": lambda p: keep(p, torch.autocast("cpu", torch.bfloat16)),
    "anomaly": lambda p: torch.autograd.set_detect_anomaly(True),
    "deterministic": lambda p: torch.use_deterministic_algorithms(True),
    "threads": lambda p: torch.set_num_threads(3),
    "matmul": lambda p: torch.set_float32_matmul_precision("medium"),
    "cudnn": lambda p: setattr(torch.backends.cudnn, "enabled", False),
    "a function mode": lambda p: keep(p, torch.overrides.BaseTorchFunctionMode()),
    "a hook of all modules": lambda p: nn.modules.module.register_module_forward_hook(lambda m, i, out: out * 2),
    "torch's generator": lambda p: torch.manual_seed(99),
    "numpy's generator": lambda p: np.random.seed(99),
    "random's generator": lambda p: random.seed(99),
    "directory": lambda p: os.chdir("/"),
    "environment": lambda p: os.environ.update(OMP_NUM_THREADS="7", RUDE="1"),
    "environment removed": lambda p: os.environ.clear(),
    "standard output": lambda p: setattr(sys, "stdout", None),
    "import path": lambda p: sys.path.clear(),
    "interrupts": lambda p: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "terminations": lambda p: signal.signal(signal.SIGTERM, lambda *_: None),
    "an alarm": lambda p: signal.alarm(600),
    "warnings": lambda p: warnings.simplefilter("error"),
    "warnings shown": lambda p: setattr(warnings, "showwarning", None),
    "recursion": lambda p: sys.setrecursionlimit(170),
    "floating point": lambda p: np.seterr(all="raise"),
    "garbage": lambda p: gc.disable(),
    "tracing": lambda p: sys.setprofile(lambda *_: None),
}
RAISED = {
    "SystemExit": lambda p: sys.exit(0),
    "KeyboardInterrupt": lambda p: (_ for _ in ()).throw(KeyboardInterrupt),
    "GeneratorExit": lambda p: (_ for _ in ()).throw(GeneratorExit),
    "Own": lambda p: (_ for _ in ()).throw(type("Own", (BaseException,), {})("of its own")),
    "RecursionError": lambda p: (lambda f: f(f))(lambda f: f(f)),
    "MemoryError": lambda p: (_ for _ in ()).throw(MemoryError),
}


def before_it_asks(act):
    def rude(probe):
        act(probe)
        return sum(probe.map_blocks(lambda block: block.gradients.abs().sum()))

    return rude


def after_it_has_asked(act):
    def rude(probe):
        value = sum(probe.map_blocks(lambda block: block.gradients.abs().sum()))
        act(probe)
        return value

    return rude


def while_it_is_shown_something(act):
    return lambda probe: sum(probe.map_blocks(lambda block: (act(probe) and 0.0) or block.gradients.abs().sum()))


def without_asking(act):
    return lambda probe: (act(probe) and 1.0) or 1.0


WHEN = (before_it_asks, after_it_has_asked, while_it_is_shown_something, without_asking)


@pytest.fixture(scope="module")
def alone():
    """The neighbours' scores of two networks, without anyone rude."""
    return scores([])


def scores(rude):
    """Of two networks, one after the other, on one scorer: all scores. Those who are rude see only the first."""
    space = narrow_space()
    scorer = Scorer(space, DATA, device="cpu")
    neighbours = [PROXIES[name] for name in NEIGHBOURS]
    first, second = (space.parse(networks()[label]) for label in ("ordinary", "all convolutions"))
    return [*scorer([first], [*rude, *neighbours]), *scorer([second], neighbours)]


def shared():
    """What the process has in common, as far as it can be compared."""
    read = [read() for read, _ in (*TORCH_MODES, *PYTHON_MODES, *PROCESS)]
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_device()
    numbers = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    return read, modes, numbers, len(torch.overrides._get_current_function_mode_stack())


def check(rude, alone):
    """The scores of those who are rude, among neighbours who have theirs."""
    before = shared()
    measured = scores([Proxy(name, function) for name, function in rude.items()])
    assert shared() == before
    for found, expected in zip(measured, alone, strict=True):
        for name, score in expected.items():
            assert (found[name].value, found[name].reason) == (score.value, score.reason), name
    kept.clear()
    return {name: measured[0][name] for name in rude}


@pytest.mark.parametrize("act", ON_THE_NETWORK)
def test_who_changes_the_network_has_failed_and_harms_nobody(act, alone):
    rude = check({when.__name__: when(ON_THE_NETWORK[act]) for when in WHEN}, alone)
    for name, score in rude.items():
        if name != "while_it_is_shown_something":  # the pass itself puts some of it back
            assert (score.status, score.value) == ("failed", None), name
            assert re.match(f"ProxyError: the proxy {name} (changes|has changed) ", score.reason), score


@pytest.mark.parametrize("act", IN_THE_PROCESS)
def test_what_someone_changes_in_the_process_is_put_back(act, alone):
    check({when.__name__: when(IN_THE_PROCESS[act]) for when in (before_it_asks, without_asking)}, alone)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_autocast_that_is_never_left_keeps_no_weight_of_the_past(precision):
    """Entered and not left, it would keep the weights' short copies, for neighbours and for training."""
    space = narrow_space()
    arch = space.parse(networks()["ordinary"])
    neighbours = [PROXIES[name] for name in ("gradsign", "synflow", "zen", "grasp", "snip")]
    rude = Proxy("rude", lambda probe: keep(probe, torch.autocast("cpu", getattr(torch, precision))) or 1.0)
    together, alone = (
        Scorer(space, DATA, device="cpu", precision=precision)([arch], proxies)[0]
        for proxies in ([rude, *neighbours], neighbours)
    )
    assert {name: together[name].value for name in alone} == {name: score.value for name, score in alone.items()}
    assert torch.autocast_increment_nesting() - 1 == torch.autocast_decrement_nesting() == 0
    layer, x = nn.Linear(1, 1, bias=False), torch.ones(1, 1)
    values = []
    for weight in (1.0, 2.0):
        with torch.no_grad():
            layer.weight.fill_(weight)
        with torch.autocast("cpu", getattr(torch, precision)):
            values.append(layer(x).item())
    assert values == [1.0, 2.0]
    kept.clear()


@pytest.mark.parametrize("name", RAISED)
def test_whatever_is_raised_is_a_failure_with_its_reason(name, alone):
    for score in check({when.__name__: when(RAISED[name]) for when in WHEN}, alone).values():
        assert score.status == ("memory" if name == "MemoryError" else "failed")
        assert score.reason.startswith(f"{name}: ")


@pytest.mark.parametrize("change", [
    lambda block: block.gradients.abs_(),
    lambda block: block.gradients.data.zero_(),
    lambda block: block.gradients.detach().numpy().fill(1.0),
    lambda block: block.signs.zero_(),
    lambda block: block.gram.fill_(2.0),
    lambda block: torch.set_grad_enabled(True),
    lambda block: torch.set_default_dtype(torch.float64),
])  # fmt: skip
def test_who_changes_what_it_is_shown_has_failed_and_harms_nobody(change, alone):
    def rude(probe):
        return sum(probe.map_blocks(lambda block: change(block) is None or block.gram.sum()))

    def other(probe):
        return sum(probe.map_blocks(lambda block: (block.gram + block.sign_gram).sum()))

    expected = check({"other": other}, alone)["other"].value
    found = check({"rude": rude, "other": other}, alone)
    assert found["other"].value == expected
    assert found["rude"].reason.startswith("ProxyError: the proxy changes ")


@pytest.mark.parametrize("ask", [Probe.loss_gradients, Probe.half_gradients, Probe.hessian_gradients])
def test_answers_are_each_ones_own(ask, alone):
    """Whatever is done to one, in place: others, and the proxy itself when it is run again, receive it unchanged."""

    def rude(probe):
        total = sum(gradient.sum() for _, gradient in ask(probe))
        for _, gradient in ask(probe):
            gradient.mul_(3.0)
        return total + 0 * sum(probe.map_relus(lambda pattern: pattern.sum()))

    def honest(probe):
        return sum(gradient.sum() for _, gradient in ask(probe))

    assert check({"rude": rude}, alone)["rude"].value == check({"honest": honest}, alone)["honest"].value


@pytest.mark.parametrize("name", ["net", "images", "labels", "seed", "mixed"])
def test_what_a_probe_holds_is_not_for_proxies_to_set(name, alone):
    score = check({"rude": lambda probe: setattr(probe, name, None)}, alone)["rude"]
    assert score.reason == f"AttributeError: the {name} of a probe is not for its proxies to set"


def test_the_list_of_weights_is_each_ones_own(alone):
    assert check({"rude": lambda probe: probe.weights.clear() or 1.0}, alone)["rude"].status == "ok"


def test_random_numbers_of_a_visitor_do_not_depend_on_who_else_draws(alone):
    def drawing(probe):
        return sum(probe.map_blocks(lambda block: torch.rand(1)))

    expected = check({"first": drawing}, alone)["first"].value
    together = check({"first": drawing, "second": lambda probe: drawing(probe)}, alone)
    assert {score.value for score in together.values()} == {expected}


@pytest.mark.parametrize("draw", [np.random.rand, random.random, lambda: torch.rand(1)])
def test_every_generator_starts_from_the_seed(draw):
    proxy, space = Proxy("drawing", lambda probe: draw()), narrow_space()
    arch = space.sample(Random(0))
    values = [Measurer(space, DATA, seed=seed, device="cpu")(arch, [proxy])["drawing"].value for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


def test_a_real_interrupt_ends_the_measuring():
    space = narrow_space()
    interrupted = Proxy("interrupted", lambda probe: os.kill(os.getpid(), signal.SIGINT) or sum(range(10**6)))
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        Measurer(space, DATA, device="cpu")(space.sample(Random(0)), [interrupted])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("modes", [
    torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16),
    lambda: torch.device("cpu"),
])  # fmt: skip
def test_the_modes_of_the_caller_change_no_score(modes, alone):
    with modes():
        found = scores(())
    for now, expected in zip(found, alone, strict=True):
        assert {name: score.value for name, score in now.items()} == {n: score.value for n, score in expected.items()}


def test_the_default_type_of_the_caller_changes_no_score(alone):
    torch.set_default_dtype(torch.float64)
    try:
        found = scores(())
    finally:
        torch.set_default_dtype(torch.float32)
    for now, expected in zip(found, alone, strict=True):
        assert {name: score.value for name, score in now.items()} == {n: score.value for n, score in expected.items()}


@pytest.mark.parametrize("act", ON_THE_NETWORK)
def test_a_footprint_leads_back(act):
    space = narrow_space()
    measurer = Measurer(space, DATA, device="cpu")
    probe = measurer.probe(space.parse(networks()["ordinary"]))
    others = {"the images": probe.images, "the labels": probe.labels}
    footprint = Footprint(probe.net, others)
    expected = measure(probe, {"snip": PROXIES["snip"]})["snip"][0]
    assert footprint.change() is None
    ON_THE_NETWORK[act](probe)
    assert footprint.change() is not None
    footprint.put_back()
    assert footprint.change() is None
    assert measure(probe, {"snip": PROXIES["snip"]})["snip"][0] == expected
