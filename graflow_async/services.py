"""What serves the tasks of a run: contexts, threads, executors, bodies; put together, and taken apart again."""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ._core.run_state import RunState
from ._core.state import Instance
from ._lazy import lazily
from ._runtime.bodies import Bodies
from ._runtime.link import Link
from ._runtime.scheduler import Scheduler
from .coordinator import coordinator_for
from .current import open_block, running
from .executors.pools import ProcessExecutor
from .options import executors_of
from .protocols import Clock, Job
from .store import KeyValueStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Context

    from ._runtime.desk import Desk
    from ._runtime.pausing import IdleWatch
    from ._runtime.ports import Notifier
    from ._runtime.recording import JournaledScheduler
    from .broker import Broker
    from .context import TaskExecutionContext
    from .context.blocking import SyncTaskExecutionContext
    from .executors.threads import ThreadPool
    from .keywords import RunOptions

logger = logging.getLogger("graflow_async.run")
_asking = lazily("graflow_async.broker")  # for its types
_blocking = lazily("graflow_async.context.blocking")
_contexts = lazily("graflow_async.context")
_desk = lazily("graflow_async._runtime.desk")
_brokering = lazily("graflow_async.brokering")
_handlers = lazily("graflow_async.handlers")
_home = lazily("graflow_async._runtime.home")
_keywords = lazily("graflow_async.keywords")  # for its types
_pausing = lazily("graflow_async._runtime.pausing")
_ports = lazily("graflow_async._runtime.ports")  # for its types
_pool = lazily("graflow_async.executors.threads")
_recording = lazily("graflow_async._runtime.recording")
_surrounded = lazily("graflow_async._runtime.surrounded")


