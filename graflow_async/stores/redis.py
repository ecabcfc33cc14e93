"""Values in Redis, shared by processes and machines. The port's rules are in `graflow_async.store`.

What stands in Redis is described where it is changed, in the scripts `kv*.lua` and `lock*.lua`.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Self, cast

from .._redis.client import check_given, connect
from .._redis.names import KEEP_FOR, PREFIX
from .._redis.payloads import keyring_for
from ..errors import ConfigError
from ..store import MISSING, Watch
from ._redis_locks import HeldRedisLock, RedisLocks
from ._redis_session import Session, Settings
from ._redis_values import NOTHING, Names, Values, Version, by_home, is_same
from ._redis_watches import RedisWatch, RedisWatches

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from redis.asyncio import Redis


class RedisStore:
    """A key-value store in Redis, for any number of processes, each using a store of its own on one event loop.

    A verb is one script, so it happens as a whole or not at all; it is sent again while Redis is away, for `patience`
    seconds, and yet carried out once. `pop`, `append` and `prepend` cost one round trip each, `add` and most uses of
    `compare_and_set` two, and more if somebody else changes the key meanwhile. `keys` and `clear` go page by page:
    each key is seen or removed as a whole, all of them are not. A prefix without `:` or `/` has to look through every
    namespace there is.

    Values are pickled, and signed if there is a key; a changed copy of a value is no change of the store. Times to live
    end by the clock of Redis. Where nothing is written or watched for `expire_after` seconds, a namespace goes, unless
    one of its keys was given more time. Processes that share a namespace must agree on `expire_after`, `prefix` and
    keys.

    What it has open belongs to the event loop that first uses it, and is closed with the store or, at the latest, when
    that loop ends; on the next loop it connects again.

    A lock is a lease that is renewed while it is held, and ends soon after its holder's process does. If it was lost
    (the process hung, Redis forgot it), leaving the block raises StoreError; until then only the fencing number tells.
    """

    __slots__ = ("__weakref__", "_session", "_settings")

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Redis | None = None,
        prefix: str = PREFIX,
        secret_keys: Any = None,
        expire_after: float | None = KEEP_FOR,
        patience: float = 10.0,
        lease: float = 30.0,
        watch_limit: int = 1024,
        connections: int = 16,
    ) -> None:
        """Name the Redis; nothing is connected yet.

        Args:
            url: `redis://`, `rediss://`, `redis+sentinel://` or `unix://`; None for GRAFLOW_REDIS_URL, or the Redis of
                this machine.
            client: a client to use instead, which answers in bytes; it is not closed with the store.
            prefix: what the name of every key in Redis begins with.
            secret_keys: the keys that sign values; None for those of the environment.
            expire_after: seconds that a namespace stays when nothing is done with it; None for ever.
            patience: seconds that a verb waits for Redis before it fails.
            lease: seconds after which the lock of a process that died is free.
            watch_limit: how many changes a watcher may be behind before it loses the oldest.
            connections: how many verbs may be under way at once.

        Raises:
            ConfigError: an option makes no sense.
            UnsignedPayloadError: Redis is on another machine, and there are no keys.
        """
        if url is not None and client is not None:
            raise ConfigError("a RedisStore takes url= or client=, not both")
        for name, value in (("expire_after", expire_after), ("patience", patience), ("lease", lease)):
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name}= is a number of seconds above 0, not {value!r}")
        if connections < 1 or watch_limit < 1:
            raise ConfigError("connections= and watch_limit= are at least 1")
        probe: Any = connect(url) if client is None else client
        check_given(probe)
        values = Values(keyring_for(probe, secret_keys))
        make = (lambda: connect(url)) if client is None else lambda: client
        self._settings = settings = Settings(make, Names(prefix), values, is_ours=client is None)
        settings.keep = 0 if expire_after is None else max(1, math.ceil(expire_after * 1000))
        settings.patience, settings.lease = patience, lease
        settings.watch_limit, settings.connections = watch_limit, connections
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # Reading

    async def get(self, key: str, default: Any = None) -> Any:
        """Give the value of `key`, or `default` itself; a stored None is a value.

        Raises:
            StoreUnavailableError: Redis was away for too long.
            SecurityError: the value was not signed with a known key, or for another place.
        """
        found = await (await self._here()).space.version(key)
        return default if found.value is MISSING else found.value

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Give the values of those of `keys` that exist.

        Raises:
            StoreUnavailableError: Redis was away for too long.
            SecurityError: a value was not signed with a known key, or for another place.
        """
        found: dict[str, Any] = {}
        space = (await self._here()).space
        for home, names in by_home(self._settings.names, keys).items():
            versions = await space.versions(home, names)
            found.update((key, version.value) for key, version in versions.items())
        return found

    async def exists(self, key: str) -> bool:
        """Say whether `key` has a value.

        Raises:
            StoreUnavailableError: Redis was away for too long.
        """
        return await (await self._here()).space.exists(key)

    async def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that start with `prefix`, in no promised order.

        Raises:
            StoreUnavailableError: Redis was away for too long.
        """
        return await (await self._here()).space.keys(prefix)

    # Changing

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Store `value`, for `ttl` seconds or for good; an earlier time to live is forgotten.

        Raises:
            NotSerializableError: it cannot be pickled.
            StoreError: Redis refused; nothing was changed.
            StoreUnavailableError: Redis was away for too long.
        """
        data, size = self._settings.values.dump(key, value)
        await (await self._here()).space.write("set", key, data, size, ttl)

    async def delete(self, key: str) -> bool:
        """Remove `key` and say whether it existed.

        Raises:
            StoreUnavailableError: Redis was away for too long.
        """
        return (await (await self._here()).space.write("delete", key))[0] == 1

    async def clear(self, prefix: str = "") -> int:
        """Remove the keys that start with `prefix` and give their number; keys that come meanwhile may stay.

        Raises:
            StoreUnavailableError: Redis was away for too long.
        """
        return await (await self._here()).space.clear(prefix)

    async def append(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the end of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
            NotSerializableError: the value cannot be pickled.
            StoreError: Redis refused; nothing was changed.
            StoreUnavailableError: Redis was away for too long.
        """
        return await self._extend("append", key, value, ttl)

    async def prepend(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the front of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
            NotSerializableError: the value cannot be pickled.
            StoreError: Redis refused; nothing was changed.
            StoreUnavailableError: Redis was away for too long.
        """
        return await self._extend("prepend", key, value, ttl)

    async def pop(self, key: str, default: Any = None) -> Any:
        """Remove `key` and give the value it had, or `default`.

        Raises:
            StoreUnavailableError: Redis was away for too long.
            SecurityError: the value was not signed with a known key, or for another place; it is gone.
        """
        space = (await self._here()).space
        answer = await space.write("pop", key)
        return space.load(key, answer).value if answer[0] == 1 else default

    async def add(self, key: str, amount: float = 1, ttl: float | None = None) -> Any:
        """Add `amount` to the number under `key` (a missing one counts as 0) and give the new number.

        Raises:
            TypeError: the key, or `amount`, holds something else than an int or float.
            StoreError: Redis refused; nothing was changed.
            StoreUnavailableError: Redis was away for too long.
        """
        # Calculated here, where integers have no largest one; those of this process do not disturb each other.
        session = await self._here()
        begun = session.loop.time()
        async with session.turns.lock(key, None):
            session.calls.require(begun, f"adding to {key!r}")
            while True:
                found = await session.space.version(key)
                old = 0 if found.value is MISSING else found.value
                for number in (old, amount):
                    if not isinstance(number, (int, float)):
                        raise TypeError(f"{key!r}: cannot add {amount!r} to {_kind(old)}; both must be an int or float")
                new = old + amount
                if await self._replace(key, found, new, ttl):
                    return new

    async def compare_and_set(self, key: str, expected: Any, value: Any, ttl: float | None = None) -> bool:
        """Store `value` if the key still holds `expected`, and say whether it did; MISSING stands for no such key.

        Objects whose class does not say when they are equal are compared by what they are pickled as.

        Raises:
            NotSerializableError: the value cannot be pickled.
            StoreError: Redis refused; nothing was changed.
            StoreUnavailableError: Redis was away for too long.
        """
        if expected is MISSING:
            return await self._replace(key, NOTHING, value, ttl)
        while True:
            found = await (await self._here()).space.version(key)
            if not is_same(found.value, expected):
                return False
            if await self._replace(key, found, value, ttl):
                return True

    # Waiting

    def watch(self, prefix: str = "", *, exact: bool = False) -> Watch:
        """Watch the keys that start with `prefix`, or with `exact` the one key of that name.

        It begins when it is entered, or with its first step. When the connection was lost and something changed
        meanwhile, a `"lost"` change says so.
        """
        return RedisWatch(self._find_watches, prefix, exact=exact)

    def lock(self, key: str, timeout: float | None = None) -> AbstractAsyncContextManager[int]:
        """Hold the advisory lock of that name, first come, first served; entering gives a fencing number.

        Raises:
            LockTimeoutError: on entering, if the lock is not to be had within `timeout` seconds (None: wait for ever).
            StoreError: on leaving, if the lock was lost while it was held, so that another may have had it.
            StoreUnavailableError: Redis was away for too long.
        """
        return HeldRedisLock(self._find_locks, key, timeout)

    async def aclose(self) -> None:
        """End all watches, give back all locks and close the connections; the next verb connects again."""
        session, self._session = self._session, None
        if session is not None and session.loop is asyncio.get_running_loop():
            await session.aclose()

    async def _here(self) -> Session:
        """Give what is open on the running loop."""
        session = self._session
        if session is None or session.loop is not asyncio.get_running_loop():
            session = self._session = Session(self._settings)
            await session.open()
        return session

    async def _find_watches(self) -> RedisWatches:
        return (await self._here()).watches

    async def _find_locks(self) -> RedisLocks:
        return (await self._here()).locks

    async def _replace(self, key: str, found: Version, value: Any, ttl: float | None) -> bool:
        """Put a value in the place of what was found, or nothing for MISSING, and say whether it was still there."""
        if value is MISSING and found is NOTHING:
            return not await self.exists(key)
        if value is MISSING:
            return (await (await self._here()).space.write("delete", key, expected=found))[0] == 1
        data, size = self._settings.values.dump(key, value)
        return (await (await self._here()).space.write("keep", key, data, size, ttl, found))[0] == 1

    async def _extend(self, verb: str, key: str, value: Any, ttl: float | None) -> int:
        item = self._settings.values.dump_item(key, value)
        while True:
            answer = await (await self._here()).space.write(verb, key, item, ttl=ttl)
            if answer[0] == 1:
                return answer[1]
            found = await (await self._here()).space.version(key)
            if found.value is MISSING or found.is_list:
                continue  # it has just become one
            held: Any = found.value
            if not isinstance(held, list):
                raise TypeError(f"{key!r} holds {_kind(held)}, not a list; append and prepend need a list or a new key")
            items = cast("list[Any]", held)
            longer = [*items, value] if verb == "append" else [value, *items]
            if await self._replace(key, found, longer, ttl):
                return len(longer)


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"
