"""The one door: `apply(event)` works a fact into the state and gives the commands that follow from it.

The transition table is consulted first; an event that does not fit raises InvalidTransitionError and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InvalidTransitionError
from .commands import Command
from .events import (
    Answered,
    Asked,
    Called,
    Cancelled,
    CancelRequested,
    Completed,
    Event,
    Failed,
    HandleDropped,
    Parked,
    Received,
    Repeated,
    RunCalled,
    RunStarted,
    StopRequested,
    Suspended,
    Taken,
    TimerFired,
    Unparked,
)
from .gate import Gate
from .question import Question
from .questions import Questions
from .run_state import RunState
from .state import Awaited, Batch, Instance, Owner, Scope, Status
from .table import LEGAL
from .wishes import Child, Outcome, Stop, Wishes

if TYPE_CHECKING:
    from collections.abc import Callable

RUNNING, CLOSING = Status.RUNNING, Status.CLOSING


class Machine(Questions):
    """Turns events into commands. Synchronous, no clock, no randomness, no I/O."""

    def __init__(self, state: RunState) -> None:
        """Work on `state`."""
        super().__init__(state)
        self._handlers: dict[type, Callable[[Any], None]] = {
            RunStarted: self._run_started,
            Completed: self._completed,
            Failed: self._failed,
            Cancelled: self._cancelled,
            Called: self._called,
            RunCalled: self._run_called,
            Parked: self._parked,
            Unparked: self._unparked,
            TimerFired: self._timer_fired,
            CancelRequested: self._cancel_requested,
            HandleDropped: self._handle_dropped,
            StopRequested: self._stop_requested,
            Taken: self._taken,
            Repeated: self._repeated,
            Asked: self._asked,
            Answered: self.answered,
            Received: self.received,
            Suspended: self._suspended,
        }

    def apply(self, event: Event) -> list[Command]:
        """Work one event into the state.

        Raises:
            InvalidTransitionError: the event does not fit; nothing was changed.
        """
        out: list[Command] = []
        self.out = out
        self._handlers[type(event)](event)
        if self.agenda:
            self._work_off()
        return out

    def _work_off(self) -> None:
        """Conclude joins and close owners that became complete, and those that become complete by it."""
        agenda = self.agenda
        while agenda:
            item = agenda.popleft()
            if item.__class__ is tuple:
                self.conclude(*item)
            else:
                self._close(item)

    # -- facts about bodies -----------------------------------------------------------------------------------

    def complete(self, instance: Instance, value: Any, wishes: Wishes | None) -> list[Command]:
        """Do what `apply(Completed(...))` does, for a shell that has the instance at hand and keeps no events."""
        out: list[Command] = []
        self.out = out
        if instance.status is not RUNNING:
            self._live(instance.key, Completed)
        elif instance.gates:
            self.release(instance)
        if instance.open or instance.doomed:
            self._end_body(instance, value, wishes)
        elif wishes is None:
            self.finish(instance, value)
        elif wishes.again is not None and wishes.children is None and wishes.stop is None:
            instance.value = value
            self.turn(instance, wishes.again)
        else:
            self.settle(instance, value, wishes)
        if self.agenda:
            self._work_off()
        return out

    def _completed(self, event: Completed) -> None:
        instance = self._live(event.key, Completed)
        if instance.gates and instance.status is RUNNING:
            self.release(instance)
        self._end_body(instance, event.value, event.wishes)

    def _end_body(self, instance: Instance, value: Any, wishes: Wishes | None) -> None:
        """Go on after a body that has returned: its children first, then its wishes."""
        if instance.doomed:
            instance.scope.results[instance.id] = value
            if instance.lap is not None:
                instance.lap.values.setdefault(instance.node, value)
            self._end_doomed(instance)
        elif instance.open:
            instance.status = CLOSING
            instance.outcome = Outcome(value, wishes)
            if self.observed:
                self.told_closing(instance)
        elif wishes is None:
            self.finish(instance, value)
        else:
            self.settle(instance, value, wishes)

    def _failed(self, event: Failed) -> None:
        instance = self._live(event.key, Failed)
        self._give_back(instance)
        if instance.doomed:
            instance.scope.failures.setdefault(instance.id, event.error)
            self._end_doomed(instance)
        elif instance.open:
            instance.status = CLOSING
            instance.outcome = Outcome(error=event.error, again=event.again)
            self.cancel_under(instance)
        else:
            self.attempt_failed(instance, event.error, again=event.again)

    def _cancelled(self, event: Cancelled) -> None:
        instance = self._live(event.key, Cancelled)
        self._give_back(instance)
        instance.doomed = True
        self._end_doomed(instance)

    def _end_doomed(self, instance: Instance) -> None:
        """End a cancelled instance, after its children."""
        if instance.open:
            instance.status = CLOSING
            self.cancel_under(instance)
        else:
            self.end_cancelled(instance)

    def _give_back(self, instance: Instance) -> None:
        """Let others have the gates of a body that has ended."""
        if instance.gates and instance.status is RUNNING:
            self.release(instance)

    def _parked(self, event: Parked) -> None:
        instance = self._live(event.key, Parked)
        instance.status = Status.PARKED
        self.release(instance)

    def _unparked(self, event: Unparked) -> None:
        self.resume(self._live(event.key, Unparked))

    def _asked(self, event: Asked) -> None:
        self.take_question(self._live(event.key, Asked), event)

    def _suspended(self, event: Suspended) -> None:
        self.suspended(self._live(event.key, Suspended), event)

    def _called(self, event: Called) -> None:
        instance = self._live(event.key, Called)
        instance.is_swept = False
        if event.tasks is not None:
            self._release_tasks(instance, event.tasks, event.handle, event.index)
            return
        for position, child in enumerate(event.children):
            then = Awaited(event.handle, event.index + position - self.state.next_key)
            self._release_one(instance, instance, child, then, sink={})

    def _run_called(self, event: RunCalled) -> None:
        instance = self._live(event.key, RunCalled)
        instance.is_swept = False
        key = self._next_key()
        scope = Scope(key, event.graph, event.name, instance, Awaited(event.handle, -key))
        scope.about = event.about
        self.state.scopes[key] = scope
        instance.open += 1
        self.open_lap(event.graph, event.route, scope, scope, sink=scope.finals)
        if scope.open == 0:
            self.agenda.append(scope)

    # -- facts about the run ----------------------------------------------------------------------------------

    def take(self, batch: Batch) -> Instance:
        """Make the next child of a batch an instance, for a lane."""
        return self.state.take(batch)

    def _taken(self, event: Taken) -> None:
        batch = self.state.batches.get(event.first)
        if batch is None:
            message = f"there is no batch {event.first} to take a child from"
            raise InvalidTransitionError(message)
        until = batch.taken + 1 if event.until is None else event.until
        while batch.taken < until:
            self.state.take(batch)

    def _repeated(self, event: Repeated) -> None:
        scope = self.state.root if event.scope == 0 else self.state.scopes[event.scope]
        key = self.state.next_key
        self._new_task(
            None, scope, Child(scope.graph.table[event.node].task), Awaited(event.handle, -key), event.upstream
        )
        self.state.live[key].own = dict(event.known)

    def _run_started(self, event: RunStarted) -> None:
        root = self.state.root
        if root.phase != "new":
            message = f"the run has started before; it is {root.phase}"
            raise InvalidTransitionError(message)
        root.phase = "open"
        self.open_lap(root.graph, event.route, root, root, sink=root.finals)
        if root.open == 0:
            self.agenda.append(root)

    def _timer_fired(self, event: TimerFired) -> None:
        target = self.state.timers.pop(event.token, None)
        if isinstance(target, Gate):
            self.reopen(target)
        elif isinstance(target, Question):
            self.expire(target)
        elif target is not None:
            if target.status is Status.DELAYED:
                self.begin(target)
            else:
                self.start(target)

    def _cancel_requested(self, event: CancelRequested) -> None:
        state = self.state
        scope = state.scopes.get(event.key)
        lap = state.laps.get(event.key)
        if scope is not None:
            self.stop(scope, Stop("cancelled"))
        elif lap is not None:
            lap.is_unwanted = True
            self.cancel_lap(lap)
        else:
            instance = self._out_of_batch(event.key)
            if instance is not None:
                if instance.open:
                    self.cancel_under(instance)
                self.cancel(instance)
            elif event.handle is not None:
                self.cancel_within(event.handle)

    def _out_of_batch(self, key: int) -> Instance | None:
        """Find an instance; one that waits in a batch comes out of it unbegun, and those before it begin."""
        state = self.state
        instance = state.live.get(key)
        batch = state.batch_of(key) if instance is None else None
        while batch is not None and instance is None:
            taken = state.take(batch)
            if taken.key == key:
                instance = taken
                taken.status = Status.READY
            else:
                self.admit(taken)
        return instance

    def _handle_dropped(self, event: HandleDropped) -> None:
        self.cancel_within(event.handle)

    def _stop_requested(self, event: StopRequested) -> None:
        scope = self.state.root if event.scope == 0 else self.state.scopes.get(event.scope)
        if scope is None:
            message = f"there is no child run {event.scope} to stop"
            raise InvalidTransitionError(message)
        self.stop(scope, Stop(event.kind, error=event.error))

    # -- small parts ------------------------------------------------------------------------------------------

    def _close(self, owner: Owner) -> None:
        """Let an owner whose last child has ended go on."""
        if owner.open:
            return
        if isinstance(owner, Scope):
            if owner.phase != "closed":
                self.close_scope(owner)
        elif owner.status is CLOSING:
            outcome = owner.outcome
            if owner.doomed:
                self.end_cancelled(owner)
            elif outcome is None:
                self._after_children(owner)
            else:
                owner.outcome = None
                if outcome.error is not None:
                    self.attempt_failed(owner, outcome.error, again=outcome.again)
                elif outcome.wishes is not None:
                    self.settle(owner, outcome.value, outcome.wishes)
                else:
                    self.finish(owner, outcome.value)

    def _live(self, key: int, event: type) -> Instance:
        """Find the instance of an event and check the table."""
        batch = self.state.batch_of(key) if key not in self.state.live else None
        waiting = Status.READY if batch is not None and batch.gates else RUNNING
        if batch is not None and waiting not in LEGAL[event]:
            message = f"{event.__name__} does not fit instance {key}, which is {waiting.value}"
            raise InvalidTransitionError(message)
        instance = self.state.find(key)
        if instance is None or instance.status not in LEGAL[event]:
            status = instance.status.value if instance is not None else "unknown"
            message = f"{event.__name__} does not fit instance {key}, which is {status}"
            raise InvalidTransitionError(message)
        return instance
