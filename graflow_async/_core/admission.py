"""Who may run now: gates are taken all together or not at all, and given back when a body ends or waits."""

from __future__ import annotations

from typing import Any

from ..errors import MaxStepsExceededError
from ..task import Task
from .commands import Command, Resume, SetTimer, Tell
from .gate import Gate
from .run_state import RunState
from .state import Batch, Instance, Status

RUNNING, READY, RESUMING = Status.RUNNING, Status.READY, Status.RESUMING


class Admission:
    """Starts instances within the limits; commands are collected in `out`.

    Attributes:
        observed: whether anybody wants to be told of what follows from facts.
        noticed: whether somebody wants to be told of what is rare: failures, retries, cancellations, ended child runs.
    """

    def __init__(self, state: RunState) -> None:
        """Work on `state`."""
        self.state = state
        self.out: list[Command] = []
        self.observed = False
        self.noticed = False
        self._ended: tuple[list[Command], Instance] | None = None
        self._giver: int | None = None
        self._new: Batch | None = None

    def gates_for(self, task: Task[Any, Any], kind: str, bounds: tuple[Gate, ...] = ()) -> tuple[Gate, ...]:
        """List the gates that an instance of `task` passes."""
        state = self.state
        definition = task.definition
        if kind == "async" and not definition.limits and not bounds:
            return state.base
        gates = (*state.base, *bounds, *(state.gates[name] for name in definition.limits))
        return (*gates, state.gates["threads"]) if kind == "thread" else gates

    def begin(self, instance: Instance) -> None:
        """Start a new turn of an instance, as soon as its gates allow."""
        state = self.state
        state.steps += 1
        if state.max_steps is not None and not self._count(instance):
            return
        self.start(instance)

    def start(self, instance: Instance) -> None:
        """Start an attempt, as soon as its gates allow."""
        if self.observed:
            self.out.append(Tell("queued", instance.id, instance.scope, instance, self._cause()))
        self.admit(instance)

    def admit(self, instance: Instance, gate: Gate | None = None) -> None:
        """Let an attempt begin if its gates allow; `gate` is the one at which it has waited."""
        if not instance.gates or self._acquire(instance):
            instance.status = RUNNING
            if gate is not None and self.observed:
                self._tell_admitted(instance, gate)
            self.out.append(instance)
        else:
            instance.status = READY

    def start_batch(self, batch: Batch) -> None:
        """Start children that were released together: all at once without gates, else one after the other."""
        self.state.steps += len(batch.tasks)
        self.state.batches[batch.first] = batch
        if self.observed:
            self.out.append(Tell("batch", "", batch.scope, None, (batch, self._cause())))
        if not batch.gates:
            self.out.append(batch)
            return
        gate = batch.gates[0]
        gate.waiting.append(batch)
        self._new = batch
        self.pump(gate)
        self._new = None

    def release(self, instance: Instance) -> None:
        """Give the gates of an instance back and let the next ones in."""
        for gate in instance.gates:
            if gate.per is None:
                gate.free += 1
        self._giver = instance.key
        for gate in instance.gates:
            if gate.per is None:
                self.pump(gate)
        self._giver = None

    def resume(self, instance: Instance, gate: Gate | None = None) -> None:
        """Let a parked instance go on, as soon as its gates allow; it goes before those that have not started."""
        instance.status = RESUMING
        if self._acquire(instance):
            instance.status = RUNNING
            if gate is not None and self.observed:
                self._tell_admitted(instance, gate)
            self.out.append(Resume(instance))

    def reopen(self, gate: Gate) -> None:
        """Give back one start of a rate, its time being over."""
        gate.free += 1
        self.pump(gate)

    def pump(self, gate: Gate) -> None:
        """Let in whoever waits at a gate, while it has slots."""
        waiting = gate.waiting
        while waiting and gate.free > 0:
            head = waiting[0]
            if isinstance(head, Batch):
                self._pump_batch(gate, head)
                continue
            waiting.popleft()
            if head.status is READY:
                self.admit(head, gate)
            elif head.status is RESUMING:
                self.resume(head, gate)

    def _pump_batch(self, gate: Gate, batch: Batch) -> None:
        """Take one child out of the batch at the head of a gate, or move the batch to the gate that holds it up."""
        waiting = gate.waiting
        if batch.dropped or not batch.tasks:
            waiting.popleft()
            return
        closed = next((other for other in batch.gates if other.free <= 0), None)
        if closed is not None:
            waiting.popleft()
            closed.waiting.appendleft(batch)
            return
        instance = self.state.take(batch)
        if not batch.tasks:
            waiting.popleft()
        self.admit(instance, None if batch is self._new else gate)

    def _acquire(self, instance: Instance) -> bool:
        """Take all gates, or queue at the first one that is shut."""
        resuming = instance.status is RESUMING
        for gate in instance.gates:
            if gate.free <= 0 and not (resuming and gate.per is not None):
                if resuming:
                    gate.waiting.appendleft(instance)
                else:
                    gate.waiting.append(instance)
                if self.observed:
                    self.out.append(Tell("waiting", instance.id, instance.scope, instance, ("limit", gate.name)))
                return False
        for gate in instance.gates:
            if gate.per is None:
                gate.free -= 1
            elif not resuming:
                gate.free -= 1
                token = ("rate", gate.name, self._ordinal())
                self.state.timers[token] = gate
                self.out.append(SetTimer(token, gate.per))
        return True

    def told_end(self, kind: str, instance: Instance, data: Any = None) -> None:
        """Tell that an attempt has ended as `kind`; whatever becomes ready by the same fact became so by this end."""
        self._ended = (self.out, instance)
        self.out.append(Tell(kind, instance.id, instance.scope, instance, data))

    def told_closing(self, instance: Instance) -> None:
        """Tell that a body has ended whose children have not."""
        self.out.append(Tell("waiting", instance.id, instance.scope, instance, ("child", "")))

    def _cause(self) -> int | None:
        """Give the key of the instance whose end makes others ready just now."""
        ended = self._ended
        return ended[1].key if ended is not None and ended[0] is self.out else None

    def _tell_admitted(self, instance: Instance, gate: Gate) -> None:
        """Tell that an instance need not wait at a gate any more, and who has left it."""
        self.out.append(Tell("resumed", instance.id, instance.scope, instance, ("limit", gate.name, self._giver)))

    def _ordinal(self) -> int:
        """Number a timer."""
        self.state.next_key += 1
        return self.state.next_key

    def _count(self, instance: Instance) -> bool:
        """Count a turn against `max_steps`; end the run instead of the turn that would be one too many."""
        state = self.state
        if instance.task.definition.func is None:
            state.steps -= 1
            return True
        name = instance.task.definition.id
        if state.max_steps is not None and state.steps > state.max_steps:
            state.steps -= 1
            busiest = sorted(state.turns.items(), key=lambda item: -item[1])[:5]
            instance.status = READY
            self.stop_run(MaxStepsExceededError(state.max_steps, busiest))
            if instance.key in state.live:
                self.cancel(instance)  # made after the run was stopped
            return False
        state.turns[name] = state.turns.get(name, 0) + 1
        return True

    def cancel(self, instance: Instance) -> None:
        """Make an instance stop; the layer above knows how."""
        raise NotImplementedError

    def stop_run(self, error: BaseException) -> None:
        """End the whole run with an error; the machine knows how."""
        raise NotImplementedError
