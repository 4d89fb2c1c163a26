"""Pictures of cells as text: TikZ for LaTeX, and Graphviz's language."""

from __future__ import annotations

import networkx as nx

from nas.report.layout import Picture, curve, is_straight, text_of
from nas.report.palette import colour

ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}", "<": r"\textless{}",
    ">": r"\textgreater{}",
}  # fmt: skip
"""What LaTeX reads as something else than itself."""
SYMBOLS = {"×": r"$\times$", "σ": r"$\sigma$", "→": r"$\to$"}
PREAMBLE = r"""\documentclass[tikz,border=3pt]{standalone}
\usepackage[T1]{fontenc}
\usetikzlibrary{arrows.meta}
"""


def tikz(drawn: Picture, title: str = "") -> str:
    """A LaTeX document with the picture alone; the ``tikzpicture`` in it may be taken into another one, with the
    colours above it."""
    ops = dict.fromkeys([*(node.op for node in drawn.nodes.values()), *(arrow.op for arrow in drawn.arrows)])
    names = {colour(op).light: f"operation{number}" for number, op in enumerate(ops) if op}
    lines = [f"% {' '.join(title.split())}"] if title else []
    lines += [PREAMBLE.rstrip("\n")]
    lines += [rf"\definecolor{{{name}}}{{HTML}}{{{shade[1:].upper()}}}" for shade, name in names.items()]
    lines += [
        r"\begin{document}",
        r"\begin{tikzpicture}[x=1in, y=1in, font=\sffamily\scriptsize, >={Latex[length=.1in, width=.08in]},",
        r"  box/.style={draw, rounded corners=.06in, line width=1.2pt, inner sep=0pt, align=center},",
        r"  label/.style={draw, rounded corners=.03in, fill=white, inner sep=0pt, align=center}]",
    ]
    for number, node in drawn.nodes.items():
        box = node.box
        text = f"${node.lines[0]}$" if node.math else r"\\".join(map(_escaped, node.lines))
        shade = names.get(colour(node.op).light, "black") if node.op else "black"
        size = f"minimum width={box.width:.3f}in, minimum height={box.height:.3f}in"
        lines.append(rf"\node[box, {shade}, text=black, {size}] (n{number}) at ({box.x:.3f}, {box.y:.3f}) {{{text}}};")
    for arrow in drawn.arrows:
        shade = names[colour(arrow.op).light] if arrow.op else "black!60"
        way = [f"({arrow.points[0][0]:.3f}, {arrow.points[0][1]:.3f})"]
        for start, end in zip(arrow.points, arrow.points[1:], strict=False):
            place = f"({end[0]:.3f}, {end[1]:.3f})"
            one, other = curve(start, end)
            bent = f".. controls ({one[0]:.3f}, {one[1]:.3f}) and ({other[0]:.3f}, {other[1]:.3f}) .. {place}"
            way.append(f"-- {place}" if is_straight(start, end) else bent)
        lines.append(rf"\draw[->, {shade}, line width={1.2 if arrow.op else 0.8}pt] {' '.join(way)};")
    for arrow in drawn.arrows:
        if arrow.label is not None:
            spot, shade = arrow.label, names[colour(arrow.op).light]
            size = f"minimum width={spot.width:.3f}in, minimum height={spot.height:.3f}in"
            lines.append(
                rf"\node[label, {shade}, text=black, {size}] at ({spot.x:.3f}, {spot.y:.3f}) {{{_escaped(arrow.op)}}};"
            )
    lines += [
        rf"\node[anchor=west] at ({x:.3f}, {y:.3f}) {{\textit{{{_escaped(name)}}}}};" for (x, y), name in drawn.names
    ]
    return "\n".join([*lines, r"\end{tikzpicture}", r"\end{document}", ""])


def dot(graph: nx.DiGraph[int], title: str = "") -> str:
    """The graph in Graphviz's language, with the labels and colours of the pictures; Graphviz places it itself."""
    graph = graph.subgraph([n for n, node in graph.nodes(data=True) if "op" not in node or graph.degree(n)])
    lines = ["digraph cell {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="Helvetica", fontsize=10];']
    lines += ['  edge [fontname="Helvetica", fontsize=9];'] + ([f"  label={_quoted(title)};"] if title else [])
    for number, cell in enumerate(dict.fromkeys(str(graph.nodes[node].get("cell", "")) for node in graph)):
        part = graph.subgraph([node for node in graph if str(graph.nodes[node].get("cell", "")) == cell])
        if cell:
            lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(cell)};"]
        for node in sorted(part):
            one = text_of(part, node)
            shade = f", color={_quoted(colour(one.op).light)}" if one.op else ""
            lines.append(f"    n{node} [label={_quoted(chr(10).join(one.lines))}{shade}];")
        if cell:
            lines.append("  }")
    for source, target in sorted(graph.edges):
        op: str = graph.edges[source, target].get("op", "")
        own = f" [label={_quoted(op)}, color={_quoted(colour(op).light)}]" if op else f" [color={_quoted('#6b6b6b')}]"
        lines.append(f"  n{source} -> n{target}{own};")
    return "\n".join([*lines, "}", ""])


def _escaped(text: str) -> str:
    return "".join(ESCAPES.get(letter, SYMBOLS.get(letter, letter)) for letter in text)


def _quoted(text: str) -> str:
    inside = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{inside}"'
