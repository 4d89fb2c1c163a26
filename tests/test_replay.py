"""The probe answers by running a proxy again: one that asks something else, or swallows the suspension, fails."""

import pytest
import torch
from torch import nn

from nas.probe import Probe, ProxyError, measure


@pytest.fixture
def probe():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return Probe(net, torch.randn(4, 3, 8, 8), torch.arange(4) % 2)


def patterns(probe):
    return float(sum(probe.map_relus(lambda active: active.sum())))


def ask_all_at_once(probe, **proxies):
    return {name: value for name, (value, _) in measure(probe, proxies).items()}


def test_another_event_of_the_same_pass_is_refused(probe):
    runs = []

    def fickle(probe):
        runs.append(1)
        return patterns(probe) if len(runs) == 1 else probe.input_gradients().norm()

    values = ask_all_at_once(probe, fickle=fickle, patterns=patterns)
    assert isinstance(values["fickle"], ProxyError)
    assert "the proxy fickle asks for the input of the pass 'batch of 4'" in str(values["fickle"])
    assert values["patterns"] == ask_all_at_once(probe, patterns=patterns)["patterns"]


def test_another_pass_is_refused(probe):
    runs = []

    def fickle(probe):
        runs.append(1)
        return float(len(probe.map_relus(torch.Tensor.sum, samples=None if len(runs) == 1 else 2)))

    assert "of the pass 'batch of 2' where it asked" in str(ask_all_at_once(probe, fickle=fickle)["fickle"])


def test_fewer_questions_are_refused(probe):
    runs = []

    def forgetful(probe):
        runs.append(1)
        return 1.0 if len(runs) > 1 else patterns(probe)

    assert "asks 0 questions where it asked 1 before" in str(ask_all_at_once(probe, forgetful=forgetful)["forgetful"])


@pytest.mark.parametrize("kind", [BaseException, "bare"])
def test_a_proxy_that_swallows_the_suspension_fails(probe, kind):
    def greedy(probe):
        try:
            return patterns(probe)
        except BaseException:
            return -1.0

    def bare(probe):
        try:
            return patterns(probe)
        except:  # noqa: E722  # what this is about
            return -1.0

    values = ask_all_at_once(probe, greedy=greedy if kind is BaseException else bare, patterns=patterns)
    assert "the proxy greedy goes on though its question is not answered yet" in str(values["greedy"])
    assert values["patterns"] > 0


def test_swallowing_that_error_too_is_of_no_use(probe):
    def stubborn(probe):
        total = 0.0
        for _ in range(3):
            try:
                total += patterns(probe)
            except BaseException:
                total -= 1
        return total

    assert isinstance(ask_all_at_once(probe, stubborn=stubborn)["stubborn"], ProxyError)


def test_an_error_of_its_own_after_a_breach_is_told_as_the_breach(probe):
    def confused(probe):
        try:
            patterns(probe)
        except BaseException:
            raise KeyError("lost") from None

    values = ask_all_at_once(probe, confused=confused, patterns=patterns)
    assert isinstance(values["confused"], KeyError), "it asked nothing more, so the error is its own"
    assert values["patterns"] > 0


def test_a_question_that_fails_can_be_caught(probe):
    def careful(probe):
        try:
            return probe.map_relus(lambda active: 1 / 0)
        except ZeroDivisionError:
            return patterns(probe)

    assert ask_all_at_once(probe, careful=careful)["careful"] == patterns(probe)


def test_a_proxy_may_ask_for_more_when_it_has_its_answers(probe):
    def curious(probe):
        more = patterns(probe) > 0
        return float(probe.input_gradients().norm()) if more else 0.0

    assert ask_all_at_once(probe, curious=curious)["curious"] == float(probe.input_gradients().norm())
