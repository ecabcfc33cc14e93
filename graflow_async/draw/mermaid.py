"""Mermaid text of a graph: one subgraph per group, loops dotted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..graph import Graph
from .outline import TOP, Edge, Outline
from .paint import STATES
from .text import printable
from .view import Look, View, view_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Words with a meaning of their own, in any case; "v" is an arrow head, n0 and n0e and so on are ours.
RESERVED = re.compile(
    r"call|class|classdef|click|default|direction|end|flowchart|graph|href|interpolate|linkstyle|style|subgraph"
    r"|_blank|_parent|_self|_top|v|n[0-9]+e?",
    re.IGNORECASE,
)
INSIDE_WORDS = frozenset("_-./,")  # harmless between two letters, markdown elsewhere


def to_mermaid(graph: Graph | View) -> str:
    """Draw a graph as Mermaid text: nodes in subgraphs first, then the edges."""
    outline = Outline(view_of(graph))
    names = {node_id: _name(node_id, number) for node_id, number in outline.number.items()}
    lines = ["graph TD;", *_nodes(outline, names)]
    for edge in outline.edges:
        source, target = edge.source, edge.target
        if source == target and outline.children.get(source):
            # A subgraph cannot be linked with itself.
            source, target = outline.last_of(source), outline.first_of(source)
        arrow = "-.-" if edge.is_member else "-->"
        said = _said(edge, outline.view)
        if said and not edge.is_member:
            arrow = f"-. {said} .->"
        lines.append(f"    {names[source]} {arrow} {names[target]}")
    return "\n".join([*lines, *_colours(outline, names)]) + "\n"


def _said(edge: Edge, view: View) -> str:
    """Give the words at an edge; "" for a plain one."""
    if edge.source == edge.target and edge.source in view.loops:
        return view.loops[edge.source].replace(",", "")
    if (edge.source, edge.target) in view.jumps:
        return "jump"
    return "loop" if edge.is_loop else ""


def _colours(outline: Outline, names: dict[str, str]) -> Iterator[str]:
    """Colour what has a state."""
    found: dict[str, list[str]] = {}
    for node_id in outline.ids:
        look = outline.look(node_id)
        if look.state:
            found.setdefault(look.state, []).append(names[node_id])
    for state, those in found.items():
        tone = STATES[state].light
        yield f"    classDef is_{state} fill:{tone.fill},stroke:{tone.line},color:{tone.ink}"
        yield f"    class {','.join(those)} is_{state}"


def _nodes(outline: Outline, names: dict[str, str]) -> Iterator[str]:
    """Write tasks and subgraphs, inner ones indented."""
    stack = [iter(outline.children[TOP])]
    while stack:
        indent = "    " * len(stack)
        for node_id in stack[-1]:
            name = names[node_id]
            if not outline.is_group(node_id):
                yield f'{indent}{name}["{_text(outline.look(node_id))}"]'
                continue
            yield f'{indent}subgraph {name}["{_text(outline.look(node_id))}"]'
            if not outline.children[node_id]:
                # A subgraph without a node would be drawn as a task.
                yield f'{indent}    n{outline.number[node_id]}e["{outline.note(node_id)}"]'
            stack.append(iter(outline.children[node_id]))
            break
        else:
            stack.pop()
            if stack:
                yield f"{'    ' * len(stack)}end"


def _name(node_id: str, number: int) -> str:
    """Give the name of a node in the text: its id if that is safe there, else a numbered one."""
    if PLAIN_ID.fullmatch(node_id) and not RESERVED.fullmatch(node_id):
        return node_id
    return f"n{number}"


def _text(look: Look) -> str:
    """Write what is said of a task or a group."""
    return f"{_label(look.label)}<br/>{_label(look.words)}" if look.words else _label(look.label)


def _label(text: str) -> str:
    """Write a text so that it means itself: what could be grammar, markdown or HTML in quotes as a character code."""
    text = printable(text)
    shown: list[str] = []
    for before, char, after in zip(" " + text[:-1], text, text[1:] + " ", strict=True):
        in_word = before.isalnum() and after.isalnum() and char in INSIDE_WORDS
        between_words = char == " " and before != " " and after != " "
        shown.append(char if char.isalnum() or in_word or between_words else f"#{ord(char)};")
    return "".join(shown)
