"""Running something to its end from plain test code: on a fresh loop in virtual time, with nothing left behind."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast, overload

from ..current import is_on_loop
from ..keywords import RunOptions
from ..workflow import Workflow
from ._threads import newcomers, places
from .loop import EPOCH, LeakError, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

T = TypeVar("T")


class Ambient(NamedTuple):
    """What the performance of a test body asks of everything that is simulated in it."""

    seed: int | None = None
    jitter: float = 0.001
    leaks: bool = False


ambient: ContextVar[Ambient] = ContextVar("graflow_async_ambient", default=Ambient())  # noqa: B039  # it cannot change

_SWITCH = 0.05  # seconds; a thread that is woken must not lose the interpreter before that can be seen of it
_TURNS = 100  # of the loop, in which tasks that were cancelled end
_LET_GO = 10.0  # real seconds in which threads that were told to end do so


def simulate(
    main: Callable[[], Awaitable[T]],
    *,
    seed: int | None = None,
    threads: bool = True,
    leaks: bool | None = None,
    jitter: float | None = None,
    lag: float = 0.8,
    start: float = EPOCH,
    max_rounds: int = 1_000_000,
) -> T:
    """Await `main()` on a `VirtualLoop` of its own and give its value; an exception carries the seed as a note.

    Args:
        main: makes what is awaited, on the loop.
        seed: decides the order of steps; None for that of the test around it, else the usual one.
        threads: as for `VirtualLoop`.
        leaks: allow tasks and threads to be left behind.
        jitter: by how many seconds timers are late at most, if there is a seed.
        lag: as for `VirtualLoop`.
        start: the wall clock's time at the beginning, in seconds since the epoch.
        max_rounds: bounds the turns of the loop.

    Raises:
        DeadlockError: no task could go on.
        LivelockError: the loop turned `max_rounds` times.
        LeakError: tasks or threads were left, or a task failed without anybody looking.
        RuntimeError: a loop runs here already.
    """
    if is_on_loop():
        raise RuntimeError("a loop runs here already, which this would block: await the work instead")
    around = ambient.get()
    seed = around.seed if seed is None else seed
    leaks = around.leaks if leaks is None else leaks
    jitter = around.jitter if jitter is None else jitter
    before = set(threading.enumerate())
    loop = VirtualLoop(seed, threads=threads, jitter=jitter, lag=lag, start=start, max_rounds=max_rounds)

    async def enter() -> T:
        value = await main()
        await _let_cancelled_end()
        return value

    interval = sys.getswitchinterval()
    sys.setswitchinterval(max(interval, _SWITCH))
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            value = runner.run(enter())
            if not leaks:
                loop.expect_nobody_left()
        if not leaks:
            loop.expect_nothing_overlooked()
            _expect_no_threads(before)
    except BaseException as error:
        if seed is not None:
            error.add_note(f"simulated with seed {seed}: seed={seed} repeats it")
        raise
    finally:
        sys.setswitchinterval(interval)
        if not loop.is_closed():
            loop.close()  # it broke while it was being closed
    return value


@overload
def run_sync(
    work: Workflow,
    start_node: Any = None,
    *,
    seed: int | None = None,
    leaks: bool | None = None,
    **options: Unpack[RunOptions],
) -> Any: ...
@overload
def run_sync(
    work: Callable[[], Awaitable[T]] | Awaitable[T], *, seed: int | None = None, leaks: bool | None = None
) -> T: ...
def run_sync(
    work: Any, start_node: Any = None, *, seed: int | None = None, leaks: bool | None = None, **options: Any
) -> Any:
    """Run a workflow, a coroutine or a coroutine function to its end in virtual time, and give its value.

    A workflow is given what `wf.run` takes. Sleeping, timeouts, pauses between attempts and deadlines take no time,
    those of plain asyncio included.

    Args:
        work: what to run.
        start_node: as for `wf.run`.
        seed: decides the order in which tasks that are ready together go on; None for that of the test around it
            (`@pytest.mark.graflow(schedules=...)`), else the usual one.
        leaks: allow tasks and threads to be left behind.
        options: as for `wf.run`.

    Raises:
        TypeError: it is nothing of that kind, or options are given for something that is no workflow.
        LeakError: tasks or threads were left, or a task failed without anybody looking.
        DeadlockError: no task could go on.
        RuntimeError: a loop runs here already; await it instead.
        BaseException: what the work raised.
    """
    if isinstance(work, Workflow):
        flow = work
        return simulate(lambda: flow.run(start_node, **options), seed=seed, leaks=leaks)
    if start_node is not None or options:
        raise TypeError(f"only a workflow takes a start node and options; {work!r} is none")
    if isinstance(work, Awaitable):
        given: Awaitable[Any] = cast("Awaitable[Any]", work)
        try:
            return simulate(lambda: given, seed=seed, leaks=leaks)
        finally:
            if asyncio.iscoroutine(given):
                given.close()  # it has ended, unless there was no loop for it
    if not callable(work):
        raise TypeError(f"run_sync takes a workflow, a coroutine or a coroutine function, not {work!r}")
    return simulate(cast("Callable[[], Awaitable[Any]]", work), seed=seed, leaks=leaks)


async def _let_cancelled_end() -> None:
    """Let tasks that were told to stop do so: nobody has to wait for them."""
    for _ in range(_TURNS):
        if not any(task.cancelling() for task in asyncio.all_tasks() - {asyncio.current_task()}):
            return
        await asyncio.sleep(0)


def _expect_no_threads(before: set[threading.Thread]) -> None:
    """Complain about threads that have come and do not end.

    Raises:
        LeakError: naming them.
    """
    deadline = time.monotonic() + _LET_GO
    left = newcomers(before)
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread for thread in left if thread.is_alive()]
    if left:
        raise LeakError(f"main() ended before these threads: {places(left)}; wait for them, or stop them")
