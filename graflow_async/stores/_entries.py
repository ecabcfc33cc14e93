"""What the records of a store's file mean, and what a row of them comes to. Nothing here knows of a file or a loop."""

from __future__ import annotations

import math
from collections import deque
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, Any, cast

from ..codec import loads
from ..errors import CheckpointCorruptError, CheckpointVersionError
from ..frames import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FRONT = Struct("<dI")


class Verb(IntEnum):
    """What a record does to its key. Whether a key had expired is decided when it is written, never when it is read."""

    SET = 1  # value and time to live are these
    KEEP = 2  # the value is this; the time to live stays, unless one is given
    LIST = 3  # the value is a new list of this one item, the time to live is this
    APPEND = 4  # the list gets this item at its end
    PREPEND = 5  # the list gets this item at its front
    DELETE = 6
    CLEAR = 7  # the key is a prefix


class Entry:
    """What is known of a key: when it is up, and the pickled pieces that its value is made of, in order.

    Attributes:
        deadline: in seconds since the epoch; None for never.
        pieces: a SET or LIST, and what was done to the list after that.
        size: bytes that the pieces have as records.
    """

    __slots__ = ("deadline", "pieces", "size")

    def __init__(self, deadline: float | None, verb: Verb, data: bytes, size: int) -> None:
        self.deadline = deadline
        self.pieces = [(verb, data)]
        self.size = size

    def value(self) -> Any:
        """Make the value.

        Raises:
            NotSerializableError: something in it cannot be loaded here.
            CheckpointCorruptError: a pickle is damaged.
        """
        verb, data = self.pieces[0]
        first = loads(data)
        if verb is Verb.LIST:
            first = [first]
        if len(self.pieces) == 1:
            return first
        items: deque[Any] = deque(cast("list[Any]", first))
        for verb, data in self.pieces[1:]:
            add = items.append if verb is Verb.APPEND else items.appendleft
            add(loads(data))
        return list(items)


def pack(key: str, data: bytes, deadline: float | None) -> bytes:
    """Make the payload of a record."""
    name = key.encode("utf-8", "surrogatepass")
    return _FRONT.pack(math.nan if deadline is None else deadline, len(name)) + name + data


def unpack(payload: bytes) -> tuple[str, bytes, float | None]:
    """Take a payload apart into key, data and deadline.

    Raises:
        CheckpointCorruptError: it is no such payload.
    """
    if len(payload) < _FRONT.size:
        raise CheckpointCorruptError("a record is too short to name its key")
    deadline, size = _FRONT.unpack_from(payload)
    end = _FRONT.size + size
    try:
        key = payload[_FRONT.size : end].decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise CheckpointCorruptError("the key of a record is no text") from error
    return key, payload[end:], None if math.isnan(deadline) else deadline


def replay(frames: Iterable[Frame], begin: int) -> dict[str, Entry]:
    """Give what a row of records comes to, with the keys whose time is up.

    Args:
        frames: the records of a file from its first on.
        begin: offset of the first record.

    Raises:
        CheckpointVersionError: a record is of a kind that this version does not know.
        CheckpointCorruptError: a record cannot follow those before it.
    """
    entries: dict[str, Entry] = {}
    for frame in frames:
        key, data, deadline = unpack(frame.payload)
        size, begin = frame.end - begin, frame.end
        try:
            verb = Verb(frame.kind)
        except ValueError:
            raise CheckpointVersionError(f"record {frame.seq} is of the unknown kind {frame.kind}") from None
        if verb is Verb.SET or verb is Verb.LIST:
            entries[key] = Entry(deadline, verb, data, size)
        elif verb is Verb.DELETE:
            entries.pop(key, None)
        elif verb is Verb.CLEAR:
            for name in [name for name in entries if name.startswith(key)]:
                del entries[name]
        else:
            _change(entries.get(key), verb, data, deadline, size, frame.seq)
    return entries


def _change(entry: Entry | None, verb: Verb, data: bytes, deadline: float | None, size: int, seq: int) -> None:
    if entry is None:
        raise CheckpointCorruptError(f"record {seq} changes a key that does not exist")
    if deadline is not None:
        entry.deadline = deadline
    if verb is Verb.KEEP:
        entry.pieces = [(Verb.SET, data)]
        entry.size = size
    else:
        entry.pieces.append((verb, data))
        entry.size += size


def alive(entries: dict[str, Entry], now: float) -> Iterator[tuple[str, Entry]]:
    """Yield the keys whose time is not up."""
    for key, entry in entries.items():
        if entry.deadline is None or entry.deadline > now:
            yield key, entry
