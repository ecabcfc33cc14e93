"""Finds the part of a value that cannot be pickled, and names the way to it.

A search tries to pickle parts of parts, always the half of them that holds the fault, until something fails whose own
parts all pass. It runs only after pickling has failed, takes the user's `__reduce__` and `__getstate__` at their word,
and gives up (saying so) rather than try too often, too much or too deep.
"""

from __future__ import annotations

import functools
import pickle
import types
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._lazy import lazily
from ..errors import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_cloudpickle = lazily("cloudpickle")

_MAX_DEPTH = 40
_MAX_TRIALS = 2_000
_MAX_PARTS = 100_000  # parts of one object that are looked at
_MAX_BYTES = 1 << 28  # pickled in trials, all together
_MAX_NAME = 60  # characters of a key in a path
_BUILT_IN = frozenset({dict, list, tuple, set, frozenset})
# In a class, but left out of its pickle.
_NOT_PICKLED = (types.GetSetDescriptorType, types.MemberDescriptorType)

Part = tuple[str, Any]
"""A part of an object: how to write the way to it, and the part itself."""


def pickled(value: Any) -> bytes:
    """Pickle a value; functions and classes that cannot be imported go by value.

    Raises:
        Exception: whatever pickling a user's object raises.
    """
    try:
        return pickle.dumps(value, 5)
    except Exception:  # noqa: BLE001  # pickling runs user code, which may raise anything
        return _cloudpickle.dumps(value, protocol=5)


def explain(value: Any, what: str, error: BaseException, attempt: Callable[[Any], bytes] = pickled) -> str:
    """Say which part of a value cannot be pickled, and why.

    Args:
        value: it was refused.
        what: names the value; the way to the part goes on from there.
        error: the refusal.
        attempt: pickles, or raises what was raised.
    """
    path, culprit, is_exact = _Search(attempt).look(what, value, _MAX_DEPTH) or (what, value, False)
    where = f"{path} ({type_name(culprit)})"
    return f"{where if is_exact else f'something in {where}'} cannot be pickled: {text_of(error)}"


def kind_of(value: object) -> type[Any]:
    """Give the type of a value, whatever it says of itself."""
    return type(value)


def type_name(value: object) -> str:
    """Give the name of a value's type, with its module unless it is built in."""
    return class_name(type(value))


def class_name(cls: type[Any]) -> str:
    """Give the name of a class, with its module unless it is built in."""
    module = getattr(cls, "__module__", "builtins")
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


class _Search:
    """One search, with what it may still spend."""

    __slots__ = ("_attempt", "_bytes", "_is_exhausted", "_seen", "_trials")

    def __init__(self, attempt: Callable[[Any], bytes]) -> None:
        self._attempt = attempt
        self._trials = _MAX_TRIALS
        self._bytes = _MAX_BYTES
        self._is_exhausted = False
        self._seen: dict[int, Any] = {}  # the objects as well, so that no id is used again

    def look(self, path: str, value: Any, depth: int) -> tuple[str, Any, bool] | None:
        """Give way, object and whether that is certain; None if everything stuck in here leads back outside."""
        self._seen[id(value)] = value
        is_passed = True
        parts = _shown_parts(value)
        for label, part in self._failing(parts):
            if depth == 0:
                return path, value, False
            is_passed = False
            if id(part) not in self._seen:
                found = self.look(path + label, part, depth - 1)
                if found is not None:
                    return found
        is_certain = not self._is_exhausted and len(parts) <= _MAX_PARTS
        return (path, value, is_certain) if is_passed else None

    def _failing(self, parts: list[Part]) -> Iterator[Part]:
        """Yield the parts that cannot be pickled, in order, found by halves."""
        if not parts or self._passes([part for _, part in parts]):
            return
        if len(parts) == 1:
            yield parts[0]
            return
        middle = len(parts) // 2
        yield from self._failing(parts[:middle])
        yield from self._failing(parts[middle:])

    def _passes(self, values: list[Any]) -> bool:
        if self._trials <= 0 or self._bytes <= 0:
            self._is_exhausted = True
            return True
        self._trials -= 1
        try:
            self._bytes -= len(self._attempt(values))
        except Exception:  # noqa: BLE001  # pickling runs user code, which may raise anything
            return False
        return True


