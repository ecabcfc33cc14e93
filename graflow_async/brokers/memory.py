"""Questions in this process: the broker of runs that keep no journal. The port is `graflow_async.broker`."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

from .._unread import Unread
from ..broker import Change
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackResponse, FeedbackState, Letter
from ._rules import asked, check_address, in_order, settled, unknown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager


class MemoryBroker:
    """Dictionaries behind a lock that is never held while anything waits, for any number of threads and loops.

    A watcher's changes are queued where they are made, all of them, until it reads them: keep reading, or leave.
    """

    __slots__ = ("_lock", "_records", "_runs", "_watchers")

    def __init__(self) -> None:
        """Make a broker without questions."""
        self._lock = threading.Lock()
        self._records: dict[str, FeedbackRecord] = {}
        self._runs: dict[str, _Run] = {}
        # By run; None for those who watch all runs.
        self._watchers: dict[str | None, set[_Watcher]] = {}

    async def ask(self, request: FeedbackRequest, *, again: bool = False) -> FeedbackRecord:
        """Put a question, and give what is known of it.

        Raises:
            StoreError: its id is no address.
        """
        check_address(request)
        with self._lock:
            known = self._records.get(request.id)
            record = asked(known, request, again=again)
            if known is None:
                self._run(request.run_id).add(request)
            return self._keep(known, record)

    async def get(self, question_id: str) -> FeedbackRecord | None:
        """Find a question by its address; None for anything that is none."""
        return self._records.get(question_id)

    async def find(
        self, *, run_id: str | None = None, request_id: str | None = None, state: FeedbackState | None = None
    ) -> list[FeedbackRecord]:
        """List questions, the oldest first; of one run, with one name, in one state."""
        with self._lock:
            found = list(self._found(run_id, request_id))
        return in_order(record for record in found if state is None or record.state is state)

    def _found(self, run_id: str | None, request_id: str | None) -> Iterator[FeedbackRecord]:
        if run_id is None and request_id is None:
            yield from self._records.values()
            return
        for run in self._runs.values() if run_id is None else [self._runs.get(run_id)]:
            for question_id in () if run is None else run.named(request_id):
                yield self._records[question_id]

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

        Raises:
            UnknownRequestError: there is no such question.
            AlreadyAnsweredError: somebody was faster.
            StaleQuestionError: the question is another one by now than the `revision` that was answered.
            ValueError: this is no way to settle a question.
        """
        with self._lock:
            known = self._records.get(question_id)
            if known is None:
                raise unknown(question_id)
            return self._keep(known, settled(known, state, response, at=at, reason=reason, revision=revision))

    async def post(self, letter: Letter) -> None:
        """Send something to a run. Posting it twice changes nothing."""
        with self._lock:
            letters = self._run(letter.run_id).letters
            if letter.id not in letters:
                letters[letter.id] = letter
                self._publish(Change(letter.run_id, letter=letter))

    async def letters(self, run_id: str) -> list[Letter]:
        """List what was sent to a run and not dropped, in the order in which it was sent."""
        with self._lock:
            run = self._runs.get(run_id)
            found = [] if run is None else list(run.letters.values())
        return sorted(found, key=lambda letter: (letter.sent_at, letter.id))

    async def drop(self, run_id: str, letter_ids: Sequence[str]) -> None:
        """Forget letters; those that are gone already are no error."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                return
            for letter_id in letter_ids:
                run.letters.pop(letter_id, None)
            if not run.names and not run.letters:
                del self._runs[run_id]

    async def forget(self, run_id: str) -> None:
        """Forget a run: its questions, answers and letters."""
        with self._lock:
            run = self._runs.pop(run_id, None)
            for question_id in () if run is None else run.named(None):
                del self._records[question_id]

    def watch(self, run_id: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Open a view of what changes from now on, of one run or of all; one task at a time may wait on it."""
        return _Watcher(self, run_id)

    async def aclose(self) -> None:
        """End the open watches; what was kept stays, and the broker may be used again."""
        with self._lock:
            watchers = [watcher for group in self._watchers.values() for watcher in group]
            self._watchers.clear()
            for watcher in watchers:
                watcher.end()

    def enter(self, watcher: _Watcher) -> None:
        """Let a watcher have every change from now on."""
        with self._lock:
            self._watchers.setdefault(watcher.run_id, set()).add(watcher)

    def leave(self, watcher: _Watcher) -> None:
        """Let a watcher have no more changes."""
        with self._lock:
            self._remove(watcher)

    def _remove(self, watcher: _Watcher) -> None:
        group = self._watchers.get(watcher.run_id, set())
        group.discard(watcher)
        if not group:
            self._watchers.pop(watcher.run_id, None)

    def _run(self, run_id: str) -> _Run:
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = _Run()
        return run

    def _keep(self, known: FeedbackRecord | None, record: FeedbackRecord) -> FeedbackRecord:
        if record is not known:
            self._records[record.request.id] = record
            self._publish(Change(record.request.run_id, record))
        return record

    def _publish(self, change: Change) -> None:
        if not self._watchers:
            return
        for group in (change.run_id, None):
            for watcher in list(self._watchers.get(group, ())):
                if not watcher.offer(change):
                    self._remove(watcher)


