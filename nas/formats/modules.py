"""A network as source: an expression that rebuilds it, and the classes of its own that this takes."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nas.formats.arguments import arguments_of, fresh
from nas.formats.expressions import Expression, Item
from nas.formats.sources import Members, NoSource, Sources, functions_in, is_torchs, literal, quoted

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
INTERNAL = frozenset(vars(nn.Module()))
"""Attributes that every module has for PyTorch's own use."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks")
UNQUOTABLE = re.compile(r'\\|"""|"\s*$')
"""What a docstring may not contain to be copied as it is."""
MAX_NAMED_LAYERS = 4
"""The most layers of a sequence whose names form the name of a function."""


class Writer:
    """Writes the modules of one network as expressions, and collects the source that these need.

    A module of PyTorch is written with the arguments that its attributes show. A class of the network's own is written
    with the members that are used, and with an ``__init__`` that takes the modules, parameters and values of its
    instances: how they were chosen is the search space's business, and is left out.

    Attributes:
        sources: imports, functions and classes.
        modules_tied, parameters_tied: what is in the network twice: its second place and its first.

    Raises:
        NoSource: the network cannot be written.
    """

    def __init__(self, net: nn.Module) -> None:
        self.sources = Sources()
        self.modules_tied: list[tuple[str, str]] = []
        self.parameters_tied: list[tuple[str, str]] = []
        own = [cls for module in net.modules() for cls in type(module).__mro__]
        self.classes = [cls for cls in dict.fromkeys(own) if not is_torchs(cls) and cls is not object]
        self.members = Members(self.classes)
        self._met: dict[int, str] = {}
        self._fields: dict[type, list[dict[str, str]]] = {}
        for cls in self.classes:
            self.sources.claim(cls.__name__, cls)
        self.expression = self._module(net, "")
        for cls in sorted(self.classes, key=lambda cls: len(cls.__mro__)):
            self.sources.define(cls.__name__, self._class(cls), cls)

    def _module(self, module: nn.Module, path: str) -> Expression:
        """The expression of ``module``, which is at ``path`` in the network."""
        cls, where = type(module), path or "the root"
        if any(getattr(module, hooks) for hooks in HOOKS):
            raise NoSource(f"the {cls.__name__} at {where} has hooks, which are no part of its source")
        if "forward" in vars(module):
            raise NoSource(f"the {cls.__name__} at {where} has a forward of its own, other than its class's")
        if not is_torchs(cls):
            return self._own(module, path)
        if cls in CONTAINERS:
            return self._container(self._name(cls), module, path)
        if isinstance(module, nn.ParameterList):
            parameters = [Item(self._parameter(parameter)) for parameter in module]
            return Expression("nn.ParameterList([", tuple(parameters), "])")
        if isinstance(module, nn.TransformerEncoder):
            return self._encoder(module, path)
        for name, parameter in module.named_parameters(remove_duplicate=False):
            self._meet(parameter, _under(path, name))
        return self._call(self._name(cls), cls, arguments_of(module, cls))

    def _call(self, name: str, cls: type, arguments: dict[str, Any]) -> Expression:
        """Arguments that must be given are written without their names."""
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
        items = []
        for place, (argument, value) in enumerate(arguments.items()):
            parameter = parameters[place]
            plain = parameter.name == argument and parameter.default is parameter.empty
            key = "" if plain else f"{argument}="
            items.append(Item(self._value(value, f"{argument} of a {cls.__name__}"), key, argument))
        return Expression(f"{name}(", tuple(items), ")")

    def _encoder(self, module: nn.TransformerEncoder, path: str) -> Expression:
        """`nn.TransformerEncoder` makes copies of the one layer that it is given."""
        places = [_under(path, f"layers.{number}") for number in range(len(module.layers))]
        first, *others = [self._module(layer, place) for layer, place in zip(module.layers, places, strict=True)]
        if any(other != first for other in others):
            raise NoSource("the layers of a TransformerEncoder differ")
        items = [Item(first), Item(Expression(str(module.num_layers)), "num_layers=", "num_layers")]
        if module.norm is not None:
            items.append(Item(self._module(module.norm, _under(path, "norm")), "norm=", "norm"))
        if not module.enable_nested_tensor:
            items.append(Item(Expression("False"), "enable_nested_tensor="))
        return Expression("nn.TransformerEncoder(", tuple(items), ")")

    def _children(self, module: nn.Module, path: str) -> list[tuple[str, Expression]]:
        children = []
        for name, child in module._modules.items():
            place = _under(path, name)
            if child is None:
                children.append((name, Expression("None")))
            elif id(child) in self._met:
                self.modules_tied.append((place, self._met[id(child)]))
                children.append((name, Expression("nn.Identity(", (), ")")))  # keeps the place until it is tied
            else:
                self._met[id(child)] = place
                children.append((name, self._module(child, place)))
        return children

    def _container(self, name: str, module: nn.Module, path: str, further: Sequence[Item] = ()) -> Expression:
        children = self._children(module, path)
        numbered = [name for name, _ in children] == [str(number) for number in range(len(children))]
        own = not is_torchs(type(module))
        if isinstance(module, nn.ModuleList):
            layers = Expression("[", tuple(Item(value) for _, value in children), "]")
        elif isinstance(module, nn.Sequential) and numbered and not own:
            return Expression(f"{name}(", tuple(Item(value) for _, value in children), ")", _joined(module))
        else:
            layers = Expression("{", tuple(Item(value, f"{quoted(key)}: ", key) for key, value in children), "}")
            if isinstance(module, nn.Sequential):
                self.sources.imports["from collections import OrderedDict"] = None
                layers = Expression("OrderedDict(", (Item(layers),), ")")
        return Expression(f"{name}(", (Item(layers), *further), ")", _snake(type(module).__name__) if own else "")

    def _own(self, module: nn.Module, path: str) -> Expression:
        """An instance of a class of the network's own."""
        cls, base = type(module), _base(type(module))
        arguments = {} if base in (nn.Module, *CONTAINERS) else arguments_of(module, base)
        plain = nn.Module() if base in (nn.Module, *CONTAINERS) else fresh(base, arguments)
        theirs = {*plain._parameters, *plain._buffers, *plain._modules}
        items, kinds = [], dict.fromkeys(arguments, "base")
        for name, value in arguments.items():
            items.append(_item(name, self._value(value, f"{name} of a {cls.__name__}")))
        for name, value in vars(module).items():
            if name not in vars(plain) and name not in INTERNAL and (written := self._attribute(cls, name, value)):
                items.append(_item(name, written))
                kinds[name] = "value"
        for name, parameter in module._parameters.items():
            if parameter is not None:
                self._meet(parameter, _under(path, name))
            if name not in theirs:
                items.append(_item(name, self._parameter(parameter)))
                kinds[name] = "value"
        for name, buffer in module._buffers.items():
            if name not in theirs:
                items.append(_item(name, self._buffer(buffer)))
                kinds[name] = "buffer"
        self._fields.setdefault(cls, []).append(kinds)
        if base in CONTAINERS:
            return self._container(cls.__name__, module, path, items)
        for name, value in self._children(module, path):
            if name not in theirs:
                items.append(_item(name, value))
                kinds[name] = "value"
        for name in kinds:
            if not name.isidentifier() or keyword.iskeyword(name):
                raise NoSource(f"{name!r} of a {cls.__name__} is no identifier")
        return Expression(f"{cls.__name__}(", tuple(items), ")", _snake(cls.__name__))

    def _attribute(self, cls: type, name: str, value: Any) -> Expression | None:
        """A plain value that a module has; None where nothing reads it."""
        if name in self.members.read:
            return self._value(value, f"{name} of a {cls.__name__}")
        if cls not in self.members.whole:
            return None
        try:
            return self._value(value, name)
        except NoSource:
            return None

    def _value(self, value: Any, what: str) -> Expression:
        """Any value that a module may hold."""
        if isinstance(value, nn.Module):
            raise NoSource(f"{what} is a module that is not registered")
        if isinstance(value, torch.dtype):
            return Expression(str(value))
        if isinstance(value, partial):
            self.sources.need("partial", {"partial": partial}, what)
            items = [Item(self._value(part, what)) for part in (value.func, *value.args)]
            items += [_item(name, self._value(part, what)) for name, part in value.keywords.items()]
            return Expression("partial(", tuple(items), ")")
        if callable(value) and str(getattr(value, "__name__", "")).isidentifier():
            self.sources.need(value.__name__, {value.__name__: value}, what)
            return Expression(value.__name__)
        return Expression(literal(value, what))

    def _parameter(self, parameter: nn.Parameter | None) -> Expression:
        if parameter is None:
            return Expression("None")
        fixed = "" if parameter.requires_grad else ", requires_grad=False"
        return Expression(f"nn.Parameter({self._buffer(parameter).head}{fixed})")

    def _buffer(self, buffer: Tensor | None) -> Expression:
        if buffer is None:
            return Expression("None")
        dtype = "" if buffer.dtype == torch.float32 else f", dtype={buffer.dtype}"
        return Expression(f"torch.zeros({', '.join(map(str, buffer.shape)) or '()'}{dtype})")

    def _meet(self, parameter: nn.Parameter, place: str) -> None:
        if self._met.setdefault(id(parameter), place) != place:
            self.parameters_tied.append((place, self._met[id(parameter)]))

    def _name(self, cls: type) -> str:
        if cls in self.classes:
            return cls.__name__
        if getattr(nn, cls.__name__, None) is cls:
            return f"nn.{cls.__name__}"
        self.sources.need(cls.__name__, {cls.__name__: cls}, "the network")
        return cls.__name__

    def _class(self, cls: type) -> str:
        """The source of a class of the network's own."""
        about = cls.__doc__ or ""
        parts = [f'"""{inspect.cleandoc(about)}"""'] if about and not UNQUOTABLE.search(about) else []
        if cls in self._fields:
            parts += filter(None, [_init(cls, self._fields[cls])])
        parts += [self._member(cls, name) for name in self.members.taken[cls]]
        bases = ", ".join(self._name(base) for base in cls.__bases__ if base is not object)
        body = "\n\n".join(parts) or "pass"
        indented = "\n".join(f"    {line}" if line else "" for line in body.splitlines())
        return f"class {cls.__name__}{f'({bases})' if bases else ''}:\n{indented}"

    def _member(self, cls: type, name: str) -> str:
        member, where = vars(cls)[name], f"{cls.__name__}.{name}"
        if functions := functions_in(member):
            return "\n\n".join(self.sources.function(function, where, name) for function in functions)
        if callable(member):
            raise NoSource(f"{where} is a {type(member).__name__}, whose source is not known")
        return f"{name} = {literal(member, where)}"


