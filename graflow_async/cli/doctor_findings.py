"""What `doctor` finds out."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at; a problem makes the command fail."""

    name: str
    state: Literal["ok", "info", "warning", "problem"]
    detail: str
