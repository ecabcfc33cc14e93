"""What the records of a run come to, as one record that stands in their place, so that a log does not grow for ever."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._core.run_state import RunState
from .recorded import Recorded, RecordedCall, RecordedHandle


class Snapshot(NamedTuple):
    """Everything that a resumption needs of the records before it.

    Attributes:
        state: the machine's state.
        deadlines, recorded, namespaces, begun: as a `Fold` keeps them.
        calls: receivers of called children, by number.
        writes: channel writes; those that no unfinished task can come between are put together.
        steps: how many bodies had returned.
        epoch: how often the run was taken over.
        at: wall time of the last fact.
        known: checkpoints that were taken.
        handles: handles that were arguments.
    """

    state: RunState
    deadlines: dict[Any, float]
    recorded: Recorded
    namespaces: dict[int, tuple[int, str, Any]]
    begun: set[tuple[int, int]]
    calls: dict[int, RecordedCall]
    writes: list[tuple[Any, ...]]
    steps: int
    epoch: int
    at: float
    known: list[dict[str, Any]]
    handles: list[RecordedHandle]


def put_together(writes: list[tuple[Any, ...]], before: int) -> list[tuple[Any, ...]]:
    """Shorten a list of channel writes; what is numbered from `before` on stays as it is, for others may come between.

    Only what certainly makes no difference goes: writes to a key that a later one sets or removes as a whole, and sums
    of additions.
    """
    ordered = sorted(writes, key=lambda operation: operation[0])
    kept: list[tuple[Any, ...]] = []
    settled: set[str] = set()
    cleared: tuple[str, ...] = ()
    sums: dict[str, int] = {}
    for operation in reversed([o for o in ordered if o[0] < before]):
        number, verb, key, *rest = operation
        if key in settled or key.startswith(cleared):
            continue
        if verb == "clear":
            cleared = (*cleared, key)
        elif verb == "delete":
            settled.add(key)
        elif verb == "set":
            settled.add(key)
            kept.append(operation)
        elif verb == "add" and rest[1] is None and type(rest[0]) is int:
            position = sums.get(key)
            if position is None:
                sums[key] = len(kept)
                kept.append(operation)
            else:
                kept[position] = (number, "add", key, kept[position][3] + rest[0], None)
        else:
            sums.pop(key, None)
            kept.append(operation)
    kept.extend(operation for operation in ordered if operation[0] >= before)
    return sorted(kept, key=lambda operation: operation[0])
