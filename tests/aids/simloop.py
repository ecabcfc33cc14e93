"""A simulated event loop: the clock jumps, task steps come in a seeded order, and standing still is an error.

Only what asyncio leaves open is varied. Steps of tasks that are ready together run in an order drawn from the seed;
other callbacks keep their order, and no step runs before a callback that was scheduled ahead of it. There are no
sockets and no threads here: a function given to an executor runs on the loop, a little virtual time later.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import threading
import weakref
from asyncio.tasks import _PyTask  # pyright: ignore[reportAttributeAccessIssue]  # steps of a C task look like any callback
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

T = TypeVar("T")
STEP_NAMES = frozenset({"__step", "__wakeup"})


class SimError(Exception):
    """The simulated run went wrong in a way that no task can see."""


class SimDeadlockError(SimError):
    """Nothing is ready and no timer is set, so no task can ever go on."""


class SimLivelockError(SimError):
    """The run used up its rounds: something turns without getting anywhere."""


class SimLeakError(SimError):
    """The main coroutine ended while tasks were pending, or an exception was never looked at."""


class SimTask(_PyTask):
    """A task in pure Python, whose steps the loop can recognise."""

    def set_name(self, value: object) -> None:
        """Take a name; some versions of `create_task` pass on that none was given."""
        if value is not None:
            super().set_name(value)


class SimLoop(asyncio.BaseEventLoop):
    """An event loop whose every run is decided by `seed`.

    `trace` holds, step by step, the name of the task that ran; the n-th unnamed task is called `task-n`.
    """

    def __init__(self, seed: int, *, max_rounds: int = 1_000_000) -> None:
        """Start the virtual clock at zero; `max_rounds` bounds the turns of the loop."""
        super().__init__()
        self.seed = seed
        self.trace: list[str] = []
        self.errors: list[tuple[str, BaseException | None]] = []
        self._random = random.Random(seed)
        self._now = 0.0
        self._rounds_left = max_rounds
        self._tasks_made = 0
        self._alive: weakref.WeakSet[SimTask] = weakref.WeakSet()
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]
        self.set_exception_handler(self._keep_error)

    def time(self) -> float:
        """Give the virtual time in seconds."""
        return self._now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Call `func` on the loop itself, after a moment of virtual time drawn from the seed."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        self.call_later(self._random.random() / 1000, self._call_into, future, func, args)
        return future

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        """Schedule `callback`; a call from another thread is refused, since no seed could repeat it."""
        if self._thread_id not in {None, threading.get_ident()}:  # type: ignore[attr-defined]
            name = threading.current_thread().name
            raise SimError(f"thread {name!r} called into the simulation: keep threads out of it")
        return self.call_soon(callback, *args, context=context)

    def expect_nobody_left(self) -> None:
        """Complain about tasks that are still pending.

        Raises:
            SimLeakError: naming them.
        """
        left = sorted(task.get_name() for task in asyncio.all_tasks(self))
        if left:
            raise SimLeakError(f"main() ended before these tasks: {', '.join(left)}")

    def expect_nothing_overlooked(self) -> None:
        """Complain about a failure that went to the loop, or stayed in a task that nobody asked.

        Raises:
            SimLeakError: from the first such failure.
        """
        # A failed task often hangs in a cycle with its traceback, so its own complaint may come too late.
        for task in sorted(self._alive, key=lambda task: task.get_name()):
            if task._log_traceback:
                self.errors.append((f"the exception of {task.get_name()} was never retrieved", task.exception()))
        if self.errors:
            message, cause = self.errors[0]
            raise SimLeakError(f"{message}: {cause!r}") from cause

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T], **options: Any) -> SimTask:
        self._tasks_made += 1
        options["name"] = options.get("name") or f"task-{self._tasks_made}"
        task = SimTask(coro, loop=loop, **options)
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
        except Exception as error:
            future.set_exception(error)

    def _run_once(self) -> None:
        """Run one round: everything that was ready when it began, in a drawn order."""
        ready = self._ready  # type: ignore[attr-defined]
        self._take_due_timers()
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            self._jump()
        self._rounds_left -= 1
        if self._rounds_left < 0:
            raise SimLivelockError(f"no end in sight at {self._now} virtual seconds; {self._waiting()}")
        order = self._draw_order(ready)
        ready.clear()
        ready.extend(order)
        for _ in order:
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if is_step(handle):
                self.trace.append(handle._callback.__self__.get_name())
            handle._run()

    def _take_due_timers(self) -> None:
        """Move timers that are due to the ready callbacks, and forget cancelled ones ahead of the next."""
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        while timers and (timers[0]._cancelled or timers[0]._when <= self._now):  # type: ignore[attr-defined]
            timer = heapq.heappop(timers)
            timer._scheduled = False  # type: ignore[attr-defined]
            if timer._cancelled:  # type: ignore[attr-defined]
                self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
            else:
                self._ready.append(timer)  # type: ignore[attr-defined]

    def _jump(self) -> None:
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if not timers:
            raise SimDeadlockError(f"nothing can happen any more; {self._waiting()}")
        self._now = timers[0].when()
        self._take_due_timers()

    def _draw_order(self, handles: Iterable[asyncio.Handle]) -> list[asyncio.Handle]:
        """Delay steps at random, behind other steps and behind later callbacks."""
        order: list[asyncio.Handle] = []
        held: list[asyncio.Handle] = []
        for handle in handles:
            if is_step(handle):
                held.append(handle)
                continue
            self._random.shuffle(held)
            kept = self._random.randint(0, len(held))
            order += [*held[kept:], handle]
            del held[kept:]
        self._random.shuffle(held)
        return order + held

    def _waiting(self) -> str:
        places: list[str] = []
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            frames = task.get_stack(limit=1)
            where = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
            places.append(task.get_name() + where)
        return f"waiting: {', '.join(places) or 'no task'}"

    def _write_to_self(self) -> None:
        """Wake nobody: the loop never sleeps."""


def is_step(handle: asyncio.Handle) -> bool:
    """Say whether `handle` continues a task, as opposed to any other callback."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    return isinstance(getattr(callback, "__self__", None), SimTask) and callback.__name__ in STEP_NAMES


def run_sim(main: Callable[[], Coroutine[Any, Any, T]], seed: int, *, max_rounds: int = 1_000_000) -> T:
    """Run `main()` on a loop of its own and give its value; any exception carries the seed as a note.

    Raises:
        SimDeadlockError: no task could go on.
        SimLivelockError: the loop turned `max_rounds` times.
        SimLeakError: tasks were left pending, or failed without anybody looking.
    """
    loop = SimLoop(seed, max_rounds=max_rounds)
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            value = runner.run(main())
            loop.expect_nobody_left()
        loop.expect_nothing_overlooked()
    except BaseException as error:
        error.add_note(f"simulated with seed {seed}: run_sim(main, seed={seed}) repeats it")
        raise
    return value
