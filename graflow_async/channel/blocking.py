"""Channels as sync tasks use them from worker threads: the same names, blocking.

Everything that touches the store happens on the run's loop; functions that a user hands in (of `update`, of `wait`) run
in the calling thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from ..store import MISSING, Change, lock_holder
from .shared import (
    LOCK_TIMEOUT,
    Channel,
    ChannelWatch,
    TypedChannel,
    Values,
    read_for_update,
    settled,
    step,
    update_lock,
    waited_too_long,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType

T = TypeVar("T")
M = TypeVar("M")


class Call(Protocol):
    """Runs a coroutine function on the run's loop and blocks the calling thread for its value."""

    def __call__(self, function: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Give what `await function(*args)` gives there."""
        ...


class SyncChannel:
    """A channel for a worker thread; each verb is that of `Channel`.

    Attributes:
        channel: the asynchronous channel below.
        call: runs a coroutine function on the run's loop and waits for it here.
    """

    __slots__ = ("call", "channel")

    def __init__(self, channel: Channel, call: Call) -> None:
        self.channel = channel
        self.call = call

    def __repr__(self) -> str:
        return f"Sync{self.channel!r}"

    @property
    def name(self) -> str:
        """Give the channel's name."""
        return self.channel.name

    def typed(self, model: type[M]) -> SyncTypedChannel[M]:
        """Give this channel for values of a TypedDict, dataclass or pydantic model only.

        Raises:
            ValueError: it is no such model.
        """
        return SyncTypedChannel(self, model)

    def get(self, key: str, default: Any = None) -> Any:
        """Give the value of `key`, or `default`; a stored None is a value."""
        return self.call(self.channel.get, key, default)

    def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Store `value`, for `ttl` seconds or for good; an earlier time to live is forgotten."""
        self.call(self.channel.set, key, value, ttl)

    def delete(self, key: str) -> bool:
        """Remove `key` and say whether it existed."""
        return self.call(self.channel.delete, key)

    def exists(self, key: str) -> bool:
        """Say whether `key` has a value, None included."""
        return self.call(self.channel.exists, key)

    def keys(self) -> list[str]:
        """Give all keys, in no promised order."""
        return self.call(self.channel.keys)

    def clear(self) -> int:
        """Remove all keys and give their number."""
        return self.call(self.channel.clear)

    def append(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the end of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
        """
        return self.call(self.channel.append, key, value, ttl)

    def prepend(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the front of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
        """
        return self.call(self.channel.prepend, key, value, ttl)

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove `key` and give the value it had, or `default`."""
        return self.call(self.channel.pop, key, default)

    def atomic_add(self, key: str, n: float = 1) -> Any:
        """Add `n` to the number under `key` (a missing one counts as 0) and give the new number.

        Raises:
            TypeError: the key, or `n`, holds something else than an int or float.
        """
        return self.call(self.channel.atomic_add, key, n)

    def update(self, key: str, fn: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace the value by `fn(value)`, called in this thread, as one step; give the new value."""
        full = self.channel.prefix + key
        with _SyncLock(self.call, update_lock, self.channel, key):
            while True:
                expected, current = self.call(read_for_update, self.channel, key, default)
                new = self._settled(fn(current))
                if self.call(self.channel.store.compare_and_set, full, expected, new):
                    return new

    def lock(self, key: str, timeout: float | None = LOCK_TIMEOUT) -> AbstractContextManager[int]:
        """Hold the advisory lock of that name, re-entrant in this thread; entering gives a fencing number.

        Raises:
            LockTimeoutError: on entering, if it is not to be had within `timeout` seconds (None: wait for ever).
        """
        return _SyncLock(self.call, self.channel.lock, key, timeout)

    def wait(self, key: str, predicate: Callable[[Any], Any] | None = None, timeout: float | None = None) -> Any:
        """Wait until `key` has a value for which `predicate`, called in this thread, is true; give that value.

        Raises:
            TimeoutError: that took longer than `timeout` seconds.
            StoreError: the store was closed.
        """
        if predicate is None:
            return self.call(self.channel.wait, key, None, timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        values = self.call(_entered, Values, self.channel, key)
        try:
            while True:
                value = self.call(_next_within, values, None if deadline is None else deadline - time.monotonic())
                if value is MISSING:
                    raise waited_too_long(self.channel, key, timeout)
                if self._settled(predicate(value)):
                    return value
        finally:
            self.call(values.__aexit__)

    def watch(self, key: str | None = None) -> SyncWatch:
        """Watch one key, or all of them, from now on: `for change in channel.watch(): ...`.

        A change has `.key`, `.value` and `.kind`; `"lost"` marks where a slow reader missed some. Close it when done,
        or use it in a `with` statement.
        """
        return SyncWatch(self.call(_entered, self.channel.watch, key), self.call)

    def _settled(self, value: Any) -> Any:
        return self.call(settled, value) if isawaitable(value) else value


class SyncTypedChannel(Generic[M]):
    """A typed channel for a worker thread; each verb is that of `TypedChannel`."""

    __slots__ = ("_channel", "_typed")

    def __init__(self, channel: SyncChannel, model: type[M]) -> None:
        self._channel = channel
        self._typed = TypedChannel(channel.channel, model)

    @property
    def model(self) -> type[M]:
        """Give the model of the values."""
        return self._typed.model

    def get(self, key: str, default: M | None = None) -> M | None:
        """Give the value of `key`, or `default` where there is none that fits."""
        value = self._channel.get(key, MISSING)
        return value if value is not MISSING and self._typed.fits(value) else default

    def set(self, key: str, value: M, ttl: float | None = None) -> None:
        """Store `value`, for `ttl` seconds or for good.

        Raises:
            ChannelTypeError: it does not fit the model; nothing was written.
        """
        self._typed.require(key, value)
        self._channel.set(key, value, ttl)

    def delete(self, key: str) -> bool:
        """Remove `key` and say whether it existed."""
        return self._channel.delete(key)

    def exists(self, key: str) -> bool:
        """Say whether `key` has a value, fitting or not."""
        return self._channel.exists(key)

    def keys(self) -> list[str]:
        """Give all keys of the channel, in no promised order."""
        return self._channel.keys()

    def clear(self) -> int:
        """Remove all keys of the channel and give their number."""
        return self._channel.clear()

    def pop(self, key: str, default: M | None = None) -> M | None:
        """Remove `key` and give the value it had, or `default` where there was none that fits."""
        value = self._channel.pop(key, MISSING)
        return value if value is not MISSING and self._typed.fits(value) else default

    def update(self, key: str, fn: Callable[[Any], Any], default: Any = None) -> M:
        """Replace the value by `fn(value)`, called in this thread, as one step; give the new value.

        Raises:
            ChannelTypeError: the new value does not fit the model; nothing was written.
        """

        def checked(value: Any) -> Any:
            new = fn(value if self._typed.fits(value) else default)
            self._typed.require(key, new)
            return new

        return self._channel.update(key, checked, default)

    def lock(self, key: str, timeout: float | None = LOCK_TIMEOUT) -> AbstractContextManager[int]:
        """Hold the advisory lock of that name; see `SyncChannel.lock`.

        Raises:
            LockTimeoutError: on entering, if it is not to be had within `timeout` seconds (None: wait for ever).
        """
        return self._channel.lock(key, timeout)

    def wait(self, key: str, predicate: Callable[[M], Any] | None = None, timeout: float | None = None) -> M:
        """Wait until `key` has a fitting value for which `predicate`, called in this thread, is true; give that value.

        Raises:
            TimeoutError: that took longer than `timeout` seconds.
            StoreError: the store was closed.
        """

        def met(value: Any) -> Any:
            return self._typed.fits(value) and (predicate is None or predicate(value))

        return self._channel.wait(key, met, timeout)

    def watch(self, key: str | None = None) -> SyncWatch:
        """Watch one key, or all of them, from now on; a value that does not fit is seen as None."""
        call = self._channel.call
        return SyncWatch(call(_entered, self._typed.watch, key), call)


class SyncWatch:
    """A blocking iterator of changes; it ends when it or the store is closed."""

    __slots__ = ("_call", "_watch")

    def __init__(self, watch: ChannelWatch, call: Call) -> None:
        self._watch = watch
        self._call = call

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        change = self._call(step, self._watch)
        if change is None:
            raise StopIteration
        return change

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching."""
        self._call(self._watch.aclose)


class _SyncLock:
    """Holds a lock for this thread, whichever asyncio tasks acquire and release it."""

    __slots__ = ("_args", "_call", "_held", "_make")

    def __init__(self, call: Call, make: Callable[..., AbstractAsyncContextManager[int]], *args: Any) -> None:
        self._call = call
        self._make = make
        self._args = args
        self._held: list[AbstractAsyncContextManager[int]] = []

    def __enter__(self) -> int:
        held, fence = self._call(_acquired, ("thread", threading.get_ident()), self._make, *self._args)
        self._held.append(held)
        return fence

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._held.pop().__aexit__, kind, error, trace)


async def _acquired(
    holder: object, make: Callable[..., AbstractAsyncContextManager[int]], *args: Any
) -> tuple[AbstractAsyncContextManager[int], int]:
    held = make(*args)
    token = lock_holder.set(holder)
    try:
        return held, await held.__aenter__()
    finally:
        lock_holder.reset(token)


async def _entered(make: Callable[..., AbstractAsyncContextManager[T]], *args: Any) -> T:
    return await make(*args).__aenter__()


async def _next_within(values: Values, seconds: float | None) -> Any:
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            return await values.next()
    except TimeoutError:
        if scope.expired():
            return MISSING
        raise
