"""A run told again: its events applied to a fresh state give the same state, and the life of each instance in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import text_of
from .commands import Command
from .events import Event, Taken
from .gate import Gate
from .invariants import check
from .machine import Machine
from .run_state import RunState
from .state import Batch, Instance

if TYPE_CHECKING:
    from collections.abc import Iterable


class RecordingMachine(Machine):
    """A machine that checks its state after every event and keeps the events: for tests, and for finding bugs.

    Attributes:
        history: the events, in order.
    """

    def __init__(self, state: RunState) -> None:
        """Work on `state`."""
        super().__init__(state)
        self.history: list[Event] = []

    def apply(self, event: Event) -> list[Command]:
        """Work one event into the state.

        Raises:
            InvalidTransitionError: the event does not fit; nothing was changed.
            InternalError: the state is not sound afterwards.
        """
        out = super().apply(event)
        self.history.append(event)
        check(self.state)
        return out

    def take(self, batch: Batch) -> Instance:
        """Make the next child of a batch an instance, and keep that it happened."""
        self.history.append(Taken(batch.first))
        return super().take(batch)

    def story(self, key: int) -> list[Event]:
        """Give the events that concern one instance, in order."""
        return [event for event in self.history if getattr(event, "key", None) == key]


def replay(history: Iterable[Event], like: RunState) -> RunState:
    """Apply events to a fresh state with the name, graph and limits of another one.

    Raises:
        InvalidTransitionError: the events do not belong to such a run.
    """
    state = RunState(like.run_id, like.root.graph, like.root.name, like.max_steps)
    state.gates = {name: Gate(name, gate.size, gate.per) for name, gate in like.gates.items()}
    state.base = tuple(state.gates[gate.name] for gate in like.base)
    machine = RecordingMachine(state)
    for event in history:
        machine.apply(event)
    return state


def digest(state: RunState) -> dict[str, Any]:
    """Give what two states have to agree on to be the same."""
    return {
        "results": state.root.results,
        "failures": {n: f"{type(error).__name__}: {text_of(error)}" for n, error in state.root.failures.items()},
        "finals": state.root.finals,
        "live": {k: (i.id, i.status, i.turn, i.attempt, i.open) for k, i in state.live.items()},
        "waiting": {k: (len(b.tasks), b.taken) for k, b in state.batches.items()},
        "gates": {name: gate.free for name, gate in state.gates.items()},
        "asked": {name: question.key for name, question in state.asked.items()},
        "named": {name: question.kind for name, question in state.named.items()},
        "letters": state.letters,
        "steps": state.steps,
        "next_key": state.next_key,
        "stop": None if state.root.stop is None else state.root.stop.kind,
    }
