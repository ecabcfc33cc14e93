"""Recorded runs, opened again to go on where they stopped; also when the workflow is another one by now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._runtime.decoding import Decoder, graph_of, load_whole
from ._runtime.encoding import NO_GRAPH
from ._runtime.history import History, Opening, opening_of, retell
from ._runtime.journal import resumed_record
from ._runtime.limits import Limits
from .checkpointer import Checkpointer, Kind, Log, Record
from .definition import Definition
from .errors import CheckpointError, GraphChangedError, UnknownRunError
from .fingerprint import Shape, code_changes, graph_changes, shape_of
from .graph import STAYS, Graph
from .keeping import Keeper, head
from .keywords import RunOptions
from .run import Run
from .stores.journaled import make_again
from .stores.memory import MemoryStore
from .task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping


LARGE = 2000  # records: the story of a longer log is told in a thread


class Subject(NamedTuple):
    """What is to run: a workflow, as far as resuming needs it; `is_told_only` if it is only there to tell its story."""

    name: str
    graph: Graph
    provided: Mapping[str | type, Any]
    templates: Mapping[str, Definition]
    is_told_only: bool = False


class Plan(NamedTuple):
    """What a resumption would do, before anything runs.

    Attributes:
        kept: ids of the tasks whose recorded results are used.
        stale: id -> what has changed since its result was recorded. A plain resumption keeps these results; one with
            `allow_changes=True` runs the tasks again, and everything after them.
        to_run: ids of the nodes that would run.
        changes: what is different in the graph, one line each; a plain resumption refuses these.
    """

    kept: list[str]
    stale: dict[str, str]
    to_run: list[str]
    changes: list[str]


class Opened(NamedTuple):
    """A recorded run that is about to go on: the run to start (None if nothing is left to do), and its history."""

    run: Run | None
    history: History


Find = Callable[[str], Subject | None]
"""Gives today's workflow of a run, by the run's id; None for the recorded one."""


async def reopen(
    checkpointer: Checkpointer,
    source: str,
    find: Find,
    options: RunOptions,
    *,
    allow_changes: bool = False,
    interrupted: Mapping[str, Any] | str | None = None,
) -> Opened:
    """Open a recorded run to go on with it.

    Args:
        checkpointer: where it is kept.
        source: a run id, or the place of a named checkpoint: that goes on as a run of its own.
        find: gives today's workflow by the id of the recorded run.
        options: of the run; limits that are not given stay as they were.
        allow_changes: keep what a changed workflow has left valid, and run the rest.
        interrupted: task id -> result of tasks with `on_crash="fail"` that had begun, or "retry" to run them again.

    Raises:
        UnknownRunError: there is no such run or checkpoint.
        RunLockedError: somebody has it.
        GraphChangedError: the workflow is another one.
        CheckpointError: the records cannot be used here.
    """
    try:
        log, records = await checkpointer.open(source)
    except UnknownRunError:
        records = await checkpointer.read(source)
        if is_place_of_run(checkpointer, source, records):
            log, records = await checkpointer.open(opening_of(records).header["run_id"])
        else:
            log, records = await branch(checkpointer, records, options, None)
    try:
        return await go_on(checkpointer, log, records, find, options, allow_changes, interrupted)
    except BaseException:
        await log.aclose()
        raise


def is_place_of_run(checkpointer: Checkpointer, source: str, records: list[Record]) -> bool:
    """Say whether a path is where the checkpointer keeps the run of these records, and not a copy of them."""
    place_of: Any = getattr(checkpointer, "place_of", None)
    if place_of is None:
        return False
    own = Path(place_of(opening_of(records).header["run_id"]))
    return Path(source).absolute() in (own, own / "journal")


async def go_on(
    checkpointer: Checkpointer,
    log: Log,
    records: list[Record],
    find: Find,
    options: RunOptions,
    allow_changes: bool,  # noqa: FBT001  # passed on
    interrupted: Mapping[str, Any] | str | None,
) -> Opened:
    """Open a run whose log is held and whose records were read; see `reopen`."""
    live: list[Any] | None = getattr(checkpointer, "objects", None)
    opening = opening_of(records)
    subject = find(opening.header["run_id"]) or recorded_subject(opening, live)
    new = shape_of(subject.graph)
    changes = graph_changes(opening.shape, new)
    if allow_changes and (changes or code_changes(opening.shape, new)):
        records = await _start_over(log, records, opening, subject, new, live)
        opening = opening_of(records)
    elif changes:
        raise changed(opening, changes)
    history = await told(records, opening, subject, live)
    if history.finish is not None and not history.has_failed:
        await log.aclose()
        return Opened(None, history)
    if history.has_failed:
        begun = kept_of(records)
        wanted = history.limits.changed_by(options)
        limits = None if same(wanted, history.limits) else resumed_record(history.at, history.epoch, wanted)
        kept = await asyncio.to_thread(retell, records, lambda: fresh(opening, subject, live, begun), limits)
        await log.compact(kept, log.next_seq)
        history = await told(as_records(kept), opening, subject, live)
    if history.state.root.phase == "new" and not history.kept:
        message = f"run {log.run_id!r} was recorded, but had not started when its process died; start it again"
        raise CheckpointError(message)
    _adjust(history, options)
    keeper = Keeper(checkpointer, options.get("durability", "process"), subject.templates, is_own=False)
    keeper.resume(history, log, interrupted)
    run = Run(
        subject.name, history.decoder.graph, subject.provided, opening.header.get("start"), options, keeper=keeper
    )
    return Opened(run, history)


def recorded_subject(opening: Opening, live: list[Any] | None, *, is_told_only: bool = False) -> Subject:
    """Give the workflow that was recorded with a run; without the tasks that are gone, if it is only told.

    Raises:
        CheckpointError: its code could not be recorded, or not be loaded here.
    """
    if opening.whole is None:
        message = (
            f"run {opening.header['run_id']!r} was recorded without its workflow (some code could not be pickled); "
            f"pass it: await wf.resume({opening.header['run_id']!r})"
        )
        raise CheckpointError(message)
    graph = load_whole(opening.whole, live, is_told_only=is_told_only)
    return Subject(opening.header["workflow"], graph, {}, {}, is_told_only)


def changed(opening: Opening, changes: list[str]) -> GraphChangedError:
    """Make the error of a workflow that is not the recorded one."""
    lines = "\n".join(f"- {line}" for line in changes)
    return GraphChangedError(
        f"the workflow of run {opening.header['run_id']!r} has changed since it was recorded:\n{lines}\n"
        "resume with allow_changes=True to keep what is still valid and run the rest (wf.plan() says which)",
        changes,
    )


def fresh(opening: Opening, subject: Subject, live: list[Any] | None, kept: Mapping[str, Any] | None = None) -> History:
    """Make the history of a run in which nothing has happened."""
    graph = with_kept(subject.graph, kept) if kept else subject.graph
    return History(opening, graph, subject.templates, live, is_told_only=subject.is_told_only)


async def told(records: list[Record], opening: Opening, subject: Subject, live: list[Any] | None) -> History:
    """Tell the story of a run, in a thread if it is long."""
    history = fresh(opening, subject, live, kept_of(records))
    if len(records) > LARGE:
        await asyncio.to_thread(history.tell, records)
    else:
        history.tell(records)
    return history


def kept_of(records: list[Record]) -> dict[str, Any]:
    """Give the results that a run began with because the workflow had changed."""
    found = next((record for record in records if record.kind == Kind.KEPT), None)
    return {} if found is None else Decoder(NO_GRAPH, {}, None).loads(found.payload)


async def channel_of(history: History) -> dict[str, Any]:
    """Give the values of a run's own channel, as far as the story was told."""
    store = MemoryStore()
    prefix = f"{history.header['run_id']}:default:"
    ordered = sorted(history.writes, key=lambda operation: operation[0])
    await make_again(store, (operation[1:] for operation in ordered), history.at)
    found = await store.get_many(await store.keys(prefix))
    return {key.removeprefix(prefix): value for key, value in found.items()}


