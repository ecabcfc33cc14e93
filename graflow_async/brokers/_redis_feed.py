"""How watchers hear of changes in Redis: one blocking read for all of a broker's views on one loop."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, Self, cast

from redis.exceptions import RedisError

from .._redis.client import ANSWER_WITHIN, look_elsewhere, our_errors, passes
from .._redis.link import Link
from .._unread import Unread
from ..broker import Change
from ._redis_shelf import NEVER, Shelf, Version, change_of, version_of

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("graflow_async.feedback")

_LONGEST_READ = 10.0  # seconds for which Redis is asked to wait for a change
_COUNT = 100  # changes of a stream that come at once
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0  # seconds
_NUDGE = 0.05  # seconds after which a read that was cancelled, and has not noticed, is cancelled again
_TOUCHES = 4  # signs of life of a watched run in the time after which it would be forgotten


class View:
    """What one task reads: the changes of a run, or of all, from when it was entered."""

    __slots__ = ("_feed", "_feed_here", "_unread", "floor", "tag")

    def __init__(self, tag: str | None, feed_here: Callable[[], Feed]) -> None:
        """View the run with a tag; `feed_here` gives what feeds views on the running loop."""
        self.tag = tag
        self.floor: Version = NEVER
        self._feed_here = feed_here
        self._feed: Feed | None = None
        self._unread: Unread[Change] = Unread()

    def offer(self, version: Version, change: Change) -> None:
        """Queue a change, unless it was there before this view."""
        if version > self.floor:
            self._unread.items.append(change)
            self._unread.wake()

    def end(self, failure: BaseException | None = None) -> None:
        """Let the reader have what is queued, and then stop, or fail."""
        self._unread.is_over, self._unread.failure = True, failure
        self._unread.wake()

    async def __aenter__(self) -> Self:
        self._feed = self._feed_here()
        await self._feed.join(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()
        if self._feed is not None:
            await self._feed.leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        with our_errors("the questions in Redis cannot be watched"):
            await self._unread.arrival()
        return self._unread.items.popleft()


class _Source:
    """A stream that is followed: of one run, or of all.

    Attributes:
        position: the last change that was passed on.
        is_lost: whether changes are missing, and everything is to be looked at.
    """

    __slots__ = ("is_lost", "position", "tag", "views")

    def __init__(self, tag: str | None, position: Version) -> None:
        self.tag = tag
        self.position = position
        self.is_lost = False
        self.views: list[View] = []

    def offer(self, version: Version, change: Change) -> None:
        for view in self.views:
            view.offer(version, change)


class Feed:
    """Follows the streams of the views on one loop, as long as there are any; a lost connection is made again.

    Each entry of a stream names the one before it. Where that is not the one that came last, or where a connection was
    lost and Redis is not as far as it was, everything is looked at; what has changed since is passed on as it is now.
    """

    __slots__ = ("_link", "_next_touch", "_reading", "_shelf", "_sources", "_task", "_touch_every")

    def __init__(self, link: Link, shelf: Shelf, expire_after: float) -> None:
        """Read through `link` what `shelf` keeps for `expire_after` seconds."""
        self._link = link
        self._shelf = shelf
        self._touch_every = expire_after / _TOUCHES
        self._next_touch = 0.0
        self._sources: dict[str, _Source] = {}
        self._task: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[Any] | None = None

    async def join(self, view: View) -> None:
        """Let a view have every change from now on.

        Raises:
            StoreUnavailableError: Redis does not answer.
            StoreError: it refused.
        """
        async with self._link.used():
            with our_errors("the questions in Redis cannot be watched"):
                everywhere, here = await self._shelf.last(self._link, view.tag)
        view.floor = max(everywhere, here)
        stream = self._shelf.stream(view.tag)
        source = self._sources.get(stream)
        if source is None:
            source = self._sources[stream] = _Source(view.tag, here)
            self._interrupt()
        source.views.append(view)
        if self._task is None:
            self._next_touch = asyncio.get_running_loop().time() + self._touch_every
            self._task = asyncio.get_running_loop().create_task(self._follow())

    async def leave(self, view: View) -> None:
        """Let a view have no more changes; with the last one the connection goes."""
        stream = self._shelf.stream(view.tag)
        source = self._sources.get(stream)
        if source is None or view not in source.views:
            return
        source.views.remove(view)
        if not source.views:
            del self._sources[stream]
        if not self._sources:
            await self.stop()

    def end(self, failure: BaseException | None = None) -> asyncio.Task[None] | None:
        """End all views, and give the task that is ending, if there is one."""
        for source in self._sources.values():
            for view in source.views:
                view.end(failure)
        self._sources.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    async def stop(self) -> None:
        """End all views, and wait until the connection is closed."""
        task = self.end()
        if task is not None:
            await asyncio.wait([task])

    def _interrupt(self) -> None:
        """Have what is being read given up: something is to be read as well."""
        if self._reading is not None:
            self._reading.cancel()

    async def _follow(self) -> None:
        me = asyncio.current_task()
        try:
            async with self._link.used():
                await self._follow_until_ended(me)
        except BaseException as error:
            # A cancellation that is none of ours: the loop is being closed, and nobody will come to leave.
            is_failure = isinstance(error, Exception)
            if self._task is me:
                self._task = None
                self.end(error if is_failure else None)
            if not is_failure:
                raise

    async def _follow_until_ended(self, me: Any) -> None:
        wait = _FIRST_WAIT
        is_connected = True
        # A client may swallow a cancellation: this task then finds that it is no longer the one.
        while self._task is me:
            try:
                await self._look_after(is_connected=is_connected)
                is_connected = True
                self._take(await self._read())
                wait = _FIRST_WAIT
            except (RedisError, OSError) as error:
                if not passes(error):
                    raise
                if is_connected:
                    logger.warning("changes in Redis cannot be read (%s); going on as soon as it answers", error)
                is_connected = False
                await look_elsewhere(self._link.client(), error)
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # so that not all come back at once
                wait = min(wait * 2, _LONGEST_WAIT)

    async def _look_after(self, *, is_connected: bool) -> None:
        """Find out what was missed, and see to it that nobody forgets a run that is watched."""
        for source in list(self._sources.values()):
            if not is_connected:
                source.is_lost |= (await self._shelf.last(self._link, source.tag))[1] < source.position
            if source.is_lost:
                await self._look_at_everything(source)
        now = asyncio.get_running_loop().time()
        if now >= self._next_touch:
            for source in list(self._sources.values()):
                if source.tag is not None:
                    await self._shelf.touch(self._link, source.tag)
            self._next_touch = now + self._touch_every

    async def _look_at_everything(self, source: _Source) -> None:
        """Pass on how everything is now that was changed since the last change that was passed on."""
        since = source.position
        _, last = await self._shelf.last(self._link, source.tag)
        if last < since:
            logger.warning("Redis is not as far as it was: what it has is told once more to those who watch")
            since = NEVER
            for view in source.views:
                view.floor = NEVER
        # What is changed from here on comes through the stream.
        for version, change in await self._shelf.everything(self._link, source.tag):
            if since < version <= last:
                source.offer(version, change)
        source.position, source.is_lost = last, False

    async def _read(self) -> Any:
        """Wait for changes, for a while.

        Raises:
            TimeoutError: Redis hangs.
            RedisError: the connection broke, or Redis refused.
            OSError: the connection broke.
        """
        client: Any = self._link.client()
        limit = client.connection_pool.connection_kwargs.get("socket_timeout") or ANSWER_WITHIN
        seconds = min(_LONGEST_READ, self._touch_every, limit / 2)
        positions = {stream: f"{at[0]}-{at[1]}" for stream, at in self._positions()}
        reading = self._reading = asyncio.create_task(_waited(client, positions, max(1, int(seconds * 1000))))
        try:
            await asyncio.wait([reading], timeout=seconds + ANSWER_WITHIN)
            is_late = not reading.done()
        finally:
            self._reading = None
            while not reading.done():
                reading.cancel()
                await asyncio.wait([reading], timeout=_NUDGE)
        if reading.cancelled():
            if is_late:
                raise TimeoutError("Redis hangs")
            return None
        return reading.result()

    def _positions(self) -> list[tuple[str, Version]]:
        return [(stream, source.position) for stream, source in self._sources.items()]

    def _take(self, answer: Any) -> None:
        """Pass on what was read, in either version of the protocol."""
        if not answer:
            return
        streams: Any = answer
        if isinstance(answer, dict):
            streams = [(key, rows[0]) for key, rows in cast("dict[bytes, Any]", answer).items()]
        for key, rows in streams:
            source = self._sources.get(key.decode())
            if source is not None:
                self._pass_on(source, rows)

    def _pass_on(self, source: _Source, rows: list[Any]) -> None:
        for entry, fields in rows:
            version = version_of(entry)
            if version_of(fields.get(b"after", b"0-0")) != source.position:
                source.is_lost = True
                return
            source.position = version
            change = change_of(fields.get(b"kind", b""), fields.get(b"body", b""))
            if change is not None:
                source.offer(version, change)


async def _waited(client: Any, positions: dict[str, str], block: int) -> Any:
    """Read streams; a task of its own, so that nothing is asked if it is cancelled before it begins."""
    return await client.xread(positions, count=_COUNT, block=block)
