"""An event loop in virtual time, whose schedule a seed decides: what asyncio promises is kept, the rest is varied.

Sleeping takes no time: when nothing can run, the clock jumps to the next timer. Nothing can run means: no callback is
ready, every thread waits to be woken, and no socket had anything to say for a moment. While a thread runs, virtual time
passes like real time.

With a seed, steps of tasks that are ready together run in an order drawn from it, some of them a few turns of the loop
later, and timers are late by up to a millisecond, as on a busy machine. Other callbacks keep their order, and no step
runs before a callback that was scheduled ahead of it. Threads run one stretch at a time then: the loop stands still
until they have ended or wait.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from ._threads import Business, business, newcomers, places

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

T = TypeVar("T")

EPOCH = 1_893_456_000.0
"""The wall clock's time when a loop begins, in seconds since the epoch: the first of January 2030."""

_LOOK_AGAIN = 0.002  # real seconds; a thread that falls asleep tells nobody
_LOOKS = 25  # before it is said that nothing can happen any more
_LONGEST_STRETCH = 1.0  # real seconds for which a seeded loop stands still for a thread
_LONGEST_LOOK = 0.05  # real seconds; a look that took longer was not the program's doing: the machine stood still
_SAY_SOMETHING = 0.05  # real seconds within which somebody at the other end of a socket is expected to answer


class SimulationError(RuntimeError):
    """The simulated program went wrong in a way that no task can see."""


class DeadlockError(SimulationError):
    """Nothing is ready and no timer is set, so no task can ever go on."""


class LivelockError(SimulationError):
    """The program used up its rounds: something turns without getting anywhere."""


class LeakError(SimulationError):
    """Something was left behind: a task, a thread, or an exception that nobody looked at."""


