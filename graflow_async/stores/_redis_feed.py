"""One connection on which a store hears what happens in Redis, made again whenever it breaks."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from .._redis.client import our_errors, passes
from ..errors import StoreUnavailableError
from ._redis_calls import Calls

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

logger = logging.getLogger("graflow_async.store")

_QUIET = 10.0  # seconds of silence after which the other side is asked whether it is still there
_FIRST_DELAY = 0.05  # seconds
_LAST_DELAY = 1.0  # seconds


class Topic:
    """A channel that is listened to, or a pattern of channels.

    Attributes:
        hear: called with channel and message, one after the other.
        rejoin: called when the connection was made again: whatever was said meanwhile was not heard.
        joined: set while it is certain that messages arrive.
        was_joined: whether it ever was.
        asked: the connection on which Redis was asked for it last.
        refusal: why Redis does not let us listen; None if it does, or has not been asked.
    """

    __slots__ = ("asked", "hear", "is_pattern", "joined", "name", "refusal", "rejoin", "was_joined")

    def __init__(
        self,
        name: str,
        hear: Callable[[str, bytes], Awaitable[None]],
        rejoin: Callable[[str], Awaitable[None]],
        *,
        is_pattern: bool,
    ) -> None:
        self.name = name
        self.hear = hear
        self.rejoin = rejoin
        self.is_pattern = is_pattern
        self.joined = asyncio.Event()
        self.was_joined = False
        self.asked: Any = None
        self.refusal: Exception | None = None


class Feed:
    """The topics of a store, and the task that listens while there are any.

    That task alone uses the connection: the client cannot stand it when one task reads and another sends.
    """

    __slots__ = ("_calls", "_is_changed", "_left", "_listener", "_reading", "_topics")

    def __init__(self, calls: Calls) -> None:
        """Connect through the client of `calls`, when the first topic is joined."""
        self._calls = calls
        self._topics: dict[str, Topic] = {}
        self._left: list[Topic] = []
        self._is_changed = False
        self._listener: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[Any] | None = None

    async def join(
        self,
        name: str,
        hear: Callable[[str, bytes], Awaitable[None]],
        rejoin: Callable[[str], Awaitable[None]],
        *,
        is_pattern: bool = False,
    ) -> None:
        """Listen to a channel, or a pattern of them; when this returns, whatever is said there will be heard.

        Raises:
            StoreUnavailableError: Redis was away for too long.
            RedisAccessError: it does not let us listen.
        """
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(name, hear, rejoin, is_pattern=is_pattern)
            self._wake()
            if self._listener is None or self._listener.done():
                self._listener = asyncio.create_task(self._listen())
        try:
            async with asyncio.timeout(self._calls.patience):
                await topic.joined.wait()
        except TimeoutError as error:
            raise StoreUnavailableError(f"listening to {name}: Redis does not answer") from error
        if topic.refusal is not None:
            with our_errors(f"listening to {name}"):
                raise topic.refusal

    def leave(self, name: str) -> None:
        """Listen to a topic no more."""
        topic = self._topics.pop(name, None)
        if topic is not None:
            self._left.append(topic)
            self._wake()

    async def aclose(self) -> None:
        """Listen to nothing any more, and close the connection."""
        self._topics.clear()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])

    def _wake(self) -> None:
        """Let the listener look at the topics; a read that is cut short loses nothing."""
        self._is_changed = True
        if self._reading is not None:
            self._reading.cancel()

    async def _listen(self) -> None:
        client: Any = self._calls.client
        delay = _FIRST_DELAY
        while self._topics:
            pubsub = client.pubsub()
            try:
                self._is_changed = True
                async with aclosing(self._messages(pubsub)) as messages:
                    async for message in messages:
                        delay = _FIRST_DELAY
                        await self._take(message)
            except (RedisError, OSError) as error:
                if passes(error):
                    logger.info("the connection on which a store listens broke, and is made again: %s", error)
                else:
                    self._refuse(error)
            finally:
                for topic in self._topics.values():
                    topic.joined.clear()
                await pubsub.aclose()
            if self._topics:
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  # spreads clients
                delay = min(2 * delay, _LAST_DELAY)

    def _refuse(self, error: Exception) -> None:
        """Give up what was never listened to; what was before may be allowed again, and goes on then."""
        logger.warning("a store may not listen to Redis: %s", error)
        for name, topic in list(self._topics.items()):
            if not topic.was_joined:
                del self._topics[name]
                topic.refusal = error
                topic.joined.set()

    async def _messages(self, pubsub: Any) -> AsyncGenerator[dict[str, Any]]:
        """Yield what comes while there are topics; ask for those that are new, and in silence for a sign of life.

        Raises:
            RedisError: the connection broke.
            OSError: the connection broke, or there was no sign of life.
        """
        is_probed = False
        while self._topics:
            if self._is_changed:
                self._is_changed = False
                await self._ask(pubsub)
                continue
            self._reading = reading = asyncio.create_task(pubsub.get_message(timeout=_QUIET))
            try:
                await asyncio.wait([reading])
            finally:
                self._reading = None
                if not reading.done():
                    reading.cancel()
                    await asyncio.wait([reading])
            if reading.cancelled():
                continue
            message = reading.result()
            if message is not None:
                is_probed = False
                yield message
            elif is_probed:
                raise TimeoutError("no answer to a ping")
            else:
                is_probed = True
                await pubsub.ping()

    async def _ask(self, pubsub: Any) -> None:
        """Ask Redis for the topics that are new on this connection, and for no more of those that were left."""
        for topic in list(self._topics.values()):
            if topic.asked is not pubsub:
                topic.asked = pubsub  # a second answer would look as if the connection had been made again
                await (pubsub.psubscribe if topic.is_pattern else pubsub.subscribe)(topic.name)
        left, self._left = self._left, []
        for topic in left:
            if topic.name not in self._topics and topic.asked is pubsub:
                await (pubsub.punsubscribe if topic.is_pattern else pubsub.unsubscribe)(topic.name)

    async def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind in {"message", "pmessage"}:
            topic = self._topics.get((message["pattern"] or message["channel"]).decode())
            if topic is not None:
                await topic.hear(message["channel"].decode(), message["data"])
        elif kind in {"subscribe", "psubscribe"}:
            topic = self._topics.get(message["channel"].decode())
            if topic is None:
                return
            if topic.was_joined:
                await topic.rejoin(topic.name)
            topic.was_joined = True
            topic.joined.set()
