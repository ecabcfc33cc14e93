"""Who belongs to whom: laps, groups and owners, followed upwards through everything that waits."""

from __future__ import annotations

from typing import Any

from .state import Awaited, Batch, BranchEnd, Instance, Judged, Lap, Owner, PartOf, Scope, Then


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


def is_under(item: Instance | Batch | Scope, owner: Owner) -> bool:
    """Say whether `owner` waits for something, directly or through others."""
    current: Owner | None = item.caller if isinstance(item, Scope) else item.owner
    while current is not None:
        if current is owner:
            return True
        current = current.caller if isinstance(current, Scope) else current.owner
    return False


def goes_to(item: Instance | Batch | Scope, handle: Any) -> bool:
    """Say whether the end of something, or of one of its owners, goes to a handle."""
    current: Instance | Batch | Scope | None = item
    while current is not None:
        if isinstance(current, Batch):
            if current.then is not None and current.then.handle is handle:
                return True
        elif (isinstance(current.then, Awaited) and current.then.handle is handle) or (
            isinstance(current, Instance) and _lap_goes_to(current, handle)
        ):
            return True
        current = current.caller if isinstance(current, Scope) else current.owner
    return False


def _lap_goes_to(instance: Instance, handle: Any) -> bool:
    """Say whether the end of the lap that an instance is part of goes to a handle."""
    then = instance.then if instance.lap is None else PartOf(instance.lap)
    while isinstance(then, (PartOf, BranchEnd)):
        then = then.lap.then
    return isinstance(then, Awaited) and then.handle is handle
