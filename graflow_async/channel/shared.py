"""A namespace of a store under the verbs of a channel, and the same with a model for its values; asynchronous.

Functions that a user hands in (of `update`, of `wait`) run on the loop.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .._lazy import lazily
from ..current import waiting
from ..errors import ChannelTypeError, StoreError
from ..store import MISSING, Change, KeyValueStore, Watch, prefix_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

_models = lazily("graflow_async.typed")
M = TypeVar("M")

# Long enough for any sane critical section, short enough that a deadlock is reported and not waited for.
LOCK_TIMEOUT = 10.0


class Channel:
    """The values under one name of one run, shared by all its tasks; writes are visible at once.

    Attributes:
        store: where the values are.
        namespace: first part of every key in the store, unique to the run.
        name: the channel's own name.
        prefix: what the store puts before the keys of this channel.
    """

    __slots__ = ("name", "namespace", "prefix", "store")

    def __init__(self, store: KeyValueStore, namespace: str, name: str = "default") -> None:
        self.store = store
        self.namespace = namespace
        self.name = name
        self.prefix = prefix_of(namespace, name)

    def __repr__(self) -> str:
        return f"Channel({self.name!r} of {self.namespace!r})"

    def typed(self, model: type[M]) -> TypedChannel[M]:
        """Give this channel for values of a TypedDict, dataclass or pydantic model only.

        Raises:
            ValueError: it is no such model.
        """
        return TypedChannel(self, model)

    async def get(self, key: str, default: Any = None) -> Any:
        """Give the value of `key`, or `default`; a stored None is a value."""
        return await self.store.get(self.prefix + key, default)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Store `value`, for `ttl` seconds or for good; an earlier time to live is forgotten."""
        await self.store.set(self.prefix + key, value, ttl)

    async def delete(self, key: str) -> bool:
        """Remove `key` and say whether it existed."""
        return await self.store.delete(self.prefix + key)

    async def exists(self, key: str) -> bool:
        """Say whether `key` has a value, None included."""
        return await self.store.exists(self.prefix + key)

    async def keys(self) -> list[str]:
        """Give all keys, in no promised order."""
        start = len(self.prefix)
        return [key[start:] for key in await self.store.keys(self.prefix)]

    async def clear(self) -> int:
        """Remove all keys and give their number."""
        return await self.store.clear(self.prefix)

    async def append(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the end of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
        """
        return await self.store.append(self.prefix + key, value, ttl)

    async def prepend(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the front of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
        """
        return await self.store.prepend(self.prefix + key, value, ttl)

    async def pop(self, key: str, default: Any = None) -> Any:
        """Remove `key` and give the value it had, or `default`."""
        return await self.store.pop(self.prefix + key, default)

    async def atomic_add(self, key: str, n: float = 1) -> Any:
        """Add `n` to the number under `key` (a missing one counts as 0) and give the new number.

        Raises:
            TypeError: the key, or `n`, holds something else than an int or float.
        """
        return await self.store.add(self.prefix + key, n)

    async def update(self, key: str, fn: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace the value by `fn(value)` as one step, and give the new value.

        `fn` (sync or async) gets `default` where there is no such key, and may change the value it gets. Updates of one
        key run one after the other; should another verb write meanwhile, `fn` is called again with what it wrote.
        """
        async with update_lock(self, key):
            while True:
                expected, current = await read_for_update(self, key, default)
                new = await settled(fn(current))
                if await self.store.compare_and_set(self.prefix + key, expected, new):
                    return new

    def lock(self, key: str, timeout: float | None = LOCK_TIMEOUT) -> AbstractAsyncContextManager[int]:
        """Hold the advisory lock of that name, re-entrant for the same task; entering gives a fencing number.

        Raises:
            LockTimeoutError: on entering, if it is not to be had within `timeout` seconds (None: wait for ever).
        """
        return _held(self.store.lock(self.prefix + key, timeout))

    async def wait(
        self,
        key: str,
        predicate: Callable[[Any], Any] | None = None,
        timeout: float | None = None,  # part of the contract
    ) -> Any:
        """Wait until `key` exists with a value for which `predicate` (sync or async) is true, and give that value.

        Raises:
            TimeoutError: that took longer than `timeout` seconds.
            StoreError: the store was closed.
        """
        scope = asyncio.timeout(timeout)
        try:
            async with scope, Values(self, key) as values:
                while True:
                    value = await values.next()
                    if predicate is None or await settled(predicate(value)):
                        return value
        except TimeoutError:
            if not scope.expired():
                raise
            raise waited_too_long(self, key, timeout) from None

    def watch(self, key: str | None = None) -> ChannelWatch:
        """Watch one key, or all of them: `async for change in channel.watch(): ...`.

        A change has `.key`, `.value` and `.kind`; `"lost"` marks where a slow reader missed some. To be sure to see
        what happens from now on, enter it first: `async with channel.watch() as changes`.
        """
        return ChannelWatch(self.store.watch(self.prefix + (key or ""), exact=key is not None), self.prefix)


@asynccontextmanager
async def _held(lock: AbstractAsyncContextManager[int]) -> AsyncGenerator[int, None]:
    """Hold a lock; while it has to be waited for, the running task holds no slot."""
    async with AsyncExitStack() as stack:
        async with waiting():
            fence = await stack.enter_async_context(lock)
        yield fence


class ChannelWatch:
    """An async iterator of changes, with the keys as the channel knows them; `Watch` says how it behaves."""

    __slots__ = ("_fits", "_start", "_watch")

    def __init__(self, watch: Watch, prefix: str, fits: Callable[[Any], bool] | None = None) -> None:
        self._watch = watch
        self._start = len(prefix)
        self._fits = fits

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        async with waiting():
            change = await self._watch.__anext__()
        bad = change.kind == "set" and self._fits is not None and not self._fits(change.value)
        return Change(change.key[self._start :], None if bad else change.value, change.kind)

    async def __aenter__(self) -> Self:
        await self._watch.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._watch.aclose()

    async def aclose(self) -> None:
        """Stop watching."""
        await self._watch.aclose()


class TypedChannel(Generic[M]):
    """The same channel for values of one model: what does not fit is refused on write, and not seen on read.

    Attributes:
        channel: the channel below, which takes any value.
        model: the TypedDict, dataclass or pydantic model.
    """

    __slots__ = ("_check", "channel", "model")

    def __init__(self, channel: Channel, model: type[M]) -> None:
        self.channel = channel
        self.model = model
        self._check = _models.model_check(model)

    def fits(self, value: Any) -> bool:
        """Say whether `value` fits the model."""
        return self._check(value) is None

    def require(self, key: str, value: Any) -> None:
        """Refuse a value that does not fit the model.

        Raises:
            ChannelTypeError: the message says where it does not fit, and why.
        """
        problem = self._check(value)
        if problem is not None:
            name = getattr(self.model, "__name__", self.model)
            raise ChannelTypeError(f"key {key!r} of {self.channel!r} takes a {name}: {name}{problem}")

    async def get(self, key: str, default: M | None = None) -> M | None:
        """Give the value of `key`, or `default` where there is none that fits."""
        value = await self.channel.get(key, MISSING)
        return value if value is not MISSING and self.fits(value) else default

    async def set(self, key: str, value: M, ttl: float | None = None) -> None:
        """Store `value`, for `ttl` seconds or for good.

        Raises:
            ChannelTypeError: it does not fit the model; nothing was written.
        """
        self.require(key, value)
        await self.channel.set(key, value, ttl)

    async def delete(self, key: str) -> bool:
        """Remove `key` and say whether it existed."""
        return await self.channel.delete(key)

    async def exists(self, key: str) -> bool:
        """Say whether `key` has a value, fitting or not."""
        return await self.channel.exists(key)

    async def keys(self) -> list[str]:
        """Give all keys of the channel, in no promised order."""
        return await self.channel.keys()

    async def clear(self) -> int:
        """Remove all keys of the channel and give their number."""
        return await self.channel.clear()

    async def pop(self, key: str, default: M | None = None) -> M | None:
        """Remove `key` and give the value it had, or `default` where there was none that fits."""
        value = await self.channel.pop(key, MISSING)
        return value if value is not MISSING and self.fits(value) else default

    async def update(self, key: str, fn: Callable[[Any], Any], default: Any = None) -> M:
        """Replace the value by `fn(value)` as one step, and give the new value; see `Channel.update`.

        Raises:
            ChannelTypeError: the new value does not fit the model; nothing was written.
        """

        async def checked(value: Any) -> Any:
            new = await settled(fn(value if self.fits(value) else default))
            self.require(key, new)
            return new

        return await self.channel.update(key, checked, default)

    def lock(self, key: str, timeout: float | None = LOCK_TIMEOUT) -> AbstractAsyncContextManager[int]:
        """Hold the advisory lock of that name; see `Channel.lock`.

        Raises:
            LockTimeoutError: on entering, if it is not to be had within `timeout` seconds (None: wait for ever).
        """
        return self.channel.lock(key, timeout)

    async def wait(
        self,
        key: str,
        predicate: Callable[[M], Any] | None = None,
        timeout: float | None = None,  # part of the contract
    ) -> M:
        """Wait until `key` has a fitting value for which `predicate` (sync or async) is true, and give that value.

        Raises:
            TimeoutError: that took longer than `timeout` seconds.
            StoreError: the store was closed.
        """

        def met(value: Any) -> Any:
            return self.fits(value) and (predicate is None or predicate(value))

        return await self.channel.wait(key, met, timeout)

    def watch(self, key: str | None = None) -> ChannelWatch:
        """Watch one key, or all of them; a value that does not fit is seen as None."""
        store, prefix = self.channel.store, self.channel.prefix
        return ChannelWatch(store.watch(prefix + (key or ""), exact=key is not None), prefix, self.fits)


class Values:
    """The values that a key has, now and after each change, while it exists."""

    __slots__ = ("_channel", "_key", "_read", "_watch")

    def __init__(self, channel: Channel, key: str) -> None:
        self._channel = channel
        self._key = key
        self._watch = channel.watch(key)
        self._read = True

    async def __aenter__(self) -> Self:
        await self._watch.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._watch.aclose()

    async def next(self) -> Any:
        """Wait for the next value."""
        while True:
            if self._read:
                self._read = False
                value = await self._channel.get(self._key, MISSING)
                if value is not MISSING:
                    return value
            async with waiting():
                change = await step(self._watch)
            if change is None:
                raise StoreError(f"the store was closed while key {self._key!r} of {self._channel!r} was waited for")
            if change.kind == "set":
                return change.value
            self._read = change.kind == "lost"


async def settled(value: Any) -> Any:
    """Give what a user's function returned, or what comes of awaiting that."""
    return await value if isawaitable(value) else value


async def step(watch: ChannelWatch) -> Change | None:
    """Give the next change, or None at the end."""
    async for change in watch:
        return change
    return None


def update_lock(channel: Channel, key: str) -> AbstractAsyncContextManager[int]:
    """Give the lock under which a key is updated.

    It is not the one the user knows by that key: that may be held around the update, even in a parent task.
    """
    return channel.store.lock(f"update:{channel.prefix}{key}")


async def read_for_update(channel: Channel, key: str, default: Any) -> tuple[Any, Any]:
    """Give what the store must still hold when the new value comes, and the value to make that from."""
    # Two readings, in this order: where values are copies, the user's function may spoil its own and the comparison
    # still has a clean one; a change between the two fails the comparison, as it must.
    expected = await channel.get(key, MISSING)
    if expected is MISSING:
        return MISSING, default
    return expected, await channel.get(key, default)


def waited_too_long(channel: Channel, key: str, timeout: float | None) -> TimeoutError:
    """Make the error of a wait that took too long."""
    return TimeoutError(f"key {key!r} of {channel!r} did not become what was waited for within {timeout} s")
