"""Networks that do what most do not, by kind, and the slow, obviously correct gradients of one image alone."""

import random
import warnings
from copy import deepcopy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

RANDOM, NUMPY, TORCH = random.Random(3), np.random.default_rng(3), torch.Generator()


class Plain(nn.Module):
    """A convolution, a hidden layer on its features [samples, 8], a classifier of three classes."""

    def __init__(self):
        super().__init__()
        self.stem, self.hidden, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 8), nn.Linear(8, 3)

    def features(self, x):
        return F.relu(self.stem(x)).mean((2, 3))

    def forward(self, x):
        return self.head(F.relu(self.hidden(self.features(x))))


def of(function):
    """A network that gives ``function(network, features)``."""

    class Network(Plain):
        def forward(self, x):
            return function(self, self.features(x))

    return Network


def made(network, seed=0, samples=7, dtype=torch.float64):
    """(network, images [samples, 3, 8, 8], labels of three classes)."""
    torch.manual_seed(seed)
    net = network().to(dtype)
    return net, torch.randn(samples, 3, 8, 8, dtype=dtype), torch.arange(samples) % 3


def alone(net, images, labels):
    """The loss gradients of every parameter of more than one dimension, [samples, weights] by name: each image meets a
    copy of the network of its own, in training mode as it stands."""
    rows = {}
    for image, label in zip(images, labels, strict=True):
        own = deepcopy(net)
        F.cross_entropy(own(image[None]).reshape(1, -1), label[None]).backward()
        for name, parameter in own.named_parameters():
            if parameter.ndim > 1:
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                gradient = torch.view_as_real(gradient) if gradient.is_complex() else gradient
                rows.setdefault(name, []).append(gradient.flatten())
    return {name: torch.stack(gradients) for name, gradients in rows.items()}


# Networks in which samples meet


def less_the_mean(x):
    return x - x.mean(0, keepdim=True)


with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
    scripted = torch.jit.script(less_the_mean)


