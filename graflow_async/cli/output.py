"""What a command prints: values for people, JSON for programs, and keeping stdout clean for the latter."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import os
import pprint
import sys
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from .failures import spelled

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence


@contextmanager
def prints_on_stderr() -> Generator[None]:
    """Send what tasks, modules and child processes print to stderr, so that stdout holds the answer alone."""
    sys.stdout.flush()
    # The descriptor and not the stream: child processes and extension modules write to it too.
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def for_people(value: Any) -> str:
    """Show a value: a text as it is, anything else as Python writes it."""
    return value if isinstance(value, str) else pprint.pformat(value, width=100, sort_dicts=False)


def moment(at: float) -> str:
    """Write a moment in the time of this place."""
    try:
        return datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return str(at)  # from a file that says nonsense


def short(text: str, longest: int = 40) -> str:
    """Cut a long text where a person looks at it; a pipe gets all of it."""
    return text if len(text) <= longest or not sys.stdout.isatty() else f"{text[: longest - 3]}..."


def print_table(rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> None:
    """Print rows of cells under each other; `numbers` are the columns that end under each other instead."""
    rows = [[spelled(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    sys.stdout.flush()


def as_json(value: Any) -> str:
    """Write anything as JSON; what JSON does not know becomes the nearest thing it knows, or its repr."""
    return json.dumps(_plain(value, ()), ensure_ascii=False, allow_nan=False)


def _plain(value: Any, around: tuple[int, ...]) -> Any:
    """Turn a value into what JSON knows; `around` holds the ids of the containers it lies in."""
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair is no text
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if id(value) in around:
        return "..."
    around = (*around, id(value))
    if isinstance(value, dict):
        return {_key(key): _plain(item, around) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, around) for item in cast("list[Any]", value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name), around) for f in dataclasses.fields(value)}
    if isinstance(value, (PurePath, UUID, Decimal)):
        return str(value)
    for method in ("model_dump", "isoformat"):
        convert = getattr(value, method, None)
        if callable(convert) and not isinstance(value, type):
            return _plain(convert(), around)
    return repr(value)


def _key(key: Any) -> str:
    """Write a key of a mapping; JSON knows texts only."""
    return key if isinstance(key, str) else str(key)