def as_records(kept: list[tuple[int, bytes]]) -> list[Record]:
    """Number records."""
    return [Record(number, kind, payload) for number, (kind, payload) in enumerate(kept)]


def with_kept(graph: Graph, kept: Mapping[str, Any]) -> Graph:
    """Give a graph in which some nodes give their recorded results instead of running."""
    rows: list[Any] = []
    for node in graph.table:
        join = node.join
        asked = None if join is None else (join.policy, join.max_concurrency, join.branches, join.members)
        if node.id in kept and node.task is not None:
            row = (node.id, asked, node.groups, (), "async", True, _constant(node.id, kept[node.id]))
        else:
            row = (node.id, asked, node.groups, node.bounds, node.kind + STAYS * node.stays, node.is_plain, node.task)
        rows.append(row)
    plot = graph.plot
    edges = (graph.successors_of, graph.edges, plot.targets, plot.forks, plot.entries, graph.starts_all)
    return graph_of(rows, edges)


def _constant(name: str, value: Any) -> Task[Any, Any]:
    async def recorded() -> Any:
        return value

    made: Task[Any, Any] = Task(name, recorded)
    made.definition.look()
    return made


# -- changed workflows --------------------------------------------------------------------------------------------


def still_valid(history: History, old: Shape, new: Shape) -> tuple[dict[str, Any], dict[str, str]]:
    """Say which recorded results of drawn tasks a changed workflow can use, and why the others are stale.

    A result is valid if its task is the same, stands after the same tasks, and their results are valid, too.
    """
    graph = history.decoder.graph
    alive = {instance.id for instance in history.state.live.values()}
    results = history.state.root.results
    kept: dict[str, Any] = {}
    stale: dict[str, str] = {}
    for node in graph.table:
        name = node.id
        if name not in results or name in alive:
            continue
        if name not in new:
            stale[name] = "it is no longer part of the workflow"
        elif old[name][2] != new[name][2]:
            stale[name] = "its code has changed"
        elif old[name][:2] != new[name][:2]:
            stale[name] = "it stands elsewhere in the graph, or runs differently"
        else:
            kept[name] = results[name]
    settled = False
    while not settled:
        settled = True
        for name in list(kept):
            wrong = next((b for b in new[name][0] if b not in kept), None)
            if wrong is not None:
                stale[name] = f"{wrong!r}, which comes before it, runs again"
                del kept[name]
                settled = False
    return {name: value for name, value in kept.items() if graph.table[graph.numbers[name]].task is not None}, stale