class Services:
    """The parts of one run.

    Attributes:
        link: the run as its tasks see it.
        scheduler: the run's shell.
    """

    def __init__(self, options: RunOptions, provided: Mapping[str | type, Any], home: Any = None) -> None:
        """Look at the options; nothing is opened yet. `home` is the directory in which the run is recorded, if it is.

        Raises:
            ConfigError: the `executor` option makes no sense.
        """
        self._options = options
        self._provided = provided
        self._home = home
        self._desk: Desk | None = None
        self._broker: Broker | None = None
        self._idle_watch: IdleWatch | None = None
        self._threads: ThreadPool | None = None
        self._executors, self._default_executor = executors_of(options.get("executor"))
        self._executors.setdefault("process", ProcessExecutor())
        self._executors.setdefault("redis", coordinator_for(options))
        if options.get("queue_backend") == "redis" and self._default_executor is None:
            self._default_executor = "redis"
        self.link: Link
        self._bodies: Bodies
        self.scheduler: Scheduler

    def open(self, state: RunState, clock: Clock, notifier: Notifier | None, store: KeyValueStore) -> Scheduler:
        """Put the parts of an ordinary run together."""
        return self._open(Scheduler, state, clock, notifier, store)

    def open_journaled(
        self, state: RunState, clock: Clock, notifier: Notifier | None, store: KeyValueStore
    ) -> JournaledScheduler:
        """Put the parts of a run with a journal together."""
        scheduler: JournaledScheduler = self._open(_recording.JournaledScheduler, state, clock, notifier, store)
        scheduler.sleeping = self.link.sleeping
        pause_after = self._options.get("pause_after")
        if pause_after is not None:
            self._idle_watch = _pausing.IdleWatch(scheduler, scheduler.activity, pause_after)
        return scheduler

    def _open(
        self, kind: type[Any], state: RunState, clock: Clock, notifier: Notifier | None, store: KeyValueStore
    ) -> Any:
        options, run_id = self._options, state.run_id
        for scope in (state.root, *state.scopes.values()):
            scope.services = self
        link = self.link = Link(
            run_id=run_id,
            store=store,
            clock=clock,
            notifier=notifier,
            threads=self._thread_pool,
            executors=self._executors,
            provided=self._provided,
            new_desk=lambda: self._new_desk(clock, context),
        )
        context = _base_context()
        surrounding = notifier.surrounding if notifier is not None else None
        bodies: Bodies = (_surrounded.SurroundedBodies if surrounding else Bodies)(
            context=context,
            binders=link.binders,
            clock=clock,
            store=store,
            threads=self._thread_pool,
            executors=self._executors,
            default_executor=self._default_executor,
            new_face=self._first_face,
            context_for=self.context_for,
            submit=self._submit,
            job_for=self._job_for,
            run_id=run_id,
        )
        self._bodies = bodies
        scheduler: Scheduler = kind(
            state,
            loop=asyncio.get_running_loop(),
            clock=clock,
            context=context,
            begin=bodies.begin,
            notifier=notifier,
            cancel_grace=options.get("cancel_grace", 10.0),
            validate=options.get("validate", False),
        )
        link.scheduler = self.scheduler = scheduler
        scheduler.on_cancel = bodies.on_cancel = link.portals.close
        bodies.lanes, bodies.watch, bodies.completed = scheduler.lanes, scheduler.watch, scheduler.completed
        bodies.suspended = scheduler.suspended
        bodies.on_start = notifier.started if notifier is not None and notifier.is_detailed else None
        if surrounding:
            _surrounded.SurroundedBodies.surround_for(bodies, surrounding)
        link.check_graph(state.root.graph)
        return scheduler

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing that takes time to close."""
        is_open = any(getattr(executor, "is_open", True) for executor in self._executors.values())
        return self._threads is None and not is_open and self._desk is None

    def _new_desk(self, clock: Clock, context: Context) -> Desk:
        """Make what asks people."""
        broker, handlers, is_own = _brokering.broker_for(
            self._options.get("feedback"), self._home, self._options.get("redis_url")
        )
        if is_own:
            self._broker = broker
        watch = self._idle_watch
        desk: Desk = _desk.Desk(
            self.scheduler,
            broker,
            clock,
            context,
            self.link.memory,
            partial(_handlers.notify, handlers) if handlers else None,
            None if watch is None else watch.asked,
        )
        self._desk = desk
        return desk

    async def aclose(self, *, withdraw: bool = True) -> None:
        """Close executors and threads, and what asks people: open questions are withdrawn, or left as they are."""
        if self._idle_watch is not None:
            self._idle_watch.close()
        if self._desk is not None:
            await self._desk.aclose(withdraw=withdraw, grace=self._options.get("cancel_grace", 10.0))
        if self._broker is not None:
            await self._broker.aclose()
        for executor in self._executors.values():
            try:
                await executor.aclose()
            except Exception:
                logger.exception("executor %r failed to close", executor)
        if self._threads is not None:
            await self._threads.aclose()

    def context_for(self, instance: Instance) -> TaskExecutionContext | SyncTaskExecutionContext:
        """Make the context of a body, once."""
        face: Any = instance.face
        if face is None:
            if instance.kind == "async":
                face = _contexts.TaskExecutionContext(self.link, instance)
            elif instance.task.definition.is_flow:
                face = _blocking.FlowContext(self.link, instance)
            else:
                face = _blocking.SyncTaskExecutionContext(self.link, instance)
            instance.face = face
        return face

    def _first_face(self, instance: Instance) -> TaskExecutionContext:
        """Make the context of the first async body that takes one; those after it need not ask here."""
        new_face = self._bodies.new_face = partial(_contexts.TaskExecutionContext, self.link)
        return new_face(instance)

    def _submit(self, event: Any) -> None:
        """Pass a fact on."""
        self.scheduler.submit(event)

    def _thread_pool(self) -> ThreadPool:
        """Give the thread pool, made at first use."""
        pool = self._threads
        if pool is None:
            pool = self._threads = cast("ThreadPool", _pool.ThreadPool())
        return pool

    def _job_for(self, instance: Instance, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Job:
        """Make the job of a body that runs elsewhere."""
        return _home.Home(self.link, instance, self.context_for, args, kwargs)


def _base_context() -> Context:
    """Copy the caller's contextvars for the tasks of a run; no block is open there, and nothing runs yet."""
    context = copy_context()
    context.run(open_block.set, None)
    context.run(running.set, None)
    return context
