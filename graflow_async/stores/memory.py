"""Values in this process: the store of a run that asks for no other. The port's rules are in `graflow_async.store`."""

from __future__ import annotations

import asyncio
import time as _time
from typing import TYPE_CHECKING, Any, cast

from .._lazy import lazily
from ..store import MISSING, Change, ChangeKind, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from ._locks import LocalLocks
    from ._watches import Watches

_locking = lazily("graflow_async.stores._locks")
_watching = lazily("graflow_async.stores._watches")
# Keys with a time to live that nobody reads again are swept out when their number has doubled.
_LEAST_SWEEP = 64


class MemoryStore:
    """A dict with times to live, watches and locks, for use on one event loop at a time.

    Values are kept by reference: what is changed inside a value is changed for everyone who holds it, and no watcher
    hears of it. Only lists that are built with `append` and `prepend` are copied where a reader might see them change.
    No verb but waiting (for a lock, for a change) ever suspends its caller.

    Attributes:
        on_write: called with key, old value and new value (MISSING for none) just before a verb changes a key. What it
            raises refuses the write. A key whose time is up goes silently: nobody wrote it.
    """

    __slots__ = (
        "__weakref__",
        "_deadlines",
        "_locks",
        "_now",
        "_own_lists",
        "_sweep_at",
        "_timers",
        "_values",
        "_watch_limit",
        "_watches",
        "on_write",
    )

    def __init__(self, *, time: Callable[[], float] = _time.monotonic, watch_limit: int = 1024) -> None:
        """Make an empty store.

        Args:
            time: the clock of times to live, in seconds; it must not run backwards.
            watch_limit: how many changes a watcher may be behind before it loses the oldest.
        """
        self.on_write: Callable[[str, Any, Any], None] | None = None
        self._now = time
        self._watch_limit = watch_limit
        self._values: dict[str, Any] = {}
        self._deadlines: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._sweep_at = _LEAST_SWEEP
        # Keys of lists made here that nobody has been given yet: these may grow in place.
        self._own_lists: set[str] = set()
        # Made at first use: most runs need neither.
        self._watches: Watches | None = None
        self._locks: LocalLocks | None = None

    async def get(self, key: str, default: Any = None) -> Any:
        """Give the value of `key`, or `default` itself; a stored None is a value."""
        if self._deadlines:
            self._drop_if_due(key)
        if self._own_lists:
            self._own_lists.discard(key)
        return self._values.get(key, default)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Give the values of those of `keys` that exist."""
        return self.peek_many(keys)

    def peek_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Give the values of those of `keys` that exist, at once."""
        values = self._values
        found: dict[str, Any] = {}
        for key in keys:
            if self._deadlines:
                self._drop_if_due(key)
            if key in values:
                self._own_lists.discard(key)
                found[key] = values[key]
        return found

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Store `value`, for `ttl` seconds or for good; an earlier time to live is forgotten."""
        if self._deadlines:
            self._drop_if_due(key)
        self._write(key, value, ttl)
        if ttl is None and self._deadlines:
            self._forget_deadline(key)

    async def delete(self, key: str) -> bool:
        """Remove `key` and say whether it existed."""
        return self._take(key, MISSING) is not MISSING

    async def exists(self, key: str) -> bool:
        """Say whether `key` has a value."""
        if self._deadlines:
            self._drop_if_due(key)
        return key in self._values

    async def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that start with `prefix`, in the order in which they came."""
        if self._deadlines:
            self.drop_due()
        return [key for key in self._values if key.startswith(prefix)]

    async def clear(self, prefix: str = "") -> int:
        """Remove the keys that start with `prefix` and give their number."""
        keys = await self.keys(prefix)
        for key in keys:
            self._remove(key, "delete")
        return len(keys)

    async def append(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the end of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
        """
        items = self._list(key)
        if key in self._own_lists and self.on_write is None and not self._is_watched:
            items.append(value)
            if ttl is not None:
                self._set_deadline(key, ttl)
        else:
            items = self._write_list(key, [*items, value], ttl)
        return len(items)

    async def prepend(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the front of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
        """
        return len(self._write_list(key, [value, *self._list(key)], ttl))

    async def pop(self, key: str, default: Any = None) -> Any:
        """Remove `key` and give the value it had, or `default`."""
        return self._take(key, default)

    async def add(self, key: str, amount: float = 1, ttl: float | None = None) -> Any:
        """Add `amount` to the number under `key` (a missing one counts as 0) and give the new number.

        Raises:
            TypeError: the key, or `amount`, holds something else than an int or float.
        """
        if self._deadlines:
            self._drop_if_due(key)
        old = self._values.get(key, 0)
        for number in (old, amount):
            if not isinstance(number, (int, float)):
                raise TypeError(f"{key!r}: cannot add {amount!r} to {_kind(old)}; both must be an int or float")
        new = old + amount
        self._write(key, new, ttl)
        return new

    async def compare_and_set(self, key: str, expected: Any, value: Any, ttl: float | None = None) -> bool:
        """Store `value` if the key still holds `expected`, and say whether it did; MISSING stands for no such key."""
        if self._deadlines:
            self._drop_if_due(key)
        if not _is_same(self._values.get(key, MISSING), expected):
            return False
        if value is not MISSING:
            self._write(key, value, ttl)
        elif expected is not MISSING:
            self._remove(key, "delete")
        return True

    def watch(self, prefix: str = "", *, exact: bool = False) -> Watch:
        """Watch the keys that start with `prefix`, or with `exact` the one key of that name, from now on."""
        if self._watches is None:
            self._watches = cast("Watches", _watching.Watches())
        watch = self._watches.open(prefix, self._watch_limit, exact=exact)
        for key in [prefix] if exact else list(self._deadlines):
            if key in self._deadlines and key.startswith(prefix):
                self._arm(key)
        return watch

    def lock(self, key: str, timeout: float | None = None) -> AbstractAsyncContextManager[int]:
        """Hold the advisory lock of that name, first come, first served; entering gives a fencing number.

        Raises:
            LockTimeoutError: on entering, if the lock is not to be had within `timeout` seconds (None: wait for ever).
        """
        if self._locks is None:
            self._locks = cast("LocalLocks", _locking.LocalLocks())
        return self._locks.lock(key, timeout)

    def drop_due(self) -> int:
        """Drop every key whose time is up now, tell the watchers, and give their number.

        Only a test that moves the clock by hand needs to call it.
        """
        now = self._now()
        due = [key for key, deadline in self._deadlines.items() if deadline <= now]
        for key in due:
            self._expire(key)
        return len(due)

    async def aclose(self) -> None:
        """End all watches and timers; the values stay, so that a later run may find them."""
        if self._watches is not None:
            self._watches.end()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    @property
    def _is_watched(self) -> bool:
        return self._watches is not None and self._watches.active

    def _write(self, key: str, value: Any, ttl: float | None) -> None:
        if self.on_write is not None:
            self.on_write(key, self._values.get(key, MISSING), value)
        self._values[key] = value
        if self._own_lists:
            self._own_lists.discard(key)
        if self._watches is not None and self._watches.active:
            self._watches.publish(Change(key, value, "set"))
        if ttl is not None:
            self._set_deadline(key, ttl)

    def _write_list(self, key: str, items: list[Any], ttl: float | None) -> list[Any]:
        self._write(key, items, ttl)
        if self.on_write is None and not self._is_watched and key in self._values:
            self._own_lists.add(key)
        return items

    def _list(self, key: str) -> list[Any]:
        if self._deadlines:
            self._drop_if_due(key)
        items = self._values.get(key, MISSING)
        if items is MISSING:
            return []
        if not isinstance(items, list):
            raise TypeError(f"{key!r} holds {_kind(items)}, not a list; append and prepend need a list or a new key")
        return cast("list[Any]", items)

    def _take(self, key: str, default: Any) -> Any:
        if self._deadlines:
            self._drop_if_due(key)
        if key not in self._values:
            return default
        return self._remove(key, "delete")

    def _remove(self, key: str, kind: ChangeKind) -> Any:
        if self.on_write is not None and kind == "delete":
            self.on_write(key, self._values[key], MISSING)
        value = self._values.pop(key)
        self._own_lists.discard(key)
        self._forget_deadline(key)
        if self._watches is not None and self._watches.active:
            self._watches.publish(Change(key, None, kind))
        return value

    def _expire(self, key: str) -> None:
        self._remove(key, "expire")

    def _drop_if_due(self, key: str) -> None:
        deadline = self._deadlines.get(key)
        if deadline is not None and deadline <= self._now():
            self._expire(key)

    def _set_deadline(self, key: str, ttl: float) -> None:
        if ttl <= 0:
            self._expire(key)
            return
        self._deadlines[key] = self._now() + ttl
        if self._watches is not None and self._watches.covers(key):
            self._arm(key)
        if len(self._deadlines) >= self._sweep_at:
            self.drop_due()
            self._sweep_at = max(_LEAST_SWEEP, 2 * len(self._deadlines))

    def _forget_deadline(self, key: str) -> None:
        self._deadlines.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _arm(self, key: str) -> None:
        """Let the loop look after a key that somebody watches; all others expire when they are next touched."""
        timer = self._timers.get(key)
        if timer is not None:
            timer.cancel()
        delay = max(0.0, self._deadlines[key] - self._now())
        self._timers[key] = asyncio.get_running_loop().call_later(delay, self._on_timer, key)

    def _on_timer(self, key: str) -> None:
        del self._timers[key]
        self._drop_if_due(key)
        if key in self._deadlines:
            # The two clocks differ, or the loop rounded down.
            self._arm(key)


def _is_same(current: Any, expected: Any) -> bool:
    if current is expected:
        return True
    if type(current) is not type(expected):
        return False
    try:
        return bool(current == expected)
    except (TypeError, ValueError):
        # Arrays compare element by element and have no truth value: not known to be equal is not equal.
        return False


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"
