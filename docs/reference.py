"""Pages of the site that nobody writes: MkDocs calls the functions ``on_…`` (`hooks:` in mkdocs.yml).

The reference of proxies, spaces and searchers comes from the registries, their docstrings by mkdocstrings, and where a
proxy ranked from the tables of results.md and studies.md. README, CHANGELOG and SECURITY lie at the top of the
repository, so they are taken from there; a notebook becomes a page of its texts and codes.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from griffe import Docstring, DocstringSectionKind
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from nas import plugins
from nas.proxy import PROXIES, Proxy
from nas.registry import Range, options
from nas.searcher import SEARCHERS, Searcher
from nas.space import SPACES

ROOT = Path(__file__).resolve().parent.parent
TOP = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "security.md": "SECURITY.md"}
"""Pages of the site that are files at the top of the repository."""
MEASURED = ("results.md", "studies.md")
"""Pages with tables of what was measured, one row or one column for each proxy."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the generated pages into the navigation, below the page of their kind."""
    plugins.load()
    for chapter in (chapter for part in config.nav or [] for chapter in part.values()):
        for place, entry in enumerate(chapter):
            for title, page in entry.items() if isinstance(entry, dict) else ():
                if isinstance(page, str) and (kind := re.fullmatch(r"reference/(\w+)/index\.md", page)):
                    names = KINDS[kind[1]][0]()
                    chapter[place] = {title: [page, *({name: f"reference/{kind[1]}/{name}.md"} for name in names)]}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    for name, file in TOP.items():
        files.append(File.generated(config, name, content=within_docs((ROOT / file).read_text(encoding="utf-8"))))
    for notebook in sorted((ROOT / "docs").glob("*.ipynb")):
        content = notebook_page(json.loads(notebook.read_text(encoding="utf-8")), notebook.name)
        files.append(File.generated(config, f"{notebook.stem}.md", content=content))
    for name, content in reference().items():
        files.append(File.generated(config, f"reference/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files at the top of the repository and to notebooks, which are pages here."""
    for name, file in TOP.items():
        markdown = markdown.replace(f"](../{file})", f"]({name})")
    if (ROOT / "docs" / page.file.src_uri).with_suffix(".ipynb").exists():
        return markdown  # its own link is to the notebook
    return markdown.replace(".ipynb)", ".md)")


def within_docs(text: str) -> str:
    """A text of the repository's top, with its links as seen from docs/."""
    text = text.replace("](docs/", "](")
    for name, file in TOP.items():
        text = text.replace(f"]({file})", f"]({name})")
    return re.sub(r"\[([^]]+)\]\((CITATION\.cff|LICENSE)\)", r"\1 (`\2`)", text)


def notebook_page(notebook: Mapping[str, Any], name: str) -> str:
    """The cells of a notebook as Markdown."""
    cells = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        cells.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    title, *others = cells
    return "\n\n".join([title, f"This page is a notebook: [{name}]({name}){{ download }}.", *others, ""])


def reference() -> dict[str, str]:
    """Path below ``reference/`` -> Markdown, of every generated page of the reference."""
    plugins.load()
    tables = [table for page in MEASURED for table in tables_of(page)]
    pages = {}
    for kind, (names, one, several) in KINDS.items():
        pages[f"{kind}/index.md"] = several()
        pages |= {f"{kind}/{name}.md": one(name, tables) for name in names()}
    return pages


def proxy_page(name: str, tables: Sequence[Table]) -> str:
    record = PROXIES[name]
    lines = [f"# `{name}`", "", *facts(_proxy_facts(record)), ""]
    if record.function is None:
        kind = "logarithms of the quantiles" if record.log else "quantiles"
        parts = ", ".join(f"[`{part}`]({part}.md)" for part in record.parts)
        lines += [f"The sum of the {kind} of {parts} in a fixed sample of architectures; larger is better.", ""]
    else:
        lines += described(name, record.function)
    found = [table for table in tables if table.about(name)]
    lines += ["## Where it ranked", ""]
    if not found:
        lines += ["No table of this site has it.", ""]
    for table in found:
        lines += [f"**[{table.heading}](../../{table.page}#{table.anchor})**", "", *table.about(name), ""]
    return "\n".join(lines)


def _proxy_facts(record: Proxy) -> Iterator[tuple[str, str]]:
    yield "Better", "larger" if record.larger_is_better else "smaller"
    if record.paper:
        yield "Paper", linked(record.paper)
    if record.function is None:
        return
    looks = "the architecture alone" if record.static else "weights, inputs and labels" if record.labels else ""
    yield "Depends on", looks or "weights and inputs, not on labels"
    if record.network == "thin":
        yield "Network", "the space's thin copy"
    if record.initialisation != "default" or record.initialisations > 1:
        number = f", mean of {record.initialisations}" if record.initialisations > 1 else ""
        yield "Initialisation", f"{record.initialisation}{number}"
    if record.transformers:
        yield "Networks", "with attention"
    if record.machine:
        yield "Kept", "with its run alone: the value is this machine's"


def space_page(name: str, tables: Sequence[Table]) -> str:
    function = SPACES[name]
    lines = [f"# `{name}`", "", *described(name, function)]
    notation = "Notations, and which published tables belong to it: [search spaces](../../spaces.md)."
    return "\n".join([*lines, notation, ""])


def searcher_page(name: str, tables: Sequence[Table]) -> str:
    record = SEARCHERS[name]
    lines = [f"# `{name}`", "", *facts(_searcher_facts(record)), "", *described(name, record.function)]
    return "\n".join(lines)


def _searcher_facts(record: Searcher) -> Iterator[tuple[str, str]]:
    if record.paper:
        yield "Paper", linked(record.paper)
    yield "Objectives", record.objectives
    yield "Proposes", "supernets, so the space has to build them" if record.supernet else "single networks"


def proxies_page() -> str:
    heads = ("proxy", "what it is", "better", "paper")
    rows = []
    for name in PROXIES:
        record = PROXIES[name]
        what = f"combines {' and '.join(record.parts)}" if record.function is None else summary(record.function)
        direction = "larger" if record.larger_is_better else "smaller"
        rows.append((f"[`{name}`]({name}.md)", what, direction, linked(record.paper)))
    return "\n".join([f"# {len(rows)} proxies", "", *markdown_table(heads, rows), ""])


def spaces_page() -> str:
    rows = [(f"[`{name}`]({name}.md)", summary(SPACES[name])) for name in SPACES]
    return "\n".join([f"# {len(rows)} spaces", "", *markdown_table(("space", "what it is"), rows), ""])


def searchers_page() -> str:
    names = list(SEARCHERS)
    rows = [
        (f"[`{name}`]({name}.md)", summary(SEARCHERS[name].function), linked(SEARCHERS[name].paper)) for name in names
    ]
    return "\n".join([f"# {len(rows)} searchers", "", *markdown_table(("searcher", "what it is", "paper"), rows), ""])


KINDS: dict[str, tuple[Callable[[], list[str]], Callable[..., str], Callable[[], str]]] = {
    "proxies": (lambda: list(PROXIES), proxy_page, proxies_page),
    "spaces": (lambda: list(SPACES), space_page, spaces_page),
    "searchers": (lambda: list(SEARCHERS), searcher_page, searchers_page),
}
"""Folder of the reference -> the names, the page of one, the page of all."""


def summary(function: Callable[..., Any]) -> str:
    """The first sentence of a docstring, as far as the cell of a table goes."""
    return " ".join((function.__doc__ or "").strip().partition("\n\n")[0].split())


def linked(paper: str) -> str:
    """A paper with its arXiv number as a link."""
    return re.sub(r"arXiv:(\d{4}\.\d{5})(v\d+)?", r"[\g<0>](https://arxiv.org/abs/\1\2)", paper)


def facts(pairs: Iterator[tuple[str, str]]) -> list[str]:
    return [f"- {name}: {fact}" for name, fact in pairs]


def described(name: str, function: Callable[..., Any]) -> list[str]:
    """What the docstring of a plug-in says, and its options as a table."""
    texts, meanings = [], dict[str, str]()
    for section in Docstring(inspect.getdoc(function) or "").parse("google", warnings=False):
        if section.kind is DocstringSectionKind.text:
            texts += [section.value, ""]
        elif section.kind is DocstringSectionKind.parameters:
            for parameter in section.value:
                meanings |= dict.fromkeys(re.split(r",\s*", parameter.name), " ".join(parameter.description.split()))
        else:
            raise ValueError(f"the docstring of {name} has a section of {section.kind.value}, which no page shows")
    return texts + options_of(name, function, meanings)


def options_of(name: str, function: Callable[..., Any], meanings: Mapping[str, str]) -> list[str]:
    """The options of a plug-in as a table."""
    defaults = options(function)
    if not defaults:
        return []
    hints = get_type_hints(function, include_extras=True)
    rows = [
        (f"`{name}.{option}`", f"`{written(value)}`", allowed(hints.get(option), value), meanings.get(option, ""))
        for option, value in defaults.items()
    ]
    heads = ("`--set`", "default", "takes", "what it says")
    return ["## Options", "", *markdown_table(heads, rows), ""]


def written(value: Any) -> str:
    """A default as it is typed."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


WORDS = {bool: "`true`, `false`", int: "a whole number", float: "a number", str: "text", tuple: "a list"}
"""What an option takes, by the type of its default."""


def allowed(hint: Any, default: Any) -> str:
    """What an option takes, from its annotation and its default."""
    for annotation in getattr(hint, "__metadata__", ()):
        if isinstance(annotation, Range):
            return f"{WORDS[type(default)]}, {annotation}"
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    return WORDS[type(default)]


class Table:
    """A Markdown table of a page, below its last heading."""

    def __init__(self, page: str, heading: str, lines: Sequence[str]) -> None:
        self.page, self.heading = page, heading.replace("`", "")
        self.anchor = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", self.heading).strip().lower())
        self.head, *self.rows = [_cells(line) for line in lines if not re.fullmatch(r"[|\s:-]+", line)]

    def about(self, name: str) -> list[str]:
        """The table of one proxy: its rows, or its column; nothing where it does not occur."""
        key = f"`{name}`"
        if rows := [row for row in self.rows if row[0] == key]:
            return markdown_table(self.head[1:], [row[1:] for row in rows])
        if key in self.head[1:]:
            column = self.head.index(key)
            return markdown_table((self.head[0], name), [(row[0], row[column]) for row in self.rows])
        return []


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables_of(page: str) -> list[Table]:
    """The tables of a page of docs/."""
    tables, heading, lines = [], "", list[str]()
    for line in [*(ROOT / "docs" / page).read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            lines.append(line)
            continue
        if lines:
            tables.append(Table(page, heading, lines))
            lines = []
        if line.startswith("#"):
            heading = line.lstrip("# ")
    return tables


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
