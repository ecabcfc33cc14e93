"""A whole execution as plain data: instances, laps, scopes, gates and counters. Nothing here decides anything."""

from __future__ import annotations

from enum import Enum
from typing import Any

from ..definition import Definition
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
    """

    __slots__ = (
        "caller",
        "failures",
        "finals",
        "graph",
        "key",
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
        is_swept: everything under it was told to stop, too.
        doomed: it was told to stop.
    """

    # No slots: what is not set costs no time (one instance is made per task), so attributes that most instances never
    # touch keep their default in the class; those that every instance is asked for are set: reading them is fast then.
    node = -1
    upstream: list[tuple[str, Any]] | None = None
    status = Status.READY
    attempt = 1
    turn = 1
    value: Any = None
    outcome: Outcome | None = None
    wishes: Wishes | None = None
    own: dict[str, Any] | None = None
    steps: dict[str, Any] | None = None
    started_at = 0.0
    calls_run = False
    awaits_arguments = False
    is_swept = False

    def __init__(
        self,
        key: int,
        task: Task[Any, Any],
        task_id: str,
        owner: Owner,
        scope: Scope,
        parent: Instance | None,
        kind: str,
    ) -> None:
        """Make an instance that has not started."""
        self.key = key
        self.task = task
        self.id = task_id
        self.owner = owner
        self.scope = scope
        self.parent = parent
        self.kind = kind
        self.open = 0
        self.lap: Lap | None = None
        self.then: Then = None
        self.data: tuple[tuple[Any, ...], dict[str, Any] | None] | None = None
        self.gates: tuple[Gate, ...] = ()
        self.face: Any = None
        self.doomed = False

    def __repr__(self) -> str:
        """Show what is needed to find it in a log."""
        return f"<{self.id} key={self.key} {self.status.value} turn={self.turn} attempt={self.attempt}>"


class Batch:
    """Children that were released together and become instances one by one, when somebody takes them.

    Attributes:
        first: key of the first child; the others follow.
        taken: how many have become instances.
        then: the receiver of their ends; None for children that nobody awaits one by one.
        dropped: set when the rest must not start.
    """

    __slots__ = ("dropped", "first", "gates", "owner", "parent", "scope", "taken", "tasks", "then")

    def __init__(
        self, first: int, tasks: list[tuple[Task[Any, Any], int]], owner: Owner, scope: Scope, parent: Instance
    ) -> None:
        """Keep the children that have not been taken yet."""
        self.first = first
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


class RunState:
    """Everything that is known of a run.

    Attributes:
        live: key -> instance that has not ended.
        batches: children that are not instances yet, by the key of the first.
        laps: key -> awaited expression that has not ended.
        scopes: key -> child run that has not ended.
        gates: named limits, "threads" and "run" (max_concurrency) among them.
        base: gates that every instance passes.
        steps: turns so far.
        turns: definition id -> turns, kept only when `max_steps` is set.
    """

    __slots__ = (
        "base",
        "batches",
        "gates",
        "laps",
        "live",
        "max_steps",
        "next_key",
        "root",
        "run_id",
        "scopes",
        "steps",
        "timers",
        "turns",
    )

    def __init__(self, run_id: str, graph: Graph, name: str, max_steps: int | None = None) -> None:
        """Start with nothing running."""
        self.run_id = run_id
        self.root = Scope(0, graph, name, None, None)
        self.live: dict[int, Instance] = {}
        self.batches: dict[int, Batch] = {}
        self.laps: dict[int, Lap] = {}
        self.scopes: dict[int, Scope] = {}
        self.gates: dict[str, Gate] = {}
        self.base: tuple[Gate, ...] = ()
        self.max_steps = max_steps
        self.next_key = 1
        self.steps = 0
        self.turns: dict[str, int] = {}
        self.timers: dict[Any, Instance | Gate] = {}

    def take(self, batch: Batch) -> Instance:
        """Make the next child of a batch an instance; the key was reserved when the batch was released."""
        position = batch.taken
        batch.taken = position + 1
        task, number = batch.tasks[position]
        key = batch.first + position
        definition: Definition = task.definition
        task_id = f"{definition.id}_{number}" if number else (task.given_id() or definition.id)
        instance = Instance(key, task, task_id, batch.owner, batch.scope, batch.parent, definition.kind)
        if batch.gates:
            instance.gates = batch.gates
        instance.status = Status.RUNNING
        if batch.then is not None:
            instance.then = batch.then
        self.live[key] = instance
        if position + 1 == len(batch.tasks):
            del self.batches[batch.first]
            batch.tasks = []
        return instance

    def batch_of(self, key: int) -> Batch | None:
        """Find the batch in which a child waits to be taken."""
        for batch in self.batches.values():
            if batch.first + batch.taken <= key < batch.first + len(batch.tasks) and not batch.dropped:
                return batch
        return None

    def find(self, key: int) -> Instance | None:
        """Find an instance by its key, taking it (and those before it) out of its batch if need be."""
        instance = self.live.get(key)
        batch = self.batch_of(key) if instance is None else None
        while batch is not None and (instance is None or instance.key != key):
            instance = self.take(batch)
        return instance
