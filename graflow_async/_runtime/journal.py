"""The journal of a run: what the machine is told is written down before anything follows from it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

from .._core.events import Cancelled, Completed, Event, Failed
from .._core.run_state import RunState
from .._core.state import Instance
from ..checkpointer import Kind, Log
from ..current import running
from ..errors import GraflowError
from ..protocols import Clock
from .encoding import Encoder
from .facts import FactWriter
from .lanes import Lanes
from .limits import Limits
from .recorded import UNSAVED

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

logger = logging.getLogger("graflow_async.journal")

SYNC_AFTER = 1.0  # seconds: how long what survives a kill may wait for the disk, with durability "process"
MOST_WAITING = 8 * 2**20  # bytes: how much may wait for the disk before the run waits, too
COMPACT_AT = 8 * 2**20  # bytes: logs are put together from this size on, and again when they have grown to
GROWTH = 4  # times what that came to
ENDS = (Completed, Failed, Cancelled)


class Journal:
    """Writes facts into a log, in the order in which the machine takes them.

    Attributes:
        log: where they go.
        state: of the run.
        durability: what a fact survives before anything follows from it: "process", "fsync", "async" or "exit".
        compact: puts the records so far together, given the number of the first channel write that must stay apart.
    """

    def __init__(
        self,
        log: Log,
        state: RunState,
        clock: Clock,
        durability: str,
        new_encoder: Callable[[Callable[[int, bytes], None]], Encoder],
        last_write: int = 0,
    ) -> None:
        """Write into `log` what is known of `state`; channel writes are numbered from `last_write` on."""
        self.log = log
        self.durability = durability
        self.state = state
        self._clock = clock
        self._now = clock.time
        self._encoder = new_encoder(self._emit)
        self._facts = FactWriter(self._encoder, self._name_of)
        self._written: dict[int, list[tuple[Any, ...]]] = {}
        self._writes = last_write
        self._flushing: asyncio.Task[None] | None = None
        self._sync_timer: Any = None
        self._saves: set[asyncio.Task[Any]] = set()
        self._synced_at = log.size
        self._compacting: asyncio.Task[None] | None = None
        self._compact_at = max(COMPACT_AT, GROWTH * log.size)
        self.compact: Callable[[int], Coroutine[Any, Any, None]] | None = None

    # -- facts ------------------------------------------------------------------------------------------------

    def encode(self, event: Event) -> tuple[Kind, bytes]:
        """Give the record of a fact; what it speaks of for the first time is written in front of it.

        Raises:
            NotSerializableError: a value in it cannot be pickled.
        """
        ended = event.key if isinstance(event, ENDS) else -1
        writes = self._written.get(ended) if self._written else None
        if isinstance(event, Completed):
            instance = self.state.live.get(event.key)
            if instance is not None and not instance.task.definition.persist:
                event = Completed(event.key, UNSAVED, event.wishes)
        record = self._facts.write(event, self._clock.time(), writes)
        if writes is not None:
            del self._written[ended]
        return record

    def encode_done(self, instance: Instance, value: Any) -> tuple[Kind, bytes]:
        """Give the record of a body that has returned and wishes nothing.

        Raises:
            NotSerializableError: the value cannot be pickled.
        """
        if not instance.task.definition.persist:
            value = UNSAVED
        writes = self._written.pop(instance.key, None) if self._written else None
        try:
            return self._facts.done(instance.key, self._now(), value, writes)
        except BaseException:
            if writes is not None:
                self._written[instance.key] = writes
            raise

    def append(self, record: tuple[Kind, bytes]) -> None:
        """Take a record."""
        self.log.append(*record)

    def begun(self, key: int) -> None:
        """Write that a body begins which must not begin twice."""
        self.append(self._facts.begun(key, self._clock.time()))

    def step(self, key: int, name: Any, value: Any, since: int) -> None:
        """Write the value of a step, with what was written into channels during it (from position `since` on).

        Raises:
            NotSerializableError: the value cannot be pickled.
        """
        written = self._written.get(key, [])
        during = written[since:] or None
        self.append(self._facts.step(key, self._clock.time(), name, value, during))
        del written[since:]

    def position(self, key: int) -> int:
        """Say how much an instance has written into channels that is in no record yet."""
        return len(self._written.get(key, ()))

    def note_write(self, operation: tuple[Any, ...]) -> None:
        """Keep a channel write until its task has ended; one that belongs to no task is written at once."""
        self._writes += 1
        operation = (self._writes, *operation)
        body: Any = running.get()
        if body is not None and body.key in self.state.live:
            self._written.setdefault(body.key, []).append(operation)
        else:
            payload = self._encoder.dumps([operation], f"the channel key {operation[2]!r}")
            self.append((Kind.WRITE, payload))
            if self.state.root.phase != "new":
                self.push()  # what comes before the start is written together with it: all or nothing

    # -- the disk ---------------------------------------------------------------------------------------------

    def push(self, lanes: Lanes | None = None) -> bool:
        """Hand over what was appended; False if what follows from it has to wait for `flush`.

        With `lanes` that have nothing else under way there is nobody to share a sync with.

        Raises:
            CheckpointWriteError: the storage refused.
        """
        if self.log.size > self._compact_at and self._compacting is None and self.compact is not None:
            self._compacting = asyncio.get_running_loop().create_task(self._compact(self.compact))
        durability = self.durability
        if durability == "process":
            done = self.log.push()
            if done and self._sync_timer is None:
                self._sync_timer = asyncio.get_running_loop().call_later(SYNC_AFTER, self._sync_later)
            return done
        if durability == "fsync":
            return lanes is not None and not lanes.busy and not lanes.queue and self.log.push(sync=True)
        if durability == "async":
            if self._flushing is None:
                self._flushing = asyncio.get_running_loop().create_task(self._flush_behind())
            return self.log.size - self._synced_at < MOST_WAITING
        return True

    async def flush(self) -> None:
        """Wait until what was appended survives what it has to survive.

        Raises:
            CheckpointWriteError: the storage refused.
        """
        await self.log.flush(sync=self.durability == "fsync")
        self._synced_at = self.log.size

    def _sync_later(self) -> None:
        """Let the disk have what survives a kill so far."""
        self._sync_timer = None
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush_behind(sync=True))

    async def _flush_behind(self, *, sync: bool = False) -> None:
        """Write in the background; a failure is met again, and reported, by whoever writes next."""
        size = self.log.size
        try:
            await self.log.flush(sync=sync)
            self._synced_at = size
        except OSError as error:
            logger.warning("run %s: the journal could not be written: %s", self.log.run_id, error)
        finally:
            self._flushing = None

    async def _compact(self, compact: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        """Put the records so far together, in the background; a run whose log cannot be shortened goes on as it is."""
        waiting = (operation[0] for written in self._written.values() for operation in written)
        try:
            await compact(min(waiting, default=self._writes + 1))
        except (GraflowError, RecursionError) as error:
            logger.info("run %s: the journal stays as long as it is: %s", self.log.run_id, error)
        finally:
            self._compact_at = max(COMPACT_AT, GROWTH * self.log.size)
            self._compacting = None

    # -- checkpoints and the end ------------------------------------------------------------------------------

    async def save(
        self, task_id: str, path: str | None, metadata: Mapping[str, Any] | None
    ) -> tuple[str, dict[str, Any]]:
        """Take a checkpoint of the whole run as it is now; give its place and what was noted about it.

        Raises:
            CheckpointWriteError: the storage refused.
        """
        name, about = self._announce(task_id, path, metadata)
        place = await self.log.save(name, path, self.log.next_seq)
        return place, about | {"path": place}

    def save_later(self, task_id: str, path: str | None, metadata: Mapping[str, Any] | None) -> None:
        """Take a checkpoint of the run as it is now, in the background; `aclose` waits for it."""
        name, _ = self._announce(task_id, path, metadata)
        saving = asyncio.get_running_loop().create_task(self.log.save(name, path, self.log.next_seq))
        self._saves.add(saving)
        saving.add_done_callback(self._saved)

    def _announce(
        self, task_id: str, path: str | None, metadata: Mapping[str, Any] | None
    ) -> tuple[str, dict[str, Any]]:
        """Write that a checkpoint is taken here; give its name, and what is noted about it."""
        name = f"{task_id}-{self.log.next_seq}"
        about = {
            "name": name,
            "run_id": self.log.run_id,
            "task_id": task_id,
            "created_at": self._clock.time(),
            "metadata": dict(metadata or {}),
            "path": path,
        }
        self.append((Kind.CHECKPOINT, json.dumps(about, default=repr).encode()))
        return name, about

    def _saved(self, saving: asyncio.Task[Any]) -> None:
        self._saves.discard(saving)
        if not saving.cancelled() and (error := saving.exception()) is not None:
            logger.error("run %s: a checkpoint could not be written", self.log.run_id, exc_info=error)

    async def aclose(self, status: str) -> None:
        """Write how the run ended, and let go of the log.

        Raises:
            CheckpointWriteError: the storage refused.
        """
        if self._sync_timer is not None:
            self._sync_timer.cancel()
        try:
            while self._saves:
                await asyncio.wait(self._saves)
            behind = [task for task in (self._flushing, self._compacting) if task is not None]
            if behind:
                await asyncio.wait(behind)
            self.append((Kind.FINISHED, json.dumps({"status": status, "at": self._clock.time()}).encode()))
            await self.log.flush(sync=True)
        finally:
            await self.log.aclose()

    # -- small parts ------------------------------------------------------------------------------------------

    def _emit(self, kind: int, payload: bytes) -> None:
        self.log.append(kind, payload)

    def _name_of(self, key: int) -> str:
        instance = self.state.live.get(key)
        return instance.id if instance is not None else f"number {key}"


def resumed_record(at: float, epoch: int, limits: Limits) -> tuple[Kind, bytes]:
    """Give the record of a run being taken over, under these limits."""
    about = {"at": at, "epoch": epoch, "pid": os.getpid(), "host": socket.gethostname(), "limits": limits.as_json()}
    return Kind.RESUMED, json.dumps(about).encode()
