"""What has to hold of a state between two events. Checked after every event in tests and with `validate=True`."""

from __future__ import annotations

from ..errors import InternalError
from .gate import Gate
from .run_state import RunState
from .state import FINAL, Instance, Scope, Status


def check(state: RunState) -> None:
    """Check a state.

    Raises:
        InternalError: something does not hold; the message says what.
    """
    open_under: dict[int, int] = {}
    owners: dict[int, Instance | Scope] = {id(state.root): state.root}
    held: dict[int, int] = {}
    for key, instance in state.live.items():
        _require(instance.key == key, f"{instance!r} is kept under key {key}")
        _require(instance.status not in FINAL, f"{instance!r} has ended but is among the living")
        _count(open_under, owners, instance.owner, 1)
        if instance.status is Status.RUNNING:
            for gate in instance.gates:
                if gate.per is None:
                    held[id(gate)] = held.get(id(gate), 0) + 1
        if instance.status is Status.CLOSING:
            _require(instance.open > 0, f"{instance!r} waits for children but has none")
        owners.setdefault(id(instance), instance)
    for batch in state.batches.values():
        _require(not batch.dropped, f"a dropped batch of {batch.parent!r} is still kept")
        _count(open_under, owners, batch.owner, len(batch.tasks) - batch.taken)
    for scope in state.scopes.values():
        owners.setdefault(id(scope), scope)
        if scope.caller is not None:
            _count(open_under, owners, scope.caller, 1)
    for identity, owner in owners.items():
        count = open_under.get(identity, 0)
        _require(owner.open == count, f"{owner!r} counts {owner.open} open, there are {count}")
    for question in state.asked.values():
        _require(not question.kind, f"question {question.id} is {question.kind} but among the open ones")
    for gate in _gates(state):
        free = gate.size - held.get(id(gate), 0)
        _require(
            gate.per is not None or gate.free == free, f"gate {gate.name!r} has {gate.free} free, should be {free}"
        )


def _count(open_under: dict[int, int], owners: dict[int, Instance | Scope], owner: Instance | Scope, more: int) -> None:
    """Add to what is open under an owner."""
    owners.setdefault(id(owner), owner)
    open_under[id(owner)] = open_under.get(id(owner), 0) + more


def _gates(state: RunState) -> list[Gate]:
    """List every gate that is known, those of groups through their instances."""
    found = {id(gate): gate for gate in state.gates.values()}
    for instance in state.live.values():
        found.update((id(gate), gate) for gate in instance.gates)
    return list(found.values())


def _require(holds: bool, message: str) -> None:  # noqa: FBT001  # an assertion
    """Raise unless something holds."""
    if not holds:
        raise InternalError(message)
