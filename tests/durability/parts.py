"""What the tests of recorded runs share: runs that are recorded, logs that are cut, and what is counted meanwhile."""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable
from contextlib import contextmanager
from typing import Any, NamedTuple

from graflow_async import MemoryCheckpointer, MemoryStore, Workflow, current_context
from graflow_async._runtime.history import Step
from graflow_async.checkpointer import Kind, Record
from graflow_async.recovery import subject_of
from graflow_async.resume import fresh, kept_of, opening_of

RUN = "run"
HANGS_AFTER = 45.0
"""Seconds (virtual ones in a simulation) after which a run is taken to hang."""

_bodies: Counter[str] = Counter()
_keys: defaultdict[str, set[str]] = defaultdict(set)
_sky = {"is_bad": False}


def note(what: str = "") -> None:
    """Count that a body has begun: under the id of its task, or with something added."""
    context = current_context()
    _bodies[context.task_id + what] += 1
    _keys[f"{context.task_id} turn {context.cycle_count}"].add(context.idempotency_key)


@contextmanager
def counted():
    """Give a fresh count of bodies."""
    _bodies.clear()
    yield _bodies


@contextmanager
def bad_weather():
    """Let `strike` fail, until `clear_up` is called; give the idempotency keys that bodies have meanwhile, by turn."""
    _sky["is_bad"] = True
    _keys.clear()
    try:
        yield _keys
    finally:
        _sky["is_bad"] = False


def clear_up() -> None:
    """End the bad weather."""
    _sky["is_bad"] = False


def is_bad() -> bool:
    """Say whether the weather is bad; a function, since code that is recorded takes its own copy of data."""
    return _sky["is_bad"]


def strike(error: BaseException) -> None:
    """Raise the error in bad weather."""
    if is_bad():
        raise error


class Outcome(NamedTuple):
    """A run, seen from outside: its value, what its channels hold, and how often each body began."""

    value: Any
    channel: dict[str, Any]
    bodies: Counter[str]


class End(NamedTuple):
    """A body that ended in the record of that number, by returning or by raising."""

    seq: int
    task_id: str


async def contents(store: MemoryStore, run_id: str = RUN) -> dict[str, Any]:
    """Give everything in a store, with keys that do not depend on the run's id."""
    found = await store.get_many(await store.keys(""))
    return {key.replace(run_id, RUN, 1): value for key, value in found.items()}


async def bounded(awaitable: Coroutine[Any, Any, Any]) -> Any:
    """Await something that must not hang; if it does, everything that it has started is cancelled, too."""
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(awaitable)
    try:
        _, waiting = await asyncio.wait([task], timeout=HANGS_AFTER)
        if not waiting:
            return task.result()
    except asyncio.CancelledError:
        task.cancel()
        raise
    for other in asyncio.all_tasks() - before:
        other.cancel()  # one test shall fail, not the rest of the suite wait
    await asyncio.wait([task], timeout=HANGS_AFTER)
    message = "it hangs"
    raise AssertionError(message)


async def performed(call: Callable[..., Any], *args: Any, **options: Any) -> Outcome:
    """Run something that takes a run's options, and look at all of it."""
    store = MemoryStore()
    with counted() as bodies:
        value = await bounded(call(*args, store=store, validate=True, **options))
        return Outcome(value, await contents(store), bodies.copy())


async def recorded(wf: Workflow, **options: Any) -> tuple[Outcome, list[Record]]:
    """Run a workflow to its end in memory, and give its records, too."""
    checkpointer = MemoryCheckpointer()
    outcome = await performed(wf.run, checkpointer=checkpointer, run_id=RUN, **options)
    return outcome, await checkpointer.read(RUN)


async def holding(records: Iterable[Record], run_id: str = RUN) -> MemoryCheckpointer:
    """Make a checkpointer that has these records of a run."""
    checkpointer = MemoryCheckpointer()
    log = await checkpointer.create(run_id)
    for record in records:
        log.append(record.kind, record.payload)
    await log.aclose()
    return checkpointer


def ends(records: list[Record], wf: Workflow) -> list[End]:
    """List in which records bodies ended."""
    opening = opening_of(records)
    history = fresh(opening, subject_of(wf), None, kept_of(records))
    found: list[End] = []
    for record in records:
        key = _ended(record, history.decoder.loads)
        before = history.state.find(key) if key is not None else None
        if before is not None:
            found.append(End(record.seq, before.id))
        history.tell([record])
    return found


def _ended(record: Record, loads: Callable[[bytes], Any]) -> int | None:
    if record.kind not in (Kind.DONE, Kind.EVENT):
        return None
    content = loads(record.payload)
    if record.kind == Kind.DONE:
        return content[0]
    return content[3] if content[0] in ("c", "f") else None


def first_fact(records: list[Record]) -> int:
    """Give how many records there are up to the one with which the run starts, that one included."""
    for number, record in enumerate(records):
        if record.kind == Kind.EVENT and pickle.loads(record.payload)[0] == "s":
            return number + 1
    message = "the run never started"
    raise AssertionError(message)


def too_many(again: Counter[str], whole: Counter[str], known: Iterable[End]) -> dict[str, str]:
    """Say which bodies ran more often than what was not recorded yet allows; losers of a race may begin or not."""
    done = Counter(end.task_id for end in known)
    return {
        name: f"{number} times again, {done[name]} of {whole[name]} were recorded"
        for name, number in again.items()
        if whole[name] and number > whole[name] - done[name]
    }


def steps(records: list[Record], wf: Workflow) -> list[Step]:
    """List the bodies that returned, as the records tell it."""
    history = fresh(opening_of(records), subject_of(wf), None, kept_of(records))
    history.tell(records)
    return history.steps
