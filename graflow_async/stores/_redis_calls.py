"""Commands for a Redis store: scripts that are sent until they are answered, each of them carried out once."""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import TYPE_CHECKING, Any, TypeVar

from .._redis import client as clients
from .._redis.refusals import more_telling
from .._redis.scripts import script
from ..errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

T = TypeVar("T")

_FIRST_DELAY = 0.05  # seconds
_LAST_DELAY = 1.0  # seconds
_STALE = -2


class Calls:
    """Sends scripts, some at a time, and sends them again while Redis is away.

    Attributes:
        client: the connections.
        name: of this sender among all; it is part of the names of operations.
        patience: seconds without an answer after which a call fails.
    """

    __slots__ = (
        "_answered",
        "_errands",
        "_free_lanes",
        "_lanes",
        "_numbers",
        "_scripts",
        "_slots",
        "client",
        "name",
        "patience",
    )

    def __init__(self, client: Redis, patience: float, at_once: int) -> None:
        """Send through `client`, at most `at_once` commands at a time."""
        self.client = client
        self.patience = patience
        self.name = secrets.token_hex(8)
        self._scripts: dict[str, AsyncScript] = {}
        self._slots = asyncio.Semaphore(at_once)
        self._answered = float("-inf")
        self._errands: set[asyncio.Task[Any]] = set()
        self._free_lanes: list[int] = []
        self._lanes = 0
        self._numbers = 0

    async def run(
        self,
        what: str,
        name: str,
        keys: Sequence[str],
        args: Sequence[Any],
        noting: Callable[[bool], object] | None = None,
    ) -> Any:
        """Give the answer of a script that may be carried out twice; `noting` is told each time whether it was sent.

        Raises:
            StoreUnavailableError: Redis was away for too long.
            StoreError: it refused.
        """
        command = self._script(name)

        def send(is_again: bool) -> Coroutine[Any, Any, Any]:  # noqa: FBT001  # as `patiently` calls it
            if noting is not None:
                noting(is_again)
            return command(keys=keys, args=args)

        return await self.patiently(what, send)

    async def run_once(
        self, what: str, name: str, keys: Sequence[str], start: Sequence[Any], args: Sequence[Any]
    ) -> Any:
        """Give the answer of a script that remembers what it did, so that sending it again does no more.

        Raises:
            StoreUnavailableError: Redis was away for too long; whether the change was made is not known.
            StoreError: it refused, and nothing was changed.
        """
        command = self._script(name)
        lane, number = self._begin()
        try:
            answer = await self.patiently(
                what,
                lambda is_again: command(keys=keys, args=[*start, lane, number, int(is_again), *args]),
            )
        finally:
            self._free_lanes.append(lane)
        if answer[0] == _STALE:
            raise StoreError(f"{what}: a later operation of this store was carried out in its place; this is a bug")
        return answer

    async def patiently(self, what: str, send: Callable[[bool], Coroutine[Any, Any, Any]]) -> Any:
        """Give the answer to a command, which `send` sends; it is told whether that happened before.

        Raises:
            StoreUnavailableError: Redis was away for too long.
            StoreError: it refused.
        """
        loop = asyncio.get_running_loop()
        begun, delay, is_again = loop.time(), _FIRST_DELAY, False
        told: Exception | None = None
        while True:
            await self._slots.acquire()
            # In a task of its own: cancelled while it sends, the client may swallow that; while it waits, it breaks the
            # connection. A command on its way is best left to be answered.
            command = self._start(send(is_again))
            command.add_done_callback(lambda _: self._slots.release())
            try:
                with clients.our_errors(what):
                    return await self._answer(command, begun)
            except StoreUnavailableError as error:
                wait = delay * random.uniform(0.5, 1.0)  # noqa: S311  # spreads clients, keeps no secret
                told = more_telling(error, told)
                if loop.time() + wait > self._give_up_at(begun):
                    raise told from told.__cause__
                if error.__cause__ is not None:
                    await clients.look_elsewhere(self.client, error.__cause__)
            is_again = True
            await asyncio.sleep(wait)
            delay = min(2 * delay, _LAST_DELAY)

    def require(self, begun: float, what: str) -> None:
        """Fail if Redis has been away for too long since a moment on the loop's clock.

        Raises:
            StoreUnavailableError: it has.
        """
        if asyncio.get_running_loop().time() > self._give_up_at(begun):
            raise StoreUnavailableError(f"{what}: Redis does not answer (no sign of life for {self.patience:g} s)")

    async def aclose(self) -> None:
        """End the commands that nobody waits for any more."""
        for task in self._errands:
            task.cancel()
        while self._errands:
            await asyncio.wait(self._errands)

    async def _answer(self, command: asyncio.Task[Any], begun: float) -> Any:
        """Wait for an answer while there is hope; then break the connection, which may still bring one.

        Raises:
            TimeoutError: none came.
            StoreError: the store was closed.
        """
        try:
            async with asyncio.timeout_at(self._give_up_at(begun)):
                answer = await asyncio.shield(command)
        except TimeoutError:
            command.cancel()
            raise
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if command.cancelled() and (caller is None or not caller.cancelling()):
                raise StoreError("the store was closed while a command was on its way") from None
            raise
        self._answered = asyncio.get_running_loop().time()
        return answer

    def _give_up_at(self, begun: float) -> float:
        # Whoever waited long for others to be answered has not waited for Redis.
        return max(begun, self._answered) + self.patience

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._errands.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; asked for here so that it is not reported as unseen

    def _script(self, name: str) -> AsyncScript:
        found = self._scripts.get(name)
        if found is None:
            found = self._scripts[name] = script(self.client, name)
        return found

    def _begin(self) -> tuple[int, int]:
        """Take a lane that no operation under way has, and the next number."""
        self._numbers += 1
        if self._free_lanes:
            return self._free_lanes.pop(), self._numbers
        self._lanes += 1
        return self._lanes, self._numbers
