"""The facts that the machine eats. Plain slotted values: one is made per task, so they have to be cheap."""

from __future__ import annotations

from typing import Any

from ..graph import Graph
from ..route import Route
from ..task import Task
from .question import Question
from .wishes import Child, Wishes


class RunStarted:
    """The run begins along a route of its graph."""

    __slots__ = ("route",)

    def __init__(self, route: Route) -> None:
        """Keep the route."""
        self.route = route


class Completed:
    """A body returned."""

    __slots__ = ("key", "value", "wishes")

    def __init__(self, key: int, value: Any, wishes: Wishes | None = None) -> None:
        """Keep the value and what the body wished."""
        self.key = key
        self.value = value
        self.wishes = wishes


class Failed:
    """A body raised (or was never called, for want of arguments); `again` says whether a retry makes sense."""

    __slots__ = ("again", "error", "key")

    def __init__(self, key: int, error: BaseException, *, again: bool = True) -> None:
        """Keep the exception."""
        self.key = key
        self.error = error
        self.again = again


class Cancelled:
    """A body that was told to stop has ended (or is given up)."""

    __slots__ = ("key",)

    def __init__(self, key: int) -> None:
        """Keep whose."""
        self.key = key


class Called:
    """A running body asks for children whose ends go to `handle` at `index`, `index + 1`, ...

    They are either `tasks` (with their automatic numbers), or `children` of any kind. They get the next keys, in order.
    """

    __slots__ = ("children", "handle", "index", "key", "tasks")

    def __init__(
        self,
        key: int,
        handle: Any,
        index: int = 0,
        *,
        tasks: list[tuple[Task[Any, Any], int]] | None = None,
        children: list[Child] | None = None,
    ) -> None:
        """Keep what is asked for."""
        self.key = key
        self.handle = handle
        self.index = index
        self.tasks = tasks
        self.children = children or []


class RunCalled:
    """A running body asks for a child run; `about` is opaque to the machine: what the shell needs to serve it."""

    __slots__ = ("about", "graph", "handle", "key", "name", "route")

    def __init__(self, key: int, graph: Graph, route: Route, name: str, handle: Any, about: Any = None) -> None:
        """Keep what is asked for. The scope gets the next key."""
        self.about = about
        self.key = key
        self.graph = graph
        self.route = route
        self.name = name
        self.handle = handle


class Parked:
    """A running body waits for somebody and gives its slots back."""

    __slots__ = ("key",)

    def __init__(self, key: int) -> None:
        """Keep whose."""
        self.key = key


class Unparked:
    """What a parked body waited for has come."""

    __slots__ = ("key",)

    def __init__(self, key: int) -> None:
        """Keep whose."""
        self.key = key


class TimerFired:
    """A timer that the machine had set is due."""

    __slots__ = ("token",)

    def __init__(self, token: Any) -> None:
        """Keep which."""
        self.token = token


class CancelRequested:
    """A child is no longer wanted: the one with that key, or what has taken its place and delivers to `handle`."""

    __slots__ = ("handle", "key")

    def __init__(self, key: int, handle: Any = None) -> None:
        """Keep which."""
        self.key = key
        self.handle = handle


class Taken:
    """A lane has taken children of a batch (by the key of its first child): the next one, or all before `until`."""

    __slots__ = ("first", "until")

    def __init__(self, first: int, until: int | None = None) -> None:
        """Keep which batch, and how many of its children have been taken by now."""
        self.first = first
        self.until = until


class Repeated:
    """A task of a graph runs once more, for nothing but its value, which goes to `handle`.

    `upstream` are (id, value) of its direct predecessors, `known` are results that it may ask for by id.
    """

    __slots__ = ("handle", "known", "node", "scope", "upstream")

    def __init__(
        self, scope: int, node: int, upstream: list[tuple[str, Any]], known: dict[str, Any], handle: Any
    ) -> None:
        """Keep what is to run, and with what."""
        self.scope = scope
        self.node = node
        self.upstream = upstream
        self.known = known
        self.handle = handle


class HandleDropped:
    """The children whose ends go to `handle` are no longer wanted."""

    __slots__ = ("handle",)

    def __init__(self, handle: Any) -> None:
        """Keep which."""
        self.handle = handle


class Asked:
    """A body asks the outside, for `delay` seconds at most (None: for ever); it may be a question that had expired."""

    __slots__ = ("delay", "key", "question")

    def __init__(self, key: int, question: Question, delay: float | None = None) -> None:
        """Keep who asks what."""
        self.key = key
        self.question = question
        self.delay = delay


class Answered:
    """An open question has ended: `kind` is "answered", "expired", "cancelled" or "withdrawn"."""

    __slots__ = ("kind", "question_id", "value")

    def __init__(self, question_id: str, kind: str, value: Any = None) -> None:
        """Keep which, and how."""
        self.question_id = question_id
        self.kind = kind
        self.value = value


class Received:
    """An event was sent to the run; `letter` is its number if it came from another process."""

    __slots__ = ("letter", "payload", "topic")

    def __init__(self, topic: str, payload: Any, letter: str | None = None) -> None:
        """Keep what it carries."""
        self.topic = topic
        self.payload = payload
        self.letter = letter


class Suspended:
    """A body has stopped because nobody answered its question; the run pauses, and the body will start over."""

    __slots__ = ("key", "question_id")

    def __init__(self, key: int, question_id: str) -> None:
        """Keep whose, and which."""
        self.key = key
        self.question_id = question_id


class StopRequested:
    """The holder of the run wants it to end: with `error`, as `kind` "cancelled" or "failed"."""

    __slots__ = ("error", "kind", "scope")

    def __init__(self, kind: str, error: BaseException, scope: int = 0) -> None:
        """Keep the reason."""
        self.kind = kind
        self.error = error
        self.scope = scope


Event = (
    RunStarted
    | Completed
    | Failed
    | Cancelled
    | Called
    | RunCalled
    | Parked
    | Unparked
    | TimerFired
    | CancelRequested
    | HandleDropped
    | StopRequested
    | Taken
    | Repeated
    | Asked
    | Answered
    | Received
    | Suspended
)
