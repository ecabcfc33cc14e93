"""What a Redis store has open on one event loop, and how it is closed when that loop ends before the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._locks import LocalLocks
from ._redis_calls import Calls
from ._redis_feed import Feed
from ._redis_locks import RedisLocks
from ._redis_space import Space
from ._redis_values import Names, Values
from ._redis_watches import RedisWatches

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class Settings:
    """What a store was told when it was made.

    Attributes:
        connect: gives the client of a session.
        is_ours: whether that client is closed with the session.
        names: what keys are called in Redis.
        values: how values are written.
        keep: milliseconds that a namespace stays when nothing is done with it; 0 for ever.
        patience: seconds to wait for Redis.
        lease: seconds that a lock outlives its holder.
        watch_limit: how many changes a watcher may be behind.
        connections: how many verbs may be under way at once.
    """

    __slots__ = ("connect", "connections", "is_ours", "keep", "lease", "names", "patience", "values", "watch_limit")

    def __init__(self, connect: Callable[[], Any], names: Names, values: Values, *, is_ours: bool) -> None:
        self.connect = connect
        self.is_ours = is_ours
        self.names = names
        self.values = values
        self.keep = 0
        self.patience = 0.0
        self.lease = 0.0
        self.watch_limit = 0
        self.connections = 0


class Session:
    """Connections, watches and locks of a store on one event loop.

    Attributes:
        loop: the event loop.
        calls: sends scripts.
        space: the values.
        watches: the open watches.
        locks: the locks.
        turns: keep the additions of this process apart, each to one key.
    """

    __slots__ = ("_client", "_feed", "_is_ours", "_stay", "calls", "locks", "loop", "space", "turns", "watches")

    def __init__(self, settings: Settings) -> None:
        """Prepare everything for the running loop; nothing is connected yet."""
        self.loop = asyncio.get_running_loop()
        self._client = settings.connect()
        self._is_ours = settings.is_ours
        self.calls = Calls(self._client, settings.patience, settings.connections)
        self.space = Space(self.calls, settings.names, settings.values, settings.keep)
        self._feed = Feed(self.calls)
        self.watches = RedisWatches(self.space, self._feed, settings.watch_limit)
        self.locks = RedisLocks(self.calls, self._feed, settings.names, settings.lease)
        self.turns = LocalLocks()
        self._stay = self._until_the_end()

    async def open(self) -> None:
        """Let the loop close the session, should the store not do it before."""
        await anext(self._stay)

    async def aclose(self) -> None:
        """End all watches, give back all locks and close the connections."""
        await self._stay.aclose()

    async def _until_the_end(self) -> AsyncGenerator[None]:
        # A loop that ends in order closes the generators that were begun on it, and connections cannot outlive it.
        try:
            yield
        finally:
            await self.locks.aclose()
            await self.watches.aclose()
            await self._feed.aclose()
            await self.calls.aclose()
            if self._is_ours:
                await self._client.aclose()
