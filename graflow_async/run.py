"""Run: the user's handle on one execution. It puts the parts together, and takes them apart again whatever happens."""

from __future__ import annotations

import asyncio
import logging
import os
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ._core.commands import Finish
from ._core.events import RunStarted, StopRequested
from ._core.gate import Gate
from ._core.run_state import RunState
from ._core.state import Instance
from ._lazy import lazily
from ._runtime.bodies import Bodies
from ._runtime.link import Link, route_of
from ._runtime.scheduler import Scheduler
from ._runtime.timers import LoopClock
from .channel import Channel
from .context import FlowContext, SyncTaskExecutionContext, TaskExecutionContext
from .context.plain import idempotency_key
from .current import open_block, running
from .errors import GraflowRuntimeError, GraflowWorkflowCanceledError, TaskTimeoutError, note
from .executors.pools import ProcessExecutor
from .executors.threads import ThreadPool
from .graph import Graph
from .options import RunOptions, check_options, executors_of
from .policy import Rate
from .protocols import Job
from .stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Mapping
    from contextvars import Context
    from types import TracebackType

    from ._runtime.listeners import EventLog, Notifier, Span, Timeline
    from .events import Event


logger = logging.getLogger("graflow_async.run")
listening = lazily("graflow_async._runtime.listeners")
_events = lazily("graflow_async.events")


