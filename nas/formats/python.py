"""A network as readable PyTorch source that needs torch alone."""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from nas.formats.card import ModelCard
from nas.formats.expressions import MAX_LINE_CHARACTERS, factored
from nas.formats.modules import Writer
from nas.formats.sources import ROOTS, NoSource, literal

OURS = {"torch": torch, "nn": nn, "Path": Path}
OURS |= {name: object() for name in ("CLASSES", "MEAN", "STD", "INPUT", "network", "load")}
"""Names that the source always has."""
STANDARD, TORCHS = ("from pathlib import Path",), ("import torch", "from torch import nn")

LOAD = '''
def load(file: str | Path = Path(__file__).with_suffix(".pt")) -> nn.Module:
    """The network with the weights in ``file``, ready to be used."""
    net = network()
    net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return net.eval()
'''.strip()


def source_of(net: nn.Module, card: ModelCard) -> str:
    """A module whose ``network()`` is ``net`` without its weights, and whose ``load()`` takes these from a file.

    Raises:
        NoSource: it cannot be written this way.
    """
    writer = Writer(net)
    sources = writer.sources
    for name, value in OURS.items():
        sources.claim(name, value)
    expression, functions = factored(writer.expression, [*sources.names()])
    definitions = list(sources.definitions.values())
    constants = [text for text in definitions if not text.startswith(("def ", "class ", "@"))]
    head = [
        _docstring(card), "from __future__ import annotations", *_imports([*sources.imports, *STANDARD, *TORCHS]),
        "\n".join([*_constants(card), *constants]),
    ]  # fmt: skip
    body = [text for text in definitions if text not in constants]
    body += [function.written().rstrip() for function in functions]
    body += [_network(writer, expression.written("    ", 12)), LOAD]
    text = "\n\n\n".join(["\n\n".join(head), *body]) + "\n"
    for node in ast.walk(ast.parse(text)):
        for module in _imported(node):
            if module.partition(".")[0] not in ROOTS:
                raise NoSource(f"it takes the module {module}")
    return text


def weights_for(net: nn.Module, rebuilt: nn.Module) -> dict[str, Tensor]:
    """The state dictionary that gives ``rebuilt``, made from the source of ``net``, the state of ``net``: it includes
    buffers that the state dictionary of ``net`` leaves out."""
    tensors = dict(net.named_parameters(remove_duplicate=False)) | dict(net.named_buffers(remove_duplicate=False))
    return {name: tensors[name].detach().cpu() for name in rebuilt.state_dict()}


def import_file(file: Path) -> ModuleType:
    """The module in ``file``, run afresh."""
    spec = spec_from_file_location(f"exported_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def _network(writer: Writer, expression: str) -> str:
    lines = ["def network() -> nn.Module:", '    """The network as it is before its weights are loaded."""']
    if not writer.modules_tied and not writer.parameters_tied:
        return "\n".join([*lines, f"    return {expression}"])
    lines.append(f"    net = {expression}")
    for place, first in writer.modules_tied:
        lines.append(f"    {_set(place)}, net.get_submodule({first!r}))")
    for place, first in writer.parameters_tied:
        lines.append(f"    {_set(place)}, net.get_parameter({first!r}))")
    return "\n".join([*lines, "    return net"])


def _set(place: str) -> str:
    parent, _, name = place.rpartition(".")
    return f"setattr(net.get_submodule({parent!r}), {name!r}"


def _imports(lines: Iterable[str]) -> list[str]:
    """The imports of Python's own modules, and those of PyTorch, each sorted, with one line for each module."""
    blocks: dict[bool, set[str]] = {False: set(), True: set()}
    names: dict[str, set[str]] = {}
    for line in lines:
        _, module, *rest = line.split(" ", 3)
        if rest and rest[0] == "import":
            names.setdefault(module, set()).add(rest[1])
        else:
            blocks[_is_torchs(module)].add(line)
    froms: dict[bool, set[str]] = {False: set(), True: set()}
    for module, parts in names.items():
        if module != "__future__":
            froms[_is_torchs(module)].add(f"from {module} import {', '.join(sorted(parts))}")
    return ["\n".join([*sorted(blocks[torchs]), *sorted(froms[torchs])]) for torchs in (False, True)]


def _is_torchs(module: str) -> bool:
    return module.partition(".")[0] == "torch"


def _docstring(card: ModelCard) -> str:
    shape = f"{card.task.channels}, {card.task.size}, {card.task.size}"
    about = [f"{name}: {value}" for name, value in card.about.items()]
    paragraphs = [
        f"The network {card.name}.",
        "It needs PyTorch alone: ``load()`` gives it with the weights in the file of the same name that ends with "
        f"``.pt``. It takes images [samples, {shape}], of each channel ``(image - MEAN) / STD``, and gives logits "
        f"[samples, {card.task.classes}] in the order of ``CLASSES``.",
    ]
    filled = [
        textwrap.fill(text, MAX_LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False) for text in paragraphs
    ]
    text = "\n\n".join([*filled, *(["\n".join(about)] if about else [])])
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{escaped}\n"""'


def _constants(card: ModelCard) -> list[str]:
    values = {"CLASSES": card.classes, "MEAN": card.mean, "STD": card.std,
              "INPUT": (card.task.channels, card.task.size, card.task.size)}  # fmt: skip
    lines = []
    for name, value in values.items():
        line = f"{name} = {literal(tuple(value), name)}"
        if len(line) > MAX_LINE_CHARACTERS:
            line = "\n    ".join([f"{name} = (", *_rows([f"{literal(part, name)}," for part in value])]) + "\n)"
        lines.append(line)
    return lines


def _rows(parts: Iterable[str]) -> list[str]:
    """The parts, which may contain spaces, in lines of at most `MAX_LINE_CHARACTERS` where possible."""
    rows: list[str] = []
    for part in parts:
        if rows and len(rows[-1]) + 1 + len(part) <= MAX_LINE_CHARACTERS - 4:
            rows[-1] += f" {part}"
        else:
            rows.append(part)
    return rows


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." if node.level else str(node.module)]
    return []
