"""Queues and channels that belong to no run: for programs that feed workflows, or watch what they share.

They are used the same way from plain code and on an event loop: a verb gives an awaitable where a loop runs, and blocks
and gives its value elsewhere (in a sync task, too).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from .channel import Channel
from .channel.shared import LOCK_TIMEOUT
from .errors import StoreError
from .places import Place, place_for
from .store import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable


class TaskQueueFactory:
    """Makes queues."""

    @staticmethod
    def create(
        backend: str = "memory", queue_name: str = "default", redis_url: str | None = None, *, secret_keys: Any = None
    ) -> TaskQueue:
        """Make a queue: of this process (memory), or the one of that name in a Redis, shared by all who name it.

        Args:
            backend: QueueBackend.MEMORY or QueueBackend.REDIS.
            queue_name: what to call it.
            redis_url: of the Redis; None for GRAFLOW_REDIS_URL, or the one on this machine.
            secret_keys: what items are signed with; None for GRAFLOW_SECRET_KEY.

        Raises:
            ConfigError: no such backend, or no usable name.
            UnsignedPayloadError: Redis is on another machine, and there are no keys.
        """
        return TaskQueue(place_for("queue", backend, queue_name, redis_url, secret_keys))


class ChannelFactory:
    """Makes channels."""

    @staticmethod
    def create(
        backend: str = "memory", channel_name: str = "default", redis_url: str | None = None, *, secret_keys: Any = None
    ) -> SharedChannel:
        """Make a channel: of this process (memory), or the one of that name in a Redis, shared by all who name it.

        Args:
            backend: "memory" or "redis".
            channel_name: what to call it.
            redis_url: of the Redis; None for GRAFLOW_REDIS_URL, or the one on this machine.
            secret_keys: what values are signed with; None for GRAFLOW_SECRET_KEY.

        Raises:
            ConfigError: no such backend, or no usable name.
            UnsignedPayloadError: Redis is on another machine, and there are no keys.
        """
        return SharedChannel(place_for("channel", backend, channel_name, redis_url, secret_keys))


class Standing:
    """What a queue and a channel have in common: they are somewhere, and can be closed.

    Attributes:
        name: what it is called.
    """

    def __init__(self, place: Place) -> None:
        """Stand there; nothing is connected yet."""
        self.name = place.name
        self._place = place

    def close(self) -> Any:
        """Close the connections; what was stored stays in Redis, and is gone from memory with the object."""
        return self._place.close()

    def __enter__(self) -> Self:
        """Give it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._place.end()

    async def __aenter__(self) -> Self:
        """Give it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self._place.aclose()

    def __repr__(self) -> str:
        """Show the name and where it is."""
        return f"<{type(self).__name__} {self.name!r} in {self._place.backend}>"


class TaskQueue(Standing):
    """First in, first out; each item is taken once, whoever takes it.

    One in memory belongs to one event loop, or to plain code with any number of threads: not to both at once.
    """

    def enqueue(self, item: Any) -> Any:
        """Put an item at the end; None.

        Raises:
            NotSerializableError: it is to go into Redis and cannot be pickled.
            StoreUnavailableError: Redis was away for too long.
        """

        async def work(channel: Channel) -> None:
            async with channel.lock("turn", None):
                last = await channel.get("last", 0)
                await channel.set(f"item {last}", item)
                await channel.set("last", last + 1)

        return self._place.do(work)

    def dequeue(self, timeout: float | None = 0, default: Any = None) -> Any:
        """Take the first item, or give `default` if none comes within `timeout` seconds; None waits for ever.

        Raises:
            StoreError: it was closed while it waited.
            StoreUnavailableError: Redis was away for too long.
        """
        return self._place.do(lambda channel: _take(channel, timeout, default))

    def size(self) -> Any:
        """Count the items."""

        async def work(channel: Channel) -> int:
            async with channel.lock("turn", None):
                return await channel.get("last", 0) - await channel.get("first", 0)

        return self._place.do(work)

    def clear(self) -> Any:
        """Remove all items, and give their number."""

        async def work(channel: Channel) -> int:
            async with channel.lock("turn", None):
                first, last = await channel.get("first", 0), await channel.get("last", 0)
                await channel.set("first", last)  # before they go: who dies in between has removed them
                for number in range(first, last):
                    await channel.delete(f"item {number}")
                return last - first

        return self._place.do(work)


async def _take(channel: Channel, timeout: float | None, default: Any) -> Any:
    """Take the first item of a queue as soon as there is one."""
    value = await _first(channel)
    if value is not MISSING or timeout == 0:
        return default if value is MISSING else value
    deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
    async with channel.watch("last") as changes:
        while True:
            value = await _first(channel)  # outside of the time limit: what was taken must not get lost
            if value is not MISSING:
                return value
            limit = asyncio.timeout_at(deadline)
            try:
                async with limit:
                    if await anext(changes, None) is None:
                        raise StoreError(f"{channel!r} was closed while somebody waited for an item")
            except TimeoutError:
                if limit.expired():
                    return default
                raise


async def _first(channel: Channel) -> Any:
    """Take the first item of a queue; MISSING if there is none."""
    async with channel.lock("turn", None):
        first, last = await channel.get("first", 0), await channel.get("last", 0)
        while first < last:
            value = await channel.pop(f"item {first}", MISSING)
            first += 1
            await channel.set("first", first)
            if value is not MISSING:  # else who took it died before it could say so
                return value
    return MISSING


class SharedChannel(Standing):
    """A channel outside of any run, with the verbs of `Channel`: awaitable on an event loop, blocking elsewhere.

    One in memory belongs to one event loop, or to plain code with any number of threads: not to both at once.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """Give the value of `key`, or `default`; a stored None is a value."""
        return self._place.face().get(key, default)

    def set(self, key: str, value: Any, ttl: float | None = None) -> Any:
        """Store `value`, for `ttl` seconds or for good; an earlier time to live is forgotten."""
        return self._place.face().set(key, value, ttl)

    def delete(self, key: str) -> Any:
        """Remove `key` and say whether it existed."""
        return self._place.face().delete(key)

    def exists(self, key: str) -> Any:
        """Say whether `key` has a value, None included."""
        return self._place.face().exists(key)

    def keys(self) -> Any:
        """Give all keys, in no promised order."""
        return self._place.face().keys()

    def clear(self) -> Any:
        """Remove all keys and give their number."""
        return self._place.face().clear()

    def append(self, key: str, value: Any, ttl: float | None = None) -> Any:
        """Add `value` at the end of the list under `key`, made if missing, and give its new length."""
        return self._place.face().append(key, value, ttl)

    def prepend(self, key: str, value: Any, ttl: float | None = None) -> Any:
        """Add `value` at the front of the list under `key`, made if missing, and give its new length."""
        return self._place.face().prepend(key, value, ttl)

    def pop(self, key: str, default: Any = None) -> Any:
        """Remove `key` and give the value it had, or `default`."""
        return self._place.face().pop(key, default)

    def atomic_add(self, key: str, n: float = 1) -> Any:
        """Add `n` to the number under `key` (a missing one counts as 0) and give the new number."""
        return self._place.face().atomic_add(key, n)

    def update(self, key: str, fn: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace the value by `fn(value)` as one step, and give the new value."""
        return self._place.face().update(key, fn, default)

    def wait(self, key: str, predicate: Callable[[Any], Any] | None = None, timeout: float | None = None) -> Any:
        """Wait until `key` has a value for which `predicate` is true, and give it."""
        return self._place.face().wait(key, predicate, timeout)

    def lock(self, key: str, timeout: float | None = LOCK_TIMEOUT) -> Any:
        """Hold the advisory lock of that name: `async with` on an event loop, `with` elsewhere."""
        return self._place.face().lock(key, timeout)

    def watch(self, key: str | None = None) -> Any:
        """Watch one key, or all of them: `async for` on an event loop, `for` elsewhere."""
        return self._place.face().watch(key)

    def typed(self, model: type[Any]) -> Any:
        """Give the channel for values of a model only, as it is used here: on an event loop, or in plain code."""
        return self._place.face().typed(model)
