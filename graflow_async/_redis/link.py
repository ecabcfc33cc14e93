"""Talking to Redis for as long as it takes: scripts, one client while somebody needs it, patience."""

from __future__ import annotations

import asyncio
import hashlib
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from redis import exceptions as faults
from redis.exceptions import NoScriptError

from .client import ANSWER_WITHIN, connect, look_elsewhere, passes
from .refusals import more_telling

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from redis.asyncio import Redis

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds for which a request is repeated while Redis does not answer."""

AT_ONCE = 32
"""Requests that may be under way together: a pool of connections is finite, and more are not faster."""

_FIRST_WAIT = 0.05  # seconds
_LONGEST_WAIT = 1.0  # seconds


class Script:
    """A script, sent by its hash; in full where Redis does not know it (yet, or after a restart)."""

    __slots__ = ("sha", "text")

    def __init__(self, *parts: str) -> None:
        """Put the script together."""
        self.text = "".join(parts).strip()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def send(self, client: Redis, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it and give its answer.

        Raises:
            RedisError: Redis refused, or does not answer; whether it was carried out is then not known.
        """
        ask: Any = client
        try:
            return await ask.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await ask.eval(self.text, len(keys), *keys, *args)


class Link:
    """The way to Redis: a given client, or an own one, which lives as long as somebody uses it.

    A client belongs to the loop that it was first used on; one that is closed whenever it is idle can be used on one
    loop after the other, as blocking scripts do.
    """

    __slots__ = ("_answered", "_client", "_gate", "_given", "_loop", "_url", "_users", "patience")

    def __init__(self, url: str | None, client: Redis | None, patience: float) -> None:
        """Use `client`, or connect to `url` when first used."""
        self.patience = patience
        self._url = url
        self._given = client
        self._client: Redis | None = None
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._users = 0
        self._answered = float("-inf")  # when somebody got an answer last, by the clock of the loop

    def enter(self) -> None:
        """Begin to use it; each time goes with one `leave`."""
        self._users += 1

    async def leave(self) -> None:
        """End using it; with the last user the connections go."""
        self._users -= 1
        if not self._users and self._client is not None:
            client, self._client = self._client, None
            with suppress(faults.RedisError, OSError):
                await client.aclose()

    @asynccontextmanager
    async def used(self) -> AsyncGenerator[None]:
        """Use it for a while."""
        self.enter()
        try:
            yield
        finally:
            await self.leave()

    def client(self) -> Redis:
        """Give the client."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # What belonged to a loop that has ended is of no use on this one.
            self._client, self._loop, self._gate = None, loop, asyncio.Semaphore(AT_ONCE)
            self._answered = float("-inf")
        if self._given is not None:
            return self._given
        if self._client is None:
            # With a timeout of its own the client may swallow a cancellation before Python 3.12; here is another one.
            self._client = connect(self._url, socket_timeout=None)
        return self._client

    async def ask(self, script: Script, keys: Sequence[str], args: Sequence[Any], patience: float | None = None) -> Any:
        """Run a script as `until_answered` does; it must be safe to be sent twice."""
        return await self.until_answered(lambda client: script.send(client, keys, args), patience)

    async def command(self, *words: Any) -> Any:
        """Send a command as `until_answered` does; it must be safe to be sent twice."""

        async def send(client: Any) -> Any:
            return await client.execute_command(*words)

        return await self.until_answered(send)

    async def until_answered(self, send: Callable[[Redis], Awaitable[T]], patience: float | None = None) -> T:
        """Send something, again and again while Redis does not answer; in the end the last error that tells why counts.

        Args:
            send: given the client; it must be safe to be done twice, as an answer may get lost on its way.
            patience: seconds, if not the usual ones.

        Raises:
            RedisError: Redis refused, or the time is up.
            OSError: the time is up.
        """
        now = asyncio.get_running_loop().time
        patience = self.patience if patience is None else patience
        begun, deadline, wait = now(), float("inf"), _FIRST_WAIT
        told: Exception | None = None
        while True:
            client, gate = self.client(), self._gate
            await self._take_turn(gate, begun, patience)
            deadline = min(deadline, now() + patience)  # from the first time on that it goes
            try:
                async with asyncio.timeout_at(min(deadline, now() + ANSWER_WITHIN)):
                    answer = await send(client)
            except (faults.RedisError, OSError) as error:
                pause = wait * random.uniform(0.5, 1.0)  # noqa: S311  # so that many do not come back at once
                told = more_telling(error, told)
                if not passes(error):
                    raise
                if now() + pause >= deadline:
                    raise told from told.__cause__
                await look_elsewhere(client, error)
            else:
                self._answered = now()
                return answer
            finally:
                gate.release()
            await asyncio.sleep(pause)
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _take_turn(self, gate: asyncio.Semaphore, begun: float, patience: float) -> None:
        """Wait until a request may go; whoever waits for others, who are answered, does not wait for Redis.

        Raises:
            TimeoutError: nobody was answered for `patience` seconds.
        """
        now = asyncio.get_running_loop().time
        while True:
            deadline = max(begun, self._answered) + patience
            try:
                async with asyncio.timeout_at(deadline):
                    await gate.acquire()
                    return
            except TimeoutError:
                if now() >= max(begun, self._answered) + patience:
                    raise
