"""A whole execution as plain data: instances, laps, scopes, gates and counters. Nothing here decides anything."""

from __future__ import annotations

from enum import Enum
from typing import Any

from ..graph import Graph
from ..route import Route
from ..task import Task
from .gate import Gate
from .wishes import Outcome, Stop, Wishes


class Status(Enum):
    """Where an instance is. The first five wait or run, the last three are final."""

    DELAYED = "delayed"  # waits for a timer before its first start
    READY = "ready"  # waits for gates
    RUNNING = "running"  # its body was handed to the shell
    PARKED = "parked"  # its body waits for somebody; it holds no gate
    RESUMING = "resuming"  # the wait is over, it wants its gates back
    BACKOFF = "backoff"  # waits for the next attempt
    CLOSING = "closing"  # the body has ended, children have not
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


READY = Status.READY
FINAL = frozenset({Status.DONE, Status.FAILED, Status.CANCELLED})


class Scope:
    """A run, or a child run: the boundary of results, failures, `terminate` and `cancel`.

    Attributes:
        key: number of the scope; 0 for the run itself.
        graph: the workflow's graph.
        name: of the workflow.
        caller: the instance that awaits it; None for the run itself.
        then: what its end delivers to.
        open: instances and waits that have not ended.
        results: id -> latest value.
        failures: id -> exception.
        finals: id -> value of what ended without releasing anything.
        stop: set once the scope is to end early.
        phase: "new", "open" or "closed".
        services: opaque to the machine: what the shell needs to serve the tasks of the scope.
        about: opaque to the machine: what the shell said of a child run when it asked for it.
        laps: how many laps it has owned.
    """

    __slots__ = (
        "about",
        "caller",
        "failures",
        "finals",
        "graph",
        "key",
        "laps",
        "name",
        "open",
        "phase",
        "results",
        "services",
        "stop",
        "then",
    )

    status = Status.CLOSING  # as an owner it is always one whose body has ended, and that wishes nothing more
    wishes: Wishes | None = None

    def __init__(self, key: int, graph: Graph, name: str, caller: Instance | None, then: Then) -> None:
        """Start empty."""
        self.key = key
        self.graph = graph
        self.name = name
        self.caller = caller
        self.then = then
        self.open = 0
        self.results: dict[str, Any] = {}
        self.failures: dict[str, BaseException] = {}
        self.finals: dict[str, Any] = {}
        self.stop: Stop | None = None
        self.phase = "new"
        self.services: Any = None if caller is None else caller.scope.services
        self.about: Any = None
        self.laps = 0


class Lap:
    """One pass over a graph (`pass` is a keyword): which edges are resolved, with what values.

    Attributes:
        pending: for each node how many incoming edges are not resolved yet.
        marks: for each node UNTOUCHED, REACHED (something was delivered), FIRED or SKIPPED.
        values: node -> the value it delivered.
        carried: node -> (id, value) that a jump or a loop brought to it.
        sink: where values of nodes without successors go; None if they count for nothing.
        then: what the end of the lap delivers to; None if nobody waits for it as a whole.
        open: with `then`: instances of the lap that have not ended.
        is_unwanted: it was cancelled as a whole.
        is_late: its owner was told to stop before it began: it belongs to a clean-up.
        is_simple: nobody waits for the lap, and nothing of it can have been cancelled but with its whole scope.
        number: which lap of its owner it is, from 1.
        groups: join -> what is known of a group that cannot be judged by `values` alone.
    """

    __slots__ = (
        "again",
        "carried",
        "failure",
        "graph",
        "groups",
        "is_late",
        "is_simple",
        "is_unwanted",
        "key",
        "loop_pending",
        "marks",
        "number",
        "open",
        "owner",
        "parent",
        "pending",
        "route",
        "scope",
        "sink",
        "then",
        "values",
    )

    def __init__(self, graph: Graph, route: Route, owner: Owner, scope: Scope, parent: Instance | None) -> None:
        """Stand before the start nodes."""
        self.key = -1
        self.graph = graph
        self.route = route
        self.owner = owner
        self.scope = scope
        self.parent = parent
        owner.laps = self.number = owner.laps + 1
        self.pending = route.expected.copy()
        self.marks = bytearray(len(self.pending))
        self.values: dict[int, Any] = {}
        self.carried: dict[int, list[tuple[str, Any]]] | None = None
        self.sink: dict[str, Any] | None = None
        self.then: Then = None
        self.open = 0
        self.failure: BaseException | None = None
        self.is_simple = False
        self.is_unwanted = False
        self.is_late = isinstance(owner, Instance) and owner.doomed
        self.groups: dict[int, Activation] | None = None
        self.loop_pending: dict[int, int] | None = None
        self.again: dict[int, list[tuple[str, Any]]] | None = None


UNTOUCHED, REACHED, FIRED, SKIPPED = 0, 1, 2, 3


class Activation:
    """One turn of a group in a lap.

    Attributes:
        failed: key -> exception of the branches that failed.
        passed: set when the verdict was given before every branch had ended.
        settled: the values at that moment.
        gate: bounds the group's tasks, if it has a bound.
    """

    __slots__ = ("failed", "gate", "passed", "settled")

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.failed: dict[str, BaseException] = {}
        self.passed: bool | None = None
        self.settled: dict[str, Any] | None = None
        self.gate: Gate | None = None


