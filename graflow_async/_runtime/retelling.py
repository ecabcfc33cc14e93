"""Going on after a failure: the story of a run without the failures that ended it.

The tasks that failed run again, everything else stays done. Two machines are told the story side by side: one as it
was, so that it is known what each fact was about, and one without those failures. Where the two make instances, these
are paired, so that later facts find theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .._core.events import Answered, Cancelled, CancelRequested, Event, Repeated, StopRequested, Taken, TimerFired
from .._core.run_state import RunState
from .._core.state import Instance, Lap, Scope
from ..errors import ParallelGroupError
from .fold import Fold

if TYPE_CHECKING:
    from collections.abc import Iterable


def parts_of(error: BaseException | None) -> list[BaseException]:
    """List an exception and those that it is made of: causes, members of a group, failures of a group of tasks."""
    found: list[BaseException] = []
    seen: set[int] = set()
    stack = [error]
    while stack:
        current = stack.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        found.append(current)
        if isinstance(current, ParallelGroupError):
            stack.extend(current.failed.values())
        if isinstance(current, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", current)
            stack.extend(group.exceptions)
        stack.append(current.__cause__)
        if not current.__suppress_context__:
            stack.append(current.__context__)
    return found


class Retelling:
    """Tells a story without some of its facts, side by side with the story as it was."""

    def __init__(self, was: Fold, now: Fold) -> None:
        """Begin with two folds that stand at the same point."""
        self.was = was
        self.now = now
        self._same_below = was.state.next_key
        self._keys: dict[int, int] = {}

    def tell(self, event: Event, again: Event, at: float) -> bool:
        """Work a fact (read twice, once for each story) into both; say whether it happened in the new one, too."""
        first = self.was.state.next_key, self.now.state.next_key
        fits = self._translate(again, getattr(event, "key", None))
        self.was.tell(event, at)
        if not fits or not self._is_wanted(again):
            return False
        self.now.tell(again, at)
        self._pair(*first)
        return True

    def skip(self, event: Event, at: float) -> None:
        """Work a fact in as something that has not happened in the new story."""
        self.was.tell(event, at)

    def key(self, key: Any) -> Any:
        """Give the number that something has in the new story; None if it is not part of it."""
        if not isinstance(key, int):
            return key
        return key if key < self._same_below else self._keys.get(key)

    def _translate(self, event: Any, key: int | None) -> bool:
        """Let a fact speak of the new story's instances; False if it has none for it."""
        if isinstance(event, Taken):
            first = self.key(event.first)
            if first is None or first not in self.now.state.batches:
                return False
            event.first = first
            return True
        if isinstance(event, Repeated):
            event.scope = self.key(event.scope)
            return event.scope in self.now.state.scopes or event.scope == 0
        if isinstance(event, StopRequested):
            event.scope = self.key(event.scope) or -1  # that of the run itself has no part in the new story
            return True
        if isinstance(event, TimerFired):
            if isinstance(event.token, int):
                event.token = self.key(event.token) or -1
            return event.token in self.now.state.timers
        if isinstance(event, Answered):
            return event.question_id in self.now.state.asked
        if key is None:
            return True
        new = self.key(key)
        if new is None:
            return False
        event.key = new
        return True

    def _is_wanted(self, event: Any) -> bool:
        """Say whether a fact also holds in the new story."""
        if isinstance(event, StopRequested):
            return event.scope in self.now.state.scopes
        if isinstance(event, (CancelRequested, TimerFired)) or not hasattr(event, "key"):
            return True
        state = self.now.state
        instance = state.live.get(event.key)
        if instance is None and state.batch_of(event.key) is None:
            return False
        return not isinstance(event, Cancelled) or (instance is not None and instance.doomed)

    def _pair(self, was_first: int, now_first: int) -> None:
        """Pair what both have made."""
        was, now = self.was.state, self.now.state
        if was.next_key - was_first == now.next_key - now_first:
            for offset in range(was.next_key - was_first):
                self._keys[was_first + offset] = now_first + offset
            return
        made = list(_made(now, now_first))
        for key, sign in _made(was, was_first):
            match = next((i for i, (_, other) in enumerate(made) if other == sign), None)
            if match is not None:
                self._keys[key] = made.pop(match)[0]


def _made(state: RunState, first: int) -> Iterable[tuple[int, Any]]:
    """Go through what has a key from `first` on, with a sign to tell it by."""
    everything: list[Instance | Lap | Scope] = [*state.live.values(), *state.laps.values(), *state.scopes.values()]
    for item in sorted((i for i in everything if i.key >= first), key=lambda i: i.key):
        if isinstance(item, Instance):
            yield item.key, ("instance", item.id, item.node)
        else:
            yield item.key, (type(item).__name__,)
    for batch in state.batches.values():
        for position in range(len(batch.tasks)):
            if batch.first + position >= first:
                task, number = batch.tasks[position]
                yield batch.first + position, ("child", task.definition.id, number)