async def _start_over(
    log: Log, records: list[Record], opening: Opening, subject: Subject, new: Shape, live: list[Any] | None
) -> list[Record]:
    """Begin the log of a changed workflow's run anew, with the results that are still valid."""
    history = await told(records, opening, recorded_or_named(opening, subject, live), live)
    kept, _ = still_valid(history, opening.shape, new)
    limits = Limits.from_json(opening.header["limits"])
    more = {k: v for k, v in opening.header.items() if k in ("start", "forked_from")}
    at = opening.header["created_at"]
    made = head(opening.header["run_id"], subject.name, subject.graph, limits, at, live, more)
    encoder = history.encoder({}, lambda kind, payload: made.append((kind, payload)))
    made.append((Kind.KEPT, encoder.dumps(kept, "a recorded result")))
    made.append((Kind.WRITE, encoder.dumps(history.writes, "a channel write")))
    await log.compact(made, log.next_seq)
    return as_records(made)


def recorded_or_named(opening: Opening, subject: Subject, live: list[Any] | None) -> Subject:
    """Give the workflow as it was recorded, for telling its story."""
    try:
        return recorded_subject(opening, live, is_told_only=True)
    except CheckpointError as error:
        message = (
            f"run {opening.header['run_id']!r} was recorded without its workflow's code, so what a changed one "
            f"({subject.name!r}) can use of it cannot be found out; run it anew"
        )
        raise CheckpointError(message) from error


async def plan(checkpointer: Checkpointer, source: str, find: Find) -> Plan:
    """Say what a resumption would keep, and what would run.

    Raises:
        UnknownRunError: there is no such run or checkpoint.
        CheckpointError: the records cannot be used here.
    """
    live: list[Any] | None = getattr(checkpointer, "objects", None)
    records = await checkpointer.read(source)
    opening = opening_of(records)
    subject = find(opening.header["run_id"]) or recorded_subject(opening, live)
    new = shape_of(subject.graph)
    changes = graph_changes(opening.shape, new)
    teller = recorded_or_named(opening, subject, live) if changes else subject
    history = await told(records, opening, teller, live)
    kept, stale = still_valid(history, opening.shape, new)
    named = [name for name in kept if name not in stale]
    groups = {node.id for node in subject.graph.table if node.task is None}
    if history.finish is not None and not history.has_failed:
        return Plan([name for name in new if name in kept or name in stale], stale, [], changes)
    if changes:
        to_run = [name for name in new if name not in kept and name not in groups]
    else:
        named = [name for name in new if name in kept or name in stale]
        to_run = [name for name in new if name not in named and name not in groups]
    return Plan(named, {n: why for n, why in stale.items() if n not in groups}, to_run, changes)


async def branch(
    checkpointer: Checkpointer, records: list[Record], options: RunOptions, run_id: str | None
) -> tuple[Log, list[Record]]:
    """Begin the log of another run with these records, under a new id if there is a run of the old one here."""
    header = json.loads(opening_of(records) and records[0].payload)
    old = header["run_id"]
    known = {info.run_id for info in await checkpointer.runs()}
    new = options.get("run_id") or (old if run_id is None and old not in known else _next_id(old, known))
    if new != old:
        header["forked_from"] = [old, *header.get("forked_from", ())]
        header["run_id"] = new
    made = [(Kind.HEADER, json.dumps(header).encode()), *((r.kind, r.payload) for r in records[1:])]
    made = [record for record in made if record[0] != Kind.FINISHED]
    log = await checkpointer.create(new)
    for record in made:
        log.append(*record)
    return log, as_records(made)


def _next_id(old: str, known: set[str]) -> str:
    number = 2
    while f"{old}-{number}" in known:
        number += 1
    return f"{old}-{number}"


def _adjust(history: History, options: RunOptions) -> None:
    """Let the limits count that are given now."""
    wanted = history.limits.changed_by(options)
    if not same(wanted, history.limits):
        history.change_limits(wanted, history.at)


def same(one: Limits, other: Limits) -> bool:
    """Say whether two limits are equal."""
    return one.as_json() == other.as_json()
