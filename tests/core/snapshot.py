"""Everything that can be reached from a state, as nested tuples: two equal pictures mean that nothing was changed."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any

OWN = "graflow_async._core"


def picture(state: Any) -> Any:
    """Picture an object of the core with everything of the core that it refers to; the rest stands as its identity."""
    return _picture(state, {})


def _picture(value: Any, seen: dict[int, int]) -> Any:
    """Picture one value; what was met before is a number."""
    if value is None or isinstance(value, (bool, int, float, str, bytes, Enum)):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    if id(value) in seen:
        return ("seen", seen[id(value)])
    if isinstance(value, dict):
        return ("dict", tuple((_picture(k, seen), _picture(v, seen)) for k, v in value.items()))
    if isinstance(value, (list, tuple, deque)):
        return (type(value).__name__, tuple(_picture(item, seen) for item in value))
    if type(value).__module__.startswith(OWN):
        seen[id(value)] = len(seen)
        names = sorted({*getattr(value, "__slots__", ()), *getattr(value, "__dict__", ())})
        fields = tuple((name, _picture(getattr(value, name), seen)) for name in names)
        return (type(value).__name__, fields)
    return (type(value).__name__, id(value))
