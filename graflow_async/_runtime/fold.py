"""A run told again from its facts, up to where its process died: the state, and what a shell would have kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.commands import Command, Deliver, DropTimer, Finish, SetTimer
from .._core.events import (
    Asked,
    Called,
    Cancelled,
    Completed,
    Event,
    Failed,
    Parked,
    RunCalled,
    Suspended,
    TimerFired,
    Unparked,
)
from .._core.machine import Machine
from .._core.run_state import RunState
from .._core.state import Status
from .._lazy import lazily
from ..errors import CheckpointCorruptError, InvalidTransitionError
from .limits import Limits, adjust
from .recorded import Identity, Recorded, RecordedCall, RecordedChild, arguments_of, identity_of

if TYPE_CHECKING:
    from .told import Told

_told = lazily("graflow_async._runtime.told")  # for its types

BODY_FACTS = (Completed, Failed, Cancelled, Called, RunCalled, Parked, Unparked, Asked, Suspended)


class Fold:
    """A machine that is told facts, and what a shell would have kept meanwhile.

    Attributes:
        machine: the machine.
        deadlines: token -> wall time at which a timer is due.
        recorded: children that bodies which start over may ask for.
        namespaces: key of a child run -> (number, namespace, what its workflow provides).
        begun: (key, turn) of bodies that have begun and must not begin twice.
        finish: how the run ended, if it has.
        told: tells listeners what they would have heard, if there are any.
    """

    def __init__(self, state: RunState) -> None:
        """Begin with a fresh state."""
        self.state = state
        self.machine = Machine(state)
        self.deadlines: dict[Any, float] = {}
        self.recorded = Recorded()
        self.namespaces: dict[int, tuple[int, str, Any]] = {}
        self.begun: set[tuple[int, int]] = set()
        self.finish: Finish | None = None
        self.told: Told | None = None

    def tell(self, event: Event, at: float) -> None:
        """Work a fact in.

        Raises:
            CheckpointCorruptError: it does not fit what came before.
        """
        if isinstance(event, Called):
            self._called(event)
        elif isinstance(event, RunCalled):
            self._run_called(event)
        elif isinstance(event, TimerFired):
            self.deadlines.pop(event.token, None)
        elif isinstance(event, (Completed, Failed, Cancelled)):
            self._body_ended(event.key)
        if isinstance(event, BODY_FACTS) and not self._make_room(event):
            return
        if self.told is not None:
            self.told.fact(event, self.state, at)
        try:
            commands = self.machine.apply(event)
        except InvalidTransitionError as error:
            message = f"the records of the run do not fit together: {error}"
            raise CheckpointCorruptError(message) from error
        self._follow(commands, at)

    def _make_room(self, event: Event) -> bool:
        """Let a body be where a fact says that it was, whatever the gates say; False if it says nothing new.

        In a story without its failures, or under other limits, a body may still wait for a slot that it had in fact.
        """
        key: int = getattr(event, "key", -1)
        state = self.state
        batch = None if key in state.live else state.batch_of(key)
        while batch is not None and key not in state.live:
            taken = state.take(batch)
            self.machine.out = []
            if batch.gates:
                self.machine.admit(taken)
        instance = state.live.get(key)
        if instance is None:
            return True
        if isinstance(event, Unparked):
            return instance.status is Status.PARKED
        if isinstance(event, Parked) and instance.status is Status.PARKED:
            return False
        if instance.status is Status.READY or (instance.status is Status.RESUMING and isinstance(event, Parked)):
            for gate in instance.gates:
                if gate.per is None:
                    gate.free -= 1
                if instance in gate.waiting:
                    gate.waiting.remove(instance)
            instance.status = Status.RUNNING
        return True

    def tell_to(self, told: Told) -> None:
        """Let listeners hear of everything from now on."""
        self.told = told
        self.machine.observed = self.machine.noticed = True

    def adjust(self, limits: Limits, at: float) -> None:
        """Let other limits count from now on."""
        machine = self.machine
        machine.out = []
        for gate in adjust(self.state, limits):
            machine.pump(gate)
        self._follow(machine.out, at)

    def _follow(self, commands: list[Command], at: float) -> None:
        """Do what a shell would have done that matters later."""
        if self.told is not None:
            self.told.follow(commands, at)
        for command in commands:
            if isinstance(command, Deliver):
                command.handle.deliver(command.index, command.kind, command.value)
            elif isinstance(command, SetTimer):
                self.deadlines[command.token] = at + command.delay
            elif isinstance(command, DropTimer):
                self.deadlines.pop(command.token, None)
            elif isinstance(command, Finish):
                self.finish = command

    def begin(self, key: int) -> None:
        """Note that a body has begun that must not begin twice."""
        instance = self.state.live.get(key)
        if instance is not None:
            self.begun.add((key, instance.turn))

    def step(self, key: int, name: Any, value: Any, at: float) -> None:
        """Note the value of a step, or the end of a sleep."""
        instance = self.state.live.get(key)
        if instance is not None:
            if instance.steps is None:
                instance.steps = {}
            instance.steps[name] = value
            if self.told is not None and name.__class__ is tuple and name[0] == "sleep":
                self.told.slept(instance, at, value)

    def _body_ended(self, key: int) -> None:
        if self.recorded:
            for _ in self.recorded.forget(key):
                pass  # whoever is left was cancelled by a fact of its own

    def _called(self, event: Called) -> None:
        call: RecordedCall = event.handle
        call.parent = event.key
        first = self.state.next_key
        for position, (task, number) in enumerate(event.tasks or ()):
            name = f"{task.definition.id}_{number}" if number else (task.given_id() or task.definition.id)
            self._expect(event, call, position, first + position, ("task", name), arguments_of(task))
        for position, child in enumerate(event.children):
            identity, arguments = identity_of(child)
            self._expect(event, call, position, first + position, identity, arguments)

    def _run_called(self, event: RunCalled) -> None:
        key = self.state.next_key
        number, _, _ = self.namespaces[key] = event.about
        event.handle.parent = event.key
        child = RecordedChild(key, ("run", event.name, number), None, event.handle)
        event.handle.children[0] = child
        self.recorded.add(event.key, child)

    def _expect(
        self, event: Called, call: RecordedCall, position: int, key: int, identity: Identity, arguments: Any
    ) -> None:
        child = RecordedChild(key, identity, arguments, call)
        call.children[event.index + position] = child
        self.recorded.add(event.key, child)
