"""Exceptions as bytes: with their type where that is possible, and never without their text.

An exception is tried as it pickles itself, then from its arguments and attributes without calling its constructor
(which often wants something else than `args`), and at last as a `RemoteTaskError`. Each try must give the same type
and the same text again. Its `__cause__` goes along, each link of that chain on its own; the traceback becomes a note.
"""

from __future__ import annotations

import operator
import pickle
import re
import traceback
from contextlib import suppress
from itertools import pairwise
from typing import Any

from ..errors import CheckpointCorruptError, GraflowError, RemoteTaskError, note, text_of
from .culprit import kind_of, type_name
from .values import dumps, loads

_TRACE = "Traceback where it was raised:\n"
_MAX_LINKS = 32  # exceptions of one chain
_MAX_TRACE = 20_000  # characters
_MAX_NESTING = 4  # arguments in lists in mappings that are searched for exceptions
_ADDRESS = re.compile("0x[0-9a-fA-F]+")  # in a text made from objects, another one for every copy

Link = tuple[str, str, list[str], str, bytes]
"""One exception: name of its type, text, notes, traceback, and its pickle."""

Memo = dict[int, tuple[BaseException, Any]]
"""By the id of an exception: itself, and its form; None while that is being found."""


def dumps_error(error: BaseException) -> bytes:
    """Pickle an exception with its notes, its chain of causes and its traceback as text; this never fails."""
    links: list[Link] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and len(links) < _MAX_LINKS:
        seen.add(id(link))
        links.append(_packed(link))
        link = link.__cause__
    return pickle.dumps(links, 5)


def loads_error(data: bytes) -> BaseException:
    """Give the exception that `dumps_error` was given; only for bytes that were written here or checked.

    What cannot be loaded here arrives as a `RemoteTaskError`.

    Raises:
        CheckpointCorruptError: the bytes are damaged, or hold something else.
        NotSerializableError: they hold something else, which cannot be loaded here.
    """
    whole = loads(data)
    try:
        errors = [_unpacked(*link) for link in whole]
        first, trace = errors[0], whole[0][3]
    except (TypeError, ValueError, LookupError) as error:
        raise CheckpointCorruptError(f"{len(data)} bytes hold no exception but a {type(whole).__qualname__}") from error
    for outer, cause in pairwise(errors):
        object.__setattr__(outer, "__cause__", cause)  # a frozen exception refuses its own way of setting it
    is_told = any(line.startswith(_TRACE) for line in _notes(first))  # it has travelled before
    if trace and not is_told:
        note(first, f"{_TRACE}{trace}")
    return first


def _packed(error: BaseException) -> Link:
    payload = dumps(_form(error, {}), "an exception")
    return type_name(error), text_of(error), _notes(error), _trace(error), payload


def _unpacked(name: str, text: str, notes: list[str], trace: str, payload: Any) -> BaseException:
    if not isinstance(payload, bytes):
        raise TypeError(f"a pickled exception is bytes, not {type_name(payload)}")
    try:
        error: Any = loads(payload)
    except GraflowError as failure:
        return _stand_in(name, text, trace, notes, str(failure))
    if not isinstance(error, BaseException):
        return _stand_in(name, text, trace, notes, f"it was loaded as a {type_name(error)}")
    return error


class _Recipe:
    """Pickles as an exception that is put together from its parts."""

    __slots__ = ("parts",)

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, self.parts


def _remake(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """Make an exception from its parts without calling its constructor."""
    error = cls.__new__(cls, *args)
    object.__setattr__(error, "args", args)
    error.__dict__.update(state)
    return error


def _form(error: BaseException, memo: Memo) -> Any:
    """Give what is pickled in the place of an exception: itself, a recipe, or a stand-in.

    Args:
        error: the exception.
        memo: what is known already, so that one exception in two places stays one.
    """
    if id(error) in memo:
        return memo[id(error)][1] or _stand_in_for(error, "it contains itself")
    memo[id(error)] = error, None
    form: Any = error
    args, state = error.args, error.__dict__
    own_args, own_state = _swapped(args, memo, _MAX_NESTING), _swapped(state, memo, _MAX_NESTING)
    is_plain = own_args is args and own_state is state
    obstacle = _obstacle(form, error) if is_plain else "an exception in it cannot travel as it is"
    if obstacle:
        form = _Recipe(type(error), own_args, own_state)
        if _obstacle(form, error):
            form = _stand_in_for(error, obstacle)
    memo[id(error)] = error, form
    return form


def _swapped(value: Any, memo: Memo, nesting: int) -> Any:
    """Put the forms of exceptions in their places, in plain containers as well: groups consist of them.

    What holds no exception, or only such as travel as they are, is given back itself.
    """
    if isinstance(value, BaseException):
        return _form(value, memo)
    kind = kind_of(value)
    if not nesting or kind not in {dict, list, tuple}:
        return value
    old: list[Any] = list(value.values() if kind is dict else value)
    new = [_swapped(part, memo, nesting - 1) for part in old]
    if all(map(operator.is_, old, new)):
        return value
    return dict(zip(value, new, strict=True)) if kind is dict else tuple(new) if kind is tuple else new


def _obstacle(form: Any, error: BaseException) -> str:
    """Say what keeps `form` from being loaded as `error`; empty if nothing does."""
    try:
        copy = loads(dumps(form, type_name(error)))
    except GraflowError as failure:
        return str(failure)
    if type(copy) is not type(error):
        return f"it was loaded as a {type_name(copy)}"
    is_same = _ADDRESS.sub("", text_of(copy)) == _ADDRESS.sub("", text_of(error))
    return "" if is_same else "its text was another one when it was loaded"


def _stand_in_for(error: BaseException, reason: str) -> RemoteTaskError:
    return _stand_in(type_name(error), text_of(error), _trace(error), _notes(error), reason)


def _stand_in(name: str, text: str, trace: str, notes: list[str], reason: str) -> RemoteTaskError:
    error = RemoteTaskError(name, text, trace)
    for line in notes:
        error.add_note(line)
    error.add_note(f"It arrives as text: {reason}")
    return error


def _notes(error: BaseException) -> list[str]:
    notes: Any = getattr(error, "__notes__", ())
    return [line for line in notes if issubclass(kind_of(line), str)] if kind_of(notes) is list else []


def _trace(error: BaseException) -> str:
    """Give the traceback with those of its causes, cut in the middle if it is long; empty if there is none."""
    text = ""
    if error.__traceback__ is not None or error.__cause__ is not None:
        with suppress(Exception):  # a user's exception may do anything when it is shown
            text = "".join(traceback.format_exception(error)).rstrip()
    if len(text) <= _MAX_TRACE:
        return text
    return f"{text[: _MAX_TRACE // 4]}\n  [...]\n{text[-_MAX_TRACE * 3 // 4 :]}"
