"""CheckpointManager: the recorded runs of one place; its verbs are awaitable on a loop, and block elsewhere."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from . import recovery
from .brokering import FEEDBACK_FOLDER, broker_for
from .checkpointer import Checkpointer, Kind, RunInfo
from .current import caller, is_on_loop
from .errors import UnknownRunError
from .keeping import checkpointer_of
from .keywords import RunOptions
from .options import DEFAULT_DIRECTORY
from .resume import Plan
from .workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from os import PathLike
    from typing import Unpack


class RecordedRun(NamedTuple):
    """A recorded run, as a listing shows it.

    Attributes:
        run_id: of the run.
        workflow: name of its workflow.
        status: "running" (somebody has it open), "interrupted" (its process died), "completed", "failed", "cancelled"
            or "paused".
        created_at, updated_at: wall times in seconds since the epoch.
        records: how many records there are.
        size: in bytes.
        forked_from: the runs it began with the records of, the nearest first.
    """

    run_id: str
    workflow: str
    status: str
    created_at: float
    updated_at: float
    records: int
    size: int
    forked_from: tuple[str, ...] = ()


class CheckpointManager:
    """The recorded runs of a directory (or another checkpointer).

    Every verb that waits gives an awaitable where an event loop runs, and blocks and gives the value elsewhere (in a
    sync task too), so that plain scripts can use it as it stands.
    """

    def __init__(
        self,
        checkpoint_dir: str | PathLike[str] = DEFAULT_DIRECTORY,
        *,
        checkpointer: Checkpointer | None = None,
        secret_keys: Any = None,
    ) -> None:
        """Look into a directory, or into what `checkpointer` keeps."""
        self._place: dict[str, Any] = {"checkpoint_dir": checkpoint_dir, "secret_keys": secret_keys}
        if checkpointer is not None:
            self._place = {"checkpointer": checkpointer}

    def resume(
        self,
        source: str | PathLike[str],
        workflow: Workflow | None = None,
        *,
        allow_changes: bool = False,
        interrupted: Mapping[str, Any] | str | None = None,
        **options: Unpack[RunOptions],
    ) -> Any:
        """Go on with a recorded run (or a named checkpoint) and give its value; without `workflow` as it was recorded.

        The workflow that this very process has run under that id is preferred to its recorded copy. Arguments and
        exceptions are those of `Workflow.resume`.
        """
        given: Any = {**self._place, **options}

        async def run() -> Any:
            return await recovery.resume(
                workflow, str(source), given, allow_changes=allow_changes, interrupted=interrupted
            )

        return either(run)

    def resume_from_checkpoint(
        self, path: str | PathLike[str], workflow: Workflow | None = None, **options: Unpack[RunOptions]
    ) -> Any:
        """Go on from a named checkpoint (or a run id) and give the value; see `resume`."""
        return self.resume(path, workflow, **options)

    def resume_from_latest(self, workflow: Workflow | str | None = None, **options: Unpack[RunOptions]) -> Any:
        """Go on with the run that was recorded last and has not completed; of a workflow (or its name) if one is given.

        Raises:
            UnknownRunError: there is none.
        """
        given: Any = {**self._place, **options}
        name = workflow if workflow is None or isinstance(workflow, str) else workflow.name
        subject = None if isinstance(workflow, str) else workflow

        async def run() -> Any:
            runs = await self._runs()
            found = next(
                (r for r in runs if r.status not in ("completed", "running") and name in (None, r.workflow)), None
            )
            if found is None:
                of = f" of workflow {name!r}" if name is not None else ""
                message = f"there is no run{of} to go on with: {len(runs)} recorded, none of them stopped half way"
                raise UnknownRunError(message)
            return await recovery.resume(subject, found.run_id, given)

        return either(run)

    def plan(self, source: str | PathLike[str], workflow: Workflow | None = None) -> Any:
        """Say what resuming would keep and what would run: a `Plan`."""

        async def look() -> Plan:
            given: Any = self._place
            return await recovery.plan(workflow, str(source), given)

        return either(look)

    def list_runs(self) -> Any:
        """List the recorded runs as `RecordedRun`s, the one that was written last first."""
        return either(self._runs)

    def list_checkpoints(self, run_id: str) -> Any:
        """List the places of a run's named checkpoints, oldest first; those that were given a place come last.

        Raises:
            UnknownRunError: there is no such run.
        """

        async def look(kept: Checkpointer) -> list[str]:
            noted = [json.loads(r.payload) for r in await kept.read(run_id) if r.kind == Kind.CHECKPOINT]
            placed = [about["path"] for about in noted if about["path"] is not None]
            return [*await kept.saved(run_id), *dict.fromkeys(placed)]

        return either(lambda: self._with(look))

    def delete(self, run_id: str) -> Any:
        """Remove a run with its checkpoints.

        Raises:
            UnknownRunError: there is no such run.
            RunLockedError: it is running.
        """
        return either(lambda: self._delete(run_id))

    def prune(self, keep: int = 10) -> Any:
        """Remove completed runs but the `keep` that were written last; give the ids of those that went.

        Runs that can be gone on with stay.
        """

        async def remove() -> list[str]:
            ended = [run.run_id for run in await self._runs() if run.status == "completed"]
            for run_id in ended[keep:]:
                await self._delete(run_id)
            return ended[keep:]

        return either(remove)

    async def _delete(self, run_id: str) -> None:
        """Remove a run, and the questions that it has asked."""

        async def remove(kept: Checkpointer) -> None:
            await kept.delete(run_id)
            home: Any = getattr(kept, "directory", None)
            if home is not None and await asyncio.to_thread((home / FEEDBACK_FOLDER).is_dir):
                broker, _, _ = broker_for("file", home)
                await broker.forget(run_id)
                await broker.aclose()

        await self._with(remove)

    async def _runs(self) -> list[RecordedRun]:
        return [_recorded(info) for info in await self._with(lambda kept: kept.runs())]

    async def _with(self, ask: Callable[[Checkpointer], Coroutine[Any, Any, Any]]) -> Any:
        """Ask the checkpointer, and close it if it was opened for this."""
        kept, is_own = checkpointer_of(self._place)
        try:
            return await ask(kept)
        finally:
            if is_own:
                await kept.aclose()


def either(function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Give a coroutine where a loop runs, else run it: on the run's loop in a sync task, on an own one otherwise."""
    if is_on_loop():
        return function()
    parent: Any = caller()
    return asyncio.run(function()) if parent is None else parent.block(function)


def _recorded(info: RunInfo) -> RecordedRun:
    header: dict[str, Any] = json.loads(info.header) if info.header else {}
    status = "interrupted"
    if info.is_open:
        status = "running"
    elif info.last_kind == Kind.FINISHED:
        status = json.loads(info.last)["status"]
    return RecordedRun(
        info.run_id,
        header.get("workflow", "?"),
        status,
        header.get("created_at", 0.0),
        info.updated_at,
        info.records,
        info.size,
        tuple(header.get("forked_from", ())),
    )
