"""Watches on Redis: what its scripts tell is decoded here once, and handed to whoever watches in this process."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Any, Self

from ..errors import GraflowError, StoreError
from ..store import Change, ChangeKind
from ._redis_feed import Feed
from ._redis_space import Space
from ._redis_values import channel, decoded
from ._watches import LocalWatch, Watches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

logger = logging.getLogger("graflow_async.store")

_LOOK_AFTER = 60.0  # seconds after which a namespace that is watched is looked after, at the latest
_TRY_AGAIN = 1.0  # seconds
_UNKNOWN = -1  # a revision that follows none and is followed by none
_ROUNDING = 0.001  # seconds; a loop may wake up that much too early


class _Dated(Change):
    """A change with the revision that it made of its namespace."""

    __slots__ = ("home", "revision")

    def __init__(self, key: str, value: Any, kind: ChangeKind, home: str, revision: float) -> None:
        super().__init__(key, value, kind)
        self.home = home
        self.revision = revision


class RedisWatch:
    """A watch on a Redis store, which begins when it is entered or with its first step."""

    __slots__ = ("__weakref__", "_find", "_is_closed", "_local", "_watches", "exact", "prefix", "since")

    def __init__(self, find: Callable[[], Awaitable[RedisWatches]], prefix: str, *, exact: bool) -> None:
        """Watch a prefix or one key among the watches that `find` gives when it begins."""
        self.prefix = prefix
        self.exact = exact
        self.since: dict[str, int] = {}
        self._find = find
        self._watches: RedisWatches | None = None
        self._local: LocalWatch | None = None
        self._is_closed = False

    def lose(self) -> None:
        """Tell the reader that there were changes of which nothing is known."""
        if self._local is not None:
            self._local.offer(Change(self.prefix, None, "lost"))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        local = self._local or await self._begin()
        while True:
            change = await anext(local)
            if not isinstance(change, _Dated):
                return change
            if change.revision > self.since.get(change.home, 0):
                return Change(self.prefix if change.kind == "lost" else change.key, change.value, change.kind)

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop watching."""
        self._is_closed = True
        if self._local is not None:
            await self._local.aclose()
        if self._watches is not None:
            self._watches.end(self)

    async def _begin(self) -> LocalWatch:
        if self._is_closed:
            raise StopAsyncIteration
        if self._local is None:
            self._watches = await self._find()
            self._local = await self._watches.begin(self)
        return self._local


class _Source:
    """A namespace that somebody watches, or a pattern of them.

    Attributes:
        last: the last revision that was heard of; None if none was yet.
        due: when to look after it, by the clock of the loop.
        watches: who watches this namespace and no other.
    """

    __slots__ = ("due", "last", "watches")

    def __init__(self, due: float) -> None:
        self.last: int | None = None
        self.due = due
        self.watches: weakref.WeakSet[RedisWatch] = weakref.WeakSet()


