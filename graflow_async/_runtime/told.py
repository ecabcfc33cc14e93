"""What listeners would have heard of a recorded run, told again from its facts with the times that were recorded.

A journal does not say when a body began, only what let it begin: that counts as its start. It does not say when a body
waited for its children either: it counts as waiting for as long as a child is open that it had called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import events
from .._core.commands import Command, Finish, Tell
from .._core.events import Called, Event, RunCalled, RunStarted
from .._core.run_state import RunState
from .._core.state import Batch, Instance, Scope, Status
from .listeners import Notifier, names_of_batch

if TYPE_CHECKING:
    from collections.abc import Iterable

_BODY = frozenset({Status.RUNNING, Status.PARKED, Status.RESUMING})
_ENDS = frozenset({"completed", "failed", "cancelled", "retrying", "iterated"})
NO_PROCESS = "a process to go on with the run"


class Told:
    """Tells listeners a recorded run.

    Attributes:
        since: moment of a snapshot: what came before it is not known; None if everything is.
    """

    def __init__(self, run_id: str, workflow: str, at: float, listeners: Iterable[Any]) -> None:
        """Begin at the moment at which the run was recorded first."""
        self._at = at
        self._run_id = run_id
        self._workflow = workflow
        self._notifier = Notifier(run_id, lambda: self._at, listeners)
        self._callers: dict[int, tuple[Instance, str]] = {}
        self.since: float | None = None

    def fact(self, event: Event, state: RunState, at: float) -> None:
        """Hear of a fact before it is worked in."""
        self._at = at
        if isinstance(event, RunStarted):
            self._notifier.run_started(self._workflow)
        elif isinstance(event, (Called, RunCalled)) and event.key not in self._callers:
            caller = state.find(event.key)
            if caller is not None:
                about = _name_of(event)
                self._callers[event.key] = caller, about
                self._notifier.waiting(caller, "child", about)

    def follow(self, commands: list[Command], at: float) -> None:
        """Hear of what follows from a fact."""
        self._at = at
        parents: dict[int, Instance] = {}
        for command in commands:
            if isinstance(command, Tell):
                instance = command.instance
                if instance is not None and command.kind in _ENDS:
                    self._callers.pop(instance.key, None)
                self._notifier.tell(command)
                parent = _owner_of(instance.owner if instance is not None else command.scope)
                if parent is not None and parent.key in self._callers:
                    parents[parent.key] = parent
            elif isinstance(command, Instance):
                self._notifier.started(command)
            elif isinstance(command, Batch):
                self._batch_started(command)
            elif isinstance(command, Finish):
                self._notifier.run_finished(command.kind, command.error)
        for key, parent in parents.items():
            if not parent.open and key in self._callers:
                self._notifier.resumed(parent, "child", self._callers.pop(key)[1])

    def slept(self, instance: Instance, at: float, until: float) -> None:
        """Hear that a body fell asleep, and until when."""
        self._at = at
        self._notifier.waiting(instance, "sleep", "")
        self._at = until
        self._notifier.resumed(instance, "sleep", "")
        self._at = at

    def went_on(self, state: RunState, last: float, at: float) -> None:
        """Hear that another process has gone on with the run: its bodies start over."""
        for instance in [i for i in state.live.values() if i.status in _BODY]:
            self._at = last
            self._notifier.waiting(instance, "worker", NO_PROCESS)
            self._at = at
            self._notifier.resumed(instance, "worker", NO_PROCESS)

    def put_together(self, state: RunState, at: float) -> None:
        """Hear that what came before a moment is only known as the state to which it has led."""
        self._at = self.since = at
        self._notifier.run_started(self._workflow)
        for instance in state.live.values():
            self._notifier.tell(Tell("queued", instance.id, instance.scope, instance, None))
            if instance.status in _BODY or instance.status is Status.CLOSING:
                self._notifier.started(instance)
        for batch in state.batches.values():
            self._notifier.tell(Tell("batch", "", batch.scope, None, (batch, None)))

    def _batch_started(self, batch: Batch) -> None:
        """Tell that all children of a batch may begin."""
        for place, name in enumerate(names_of_batch(batch.tasks, batch.taken), batch.first + batch.taken):
            self._notifier.send(events.TaskStarted(self._run_id, name, self._at, place, 1, 1))


def _name_of(event: Called | RunCalled) -> str:
    """Say what a body calls."""
    if isinstance(event, RunCalled):
        return event.name
    if event.tasks:
        return event.tasks[0][0].definition.id
    task = event.children[0].task if event.children else None
    return "" if task is None else task.definition.id


def _owner_of(owner: Instance | Scope) -> Instance | None:
    """Give the instance that waits for something, through the border of a child run."""
    return owner.caller if isinstance(owner, Scope) else owner
