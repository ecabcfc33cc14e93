"""Graphviz text of a graph: one cluster per group, edges clipped at clusters, loops dashed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph import Graph
from .outline import TOP, Edge, Outline
from .paint import STATES
from .text import printable
from .view import Look, View, view_of

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = (
    "compound=true",
    "rankdir=TB",
    'node [shape=box, style=rounded, fontname="Helvetica"]',
    'graph [style=rounded, fontname="Helvetica"]',
)


def to_dot(graph: Graph | View, name: str) -> str:
    """Draw a graph, under a name, as Graphviz text: nodes in clusters first, then the edges."""
    outline = Outline(view_of(graph))
    lines = [f"digraph {_quoted(name)} {{", *(f"    {line};" for line in HEAD), *_nodes(outline)]
    lines.extend(_edge(outline, edge) for edge in outline.edges)
    return "\n".join([*lines, "}"]) + "\n"


def _nodes(outline: Outline) -> Iterator[str]:
    """Write tasks and clusters, inner ones indented."""
    stack = [iter(outline.children[TOP])]
    while stack:
        indent = "    " * len(stack)
        for node_id in stack[-1]:
            look = outline.look(node_id)
            if not outline.is_group(node_id):
                yield f"{indent}{_quoted(node_id)} [{', '.join([f'label={_text(look)}', *_colours(look)])}];"
                continue
            yield f"{indent}subgraph {_cluster(outline, node_id)} {{"
            yield f"{indent}    label={_text(look)};"
            yield from (f"{indent}    {colour};" for colour in _colours(look))
            if not outline.children[node_id]:
                # A cluster without a node is not drawn.
                yield f"{indent}    {_quoted(node_id)} [label={_label(outline.note(node_id))}, shape=plaintext];"
            stack.append(iter(outline.children[node_id]))
            break
        else:
            stack.pop()
            if stack:
                yield f"{'    ' * len(stack)}}}"


def _edge(outline: Outline, edge: Edge) -> str:
    """Write an edge; at a group it joins a task at its border and is clipped at the cluster."""
    tail, head = outline.last_of(edge.source), outline.first_of(edge.target)
    options: list[str] = []
    if edge.source != edge.target:
        if outline.is_group(edge.source):
            options.append(f"ltail={_cluster(outline, edge.source)}")
        if outline.is_group(edge.target):
            options.append(f"lhead={_cluster(outline, edge.target)}")
    if edge.is_loop:
        options += ["style=dashed", "constraint=false"]
        if edge.source == edge.target and edge.source in outline.view.loops:
            options.append(f"label={_label(outline.view.loops[edge.source])}")
    elif (edge.source, edge.target) in outline.view.jumps:
        options += ["style=dashed", 'label="jump"']
    elif edge.is_member:
        options += ["style=dotted", "arrowhead=none"]
    shown = f" [{', '.join(options)}]" if options else ""
    return f"    {_quoted(tail)} -> {_quoted(head)}{shown};"


def _cluster(outline: Outline, group: str) -> str:
    """Give the name of a group's cluster."""
    return f"cluster_{outline.number[group]}"


def _quoted(text: str) -> str:
    """Write a text as an identifier."""
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(look: Look) -> str:
    """Write what is said of a task or a group, as a label."""
    return _label(f"{look.label}: {look.words}" if look.words else look.label)


def _colours(look: Look) -> Iterator[str]:
    """Colour what has a state."""
    if look.state:
        tone = STATES[look.state].light
        yield 'style="rounded,filled"'
        yield f'fillcolor="{tone.fill}"'
        yield f'color="{tone.line}"'


def _label(text: str) -> str:
    """Write a text as a label, where ampersands begin a character code too."""
    return _quoted(text.replace("&", "&amp;"))