class _NamedTask(asyncio.Task[T]):
    """A task that keeps its name; some versions of `create_task` pass on that none was given.

    Attributes:
        lag: how likely a step that is ready waits for another turn of the loop.
    """

    lag = 0.0

    def set_name(self, value: object) -> None:
        """Take a name."""
        if value is not None:
            super().set_name(value)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps, and whose every choice is decided by `seed`.

    Attributes:
        seed: decides the order of steps; None for the order that asyncio's own loop has.
        trace: step by step, the name of the task that ran; the n-th unnamed task is called `task-n`.
        errors: what was reported to the loop's exception handler.
        time_slice: for how many seconds a run may go on without giving the loop back: for ever, as these would be real.
    """

    time_slice = math.inf

    def __init__(
        self,
        seed: int | None = None,
        *,
        threads: bool = True,
        jitter: float = 0.001,
        lag: float = 0.8,
        start: float = EPOCH,
        max_rounds: int = 1_000_000,
    ) -> None:
        """Start the virtual clock at zero.

        Args:
            seed: decides the order of steps; None for the usual one.
            threads: let functions for an executor run in threads. Without, they run on the loop itself, at a moment
                drawn from the seed, and any thread that calls in is refused: then the seed decides everything.
            jitter: by how many seconds timers are late at most, if there is a seed.
            lag: with a seed each task is drawn how likely its step, when it is ready, waits for another turn of the
                loop: up to this. Under every other seed, on average, none does.
            start: the wall clock's time at the beginning, in seconds since the epoch.
            max_rounds: bounds the turns of the loop.
        """
        self._now = 0.0
        self._threads = threads
        super().__init__()
        self.seed = seed
        self.trace: list[str] = []
        self.errors: list[tuple[str, BaseException | None]] = []
        self._start = start
        self._draw = None if seed is None else random.Random(seed)  # noqa: S311  # no secret: it is printed
        self._jitter = 0.0 if seed is None else jitter
        self._lag = 0.0 if self._draw is None or not lag else self._draw.choice((0.0, lag))
        self._max_rounds = self._rounds_left = max_rounds
        self._tasks_made = 0
        self._alive: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        # Threads that were there before belong to somebody else.
        self._strangers = frozenset(threading.enumerate())
        self._slow: frozenset[threading.Thread] = frozenset()
        self.set_task_factory(self._make_task)  # pyright: ignore[reportArgumentType]
        self.set_exception_handler(self._keep_error)

    def time(self) -> float:
        """Give the virtual time in seconds, which begins at zero."""
        return self._now

    def wall_time(self) -> float:
        """Give the virtual wall clock, in seconds since the epoch; the runs of this loop use it."""
        return self._start + self._now

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        """Call back at a virtual moment; with a seed a little later."""
        if self._jitter and self._draw is not None and when > self._now:
            when += self._draw.random() * self._jitter
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Call `func` in a thread, or on the loop itself if this loop has no threads."""
        if self._threads:
            running = super().run_in_executor(executor, func, *args)
            self.let_threads_run()
            return running
        future: asyncio.Future[T] = self.create_future()
        pause = 0.0 if self._draw is None else self._draw.random() / 1000
        self.call_later(pause, self._call_into, future, func, args)
        return future

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        """Schedule `callback`.

        Raises:
            SimulationError: this loop has no threads, and one calls: no seed could repeat what it does.
        """
        if not self._threads and self._is_elsewhere():
            name = threading.current_thread().name
            raise SimulationError(f"thread {name!r} called into the simulation: keep threads out of it")
        return super().call_soon_threadsafe(callback, *args, context=context)

    def expect_nobody_left(self) -> None:
        """Complain about tasks that are still pending.

        Raises:
            LeakError: naming them.
        """
        left = sorted(self._where(task) for task in asyncio.all_tasks(self))
        if left:
            raise LeakError(f"main() ended before these tasks: {', '.join(left)}; await or cancel them")

    def expect_nothing_overlooked(self) -> None:
        """Complain about a failure that went to the loop, or stayed in a task that nobody asked.

        Raises:
            LeakError: from the first such failure.
        """
        # A failed task often hangs in a cycle with its traceback, so its own complaint may come too late.
        for task in sorted(self._alive, key=lambda task: task.get_name()):
            overlooked: Any = task
            if overlooked._log_traceback:
                self.errors.append((f"the exception of {task.get_name()} was never retrieved", task.exception()))
        if self.errors:
            message, cause = self.errors[0]
            raise LeakError(f"{message}: {cause!r}") from cause

    # -- tasks ------------------------------------------------------------------------------------------------

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T], **options: Any) -> Any:
        self._tasks_made += 1
        options["name"] = options.get("name") or f"task-{self._tasks_made}"
        task = _NamedTask(coro, loop=loop, **options)
        if self._draw is not None and self._lag:
            task.lag = self._draw.random() * self._lag
        self._alive.add(task)
        return task

    def _keep_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        self.errors.append((context["message"], context.get("exception")))

    @staticmethod
    def _call_into(future: asyncio.Future[T], func: Callable[..., T], args: tuple[Any, ...]) -> None:
        if future.cancelled():
            return
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # it belongs to whoever awaits the call
            future.set_exception(error)

    # -- rounds -----------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        """Run one round: everything that was ready when it began, in a drawn order."""
        loop: Any = self
        ready = loop._ready
        if self._threads:
            self._poll(0)
        self._take_due_timers()
        if not ready and not loop._stopping:
            self._rest()
        self._rounds_left -= 1
        if self._rounds_left < 0:
            self._rounds_left = self._max_rounds  # what is cancelled now has to end
            raise LivelockError(f"no end in sight at {self._now:g} virtual seconds; {self._waiting()}")
        order = list(ready) if self._draw is None else self._draw_order(ready, self._draw)
        ready.clear()
        ready.extend(order)
        for _ in order:
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if is_step(handle):
                task = handle._callback.__self__
                if self._draw is not None and self._lag and self._draw.random() < getattr(task, "lag", 0.0):
                    ready.append(handle)
                    continue
                self.trace.append(task.get_name())
            handle._run()
            self.let_threads_run()

    def _take_due_timers(self) -> None:
        """Move timers that are due to the ready callbacks, and forget cancelled ones ahead of the next."""
        loop: Any = self
        timers: list[Any] = loop._scheduled
        while timers and (timers[0]._cancelled or timers[0]._when <= self._now):
            timer = heapq.heappop(timers)
            timer._scheduled = False
            if timer._cancelled:
                loop._timer_cancelled_count -= 1
            else:
                loop._ready.append(timer)

    def _draw_order(self, handles: Iterable[asyncio.Handle], draw: random.Random) -> list[asyncio.Handle]:
        """Delay steps at random, behind other steps and behind later callbacks."""
        order: list[asyncio.Handle] = []
        held: list[asyncio.Handle] = []
        for handle in handles:
            if is_step(handle):
                held.append(handle)
                continue
            draw.shuffle(held)
            kept = draw.randint(0, len(held))
            order += [*held[kept:], handle]
            del held[kept:]
        draw.shuffle(held)
        return order + held

    # -- when nothing is ready --------------------------------------------------------------------------------

    def _rest(self) -> None:
        """Wait for threads and for the outside while they have something to do; else let the clock jump."""
        loop: Any = self
        while not loop._ready and not loop._stopping:
            how_busy = self._business()
            if loop._ready:
                return  # by a thread that has ended since
            timers: list[Any] = loop._scheduled
            if how_busy is Business.BUSY or (how_busy is Business.DOZING and not timers):
                self._live(_LOOK_AGAIN)
            elif self._has_connections() and self._live(_SAY_SOMETHING if timers else 1.0):
                continue
            elif timers:
                self._now = max(self._now, timers[0].when())
                self._take_due_timers()
            elif not self._has_connections() and self._is_quiet():
                raise DeadlockError(f"nothing can happen any more; {self._waiting()}")

    def _business(self) -> Business:
        """Say whether threads run; before the clock may jump, a second look catches who was just waking."""
        if not self._threads or threading.active_count() <= 1:
            return Business.IDLE
        found = business(self._strangers)
        if found is Business.IDLE and newcomers(self._strangers):
            self._poll(0.0002)
            found = Business.BUSY if self._is_ready() else business(self._strangers)
        return found

    def _is_quiet(self) -> bool:
        """Say whether nothing comes for a while: a thread that was woken may wait long for a busy machine."""
        if not self._threads or not newcomers(self._strangers):
            return not self._is_ready()
        return not any(self._live(_LOOK_AGAIN) or self._business() is not Business.IDLE for _ in range(_LOOKS))

    def let_threads_run(self) -> None:
        """Stand still, if there is a seed, until all threads have ended or wait; what takes too long is left alone."""
        if self._draw is None or not self._threads or threading.active_count() <= 1:
            return
        ignored, left = self._strangers | self._slow, _LONGEST_STRETCH
        while business(ignored) is Business.BUSY:
            began = time.monotonic()
            self._poll(0.0002)
            left -= min(time.monotonic() - began, _LONGEST_LOOK)
            if left < 0:
                self._slow = frozenset(threading.enumerate())
                return

    def _live(self, seconds: float) -> bool:
        """Let real time pass until something comes in, for so many seconds at most; say whether it did."""
        began = time.monotonic()
        self._poll(seconds)
        self._now += time.monotonic() - began
        self._take_due_timers()
        return self._is_ready()

    def _poll(self, seconds: float) -> None:
        """Take what comes from sockets and threads, waiting for it for so many real seconds at most."""
        loop: Any = self
        found: list[Any] = loop._selector.select(seconds)
        if not found:
            return
        knock = loop._ssock.fileno()
        if any(key.fd == knock for key, _ in found):
            loop._read_from_self()  # here, and not as a callback: how often threads knock must not change the order
        loop._process_events([event for event in found if event[0].fd != knock])

    def _is_ready(self) -> bool:
        loop: Any = self
        return bool(loop._ready)

    def _has_connections(self) -> bool:
        """Say whether anything but the loop's own pipe is watched."""
        loop: Any = self
        return self._threads and len(loop._selector.get_map()) > 1

    def _is_elsewhere(self) -> bool:
        loop: Any = self
        return loop._thread_id not in {None, threading.get_ident()}

    def _write_to_self(self) -> None:
        """Wake the loop if another thread calls; otherwise it is awake."""
        if self._is_elsewhere():
            super()._write_to_self()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

    # -- for people -------------------------------------------------------------------------------------------

    def _waiting(self) -> str:
        tasks = sorted(self._where(task) for task in asyncio.all_tasks(self))
        own = newcomers(self._strangers)
        threads = f"; threads: {places(own)}" if own else ""
        return f"waiting: {', '.join(tasks) or 'no task'}{threads}"

    @staticmethod
    def _where(task: asyncio.Task[Any]) -> str:
        frames = task.get_stack(limit=1)
        where = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
        return task.get_name() + where


def is_step(handle: asyncio.Handle) -> bool:
    """Say whether `handle` continues a task, as opposed to any other callback."""
    callback: Any = getattr(handle, "_callback", None)
    return isinstance(getattr(callback, "__self__", None), asyncio.Task) and (
        getattr(callback, "__name__", "") != "cancel"
    )
