"""Graphviz text of a graph: one cluster per group, edges clipped at clusters, loops dashed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph import Graph
from .outline import TOP, Edge, Outline
from .text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = (
    "compound=true",
    "rankdir=TB",
    'node [shape=box, style=rounded, fontname="Helvetica"]',
    'graph [style=rounded, fontname="Helvetica"]',
)


def to_dot(graph: Graph, name: str) -> str:
    """Draw a graph, under a name, as Graphviz text: nodes in clusters first, then the edges."""
    outline = Outline(graph)
    lines = [f"digraph {_quoted(name)} {{", *(f"    {line};" for line in HEAD), *_nodes(outline)]
    lines.extend(_edge(outline, edge) for edge in outline.edges)
    return "\n".join([*lines, "}"]) + "\n"


def _nodes(outline: Outline) -> Iterator[str]:
    """Write tasks and clusters, inner ones indented."""
    stack = [iter(outline.children[TOP])]
    while stack:
        indent = "    " * len(stack)
        for node_id in stack[-1]:
            if not outline.is_group(node_id):
                yield f"{indent}{_quoted(node_id)} [label={_label(node_id)}];"
                continue
            yield f"{indent}subgraph {_cluster(outline, node_id)} {{"
            yield f"{indent}    label={_label(node_id)};"
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


def _label(text: str) -> str:
    """Write a text as a label, where ampersands begin a character code too."""
    return _quoted(text.replace("&", "&amp;"))
