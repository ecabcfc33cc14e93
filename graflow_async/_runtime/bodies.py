"""Running one body: arguments found, function called the way its kind asks for, the end turned into a fact."""

from __future__ import annotations

import asyncio
import inspect
import logging
import types
from contextvars import copy_context
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from .._core.events import Cancelled, Event, Failed
from .._core.state import Instance
from ..compose import Expression
from ..current import running
from ..definition import Definition
from ..errors import BindingError, ConfigError, GraflowRuntimeError, note, text_of
from ..plan import Plan
from ..protocols import Clock, Executor, Job, TimerHandle
from ..store import MISSING, KeyValueStore
from .binding import Binder
from .caching import cache_key
from .calls import ChildHandle
from .isolation import Returned, as_coroutine, drive, first_step, stepper
from .lanes import Lane, Lanes, too_late
from .ports import TaskContext, ThreadPort

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
    from contextvars import Context


logger = logging.getLogger("graflow_async.run")


class Bodies:
    """Runs bodies for one run."""

    def __init__(
        self,
        *,
        context: Context,
        binders: Mapping[int, Binder],
        clock: Clock,
        store: KeyValueStore,
        threads: Callable[[], ThreadPort],
        executors: Mapping[str, Executor],
        default_executor: str | None,
        new_face: Callable[[Instance], TaskContext],
        context_for: Callable[[Instance], TaskContext],
        submit: Callable[[Event], None],
        job_for: Callable[[Instance, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Job],
        run_id: str,
    ) -> None:
        """Take everything that running a body needs."""
        self._context = context
        self._binders = binders
        self._clock = clock
        self._store = store
        self._threads = threads
        self._executors = executors
        self._default_executor = default_executor
        # Only a plain function can be pickled and called in a child process.
        self._sends_coroutines = default_executor not in (None, "process")
        self._new_face = new_face
        self.context_for = context_for
        self._submit = submit
        self._job_for = job_for
        self._run_id = run_id
        self.lanes: Lanes
        self.completed: Callable[[Instance, Any, Any], None]
        self.watch: Callable[[int], None]
        self.on_cancel: Callable[[int], None]
        self.on_start: Callable[[Instance], None] | None = None
        self._returned_now = Returned()
        self._stepper: Generator[Any, Any, None]
        self._step: Callable[[Any], Any]
        self._new_stepper()

    def begin(self, lane: Lane, instance: Instance) -> Awaitable[None] | None:
        """Run a body as far as it goes without suspending.

        Returns:
            None if it has ended, else the rest, to be awaited on the lane.
        """
        if instance.doomed:
            self._submit(Cancelled(instance.key))
            return None
        task = instance.task
        definition = task.definition
        func = definition.func
        if func is None:
            self.completed(instance, None, None)
            return None
        if self.on_start is not None:
            self.on_start(instance)
        if instance.kind != "async" or self._sends_coroutines:
            return self._finish(lane, instance, self._elsewhere(lane, instance, definition))
        try:
            if instance.data is None:
                args, kwargs = task.args, task.kwargs
            else:
                args, kwargs = instance.data
            plan = definition.plan_now or definition.plan
            if kwargs or len(args) < plan.enough or (args and instance.awaits_arguments) or definition.cache:
                return self._finish(lane, instance, self._with_arguments(lane, instance, definition))
            if plan.context_first:
                face = instance.face
                if face is None:
                    face = instance.face = self._new_face(instance)
                args = (face, *args)
            coro: Any = func(*args)
            if coro.__class__ is not CoroutineType:
                coro = as_coroutine(coro)
            running.set(instance)  # in the lane's context, of which the body gets a copy
            context = copy_context()
            future = context.run(self._step, coro)
        except BaseException as error:  # noqa: BLE001  # every end of a body becomes a fact for the machine
            self._new_stepper()
            self._raised(lane, instance, error)
            return None
        returned = self._returned_now
        if future is not returned:
            rest = self._suspended(lane, instance, self._stepper, context, future)
            self._new_stepper()
            return rest
        face = instance.face
        if face is None:
            self.completed(instance, returned.value, None)
        elif face.failures:
            self._returned(lane, instance, returned.value)
        else:
            instance.face = None  # the two know each other: let go, so that both are freed at once
            self.completed(instance, returned.value, face.wishes)
        return None

    def _new_stepper(self) -> None:
        """Replace a stepper that an exception has ended, or that stays with a body that has suspended."""
        new: Any = stepper(self._returned_now)
        new.send(None)
        self._stepper, self._step = new, new.send

    @types.coroutine
    def _suspended(
        self, lane: Lane, instance: Instance, steps: Any, context: Context, future: Any
    ) -> Generator[Any, Any, None]:
        """Drive a body that has suspended to its end, in one frame: thousands of them may wait at once."""
        self.lanes.suspend(lane, instance)
        timeout = instance.task.definition.timeout
        timer = self._arm(lane, instance, timeout) if timeout is not None else None
        run, returned, failed = context.run, self._returned_now, None
        try:
            while future is not returned:
                try:
                    value = yield future
                except BaseException as error:  # noqa: BLE001  # whatever is thrown in belongs to the body
                    future = run(steps.throw, error)
                else:
                    future = run(steps.send, value)
            value = returned.value
        except BaseException as error:  # noqa: BLE001  # every end of a body becomes a fact for the machine
            failed, value = error, None
        if timer is not None:
            timer.cancel()
        if not lane.abandoned:
            self.lanes.proceed(lane, instance)
        if failed is not None:
            self._raised(lane, instance, failed)
        else:
            self._returned(lane, instance, value)

    async def _finish(self, lane: Lane, instance: Instance, rest: Coroutine[Any, Any, Any]) -> None:
        """Await the rest of a body and tell the machine how it ended."""
        try:
            value = await rest
        except BaseException as error:  # noqa: BLE001  # every end of a body becomes a fact for the machine
            self._raised(lane, instance, error)
        else:
            self._returned(lane, instance, value)

    def _returned(self, lane: Lane, instance: Instance, value: Any) -> None:
        """Tell the machine that a body has returned, and what it wished."""
        if lane.abandoned:
            return
        if lane.timed_out:
            self._raised(lane, instance, asyncio.CancelledError())
            return
        face: TaskContext | None = instance.face
        if face is None:
            self.completed(instance, value, None)
            return
        instance.face = None
        if face.failures and (failure := face.unawaited_failure()) is not None:
            self._raised(lane, instance, failure)
        else:
            self.completed(instance, value, face.wishes)

    async def _with_arguments(self, lane: Lane, instance: Instance, definition: Definition) -> Any:
        """Run an async body whose arguments have to be found first."""
        args, kwargs = await self._arguments(lane, instance)
        func: Any = definition.func

        async def call() -> Any:
            return await self._drive(lane, instance, instance, func(*args, **kwargs), definition.timeout)

        return await self._cached(lane, instance, args, kwargs, call)

    async def _cached(
        self,
        lane: Lane,
        instance: Instance,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        call: Callable[[], Awaitable[Any]],
    ) -> Any:
        """Call a body, or give the result that is stored for its arguments."""
        definition = instance.task.definition
        cache = definition.cache
        if cache is None:
            return await call()
        face = instance.face
        plain = tuple(a for a in args if a is not face)
        key = cache_key(definition, cache, plain, {n: v for n, v in kwargs.items() if v is not face})
        value = await self._drive(lane, instance, None, self._store.get(key, MISSING), None)
        if value is MISSING:
            value = await call()
            await self._drive(lane, instance, None, self._store.set(key, value, cache.ttl), None)
        return value

    async def _arguments(self, lane: Lane, instance: Instance) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Put the arguments of a call together: given ones, injected ones, found ones."""
        task = instance.task
        plan: Plan = task.definition.plan
        args, kwargs = (task.args, task.kwargs) if instance.data is None else instance.data
        if instance.awaits_arguments:
            given = (*args, *(kwargs or {}).values())
            values = await self._drive(lane, instance, None, _awaited(instance, given), None)
            args, kwargs = values[: len(args)], dict(zip(kwargs or (), values[len(args) :], strict=True))
        wanted = plan.open_parameters(len(args), kwargs or ())
        context = self.context_for(instance) if plan.wants_context else None
        if not wanted and not plan.context_names:
            return ((context, *args) if plan.context_first else args), kwargs or {}
        found: dict[str, Any] = {}
        if wanted:
            binder = self._binders[instance.scope.key]
            found = await self._drive(lane, instance, None, binder.find(instance, wanted), None)
        return plan.arrange(args, kwargs or {}, found, context)

    async def _drive(
        self, lane: Lane, instance: Instance, body: Instance | None, coro: Any, timeout: float | None
    ) -> Any:
        """Run a coroutine in a contextvars copy of its own; other lanes take over if it suspends."""
        if coro.__class__ is not CoroutineType:
            coro = as_coroutine(coro)
        context = self._context.copy()
        try:
            future = context.run(first_step, body, coro)
        except StopIteration as stop:
            return stop.value
        return await self._rest(lane, instance, coro, context, future, timeout)

    async def _rest(
        self, lane: Lane, instance: Instance, coro: Any, context: Context, future: Any, timeout: float | None
    ) -> Any:
        """Drive a body that has suspended to its end."""
        self.lanes.suspend(lane, instance)
        timer = self._arm(lane, instance, timeout) if timeout is not None else None
        try:
            return await drive(coro, context, future)
        finally:
            if timer is not None:
                timer.cancel()
            if not lane.abandoned:
                self.lanes.proceed(lane, instance)

    async def _elsewhere(self, lane: Lane, instance: Instance, definition: Definition) -> Any:
        """Run a plain function inline or in a thread, or hand the job to an executor."""
        args, kwargs = await self._arguments(lane, instance)

        async def call() -> Any:
            return await self._call_elsewhere(lane, instance, definition, args, kwargs)

        return await self._cached(lane, instance, args, kwargs, call)

    async def _call_elsewhere(
        self, lane: Lane, instance: Instance, definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call a function where its kind says."""
        func: Any = definition.func
        timeout = definition.timeout
        kind = instance.kind
        default = self._default_executor
        if default is not None and definition.executor == "auto" and (kind != "async" or self._sends_coroutines):
            kind = default
        if kind == "async":
            return await self._drive(lane, instance, instance, func(*args, **kwargs), timeout)
        if kind == "inline":
            value = self._context.copy().run(_call, instance, func, args, kwargs)
        elif kind == "thread":
            instance.calls_run = definition.is_flow
            call: Any = partial(self._context.copy().run, _call, instance, func, args, kwargs)
            value = await self._await_thread(lane, instance, self._threads().submit(call), timeout)
        else:
            executor = self._executors.get(kind)
            if executor is None:
                message = f"task {instance.id!r} asks for executor {kind!r}, which the run does not have"
                raise ConfigError(message)
            job = self._job_for(instance, func, args, kwargs)
            return await self._drive(lane, instance, instance, executor.execute(job), timeout)
        if inspect.isawaitable(value) and not isinstance(value, Expression):
            return await self._drive(lane, instance, instance, value, timeout)
        return value

    def _arm(self, lane: Lane, instance: Instance, timeout: float) -> TimerHandle:
        """Cancel a body when its time is over."""

        def over() -> None:
            lane.timed_out = True
            lane.cancel()
            self.on_cancel(instance.key)
            self.watch(instance.key)

        return self._clock.call_later(timeout, over)

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
            wrapped = GraflowRuntimeError(
                f"task {instance.id!r} raised {type(error).__name__}({text_of(error)}); a task cannot end the program"
            )
            wrapped.__cause__ = error
            error = wrapped
        if isinstance(error, _Upstream):
            self._submit(Failed(instance.key, error.error, again=False))
            return
        again = not isinstance(error, BindingError)
        note(
            error,
            f"graflow_async: task {instance.id!r}, attempt {instance.attempt}, turn {instance.turn}, "
            f"run {self._run_id}",
        )
        self._submit(Failed(instance.key, error, again=again))


async def _awaited(instance: Instance, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Await the handles among the arguments of a called child; what one raised goes on as it is."""
    try:
        return tuple([await a.shared_by(instance) if isinstance(a, ChildHandle) else a for a in args])
    except Exception as error:  # noqa: BLE001  # whatever a handle raised goes on
        raise _Upstream(error) from None


class _Upstream(Exception):  # noqa: N818  # never seen outside of this module
    """Carries the failure of a handle that was passed as an argument."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _call(body: Instance, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a plain function as the body of an instance, inside the context of the body."""
    running.set(body)
    return func(*args, **kwargs)
