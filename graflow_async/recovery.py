"""Resuming, forking, planning and replaying for workflows: which checkpointer, which workflow, and what comes of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

from . import forking
from . import resume as resuming
from ._runtime.history import History, opening_of
from .checkpointer import Checkpointer
from .definition import Definition
from .errors import GraphChangedError
from .fingerprint import graph_changes, shape_of
from .graph import Graph
from .keeping import checkpointer_of
from .keywords import RunOptions
from .options import check_options
from .resume import Opened, Plan, Subject

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping


class Runnable(Protocol):
    """A workflow, as far as this module needs it."""

    name: str

    @property
    def graph(self) -> Graph:
        """Its graph."""
        ...

    @property
    def provided(self) -> Mapping[str | type, Any]:
        """What was registered with `provide`."""
        ...

    @property
    def templates(self) -> Mapping[str, Definition]:
        """Its definitions."""
        ...

    def completed(self, options: RunOptions) -> RunOptions:
        """Give the options of a run with those that all its runs have."""
        ...

    def remember(self, results: Mapping[str, Any]) -> None:
        """Take note of the results of a run that has ended."""
        ...


_alive: WeakValueDictionary[str, Any] = WeakValueDictionary()


def remember(run_id: str, workflow: Any) -> None:
    """Note which workflow of this process a run belongs to."""
    _alive[run_id] = workflow


def subject_of(workflow: Runnable) -> Subject:
    """Give a workflow as resuming needs it."""
    return Subject(workflow.name, workflow.graph, workflow.provided, workflow.templates)


def _subject_for(workflow: Runnable | None, run_id: str) -> Subject | None:
    """Give the workflow to go on with: the given one, or the one that this very process has run."""
    found: Any = workflow if workflow is not None else _alive.get(run_id)
    return None if found is None else subject_of(found)


def _completed(workflow: Runnable | None, run_id: str, options: RunOptions) -> RunOptions:
    """Give options with those that all runs of the workflow have."""
    found: Any = workflow if workflow is not None else _alive.get(run_id)
    return options if found is None else found.completed(options)


async def _value_of(opened: Opened, workflow: Runnable | None) -> Any:
    """Run what was opened, and give its value; what had ended before gives the value that was recorded."""
    run, history = opened.run, opened.history
    found: Any = workflow if workflow is not None else _alive.get(history.header["run_id"])
    if run is None:
        if found is not None:
            found.remember(history.state.root.results)
        return history.finish.value if history.finish is not None else None
    if found is not None:
        run.on_end(lambda ended: found.remember(ended.results))
        remember(run.run_id, found)
    return await run.value()


async def resume(
    workflow: Runnable | None,
    source: str,
    options: RunOptions,
    *,
    allow_changes: bool = False,
    interrupted: Mapping[str, Any] | str | None = None,
) -> Any:
    """Go on with a recorded run and give its value; see `Workflow.resume`."""
    options = _completed(workflow, source, options)
    check_options(options)
    async with _place(options, source) as place:
        opened = await resuming.reopen(
            place,
            source,
            lambda run_id: _subject_for(workflow, run_id),
            options,
            allow_changes=allow_changes,
            interrupted=interrupted,
        )
        return await _value_of(opened, workflow)


async def fork(workflow: Runnable, source: str, at: int | str | None, options: RunOptions) -> Any:
    """Branch off a recorded run and give the value of the new one; see `Workflow.fork`."""
    options = workflow.completed(options)
    check_options(options)
    async with _place(options) as place:
        opened = await forking.fork(place, source, subject_of(workflow), options, at)
        return await _value_of(opened, workflow)


async def plan(workflow: Runnable | None, source: str, options: RunOptions) -> Plan:
    """Say what a resumption would do; see `Workflow.plan`."""
    options = _completed(workflow, source, options)
    async with _place(options) as place:
        return await resuming.plan(place, source, lambda run_id: _subject_for(workflow, run_id))


@asynccontextmanager
async def _place(options: Mapping[str, Any], source: str = "") -> AsyncGenerator[Checkpointer, None]:
    """Give the checkpointer that some options ask for, or in which `source` is the directory of a run.

    One that was made for it is closed in the end.
    """
    if source and options.get("checkpointer") is None and options.get("checkpoint_dir") is None:
        found = await asyncio.to_thread(_home_of, source)
        options = {**options, "checkpoint_dir": found} if found is not None else options
    checkpointer, is_own = checkpointer_of(options)
    try:
        yield checkpointer
    finally:
        if is_own:
            await checkpointer.aclose()


def _home_of(source: str) -> Path | None:
    """Give the checkpoint directory to which the directory of a run belongs; None if it is none."""
    path = Path(source)
    with suppress(OSError, ValueError):
        if path.is_absolute() and (path / "journal").is_file():
            return path.parent
    return None


# -- replay -------------------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """A run as it stood after one of its steps.

    Attributes:
        step: number of the step, from 1.
        task_id: whose body returned.
        turn: which turn of it.
        at: wall time, in seconds since the epoch.
        value: what it returned.
        results: task id -> latest result, at that moment.
        running: ids of the tasks that were under way.
        channel: key -> value of the run's own channel.
    """

    step: int
    task_id: str
    turn: int
    at: float
    value: Any
    results: Mapping[str, Any]
    running: list[str]
    channel: Mapping[str, Any]


async def replay(
    run_id: str,
    workflow: Runnable | None = None,
    *,
    checkpointer: Checkpointer | None = None,
    checkpoint_dir: Any = None,
) -> AsyncIterator[Frame]:
    """Step through a recorded run without executing anything: one frame for each body that returned.

    Args:
        run_id: the run, or the path of a checkpoint.
        workflow: of the run; None for the recorded one.
        checkpointer: where it is kept.
        checkpoint_dir: the same as a directory; `./checkpoints` if neither is given.

    Raises:
        UnknownRunError: there is no such run or checkpoint.
        CheckpointError: the records cannot be used here.
    """
    async with _place({"checkpointer": checkpointer, "checkpoint_dir": checkpoint_dir}) as found:
        records = await found.read(str(run_id))
    live: list[Any] | None = getattr(found, "objects", None)
    opening = opening_of(records)
    subject = _subject_for(workflow, opening.header["run_id"]) or resuming.recorded_subject(opening, live)
    changes = graph_changes(opening.shape, shape_of(subject.graph))
    if changes:
        raise GraphChangedError(f"run {run_id!r} cannot be replayed with a workflow that has changed", changes)
    history = resuming.fresh(opening, subject, live, resuming.kept_of(records))
    seen = 0
    for record in records:
        history.tell([record])
        while seen < len(history.steps):
            yield await _frame(history, seen)
            seen += 1


async def _frame(history: History, number: int) -> Frame:
    step = history.steps[number]
    state = history.state
    running = [instance.id for instance in state.live.values()]
    channel = await resuming.channel_of(history)
    return Frame(step.number, step.task_id, step.turn, step.at, step.value, dict(state.root.results), running, channel)
