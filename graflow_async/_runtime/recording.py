"""The scheduler of a run that keeps a journal: a fact is written down before anything follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.commands import Command, Finish, Resume, Tell
from .._core.events import Asked, Called, Cancelled, CancelRequested, Completed, Event, Failed, RunCalled, Taken
from .._core.machine import Machine
from .._core.run_state import RunState
from .._core.state import Batch, Instance
from .._core.wishes import Wishes
from .._lazy import lazily
from ..errors import CheckpointWriteError, GraflowRuntimeError, NotSerializableError
from .journal import ENDS, Journal
from .pausing import Pausing
from .recorded import Recorded

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping

ENDED = frozenset({"completed", "failed", "cancelled", "retrying", "iterated"})
"""What is told of an instance that has ended."""

invariants = lazily("graflow_async._core.invariants")


class NotingMachine(Machine):
    """A machine that notes which children lanes have taken, so that a journal can tell before the next fact.

    Attributes:
        taken: key of a batch's first child -> how many were taken.
    """

    def __init__(self, state: RunState) -> None:
        """Work on `state`."""
        super().__init__(state)
        self.taken: dict[int, int] = {}

    def take(self, batch: Batch) -> Instance:
        """Make the next child of a batch an instance, for a lane."""
        instance = super().take(batch)
        self.taken[batch.first] = batch.taken
        return instance


class JournaledScheduler(Pausing):
    """Writes each fact, then carries out what follows from it: at once, or when the journal says that it is safe."""

    def new_machine(self, state: RunState, *, validate: bool) -> Machine:
        """Make the machine of the run."""
        self._validates = validate
        self._noting = NotingMachine(state)
        return self._noting

    def record_into(self, journal: Journal, recorded: Recorded) -> None:
        """Write into `journal`; bodies that start over find the children of their earlier life in `recorded`."""
        self.journal = journal
        self.recorded = recorded
        self._held: list[Command] = []
        self._releasing: asyncio.Task[None] | None = None
        self._pushes: set[asyncio.Task[None]] = set()
        self._asked: dict[int, tuple[str | None, Mapping[str, Any] | None]] = {}
        self._perform[Instance] = self._push
        self._perform[Batch] = self._push
        self._perform[Resume] = self._resume

    def submit(self, event: Event) -> None:
        """Work a fact in, write it down, and carry out what follows.

        Raises:
            NotSerializableError: what a body asks for cannot be written; the fact did not happen.
        """
        if self.done.done():
            self._refuse(event)
            return
        if self.recorded and isinstance(event, ENDS):
            self._drop_unclaimed(event.key)
        try:
            record = self.journal.encode(event)
            name = self.state.live[event.key].id if self._asked and isinstance(event, Completed) else ""
            if self._noting.taken:
                self._tell_taken(event)
            commands = self.machine.apply(event)
            if self._validates:
                invariants.check(self.state)
            self.journal.append(record)
            if self._asked and isinstance(event, ENDS):
                self._save_asked(event, name)
            self._go_on(commands)
        except NotSerializableError as error:
            if not isinstance(event, Completed):
                raise
            self.submit(Failed(event.key, error, again=False))
        except CheckpointWriteError as error:
            self._fail(error)
            self._refuse(event)
        except Exception as error:
            self.crash(error)
            raise

    def _refuse(self, event: Event) -> None:
        """Let nothing happen any more; a body that asks for something has to hear of it, or it would wait for ever.

        Raises:
            CheckpointWriteError: the journal could not be written.
            GraflowRuntimeError: the run has ended.
        """
        if isinstance(event, (Asked, Called, RunCalled)):
            ended_by = self.done.result().error
            if isinstance(ended_by, CheckpointWriteError):
                raise ended_by
            raise GraflowRuntimeError(f"run {self.state.run_id} has ended: it takes no more children and questions")

    def completed(self, instance: Instance, value: Any, wishes: Wishes | None) -> None:
        """Submit the commonest fact of all: as `submit` does, in fewer steps where nothing is special about it."""
        special = wishes is not None or self._asked or self._validates or self.recorded or self._noting.taken
        if special or self.done.done():
            self.submit(Completed(instance.key, value, wishes))
            return
        try:
            record = self.journal.encode_done(instance, value)
            commands = self._noting.complete(instance, value, None)
            self.journal.append(record)
            self._go_on(commands)
        except NotSerializableError as error:
            self.submit(Failed(instance.key, error, again=False))
        except CheckpointWriteError as error:
            self._fail(error)
        except Exception as error:
            self.crash(error)
            raise

    # -- for bodies -------------------------------------------------------------------------------------------

    def position(self, instance: Instance) -> int:
        """Say how much an instance has written into channels so far."""
        return self.journal.position(instance.key)

    def activity(self) -> int:
        """Give another number whenever something has happened."""
        return self.journal.log.next_seq

    async def keep(self, instance: Instance, name: Any, value: Any, since: int) -> None:
        """Keep the value of a step of a body, and wait until it survives what it has to survive.

        Raises:
            NotSerializableError: the value cannot be pickled.
            CheckpointWriteError: the storage refused.
        """
        if self._noting.taken:
            self._tell_taken(None)
        self.journal.step(instance.key, name, value, since)
        if not self.journal.push():
            await self.journal.flush()

    async def save(
        self, instance: Instance, path: str | None, metadata: Mapping[str, Any] | None
    ) -> tuple[str, dict[str, Any]]:
        """Take a checkpoint of the whole run now; give its place and what was noted about it.

        Raises:
            CheckpointWriteError: the storage refused.
        """
        return await self.journal.save(instance.id, path, metadata)

    async def flush(self) -> None:
        """Wait until everything that was recorded survives what it has to survive.

        Raises:
            CheckpointWriteError: the storage refused.
        """
        await self.journal.flush()

    def save_after(self, instance: Instance, path: str | None, metadata: Mapping[str, Any] | None) -> None:
        """Take a checkpoint of the whole run when a body has returned; the last one asked for in a turn counts."""
        self._asked[instance.key] = (path, metadata)

    # -- in what order ----------------------------------------------------------------------------------------

    def _save_asked(self, event: Completed | Failed | Cancelled, name: str) -> None:
        """Take the checkpoint that a body has asked for, if it has returned."""
        asked = self._asked.pop(event.key, None)
        if asked is not None and isinstance(event, Completed):
            self.journal.save_later(name, *asked)

    def _tell_taken(self, event: Event | None) -> None:
        """Write which children lanes have taken since the last fact, unless the fact itself says it."""
        taken = self._noting.taken
        key = getattr(event, "key", None)
        for first, until in taken.items():
            if key != first + until - 1:
                self.journal.append(self.journal.encode(Taken(first, until)))
        taken.clear()

    def _go_on(self, commands: Iterable[Command]) -> None:
        """Carry commands out now, or when what was written is safe; never out of order."""
        if self.is_pausing:
            self.look_whether_quiet()
        if self._releasing is not None:
            self._hold(commands)
        elif self.journal.push(self.lanes):
            for command in commands:
                self._perform[command.__class__](command)
        elif commands:
            self._hold(commands)
            self._releasing = self.loop.create_task(self._release())

    def _hold(self, commands: Iterable[Command]) -> None:
        """Keep commands until what led to them is safe; only then listeners hear of ends, with the time of each."""
        now = self.clock.time() if self.notifier is not None else None
        for command in commands:
            if isinstance(command, Tell) and command.kind in ENDED:
                command.at = now
            self._held.append(command)

    async def _release(self) -> None:
        """Carry held commands out as what led to them becomes safe: one flush for all that came meanwhile."""
        try:
            while self._held:
                ready, self._held = self._held, []
                await self.journal.flush()
                for command in ready:
                    self._perform[command.__class__](command)
        except CheckpointWriteError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001  # nobody awaits this task: the run has to hear of it
            self.crash(error)
        finally:
            self._releasing = None

    def _fail(self, error: CheckpointWriteError) -> None:
        """End the run: it must not carry on unrecorded."""
        if not self.done.done():
            self.done.set_result(Finish("failed", None, error))
        self._give_up()

    def again(self, work: Instance | Batch) -> None:
        """Run what was under way when a recorded run stopped."""
        self._push(work)

    def _resume(self, command: Resume) -> None:
        """Let a parked body go on; one that is parked only in the records starts over."""
        if command.instance.key in self._waits:
            super()._resume(command)
        else:
            self._push(command.instance)

    # -- bodies -----------------------------------------------------------------------------------------------

    def _push(self, work: Instance | Batch) -> None:
        """Give work to the lanes; that a body begins which must not begin twice is written first."""
        if isinstance(work, Instance):
            keys = [work.key] if work.task.definition.on_crash == "fail" else []
        else:
            keys = [work.first + n for n, (t, _) in enumerate(work.tasks) if t.definition.on_crash == "fail"]
        if not keys:
            self.lanes.push(work)
            return
        for key in keys:
            self.journal.begun(key)
        syncing = self.loop.create_task(self._push_once_safe(work))
        self._pushes.add(syncing)
        syncing.add_done_callback(self._pushes.discard)

    async def _push_once_safe(self, work: Instance | Batch) -> None:
        try:
            await self.journal.log.flush(sync=True)
        except CheckpointWriteError as error:
            self._fail(error)
        else:
            self.lanes.push(work)

    def _drop_unclaimed(self, key: int) -> None:
        """Cancel children of an earlier life for which a body that has ended did not ask again."""
        recorded = self.recorded
        for child in recorded.forget(key) if recorded is not None else ():
            self.submit(CancelRequested(child.key, None if child.call.is_bulk else child.call))
