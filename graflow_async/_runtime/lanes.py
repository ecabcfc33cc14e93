"""Lanes: asyncio tasks that run ready work back to back.

A lane ends when there is nothing to do. While a body is suspended its lane is busy with it, so another lane takes over:
the first time it happens one lane is started, then two, four, ...; bodies that never suspend need only one. `runnable`
counts the lanes that will look at the queue again without anybody's help; whoever makes it zero while work is left
starts new ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._core.state import Batch, Instance
from ..errors import TaskTimeoutError
from ..protocols import Started, TimerHandle
from .isolation import Returned, new_step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

TIME_SLICE = 0.004
MAX_BURST = 512

logger = logging.getLogger("graflow_async.run")


class Seat:
    """Where a body is that is not over yet: on a lane, or in a thread for which no lane waits.

    Attributes:
        task: the asyncio task; None without a lane.
        instance: whose body it is; None while a lane runs through short ones.
        timed_out: the body's time was over before it ended.
        abandoned: the body ignored its cancellation; whatever it still does counts for nothing.
        in_thread: the body runs in a thread, which cancelling the task cannot stop.
        cancels: how often it was cancelled for its present body.
        timer: ends a thread's body whose time is over.
    """

    __slots__ = ("abandoned", "cancels", "in_thread", "instance", "task", "timed_out", "timer")

    def __init__(self) -> None:
        """Have no task yet."""
        self.task: asyncio.Task[None] | None = None
        self.instance: Instance | None = None
        self.timed_out = False
        self.abandoned = False
        self.in_thread = False
        self.cancels = 0
        self.timer: TimerHandle | None = None

    def cancel(self) -> None:
        """Throw CancelledError into the body, if it is on a lane."""
        if self.task is not None:
            self.cancels += 1
            self.task.cancel()

    def let_go(self) -> None:
        """Hear that the body has been abandoned."""


class AwaySeat(Seat):
    """Where a body is that an executor has started, which calls the seat when it has ended: no lane waits for it.

    Attributes:
        started: the job.
    """

    __slots__ = ("_ended", "started")

    def __init__(self, instance: Instance, ended: Callable[[Seat, Any, BaseException | None], None]) -> None:
        """Have no job yet; `ended` hears how it has ended."""
        super().__init__()
        self.instance = instance
        self.started: Started | None = None
        self._ended = ended

    def __call__(self, value: Any, error: BaseException | None) -> None:
        """Take the value of the body, or its exception."""
        self.started = None  # the two know each other: let go, so that both are freed at once
        self._ended(self, value, error)

    def cancel(self) -> None:
        """Make the body stop; whoever runs it insists by itself."""
        self.cancels += 1
        if self.cancels == 1 and self.started is not None:
            self.started.cancel()

    def let_go(self) -> None:
        """Tell the executor that nobody waits any more until the body has stopped."""
        if self.started is not None:
            self.started.cancel()


class Lane(Seat):
    """One asyncio task of the run, which runs bodies.

    Attributes:
        is_used: a body has suspended on it, so somebody may know its asyncio task: no other body must run on it.
        step: begins a coroutine, or resumes the one that has suspended; gives `returned` when it has returned.
        returned: what the latest coroutine returned.
    """

    __slots__ = ("is_used", "returned", "step")

    def __init__(self, returned: Returned) -> None:
        """Have no task yet."""
        super().__init__()
        self.returned = returned
        self.is_used = False
        self.step = new_step(returned)

    def renew(self) -> None:
        """Take a new step: an exception has ended the old one."""
        self.step = new_step(self.returned)

    def throw(self, error: BaseException) -> Any:
        """Do what `step` does, by an exception that is raised where the coroutine waits."""
        step: Any = self.step
        return step.__self__.throw(error)


class Lanes:
    """Runs whatever is pushed, in order, with as few asyncio tasks as that takes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: Context,
        begin: Callable[[Lane, Instance], Awaitable[None] | None],
        watch: Callable[[int], None],
        crash: Callable[[BaseException], None],
        forget: Callable[[int], None],
        take: Callable[[Batch], Instance],
    ) -> None:
        """Work for one run.

        Args:
            loop: the event loop of the run.
            context: the contextvars that lanes run in.
            begin: runs a body as far as it goes without suspending; gives the rest if it has not ended.
            take: makes the next child of a batch an instance.
            forget: drops what is kept for an attempt (by its instance's key) that has ended.
            crash: ends a run in which something happened that must not.
            watch: keeps an eye on a body (by its key) that was told to stop.
        """
        self._loop = loop
        self._context = context
        self._begin = begin
        self._watch = watch
        self.crash = crash
        self._forget = forget
        self._take = take
        self.queue: deque[Instance | Batch] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runnable = 0
        self._is_closed = False
        self._burst = 1
        self._returned = Returned()
        self._idle: asyncio.Future[None] | None = None
        self.busy: dict[int, Seat] = {}

    def push(self, work: Instance | Batch) -> None:
        """Queue an instance, or a batch to be taken apart."""
        self.queue.append(work)
        if self._runnable == 0:
            self._spawn(1)

    def wake(self) -> None:
        """See to it that somebody looks at the queue."""
        if self._runnable == 0 and self.queue:
            self._spawn(1)

    def suspend(self, lane: Lane, instance: Instance) -> None:
        """Note that a body has suspended its lane, and let another lane go on with the queue."""
        lane.instance = instance
        lane.cancels = 0
        lane.is_used = True
        self.busy[instance.key] = lane
        self._runnable -= 1
        if instance.doomed:
            lane.cancel()
            self._watch(instance.key)
        if self._is_closed:
            self.abandon(lane)
            lane.cancel()
        if self._runnable == 0 and self.queue:
            self._spawn(self._burst)
            self._burst = min(self._burst * 2, MAX_BURST)

    def proceed(self, lane: Lane, instance: Instance) -> None:
        """Note that a suspended body has ended and its lane is free again."""
        lane.instance = None
        self._runnable += 1
        self.leave(lane, instance)

    def leave(self, seat: Seat, instance: Instance) -> None:
        """Note that a body has ended."""
        if self.busy.get(instance.key) is seat:
            del self.busy[instance.key]
            if instance.gates:
                self._forget(instance.key)

    def close(self) -> None:
        """Let nothing begin any more, cancel what has begun, and stop waiting for it."""
        self._is_closed = True
        self.queue.clear()
        for seat in list(self.busy.values()):
            self.abandon(seat)
            seat.cancel()

    def abandon(self, lane: Seat) -> None:
        """Stop waiting for a lane whose body will not end."""
        lane.abandoned = True
        lane.let_go()
        if lane.timer is not None:
            lane.timer.cancel()
        if lane.instance is not None:
            self.busy.pop(lane.instance.key, None)
            self._forget(lane.instance.key)
        task = lane.task
        if task is not None:
            self._tasks.discard(task)
            self._check_idle()
            task.add_done_callback(_let_go)
            _abandoned.add(task)
            # Else asyncio.run would wait for it when the loop closes, and nothing in Python can make it end.
            asyncio.tasks._unregister_task(task)  # documented for those who extend asyncio's tasks
            vars_of: Any = task
            vars_of._log_destroy_pending = False  # it was reported already

    @property
    def is_idle(self) -> bool:
        """Whether no lane is left."""
        return not self._tasks

    async def drained(self) -> None:
        """Wait until no lane is left."""
        while self._tasks:
            self._idle = self._loop.create_future()
            await self._idle

    def _spawn(self, count: int) -> None:
        """Start lanes, not more than there is work for."""
        total = 0
        for work in self.queue:
            if not isinstance(work, Batch):
                total += 1
            elif work.tasks:
                total += len(work.tasks) - work.taken
            if total >= count:
                break
        for _ in range(min(count, total)):
            lane = Lane(self._returned)
            self._runnable += 1
            lane.task = self._loop.create_task(self._serve(lane), context=self._context)
            self._tasks.add(lane.task)

    async def _serve(self, lane: Lane) -> None:
        """Run work until there is none, giving the loop back after each time slice."""
        queue, take, begin, clock = self.queue, self._take, self._begin, monotonic
        task = lane.task
        now = clock()
        time_slice: float = getattr(self._loop, "time_slice", TIME_SLICE)  # real time must not decide a test's schedule
        until = now + time_slice
        try:
            while queue:
                work: Any = queue[0]
                if work.__class__ is Instance:
                    instance = work
                    queue.popleft()
                else:
                    if not work.tasks:  # taken up by other lanes, or dropped
                        queue.popleft()
                        continue
                    instance = take(work)
                    if not work.tasks:
                        queue.popleft()
                instance.started_at = now
                rest = begin(lane, instance)
                if rest is not None:
                    await rest
                    if lane.abandoned:
                        return
                    if lane.is_used:
                        break
                if task is not None and task.cancelling():
                    break  # a cancelled task carries its cancellation on: it must not meet the next body
                now = clock()
                if now > until and queue:
                    await asyncio.sleep(0)
                    now = clock()
                    until = now + time_slice
        except Exception as error:  # noqa: BLE001  # a body's failure is a fact; what arrives here is our own
            self.crash(error)
        except asyncio.CancelledError:
            if not lane.abandoned and not (task is not None and task.cancelling()):
                raise
        finally:
            if not lane.abandoned:
                self._runnable -= 1
                if task is not None:
                    self._tasks.discard(task)
                if not queue:
                    self._burst = 1
                elif self._runnable == 0:
                    self._spawn(1)
                self._check_idle()

    def _check_idle(self) -> None:
        """Wake whoever waits for the last lane."""
        if not self._tasks and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)


def too_late(instance: Instance) -> TaskTimeoutError:
    """Make the error of a body whose time was over."""
    timeout = instance.task.definition.timeout
    return TaskTimeoutError(
        f"task {instance.id!r} took longer than its timeout of {timeout} s (attempt {instance.attempt})"
    )


_abandoned: set[asyncio.Task[None]] = set()


def _let_go(task: asyncio.Task[None]) -> None:
    """Let go of an abandoned task that has ended after all; its outcome counts for nothing."""
    _abandoned.discard(task)
    if not task.cancelled() and task.exception() is not None:
        logger.warning("an abandoned task raised after all", exc_info=task.exception())
