"""Run: the user's handle on one execution. It puts the parts together, and takes them apart again whatever happens."""

from __future__ import annotations

import asyncio
import logging
import os
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self

from ._core.commands import Finish
from ._core.events import Received, RunStarted, StopRequested
from ._core.run_state import RunState
from ._lazy import lazily
from ._runtime.limits import Limits, new_state
from ._runtime.link import route_of
from ._runtime.scheduler import Scheduler
from ._runtime.timers import LoopClock
from .drawn import DrawnRun
from .errors import (
    CheckpointWriteError,
    ConfigError,
    GraflowRuntimeError,
    GraflowWorkflowCanceledError,
    TaskTimeoutError,
    note,
)
from .graph import Graph
from .options import check_options, listeners_of
from .protocols import Clock
from .services import Services
from .store import KeyValueStore
from .stores.memory import MemoryStore
from .watching import Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from types import TracebackType

    from ._runtime.history import History
    from ._runtime.listeners import Notifier
    from .channel import Channel
    from .keeping import Keeper
    from .keywords import RunOptions


logger = logging.getLogger("graflow_async.run")
_asking = lazily("graflow_async.context.asking")
_channel = lazily("graflow_async.channel")  # for its types
listening = lazily("graflow_async._runtime.listeners")
_events = lazily("graflow_async.events")
_story = lazily("graflow_async.story")
_history = lazily("graflow_async._runtime.history")
_progress = lazily("graflow_async.progress")
_redis_store = lazily("graflow_async.stores.redis")
_keeping = lazily("graflow_async.keeping")
_keywords = lazily("graflow_async.keywords")  # for its types
_journaled = lazily("graflow_async.stores.journaled")


class Run(Watching, DrawnRun):
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
        keeper: Keeper | None = None,
    ) -> None:
        """Check everything; nothing starts yet.

        Args:
            name: the workflow's name.
            graph: what to run.
            provided: what was registered with `wf.provide`.
            start_node: an id, a task, a list of them; None for all roots.
            options: the keyword arguments of the run.
            watched: keep the story for `events()` and `timeline()`.
            keeper: keeps the run's journal, if it has one.

        Raises:
            ConfigError: an option makes no sense.
            GraphCompilationError: nothing can start.
        """
        check_options(options)
        self.name = name
        self.graph = graph
        self._options = options
        self._keeper = keeper
        history = keeper.history if keeper is not None else None
        self._limits = Limits().changed_by(options) if history is None else history.limits
        self._state = self._first_state(history)
        self.run_id: str = self._state.run_id
        self._start = start_node
        self._route = route_of(graph, start_node) if self._state.root.phase == "new" else None
        self._status = "running"
        self._finish: Finish | None = None
        self._closing: asyncio.Task[None] | None = None
        self._services = Services(options, provided, None if keeper is None else keeper.home)
        is_saved = keeper is not None and options.get("durability", "process") in ("process", "fsync")
        self._story = _story.Story(safe_at=self._now if is_saved else None) if watched else None
        self._log = listening.EventLog(self.run_id) if watched else None
        self._scheduler: Scheduler | None = None
        self._store: KeyValueStore | None = None
        self._notifier: Notifier | None = None
        self._timeout_timer: Any = None
        self._is_failure_seen = False
        self._on_end: list[Callable[[Run], None]] = []

    # -- what the user asks -----------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """How far it is: "running", "completed", "failed", "cancelled" or "paused"."""
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
        return self._services.link.channel(self._state.root)

    def cancel(self, reason: str | None = None) -> None:
        """Cancel the run; awaiting it raises GraflowWorkflowCanceledError with the reason."""
        if self._scheduler is not None and self._finish is None:
            self._scheduler.submit(StopRequested("cancelled", GraflowWorkflowCanceledError(reason)))

    def pause(self, reason: str = "somebody asked for it") -> None:
        """Pause the run: what runs may end, nothing new begins, and awaiting it raises WorkflowPausedError.

        What still runs after `cancel_grace` seconds is cancelled, and starts over when the run is resumed.

        Raises:
            ConfigError: the run keeps no journal to go on from.
            GraflowRuntimeError: it has not started.
        """
        if self._keeper is None:
            raise ConfigError("only a run with a journal can pause: start it with checkpoint_dir='./checkpoints'")
        if self._scheduler is None:
            raise GraflowRuntimeError("the run has not started: use `async with wf.start() as run`")
        pausing: Any = self._scheduler
        pausing.pause(reason)

    def send(self, name: str, payload: Any = None) -> None:
        """Send an event to the run: `ctx.wait_for_event(name)` gives its payload to whoever waits, or waits next.

        Raises:
            ConfigError: the name is no text.
            NotSerializableError: the run keeps a journal, and the payload cannot be pickled.
            GraflowRuntimeError: the run has not started, or has ended.
        """
        _asking.check_event(name)
        if self._scheduler is None or self._scheduler.done.done():
            raise GraflowRuntimeError(
                f"event {name!r}: the run has {'not started' if self._scheduler is None else 'ended'}"
            )
        self._scheduler.submit(Received(name, payload))

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
        """Put the parts together and start.

        Raises:
            CheckpointError: the run's journal cannot be opened.
        """
        if self._scheduler is not None:
            message = f"run {self.run_id!r} was started before; make a new one with wf.start()"
            raise GraflowRuntimeError(message)
        loop = asyncio.get_running_loop()
        options = self._options
        clock = options.get("clock") or LoopClock(loop)
        listeners = [*listeners_of(options), *([self._log, self._story] if self._log else [])]
        if options.get("progress"):
            listeners += _progress.views(self.name, self._state, self._services)
        notifier: Notifier | None = listening.Notifier(self.run_id, clock.time, listeners) if listeners else None
        self._notifier = notifier
        store = options.get("store") or self._new_store(clock)
        keeper = self._keeper
        if keeper is None:
            scheduler = self._scheduler = self._services.open(self._state, clock, notifier, store)
            await self._begin(scheduler, clock)
            return
        try:
            journal = await keeper.open(self._state, self.name, self._limits, clock, self._start)
            kept = _journaled.journaled(store, journal.note_write, clock.time)
            recording = self._services.open_journaled(self._state, clock, notifier, kept)
            keeper.attach(recording, self._services.link)
            await keeper.restore(store, clock.time())
        except BaseException:
            await keeper.aclose(None)
            raise
        self._scheduler = recording
        await self._begin(recording, clock)
        if self._route is None:
            await keeper.restart(recording, clock)

    async def _begin(self, scheduler: Scheduler, clock: Clock) -> None:
        """Write the inputs and start what starts first."""
        options = self._options
        for key, value in (options.get("inputs") or {}).items():
            await self.channel.set(key, value)
        self._watch_loop(scheduler.loop)
        if self._notifier is not None:
            self._notifier.run_started(self.name)
        timeout = options.get("timeout")
        if timeout is not None:
            self._timeout_timer = clock.call_later(timeout, self._too_late)
        if self._route is not None:
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
        finish = self._finish or scheduler.done.result()
        if finish.error is not None:
            self._is_failure_seen = True
            raise finish.error
        return finish.value

    async def _end(self) -> None:
        """Wait until the run has ended and everything is given back, through cancellations of the waiting task."""
        if self._closing is None and self._closes_at_once():
            await self._close()
            return
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

    def _closes_at_once(self) -> bool:
        """Say whether there is nothing to wait for, so that closing needs no task to outlive a cancellation."""
        scheduler = self._scheduler
        return (
            scheduler is not None
            and scheduler.done.done()
            and scheduler.lanes.is_idle
            and self._services.is_idle
            and self._notifier is None
            and self._keeper is None
        )

    async def _close(self) -> None:
        """Wait for the machine's end, then close lanes, threads, executors and listeners."""
        scheduler = self._scheduler
        if scheduler is None:
            return
        finish = scheduler.done.result() if scheduler.done.done() else await asyncio.shield(scheduler.done)
        if self._timeout_timer is not None:
            self._timeout_timer.cancel()
        await scheduler.lanes.drained()
        self._unwatch_loop()
        scheduler.close()
        stays = finish.kind == "paused" or isinstance(finish.error, CheckpointWriteError)
        await self._services.aclose(withdraw=not stays)
        if self._store is not None:
            await self._store.aclose()
        if finish.kind == "failed" and finish.error is not None:
            hint = "" if self._keeper is None else f"; go on with: await wf.resume({self.run_id!r}, ...)"
            note(finish.error, f"graflow_async: it ended run {self.run_id} of workflow {self.name!r}{hint}")
        if self._keeper is not None:
            finish = await self._close_journal(self._keeper, finish)
        self._finish = finish
        self._status = finish.kind
        if self._notifier is not None:
            self._notifier.run_finished(finish.kind, finish.error)
            await self._notifier.aclose(self._options.get("cancel_grace", 10.0))
        if self._log is not None:
            self._log.close()
        for callback in self._on_end:
            callback(self)

    async def _close_journal(self, keeper: Keeper, finish: Finish) -> Finish:
        """Write how the run ended; a run whose end cannot be written has failed."""
        try:
            await keeper.aclose(finish.kind)
        except CheckpointWriteError as error:
            return finish if finish.error is not None else Finish("failed", None, error)
        return finish

    # -- parts ------------------------------------------------------------------------------------------------

    def _new_store(self, clock: Clock) -> KeyValueStore:
        """Make the store of the run's channels."""
        if self._options.get("channel_backend") != "redis":
            return MemoryStore(time=clock.monotonic)
        url, keys = self._options.get("redis_url"), self._options.get("secret_keys")
        made: KeyValueStore = _redis_store.RedisStore(url, secret_keys=keys)
        self._store = made
        return made

    def _first_state(self, history: History | None) -> RunState:
        """Give the state to begin with: a fresh one, or that of the recorded run."""
        if history is not None:
            return history.state
        return new_state(self._options.get("run_id") or os.urandom(16).hex(), self.graph, self.name, self._limits)

    def _too_late(self) -> None:
        """End a run that takes longer than its timeout."""
        names = [instance.id for instance in self._state.live.values()]
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        error = TaskTimeoutError(
            f"run {self.run_id} of workflow {self.name!r} took longer than its timeout of "
            f"{self._options.get('timeout')} s; running: {shown or 'nothing'}"
        )
        if self._scheduler is not None:
            self._scheduler.submit(StopRequested("failed", error))
