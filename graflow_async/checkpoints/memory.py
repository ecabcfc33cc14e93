"""Runs recorded in this process, gone with it: for tests, and for forking and replaying without a disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..checkpointer import Kind, Record, RunInfo
from ..errors import CheckpointError, RunLockedError, UnknownRunError
from ._names import encode

if TYPE_CHECKING:
    from collections.abc import Callable

# What a record takes in a file besides its payload, so that sizes here and there mean the same.
_OVERHEAD = 36


class _Run:
    """What is kept of a run."""

    __slots__ = ("base", "holder", "records", "saved", "updated_at")

    def __init__(self, now: float) -> None:
        self.records: list[Record] = []
        self.base = 0  # the number of the first record, also when there is none
        self.saved: list[str] = []
        self.holder: MemoryLog | None = None
        self.updated_at = now


class MemoryLog:
    """The open log of one run; `MemoryCheckpointer` makes it.

    Attributes:
        run_id: of the run.
        next_seq: the number that the next record gets.
        size: bytes so far.
    """

    __slots__ = ("_clock", "_copies", "_run", "next_seq", "run_id", "size")

    def __init__(self, run_id: str, run: _Run, copies: dict[str, list[Record]], clock: Callable[[], float]) -> None:
        """Go on behind the records of a run."""
        self.run_id = run_id
        self.next_seq = run.base + len(run.records)
        self.size = _size(run.records)
        self._run = run
        self._copies = copies
        self._clock = clock

    def append(self, kind: int, payload: bytes) -> None:
        """Take a record; nothing is safer than that here.

        Raises:
            CheckpointError: the log is closed.
        """
        self._check()
        self._run.records.append(Record(self.next_seq, kind, payload))
        self._run.updated_at = self._clock()
        self.next_seq += 1
        self.size += len(payload) + _OVERHEAD

    def push(self, *, sync: bool = False) -> bool:
        """Say that everything is where it will stay.

        Raises:
            CheckpointError: the log is closed.
        """
        del sync
        self._check()
        return True

    async def flush(self, *, sync: bool = False) -> None:
        """Do nothing: no record outlives the process, and none is lost before.

        Raises:
            CheckpointError: the log is closed.
        """
        del sync
        self._check()

    async def save(self, name: str, path: str | None = None, upto: int | None = None) -> str:
        """Copy what was appended so far, and give the name that `read` knows the copy by.

        Args:
            name: part of that name; `-2`, `-3` ... is added to one that is taken.
            path: the whole name instead; what has it is replaced, and `saved` does not list it.
            upto: only the records numbered below this; None for all.

        Raises:
            ValueError: no record has a number just below `upto` yet, or they have all been compacted away.
            CheckpointError: the log is closed.
        """
        self._check()
        records, first = self._run.records, self._run.base
        upto = self.next_seq if upto is None else upto
        if not (first < upto or upto == first == 0) or upto > self.next_seq:
            raise ValueError(f"there are records {first} to {self.next_seq - 1}, and none just below {upto}")
        place = self._free_place(name) if path is None else path
        if path is None:
            self._run.saved.append(place)
        self._copies[place] = [record for record in records if record.seq < upto]
        return place

    async def compact(self, records: list[tuple[int, bytes]], upto: int) -> None:
        """Put `records` in the place of all records numbered below `upto`; what came later stays.

        The last of them gets the number `upto - 1`.

        Raises:
            ValueError: there are more records than numbers below `upto`, or no record has that number yet.
            CheckpointError: the log is closed.
        """
        self._check()
        if not len(records) <= upto <= self.next_seq:
            raise ValueError(f"{len(records)} records cannot stand for those below {upto} of {self.next_seq}")
        first = upto - len(records)
        if upto < self._run.base:
            raise ValueError(f"the records below {self._run.base} are gone already, and not those below {upto} alone")
        new = [Record(first + index, kind, payload) for index, (kind, payload) in enumerate(records)]
        self._run.base = first
        self._run.records = new + [record for record in self._run.records if record.seq >= upto]
        self.size = _size(self._run.records)

    async def aclose(self) -> None:
        """Give the run's lock back; closing twice is fine."""
        if self._run.holder is self:
            self._run.holder = None

    def _check(self) -> None:
        if self._run.holder is not self:
            raise CheckpointError(f"the log of run {self.run_id!r} is closed; open the run again to go on with it")

    def _free_place(self, name: str) -> str:
        stem = f"memory:{encode(self.run_id)}/{encode(name)}"
        place, number = stem, 1
        while place in self._copies:
            number += 1
            place = f"{stem}-{number}"
        return place


