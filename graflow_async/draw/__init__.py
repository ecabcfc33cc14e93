"""Drawings for people: of a graph and of a run (Mermaid, Graphviz, plain text, SVG, HTML), and of a run's timeline.

Pure functions of data; nothing here runs anything or fetches anything.

`view` says what is drawn of a graph, `ran` of a run; `outline` what lies in what, `layers` what follows what in which
row; `frame` and `layout` place boxes and edges for `svg`, `block` sets text for `ascii`; `mermaid` and `dot` leave
placing to others. `paint` has the colours.
"""

from __future__ import annotations

from .ascii import to_ascii
from .bars import timeline_svg
from .dot import to_dot
from .mermaid import to_mermaid
from .page import timeline_html
from .ran import ran
from .svg import to_html, to_svg
from .view import View

__all__ = ["View", "ran", "timeline_html", "timeline_svg", "to_ascii", "to_dot", "to_html", "to_mermaid", "to_svg"]
