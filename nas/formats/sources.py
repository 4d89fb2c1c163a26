"""The source of a network's own code: its methods, and the functions, constants and imports that they use."""

from __future__ import annotations

import ast
import dis
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch

ROOTS = frozenset({"torch", *sys.stdlib_module_names})
"""What exported source may import: PyTorch, and what comes with Python."""
DUNDERS = ("__call__", "__len__", "__getitem__", "__iter__", "__contains__")
"""Methods that are called without being named."""
PUBLIC = ("torch.nn.functional", "torch")
"""Modules to look in for functions that do not state theirs."""
COMMENT = re.compile(r"  # (type: ignore|noqa|fmt)\S*( .*)?$", re.MULTILINE)


class NoSource(Exception):
    """Something that cannot be written as source that needs PyTorch alone; the message says what and why."""


def is_torchs(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "torch"


def literal(value: Any, what: str) -> str:
    """A plain value as source. Raises `NoSource` for any other."""
    if value is None or type(value) in (bool, int):
        return repr(value)
    if type(value) is str:
        return quoted(value)
    if type(value) is float:
        return repr(value) if value == value and abs(value) != float("inf") else f"float({str(value)!r})"
    brackets: dict[type, str] = {list: "[]", tuple: "()", torch.Size: "()", set: "{}"}
    if type(value) in brackets and not (type(value) is set and not value):
        pair = brackets[type(value)]
        inner = ", ".join(literal(part, what) for part in value)
        return f"{pair[0]}{inner}{',' if pair == '()' and len(value) == 1 else ''}{pair[1]}"
    if type(value) is dict:
        return "{" + ", ".join(f"{literal(k, what)}: {literal(v, what)}" for k, v in value.items()) + "}"
    raise NoSource(f"{what} is a {type(value).__name__}, not a plain value")


def quoted(text: str) -> str:
    """A text as source, in double quotes where that needs no escapes."""
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain[0] == "'" and '"' not in text and "\\" not in plain else plain


class Sources:
    """Collects imports and definitions, each after those that it uses."""

    def __init__(self) -> None:
        self.imports: dict[str, None] = {}
        self.definitions: dict[str, str] = {}
        self._meanings: dict[str, Any] = {}

    def names(self) -> set[str]:
        return set(self._meanings)

    def function(self, function: Any, where: str, name: str = "") -> str:
        """The source of a function; what it uses is collected too; see `ROOTS`.

        Args:
            where: its place, for messages.
            name: its name there.
        """
        code = inspect.unwrap(function)
        try:
            text = textwrap.dedent(inspect.getsource(code))
            tree = ast.parse(text).body[0]
        except (OSError, TypeError, SyntaxError, IndentationError) as error:
            raise NoSource(f"{where} has no source that can be read ({error})") from None
        if not isinstance(tree, ast.FunctionDef) or (name and tree.name != name):
            raise NoSource(f"{where} is not a function under its own name")
        if free := set(code.__code__.co_freevars) - {"__class__"}:
            raise NoSource(f"{where} takes {', '.join(sorted(free))} from a function around it")
        for node in ast.walk(tree):
            self._check_import(node, where)
        scope = code.__globals__
        for used in dict.fromkeys([*_globals(code.__code__), *_names(tree.decorator_list), *_names(_defaults(tree))]):
            if used in scope:
                self.need(used, scope, where)
        for annotated in _names(_annotations(tree)):
            if annotated in scope and (line := _import_line(annotated, scope)) is not None:
                self._take(annotated, scope[annotated], where)
                self.imports[line] = None
        return COMMENT.sub("", text.rstrip())

    def need(self, name: str, scope: Mapping[str, Any], where: str) -> None:
        """Makes ``name`` mean in the exported source what it means in ``scope``."""
        value = scope[name]
        if not self._take(name, value, where):
            return
        if (line := _import_line(name, scope)) is not None:
            self.imports[line] = None
        elif isinstance(value, ModuleType):
            raise NoSource(f"{where} takes the module {value.__name__}")
        elif isinstance(inspect.unwrap(value) if callable(value) else None, FunctionType):
            self.definitions[name] = self.function(value, f"the function {name}", name)
        elif isinstance(value, type):
            self._class(name, value)
        else:
            self.definitions[name] = f"{name} = {literal(value, f'{name}, which {where} takes,')}"

    def define(self, name: str, text: str, value: Any) -> None:
        """Adds a definition whose source is ``text``."""
        self._take(name, value, name)
        self.definitions[name] = text

    def claim(self, name: str, value: Any) -> None:
        """Reserves a name for something defined later."""
        self._take(name, value, name)

    def _take(self, name: str, value: Any, where: str) -> bool:
        """Whether the name is new; `NoSource` where it means something else already."""
        if name in self._meanings:
            if self._meanings[name] is not value and self._meanings[name] != value:
                raise NoSource(f"{name} means two things, the second in {where}")
            return False
        self._meanings[name] = value
        return True

    def _class(self, name: str, cls: type) -> None:
        """Adds the whole source of a class that the network uses without being made of it."""
        try:
            text = textwrap.dedent(inspect.getsource(cls))
        except (OSError, TypeError) as error:
            raise NoSource(f"the class {name} has no source that can be read ({error})") from None
        tree = ast.parse(text)
        scope = vars(sys.modules[cls.__module__])
        for node in ast.walk(tree):
            self._check_import(node, f"the class {name}")
        for used in _names([tree]):
            if used in scope and used != name:
                self.need(used, scope, f"the class {name}")
        self.definitions[name] = COMMENT.sub("", text.rstrip())

    def _check_import(self, node: ast.AST, where: str) -> None:
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or "." if not node.level else "."]
        for module in modules:
            if module.partition(".")[0] not in ROOTS:
                raise NoSource(f"{where} imports {module}")