def _init(cls: type, met: Sequence[dict[str, str]]) -> str:
    """The ``__init__`` of a class whose instances have these fields: by name, where each goes."""
    base = _base(cls)
    fields = {name: kind for one in met for name, kind in one.items() if kind != "base"}
    if any(set(fields) - set(one) for one in met):
        missing = next(set(fields) - set(one) for one in met)
        raise NoSource(f"only some of the instances of {cls.__name__} have {', '.join(sorted(missing))}")
    if not fields:
        return ""
    layers = ["layers"] if base in CONTAINERS else []
    more = ["**more"] if base not in (nn.Module, *CONTAINERS) else []  # the arguments of the class of PyTorch's
    lines = [f"def __init__({', '.join(['self', *layers, *fields, *more])}):"]
    if cls.__bases__ == (base,):
        lines.append(f"    super().__init__({', '.join([*layers, *more])})")
    else:  # the classes between need arguments that this one does not have
        lines.append(f"    nn.{base.__name__}.__init__({', '.join(['self', *layers, *more])})")
    for name, kind in fields.items():
        if kind == "buffer":
            lines.append(f"    self.register_buffer({name!r}, {name})")
        else:
            lines.append(f"    self.{name} = {name}")
    return "\n".join(lines)


def _item(name: str, value: Expression) -> Item:
    return Item(value, f"{name}=", name)


def _base(cls: type) -> type[nn.Module]:
    """The class of PyTorch's that ``cls`` is made from."""
    return next(base for base in cls.__mro__ if is_torchs(base))


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _joined(module: nn.Sequential) -> str:
    """``relu_conv_norm`` for a sequence of these layers."""
    short = {"conv": "conv", "batch_norm": "norm", "layer_norm": "norm", "avg_pool": "pool", "max_pool": "pool"}
    names = []
    for layer in module.children():
        name = type(layer).__name__
        activation = type(layer).__module__.endswith("activation")  # ReLU is one word
        snake = name.lower() if activation else re.sub(r"(_?\dd)?$", "", _snake(name))
        names.append(short.get(snake, snake))
    return "_".join(names) if 0 < len(names) <= MAX_NAMED_LAYERS else "layers"
