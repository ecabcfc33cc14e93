"""Who belongs to whom: laps, groups and owners, followed upwards through everything that waits."""

from __future__ import annotations

from .state import Batch, BranchEnd, Instance, Judged, Lap, PartOf, Scope, Then


def in_lap(item: Instance | Batch | Scope, lap: Lap) -> bool:
    """Say whether something belongs to a lap, directly or through its owners."""
    current: Instance | Batch | Scope | None = item
    while current is not None:
        if isinstance(current, Instance):
            place = current.lap or (current.then.lap if isinstance(current.then, PartOf) else None)
            while place is not None:
                if place is lap:
                    return True
                place = place.then.lap if isinstance(place.then, (PartOf, BranchEnd)) else None
        current = current.caller if isinstance(current, Scope) else current.owner
    return False


def in_group(item: Instance | Batch | Scope, lap: Lap, number: int, inside: set[int]) -> bool:
    """Say whether something belongs to a group, directly, through its lap, or through its owners."""
    current: Instance | Batch | Scope | None = item
    while current is not None:
        if isinstance(current, Instance) and _place_in(current, lap, number, inside):
            return True
        current = current.caller if isinstance(current, Scope) else current.owner
    return False


def _place_in(instance: Instance, lap: Lap, number: int, inside: set[int]) -> bool:
    """Say whether an instance stands in a group, itself or through the end that its lap delivers to."""
    then: Then = instance.then
    place, node = instance.lap, instance.node
    if isinstance(then, Judged):
        place, node = then.lap, then.node
    while True:
        if place is lap and node in inside:
            return True
        if place is not None:
            then = place.then
        if isinstance(then, BranchEnd):
            place, node = then.lap, then.join
            if place is lap and node == number:
                return True
        elif isinstance(then, PartOf):
            place, node = then.lap, -1
        else:
            return False