class Members:
    """The members of each class that its instances use, selected by their names.

    Starting from ``forward``, a member of any of the classes is selected where a selected member reads an attribute of
    that name, of whatever object.

    Args:
        classes: the network's own, without those of PyTorch.
    """

    def __init__(self, classes: list[type]) -> None:
        self.classes = classes
        self.read = {"forward"}
        """Every name that is read as an attribute in the selected members."""
        self.taken: dict[type, list[str]] = {cls: [] for cls in classes}
        grows = True
        while grows:
            grows = False
            for cls in classes:
                for name, member in vars(cls).items():
                    if name in self.taken[cls] or not (name in self.read or name in DUNDERS):
                        continue
                    if name == "__init__" or (name.startswith("__") and name not in DUNDERS):
                        continue
                    self.taken[cls].append(name)
                    grows = True
                    for function in functions_in(member):
                        self.read |= _attributes(function)

    @cached_property
    def whole(self) -> set[type]:
        """The classes that use ``self`` in another way than by the names of attributes."""
        return {
            cls for cls in self.classes for name in self.taken[cls] for function in functions_in(vars(cls)[name])
            if _looks_at_itself(function)
        }  # fmt: skip


def functions_in(member: Any) -> list[Any]:
    """The function that a member of a class is, or those that a property consists of."""
    if isinstance(member, property):
        return [part for part in (member.fget, member.fset) if part is not None]
    inner = getattr(member, "func", getattr(member, "__func__", member))
    return [inner] if isinstance(inspect.unwrap(inner) if callable(inner) else None, FunctionType) else []


def _tree(function: Any) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError) as error:
        raise NoSource(f"{function.__qualname__} has no source that can be read ({error})") from None


def _attributes(function: Any) -> set[str]:
    """The names of attributes that it reads, including those in texts, which `getattr` may take."""
    nodes = list(ast.walk(_tree(function)))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)} | {t for t in texts if t.isidentifier()}


def _looks_at_itself(function: Any) -> bool:
    tree = _tree(function)
    held = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr != "__dict__"}
    return any(isinstance(n, ast.Name) and n.id == "self" and id(n) not in held for n in ast.walk(tree))


def _globals(code: CodeType) -> Iterator[str]:
    """The names that compiled code looks up in its module, including functions within it."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals(constant)


def _names(nodes: list[Any]) -> list[str]:
    return [n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)]


def _defaults(tree: ast.FunctionDef) -> list[ast.expr]:
    return [*tree.args.defaults, *(default for default in tree.args.kw_defaults if default is not None)]


def _annotations(tree: ast.FunctionDef) -> list[ast.expr]:
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.arg | ast.AnnAssign)]
    return [n.annotation for n in nodes if n.annotation is not None] + ([tree.returns] if tree.returns else [])


def _import_line(name: str, scope: Mapping[str, Any]) -> str | None:
    """The import that gives ``name`` its meaning; None where it is not of PyTorch or Python."""
    value = scope[name]
    if isinstance(value, ModuleType):
        parent, _, last = value.__name__.rpartition(".")
        if value.__name__.partition(".")[0] not in ROOTS:
            return None
        line = f"from {parent} import {last}" if parent else f"import {last}"
        return line if last == name else f"{line} as {name}"
    written = str(getattr(value, "__module__", "")).removeprefix("_")  # those written in C say _functools
    own = str(getattr(value, "__qualname__", name))
    for module in (written, *PUBLIC):
        if module.partition(".")[0] in ROOTS and not module.startswith("torch._"):
            for candidate in dict.fromkeys((own, name)):
                if candidate.isidentifier() and getattr(import_module(module), candidate, None) is value:
                    return f"from {module} import {candidate}" + ("" if candidate == name else f" as {name}")
    return None