class Run:
    """One execution of a workflow: await it for its value, watch its events, cancel it.

    Attributes:
        run_id: unique id of the run.
        graph: the workflow's graph.
        name: the workflow's name.
    """

    def __init__(
        self,
        name: str,
        graph: Graph,
        provided: Mapping[str | type, Any],
        start_node: Any,
        options: RunOptions,
        *,
        watched: bool = True,
    ) -> None:
        """Check everything; nothing starts yet.

        Args:
            name: the workflow's name.
            graph: what to run.
            provided: what was registered with `wf.provide`.
            start_node: an id, a task, a list of them; None for all roots.
            options: the keyword arguments of the run.
            watched: keep the story for `events()` and `timeline()`.

        Raises:
            ConfigError: an option makes no sense.
            GraphCompilationError: nothing can start.
        """
        check_options(options)
        self.name = name
        self.graph = graph
        self.run_id: str = options.get("run_id") or os.urandom(16).hex()
        self._options = options
        self._provided = provided
        self._route = route_of(graph, start_node)
        self._state = RunState(self.run_id, graph, name, options.get("max_steps"))
        self._state.root.services = self
        self._status = "running"
        self._finish: Finish | None = None
        self._closing: asyncio.Task[None] | None = None
        self._threads: ThreadPool | None = None
        self._executors, self._default_executor = executors_of(options.get("executor"))
        self._executors.setdefault("process", ProcessExecutor())
        self._timeline: Timeline | None = listening.Timeline() if watched else None
        self._log: EventLog | None = listening.EventLog(self.run_id) if watched else None
        self._link: Link
        self._scheduler: Scheduler | None = None
        self._notifier: Notifier | None = None
        self._timeout_timer: Any = None
        self._is_failure_seen = False
        self._on_end: list[Callable[[Run], None]] = []
        self._make_gates()

    # -- what the user asks -----------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """How far it is: "running", "completed", "failed" or "cancelled"."""
        return self._status

    @property
    def results(self) -> Mapping[str, Any]:
        """Task id -> latest result."""
        return self._state.root.results

    @property
    def failures(self) -> Mapping[str, BaseException]:
        """Task id -> exception: failures that no parent caught, tolerated ones of groups included."""
        return self._state.root.failures

    @property
    def channel(self) -> Channel:
        """The channel that all tasks share."""
        return self._link.channel(self._state.root)

    def events(self) -> AsyncIterator[Event]:
        """Go through the story of the run from its start until its end; any number of readers may do so.

        Raises:
            GraflowRuntimeError: the run was not opened with `wf.start()`.
        """
        if self._log is None:
            message = "events() needs a handle: async with wf.start() as run"
            raise GraflowRuntimeError(message)
        return self._log.read()

    def timeline(self) -> list[Span]:
        """List when each attempt ran, in order of their starts."""
        return list(self._timeline.spans) if self._timeline is not None else []

    def cancel(self, reason: str | None = None) -> None:
        """Cancel the run; awaiting it raises GraflowWorkflowCanceledError with the reason."""
        if self._scheduler is not None and self._finish is None:
            self._scheduler.submit(StopRequested("cancelled", GraflowWorkflowCanceledError(reason)))

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for the value of the run, or raise what ended it."""
        return self._wait().__await__()

    async def __aenter__(self) -> Self:
        """Start the run."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the run and raise its failure, unless the block has seen it; a block that raised cancels the run."""
        if error is None:
            if not self._is_failure_seen:
                await self._wait()
            return
        self.cancel(f"the block that held the run raised {type(error).__name__}")
        await self._end()

    # -- life -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Put the parts together and start."""
        if self._scheduler is not None:
            message = f"run {self.run_id!r} was started before; make a new one with wf.start()"
            raise GraflowRuntimeError(message)
        loop = asyncio.get_running_loop()
        options = self._options
        clock = options.get("clock") or LoopClock(loop)
        listeners = [*(options.get("listeners") or ()), *([self._log, self._timeline] if self._log else [])]
        notifier: Notifier | None = listening.Notifier(self.run_id, clock.time, listeners) if listeners else None
        self._notifier = notifier
        link = self._link = Link(
            run_id=self.run_id,
            store=options.get("store") or MemoryStore(),
            clock=clock,
            notifier=notifier,
            threads=self._thread_pool,
            executors=self._executors,
            provided=self._provided,
        )
        context = _base_context()
        bodies = Bodies(
            context=context,
            binders=link.binders,
            clock=clock,
            store=link.store,
            threads=self._thread_pool,
            executors=self._executors,
            default_executor=self._default_executor,
            new_face=partial(TaskExecutionContext, link),
            context_for=self.context_for,
            submit=self._submit,
            job_for=self._job_for,
            run_id=self.run_id,
        )
        scheduler = Scheduler(
            self._state,
            loop=loop,
            clock=clock,
            context=context,
            begin=bodies.begin,
            notifier=notifier,
            cancel_grace=options.get("cancel_grace", 10.0),
            validate=options.get("validate", False),
        )
        link.scheduler = self._scheduler = scheduler
        scheduler.on_cancel = bodies.on_cancel = link.close_portals
        bodies.lanes, bodies.watch, bodies.completed = scheduler.lanes, scheduler.watch, scheduler.completed
        bodies.on_start = notifier.started if notifier is not None else None
        link.check_graph(self.graph)
        for key, value in (options.get("inputs") or {}).items():
            await self.channel.set(key, value)
        if notifier is not None:
            notifier.run_started()
        timeout = options.get("timeout")
        if timeout is not None:
            self._timeout_timer = clock.call_later(timeout, self._too_late)
        scheduler.submit(RunStarted(self._route))
        if self._log is not None:
            self._begin_closing()  # readers want to see the end, whether anybody awaits the run or not

    def _begin_closing(self) -> asyncio.Task[None]:
        """Start the task that waits for the end and takes everything apart."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(), context=copy_context())
        return self._closing

    async def value(self) -> Any:
        """Start the run and wait for its value."""
        await self.open()
        return await self._wait()

    def on_end(self, callback: Callable[[Run], None]) -> None:
        """Call back once the run has ended."""
        self._on_end.append(callback)

    async def _wait(self) -> Any:
        """Wait for the end; a cancelled wait cancels the run and goes on as a cancellation."""
        scheduler = self._scheduler
        if scheduler is None:
            message = "the run has not started: use `async with wf.start() as run`, or `await wf.run()`"
            raise GraflowRuntimeError(message)
        try:
            if not scheduler.done.done():
                await asyncio.shield(scheduler.done)
        except asyncio.CancelledError:
            self.cancel("the task that awaited the run was cancelled")
            await self._end()
            raise
        await self._end()
        finish = scheduler.done.result()
        if finish.error is not None:
            self._is_failure_seen = True
            raise finish.error
        return finish.value

    async def _end(self) -> None:
        """Wait until the run has ended and everything is given back, through cancellations of the waiting task."""
        closing = self._begin_closing()
        cancelled: asyncio.CancelledError | None = None
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError as error:
                if closing.cancelled():
                    raise
                cancelled = error
        closing.result()
        if cancelled is not None:
            raise cancelled

    async def _close(self) -> None:
        """Wait for the machine's end, then close lanes, threads, executors and listeners."""
        scheduler = self._scheduler
        if scheduler is None:
            return
        finish = await asyncio.shield(scheduler.done)
        if self._timeout_timer is not None:
            self._timeout_timer.cancel()
        await scheduler.lanes.drained()
        scheduler.close()
        for executor in self._executors.values():
            try:
                await executor.aclose()
            except Exception:
                logger.exception("executor %r failed to close", executor)
        if self._threads is not None:
            await self._threads.aclose()
        if finish.error is not None and not isinstance(finish.error, GraflowWorkflowCanceledError):
            note(finish.error, f"graflow_async: it ended run {self.run_id} of workflow {self.name!r}")
        self._finish = finish
        self._status = finish.kind
        if self._notifier is not None:
            self._notifier.run_finished(finish.kind, finish.error)
            await self._notifier.aclose(self._options.get("cancel_grace", 10.0))
        if self._log is not None:
            self._log.close()
        for callback in self._on_end:
            callback(self)

    # -- parts ------------------------------------------------------------------------------------------------

    def _make_gates(self) -> None:
        """Make the gates of the run's limits."""
        state, options = self._state, self._options
        state.gates["threads"] = Gate("threads", options.get("max_threads", 40))
        for name, limit in (options.get("limits") or {}).items():
            state.gates[name] = Gate(name, limit.count, limit.per) if isinstance(limit, Rate) else Gate(name, limit)
        most = options.get("max_concurrency")
        if most is not None:
            state.gates["run"] = Gate("run", most)
            state.base = (state.gates["run"],)

    def _submit(self, event: Any) -> None:
        """Pass a fact on."""
        if self._scheduler is not None:
            self._scheduler.submit(event)

    def _thread_pool(self) -> ThreadPool:
        """Give the thread pool, made at first use."""
        if self._threads is None:
            self._threads = ThreadPool()
        return self._threads

    def context_for(self, instance: Instance) -> TaskExecutionContext | SyncTaskExecutionContext:
        """Make the context of a body, once."""
        face: Any = instance.face
        if face is None:
            if instance.kind == "async":
                face = TaskExecutionContext(self._link, instance)
            elif instance.task.definition.is_flow:
                face = FlowContext(self._link, instance)
            else:
                face = SyncTaskExecutionContext(self._link, instance)
            instance.face = face
        return face

    def _job_for(
        self, instance: Instance, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Job:
        """Make the job of a body that runs elsewhere."""
        return Job(
            self.run_id,
            instance.id,
            instance.key,
            func,
            args,
            kwargs,
            attempt=instance.attempt,
            turn=instance.turn,
            idempotency_key=idempotency_key(self.run_id, instance),
        )

    def _too_late(self) -> None:
        """End a run that takes longer than its timeout."""
        names = [instance.id for instance in self._state.live.values()]
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        error = TaskTimeoutError(
            f"run {self.run_id} of workflow {self.name!r} took longer than its timeout of "
            f"{self._options.get('timeout')} s; running: {shown or 'nothing'}"
        )
        self._submit(StopRequested("failed", error))


def _base_context() -> Context:
    """Copy the caller's contextvars for the tasks of a run; no block is open there, and nothing runs yet."""
    context = copy_context()
    context.run(open_block.set, None)
    context.run(running.set, None)
    return context
