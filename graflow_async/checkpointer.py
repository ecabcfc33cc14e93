"""The durable port of a run's journal: records in, the same records out. What they mean is not its business.

Rules that every checkpointer keeps, whatever it is made of:

- A run's log is a list of records in one order. What comes back is always a prefix of what was appended; a record is
  there as a whole or not at all.
- One holder at a time: `create` and `open` take the run's lock, `Log.aclose` gives it back, and so does the death of
  the process. `read` and `runs` take no lock and may be called while somebody writes.
- Nothing here blocks the event loop: `append` and `push` may be called in the middle of anything.
- Bytes whose signature does not fit are never handed out.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Protocol, runtime_checkable


class Kind(IntEnum):
    """What a record is. A reader refuses kinds that it does not know below 128, and skips those from 128 on."""

    HEADER = 1  # JSON: run id, workflow, versions, options; the first record of every log
    CODE = 2  # a task's definition: where it is found, or what it is made of, by number
    GRAPH = 3  # a graph, by number
    EVENT = 4  # a fact of the machine
    DONE = 5  # a body that returned, with nothing but its value: the commonest fact
    WRITE = 6  # a channel write that belongs to no task
    STEP = 7  # the value of a step, or the deadline of a sleep, inside a body that has not ended
    SNAPSHOT = 8  # everything that the records before it came to
    RESUMED = 9  # JSON: another process has taken over
    CHECKPOINT = 10  # JSON: a named checkpoint was taken here
    FINISHED = 11  # JSON: how the run ended
    FORKED = 12  # JSON: where the records before this one came from
    FUNCTION = 14  # a pickled function, by number
    KEPT = 13  # results of tasks that need not run again although the workflow has changed


class Record(NamedTuple):
    """One record of a log: its number (dense, from 0), its kind and its bytes."""

    seq: int
    kind: int
    payload: bytes


class RunInfo(NamedTuple):
    """What a listing shows of a recorded run.

    `header` and `last` are the payloads of its first record and of its last FINISHED or RESUMED record (empty if there
    is none); `size` is in bytes, `updated_at` in seconds since the epoch; `is_open` says whether somebody holds it.
    """

    run_id: str
    header: bytes
    last: bytes
    last_kind: int
    records: int
    size: int
    updated_at: float
    is_open: bool


@runtime_checkable
class Log(Protocol):
    """The open log of one run, held by its one writer.

    Attributes:
        run_id: of the run.
        next_seq: the number that the next record gets.
        size: bytes so far, those that still wait included.
    """

    run_id: str
    next_seq: int
    size: int

    def append(self, kind: int, payload: bytes) -> None:
        """Take a record; it waits for `push` or `flush`."""
        ...

    def push(self, *, sync: bool = False) -> bool:
        """Hand what waits to the operating system now (with `sync` to the disk), and say whether that was done.

        False means that it would take too long here (too much, too slow a disk, or no file at all): `flush` does it.
        Ask for `sync` only where nobody else could share it.

        Raises:
            CheckpointWriteError: the storage refused; nothing can be appended any more.
        """
        ...

    async def flush(self, *, sync: bool = False) -> None:
        """Wait until everything appended so far survives the death of the process, with `sync` a power cut.

        Concurrent calls share one write and one fsync.

        Raises:
            CheckpointWriteError: the storage refused; nothing can be appended any more.
        """
        ...

    async def save(self, name: str, path: str | None = None, upto: int | None = None) -> str:
        """Copy what was appended so far into a checkpoint of that name that stands for itself, and give its place.

        Args:
            name: unique within the run; it becomes part of a file name.
            path: where the copy goes; None for a place next to the log.
            upto: only the records numbered below this.
        """
        ...

    async def compact(self, records: list[tuple[int, bytes]], upto: int) -> None:
        """Put `records` in the place of all records numbered below `upto`, atomically; what came later stays."""
        ...

    async def aclose(self) -> None:
        """Flush, and give the run's lock back; closing twice is fine."""
        ...


@runtime_checkable
class Checkpointer(Protocol):
    """Where the logs of runs are kept."""

    async def create(self, run_id: str) -> Log:
        """Begin the log of a new run.

        Raises:
            CheckpointError: there is a run of that id.
        """
        ...

    async def open(self, run_id: str) -> tuple[Log, list[Record]]:
        """Take a run over: its lock, its records, and the log to go on with. A torn tail is cut.

        Raises:
            UnknownRunError: there is no such run.
            RunLockedError: somebody has it.
            CheckpointError: it cannot be read.
        """
        ...

    async def read(self, source: str) -> list[Record]:
        """Read the records of a run, or of a checkpoint that `Log.save` made (by what it gave).

        Raises:
            UnknownRunError: there is neither.
            CheckpointError: it cannot be read.
        """
        ...

    async def runs(self) -> list[RunInfo]:
        """List the recorded runs, the one that was written last first; what cannot be read is left out."""
        ...

    async def saved(self, run_id: str) -> list[str]:
        """List the checkpoints of a run (what `Log.save` gave), oldest first."""
        ...

    async def delete(self, run_id: str) -> None:
        """Remove a run with its checkpoints.

        Raises:
            UnknownRunError: there is no such run.
            RunLockedError: somebody has it.
        """
        ...

    async def aclose(self) -> None:
        """Give back what it holds open; closing twice is fine."""
        ...
