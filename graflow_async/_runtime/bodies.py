"""Running one body: arguments found, function called the way its kind asks for, the end turned into a fact."""

from __future__ import annotations

import asyncio
import inspect
import logging
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from .._core.events import Cancelled, Completed, Event, Failed
from .._core.state import Instance
from ..current import running
from ..definition import Definition
from ..errors import BindingError, ConfigError, GraflowRuntimeError, note
from ..plan import Plan
from ..protocols import Clock, Executor, Job, TimerHandle
from .binding import Binder
from .calls import ChildHandle
from .isolation import as_coroutine, drive, first_step
from .lanes import Lane, Lanes, too_late

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Context


logger = logging.getLogger("graflow_async.run")


class ThreadPort(Protocol):
    """Runs plain functions in threads."""

    def submit(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Start a call in a thread of its own and give the future of its value."""
        ...


class TaskContext(Protocol):
    """What the runtime needs of a task's context."""

    @property
    def wishes(self) -> Any:
        """What the body has wished so far."""
        ...

    @property
    def calls_run(self) -> bool:
        """Whether calling a task runs it."""
        ...

    def unawaited_failure(self) -> BaseException | None:
        """The exception of a called child that failed and that nobody awaited."""
        ...


class Bodies:
    """Runs bodies for one run."""

    def __init__(
        self,
        *,
        context: Context,
        binders: Mapping[int, Binder],
        clock: Clock,
        threads: Callable[[], ThreadPort],
        executors: Mapping[str, Executor],
        default_executor: str | None,
        new_context: Callable[[Instance], TaskContext],
        submit: Callable[[Event], None],
        job_for: Callable[[Instance, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Job],
        run_id: str,
    ) -> None:
        """Take everything that running a body needs."""
        self._context = context
        self._binders = binders
        self._clock = clock
        self._threads = threads
        self._executors = executors
        self._default_executor = default_executor
        self._new_context = new_context
        self._submit = submit
        self._job_for = job_for
        self._run_id = run_id
        self.lanes: Lanes
        self.watch: Callable[[int], None]
        self.on_cancel: Callable[[int], None]
        self.on_start: Callable[[Instance], None] | None = None

    async def run(self, lane: Lane, instance: Instance) -> None:
        """Run the body of an instance on a lane and tell the machine how it ended."""
        if instance.doomed:
            self._submit(Cancelled(instance.key))
            return
        definition = instance.task.definition
        if definition.func is None:
            self._submit(Completed(instance.key, None))
            return
        if self.on_start is not None:
            self.on_start(instance)
        context = self._new_context(instance)
        try:
            args, kwargs = await self._arguments(lane, instance, context)
            if instance.kind == "async" and self._default_executor is None:
                coro: Any = definition.func(*args, **kwargs)
                if coro.__class__ is not CoroutineType:
                    coro = as_coroutine(coro)
                value = await self._drive(lane, instance, context, coro, definition.timeout)
            else:
                value = await self._run_elsewhere(lane, instance, context, args, kwargs)
        except BaseException as error:  # noqa: BLE001  # every end of a body becomes a fact for the machine
            self._raised(lane, instance, error)
            return
        if lane.abandoned:
            return
        if lane.timed_out:
            self._raised(lane, instance, asyncio.CancelledError())
            return
        failure = context.unawaited_failure()
        if failure is not None:
            self._raised(lane, instance, failure)
        else:
            self._submit(Completed(instance.key, value, context.wishes))

    async def _arguments(
        self, lane: Lane, instance: Instance, context: TaskContext
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Put the arguments of a call together: given ones, injected ones, found ones."""
        task = instance.task
        plan: Plan = task.definition.plan
        args, kwargs = (task.args, task.kwargs) if instance.data is None else instance.data
        if instance.then is not None and any(isinstance(a, ChildHandle) for a in args):
            args = await self._drive(lane, instance, None, _awaited(instance, args), None)
        wanted = plan.open_parameters(len(args), kwargs or ())
        if not wanted and not plan.wants_context:
            return args, kwargs or {}
        if not wanted and not plan.context_names:
            return (context, *args), kwargs or {}
        found = {}
        if wanted:
            found = await self._drive(
                lane, instance, None, self._binders[instance.scope.key].find(instance, plan, wanted), None
            )
        return plan.arrange(args, kwargs or {}, found, context)

    async def _drive(
        self, lane: Lane, instance: Instance, caller: TaskContext | None, coro: Any, timeout: float | None
    ) -> Any:
        """Run a coroutine in a contextvars copy of its own; other lanes take over if it suspends."""
        context = self._context.copy()
        try:
            future = context.run(first_step, caller, coro)
        except StopIteration as stop:
            return stop.value
        self.lanes.suspend(lane, instance)
        timer = self._arm(lane, instance, timeout) if timeout is not None else None
        try:
            return await drive(coro, context, future)
        finally:
            if timer is not None:
                timer.cancel()
            if not lane.abandoned:
                self.lanes.proceed(lane, instance)

    def _arm(self, lane: Lane, instance: Instance, timeout: float) -> TimerHandle:
        """Cancel a body when its time is over."""

        def over() -> None:
            lane.timed_out = True
            lane.cancel()
            self.on_cancel(instance.key)
            self.watch(instance.key)

        return self._clock.call_later(timeout, over)

    async def _run_elsewhere(
        self, lane: Lane, instance: Instance, context: TaskContext, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run a plain function inline or in a thread, or hand the job to an executor."""
        definition: Definition = instance.task.definition
        kind = instance.kind
        if self._default_executor is not None and definition.executor == "auto":
            kind = self._default_executor
        func: Any = definition.func
        if kind == "async":
            return await self._drive(lane, instance, context, as_coroutine(func(*args, **kwargs)), definition.timeout)
        if kind == "inline":
            copy = self._context.copy()
            value = copy.run(_call, context, func, args, kwargs)
        elif kind == "thread":
            copy = self._context.copy()
            future = self._threads().submit(partial(copy.run, _call, context, func, args, kwargs))
            value = await self._await_thread(lane, instance, future, definition.timeout)
        else:
            executor = self._executors.get(kind)
            if executor is None:
                message = f"task {instance.id!r} asks for executor {kind!r}, which the run does not have"
                raise ConfigError(message)
            job = self._job_for(instance, func, args, kwargs)
            return await self._drive(lane, instance, context, executor.execute(job), definition.timeout)
        if inspect.isawaitable(value):
            return await self._drive(lane, instance, context, as_coroutine(value), definition.timeout)
        return value

    async def _await_thread(
        self, lane: Lane, instance: Instance, future: asyncio.Future[Any], timeout: float | None
    ) -> Any:
        """Wait for a thread: through a cancellation (it cannot be stopped), but not past a timeout."""
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
                            logger.warning(
                                "task %r did not end within its timeout of %s s; its thread is left to run on",
                                instance.id,
                                timeout,
                            )
                        raise
        finally:
            if timer is not None:
                timer.cancel()
            lane.in_thread = False
            if not lane.abandoned:
                self.lanes.proceed(lane, instance)

    def _raised(self, lane: Lane, instance: Instance, error: BaseException) -> None:
        """Turn what a body raised into a fact."""
        if lane.abandoned:
            return
        if lane.timed_out and not instance.doomed:
            lane.timed_out = False
            late = too_late(instance)
            if not isinstance(error, asyncio.CancelledError):
                late.__cause__ = error
            error = late
        elif isinstance(error, asyncio.CancelledError):
            if instance.doomed:
                self._submit(Cancelled(instance.key))
                return
            message = f"task {instance.id!r} cancelled its own asyncio task, or let somebody else's cancellation out"
            own = GraflowRuntimeError(message)
            own.__cause__ = error
            error = own
        elif isinstance(error, (SystemExit, GeneratorExit)):
            wrapped = GraflowRuntimeError(f"task {instance.id!r} raised {error!r}; a task cannot end the program")
            wrapped.__cause__ = error
            error = wrapped
        if isinstance(error, _Upstream):
            self._submit(Failed(instance.key, error.error, again=False))
            return
        again = not isinstance(error, BindingError)
        note(
            error,
            f"graflow_async: task {instance.id!r}, attempt {instance.attempt}, turn {instance.turn}, run {self._run_id}",
        )
        self._submit(Failed(instance.key, error, again=again))


async def _awaited(instance: Instance, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Await the handles among the arguments of a called child; what one raised goes on as it is."""
    try:
        return tuple([await a.shared_by(instance) if isinstance(a, ChildHandle) else a for a in args])
    except Exception as error:
        raise _Upstream(error) from None


class _Upstream(Exception):  # noqa: N818  # never seen outside of this module
    """Carries the failure of a handle that was passed as an argument."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _call(caller: TaskContext, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a plain function for `caller`, inside the context of the body."""
    running.set(caller)
    return func(*args, **kwargs)