def _shown_parts(value: Any) -> list[Part]:
    """Give the parts of a value; one more than the limit if there are too many."""
    parts: list[Part] = []
    with suppress(Exception):  # a user's object may refuse to be looked at; what it showed before counts
        parts.extend(islice(_parts_of(value), _MAX_PARTS + 1))
    return parts


def _parts_of(value: Any) -> Iterator[Part]:
    if isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif issubclass(type(value), functools.partial):
        yield ".func", value.func
        yield from _indexed(".args", value.args)
        yield from _keyed(".keywords", value.keywords)
    elif isinstance(value, type):
        members = vars(value).items()
        yield from ((f".{n}", m) for n, m in members if not isinstance(m, _NOT_PICKLED) and n != "_abc_impl")
    else:
        yield from _items_of(value)
        if type(value) not in _BUILT_IN:
            yield from _parts_of_object(value)


def _items_of(value: Any) -> Iterator[Part]:
    kind = kind_of(value)
    if issubclass(kind, dict):
        yield from _keyed("", value)
    elif issubclass(kind, tuple) and hasattr(value, "_fields"):
        yield from ((f".{name}", part) for name, part in zip(value._fields, value, strict=False))
    elif issubclass(kind, list | tuple):
        yield from _indexed("", value)
    elif issubclass(kind, set | frozenset):
        yield from ((f" -> element {_short(part)}", part) for part in value)


def _parts_of_function(function: types.FunctionType) -> Iterator[Part]:
    """Yield what a function takes along when it is pickled by value."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f" -> closure variable {name!r}", cell.cell_contents
        except ValueError:  # it is not set yet
            continue
    for name in sorted(_names_in(function.__code__)):
        if name in function.__globals__:
            yield f" -> global {name!r}", function.__globals__[name]
    yield from _indexed(".__defaults__", function.__defaults__ or ())
    yield from _keyed(".__kwdefaults__", function.__kwdefaults__ or {})
    yield from ((f".{name}", part) for name, part in vars(function).items())


def _names_in(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return names


def _parts_of_object(value: Any) -> Iterator[Part]:
    """Yield what an object hands to pickle, which need not be what it has."""
    reduced: Any = value.__reduce_ex__(5)
    if not issubclass(type(reduced), tuple):  # the name of something that can be imported
        return
    parts: tuple[Any, ...] = (*reduced, None, None, None)
    make, arguments, state, items, pairs = parts[:5]
    if getattr(make, "__name__", "") == "__newobj__":
        yield ".__class__", arguments[0]
        yield from _indexed(".__getnewargs__()", arguments[1:])
    elif isinstance(value, BaseException) and make is type(value):
        yield from _indexed(".args", arguments)
    else:
        yield from _indexed(".__reduce__()[1]", arguments)
    yield from _parts_of_state(value, state)
    yield from _indexed("", items or ())
    yield from ((f"[{_short(key)}]", part) for key, part in pairs or ())


def _parts_of_state(value: Any, state: Any) -> Iterator[Part]:
    fields: Any = getattr(value, "__dataclass_fields__", ())
    kind = kind_of(state)
    if kind is dict:
        yield from ((f".{name}", part) for name, part in state.items())
    elif kind is tuple and len(state) == 2 and type(state[1]) is dict:
        for half in state:  # what is in __dict__, and what is in slots
            yield from _parts_of_state(value, half)
    elif kind is list and len(state) == len(fields):  # a frozen dataclass with slots
        yield from ((f".{name}", part) for name, part in zip(fields, state, strict=True))
    elif state is not None:
        yield ".__getstate__()", state


def _indexed(name: str, parts: Iterable[Any]) -> Iterator[Part]:
    return ((f"{name}[{number}]", part) for number, part in enumerate(parts))


def _keyed(name: str, parts: dict[Any, Any]) -> Iterator[Part]:
    for key, part in parts.items():
        shown = _short(key)
        yield f"{name}[{shown}]", part
        if not isinstance(key, str | int):
            yield f"{name} -> key {shown}", key


def _short(key: Any) -> str:
    """Show a key or an element within bounds."""
    try:
        shown = repr(key[: _MAX_NAME + 1] if isinstance(key, str) else key)
    except Exception:  # noqa: BLE001  # a user's own repr
        return f"<{type_name(key)}>"
    return shown if len(shown) <= _MAX_NAME else f"{shown[:_MAX_NAME]}..."
