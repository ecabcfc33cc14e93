"""Threads for blocking calls: the pool that runs plain `def` bodies away from the event loop.

Only the pool lives here. How many calls may run at once, what a task is and which context variables it sees is decided
by the callers.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = Callable[[Any, BaseException | None], None]

T = TypeVar("T")

_EXIT_WITHIN = 5.0  # seconds that closing waits for idle threads, which need microseconds unless the machine is stuck


def _outcome(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Run `call` and give its value, or the exception that a future accepts."""
    try:
        return call(), None
    except StopIteration as error:
        # A future refuses StopIteration, because raised into a coroutine it would look like a return.
        wrapped = RuntimeError(f"the call raised StopIteration: {error}")
        wrapped.__cause__ = error
        return None, wrapped
    except BaseException as error:  # noqa: BLE001  # whatever ends a body belongs to its awaiter, SystemExit too
        # Without the frame of this function the error keeps no references to the call.
        return None, error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)


class ThreadPool:
    """Runs each call at once in a thread of its own, reusing idle threads; for use from one event loop.

    The pool has no limit, so that bodies which block while they wait for others cannot starve those others: whoever
    submits decides how many calls are in flight. All threads are daemons. An idle thread holds nothing of the calls it
    has run.

    Every thread that is about to wait for work puts a token on `_idle` first, and whoever puts work (or the order to
    stop) on the queue takes a token before. So there is always a thread for each item, without a lock.
    """

    __slots__ = (
        "_busy", "_closed", "_done", "_emptied", "_exited", "_gone", "_idle", "_let_run", "_loop", "_max_idle", "_name",
        "_queue", "_started", "_threads", "_waking",
    )  # fmt: skip

    def __init__(self, name: str = "graflow", *, max_idle: int = 40) -> None:
        """Make an empty pool; no thread starts before the first call.

        Args:
            name: prefix of the names of the threads.
            max_idle: how many threads without work are kept.
        """
        self._name = name
        self._max_idle = max_idle
        self._loop: asyncio.AbstractEventLoop | None = None
        self._let_run: Callable[[], None] | None = None
        self._queue: SimpleQueue[tuple[Done, Callable[[], Any]] | None] = SimpleQueue()
        self._idle: deque[None] = deque()
        self._done: deque[tuple[Done, Any, BaseException | None]] = deque()
        self._exited: deque[threading.Thread] = deque()
        self._waking = False
        self._closed = False
        self._busy = 0
        self._started = 0
        self._threads: set[threading.Thread] = set()
        self._gone: list[threading.Thread] = []
        self._emptied: asyncio.Future[None] | None = None

    @property
    def busy(self) -> int:
        """How many calls have been submitted and have not ended, abandoned ones included."""
        return self._busy

    def submit(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Start `call` in a thread and give the future of its value.

        The future ends with whatever exception ends the call, also SystemExit and KeyboardInterrupt; StopIteration
        arrives as the cause of a RuntimeError. Cancelling the future does not stop the call: it only means that
        nobody wants the outcome any more, which is then dropped without a word.

        Raises:
            RuntimeError: the pool is closed, it belongs to another loop, or the system gives no further thread.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.run(call, partial(_settle, future))
        return future

    def run(self, call: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Start `call` in a thread and hand its value, or what ended it, to `done` on the loop; see `submit`.

        `done` must not raise.

        Raises:
            RuntimeError: the pool is closed, it belongs to another loop, or the system gives no further thread.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._bind(loop)
        if self._closed:
            raise RuntimeError(f"thread pool {self._name!r} is closed; submit before aclose()")
        try:
            self._idle.pop()
        except IndexError:
            self._start((done, call))
        else:
            self._queue.put((done, call))
        self._busy += 1
        if self._let_run is not None:
            self._let_run()

    async def aclose(self) -> None:
        """Stop the idle threads and wait until they have exited.

        A thread that is still in a call exits by itself afterwards; nobody waits for it.
        """
        self._closed = True
        loop = self._loop
        if loop is None:
            return
        self._stop_idle()
        if len(self._threads) > self._busy:
            if self._emptied is None or self._emptied.done():
                self._emptied = loop.create_future()
            await asyncio.wait((self._emptied,), timeout=_EXIT_WITHIN)
        gone, self._gone = self._gone, []
        if gone:
            await _join(gone, loop)

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            raise RuntimeError(f"thread pool {self._name!r} belongs to another event loop; make one pool per loop")
        self._loop = loop
        # A loop of tests that repeats a schedule lets each thread have its turn before anything else happens.
        self._let_run = getattr(loop, "let_threads_run", None)

    def _start(self, first: tuple[Done, Callable[[], Any]]) -> None:
        # The list is emptied by the thread: Thread itself would keep its arguments, and so the call, for ever.
        box = [first]
        thread = threading.Thread(target=self._work, args=(box,), name=f"{self._name}-{self._started}", daemon=True)
        thread.start()
        self._started += 1
        self._threads.add(thread)

    def _work(self, box: list[tuple[Done, Callable[[], Any]]]) -> None:
        """Run calls until told to stop; the body of every thread."""
        item = box.pop()
        while item is not None:
            done, call = item
            value, error = _outcome(call)
            # The token goes first: the loop, woken by the outcome, finds this thread ready for its next call.
            self._idle.append(None)
            self._done.append((done, value, error))
            self._wake()
            if self._closed:
                self._stop_idle()
            del item, done, call, value, error
            item = self._queue.get()
        self._exited.append(threading.current_thread())
        self._wake()

    def _stop_idle(self, keep: int = 0) -> None:
        """Order idle threads to stop, down to `keep` of them; called from any thread."""
        while len(self._idle) > keep:
            try:
                self._idle.pop()
            except IndexError:
                return
            self._queue.put(None)

    def _wake(self) -> None:
        """Have the loop collect what has ended, unless it is about to; called from the threads."""
        if self._waking or self._loop is None:
            return
        # Two threads may both get here; the second collection then finds nothing.
        self._waking = True
        try:
            self._loop.call_soon_threadsafe(self._collect)
        except RuntimeError:
            # The loop is closed: nobody is left to want this outcome or a later one, or to submit.
            self._closed = True

    def _collect(self) -> None:
        """Hand all outcomes to those who wait for them; one call of this serves a batch."""
        # Cleared before the lengths are read: what is added later finds it cleared and asks for a collection.
        self._waking = False
        ended = self._done
        for _ in range(len(ended)):
            done, value, error = ended.popleft()
            self._busy -= 1
            done(value, error)
        if len(self._idle) > self._max_idle:
            self._stop_idle(self._max_idle)
        while self._exited:
            thread = self._exited.popleft()
            self._threads.discard(thread)
            if self._closed:
                self._gone.append(thread)
        if self._emptied is not None and len(self._threads) == self._busy and not self._emptied.done():
            self._emptied.set_result(None)


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    """Give an outcome to its future."""
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
        # Marks it as seen: an abandoned call may fail late without asyncio reporting it.
        future.exception()


async def _join(threads: list[threading.Thread], loop: asyncio.AbstractEventLoop) -> None:
    """Wait until threads that have run their last statement are gone, without blocking the loop."""
    joined: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not joined.done():
            joined.set_result(None)

    def join() -> None:
        for thread in threads:
            thread.join(_EXIT_WITHIN)
        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:
            return  # the loop was closed meanwhile

    last = threading.Thread(target=join, name="graflow-join", daemon=True)
    last.start()
    await asyncio.wait((joined,), timeout=_EXIT_WITHIN)
    # Its last statement has run; what remains is the microseconds in which the interpreter lets go of it.
    last.join(_EXIT_WITHIN)
