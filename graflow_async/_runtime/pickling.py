"""The pickler for what plain pickle refuses: functions by value, and parts of a run by reference.

Loaded only when it is needed: cloudpickle is slow to import.
"""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

if TYPE_CHECKING:
    from collections.abc import Callable

_Pickler: Any = cloudpickle.Pickler


class _ByReference(_Pickler):
    """Pickles functions and classes by value where need be, and asks `refer` about everything else first."""

    def __init__(self, file: io.BytesIO, refer: Callable[[Any], Any]) -> None:
        super().__init__(file, protocol=5)  # pyright: ignore[reportUnknownMemberType]  # it has no types
        self._refer = refer

    def persistent_id(self, obj: Any) -> Any:
        """Give the reference that stands for an object; None for objects that are pickled as they are."""
        return self._refer(obj)


class _Resolving(pickle.Unpickler):
    """Unpickles what `_ByReference` has written."""

    def __init__(self, file: io.BytesIO, resolve: Callable[[Any], Any]) -> None:
        super().__init__(file)
        self._resolve = resolve

    def persistent_load(self, pid: Any) -> Any:
        """Give the object that a reference stands for."""
        return self._resolve(pid)


def dumps(value: Any, refer: Callable[[Any], Any]) -> bytes:
    """Pickle a value; `refer` gives a reference for objects that are not to be pickled, None for the others.

    Raises:
        Exception: whatever pickling a user's object raises.
    """
    file = io.BytesIO()
    _ByReference(file, refer).dump(value)
    return file.getvalue()


def loads(data: bytes, resolve: Callable[[Any], Any]) -> Any:
    """Unpickle; only for bytes whose signature was checked.

    Raises:
        Exception: whatever unpickling a user's object raises.
    """
    return _Resolving(io.BytesIO(data), resolve).load()