class _Run:
    """What is known of one run: the addresses of its questions by name, and its letters by id."""

    __slots__ = ("letters", "names")

    def __init__(self) -> None:
        # Several questions of one name are possible and rare, so that one address stands for itself.
        self.names: dict[str, str | tuple[str, ...]] = {}
        self.letters: dict[str, Letter] = {}

    def add(self, request: FeedbackRequest) -> None:
        """Enter a question that is new."""
        name, address = request.request_id, request.id
        others = self.names.get(name)
        if others is None:
            self.names[name] = address
        else:
            self.names[name] = (others, address) if isinstance(others, str) else (*others, address)

    def named(self, name: str | None) -> Iterator[str]:
        """Give the addresses of the questions of one name, or of all."""
        for found in self.names.values() if name is None else [self.names.get(name, ())]:
            if isinstance(found, str):
                yield found
            else:
                yield from found


class _Watcher:
    """A view that one task reads; its changes are offered from any thread, under the broker's lock."""

    __slots__ = ("_broker", "_is_called", "_loop", "_unread", "run_id")

    def __init__(self, broker: MemoryBroker, run_id: str | None) -> None:
        self.run_id = run_id
        self._broker = broker
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unread: Unread[Change] = Unread()
        self._is_called = False

    def offer(self, change: Change) -> bool:
        """Queue a change and say whether anyone can still read it."""
        self._unread.items.append(change)
        return self._call()

    def end(self) -> None:
        """Let the reader have what is queued, and then stop."""
        self._unread.is_over = True
        self._call()

    def _call(self) -> bool:
        """Have the reader's loop look, unless it is going to; False if that loop is closed."""
        if self._loop is None or self._loop.is_closed():
            return False
        if self._is_called:
            return True
        self._is_called = True
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return False
        return True

    def _wake(self) -> None:
        # First: whatever is offered from here on calls again.
        self._is_called = False
        self._unread.wake()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._broker.enter(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._broker.leave(self)
        self._unread.is_over = True
        self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        await self._unread.arrival()
        return self._unread.items.popleft()


class _SharedBroker(MemoryBroker):
    """The broker of the whole process, which no single run can close."""

    __slots__ = ()

    @property
    def place(self) -> str:
        """Where the questions are, in the words of those who know the run's process only by its name."""
        return "memory"

    async def aclose(self) -> None:
        """Do nothing: others are using it."""


_SHARED = _SharedBroker()


def shared() -> MemoryBroker:
    """Give the one broker that all runs without a journal share in this process; closing it does nothing."""
    return _SHARED
