"""A checkpointer whose runs die: after a given number of facts nothing is kept any more, and the run is told so."""

from __future__ import annotations

from typing import Any

from graflow_async import CheckpointWriteError, MemoryCheckpointer
from graflow_async.checkpointer import Kind, Log, Record

FACTS = frozenset({Kind.DONE, Kind.EVENT, Kind.STEP, Kind.WRITE})


class MortalLog:
    """A log that keeps only the first facts of a life; what a fact refers to is kept with it, or not at all."""

    def __init__(self, inner: Log, facts: int) -> None:
        self.inner = inner
        self.facts_left = facts
        self.run_id = inner.run_id
        self.next_seq = inner.next_seq
        self.size = inner.size
        self._waiting: list[tuple[int, bytes]] = []

    @property
    def is_dead(self) -> bool:
        return self.facts_left < 0

    def append(self, kind: int, payload: bytes) -> None:
        self._waiting.append((kind, payload))
        if kind in FACTS:
            self.facts_left -= 1
            if not self.is_dead:
                self._keep()
        self.next_seq += 1
        self.size += len(payload)

    def _keep(self) -> None:
        for record in self._waiting:
            self.inner.append(*record)
        self._waiting.clear()

    def push(self) -> bool:
        if self.is_dead:
            raise CheckpointWriteError("this life is over")
        return self.inner.push()

    async def flush(self, *, sync: bool = False) -> None:
        self.push()
        await self.inner.flush(sync=sync)

    async def save(self, name: str, path: str | None = None, upto: int | None = None) -> str:
        self.push()
        self._keep()
        return await self.inner.save(name, path, upto)

    async def compact(self, records: list[tuple[int, bytes]], upto: int) -> None:
        await self.inner.compact(records, upto)

    async def aclose(self) -> None:
        if not self.is_dead:
            self._keep()
        await self.inner.aclose()


class MortalCheckpointer(MemoryCheckpointer):
    """Gives every run that is begun or taken over a life of so many facts; None for ever.

    Attributes:
        lives: how many there were.
        objects: definitions as they are; they need not be pickled, since no log leaves the process.
    """

    def __init__(self, facts: int | None) -> None:
        super().__init__()
        self.facts = facts
        self.lives = 0
        self.objects: list[Any] = []

    def _mortal(self, log: Any) -> Any:
        self.lives += 1
        return log if self.facts is None else MortalLog(log, self.facts)

    async def create(self, run_id: str) -> Any:
        return self._mortal(await super().create(run_id))

    async def open(self, run_id: str) -> tuple[Any, list[Record]]:
        log, records = await super().open(run_id)
        return self._mortal(log), records
