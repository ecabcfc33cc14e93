"""Drawings of a graph, for people: Mermaid, Graphviz, plain text, SVG and HTML. Pure functions of the drawn view.

`outline` says what is drawn, `layers` what follows what in which row; `frame` and `layout` place boxes and edges for
`svg`, `block` sets text for `ascii`; `mermaid` and `dot` leave placing to others.
"""

from __future__ import annotations

from .ascii import to_ascii
from .dot import to_dot
from .mermaid import to_mermaid
from .svg import to_html, to_svg

__all__ = ["to_ascii", "to_dot", "to_html", "to_mermaid", "to_svg"]
