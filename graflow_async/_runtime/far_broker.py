"""Where a run's questions are, as a body sees it that runs elsewhere: all of it is done by the run."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Self

from ..broker import Broker, Change
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackResponse, FeedbackState, Letter
from .talk import Talk

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence


class FarBroker:
    """The run's broker, verb by verb; from tasks of any loop of this process."""

    def __init__(self, talk: Talk, loop: asyncio.AbstractEventLoop) -> None:
        """Ask through `talk`, which belongs to `loop`."""
        self.talk = talk
        self._loop = loop
        self.views: dict[int, FarView] = {}
        self._place: list[str | None] = []
        self._numbers = count(1)

    def number(self) -> int:
        """Number a view."""
        return next(self._numbers)

    async def there(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Await a coroutine function where the conversation is."""
        if asyncio.get_running_loop() is self._loop:
            return await function(*args)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(*args), self._loop))

    async def _verb(self, verb: str, *args: Any, **more: Any) -> Any:
        return await self.there(self.talk.ask, "broker", verb, args, more)

    async def is_same(self, other: Broker) -> bool:
        """Say whether questions of the run are found through another broker, too."""
        place = getattr(other, "place", None)
        if place is None:
            return False
        if not self._place:
            self._place.append(await self._verb("place"))
        return place == self._place[0]

    async def ask(self, request: FeedbackRequest, *, again: bool = False) -> FeedbackRecord:
        """See `Broker.ask`."""
        return await self._verb("ask", request, again=again)

    async def get(self, question_id: str) -> FeedbackRecord | None:
        """See `Broker.get`."""
        return await self._verb("get", question_id)

    async def find(
        self, *, run_id: str | None = None, request_id: str | None = None, state: FeedbackState | None = None
    ) -> list[FeedbackRecord]:
        """See `Broker.find`."""
        return await self._verb("find", run_id=run_id, request_id=request_id, state=state)

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
        """See `Broker.settle`."""
        return await self._verb("settle", question_id, state, response, at=at, reason=reason, revision=revision)

    async def post(self, letter: Letter) -> None:
        """See `Broker.post`."""
        await self._verb("post", letter)

    async def letters(self, run_id: str) -> list[Letter]:
        """See `Broker.letters`."""
        return await self._verb("letters", run_id)

    async def drop(self, run_id: str, letter_ids: Sequence[str]) -> None:
        """See `Broker.drop`."""
        await self._verb("drop", run_id, list(letter_ids))

    async def forget(self, run_id: str) -> None:
        """See `Broker.forget`."""
        await self._verb("forget", run_id)

    def watch(self, run_id: str | None = None) -> FarView:
        """See `Broker.watch`."""
        return FarView(self, run_id)

    async def aclose(self) -> None:
        """End the views of this body; the broker is the run's."""
        for view in list(self.views.values()):
            view.put(None)

    def seen(self, number: int, change: Change | bool) -> None:  # noqa: FBT001  # a field
        """Give a change to its view; True once the view is open."""
        view = self.views.get(number)
        if view is not None:
            view.put(change)


class FarView:
    """A view of what changes at the run's broker."""

    def __init__(self, broker: FarBroker, run_id: str | None) -> None:
        """Look at one run, or at all."""
        self._broker = broker
        self._run_id = run_id
        self._request = 0
        self._number = broker.number()
        self._reader: asyncio.AbstractEventLoop
        self._news: asyncio.Queue[Change | bool | BaseException | None] = asyncio.Queue()
        self._is_over = False

    def put(self, news: Change | bool | BaseException | None) -> None:  # noqa: FBT001  # a field
        """Take a change, or a failure; None for the end."""
        with suppress(RuntimeError):  # whoever looked is gone, and its loop with it
            self._reader.call_soon_threadsafe(self._news.put_nowait, news)

    async def __aenter__(self) -> Self:
        """Look from now on.

        Raises:
            StoreError: the run's broker has failed.
        """
        self._reader = asyncio.get_running_loop()
        try:
            await self._broker.there(self._open)
            await self._next()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Look no longer."""
        self._is_over = True
        await self._broker.there(self._close)

    def __aiter__(self) -> Self:
        """Give the view itself."""
        return self

    async def __anext__(self) -> Change:
        """Wait for the next change.

        Raises:
            StopAsyncIteration: the view was left, or the run's broker was closed.
            StoreError: the run's broker has failed.
        """
        news = None if self._is_over else await self._next()
        if not isinstance(news, Change):
            self._is_over = True
            raise StopAsyncIteration
        return news

    async def _next(self) -> Change | bool | None:
        news = await self._news.get()
        if isinstance(news, BaseException):
            self._is_over = True
            raise news
        return news

    async def _open(self) -> None:
        self._broker.views[self._number] = self
        self._request, answer = self._broker.talk.request("looked", self._number, self._run_id)
        answer.add_done_callback(self._ended)

    async def _close(self) -> None:
        self._broker.views.pop(self._number, None)
        self._broker.talk.withdraw(self._request)

    def _ended(self, answer: asyncio.Future[Any]) -> None:
        """Hear that the run looks no longer."""
        self._broker.talk.forget(self._request)
        self.put(None if answer.cancelled() else answer.exception())
