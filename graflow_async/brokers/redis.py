"""Questions in Redis, for processes on any number of machines. The port's rules are in `graflow_async.broker`.

What is kept where is in `_redis_scripts.py` and `_redis_shelf.py`; how changes are noticed, in `_redis_feed.py`.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .._redis.client import check_given, connect, our_errors, shown, url_of
from .._redis.link import PATIENCE, Link
from .._redis.names import KEEP_FOR, PREFIX, safe
from ..broker import Change
from ..errors import ConfigError
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackResponse, FeedbackState, Letter
from ..policy import require_number
from ._redis_feed import Feed, View
from ._redis_shelf import Shelf
from ._rules import check_address, in_order, is_address, unknown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from redis.asyncio import Redis


class RedisBroker:
    """Questions, answers and letters in one Redis (no cluster), as JSON, for any number of processes and loops.

    State, answer and what watchers are told change in one step; a step whose reply was lost is asked for again and
    counts once. How much survives the death of Redis is up to it: with `appendonly yes` and `appendfsync always`
    everything that was acknowledged. Its keys go with `forget`, or some time after the last sign of life of their run:
    a question, an answer, a letter, an open watch of that run.

    A watcher goes on when Redis was away, also if that took longer than `patience`, and hears of what has changed
    meanwhile. It sees every state of every question, unless it is more than about a thousand changes behind (fewer if
    they are large), or Redis was away: then the last state only. Of a Redis that has lost its last changes it hears
    everything once more.

    Connections are made when they are needed, and closed when nothing is asked and nobody watches: keep a watch open
    where many questions are handled. A client that was given works on its own loop only.
    """

    __slots__ = ("_client", "_expire_after", "_lock", "_name", "_patience", "_prefix", "_shelf", "_url", "_ways")

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Redis | None = None,
        prefix: str = PREFIX,
        expire_after: float = KEEP_FOR,
        patience: float = PATIENCE,
    ) -> None:
        """Use a Redis, which is asked nothing yet.

        Args:
            url: where it is; None for GRAFLOW_REDIS_URL, then `redis://localhost:6379/0`.
            client: a client to use instead, which answers in bytes and which its owner closes.
            prefix: what all keys begin with.
            expire_after: seconds after its last sign of life when a run is forgotten; the same for all who share it.
            patience: seconds for which something is tried again while Redis does not answer.

        Raises:
            ConfigError: a value makes no sense.
        """
        if not prefix or not prefix.isprintable() or set(prefix) & set("{}"):
            raise ConfigError(f"prefix is a printable text without braces, not {prefix!r}")
        for name, value in (("expire_after", expire_after), ("patience", patience)):
            require_number(name, value, exclusive=True)
        check_given(connect(url) if client is None else client)
        self._name = "the given Redis" if client is not None else shown(url_of(url))
        self._url, self._client, self._prefix = url, client, prefix
        self._expire_after, self._patience = expire_after, patience
        self._shelf = Shelf(prefix, expire_after)
        self._lock = threading.Lock()
        self._ways: dict[asyncio.AbstractEventLoop, tuple[Link, Feed]] = {}

    def __repr__(self) -> str:
        return f"RedisBroker({self._name!r}, prefix={self._prefix!r})"

    @property
    def place(self) -> str | None:
        """Where the questions are: another broker of the same place finds them, too; None if that cannot be told."""
        return f"{self._name} {self._prefix}" if self._client is None else None

    async def ask(self, request: FeedbackRequest, *, again: bool = False) -> FeedbackRecord:
        """Put a question, and give what is known of it.

        Raises:
            StoreUnavailableError: Redis does not answer.
            StoreError: its id is no address, or Redis refused.
        """
        check_address(request)
        async with self._used(f"question {request.id} cannot be asked") as link:
            return await self._shelf.ask(link, request, again=again)

    async def get(self, question_id: str) -> FeedbackRecord | None:
        """Find a question by its address; None for anything that is none.

        Raises:
            StoreUnavailableError: Redis does not answer.
            StoreError: Redis refused.
        """
        if not is_address(question_id):
            return None
        async with self._used(f"question {question_id} cannot be read") as link:
            return await self._shelf.get(link, question_id)

    async def find(
        self, *, run_id: str | None = None, request_id: str | None = None, state: FeedbackState | None = None
    ) -> list[FeedbackRecord]:
        """List questions, the oldest first; of one run, with one name, in one state.

        Raises:
            StoreUnavailableError: Redis does not answer.
            StoreError: Redis refused.
        """
        async with self._used("questions cannot be listed") as link:
            return in_order(await self._shelf.find(link, run_id, request_id, state))

    async def settle(
        self,
        question_id: str,
        state: FeedbackState,
        response: FeedbackResponse | None = None,
        *,
        at: float,
        reason: str | None = None,
        revision: str | None = None,
    ) -> FeedbackRecord:
        """Answer, expire or cancel a pending question, or keep a late answer with an expired one.

        A caller that is cancelled does not know whether it was done; it may settle the question the same way again.

        Raises:
            UnknownRequestError: there is no such question.
            AlreadyAnsweredError: somebody was faster.
            StaleQuestionError: the question is another one by now than the `revision` that was answered.
            ValueError: this is no way to settle a question.
            StoreUnavailableError: Redis does not answer: whether it was done is not known.
            StoreError: Redis refused.
        """
        if not is_address(question_id):
            raise unknown(question_id)
        async with self._used(f"question {question_id} cannot become {state}") as link:
            return await self._shelf.settle(link, question_id, state, response, at=at, reason=reason, revision=revision)

    async def post(self, letter: Letter) -> None:
        """Send something to a run. Posting it twice changes nothing, for ten minutes also after it was dropped.

        Raises:
            StoreUnavailableError: Redis does not answer.
            StoreError: Redis refused.
        """
        async with self._used(f"run {letter.run_id[:80]!r} cannot be sent a letter") as link:
            await self._shelf.post(link, letter)

    async def letters(self, run_id: str) -> list[Letter]:
        """List what was sent to a run and not dropped, in the order in which it was sent.

        Raises:
            StoreUnavailableError: Redis does not answer.
            StoreError: Redis refused.
        """
        async with self._used(f"the letters of run {run_id[:80]!r} cannot be read") as link:
            found = await self._shelf.letters(link, run_id)
        return sorted(found, key=lambda letter: (letter.sent_at, letter.id))

    async def drop(self, run_id: str, letter_ids: Sequence[str]) -> None:
        """Forget letters; those that are gone already are no error.

        Raises:
            StoreUnavailableError: Redis does not answer.
            StoreError: Redis refused.
        """
        async with self._used(f"letters of run {run_id[:80]!r} cannot be dropped") as link:
            await self._shelf.drop(link, run_id, letter_ids)

    async def forget(self, run_id: str) -> None:
        """Forget a run: its questions, answers and letters.

        Raises:
            StoreUnavailableError: Redis does not answer.
            StoreError: Redis refused.
        """
        async with self._used(f"run {run_id[:80]!r} cannot be forgotten") as link:
            await self._shelf.forget(link, safe(run_id))

    def watch(self, run_id: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Open a view of what changes from now on, of one run or of all; one task at a time may wait on it.

        Entering it raises StoreUnavailableError if Redis does not answer; reading raises StoreError if Redis refuses.
        """
        return View(None if run_id is None else safe(run_id), lambda: self._way()[1])

    async def aclose(self) -> None:
        """End the open watches and close their connections; what was kept stays, and the broker may be used again."""
        here = asyncio.get_running_loop()
        with self._lock:
            ways = dict(self._ways)
        for loop, (_, feed) in ways.items():
            if loop is here:
                await feed.stop()
                continue
            try:
                loop.call_soon_threadsafe(feed.end)
            except RuntimeError:
                continue  # it was closed, and its views with it

    @asynccontextmanager
    async def _used(self, what: str) -> AsyncGenerator[Link]:
        """Use the connections of this loop, with our errors."""
        link = self._way()[0]
        async with link.used():
            with our_errors(what):
                yield link

    def _way(self) -> tuple[Link, Feed]:
        """Give the connections of the running loop: no client works on two."""
        loop = asyncio.get_running_loop()
        with self._lock:
            way = self._ways.get(loop)
            if way is None:
                for other in [other for other in self._ways if other.is_closed()]:
                    del self._ways[other]
                link = Link(self._url, self._client, self._patience)
                way = self._ways[loop] = (link, Feed(link, self._shelf, self._expire_after))
        return way
