"""Words and numbers of the picture, as plain text: nothing here knows rich, or a run."""

from __future__ import annotations

import math
from typing import Any

_LONGEST = 200  # characters of a user's text that are worth looking at


def plain(text: Any, longest: int = _LONGEST) -> str:
    """Give a user's text as one line: line breaks become spaces, other control characters are spelled."""
    try:
        given = text if isinstance(text, str) else str(text)
    except Exception as error:  # noqa: BLE001  # __str__ is the user's code
        given = f"<{type(error).__name__}>"
    line = " ".join(given[: longest + 1].split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return line if len(line) <= longest and len(given) <= longest else f"{line[: longest - 3]}..."


def said(error: BaseException) -> str:
    """Say in one line what an exception says."""
    text = plain(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def number(value: Any) -> float | None:
    """Read a number that a user gave; None for what is none, or has no place on a bar."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def shown(value: float) -> str:
    """Write a number in few characters."""
    if abs(value) >= 1e12:
        return f"{value:.3g}"
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def rate(per_second: float | None) -> str:
    """Write how much is done in a second; nothing where it is not known."""
    if per_second is None or per_second <= 0:
        return ""
    if per_second >= 10:
        return f"{shown(round(per_second))}/s"
    return f"{per_second:.1f}/s" if per_second >= 0.1 else f"{per_second * 60:.1f}/min"


def clock(seconds: float) -> str:
    """Write a span of time as h:mm:ss."""
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def span(seconds: float) -> str:
    """Write how long something took or takes."""
    return f"{max(seconds, 0.0):.1f} s" if seconds < 60 else clock(seconds)
