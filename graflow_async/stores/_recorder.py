"""The hook of a memory store that writes down what is about to change, before it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..codec import dumps
from ..store import MISSING
from ._changing import Intent, LargeRecord
from ._entries import Verb
from ._value_log import ValueLog
from .memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

# Larger records are written in a thread: copying them to the system would hold up the loop.
_LARGE = 1 << 16


class Recorder:
    """Writes to the log what the verb does that is under way."""

    __slots__ = ("_growing", "_intent", "_log")

    def __init__(self, log: ValueLog, lists: set[str]) -> None:
        """Write to `log`.

        Args:
            log: the open file.
            lists: keys that hold a list, for good.
        """
        self._log = log
        self._intent: Intent | None = None
        # Lists without a deadline: whether and how they may be lengthened is known without asking memory.
        self._growing = lists

    async def act(self, memory: MemoryStore, intent: Intent, verb: Callable[[MemoryStore], Awaitable[T]]) -> T:
        """Let a verb that never waits change memory, so that the hook finds the intent it belongs to."""
        self._intent = intent
        try:
            return await verb(memory)
        finally:
            self._intent = None

    async def append(self, memory: MemoryStore, key: str, value: Any, ttl: float | None) -> int:
        """Lengthen a list, in place if nobody has seen it: with its hook set, memory would copy it every time."""
        intent = self._intent
        if intent is None or intent.data is None or ttl is not None or key not in self._growing:
            return await memory.append(key, value, ttl)
        if intent.written is not Verb.APPEND:
            self._write(intent, Verb.APPEND, key, intent.data)
        intent.is_changing = True
        hook, memory.on_write = memory.on_write, None
        try:
            return await memory.append(key, value)
        finally:
            memory.on_write = hook

    async def clear(self, memory: MemoryStore, prefix: str) -> int:
        """Remove the keys that start with `prefix` with one record for all of them."""
        if await memory.keys(prefix):
            self._log.write(Verb.CLEAR, prefix, b"", None)
        return await memory.clear(prefix)

    def on_write(self, key: str, old: Any, new: Any) -> None:
        """Write the record of a change; whatever this raises keeps memory from making it.

        Raises:
            LargeRecord: it has to be written in a thread first.
            NotSerializableError: the new value cannot be pickled.
            StoreError: the file cannot be written.
        """
        intent = self._intent
        if intent is None or intent.verb is Verb.CLEAR:
            self._growing.discard(key)
            return
        intent.is_changing = True
        verb = intent.verb
        if new is MISSING:
            verb, data = Verb.DELETE, b""
        else:
            data = dumps(new, f"the value of {key!r}") if intent.data is None else intent.data
            if old is MISSING:
                verb = Verb.LIST if verb is Verb.APPEND or verb is Verb.PREPEND else Verb.SET
        if verb is not intent.written:
            self._write(intent, verb, key, data)
        if verb is Verb.LIST and intent.deadline is None:
            self._growing.add(key)
        elif intent.deadline is not None or not (verb is Verb.APPEND or verb is Verb.PREPEND):
            self._growing.discard(key)

    def _write(self, intent: Intent, verb: Verb, key: str, data: bytes) -> None:
        if len(data) > _LARGE:
            raise LargeRecord(verb, key, data)
        self._log.write(verb, key, data, intent.deadline)
