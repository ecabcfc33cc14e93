"""Dying in the middle of a run, without a process: from a chosen commit on, the journal keeps nothing any more.

A commit is a record that says that something has happened: a body has ended, a step, a channel write, an answer, the
end of the run. The process "dies" as late as possible after a commit, just before the next one would be written, so
that everything that was done meanwhile is lost and done again. Unlike in a real death, cleanup code of cancelled tasks
runs, and what the program keeps in its own variables stays, unless it is made anew for each life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..checkpointer import Checkpointer, Kind, Log, Record, RunInfo
from ..errors import CheckpointWriteError

if TYPE_CHECKING:
    from collections.abc import Callable

FACTS = frozenset({Kind.DONE, Kind.EVENT, Kind.STEP, Kind.WRITE})


class MortalLog:
    """A log that keeps facts as long as it is allowed to; what a fact refers to is kept with it, or not at all."""

    def __init__(self, inner: Log, is_kept: Callable[[int], bool]) -> None:
        """Write to `inner` as long as `is_kept(kind)`, which is asked for each fact and for the end of the run."""
        self.inner = inner
        self.run_id = inner.run_id
        self.next_seq = inner.next_seq
        self.size = inner.size
        self.is_dead = False
        self._is_kept = is_kept
        self._waiting: list[tuple[int, bytes]] = []

    def append(self, kind: int, payload: bytes) -> None:
        """Take a record."""
        self._waiting.append((kind, payload))
        if not self.is_dead and (kind in FACTS or kind == Kind.FINISHED):
            self.is_dead = not self._is_kept(kind)
            if not self.is_dead:
                self._keep()
        self.next_seq += 1
        self.size += len(payload)

    def _keep(self) -> None:
        for record in self._waiting:
            self.inner.append(*record)
        self._waiting.clear()

    def push(self, *, sync: bool = False) -> bool:
        """Hand on what is kept.

        Raises:
            CheckpointWriteError: this life is over.
        """
        if self.is_dead:
            raise CheckpointWriteError("this life is over")
        return self.inner.push(sync=sync)

    async def flush(self, *, sync: bool = False) -> None:
        """Wait for what is kept.

        Raises:
            CheckpointWriteError: this life is over.
        """
        self.push()
        await self.inner.flush(sync=sync)

    async def save(self, name: str, path: str | None = None, upto: int | None = None) -> str:
        """Copy what was appended so far.

        Raises:
            CheckpointWriteError: this life is over.
        """
        self.push()
        self._keep()
        return await self.inner.save(name, path, upto)

    async def compact(self, records: list[tuple[int, bytes]], upto: int) -> None:
        """Put a snapshot in the place of records.

        Raises:
            CheckpointWriteError: this life is over.
        """
        self.push()
        self._keep()
        await self.inner.compact(records, upto)

    async def aclose(self) -> None:
        """Give the run's lock back; the dead leave nothing more behind."""
        if not self.is_dead:
            self._keep()
        await self.inner.aclose()


class MortalCheckpointer:
    """A checkpointer whose logs die when they are told; everything else is as in the one that it stands for.

    Attributes:
        inner: keeps the records.
        objects: as in `inner`: definitions that are kept as they are.
    """

    def __init__(self, inner: Checkpointer, new_life: Callable[[], Callable[[int], bool]]) -> None:
        """Keep records in `inner`; `new_life` is called for each log and gives what says whether a fact is kept."""
        self.inner = inner
        self._new_life = new_life
        self.objects: Any = getattr(inner, "objects", None)
        self.directory: Any = getattr(inner, "directory", None)

    def place_of(self, run_id: str) -> str:
        """Say where a run is kept, for messages."""
        place_of: Any = getattr(self.inner, "place_of", str)
        return place_of(run_id)

    async def create(self, run_id: str) -> MortalLog:
        """Begin the log of a new run."""
        return MortalLog(await self.inner.create(run_id), self._new_life())

    async def open(self, run_id: str) -> tuple[MortalLog, list[Record]]:
        """Take a run over."""
        log, records = await self.inner.open(run_id)
        return MortalLog(log, self._new_life()), records

    async def read(self, source: str) -> list[Record]:
        """Read the records of a run or of a checkpoint."""
        return await self.inner.read(source)

    async def runs(self) -> list[RunInfo]:
        """List the recorded runs."""
        return await self.inner.runs()

    async def saved(self, run_id: str) -> list[str]:
        """List the checkpoints of a run."""
        return await self.inner.saved(run_id)

    async def delete(self, run_id: str) -> None:
        """Remove a run with its checkpoints."""
        await self.inner.delete(run_id)

    async def aclose(self) -> None:
        """Close the one that it stands for."""
        await self.inner.aclose()
