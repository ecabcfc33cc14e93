"""A store whose writes are told to somebody who keeps them, and how they are made again: for runs with a journal.

Writes are told by what they do ("add 1"), not by what came of them: when those of an unfinished task are undone, those
of the others still come to the same.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..store import MISSING, KeyValueStore, Peekable, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager

Operation = tuple[Any, ...]
"""(verb, key, ...): for most verbs also a value or an amount, and the wall time at which the key goes (or None)."""


class JournaledStore:
    """Passes every verb on to another store, and tells of every write that was made."""

    def __init__(self, inner: KeyValueStore, note: Callable[[Operation], None], now: Callable[[], float]) -> None:
        """Tell `note` of the writes; `now` is the wall clock, in seconds."""
        self.inner = inner
        self._note = note
        self._now = now

    async def get(self, key: str, default: Any = None) -> Any:
        """Give the value of `key`, or `default` itself; a stored None is a value."""
        return await self.inner.get(key, default)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Give the values of those of `keys` that exist."""
        return await self.inner.get_many(keys)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Store `value`, for `ttl` seconds or for good; an earlier time to live is forgotten."""
        await self.inner.set(key, value, ttl)
        self._note(("set", key, value, self._end(ttl)))

    async def delete(self, key: str) -> bool:
        """Remove `key` and say whether it existed."""
        existed = await self.inner.delete(key)
        if existed:
            self._note(("delete", key))
        return existed

    async def exists(self, key: str) -> bool:
        """Say whether `key` has a value."""
        return await self.inner.exists(key)

    async def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that start with `prefix`, in no promised order."""
        return await self.inner.keys(prefix)

    async def clear(self, prefix: str = "") -> int:
        """Remove the keys that start with `prefix` and give their number."""
        number = await self.inner.clear(prefix)
        if number:
            self._note(("clear", prefix))
        return number

    async def append(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the end of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
        """
        length = await self.inner.append(key, value, ttl)
        self._note(("append", key, value, self._end(ttl)))
        return length

    async def prepend(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the front of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
        """
        length = await self.inner.prepend(key, value, ttl)
        self._note(("prepend", key, value, self._end(ttl)))
        return length

    async def pop(self, key: str, default: Any = None) -> Any:
        """Remove `key` and give the value it had, or `default`."""
        value = await self.inner.pop(key, MISSING)
        if value is MISSING:
            return default
        self._note(("delete", key))
        return value

    async def add(self, key: str, amount: float = 1, ttl: float | None = None) -> Any:
        """Add `amount` to the number under `key` (a missing one counts as 0) and give the new number.

        Raises:
            TypeError: the key, or `amount`, holds something else than an int or float.
        """
        number = await self.inner.add(key, amount, ttl)
        self._note(("add", key, amount, self._end(ttl)))
        return number

    async def compare_and_set(self, key: str, expected: Any, value: Any, ttl: float | None = None) -> bool:
        """Store `value` if the key still holds `expected`, and say whether it did; MISSING stands for no such key."""
        was_set = await self.inner.compare_and_set(key, expected, value, ttl)
        if was_set:
            # What the caller compared with is what it has made the value from: made again, it is this value.
            self._note(("delete", key) if value is MISSING else ("put", key, value, self._end(ttl)))
        return was_set

    def watch(self, prefix: str = "", *, exact: bool = False) -> Watch:
        """Watch the keys that start with `prefix`, or with `exact` the one key of that name."""
        return self.inner.watch(prefix, exact=exact)

    def lock(self, key: str, timeout: float | None = None) -> AbstractAsyncContextManager[int]:
        """Hold the advisory lock of that name.

        Raises:
            LockTimeoutError: on entering, if the lock is not to be had within `timeout` seconds (None: wait for ever).
        """
        return self.inner.lock(key, timeout)

    async def aclose(self) -> None:
        """Close the store behind it."""
        await self.inner.aclose()

    def _end(self, ttl: float | None) -> float | None:
        """Give the wall time at which a key is to go."""
        return None if ttl is None else self._now() + ttl


class PeekableJournaledStore(JournaledStore):
    """The same over a store that can be read without waiting."""

    def peek_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Give the values of those of `keys` that exist, at once."""
        inner: Any = self.inner
        return inner.peek_many(keys)


def journaled(
    inner: KeyValueStore, note: Callable[[Operation], None], now: Callable[[], float] = time.time
) -> JournaledStore:
    """Give a store that passes everything on to `inner` and tells `note` of the writes."""
    kind = PeekableJournaledStore if isinstance(inner, Peekable) else JournaledStore
    return kind(inner, note, now)


async def make_again(store: KeyValueStore, operations: Iterable[Operation], now: float) -> None:
    """Make writes again, in order; `now` is the wall time, in seconds: what was to go by then, goes."""
    for verb, key, *rest in operations:
        if verb == "delete":
            await store.delete(key)
        elif verb == "clear":
            await store.clear(key)
        else:
            value, end = rest
            ttl = None if end is None else end - now
            if verb == "set":
                await store.set(key, value, ttl)
            elif verb == "put":
                await _put(store, key, value, ttl)
            elif verb == "append":
                await store.append(key, value, ttl)
            elif verb == "prepend":
                await store.prepend(key, value, ttl)
            else:
                await store.add(key, value, ttl)


async def _put(store: KeyValueStore, key: str, value: Any, ttl: float | None) -> None:
    """Store a value and, as `compare_and_set` does, keep the key's time to live unless there is a new one."""
    while not await store.compare_and_set(key, await store.get(key, MISSING), value, ttl):
        pass  # one step each in the stores that this is for; nobody else writes before the run goes on
