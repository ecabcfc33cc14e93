"""Running one body: arguments found, function called the way its kind asks for, the end turned into a fact."""

from __future__ import annotations

import inspect
import types
from asyncio import sleep
from contextvars import copy_context
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from .._core.events import Cancelled, Event
from .._core.state import Instance
from .._lazy import lazily
from ..compose import Expression
from ..current import set_running
from ..definition import PLAIN_KINDS, Definition
from ..errors import ConfigError, GraflowRuntimeError
from ..plan import Plan
from ..protocols import Clock, Executor, Job, Started
from ..store import MISSING, KeyValueStore
from .binding import Binder
from .ends import Upstream
from .in_threads import InThreads, call_body
from .isolation import as_coroutine, drive, first_step
from .lanes import AwaySeat, Lane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
    from contextvars import Context

    from .ports import CallingBack, TaskContext

_caching = lazily("graflow_async._runtime.caching")
_ports = lazily("graflow_async._runtime.ports")  # for its types
_recorded = lazily("graflow_async._runtime.recorded")


AWAY_AT_ONCE = 32  # bodies that are begun elsewhere between two turns of the loop, in which they are sent off


class Bodies(InThreads):
    """Runs bodies for one run."""

    def __init__(
        self,
        *,
        context: Context,
        binders: Mapping[int, Binder],
        clock: Clock,
        store: KeyValueStore,
        threads: Callable[[], CallingBack],
        executors: Mapping[str, Executor],
        default_executor: str | None,
        new_face: Callable[[Instance], TaskContext],
        context_for: Callable[[Instance], TaskContext],
        submit: Callable[[Event], None],
        job_for: Callable[[Instance, tuple[Any, ...], dict[str, Any]], Job],
        run_id: str,
    ) -> None:
        """Take everything that running a body needs."""
        super().__init__(
            context=context,
            clock=clock,
            submit=submit,
            run_id=run_id,
            threads=threads,
            default_executor=default_executor,
            context_for=context_for,
        )
        self._binders = binders
        self._store = store
        self._executors = executors
        # Only a plain function can be pickled and called in a child process.
        self._sends_coroutines = default_executor not in (None, "process")
        self.new_face = new_face
        self._job_for = job_for
        self._call_back = self._called_back
        self._begun_away = 0

    def begin(self, lane: Lane, instance: Instance) -> Awaitable[None] | None:
        """Run a body as far as it goes without suspending.

        Returns:
            None if it has ended, else the rest, to be awaited on the lane.
        """
        if instance.doomed and instance.key not in self._awaitables:
            self._submit(Cancelled(instance.key))
            return None
        task = instance.task
        definition = task.definition
        func = definition.func
        if func is None:
            self.completed(instance, None, None)
            return None
        if instance.kind != "async" or self._sends_coroutines:
            return self._begin_elsewhere(lane, instance, definition)
        if self.on_start is not None:
            self.on_start(instance)
        try:
            if instance.data is None:
                args = task.args
                kwargs = task.kwargs
            else:
                args, kwargs = instance.data
            plan = definition.plan_now or definition.plan
            if kwargs or len(args) < plan.enough or (args and instance.awaits_arguments) or definition.cache:
                return self._finish(lane, instance, self._with_arguments(lane, instance, definition))
            if plan.context_first:
                face = instance.face
                if face is None:
                    face = instance.face = self.new_face(instance)
                coro: Any = func(face, *args) if args else func(face)
            else:
                coro = func(*args) if args else func()
            if coro.__class__ is not CoroutineType:
                coro = as_coroutine(coro)
            set_running(instance)  # in the lane's context, of which the body gets a copy
            context = copy_context()
            future = context.run(lane.step, coro)
        except BaseException as error:  # noqa: BLE001  # every end of a body becomes a fact for the machine
            lane.renew()
            self._raised(lane, instance, error)
            return None
        returned = lane.returned
        if future is not returned:
            return self._suspended(lane, instance, context, future)
        face = instance.face
        completed = self.completed  # no method but an attribute, which is quicker to read than to call
        if face is None:
            completed(instance, returned.value, None)
        elif face.failures:
            self._returned(lane, instance, returned.value)
        else:
            instance.face = None  # the two know each other: let go, so that both are freed at once
            completed(instance, returned.value, face.wishes)
        return None

    def _begin_elsewhere(self, lane: Lane, instance: Instance, definition: Definition) -> Awaitable[None] | None:
        """Begin what is no async body, or await what a thread's function gave."""
        if instance.key in self._awaitables:
            awaitable, instance.started_at = self._awaitables.pop(instance.key)
            rest = self._drive(lane, instance, instance, awaitable, definition.timeout)
            return self._finish(lane, instance, rest)
        if self.on_start is not None:
            self.on_start(instance)
        place = self._place_of(instance, definition)
        start = getattr(self._executors.get(place), "start", None)
        if (start is not None or place == "thread") and (given := self._given(instance)) is not None:
            if start is None:
                self._begin_in_thread(instance, given)
                return None
            self._begin_away(instance, start, given)
            self._begun_away += 1
            return sleep(0) if self._begun_away % AWAY_AT_ONCE == 0 else None
        return self._finish(lane, instance, self._elsewhere(lane, instance, definition))

    def _place_of(self, instance: Instance, definition: Definition) -> str:
        """Say where a body runs: where its kind says, or with the run's executor if nobody has chosen."""
        kind, default = instance.kind, self._default_executor
        is_open = definition.executor == "auto" and kind in PLAIN_KINDS  # neither the task nor a group has chosen
        if default is None or not is_open or (kind == "async" and not self._sends_coroutines):
            return kind
        return kind if instance.lap is not None and instance.lap.graph.table[instance.node].stays else default

    def _begin_away(
        self,
        instance: Instance,
        start: Callable[[Job, Callable[[Any, BaseException | None], None]], Started],
        args: tuple[Any, ...],
    ) -> None:
        """Start a body whose arguments are there, with an executor that calls back; no lane waits for it."""
        seat = AwaySeat(instance, self._call_back)
        self.lanes.busy[instance.key] = seat
        try:
            seat.started = start(self._job_for(instance, args, {}), seat)
        except Exception as error:  # noqa: BLE001  # what cannot be sent has failed
            self.lanes.leave(seat, instance)
            self._raised(seat, instance, error)

    @types.coroutine
    def _suspended(self, lane: Lane, instance: Instance, context: Context, future: Any) -> Generator[Any, Any, None]:
        """Drive a body that has suspended to its end, in one frame: thousands of them may wait at once."""
        self.lanes.suspend(lane, instance)
        timeout = instance.task.definition.timeout
        timer = self._arm(lane, instance, timeout) if timeout is not None else None
        failed = None
        try:
            while future is not lane.returned:
                try:
                    value = yield future
                except BaseException as error:  # noqa: BLE001  # whatever is thrown in belongs to the body
                    future = context.run(lane.throw, error)
                else:
                    future = context.run(lane.step, value)
            value = lane.returned.value
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

    async def _with_arguments(self, lane: Lane, instance: Instance, definition: Definition) -> Any:
        """Run an async body whose arguments have to be found first."""
        args, kwargs = await self._arguments(lane, instance)
        func = self.function_of(instance)

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
        key: str = _caching.cache_key(definition, cache, plain, {n: v for n, v in kwargs.items() if v is not face})
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
        func = self.function_of(instance)
        timeout = definition.timeout
        kind = self._place_of(instance, definition)
        if kind == "async":
            return await self._drive(lane, instance, instance, func(*args, **kwargs), timeout)
        if kind == "inline":
            value = self._context.copy().run(call_body, instance, func, args, kwargs)
        elif kind == "thread":
            instance.calls_run = definition.is_flow
            call: Any = partial(self._context.copy().run, call_body, instance, func, args, kwargs)
            value = await self._await_thread(lane, instance, call)
        else:
            executor = self._executors.get(kind)
            if executor is None:
                message = f"task {instance.id!r} asks for executor {kind!r}, which the run does not have"
                raise ConfigError(message)
            job = self._job_for(instance, args, kwargs)
            if getattr(executor, "takes_context", False):
                timeout = None  # whoever runs it counts from when it begins there
            return await self._drive(lane, instance, instance, executor.execute(job), timeout)
        if inspect.isawaitable(value) and not isinstance(value, Expression):
            return await self._drive(lane, instance, instance, value, timeout)
        return value


async def _awaited(instance: Instance, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Await the handles among the arguments of a called child; what one raised goes on as it is."""
    kind: type[Any] = _recorded.Handle
    values: list[Any] = []
    for given in args:
        if not isinstance(given, kind):
            values.append(given)
            continue
        handle = given.child
        await handle.end_for(instance)
        if handle.cancelled():
            message = f"{handle!r}, an argument of task {instance.id!r}, was cancelled"
            raise Upstream(GraflowRuntimeError(message))
        try:
            values.append(handle.result())
        except Exception as error:  # noqa: BLE001  # whatever a handle raised goes on
            raise Upstream(error) from None
    return tuple(values)
