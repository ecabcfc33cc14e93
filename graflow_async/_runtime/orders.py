"""What an attempt of a body is as bytes, so that it can run elsewhere; and what has come of it."""

from __future__ import annotations

import pickle
import struct
from typing import Any, NamedTuple

from .._core.state import Instance, Scope
from ..errors import ConfigError, NotSerializableError, SecurityError
from ..graph import Graph
from ..task import Task
from .decoding import make_task
from .encoding import NO_GRAPH
from .link import Link
from .paths import above, path_below, path_to
from .recorded import Handle
from .talk import FarEncoder

WHOLE = -1  # kind of the piece of code that is the run's own graph
MANAGER = -2  # of a prompt manager
STAGE = -3  # of what orders have in common
_NEEDED = struct.Struct(">sI")  # in front of an order: its mark, and how many pieces of code it needs
_MARK = b"\x01"


class Context:
    """Stands for the context among the arguments of an order."""

    __slots__ = ()

    def __reduce__(self) -> str:
        """Pickle as a name, so that there is one in every process."""
        return "CONTEXT"


CONTEXT = Context()


class Stage(NamedTuple):
    """What all bodies of a run, or child run, have in common.

    Attributes:
        run_id, workflow: of the run.
        namespace: of the channels of that run, or child run.
        scope: number of the child run, 0 for the run itself.
        graph: number of its graph.
        gates, executors: names of what the run has.
        manager: the prompt manager, if it has one; its number while it travels.
        has_memory: whether the run keeps a journal.
        grace: seconds that a body gets to end once it was told to.
    """

    run_id: str
    workflow: str
    namespace: str
    scope: int
    graph: int
    gates: list[str]
    executors: list[str]
    manager: Any
    has_memory: bool
    grace: float


class Order(NamedTuple):
    """One attempt of a body.

    Attributes:
        stage: what it has in common with others.
        task: the task, as data.
        task_id, attempt, turn: of the instance.
        place: where in the run it stands, in words.
        given: args and kwargs that the function is called with; None if they are the task's.
        steps: values of steps that were recorded in earlier attempts.
        has_gates: whether it holds slots of the run's limits.
        around: makes the block around the body, if there is one; pickled while it travels.
    """

    stage: Stage
    task: Any
    task_id: str
    attempt: int
    turn: int
    place: str
    given: tuple[tuple[Any, ...], dict[str, Any]] | None
    steps: dict[Any, Any] | None
    has_gates: bool
    around: Any = None


