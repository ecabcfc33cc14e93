"""One look at the state of a run, from whatever thread: how many run, wait and why, and how far its maps are.

What is read may change meanwhile: a count may be off by what has just happened, and the next look corrects it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from .._core.run_state import RunState
from .._core.state import Awaited, Batch, Instance, Judged, Status
from .._runtime.calls import MapCall
from ..services import Services

RUNNING, READY, RESUMING = Status.RUNNING, Status.READY, Status.RESUMING

Why = tuple[str, str]
"""A kind of wait, and what is waited for: ("limit", "limit 'api'")."""


class SeenMap(NamedTuple):
    """A map that is under way, with the id of its task."""

    call: MapCall
    name: str


class Glance:
    """What one look has found.

    Attributes:
        delayed: keys of the instances whose time has not come: they count among no turns.
        running: bodies that run.
        queued: tasks that nothing holds up but those before them.
        ended: turns of tasks that are over, however they ended.
        waits: how many wait for what.
        asked: what the open questions to people say, with the ids of the tasks that ask.
        maps: the maps some of whose items live.
        living: keys of the instances that have not ended.
    """

    __slots__ = ("asked", "delayed", "ended", "living", "maps", "queued", "running", "waits")

    def __init__(self) -> None:
        """Have found nothing."""
        self.running = 0
        self.queued = 0
        self.ended = 0
        self.waits: Counter[Why] = Counter()
        self.asked: list[tuple[str, str]] = []
        self.maps: dict[int, SeenMap] = {}
        self.living: set[int] = set()
        self.delayed: set[int] = set()

    @property
    def waiting(self) -> int:
        """How many wait for something; a task that waits for its own children is not counted."""
        return self.waits.total() - self.waits["children", ""]


def look(state: RunState, services: Services) -> Glance:
    """Look at a run."""
    found = Glance()
    # Copies, each made in one go: the loop goes on meanwhile.
    steps, live, batches = state.steps, list(state.live.values()), list(state.batches.values())
    asked = {question.key: question for question in list(state.asked.values())}
    begun = len(live)
    for instance in live:
        found.living.add(instance.key)
        _note_map(found, instance.then, instance)
        status = instance.status
        if isinstance(instance.then, Judged):
            begun -= 1  # a policy of a group, which is no turn of a task
        if status is Status.DELAYED:
            begun -= 1
            found.delayed.add(instance.key)
        question = asked.get(instance.key)
        if question is not None and question.about is not None:
            found.asked.append((instance.id, getattr(question.about, "prompt", "")))
        why = _why(state, instance, status, question, services.link.sleeping)
        if why is None:
            found.running += 1
        else:
            found.waits[why] += 1
    unmade = 0
    for batch in batches:
        rest = len(batch.tasks) - batch.taken
        if rest > 0:
            unmade += rest
            _note_batch(state, found, batch, rest)
    in_line = sum(1 for work in list(services.scheduler.lanes.queue) if work.__class__ is Instance)
    found.queued += in_line
    found.running = max(found.running - in_line, 0)
    found.ended = max(steps - begun - unmade, 0)
    return found


def _why(state: RunState, instance: Instance, status: Status, question: Any, sleeping: dict[int, int]) -> Why | None:
    """Say what an instance waits for; None if its body runs."""
    if instance.doomed:
        return ("stop", "")
    if status is READY or status is RESUMING:
        return _shut(state, instance.gates)
    if status is Status.BACKOFF:
        return ("retry", "")
    if status is Status.DELAYED:
        return ("delay", "")
    if question is not None:
        return ("person", "") if question.topic is None else ("event", str(question.topic))
    if instance.key in sleeping:
        return ("sleep", "")
    if instance.open or status is Status.CLOSING:
        return ("children", "")
    return None if status is RUNNING else ("other", "")


def _shut(state: RunState, gates: tuple[Any, ...]) -> Why:
    """Name the first gate that is shut."""
    gate = next((gate for gate in gates if gate.free <= 0), None)
    if gate is None:
        return ("limit", "a slot")  # it has just opened
    if state.gates.get(gate.name) is not gate:
        return ("limit", f"group {gate.name!r}")
    own = {"run": "max_concurrency", "threads": "max_threads"}
    return ("limit", own.get(gate.name) or f"limit {gate.name!r}")


def _note_batch(state: RunState, found: Glance, batch: Batch, rest: int) -> None:
    """Note children that are no instances yet."""
    tasks, at = batch.tasks, batch.taken
    if batch.gates:
        found.waits[_shut(state, batch.gates)] += rest
    else:
        found.queued += rest
    if batch.then is not None and at < len(tasks) and isinstance(batch.then.handle, MapCall):
        found.maps.setdefault(id(batch.then.handle), SeenMap(batch.then.handle, tasks[at][0].definition.id))


def _note_map(found: Glance, then: Any, instance: Instance) -> None:
    """Note the map that an instance is an item of."""
    if isinstance(then, Awaited) and id(then.handle) not in found.maps and isinstance(then.handle, MapCall):
        found.maps[id(then.handle)] = SeenMap(then.handle, instance.task.definition.id)
