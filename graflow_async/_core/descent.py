"""What is open in a place of the run, found without a look at everything that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .run_state import RunState
from .state import Awaited, Batch, BranchEnd, Instance, Judged, Lap, Owner, PartOf, Scope, Then

if TYPE_CHECKING:
    from collections.abc import Iterable

SLACK = 64  # entries of what has ended that may be left before everything is gathered anew


class _Place:
    """Something in which others are: what waits for them.

    Attributes:
        what: an instance or a scope, one of its laps, or the handle to which ends go.
        entries: (key, how many keys) of what is directly in it; a batch, whose keys are reserved, is one.
        inner: laps and handles in it.
    """

    __slots__ = ("entries", "inner", "what")

    def __init__(self, what: Any) -> None:
        """Begin empty; what it is is kept, so that nothing else has its identity."""
        self.what = what
        self.entries: list[tuple[int, int]] = []
        self.inner: list[_Place] = []


class Descent:
    """What is open in owners, in laps, and on the way to handles.

    Nothing is noted while things begin and end, as they outnumber what is ever cancelled. It is gathered when somebody
    asks, and brought up to date when somebody asks again: keys grow, so what is new has one that was not looked at yet.
    """

    __slots__ = ("_entries", "_looked_at", "_places", "_state")

    def __init__(self, state: RunState) -> None:
        """Know nothing yet."""
        self._state = state
        self._looked_at = 0
        self._entries = 0
        self._places: dict[int, _Place] = {}

    def within(self, what: Any) -> tuple[list[Batch], list[Instance], list[Scope]]:
        """List what an owner waits for, what is in a lap, or what ends for a handle; at any depth, the oldest first."""
        self._catch_up()
        state = self._state
        batches: list[Batch] = []
        instances: list[Instance] = []
        scopes: list[Scope] = []
        todo = [what]
        while todo:
            place = self._places.get(id(todo.pop()))
            if place is None:
                continue
            self._tidy(place)
            todo.extend(inner.what for inner in place.inner)
            for key, count in place.entries:
                batch = state.batches.get(key)
                if batch is not None:
                    batches.append(batch)
                end = key + (count if batch is None else batch.taken)
                begun = [state.live[number] for number in range(key, end) if number in state.live]
                instances += begun
                todo += begun
                scope = state.scopes.get(key)
                if scope is not None:
                    scopes.append(scope)
                    todo.append(scope)
        batches.sort(key=_first_of)
        instances.sort(key=_key_of)
        scopes.sort(key=_key_of)
        return batches, instances, scopes

    def _tidy(self, place: _Place) -> None:
        """Forget what has ended of what is directly in a place, and what was seen to be empty in it."""
        state = self._state
        still: list[tuple[int, int]] = []
        for key, count in place.entries:
            if key in state.batches:
                still.append((key, count))
            else:
                keys = range(key, key + count)
                still.extend((number, 1) for number in keys if number in state.live or number in state.scopes)
        self._entries += len(still) - len(place.entries)
        place.entries = still
        kept: list[_Place] = []
        for inner in place.inner:
            if inner.entries or inner.inner:
                kept.append(inner)
            else:
                del self._places[id(inner.what)]
        place.inner = kept

    def _catch_up(self) -> None:
        """Learn what has come since the last question; from the start if that is less work, or if little is left."""
        state = self._state
        is_open = len(state.live) + len(state.batches) + len(state.scopes)
        if state.next_key - self._looked_at > is_open or self._entries > 2 * is_open + SLACK:
            self._places.clear()
            self._entries = 0
            self._learn(sorted({*state.live, *state.batches, *state.scopes}))
        else:
            self._learn(range(self._looked_at, state.next_key))
        self._looked_at = state.next_key

    def _learn(self, keys: Iterable[int]) -> None:
        """Note where things are."""
        state = self._state
        end = 0
        for key in keys:
            if key < end:
                continue
            end = key + 1
            batch = state.batches.get(key)
            if batch is not None:
                end = key + len(batch.tasks)
                self._enter(key, end - key, None, batch.then, batch.owner)
                continue
            instance, scope = state.live.get(key), state.scopes.get(key)
            if instance is not None:
                self._enter(key, 1, instance.lap, instance.then, instance.owner)
            elif scope is not None and scope.caller is not None:
                self._enter(key, 1, None, scope.then, scope.caller)

    def _enter(self, key: int, count: int, lap: Lap | None, then: Then, owner: Owner) -> None:
        self._place(_nearest(lap, then, owner), owner).entries.append((key, count))
        self._entries += 1

    def _place(self, what: Any, owner: Owner) -> _Place:
        """Find a place; a new one of an owner is put into the one that it is in."""
        place = self._places.get(id(what))
        if place is not None:
            return place
        place = made = self._places[id(what)] = _Place(what)
        while what is not owner:
            what = _nearest(None, what.then, owner) if isinstance(what, Lap) else owner
            outer = self._places.get(id(what))
            if outer is not None:
                outer.inner.append(made)
                break
            outer = self._places[id(what)] = _Place(what)
            outer.inner.append(made)
            made = outer
        return place


def _nearest(lap: Lap | None, then: Then, owner: Owner) -> Lap | Owner | Any:
    """Say what something is directly in: a lap, else what its end goes to, else its owner."""
    if lap is not None:
        return lap
    if isinstance(then, Awaited):
        return then.handle
    return then.lap if isinstance(then, (PartOf, BranchEnd, Judged)) else owner


def _key_of(item: Instance | Scope) -> int:
    return item.key


def _first_of(batch: Batch) -> int:
    return batch.first
