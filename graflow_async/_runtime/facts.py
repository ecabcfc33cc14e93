"""Facts of the machine as records, and back. Written so that the commonest one, a body that returned, costs least.

A payload is a pickled tuple. DONE is `(key, at, value)`, with the writes behind it if there are any; EVENT is
`(code, at, writes, ...)`, with the codes below. `at` is wall time in seconds, `writes` what the instance has written
into channels since its last record.
"""

from __future__ import annotations

import pickle
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core.events import (
    Answered,
    Asked,
    Called,
    Cancelled,
    CancelRequested,
    Completed,
    Event,
    Failed,
    HandleDropped,
    Parked,
    Received,
    Repeated,
    RunCalled,
    RunStarted,
    StopRequested,
    Suspended,
    Taken,
    TimerFired,
    Unparked,
)
from .._lazy import lazily
from ..checkpointer import Kind
from .decoding import Decoder
from .encoding import Encoder
from .recorded import RecordedCall
from .retelling import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

codec = lazily("graflow_async.codec")

MOST_ERRORS = 1000  # exceptions whose numbers are remembered
Writes = list[tuple[Any, ...]] | None


class Fact(NamedTuple):
    """What a record says: an event (None for one that says only that a body began), when, and what was written.

    `errors` are the numbers of a failure's exception and of those that it is made of.
    """

    event: Event | None
    at: float
    writes: Writes
    begun: int | None = None
    errors: tuple[int, ...] = ()


class FactWriter:
    """Turns events into records."""

    def __init__(self, encoder: Encoder, name_of: Callable[[int], str]) -> None:
        """Write with `encoder`; `name_of(key)` gives a task's id, for messages."""
        self._encoder = encoder
        self._name_of = name_of
        self._errors: dict[int, tuple[int, BaseException]] = {}
        self._next_error = int(time() * 1000)  # two processes that write one log must not give the same numbers
        self._rest: dict[type, Callable[[Any], tuple[Any, ...]]] = {
            RunStarted: lambda e: ("s", e.route.starts, e.route.inside),
            Cancelled: lambda e: ("a", e.key),
            Parked: lambda e: ("p", e.key),
            Unparked: lambda e: ("u", e.key),
            TimerFired: lambda e: ("t", e.token),
            Taken: lambda e: ("n", e.first, e.until),
            HandleDropped: lambda e: ("h", encoder.handle(e.handle)),
            CancelRequested: lambda e: ("x", e.key, encoder.handle(e.handle)),
            StopRequested: lambda e: ("q", e.kind, codec.dumps_error(e.error), e.scope),
            Failed: lambda e: ("f", e.key, codec.dumps_error(e.error), e.again, self._numbers(e.error)),
            Completed: lambda e: ("c", e.key, e.value, encoder.wishes(e.wishes)),
            Repeated: lambda e: ("g", e.scope, e.node, e.upstream, e.known, encoder.handle(e.handle)),
            Asked: lambda e: ("w", e.key, e.question, e.delay),
            Answered: lambda e: ("z", e.question_id, e.kind, e.value),
            Received: lambda e: ("m", e.topic, e.payload, e.letter),
            Suspended: lambda e: ("i", e.key, e.question_id),
            Called: self._called,
            RunCalled: self._run_called,
        }

    def write(self, event: Event, at: float, writes: Writes) -> tuple[Kind, bytes]:
        """Give the record of an event.

        Raises:
            NotSerializableError: a value in it cannot be pickled; the message names the task and the part at fault.
        """
        if isinstance(event, Completed) and event.wishes is None:
            return self.done(event.key, at, event.value, writes)
        code, *fields = self._rest[event.__class__](event)
        return Kind.EVENT, self._encoder.dumps((code, at, writes, *fields), self._what(event))

    def done(self, key: int, at: float, value: Any, writes: Writes) -> tuple[Kind, bytes]:
        """Give the record of a body that has returned and wishes nothing.

        Raises:
            NotSerializableError: the value, or one that was written, cannot be pickled.
        """
        content = (key, at, value) if writes is None else (key, at, value, writes)
        try:
            return Kind.DONE, pickle.dumps(content, 5)
        except Exception:  # noqa: BLE001  # a user's object may raise anything
            what = f"the result of task {self._name_of(key)!r}"
            if writes is None:
                return Kind.DONE, self._encoder.dumps_slowly(content, what, part=2)
            return Kind.DONE, self._encoder.dumps_slowly(content, f"{what}, or what it writes into channels,")

    def step(self, key: int, at: float, name: Any, value: Any, writes: Writes) -> tuple[Kind, bytes]:
        """Give the record of a step's value, or of the end of a sleep.

        Raises:
            NotSerializableError: the value cannot be pickled.
        """
        return Kind.STEP, self._encoder.dumps(("y", at, writes, key, name, value), f"the value of step {name!r}")

    def begun(self, key: int, at: float) -> tuple[Kind, bytes]:
        """Give the record that says that a body begins which must not begin twice."""
        return Kind.EVENT, pickle.dumps(("b", at, None, key), 5)

    def _numbers(self, error: BaseException) -> list[int]:
        """Number an exception and those that it is made of: one that passes through several bodies keeps its number."""
        numbers: list[int] = []
        for part in parts_of(error):
            known = self._errors.get(id(part))
            if known is None:
                while len(self._errors) >= MOST_ERRORS:  # the oldest has passed by long ago
                    del self._errors[next(iter(self._errors))]
                known = self._errors[id(part)] = (self._next_error, part)
                self._next_error += 1
            numbers.append(known[0])
        return numbers

    def _called(self, event: Called) -> tuple[Any, ...]:
        encoder = self._encoder
        rows = None if event.tasks is None else encoder.rows(event.tasks)
        children = None if event.tasks is not None else [encoder.child(child) for child in event.children]
        return ("k", event.key, encoder.handle(event.handle), event.handle.is_bulk, event.index, rows, children)

    def _run_called(self, event: RunCalled) -> tuple[Any, ...]:
        encoder = self._encoder
        number, namespace, provided = event.about
        walk = (event.route.starts, event.route.inside)
        return (
            "r",
            event.key,
            encoder.graph(event.graph),
            walk,
            event.name,
            encoder.handle(event.handle),
            number,
            namespace,
            _provided(encoder, provided),
        )

    def _what(self, event: Any) -> str:
        """Name what a record is about."""
        key = getattr(event, "key", None)
        if key is None:
            return "a fact of the run"
        name = self._name_of(key)
        return f"the result of task {name!r}" if isinstance(event, Completed) else f"what task {name!r} calls"


