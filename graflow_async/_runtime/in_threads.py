"""Bodies in threads. The usual one has its arguments and needs no asyncio task: the thread pool calls back."""

from __future__ import annotations

import asyncio
import inspect
import logging
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._core.events import Event
from .._core.state import Instance
from .._lazy import lazily
from ..compose import Expression
from ..current import running
from ..protocols import Clock
from .ends import Ends
from .lanes import Lane, Seat

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from .ports import CallingBack, TaskContext

logger = logging.getLogger("graflow_async.run")
_ports = lazily("graflow_async._runtime.ports")  # for its types


class InThreads(Ends):
    """Runs plain functions in threads."""

    def __init__(
        self,
        *,
        context: Context,
        clock: Clock,
        submit: Callable[[Event], None],
        run_id: str,
        threads: Callable[[], CallingBack],
        default_executor: str | None,
        context_for: Callable[[Instance], TaskContext],
    ) -> None:
        """Take everything that running a function in a thread needs."""
        super().__init__(context=context, clock=clock, submit=submit, run_id=run_id)
        self._threads = threads
        self._default_executor = default_executor
        self.context_for = context_for
        self._awaitables: dict[int, tuple[Any, float]] = {}  # key -> what a function gave, and when its body began

    def function_of(self, instance: Instance) -> Any:
        """Give what to call for a body."""
        return instance.task.definition.func

    def _begin_in_thread(self, instance: Instance, args: tuple[Any, ...]) -> None:
        """Start a body whose arguments are there; no lane waits for it."""
        seat = Seat()
        seat.in_thread = True
        seat.instance = instance
        definition = instance.task.definition
        instance.calls_run = definition.is_flow
        try:
            call: Any = partial(self._context.copy().run, call_body, instance, self.function_of(instance), args, {})
            self._threads().run(call, partial(self._called_back, seat))
        except Exception as error:  # noqa: BLE001  # no further thread to be had: the body has failed
            self._raised(seat, instance, error)
            return
        self.lanes.busy[instance.key] = seat
        timeout = definition.timeout
        if timeout is not None:
            seat.timer = self._clock.call_later(timeout, partial(self._thread_late, seat, instance))

    def _given(self, instance: Instance) -> tuple[Any, ...] | None:
        """Give the arguments of a body if it can begin at once; None if something is to be done before."""
        definition = instance.task.definition
        if definition.cache or instance.key in self._awaitables:
            return None
        args, kwargs = (instance.task.args, instance.task.kwargs) if instance.data is None else instance.data
        plan = definition.plan_now
        if plan is None or kwargs or len(args) < plan.enough or (args and instance.awaits_arguments):
            return None
        return (self.context_for(instance), *args) if plan.context_first else args

    def _called_back(self, seat: Seat, value: Any, error: BaseException | None) -> None:
        """Take the end of a body from the pool, or from an executor that calls back."""
        instance = seat.instance
        if seat.abandoned or instance is None:
            return
        try:
            self._context.run(self._take_end, seat, instance, value, error)
        except Exception as broken:  # noqa: BLE001  # a body's failure is a fact; what arrives here is our own
            self.lanes.crash(broken)

    def _take_end(self, seat: Seat, instance: Instance, value: Any, error: BaseException | None) -> None:
        """Tell the machine, and use the thread that has become free at once if the next body is one for it."""
        if seat.timer is not None:
            seat.timer.cancel()
        lanes = self.lanes
        lanes.leave(seat, instance)
        if error is not None:
            self._raised(seat, instance, error)
        elif seat.in_thread and inspect.isawaitable(value) and not isinstance(value, Expression):
            self._awaitables[instance.key] = value, instance.started_at
            lanes.push(instance)
        else:
            self._returned(seat, instance, value)
        if not lanes.queue:
            return
        following: Any = lanes.queue[0]
        is_open = self._default_executor is None and following.__class__ is Instance and following.kind == "thread"
        if is_open and not following.doomed:
            args = self._given(following)
            if args is not None:
                lanes.queue.popleft()
                following.started_at = monotonic()
                if self.on_start is not None:
                    self.on_start(following)
                self._begin_in_thread(following, args)
        lanes.wake()

    def _thread_late(self, seat: Seat, instance: Instance) -> None:
        """Stop waiting for a body whose time is over."""
        if seat.abandoned:
            return
        seat.timed_out = True
        self.on_cancel(instance.key)
        self.lanes.leave(seat, instance)
        _warn_late(instance)
        self._raised(seat, instance, asyncio.CancelledError())
        seat.abandoned = True

    async def _await_thread(self, lane: Lane, instance: Instance, call: Callable[[], Any]) -> Any:
        """Wait for a thread: through a cancellation (it cannot be stopped), but not past a timeout."""
        future = self._threads().submit(call)
        timeout = instance.task.definition.timeout
        self.lanes.suspend(lane, instance)
        lane.in_thread = True
        timer = self._arm(lane, instance, timeout) if timeout is not None else None
        try:
            while True:
                try:
                    return await asyncio.shield(future)
                except asyncio.CancelledError:
                    if future.done() and not future.cancelled():
                        return future.result()
                    if lane.timed_out or lane.abandoned:
                        if lane.timed_out:
                            _warn_late(instance)
                        raise
        finally:
            if timer is not None:
                timer.cancel()
            lane.in_thread = False
            if not lane.abandoned:
                self.lanes.proceed(lane, instance)


def call_body(body: Instance, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a plain function as the body of an instance, inside the context of the body."""
    running.set(body)
    return func(*args, **kwargs)


def _warn_late(instance: Instance) -> None:
    """Say that a thread is left alone."""
    timeout = instance.task.definition.timeout
    logger.warning("task %r did not end within its timeout of %s s; its thread is left to run on", instance.id, timeout)
