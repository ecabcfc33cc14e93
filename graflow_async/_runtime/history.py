"""Everything that is known of a recorded run, told from its records: for resuming, forking, planning, and looking."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core.commands import Finish
from .._core.events import CancelRequested, Completed, Failed, HandleDropped, StopRequested
from .._core.run_state import RunState
from .._core.state import Instance, Status
from ..checkpointer import Kind, Record
from ..definition import Definition
from ..errors import CheckpointCorruptError, CheckpointVersionError
from ..fingerprint import Shape
from ..graph import Graph
from .decoding import Decoder
from .encoding import NO_GRAPH, Encoder
from .facts import Fact, FactReader, Writes
from .fold import Fold
from .limits import Limits, new_state
from .recorded import RecordedHandle
from .retelling import Retelling, parts_of
from .snapshot import Snapshot, put_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


SKIPPABLE = 128  # kinds from here on may be passed over by a reader that does not know them
KEYLESS = frozenset("shqgzm")  # facts that are about no instance


class Step(NamedTuple):
    """A body that returned: its number in the run (from 1), the record, the task, its turn, when, and its value."""

    number: int
    seq: int
    task_id: str
    turn: int
    at: float
    value: Any


class Opening(NamedTuple):
    """What stands at the head of a log: the header, the shape of the graph, and the graph itself if it was kept."""

    header: dict[str, Any]
    shape: Shape
    whole: bytes | None


class History:
    """A run, told up to a point.

    Attributes:
        header: what was written when the run began.
        limits: what bounds the run now.
        fold: the machine as it stood, with timers, called children and steps.
        decoder, reader: know the numbers of definitions, graphs and receivers; a journal that goes on needs them.
        writes: what was written into channels, in order.
        steps: bodies that returned, in order; those before a snapshot are only counted.
        steps_before: how many came before it.
        epoch: how often the run was taken over.
        at: wall time of the last fact.
        known: names of checkpoints that were taken, with their metadata.
        handles: handles that were arguments, to be bound to the run that goes on.
        kept: results of nodes that need not run again although the workflow has changed.
    """

    def __init__(
        self,
        opening: Opening,
        graph: Graph,
        templates: Mapping[str, Definition],
        live: list[Any] | None,
        *,
        is_told_only: bool = False,
    ) -> None:
        """Stand at the beginning; with `is_told_only` it does not matter that tasks are gone."""
        self.header = opening.header
        self.shape = opening.shape
        self.limits = Limits.from_json(opening.header["limits"])
        self.decoder = Decoder(graph, templates, live, is_told_only=is_told_only)
        self.decoder.children = self._handle_of
        self.handles: list[RecordedHandle] = []
        self.reader = FactReader(self.decoder)
        self.fold = Fold(self._fresh())
        self.writes: list[tuple[Any, ...]] = []
        self.steps: list[Step] = []
        self.epoch = 0
        self.at: float = self.header["created_at"]
        self.known: list[dict[str, Any]] = []
        self.kept: dict[str, Any] = {}
        self.steps_before = 0
        self._is_headed = False
        self._failures: list[_Failure] = []
        self._drops: list[tuple[int, int]] = []

    def _fresh(self) -> RunState:
        return new_state(self.header["run_id"], self.decoder.graph, self.header["workflow"], self.limits)

    def _handle_of(self, key: int) -> RecordedHandle:
        """Give the handle of a called child that was an argument of another one."""
        child = self.fold.recorded.by_key(key)
        if child is None:
            message = f"the records of the run do not fit together: a handle of child {key}, which was not called"
            raise CheckpointCorruptError(message)
        self.handles.append(RecordedHandle(child))
        return self.handles[-1]

    def change_limits(self, limits: Limits, at: float) -> None:
        """Let other limits count from now on."""
        self.limits = limits
        self.fold.adjust(limits, at)

    @property
    def state(self) -> RunState:
        """The machine's state."""
        return self.fold.state

    @property
    def finish(self) -> Finish | None:
        """How the run ended, if it has."""
        return self.fold.finish

    # -- telling ----------------------------------------------------------------------------------------------

    def tell(self, records: Iterable[Record], *, until: int | None = None) -> None:
        """Tell records, those numbered from `until` on excepted.

        Raises:
            CheckpointError: they do not fit together, or cannot be read here.
        """
        for record in records:
            if until is not None and record.seq >= until:
                return
            self._tell(record)

    def _tell(self, record: Record) -> None:
        kind = record.kind
        if kind in (Kind.DONE, Kind.EVENT):
            fact = self.reader.read(kind, record.payload)
            self._note(record, fact)
            if fact.event is None:
                if fact.begun is not None:
                    self.fold.begin(fact.begun)
            else:
                self.fold.tell(fact.event, fact.at)
        else:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Take a record that is no fact of the machine."""
        kind, payload = record.kind, record.payload
        if kind == Kind.GRAPH and not self._is_headed:
            self._is_headed = True  # the first one belongs to the head
        elif kind in (Kind.CODE, Kind.FUNCTION, Kind.GRAPH):
            self.decoder.learn(kind, payload)
        elif kind == Kind.WRITE:
            self.writes.extend(self.decoder.loads(payload))
        elif kind == Kind.STEP:
            _, at, writes, key, name, value = self.decoder.loads(payload)
            self.writes.extend(writes or ())
            self.fold.step(key, name, value, at)
        elif kind == Kind.RESUMED:
            about = json.loads(payload)
            self.epoch = about["epoch"]
            if self.fold.told is not None:
                self.fold.told.went_on(self.state, self.at, about["at"])
            self.change_limits(Limits.from_json(about["limits"]), about["at"])
        elif kind == Kind.SNAPSHOT:
            self._go_on_from(payload)
        elif kind == Kind.KEPT:
            self.kept = self.decoder.loads(payload)
        elif kind == Kind.CHECKPOINT:
            self.known.append(json.loads(payload))
        elif kind not in (Kind.HEADER, Kind.FINISHED, Kind.FORKED) and kind < SKIPPABLE:
            message = f"record {record.seq} is of kind {kind}, which this version does not know; use a newer one"
            raise CheckpointVersionError(message)

    def _note(self, record: Record, fact: Fact) -> None:
        """Keep what a listing and a resumption want to know of a fact."""
        self.at = fact.at
        event = fact.event
        self._take_writes(fact.writes)
        if isinstance(event, Completed):
            instance = self.state.find(event.key)
            if instance is not None:
                name, turn = instance.id, instance.turn
                self.steps.append(
                    Step(self.steps_before + len(self.steps) + 1, record.seq, name, turn, fact.at, event.value)
                )
            stop = event.wishes.stop if event.wishes is not None else None
            if stop is not None and stop.error is not None:
                self._failures.append(_Failure(record.seq, event.key, stop.error, ()))
        elif isinstance(event, Failed):
            self._failures.append(_Failure(record.seq, event.key, event.error, fact.errors))
        elif isinstance(event, StopRequested):
            if event.scope == 0:
                self._failures.append(_Failure(record.seq, -1, event.error, ()))
        elif isinstance(event, HandleDropped):
            self._drops.append((record.seq, event.handle.parent))
        elif isinstance(event, CancelRequested):
            self._drops.append((record.seq, self._caller_of(event.key)))

    def _take_writes(self, writes: Writes) -> None:
        if writes:
            self.writes.extend(writes)

    # -- going on after an end --------------------------------------------------------------------------------

    @property
    def has_failed(self) -> bool:
        """Say whether the run ended (or was about to end) without a result, so that it can be tried again."""
        stop = self.state.root.stop
        return stop is not None and stop.kind in ("failed", "cancelled")

    def culprits(self) -> set[int]:
        """Give the records of the facts that ended the run: failures that were not caught, and what they cancelled."""
        stop = self.state.root.stop
        ended_by = {id(part) for part in parts_of(stop.error)} if stop is not None else set[int]()
        found = [f for f in self._failures if id(f.error) in ended_by or f.key < 0]
        numbers = {number for failure in found for number in failure.numbers}
        found += [f for f in self._failures if f.numbers and f.numbers[0] in numbers]
        first = min((failure.seq for failure in found), default=0)
        failed = {failure.key for failure in found}
        return {f.seq for f in found} | {seq for seq, caller in self._drops if seq > first and caller in failed}

    def _caller_of(self, key: int) -> int:
        """Give the key of the instance that has called a child; -1 if it is not known."""
        state = self.state
        scope, lap, instance = state.scopes.get(key), state.laps.get(key), state.live.get(key)
        caller = scope.caller if scope is not None else lap.parent if lap is not None else None
        if instance is not None and isinstance(instance.owner, Instance):
            caller = instance.owner
        return -1 if caller is None else caller.key

    def encoder(self, templates: Mapping[str, Definition], emit: Callable[[int, bytes], None]) -> Encoder:
        """Make an encoder that goes on where the records end: it knows every number that was given."""
        decoder = self.decoder
        encoder = Encoder(decoder.graph, templates, decoder.live, emit)
        last = max(self.reader.calls, default=-1)
        encoder.go_on(decoder.definitions, len(decoder.codes), len(decoder.functions), decoder.graphs, last + 1)
        return encoder

    def renumbered(self, record: Record, key_of: Callable[[Any], Any]) -> bytes | None:
        """Give a record with the number that its instance has now; None if there is no such instance any more."""
        content = self.decoder.loads(record.payload)
        place = 0 if record.kind == Kind.DONE else 3
        if place and content[0] in KEYLESS:
            return record.payload
        key = key_of(content[place])
        if key is None or key == content[place]:
            return None if key is None else record.payload
        encoder = self.encoder({}, _emit_nothing)
        return encoder.dumps((*content[:place], key, *content[place + 1 :]), "a recorded fact")

    # -- snapshots --------------------------------------------------------------------------------------------

    def snapshot(self, encoder: Encoder, before: int) -> bytes:
        """Put everything that was told into one record; channel writes numbered from `before` on stay apart.

        Raises:
            NotSerializableError: something cannot be pickled.
        """
        fold = self.fold
        taken = Snapshot(
            fold.state,
            fold.deadlines,
            fold.recorded,
            fold.namespaces,
            fold.begun,
            self.reader.calls,
            put_together(self.writes, before),
            len(self.steps) + self.steps_before,
            self.epoch,
            self.at,
            self.known,
            self.handles,
        )
        return encoder.dumps_slowly(tuple(taken), "the state of the run")

    def _go_on_from(self, payload: bytes) -> None:
        """Take a snapshot in the place of everything before it."""
        taken = Snapshot(*self.decoder.loads(payload))
        told, self.fold = self.fold.told, Fold(taken.state)
        if told is not None:
            self.fold.tell_to(told)
            told.put_together(taken.state, taken.at)
        self.fold.deadlines, self.fold.recorded = taken.deadlines, taken.recorded
        self.fold.namespaces, self.fold.begun = taken.namespaces, taken.begun
        self.reader.calls.update(taken.calls)
        self.writes, self.steps_before = taken.writes, taken.steps
        self.epoch, self.at, self.known, self.handles = taken.epoch, taken.at, taken.known, taken.handles

    # -- looking ----------------------------------------------------------------------------------------------

    def interrupted(self) -> list[int]:
        """List the bodies (by their keys) that have begun, must not begin twice, and have not ended."""
        return [
            key
            for key, turn in sorted(self.fold.begun)
            if (instance := self.state.live.get(key)) is not None
            and instance.turn == turn
            and instance.status in (Status.RUNNING, Status.PARKED, Status.RESUMING)
            and not instance.doomed
        ]


class _Failure(NamedTuple):
    """A fact that may have ended a run: its record, whose it was (-1: the run's own), and the numbers of its errors."""

    seq: int
    key: int
    error: BaseException
    numbers: tuple[int, ...]


def retell(
    records: list[Record], new: Callable[[], History], limits: tuple[int, bytes] | None
) -> list[tuple[int, bytes]]:
    """Tell the story of a run that failed without the facts that ended it; give the records that are left of it.

    Args:
        records: all records of the run.
        new: makes a fresh history of the run.
        limits: a record that says which limits count from the beginning, if they are others now.
    """
    first, was, now = new(), new(), new()
    first.tell(records)
    culprits = first.culprits()
    story = Retelling(was.fold, now.fold)
    kept: list[tuple[int, bytes]] = []
    for record in records:
        if record.kind not in (Kind.DONE, Kind.EVENT, Kind.STEP):
            was.learn(record)
            now.learn(record)
            if record.kind == Kind.SNAPSHOT:
                story = Retelling(was.fold, now.fold)
            if record.kind != Kind.FINISHED:
                kept.append((record.kind, record.payload))
            if limits is not None and record.kind == Kind.GRAPH:
                kept.append(limits)
                now.learn(Record(record.seq, *limits))
                limits = None
            continue
        payload = now.renumbered(record, story.key)
        if record.kind == Kind.STEP:
            happened = payload is not None
        else:
            old = was.reader.read(record.kind, record.payload)
            new_one = now.reader.read(record.kind, record.payload)
            if old.event is None or new_one.event is None:
                happened = payload is not None
            elif record.seq in culprits:
                story.skip(old.event, old.at)
                happened = False
            else:
                happened = story.tell(old.event, new_one.event, new_one.at)
        if happened:
            kept.append((record.kind, payload if payload is not None else record.payload))
    return kept


def opening_of(records: list[Record]) -> Opening:
    """Read the head of a log.

    Raises:
        CheckpointCorruptError: there is none.
    """
    if len(records) < 2 or records[0].kind != Kind.HEADER or records[1].kind != Kind.GRAPH:  # header and graph
        message = "the log ends before its head is whole: the run never started, and there is nothing to continue"
        raise CheckpointCorruptError(message)
    header = json.loads(records[0].payload)
    if header.get("format") != 1:
        message = f"the log has format {header.get('format')}; this version reads format 1"
        raise CheckpointVersionError(message)
    shape, whole = Decoder(NO_GRAPH, {}, None).loads(records[1].payload)
    return Opening(header, shape, whole)


def _emit_nothing(kind: int, payload: bytes) -> None:
    """Refuse to write: everything in a recorded fact is known."""
    message = f"a recorded fact speaks of something that was not recorded (kind {kind}, {len(payload)} bytes)"
    raise CheckpointCorruptError(message)
