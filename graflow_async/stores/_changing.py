"""What changing a file store takes: what is to be written, who waits for whom, work in threads; and an early watch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..store import Change, Watch
from ._entries import Verb
from .memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class Intent:
    """What a verb is about to do.

    Attributes:
        verb: what it does to a key that exists.
        data: the pickled value or item; None if it is known only when the change is made.
        deadline: when the key is up, in seconds since the epoch; None if the verb does not say.
        written: the record that the file has already.
        is_changing: whether the verb came as far as changing something.
    """

    __slots__ = ("data", "deadline", "is_changing", "verb", "written")

    def __init__(self, verb: Verb, data: bytes | None = None, deadline: float | None = None) -> None:
        self.verb = verb
        self.data = data
        self.deadline = deadline
        self.written: Verb | None = None
        self.is_changing = False


class LargeRecord(Exception):  # noqa: N818  # it stops a verb before it changes anything, and is no failure
    """A record is too large to be written on the event loop.

    Attributes:
        verb: what it does.
        key: to which key.
        data: the pickled value or item.
    """

    def __init__(self, verb: Verb, key: str, data: bytes) -> None:
        super().__init__(key)
        self.verb = verb
        self.key = key
        self.data = data


class Gate:
    """Open unless somebody writes in a thread; then all others who want to write wait.

    Attributes:
        is_open: whether nobody does.
    """

    __slots__ = ("_opening", "is_open")

    def __init__(self) -> None:
        self.is_open = True
        self._opening: asyncio.Future[None] | None = None

    def close(self) -> None:
        """Close it; only who has just found it open may do that."""
        self.is_open = False
        self._opening = asyncio.get_running_loop().create_future()

    def open(self) -> None:
        """Let the others go on."""
        opening, self._opening = self._opening, None
        self.is_open = True
        if opening is not None and not opening.done():
            opening.set_result(None)

    async def wait(self) -> None:
        """Wait until it is open."""
        while self._opening is not None:
            await asyncio.wait([self._opening])


class EarlyWatch:
    """A watch on a store that is not open yet; entering it, or its first step, opens the store."""

    __slots__ = ("_exact", "_is_closed", "_opened", "_prefix", "_watch")

    def __init__(self, opened: Callable[[], Awaitable[MemoryStore]], prefix: str, *, exact: bool) -> None:
        self._opened = opened
        self._prefix = prefix
        self._exact = exact
        self._watch: Watch | None = None
        self._is_closed = False

    async def _begin(self) -> Watch:
        memory = await self._opened()
        if self._watch is None:
            self._watch = memory.watch(self._prefix, exact=self._exact)
        return self._watch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        if self._is_closed:
            raise StopAsyncIteration
        return await anext(self._watch or await self._begin())

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop watching."""
        self._is_closed = True
        if self._watch is not None:
            await self._watch.aclose()


async def settle(work: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait until `work` is done, however often that is cancelled, and give the cancellation that came."""
    cancelled = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


async def in_thread(work: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
    """Do blocking work in a thread, to its end; if that is cancelled, undo what it gave and pass that on."""
    working = asyncio.get_running_loop().run_in_executor(None, work)
    cancelled = await settle(working)
    if cancelled is not None:
        if working.exception() is None and undo is not None:
            undo(working.result())
        raise cancelled
    return working.result()
