"""Networks that a user already has: models of timm, and functions or classes in Python files."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from inspect import Parameter, signature
from os.path import expanduser
from pathlib import Path
from types import ModuleType
from typing import Any, final

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from nas.errors import missing_extra
from nas.files import check_may_run
from nas.space import Arch, Space, Task, space

TIMM = "timm:"
BARE = re.compile(r"[\w.-]+(?<!\.py)")
"""A model's name alone, as tables of timm's own results have it."""

Make = Callable[[Task], Any]


@final
class NetworkSpace(Space):
    """Networks by name, ``timm:MODEL`` (or ``MODEL`` alone) or ``FILE.py:FACTORY``, in one slot whose options are those
    named so far.

    Reading a new name adds it, so a network's number is valid for this object alone; only its name lasts.

    Args:
        names: networks to begin with, which a search can choose from.
    """

    predicts = ("classes", "next", "masked")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.slots = ((),)
        self._makers: dict[str, Make] = {}
        self._modules: dict[Path, ModuleType] = {}
        for name in names:
            self.parse(name)

    def build(self, arch: Arch, task: Task) -> nn.Module:
        ((option,),) = arch
        name = self.slots[0][option]
        try:
            net = self._makers[name](task)
            if isinstance(net, nn.Module) and any(map(is_lazy, net.parameters())):
                with torch.no_grad():
                    net.eval()(task.inputs(1))
                net.train()
        except Exception as error:  # third-party code may raise anything: in one line
            raise ValueError(f"{name} raises {_reason(error)}") from error
        if not isinstance(net, nn.Module):
            raise ValueError(f"{name} returns {type(net).__name__} instead of a network, a torch.nn.Module")
        return net

    def parse(self, text: str) -> Arch:
        name = text.strip()
        name = TIMM + name if BARE.fullmatch(name) else name
        if name not in self._makers:
            self._makers[name] = _timm_model(name) if name.startswith(TIMM) else self._from_file(name)
            self.slots = (tuple(self._makers),)
        return ((self.slots[0].index(name),),)

    def origins(self, arch: Arch) -> tuple[ModuleType, ...]:
        ((option,),) = arch
        name = self.slots[0][option]
        if name.startswith(TIMM):
            return (import_module("timm"),)
        return (self._modules[Path(expanduser(name.rpartition(":")[0])).resolve()],)

    def _from_file(self, name: str) -> Make:
        file, colon, attribute = name.rpartition(":")
        if not (file and colon and attribute):
            raise ValueError(f"{name!r} names no network: those are timm:MODEL and FILE.py:FACTORY")
        try:
            module = self._module(Path(expanduser(file)).resolve(), file)
        except OSError as error:
            raise ValueError(f"{file[:200]} cannot be read: {error.strerror}") from None
        if attribute not in vars(module):
            own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
            raise ValueError(
                f"{file} has no {attribute!r}, only {', '.join(own) or 'nothing'}{_nearest(attribute, own)}"
            )
        return _called_for_the_task(name, vars(module)[attribute])

    def _module(self, path: Path, name: str) -> ModuleType:
        """The file as a module, run once; it can import the modules beside it, as when Python runs it."""
        if path in self._modules:
            return self._modules[path]
        spec = spec_from_file_location(f"nas_networks_{path.stem}_{len(self._modules)}", path)
        if not path.is_file() or spec is None or spec.loader is None:
            raise ValueError(f"{name} {'is no Python file' if path.exists() else 'does not exist'}")
        check_may_run(name)
        module = sys.modules[spec.name] = module_from_spec(spec)
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))
        try:
            exec(compile(path.read_bytes(), path, "exec"), vars(module))  # cached bytecode may be a second old
        except (Exception, SystemExit) as error:
            del sys.modules[spec.name]
            raise ValueError(f"{name} cannot be imported: {_reason(error)}") from error
        self._modules[path] = module
        return module


def _called_for_the_task(name: str, factory: Any) -> Make:
    """A function that calls ``factory`` with those of a task's classes, channels and size that it names."""
    if isinstance(factory, nn.Module) or not callable(factory):
        raise ValueError(f"{name} is a {type(factory).__name__}, not a function or class that makes a fresh network")
    try:
        parameters = signature(factory).parameters.values()
    except ValueError as error:
        raise ValueError(f"{name} does not say which parameters it takes: {error}") from None
    named = [p for p in parameters if p.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)]
    wanted = [p.name for p in named if p.name in Task._fields]
    variable = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    required = [p.name for p in parameters if p.default is Parameter.empty and p.kind not in variable]
    if strange := [other for other in required if other not in wanted]:
        raise ValueError(
            f"{name} requires {', '.join(strange)}, but is given only what it names of {', '.join(Task._fields)}: give "
            f"the rest a default, or name a function that calls it"
        )
    return lambda task: factory(**{field: getattr(task, field) for field in wanted})


def _timm_model(name: str) -> Make:
    model = name.removeprefix(TIMM)
    try:
        timm = import_module("timm")
    except Exception as error:  # missing, or at odds with the installed torch
        raise missing_extra(name, "timm", "networks", error) from error
    if not timm.is_model(model):
        models = timm.list_models()
        raise ValueError(f"{model!r} is none of the {len(models)} models of timm{_nearest(model, models)}")

    def make(task: Task) -> Any:
        published = timm.get_pretrained_cfg(model)
        size = {}
        if task.kind == "tokens":
            raise ValueError("timm's models take images, and the data are tokens")
        if published and published.fixed_input_size and published.input_size[1:] != (task.size, task.size):
            size = {"img_size": task.size}
        return timm.create_model(model, pretrained=False, num_classes=task.classes, in_chans=task.channels, **size)

    return make


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _reason(error: BaseException) -> str:
    """The error's type and message, in one line."""
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]


@space("networks")
def networks(*, names: tuple[str, ...] = ()) -> NetworkSpace:
    """Any network that you have, ``timm:MODEL`` or ``FILE.py:FACTORY``: ranked, and searched once ``names`` lists some.

    A factory is a function or a class, called with those of ``classes``, ``channels`` and ``size`` (pixels a side), or
    where the data are tokens ``classes`` (different ones) and ``length``, that
    its signature names; files are run, and their paths start from the working directory. The weights are a fresh
    initialisation, drawn from torch's generator. A network may return more than its logits: see
    `nas.scoring.logits.logits_of`.
    Combinations by rank take their quantiles among the networks named.
    """
    return NetworkSpace(map(str, names))
