"""The thread in which a checkpointer waits for its disk, and waiting for it in spite of cancellation."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")


class DiskThread:
    """One thread that does one job after the other; it starts with the first job.

    A queue and one wake-up of the loop for each job are about the cheapest way there and back; an executor's future
    costs half as much again.
    """

    __slots__ = ("__weakref__", "_jobs", "_thread")

    def __init__(self) -> None:
        """Make the thread's queue."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # The thread knows only the queue, so a checkpointer that nobody closed can go, and takes its thread with it.
        weakref.finalize(self, self._jobs.put, None)

    def submit(self, call: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        """Run `call` in the thread, then `done` with its value or its exception on the running loop."""
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._jobs,), name="graflow-checkpoint", daemon=True)
            self._thread.start()
        self._jobs.put(_Job(loop, call, done))

    def run(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Run `call` in the thread and give the future of its value; cancelling it does not stop the call."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(value: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        self.submit(call, done)
        return future

    async def aclose(self) -> None:
        """Let the thread do what is queued, and end it; a later job starts another."""
        thread = self._thread
        if thread is None:
            return
        last = self.run(_nothing)
        self._thread = None
        self._jobs.put(None)
        await to_the_end(_wait_for(last))
        # Nothing but its return is left to the thread.
        thread.join()


class _Job:
    __slots__ = ("call", "done", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], Any], done: Callable[..., None]) -> None:
        self.loop = loop
        self.call = call
        self.done = done


def _nothing() -> None:
    pass


async def _wait_for(future: asyncio.Future[T]) -> T:
    return await future


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    """Do jobs until told to stop; the body of the thread."""
    while (job := jobs.get()) is not None:
        value, error = None, None
        try:
            value = job.call()
        except BaseException as caught:  # noqa: BLE001  # whatever ends a job belongs to whoever waits for it
            error = caught
        # A loop that was closed meanwhile has nobody left who waits.
        with suppress(RuntimeError):
            job.loop.call_soon_threadsafe(job.done, value, error)
        del job, value, error


async def to_the_end(work: Coroutine[Any, Any, T], undo: Callable[[T], Coroutine[Any, Any, object]] | None = None) -> T:
    """Await `work` even if the caller is cancelled, which takes effect afterwards.

    What a disk has begun cannot be called back: to leave it behind would leave locks, files and descriptors behind.

    Args:
        work: what has to end.
        undo: what becomes of the result that a cancelled caller never gets.
    """
    result, cancelled = await _finish(work)
    if cancelled is None:
        return result.result()
    if not result.cancelled() and result.exception() is None and undo is not None:
        await _finish(undo(result.result()))
    raise cancelled


async def _finish(work: Coroutine[Any, Any, T]) -> tuple[asyncio.Task[T], asyncio.CancelledError | None]:
    task = asyncio.ensure_future(work)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    return task, cancelled


def in_thread_if(large: bool, call: Callable[[], T]) -> Awaitable[T]:  # noqa: FBT001  # the condition is the point
    """Run `call` in a thread if it is `large` work, else here."""
    return asyncio.to_thread(call) if large else _here(call)


async def _here(call: Callable[[], T]) -> T:
    return call()
