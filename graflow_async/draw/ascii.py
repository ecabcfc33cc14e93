"""Text of a graph for terminals, in plain ASCII where ids are.

From top to bottom in rows: a line joins what follows each other. Where lines would cross or be ambiguous, a task names
what it comes after (`<- a, b`); loops are named at their source (`-> back to a`). Groups are boxes, rows too long for
the page are set in brackets and continue on further lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph import Graph
from .block import Block, framed, shelved, stacked
from .layers import Link, arrange, components, longest_path
from .outline import TOP, Outline
from .text import columns, printable, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence
