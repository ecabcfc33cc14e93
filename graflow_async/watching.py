"""What a handle shows of its run while it goes on and afterwards: events, spans, the critical path, explanations."""

from __future__ import annotations

from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

from ._core.gate import Gate
from ._core.run_state import RunState
from ._core.state import Instance, Scope, Status
from ._lazy import lazily
from ._runtime.scheduler import Scheduler
from .errors import GraflowRuntimeError
from .graph import Graph

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from ._runtime.listeners import EventLog, Notifier
    from ._runtime.loop_watch import Block, LoopWatch
    from .events import Event
    from .explanation import Explanation
    from .keywords import RunOptions
    from .story import Span, Story

_critical_path = lazily("graflow_async.critical_path")
_explanation = lazily("graflow_async.explanation")
_keywords = lazily("graflow_async.keywords")  # for its types
_listening = lazily("graflow_async._runtime.listeners")  # for its types
_events = lazily("graflow_async.events")
_loop_watch = lazily("graflow_async._runtime.loop_watch")
_story = lazily("graflow_async.story")

BLOCK_WARNING = 0.25
"""Seconds that a callback may hold the loop of a run that is watched, if the run does not say otherwise."""
MOST_HOLDERS = 3
_LIMITS = {"run": "max_concurrency", "threads": "max_threads"}


class Watching:
    """Shows what is recorded of a run that was opened with `wf.start()`; the run sets what there is to show."""

    graph: Graph
    _state: RunState
    _story: Story | None
    _log: EventLog | None
    _options: RunOptions
    _notifier: Notifier | None
    _scheduler: Scheduler | None
    _loop_watch: LoopWatch | None = None

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
        """List when each attempt was queued, began and ended, and what it waited for; in the order of being queued.

        The last 100,000 are kept.
        """
        return list(self._story.spans) if self._story is not None else []

    def critical_path(self) -> list[Span]:
        """Give the spans that determined when the run ended (so far), in the order in which they were queued.

        It goes back from the span that ended last: to the child that it waited for, to the task that made room in a
        limit, to the predecessor (or attempt, or turn) whose end made it ready, to the body that called it.
        """
        return _critical_path.critical_path(self._story) if self._story is not None else []

    def explain(self, task: str | int) -> Explanation:
        """Say why a task ran when it did, or why it has not begun: `str()` of what is given is a paragraph.

        Args:
            task: id of the task (the latest instance with it counts), or key of an instance.

        Raises:
            ConfigError: there is no such task; the message names the nearest ids.
            GraflowRuntimeError: the run was not opened with `wf.start()`.
        """
        if self._story is None:
            message = "explain() needs a handle: async with wf.start() as run"
            raise GraflowRuntimeError(message)
        now = self._story.ended_at or self._now()
        held = partial(held_up, self._state)
        return _explanation.explain(self._story, task, self.graph, now, held, self._state.root.results)

    def _watch_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch the loop, if somebody wants to know what holds it."""
        threshold = self._options.get("block_warning", BLOCK_WARNING if self._log is not None else None)
        if threshold is not None:
            self._warned: set[Any] = set()
            self._loop_watch = _loop_watch.LoopWatch(loop, threshold, self._blocked)

    def _unwatch_loop(self) -> None:
        """Stop watching the loop."""
        watch, self._loop_watch = self._loop_watch, None
        if watch is not None:
            watch.close()

    def _blocked(self, block: Block) -> None:
        """Tell that the loop was held: listeners each time, a warning once for each task (or line, if it was none)."""
        instance = block.instance
        is_own = instance is not None and _root_of(instance) is self._state.root
        if self._notifier is not None:
            place = (block.seconds, block.file, block.line, block.function)
            self._notifier.blocked(instance if is_own else None, *place)
        whose = (block.file, block.line) if instance is None else instance.task.definition.id
        if (is_own or instance is None) and whose not in self._warned:
            self._warned.add(whose)
            _loop_watch.warn(block)

    def _now(self) -> float:
        """Give the wall time, in seconds since the epoch."""
        return time() if self._scheduler is None else self._scheduler.clock.time()


def held_up(state: RunState, key: int) -> str:
    """Say which limit keeps an instance (by its key) from beginning, and who has its places; nothing if none does."""
    instance = state.live.get(key)
    batch = state.batch_of(key) if instance is None else None
    gates: tuple[Gate, ...] = instance.gates if instance is not None else batch.gates if batch is not None else ()
    if instance is not None and instance.status is not Status.READY:
        return ""
    gate = next((gate for gate in gates if gate.free <= 0), None)
    if gate is None:
        return ""
    name = _LIMITS.get(gate.name, gate.name)
    if gate.per is not None:
        return f"for limit {name!r}: {gate.size} have begun within {gate.per} s"
    holders = [other.id for other in state.live.values() if _holds(other, gate)]
    shown = ", ".join(map(repr, holders[:MOST_HOLDERS]))
    more = f" and {len(holders) - MOST_HOLDERS} more" if len(holders) > MOST_HOLDERS else ""
    return f"for limit {name!r}, whose {gate.size} place{'s are' if gate.size > 1 else ' is'} taken by {shown}{more}"


def _root_of(instance: Instance) -> Scope:
    """Give the scope of the run to which an instance belongs."""
    scope = instance.scope
    while scope.caller is not None:
        scope = scope.caller.scope
    return scope


def _holds(instance: Instance, gate: Gate) -> bool:
    """Say whether an instance has a place in a gate."""
    return instance.status is Status.RUNNING and gate in instance.gates
