"""Running a network in a pass: it is left as it was, draws nothing, and recomputes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn

from nas.passes.draws import Draws, generators_of_files
from nas.passes.intercept import Intercept, no_normalisation, normalising
from nas.passes.precision import computing_in, number_type
from nas.passes.recomputation import without_recomputation
from nas.passes.state import restored

Result = TypeVar("Result")


class Run(Protocol):
    def __call__(
        self, images: Tensor, intercept: AbstractContextManager[Any], compute: Callable[[Tensor], Any] = ...
    ) -> Any:
        """The result of ``compute``, usually the network itself, for a copy of ``images`` within ``intercept``."""


_PARTS_THAT_DRAW: WeakKeyDictionary[nn.Module, WeakSet[nn.Module]] = WeakKeyDictionary()
"""The modules of each network that are known to draw random numbers in training mode."""

_UNEXPLAINED: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
"""How often a generator moved while a network ran that drew nothing when run again: because of another thread, say."""

MAX_UNEXPLAINED = 3


class Drawn(Exception):
    """A network drew random numbers. When the pass is made again, the parts that drew are in evaluation mode."""

    def __init__(self, images: Tensor) -> None:
        super().__init__("the network drew random numbers")
        self.images = images


@contextmanager
def untouched(net: nn.Module) -> Iterator[Run]:
    """A function that runs ``net`` in training mode; afterwards it is restored (see `nas.passes.state.restored`).

    It runs on a copy of the images, which it may write to, in their precision (see `nas.passes.precision`), and without
    recomputing activations in the backward pass. A score is a function of the network, not of a draw: parts that draw
    random numbers in training mode are put into evaluation mode, they themselves but not their own parts. For dropout
    and stochastic depth that is the value without the draw.

    Raises:
        Drawn: (on running) it drew random numbers: the pass is to be made again (`again`).
        ValueError: it draws random numbers in evaluation mode too, or its layers cannot be seen.
    """
    for name, module in net.named_modules():
        if isinstance(module, torch.jit.ScriptModule) and any(parameter.ndim > 1 for parameter in module.parameters()):
            raise ValueError(f"{name or 'the network'} is compiled by TorchScript, so that its layers cannot be seen")
    try:
        with _prepared(net) as generators:

            def run(
                images: Tensor, intercept: AbstractContextManager[Any], compute: Callable[[Tensor], Any] = net
            ) -> Any:
                draws, dtype = Draws(images.device, generators), number_type(net, images)
                own = images.clone()
                try:
                    with intercept, computing_in(dtype):
                        result = compute(own)
                except RuntimeError as error:
                    if dtype == torch.float64 and "ouble" in str(error):
                        raise ValueError("a layer of the network does not compute in float64") from error
                    raise
                finally:
                    drawn = draws.undo()
                if drawn:
                    raise Drawn(images)
                return result

            yield run
    except Drawn as drawn:
        _find_parts_that_draw(net, drawn.images)
        raise


def again(measure: Callable[[], Result]) -> Result:
    """The result of ``measure``, which is called again as long as it meets parts that draw."""
    while True:
        try:
            return measure()
        except Drawn:
            pass


@contextmanager
def _prepared(net: nn.Module) -> Iterator[list[Any]]:
    """A context with the generators that ``net`` may draw from, in which it can run; afterwards it is restored."""
    with restored(net) as contents, without_recomputation():
        if not all(module.training for module in net.modules()):
            net.train()
        for module in _PARTS_THAT_DRAW.get(net, ()):
            module.training = False
        yield [*contents.generators, *generators_of_files(net)]


def _find_parts_that_draw(net: nn.Module, images: Tensor) -> None:
    """Runs ``net`` once more, and remembers the parts that draw.

    When a generator has moved, the cause is the innermost running module that is in training mode: a module inside it
    that draws in evaluation mode does so because of one around it.
    """
    running: list[tuple[str, nn.Module]] = []
    drawing: list[nn.Module] = []
    with _prepared(net) as generators:
        draws = Draws(images.device, generators)

        def look() -> None:
            if draws.undo() and running:
                part = next((module for _, module in reversed(running) if module.training), None)
                if part is None:
                    place = f" in {running[-1][0]!r}" if running[-1][0] else ""
                    raise ValueError(
                        f"the network draws random numbers{place}, also in evaluation mode: its score would be one of "
                        f"the draw"
                    )
                drawing.append(part)

        def enter(module: nn.Module, inputs: Any) -> None:
            look()
            running.append((names[module], module))

        def leave(module: nn.Module, inputs: Any, out: Any) -> None:
            look()
            running.pop()

        names = {module: name for name, module in net.named_modules()}
        for module in names:
            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)
        with torch.no_grad(), Intercept(normalising(no_normalisation)), computing_in(number_type(net, images)):
            net(images.clone())
    if drawing:
        _PARTS_THAT_DRAW.setdefault(net, WeakSet()).update(drawing)
    elif _UNEXPLAINED.setdefault(net, 0) < MAX_UNEXPLAINED:
        _UNEXPLAINED[net] += 1
    else:
        raise ValueError("the network draws random numbers, now and then: its score would be one of the draw")