class FactReader:
    """Turns records into events again. Receivers of called children are `RecordedCall`s, one for each number."""

    def __init__(self, decoder: Decoder) -> None:
        """Read with `decoder`."""
        self._decoder = decoder
        self.calls: dict[int, RecordedCall] = {}
        self._rest: dict[str, Callable[..., Event]] = {
            "s": self._started,
            "a": Cancelled,
            "p": Parked,
            "u": Unparked,
            "t": TimerFired,
            "n": Taken,
            "h": self._handle_dropped,
            "x": self._cancel_requested,
            "q": self._stop_requested,
            "f": self._failed,
            "c": self._completed,
            "g": self._repeated,
            "w": Asked,
            "z": Answered,
            "m": Received,
            "i": Suspended,
            "k": self._called,
            "r": self._run_called,
        }

    def read(self, kind: int, payload: bytes) -> Fact:
        """Give what a record says.

        Raises:
            CheckpointError: something in it cannot be loaded here.
        """
        content = self._decoder.loads(payload)
        if kind == Kind.DONE:
            return Fact(Completed(content[0], content[2]), content[1], content[3] if len(content) > 3 else None)
        code, at, writes, *fields = content
        if code == "b":
            return Fact(None, at, None, begun=fields[0])
        errors = tuple(fields.pop()) if code == "f" else ()
        return Fact(self._rest[code](*fields), at, writes, errors=errors)

    def _started(self, starts: tuple[int, ...], inside: frozenset[int] | None) -> Event:
        return RunStarted(self._decoder.graph.route(starts, inside))

    def _handle_dropped(self, number: int) -> Event:
        return HandleDropped(self._call(number))

    def _cancel_requested(self, key: int, number: int | None) -> Event:
        return CancelRequested(key, None if number is None else self._call(number))

    def _stop_requested(self, kind: str, error: bytes, scope: int) -> Event:
        return StopRequested(kind, codec.loads_error(error), scope)

    def _failed(self, key: int, error: bytes, again: bool) -> Event:  # noqa: FBT001  # a field
        return Failed(key, codec.loads_error(error), again=again)

    def _completed(self, key: int, value: Any, wishes: Any) -> Event:
        return Completed(key, value, self._decoder.wishes(wishes))

    def _repeated(self, scope: int, node: int, upstream: Any, known: Any, number: int) -> Event:
        return Repeated(scope, node, upstream, known, self._call(number))

    def _call(self, number: int, *, is_bulk: bool = False) -> RecordedCall:
        call = self.calls.get(number)
        if call is None:
            call = self.calls[number] = RecordedCall(number, is_bulk=is_bulk)
        return call

    def _called(self, key: int, number: int, is_bulk: bool, index: int, rows: Any, children: Any) -> Event:  # noqa: FBT001  # a field
        call = self._call(number, is_bulk=is_bulk)
        if rows is not None:
            return Called(key, call, index, tasks=self._decoder.tasks(rows))
        return Called(key, call, index, children=[self._decoder.child(row) for row in children])

    def _run_called(  # the fields of the record
        self, key: int, graph: int, walk: Any, name: str, handle: int, number: int, namespace: str, provided: Any
    ) -> Event:
        made = self._decoder.graph_by(graph)
        given: Any = {} if provided is None else self._decoder.loads(provided)
        about: tuple[int, str, Any] = (number, namespace, given)
        return RunCalled(key, made, made.route(*walk), name, self._call(handle), about)


def _provided(encoder: Encoder, provided: Mapping[Any, Any]) -> bytes | None:
    """Pickle what a child run's workflow provides; None where that cannot be: its tasks then wait for their parent."""
    if not provided:
        return None
    try:
        return encoder.dumps(dict(provided), "what the workflow provides")
    except Exception:  # noqa: BLE001  # connections and the like: they are there again once the parent calls again
        return None