class MixedBackwards(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient - gradient.mean(0)


def kept(features, number):
    """1 for the ``number`` samples of the largest features, and else 0: [samples, 1]."""
    chosen = features.sum(1).topk(max(1, number)).indices
    return torch.zeros(len(features), dtype=features.dtype).scatter(0, chosen, 1.0)[:, None]


def hooked(net, f):
    y = net.hidden(f)
    y.register_hook(lambda gradient: gradient - gradient.mean(0))
    return net.head(y)


def hooked_node(net, f):
    y = net.hidden(f)
    y.grad_fn.register_hook(lambda gradients, _: tuple(g - g.mean() for g in gradients))
    return net.head(y)


def hooked_if_differentiated(net, f):
    y = net.hidden(f)
    if y.requires_grad:
        y.register_hook(lambda gradient: gradient - gradient.mean(0))
    return net.head(y)


def ghost(net, f):
    parts = [F.batch_norm(part.reshape(len(part), 4, 2), None, None, training=True) for part in net.hidden(f).chunk(3)]
    return net.head(torch.cat(parts).flatten(1))


def windows_normalised(net, f):
    rows = f.repeat_interleave(3, 0) * torch.arange(1.0, 4, dtype=f.dtype).repeat(len(f))[:, None]
    return net.head(F.relu(F.batch_norm(net.hidden(rows), None, None, training=True)).reshape(-1, 3, 8).mean(1))


MIXING = {
    "threshold": lambda net, f: net.head(net.hidden(f) * (1 + (f.sum(1) > f.sum(1).mean()).to(f)[:, None])),
    "values that are not finite replaced": lambda net, f: net.head(net.hidden(f) - torch.nan_to_num(f).mean(0)),
    "half of the samples": lambda net, f: net.head(net.hidden(f) * kept(f, len(f) // 2)),
    "all samples but one": lambda net, f: net.head(net.hidden(f) * kept(f, len(f) - 1)),
    "sorted": lambda net, f: net.head(net.hidden(f).sort(0).values),
    "softmax": lambda net, f: net.head(net.hidden(f).softmax(0)),
    "running sum": lambda net, f: net.head(net.hidden(f).cumsum(0)),
    "rolled": lambda net, f: net.head(net.hidden(f).roll(1, 0)),
    "flipped": lambda net, f: net.head(net.hidden(f).flip(0)),
    "contrast": lambda net, f: net.head(net.hidden(f)) + (f @ f.T).logsumexp(1, keepdim=True),
    "detached mean": lambda net, f: net.head(net.hidden(f) - net.hidden(f).mean(0).detach()),
    "the gradient alone": lambda net, f: net.head(net.hidden(f) + f.mean(0) - f.mean(0).detach()),
    "no effect yet": lambda net, f: net.head(f + 0 * net.hidden(f.mean(0, keepdim=True)).expand_as(f)),
    "clipped by the largest": lambda net, f: net.head(net.hidden(f).clamp(max=0.3 * f.max())),
    "quantile": lambda net, f: net.head(net.hidden(f) * (f >= f.quantile(0.3, 0)).to(f)),
    "several samples": lambda net, f: net.head(net.hidden(f) * 2 if len(f) > 1 else net.hidden(f)),
    "more than four samples": lambda net, f: net.head(net.hidden(f) - (f.mean(0) if f.shape[0] > 4 else 0)),
    "by their number": lambda net, f: net.head(net.hidden(f) / f.size(0)),
    "rows one by one": lambda net, f: net.head(torch.stack([net.hidden(row) + i for i, row in enumerate(f)])),
    "ghost batch norm": ghost,
    "batch norm of windows": windows_normalised,
    "scripted": lambda net, f: net.head(net.hidden(f) + scripted(net.hidden(f))),
    "squeezed": lambda net, f: net.head(net.hidden(f.unsqueeze(2).squeeze())),
}

MIXING_IN_LOOPS = {
    "backward pass": lambda net, f: net.head(MixedBackwards.apply(net.hidden(f))),
    "hook": hooked,
    "hook on a node": hooked_node,
    "hook where there is a gradient": hooked_if_differentiated,
    "number": lambda net, f: net.head(net.hidden(f) * f.mean().item()),
    "array": lambda net, f: net.head(net.hidden(f) - torch.from_numpy(f.detach().numpy().mean(0))),
}
"""Those of which `torch.func.vmap` cannot run."""


class RoutedExperts(Plain):
    """Each expert takes half of the samples at most; their weights are no module's."""

    def __init__(self):
        super().__init__()
        self.experts = nn.Parameter(torch.randn(2, 8, 8))

    def forward(self, x):
        f = self.features(x)
        expert, out = self.hidden(f)[:, :2].argmax(1), torch.zeros_like(f)
        for number in range(2):
            rows = torch.nonzero(expert == number)[:, 0][: max(1, len(f) // 2)]
            if len(rows):
                out[rows] = F.linear(f[rows], self.experts[number])
        return self.head(out)


class HookedModule(Plain):
    def __init__(self):
        super().__init__()
        self.hidden.register_full_backward_hook(lambda module, _, out: tuple(g - g.mean(0) for g in out)[:1])


class HookedWeight(Plain):
    """Its weight has a hook, which no copy of a tensor has: a copy of the network makes it again."""

    def __init__(self):
        super().__init__()
        self.hidden.weight.register_hook(lambda gradient: gradient.triu())

    def __deepcopy__(self, memo):
        own = HookedWeight().to(self.hidden.weight.dtype)
        own.load_state_dict(self.state_dict())
        return own


class Averaging(Plain):
    """Features minus a running mean, which is a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x):
        f = self.features(x)
        with torch.no_grad():
            self.mean.mul_(0.9).add_(f.mean(0), alpha=0.1)
        return self.head(self.hidden(f - self.mean))


LOOPED = {name: of(function) for name, function in MIXING_IN_LOOPS.items()} | {
    "routed experts": RoutedExperts,
    "hook of a module": HookedModule,
    "hook of a weight": HookedWeight,
    "running mean": Averaging,
}


# Networks that draw


class DropPath(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self.keep = keep

    def forward(self, x):
        if not self.training:
            return x
        return x / self.keep * (self.keep + torch.rand(len(x), 1).to(x)).floor()


class StochasticDepth(Plain):
    def __init__(self):
        super().__init__()
        self.first, self.second = DropPath(0.8), DropPath(0.5)

    def forward(self, x):
        f = self.features(x)
        return self.head(self.second(f) + self.first(self.hidden(f)))


class Noise(nn.Module):
    """It draws whatever its mode."""

    def forward(self, x):
        return x + torch.randn_like(x)


class NoisyInTraining(Plain):
    def __init__(self):
        super().__init__()
        self.noise = Noise()

    def forward(self, x):
        f = self.features(x)
        return self.head(self.hidden(self.noise(f) if self.training else f))


class RecurrentDropout(Plain):
    def __init__(self):
        super().__init__()
        self.recurrent = nn.LSTM(8, 8, 2, batch_first=True, dropout=0.5)

    def forward(self, x):
        return self.head(self.hidden(self.recurrent(self.stem(x).flatten(2).transpose(1, 2))[0].mean(1)))


def in_training(function):
    """A network in which ``function(features)`` takes the features' place in training mode."""
    return of(lambda net, f: net.head(net.hidden(function(f) if net.training else f)))


QUIET_IN_EVALUATION = {
    "stochastic depth": StochasticDepth,
    "noise of another module": NoisyInTraining,
    "recurrent dropout": RecurrentDropout,
    "bernoulli_": in_training(lambda f: f * f.new_empty(len(f), 1).bernoulli_(0.5) / 0.5),
    "bernoulli": in_training(lambda f: f * torch.bernoulli(torch.full_like(f, 0.5))),
    "uniform_": in_training(lambda f: f + torch.empty_like(f).uniform_()),
    "exponential_": in_training(lambda f: f + torch.empty_like(f).exponential_()),
    "rand": in_training(lambda f: f * torch.rand(8)),
    "randint": in_training(lambda f: f * torch.randint(5, (8,))),
    "randn_like": in_training(lambda f: f + torch.randn_like(f)),
    "mixup": in_training(lambda f: 0.7 * f + 0.3 * f[torch.randperm(len(f))]),
    "multinomial": in_training(lambda f: f[:, torch.multinomial(torch.ones(8), 8)]),
    "randomised leaky ReLU": of(lambda net, f: net.head(F.rrelu(net.hidden(f) - 0.3, training=net.training))),
    "numpy": in_training(lambda f: f * np.random.rand()),
    "random": in_training(lambda f: f * random.random()),
    "a generator of torch": in_training(lambda f: f * torch.rand(8, generator=TORCH)),
    "a generator of numpy": in_training(lambda f: f * NUMPY.random()),
    "a generator of random": in_training(lambda f: -f if RANDOM.random() < 0.5 else f),
    "distribution": in_training(lambda f: f + torch.distributions.Normal(0.0, 1.0).sample((8,))),
}

ALWAYS_DRAWING = {
    "noise": of(lambda net, f: net.head(net.hidden(f + torch.randn_like(f)))),
    "noise without effect yet": of(lambda net, f: net.head(f + 0 * net.hidden(torch.randn_like(f)))),
    "gumbel softmax": of(lambda net, f: net.head(F.gumbel_softmax(net.hidden(f)))),
    "fractional pooling": of(
        lambda net, f: net.head(
            net.hidden(f + F.fractional_max_pool2d(f[:, :, None, None].expand(-1, -1, 8, 8), 2, 4).sum())
        )
    ),
    "numpy": of(lambda net, f: net.head(net.hidden(f) * np.random.rand())),
    "random": of(lambda net, f: net.head(net.hidden(f) if random.random() < 0.5 else f)),
    "a generator": of(lambda net, f: net.head(net.hidden(f) * NUMPY.random())),
}


# Networks that recompute


class Recomputing(nn.Module):
    def __init__(self, on=True, reentrant=False):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3))
        self.second = nn.Sequential(nn.Conv2d(6, 6, 3), nn.ReLU())
        self.head = nn.Linear(6, 3)
        self.on, self.reentrant = on, reentrant

    def forward(self, x):
        for part in (self.first, self.second):
            x = checkpoint(part, x, use_reentrant=self.reentrant) if self.on else part(x)
        return self.head(x.mean((2, 3)))


class RunAgain(torch.autograd.Function):
    """Recomputation of a network's own."""

    @staticmethod
    def forward(ctx, function, x):
        ctx.function = function
        ctx.save_for_backward(x)
        with torch.no_grad():
            return function(x)

    @staticmethod
    def backward(ctx, gradient):
        with torch.enable_grad():
            x = ctx.saved_tensors[0].detach().requires_grad_()
            y = ctx.function(x)
        torch.autograd.backward(y, gradient)
        return None, x.grad


class RecomputingItself(Plain):
    def forward(self, x):
        return self.head(F.relu(RunAgain.apply(self.hidden, self.features(x))))