class Instance:
    """One turn of a task in a run.

    Attributes:
        key: number, unique in the run and the same after a replay.
        owner: the instance or scope whose "done" waits for this one.
        parent: the instance under which it was made; None at the top.
        lap, node: its place in a graph; None, -1 outside of one.
        then: what its end delivers to.
        upstream: (id, value) of its direct predecessors, where the lap does not tell.
        attempt, turn: both 1-based.
        open: children that have not ended.
        data: arguments of this turn if `next_iteration` gave some: (positional, by name).
        outcome: how the body ended, while children that it called are still open.
        wishes: what is left to do when the wished children have ended.
        own: results of its children that its body (or its next turn) can ask for.
        steps: values of plain calls that are not to be repeated.
        kind: how it runs.
        started_at: reading of the loop's clock when its body began, for the task's own use.
        face: its context, made when somebody asks for it.
        awaits_arguments: whether handles among its arguments have to be awaited first.
        calls_run: whether calling a task in its body runs the task.
        laps: how many laps it has owned.
        ordinal: which of the children with its id, of the same parent, it is, where several may have it; else 0.
        named: how many children have had an id of their own.
        place: where in the run it stands, in words; only where the run itself is in another process.
        is_swept: everything under it was told to stop, too.
        doomed: it was told to stop.
        around: opaque to the machine: what makes the block around the body of the present attempt, if there is one.
    """

    # No slots and no __init__: an instance is made per task, and `new_instance` is the fastest way in Python. What is
    # not set costs no time, so attributes that most instances never touch keep their default in the class; those that
    # every instance is asked for are set: reading them is fast then. One with a member of an Enum as its default in the
    # class would be slow to read and to write even so.
    key: int
    task: Task[Any, Any]
    id: str
    owner: Owner
    scope: Scope
    parent: Instance | None
    kind: str
    open: int
    lap: Lap | None
    then: Then
    data: tuple[tuple[Any, ...], dict[str, Any] | None] | None
    gates: tuple[Gate, ...]
    face: Any
    doomed: bool
    status: Status
    node = -1
    upstream: list[tuple[str, Any]] | None = None
    attempt = 1
    turn = 1
    value: Any = None
    outcome: Outcome | None = None
    wishes: Wishes | None = None
    own: dict[str, Any] | None = None
    steps: dict[Any, Any] | None = None
    started_at = 0.0
    calls_run = False
    awaits_arguments = False
    is_swept = False
    laps = 0
    ordinal = 0
    place: str | None = None
    around: Any = None
    named: dict[str, int] | None = None

    def name_child(self, child_id: str) -> int:
        """Count a child that has an id of its own: another one may have it, too."""
        if self.named is None:
            self.named = {}
        self.named[child_id] = self.named.get(child_id, 0) + 1
        return self.named[child_id]

    def __repr__(self) -> str:
        """Show what is needed to find it in a log."""
        return f"<{self.id} key={self.key} {self.status.value} turn={self.turn} attempt={self.attempt}>"


def new_instance(
    key: int,
    task: Task[Any, Any],
    task_id: str,
    owner: Owner,
    scope: Scope,
    parent: Instance | None,
    kind: str,
    gates: tuple[Gate, ...] = (),
    then: Then = None,
) -> Instance:
    """Make an instance that has not started."""
    instance = Instance()
    instance.key = key
    instance.task = task
    instance.id = task_id
    instance.owner = owner
    instance.scope = scope
    instance.parent = parent
    instance.kind = kind
    instance.open = 0
    instance.lap = None
    instance.then = then
    instance.data = None
    instance.gates = gates
    instance.face = None
    instance.doomed = False
    instance.status = READY
    return instance


class Batch:
    """Children that were released together and become instances one by one, when somebody takes them.

    Attributes:
        first: key of the first child; the others follow.
        last: position of the last child.
        taken: how many have become instances.
        then: the receiver of their ends; None for children that nobody awaits one by one.
        dropped: set when the rest must not start.
    """

    __slots__ = ("dropped", "first", "gates", "last", "owner", "parent", "scope", "taken", "tasks", "then")

    def __init__(
        self, first: int, tasks: list[tuple[Task[Any, Any], int]], owner: Owner, scope: Scope, parent: Instance
    ) -> None:
        """Keep the children that have not been taken yet."""
        self.first = first
        self.last = len(tasks) - 1
        self.tasks = tasks
        self.owner = owner
        self.scope = scope
        self.parent = parent
        self.taken = 0
        self.then: Awaited | None = None
        self.gates: tuple[Gate, ...] = ()
        self.dropped = False


class Awaited:
    """The end goes to an opaque handle of the shell, at the position `base + key`."""

    __slots__ = ("base", "handle")

    def __init__(self, handle: Any, base: int) -> None:
        """Keep the receiver; one serves all children that were called together."""
        self.handle = handle
        self.base = base


class Position(Awaited):
    """The same for what takes a called child's place: `base` is the position itself, whatever the key will be."""

    __slots__ = ()


class BranchEnd:
    """The end is the end of a group's branch, in place of the branch's drawn last node."""

    __slots__ = ("join", "lap", "last")

    def __init__(self, lap: Lap, join: int, last: int) -> None:
        """Keep the place in the group."""
        self.lap = lap
        self.join = join
        self.last = last


class PartOf:
    """The end is one of those that a lap (or several jumps at once) waits for."""

    __slots__ = ("lap",)

    def __init__(self, lap: Lap) -> None:
        """Keep the lap."""
        self.lap = lap


class Judged:
    """The end is what a policy of the user's own says of a group."""

    __slots__ = ("failed", "lap", "node", "value")

    def __init__(self, lap: Lap, node: int, value: dict[str, Any], failed: dict[str, BaseException]) -> None:
        """Keep the group with its results."""
        self.lap = lap
        self.node = node
        self.value = value
        self.failed = failed


class Detached:
    """Nobody but the run waits for the end, and its value counts for nothing."""


Then = Awaited | BranchEnd | PartOf | Judged | Detached | None
Owner = Instance | Scope
