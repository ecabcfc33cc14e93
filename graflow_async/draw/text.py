"""Text for drawings: what can be shown of an id, how wide it is, how it is shortened and escaped.

No format's own grammar beyond XML's, and nothing about graphs.
"""

from __future__ import annotations

XML_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """Put a replacement character for each one that cannot be shown: a group's name may hold any."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else REPLACEMENT for char in text)


def columns(text: str) -> int:
    """Count the columns of a fixed-width font that a text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    import unicodedata

    def width(char: str) -> int:
        if unicodedata.category(char) in {"Mn", "Me"}:
            return 0
        return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1

    return sum(map(width, text))


def shorten(text: str, limit: int, ellipsis: str = "\N{HORIZONTAL ELLIPSIS}") -> str:
    """Cut out the middle of a text wider than `limit` columns: ids of a series differ at their ends."""
    if columns(text) <= limit:
        return text
    room = max(limit - columns(ellipsis), 2)
    tail = _fitting(text[::-1], room // 2)[::-1]
    return _fitting(text, room - room // 2) + ellipsis + tail


def _fitting(text: str, limit: int) -> str:
    """Take as much from the start of a text as fits into `limit` columns."""
    end = used = 0
    for char in text:
        used += columns(char)
        if used > limit:
            break
        end += 1
    return text[:end]


def escape_xml(text: str) -> str:
    """Escape a text for XML and HTML, as content and in quoted attributes."""
    return printable(text).translate(XML_ESCAPES)