class MemoryCheckpointer:
    """Keeps the logs of runs in itself; whoever is to see them in this process is given the same object.

    Attributes:
        objects: tasks' definitions that are kept as they are; None if they are pickled.
    """

    def __init__(self, *, time: Callable[[], float] = time.time, keep_code: bool = False) -> None:
        """Begin without runs.

        Args:
            time: the clock that runs are sorted by, in seconds since the epoch.
            keep_code: keep functions as they are instead of pickling those that have no name to be found by: what they
                close over is then shared with the run, not copied.
        """
        self.objects: list[object] | None = [] if keep_code else None
        self._clock = time
        self._runs: dict[str, _Run] = {}
        self._copies: dict[str, list[Record]] = {}

    async def create(self, run_id: str) -> MemoryLog:
        """Begin the log of a new run.

        Raises:
            CheckpointError: there is a run of that id.
        """
        encode(run_id)
        if run_id in self._runs:
            raise CheckpointError(f"there is a run {run_id!r} already; resume it, or delete it first")
        run = self._runs[run_id] = _Run(self._clock())
        return self._hold(run_id, run)

    async def open(self, run_id: str) -> tuple[MemoryLog, list[Record]]:
        """Take a run over: its lock, its records, and the log to go on with.

        Raises:
            UnknownRunError: there is no such run.
            RunLockedError: somebody has it.
        """
        run = self._free(run_id)
        return self._hold(run_id, run), list(run.records)

    async def read(self, source: str) -> list[Record]:
        """Read the records of a run, or of a checkpoint that `Log.save` made (by what it gave).

        Raises:
            UnknownRunError: there is neither.
        """
        if source in self._runs:
            return list(self._runs[source].records)
        if source in self._copies:
            return list(self._copies[source])
        raise UnknownRunError(f"{source!r} is neither a run nor a checkpoint in this process")

    async def runs(self) -> list[RunInfo]:
        """List the recorded runs, the one that was written last first."""
        found = [_info(run_id, run) for run_id, run in reversed(self._runs.items())]
        return sorted(found, key=lambda run: run.updated_at, reverse=True)

    async def saved(self, run_id: str) -> list[str]:
        """List the checkpoints of a run that were saved without a path, oldest first."""
        run = self._runs.get(run_id)
        return list(run.saved) if run is not None else []

    async def delete(self, run_id: str) -> None:
        """Remove a run with its checkpoints.

        Raises:
            UnknownRunError: there is no such run.
            RunLockedError: somebody has it.
        """
        run = self._free(run_id)
        del self._runs[run_id]
        for place in run.saved:
            del self._copies[place]

    async def aclose(self) -> None:
        """Give back the locks of logs that are still open; what was recorded stays."""
        for run in self._runs.values():
            run.holder = None

    def _free(self, run_id: str) -> _Run:
        """Give a run that nobody holds."""
        run = self._runs.get(run_id)
        if run is None:
            raise UnknownRunError(f"there is no run {run_id!r} in this process")
        if run.holder is not None:
            raise RunLockedError(f"run {run_id!r} is in use by this process; wait until it has ended, or stop it")
        return run

    def _hold(self, run_id: str, run: _Run) -> MemoryLog:
        run.holder = MemoryLog(run_id, run, self._copies, self._clock)
        return run.holder


def _info(run_id: str, run: _Run) -> RunInfo:
    marks = (record for record in reversed(run.records) if record.kind in {Kind.FINISHED, Kind.RESUMED})
    last = next(marks, None)
    return RunInfo(
        run_id=run_id,
        header=run.records[0].payload if run.records else b"",
        last=last.payload if last else b"",
        last_kind=last.kind if last else 0,
        records=len(run.records),
        size=_size(run.records),
        updated_at=run.updated_at,
        is_open=run.holder is not None,
    )


def _size(records: list[Record]) -> int:
    return sum(len(record.payload) + _OVERHEAD for record in records)
