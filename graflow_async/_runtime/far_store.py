"""The run's store, as a body sees it that runs elsewhere."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from .._lazy import lazily
from ..store import Change, lock_holder
from .talk import SEEN_AT_MOST, Talk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

codec = lazily("graflow_async.codec")


class FarStore:
    """The run's store, verb by verb."""

    def __init__(self, talk: Talk) -> None:
        """Ask through `talk`."""
        self._talk = talk
        self._watches: dict[int, FarWatch] = {}
        self._numbers = 0
        self._seen: deque[tuple[int, Any]] | None = None

    def number(self) -> int:
        """Number a lock or a watch."""
        self._numbers += 1
        return self._numbers

    async def _verb(self, verb: str, *args: Any) -> Any:
        return await self._talk.ask("store", verb, args)

    async def get(self, key: str, default: Any = None) -> Any:
        """See `KeyValueStore.get`."""
        number = self.number()
        found = await self._talk.ask("read", number, key)
        if key not in found:
            return default
        value = found[key]
        if self._seen is None:
            self._seen = deque(maxlen=SEEN_AT_MOST)
        self._seen.append((number, value))
        return value

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """See `KeyValueStore.get_many`."""
        return await self._verb("get_many", list(keys))

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """See `KeyValueStore.set`."""
        await self._verb("set", key, value, ttl)

    async def delete(self, key: str) -> bool:
        """See `KeyValueStore.delete`."""
        return await self._verb("delete", key)

    async def exists(self, key: str) -> bool:
        """See `KeyValueStore.exists`."""
        return await self._verb("exists", key)

    async def keys(self, prefix: str = "") -> list[str]:
        """See `KeyValueStore.keys`."""
        return await self._verb("keys", prefix)

    async def clear(self, prefix: str = "") -> int:
        """See `KeyValueStore.clear`."""
        return await self._verb("clear", prefix)

    async def append(self, key: str, value: Any, ttl: float | None = None) -> int:
        """See `KeyValueStore.append`."""
        return await self._verb("append", key, value, ttl)

    async def prepend(self, key: str, value: Any, ttl: float | None = None) -> int:
        """See `KeyValueStore.prepend`."""
        return await self._verb("prepend", key, value, ttl)

    async def pop(self, key: str, default: Any = None) -> Any:
        """See `KeyValueStore.pop`."""
        return await self._verb("pop", key, default)

    async def add(self, key: str, amount: float = 1, ttl: float | None = None) -> Any:
        """See `KeyValueStore.add`."""
        return await self._verb("add", key, amount, ttl)

    async def compare_and_set(self, key: str, expected: Any, value: Any, ttl: float | None = None) -> bool:
        """See `KeyValueStore.compare_and_set`."""
        for number, seen in self._seen or ():
            if seen is expected:  # there it is compared as itself: a copy need not be equal
                return await self._talk.ask("swap", key, number, expected, value, ttl)
        return await self._verb("compare_and_set", key, expected, value, ttl)

    def watch(self, prefix: str = "", *, exact: bool = False) -> FarWatch:
        """See `KeyValueStore.watch`."""
        watch = FarWatch(self._talk, self.number(), prefix, exact=exact)
        self._watches[watch.number] = watch
        return watch

    def lock(self, key: str, timeout: float | None = None) -> AbstractAsyncContextManager[int]:
        """See `KeyValueStore.lock`."""
        return FarLock(self._talk, self.number(), key, timeout)

    async def aclose(self) -> None:
        """Do nothing: the store is the run's."""

    def changed(self, number: int, change: tuple[str, Any, Any] | bytes | None) -> None:
        """Give a change to its watch; None for the end, bytes for a failure."""
        watch = self._watches[number]
        if isinstance(change, bytes):
            watch.put(codec.loads_error(change))
        else:
            watch.put(None if change is None else Change(*change))


class FarWatch:
    """A watch of the run's store."""

    def __init__(self, talk: Talk, number: int, prefix: str, *, exact: bool) -> None:
        """Watch a prefix, or a key."""
        self.number = number
        self._talk = talk
        self._what = (prefix, exact)
        self._changes: asyncio.Queue[Change | BaseException | None] = asyncio.Queue()
        self._is_open = False
        self._is_over = False

    def put(self, change: Change | BaseException | None) -> None:
        """Take a change, or a failure; None for the end."""
        self._changes.put_nowait(change)

    def __aiter__(self) -> Self:
        """Give the watch itself."""
        return self

    async def __anext__(self) -> Change:
        """Wait for the next change.

        Raises:
            StopAsyncIteration: the watch or its store was closed.
            NotSerializableError: a value cannot be sent here.
        """
        await self.__aenter__()
        change = None if self._is_over else await self._changes.get()
        if change is None:
            self._is_over = True
            raise StopAsyncIteration
        if isinstance(change, BaseException):
            raise change
        return change

    async def __aenter__(self) -> Self:
        """Begin to watch, at the latest now."""
        if not self._is_open and not self._is_over:
            self._is_open = True
            try:
                await self._talk.ask("watched", self.number, *self._what)
            except BaseException:
                await self.aclose()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the watch."""
        await self.aclose()

    async def aclose(self) -> None:
        """Stop watching."""
        if self._is_open and not self._is_over:
            self._talk.tell("unwatched", self.number)
        self._is_over = True
        self._changes.put_nowait(None)


class FarLock:
    """A lock of the run's store."""

    __slots__ = ("_key", "_number", "_talk", "_timeout")

    def __init__(self, talk: Talk, number: int, key: str, timeout: float | None) -> None:
        """Stand before the lock."""
        self._talk = talk
        self._number = number
        self._key = key
        self._timeout = timeout

    async def __aenter__(self) -> int:
        """Take it, and give its fencing number."""
        holder = id(lock_holder.get() or asyncio.current_task())
        try:
            return await self._talk.ask("locked", self._number, holder, self._key, self._timeout)
        except BaseException:
            self._talk.tell("unlocked", self._number)  # it may have come at the very moment of a cancellation
            raise

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self._talk.tell("unlocked", self._number)
