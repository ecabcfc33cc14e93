"""Text for drawings: what can be shown of an id, how wide it is, how it is shortened and escaped; numbers in words.

No format's own grammar beyond XML's, and nothing about graphs.
"""

from __future__ import annotations

XML_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
TIMES = "\N{MULTIPLICATION SIGN}"


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


def many(count: int) -> str:
    """Write a number of things, thousands apart."""
    return f"{count:,}"


def times(count: int, thing: str) -> str:
    """Write how many of a thing there are: "1 turn", "2 turns"."""
    return f"{many(count)} {thing}" if count == 1 else f"{many(count)} {thing}s"


def duration(seconds: float) -> str:
    """Write how long something took, in about three digits."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 0.5e-9:
        return "0 s"
    if seconds < 0.9995e-6:
        return f"{seconds * 1e9:.0f} ns"
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{_digits(seconds * 1e3)} ms"
    if seconds < 59.95:
        return f"{_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _digits(value: float) -> str:
    """Write a number below 1,000 with three digits, without zeros at its end."""
    text = f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