class OrderWriter:
    """Makes the orders of one run; what they speak of (code, graphs) is numbered once, and kept in `code`.

    Attributes:
        code: pickled (kind, payload) pairs, in order; the first is the run's own graph.
        stages: places in `code` of what is no code.
    """

    def __init__(self, graph: Graph, grace: float = 10.0) -> None:
        """Begin with the graph of a run; its `cancel_grace` is what its bodies get, in seconds.

        Raises:
            NotSerializableError: some code of it cannot be pickled.
        """
        self.stages: set[int] = set()
        self.code: list[bytes] = [pickle.dumps((WHOLE, whole(graph)), 5)]
        self._encoder = FarEncoder(graph, {}, None, self._emit)
        self._grace = grace
        self._stages: dict[int, tuple[int, int, int]] = {}  # scope -> number, how many gates and executors there were
        self._stage_count = 0
        self._owner: Instance | Scope | None = None
        self._turn = 0
        self._path = ""
        self._managers: dict[int, tuple[int, Any]] = {}

    def _emit(self, kind: int, payload: bytes) -> None:
        self.code.append(pickle.dumps((int(kind), payload), 5))

    def write(
        self, link: Link, instance: Instance, args: tuple[Any, ...], kwargs: dict[str, Any], *, is_bare: bool = False
    ) -> bytes:
        """Make an order; one that `is_bare` leaves out what is not the same for every process that makes it.

        Raises:
            NotSerializableError: an argument, or the task's code, cannot be pickled.
        """
        task = instance.task if not instance.awaits_arguments else _without_handles(instance)
        given = None if args is task.args and not kwargs and not task.kwargs else (args, kwargs)
        face = instance.face
        if face is not None and given is not None:
            args = tuple(CONTEXT if value is face else value for value in args)
            given = args, {name: CONTEXT if value is face else value for name, value in kwargs.items()}
        steps = instance.steps and {k: v for k, v in instance.steps.items() if not _is_question(k)}
        order = (
            self._stage(link, instance.scope),
            self._encoder.row(task),
            instance.id,
            instance.attempt,
            instance.turn,
            self._place(instance),
            given,
            steps or None,
            bool(instance.gates),
        )
        if instance.around is not None and not is_bare:
            order += (self._encoder.dumps(instance.around, f"what is around task {instance.id!r}"),)
        body = self._encoder.dumps(order, f"what task {instance.id!r} is called with")
        return _NEEDED.pack(_MARK, len(self.code)) + body

    def _place(self, instance: Instance) -> str:
        """Say where an instance stands; children of one body follow each other, and share the most of it."""
        owner = above(instance)
        turn = 0 if isinstance(owner, Scope) else owner.turn
        if self._owner is not owner or self._turn != turn:
            self._owner, self._turn, self._path = owner, turn, path_to(owner)
        return path_below(self._path, instance)

    def _stage(self, link: Link, scope: Scope) -> int:
        """Give the number of what the bodies of a scope have in common; it is written when it has changed."""
        gates = link.scheduler.state.gates
        known = self._stages.get(scope.key)
        if known is not None and known[1:] == (len(gates), len(link.executors)):
            return known[0]
        stage = Stage(
            link.run_id,
            scope.name,
            link.channel(scope).namespace,
            scope.key,
            self._encoder.graph(scope.graph),
            list(gates),
            list(link.executors),
            self._manager(link, scope),
            link.memory is not None,
            self._grace,
        )
        data = self._encoder.dumps(tuple(stage), "what tasks know of their run")
        self.stages.add(len(self.code))
        self._emit(STAGE, data)
        number, self._stage_count = self._stage_count, self._stage_count + 1
        self._stages[scope.key] = (number, len(gates), len(link.executors))
        return number

    def _manager(self, link: Link, scope: Scope) -> int | None:
        """Give the number of what `ctx.prompt_manager` shows; with the first use it is written."""
        found: Any = None
        current: Scope | None = scope
        while found is None and current is not None:
            binder = link.binders.get(current.key)
            found = None if binder is None else binder.provided.entry("prompt_manager")
            current = None if current.caller is None else current.caller.scope
        if found is None:
            return None
        entry = self._managers.get(id(found))
        if entry is None:
            entry = self._managers[id(found)] = (len(self._managers), found)
            try:
                data = self._encoder.dumps(found, "the prompt manager")
            except NotSerializableError as error:
                data = self._encoder.dumps(NotSent(str(error)), "a reason")
            self._emit(MANAGER, data)
        return entry[0]


class NotSent:
    """Stands for something that cannot be pickled, until somebody asks for a part of it."""

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        """Refuse.

        Raises:
            ConfigError: always, but to Python itself.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        raise ConfigError(f"this task does not run where its run is: {self._reason}")


def whole(graph: Graph) -> bytes:
    """Pickle a graph with the code of its tasks.

    Raises:
        NotSerializableError: an argument, or some code, cannot be pickled.
    """
    records: list[tuple[int, bytes]] = []
    encoder = FarEncoder(NO_GRAPH, {}, None, lambda kind, payload: records.append((int(kind), payload)))
    encoder.graph(graph)
    return pickle.dumps(records, 5)


def needs(order: bytes) -> tuple[int, bytes]:
    """Give how many pieces of code an order needs, and the rest of it; only for bytes whose signature was checked.

    Raises:
        SecurityError: these bytes are no order.
    """
    if order[:1] != _MARK:
        raise SecurityError("these bytes are no order; if they are signed, set GRAFLOW_SECRET_KEY here as well")
    _, count = _NEEDED.unpack_from(order)
    return count, order[_NEEDED.size :]


def _without_handles(instance: Instance) -> Task[Any, Any]:
    """Give the task of an instance with the values of the handles that it is bound to: they have been awaited."""
    task = instance.task
    if not instance.awaits_arguments:
        return task
    values = {name: _value(value) for name, value in task.kwargs.items()} if task.kwargs else None
    return make_task(task.definition, tuple(map(_value, task.args)), values, task.given_id())


def _value(given: Any) -> Any:
    handle: Any = given
    return handle.child.result() if isinstance(given, Handle) else given


def _is_question(key: Any) -> bool:
    return isinstance(key, tuple) and key[:1] in (("question",), ("event",))  # pyright: ignore[reportUnknownVariableType]
