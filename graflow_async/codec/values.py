"""Values as pickles: written by plain pickle where it can, by cloudpickle where it must, read with one kind of failure.

Nothing here checks a signature; the caller has done that.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from .._lazy import lazily
from ..errors import CheckpointCorruptError, NotSerializableError, text_of
from .culprit import class_name, explain, pickled, type_name

_pickletools = lazily("pickletools")


class _Nowhere(io.TextIOBase):
    """Takes a text and keeps nothing of it."""

    def write(self, text: str, /) -> int:
        return len(text)


def dumps(value: Any, what: str, *, check: bool = False) -> bytes:
    """Pickle a value.

    Functions and classes that can be imported go by name, so whoever loads them needs the same modules.

    Args:
        value: anything.
        what: names the value in an error, such as `result of task 'load'`.
        check: also try to load it again; some classes refuse only then.

    Raises:
        NotSerializableError: it cannot be pickled (the message names the part at fault), or not be loaded again.
    """
    try:
        data = pickled(value)
    except Exception as error:
        raise NotSerializableError(
            f"{explain(value, what, error)}; use plain data, or make such a thing where it is used"
        ) from error
    if check:
        try:
            loads(data)
        except (NotSerializableError, CheckpointCorruptError) as error:
            raise NotSerializableError(
                f"{what} ({type_name(value)}) can be pickled, but not be loaded again: {error}"
            ) from error
    return data


def loads(data: bytes) -> Any:
    """Give the value that `dumps` was given; only for bytes that this program wrote, or whose signature was checked.

    Raises:
        NotSerializableError: a class or function is not here, or its own code refused.
        CheckpointCorruptError: the bytes are damaged.
    """
    try:
        return pickle.loads(data)
    except Exception as error:
        who = _refuser(error)
        if (isinstance(error, pickle.UnpicklingError) and not who) or not _is_whole(data):
            raise CheckpointCorruptError(
                f"a pickled value of {len(data)} bytes is damaged ({type(error).__name__}: {text_of(error)}); use an "
                "undamaged copy"
            ) from error
        raise NotSerializableError(
            f"{who or 'a class or function of a pickled value'} cannot be loaded here: {type(error).__name__}: "
            f"{text_of(error)}; it must be importable here, and take back what it gave to pickle"
        ) from error


def _refuser(error: Exception) -> str:
    """Name whose own code raised, from the first call that pickle made; empty if pickle itself did."""
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    if trace is None or isinstance(error, ImportError):  # an ImportError names what is missing
        return ""
    frame = trace.tb_frame
    code = frame.f_code
    if code.co_argcount and code.co_name.startswith("__"):
        first = frame.f_locals.get(code.co_varnames[0])
        return class_name(first) if isinstance(first, type) else type_name(first)
    return f"{frame.f_globals.get('__name__', '?')}.{code.co_qualname}"


def _is_whole(data: bytes) -> bool:
    """Say whether bytes are a pickle from beginning to end, without running anything in it."""
    try:
        _pickletools.dis(io.BytesIO(data), out=_Nowhere())
    except Exception:  # noqa: BLE001  # the parser raises whatever it stumbles upon
        return False
    return True