class RedisWatches:
    """The open watches of a store, and the task that notices when keys expire."""

    __slots__ = ("_changed", "_everywhere", "_feed", "_keeper", "_limit", "_local", "_sources", "_space")

    def __init__(self, space: Space, feed: Feed, limit: int) -> None:
        """Let a reader be `limit` changes behind."""
        self._space = space
        self._feed = feed
        self._limit = limit
        self._local = Watches()
        self._sources: dict[str, _Source] = {}
        self._everywhere: weakref.WeakSet[RedisWatch] = weakref.WeakSet()
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def begin(self, watch: RedisWatch) -> LocalWatch:
        """Let a watch see every change from now on.

        Raises:
            StoreUnavailableError: Redis was away for too long.
        """
        names = self._space.names
        if watch.exact or names.is_whole(watch.prefix):
            homes = [names.home(watch.prefix)]
            self._source(homes[0]).watches.add(watch)
            await self._feed.join(channel(homes[0]), self._hear, self._rejoin)
        else:
            self._everywhere.add(watch)
            await self._feed.join(channel(names.pattern), self._hear, self._rejoin, is_pattern=True)
            homes = [home async for home in self._space.homes(watch.prefix)]
        local = self._local.open(watch.prefix, self._limit, exact=watch.exact)
        for home in homes:
            watch.since[home], due = await self._space.expire(home)
            source = self._source(home)
            if source.last is None:
                source.last = watch.since[home]
            self._plan(source, due)
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep())
        return local

    def end(self, watch: RedisWatch) -> None:
        """Forget a watch, and stop listening to what nobody watches any more."""
        self._everywhere.discard(watch)
        for source in self._sources.values():
            source.watches.discard(watch)
        self._tidy()

    async def aclose(self) -> None:
        """End all watches."""
        self._local.end()
        self._sources.clear()
        self._everywhere.clear()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])

    # What happens

    async def _hear(self, name: str, message: bytes) -> None:
        """Take a message of a script: `kind before revision due keysize numbers...`, a line end, the key, bytes."""
        if not message:
            return
        home = name[:-1]
        head, _, body = message.partition(b"\n")
        source = self._source(home)
        try:
            kind, *fields = head.decode("ascii").split(" ")
            before, revision, due, size, *numbers = map(int, fields)
            key = decoded(body[:size])
        except ValueError:
            logger.warning("something that is no change was said on %s", name)
            self._lose(source.watches)
            self._lose(self._everywhere)
            return
        if source.last is not None:
            if revision <= source.last:
                return  # heard on two ways, or known already when the namespace was looked at
            if before != source.last:
                self._lose(source.watches)
                self._lose(self._everywhere)
        source.last = revision
        self._plan(source, None if due < 0 else due / 1_000_000)
        if self._local.covers(key):
            await self._publish(kind, key, home, revision, numbers, body[size:])

    async def _publish(self, kind: str, key: str, home: str, revision: int, numbers: list[int], body: bytes) -> None:
        if kind == "delete":
            self._local.publish(_Dated(key, None, "delete", home, revision))
            return
        if kind == "expire":
            self._local.publish(_Dated(key, None, "expire", home, revision))
            return
        try:
            if kind == "refer":
                found = await self._space.version_at(key, home, numbers)
            else:
                found = self._space.load(key, [revision, *_taken_apart(numbers, body)])
        except GraflowError as error:
            # Nobody has to answer for it here, and the next change may be sound.
            logger.warning("a change of %r cannot be shown to those who watch it: %s", key, error)
            found = None
        if found is None:
            self._local.publish(_Dated(key, None, "lost", home, revision))
        else:
            self._local.publish(_Dated(key, found.value, "set", home, revision))

    async def _rejoin(self, name: str) -> None:
        """Find out whether something happened while nobody listened."""
        if name == channel(self._space.names.pattern):
            self._lose(self._everywhere)
            for source in self._sources.values():
                if not source.watches:
                    source.last = None
            return
        source = self._sources.get(name[:-1])
        if source is None:
            return
        last = source.last
        try:
            source.last, due = await self._space.expire(name[:-1])
        except StoreError as error:
            logger.info("%s cannot be looked after: %s", name, error)
            source.last, due = _UNKNOWN, _TRY_AGAIN
        self._plan(source, due)
        if last is not None and source.last != last:
            self._lose(source.watches)
            self._lose(self._everywhere)

    def _lose(self, watches: Iterable[RedisWatch]) -> None:
        for watch in list(watches):
            watch.lose()

    # Looking after namespaces

    def _source(self, home: str) -> _Source:
        found = self._sources.get(home)
        if found is None:
            found = self._sources[home] = _Source(asyncio.get_running_loop().time() + _LOOK_AFTER)
        return found

    def _plan(self, source: _Source, due: float | None) -> None:
        latest = min(_LOOK_AFTER, self._space.keep / 4000) if self._space.keep else _LOOK_AFTER
        wait = latest if due is None else min(due + _ROUNDING, latest)
        source.due = asyncio.get_running_loop().time() + wait
        self._changed.set()

    async def _keep(self) -> None:
        """Drop keys in time, and keep alive what is watched."""
        loop = asyncio.get_running_loop()
        while self._sources:
            home, source = min(self._sources.items(), key=lambda item: item[1].due)
            wait = source.due - loop.time()
            if wait > 0:
                self._changed.clear()
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                continue
            self._tidy()
            if home in self._sources:
                await self._look_after(home, source)

    async def _look_after(self, home: str, source: _Source) -> None:
        try:
            _, due = await self._space.expire(home)
        except StoreError as error:
            logger.info("%s cannot be looked after now: %s", home, error)
            due = _TRY_AGAIN
        self._plan(source, due)

    def _tidy(self) -> None:
        """Let go of what nobody watches any more."""
        if not self._everywhere:
            self._feed.leave(channel(self._space.names.pattern))
        for home, source in list(self._sources.items()):
            if not source.watches:
                self._feed.leave(channel(home))
                if not self._everywhere:
                    del self._sources[home]
        self._changed.set()


def _taken_apart(numbers: list[int], body: bytes) -> list[Any]:
    """Give size, first place, base and items of a message with `size id first behind` and the sizes of its parts."""
    size, _, first, _, *sizes = numbers
    found: list[bytes] = []
    at = 0
    for length in sizes:
        found.append(body[at : at + length])
        at += length
    base = found.pop(0) if size != 0 else None
    return [size, first, base, found]
