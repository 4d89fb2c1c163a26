"""Pictures of cells as text: TikZ for LaTeX, and Graphviz's language."""

from __future__ import annotations

import re

import networkx as nx

from nas.graph import terminals
from nas.report.layout import Picture, curve, is_straight, text_of
from nas.report.palette import colour

ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}", "<": r"\textless{}",
    ">": r"\textgreater{}",
}  # fmt: skip
"""What LaTeX reads as something else than itself."""
SYMBOLS = {"×": r"$\times$", "σ": r"$\sigma$", "→": r"$\to$"}
LOW = str.maketrans("k-0123456789", "ₖ₋₀₁₂₃₄₅₆₇₈₉")
PREAMBLE = r"""\documentclass{article}
\usepackage{tikz}
\usetikzlibrary{arrows.meta}
\usepackage[paperwidth=%.3fin, paperheight=%.3fin, margin=0in, noheadfoot]{geometry}
\pagestyle{empty}
\setlength{\parindent}{0pt}
\setlength{\topskip}{0pt}
"""
"""What the smallest LaTeX with TikZ has; the page is as large as the picture."""
BORDER, ITALIC = 0.05, 0.065
"""Inches around a picture, and the width of a character of a cell's name."""


def tikz(drawn: Picture, title: str = "") -> str:
    """A LaTeX document with the picture alone; the ``tikzpicture`` in it may be taken into another one, with the
    colours above it."""
    ops = dict.fromkeys([*(node.op for node in drawn.nodes.values()), *(arrow.op for arrow in drawn.arrows)])
    names = {colour(op).light: f"operation{number}" for number, op in enumerate(ops) if op}
    lines = [f"% {' '.join(title.split())}"] if title else []
    left, bottom, right, top = drawn.bounds
    right = max([right, *(x + 0.1 + ITALIC * len(name) for (x, _), name in drawn.names)])
    top, bottom = (
        max([top, *(y + 0.07 for (_, y), _ in drawn.names)]),
        min([bottom, *(y - 0.07 for (_, y), _ in drawn.names)]),
    )
    left, bottom, right, top = left - BORDER, bottom - BORDER, right + BORDER, top + BORDER
    lines += [(PREAMBLE % (right - left, top - bottom + 0.01)).rstrip("\n")]
    lines += [rf"\definecolor{{{name}}}{{HTML}}{{{shade[1:].upper()}}}" for shade, name in names.items()]
    lines += [
        r"\begin{document}",
        r"\begin{tikzpicture}[x=1in, y=1in, font=\sffamily\scriptsize, >={Latex[length=.1in, width=.08in]},",
        r"  box/.style={draw, rounded corners=.06in, line width=1.2pt, inner sep=0pt, align=center},",
        r"  label/.style={draw, rounded corners=.03in, fill=white, inner sep=0pt, align=center}]",
        rf"\path[use as bounding box] ({left:.3f}, {bottom:.3f}) rectangle ({right:.3f}, {top:.3f});",
    ]
    for number, node in drawn.nodes.items():
        box = node.box
        text = f"${node.lines[0]}$" if node.math else r"\\".join(map(_escaped, node.lines))
        shade = names.get(colour(node.op).light, "black") if node.op else "black"
        size = f"minimum width={box.width:.3f}in, minimum height={box.height:.3f}in"
        lines.append(rf"\node[box, draw={shade}, {size}] (n{number}) at ({box.x:.3f}, {box.y:.3f}) {{{text}}};")
    for arrow in drawn.arrows:
        shade = names[colour(arrow.op).light] if arrow.op else "black!60"
        way = [f"({arrow.points[0][0]:.3f}, {arrow.points[0][1]:.3f})"]
        for start, end in zip(arrow.points, arrow.points[1:], strict=False):
            place = f"({end[0]:.3f}, {end[1]:.3f})"
            one, other = curve(start, end, down=drawn.down)
            bent = f".. controls ({one[0]:.3f}, {one[1]:.3f}) and ({other[0]:.3f}, {other[1]:.3f}) .. {place}"
            way.append(f"-- {place}" if is_straight(start, end) else bent)
        lines.append(rf"\draw[->, {shade}, line width={1.2 if arrow.op else 0.8}pt] {' '.join(way)};")
    for arrow in drawn.arrows:
        if arrow.label is not None:
            spot, shade = arrow.label, names[colour(arrow.op).light]
            size = f"minimum width={spot.width:.3f}in, minimum height={spot.height:.3f}in"
            lines.append(
                rf"\node[label, draw={shade}, {size}] at ({spot.x:.3f}, {spot.y:.3f}) {{{_escaped(arrow.op)}}};"
            )
    lines += [
        rf"\node[anchor=west] at ({x:.3f}, {y:.3f}) {{\textit{{{_escaped(name)}}}}};" for (x, y), name in drawn.names
    ]
    return "\n".join([*lines, r"\end{tikzpicture}", r"\end{document}", ""])


def dot(graph: nx.DiGraph[int], title: str = "") -> str:
    """The graph in Graphviz's language, with the labels and colours of the pictures; Graphviz places it itself."""
    graph = graph.subgraph([n for n, node in graph.nodes(data=True) if "op" not in node or graph.degree(n)])
    lines = ["digraph cell {", '  rankdir=LR; labelloc=t; fontname="Helvetica"; fontsize=11;']
    lines += ['  node [shape=box, style=rounded, fontname="Helvetica", fontsize=10, height=0.3, width=0.3];']
    lines += ['  edge [fontname="Helvetica", fontsize=9];'] + ([f"  label={_quoted(title)};"] if title else [])
    cells = list(dict.fromkeys(str(graph.nodes[node].get("cell", "")) for node in graph))
    for number, cell in enumerate(reversed(cells)):  # Graphviz puts the first at the bottom
        part = graph.subgraph([node for node in graph if str(graph.nodes[node].get("cell", "")) == cell])
        if cell:
            lines += [f"  subgraph cluster_{number} {{", f'    label={_quoted(cell)}; color="#c0c0c0"; style=rounded;']
        for node in sorted(part):
            one = text_of(part, node)
            shade = f", color={_quoted(colour(one.op).light)}" if one.op else ""
            lines.append(f"    n{node} [label={_quoted(_lowered(chr(10).join(one.lines)))}{shade}];")
        if cell:
            lines.append("  }")
        elif outputs := [node for node in terminals(graph, "output") if node in part]:
            lines.append(f"  {{rank=max; {' '.join(f'n{node};' for node in outputs)}}}")
    for source, target in sorted(graph.edges):
        op: str = graph.edges[source, target].get("op", "")
        own = f" [label={_quoted(op)}, color={_quoted(colour(op).light)}]" if op else f" [color={_quoted('#6b6b6b')}]"
        lines.append(f"  n{source} -> n{target}{own};")
    return "\n".join([*lines, "}", ""])


def _escaped(text: str) -> str:
    return "".join(ESCAPES.get(letter, SYMBOLS.get(letter, letter)) for letter in text)


def _lowered(text: str) -> str:
    """``c_{k-1}`` with letters that stand low, which Graphviz shows without being told."""
    return re.sub(r"_\{([^}]*)\}", lambda match: match[1].translate(LOW), text)


def _quoted(text: str) -> str:
    inside = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{inside}"'
