"""What an attempt of a body is as bytes, so that it can run elsewhere; and what has come of it."""

from __future__ import annotations

import pickle
import sys
from contextlib import suppress
from typing import Any, NamedTuple

from .._core.state import Instance, Scope
from ..checkpointer import Kind
from ..definition import Definition
from ..errors import ConfigError, NotSerializableError
from ..graph import Graph
from ..task import Task, is_task
from .decoding import Decoder, make_task
from .encoding import NO_GRAPH, ROOT, Row
from .link import Link
from .recorded import Handle
from .talk import FarEncoder

WHOLE = -1  # kind of the piece of code that is the run's own graph
MANAGER = -2  # of a prompt manager


class Context:
    """Stands for the context among the arguments of an order."""

    __slots__ = ()

    def __reduce__(self) -> str:
        """Pickle as a name, so that there is one in every process."""
        return "CONTEXT"


CONTEXT = Context()


class Order(NamedTuple):
    """One attempt of a body.

    Attributes:
        run_id, workflow: of its run.
        namespace: of the channels of that run, or child run.
        scope: number of the child run that it belongs to, 0 for the run itself.
        graph: number of that one's graph.
        task: the task, as data.
        task_id, key, attempt, turn: of the instance.
        place: where in the run it stands, in words.
        args, kwargs: what the function is called with.
        steps: values of steps that were recorded in earlier attempts.
        has_gates: whether it holds slots of the run's limits.
        gates, executors: names of what the run has.
        manager: number of its prompt manager, if it has one.
        has_memory: whether the run keeps a journal.
        grace: seconds that the body gets to end once it was told to.
    """

    run_id: str
    workflow: str
    namespace: str
    scope: int
    graph: int
    task: Any
    task_id: str
    key: int
    attempt: int
    turn: int
    place: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    steps: dict[Any, Any] | None
    has_gates: bool
    gates: list[str]
    executors: list[str]
    manager: Any
    has_memory: bool
    grace: float


class OrderWriter:
    """Makes the orders of one run; what they speak of (code, graphs) is numbered once, and kept in `code`.

    Attributes:
        code: pickled (kind, payload) pairs, in order; the first is the run's own graph.
    """

    def __init__(self, graph: Graph, grace: float = 10.0) -> None:
        """Begin with the graph of a run; its `cancel_grace` is what its bodies get, in seconds.

        Raises:
            NotSerializableError: some code of it cannot be pickled.
        """
        self.code: list[bytes] = [pickle.dumps((WHOLE, whole(graph)), 5)]
        self._encoder = FarEncoder(graph, {}, None, self._emit)
        self._grace = grace
        self._managers: dict[int, tuple[int, Any]] = {}

    def _emit(self, kind: int, payload: bytes) -> None:
        self.code.append(pickle.dumps((int(kind), payload), 5))

    def write(
        self, link: Link, instance: Instance, place: str, face: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        """Make an order.

        Raises:
            NotSerializableError: an argument, or the task's code, cannot be pickled.
        """
        encoder = self._encoder
        if face is not None:
            args = tuple(CONTEXT if value is face else value for value in args)
            kwargs = {name: CONTEXT if value is face else value for name, value in kwargs.items()}
        steps = {k: v for k, v in (instance.steps or {}).items() if not _is_question(k)} or None
        scope = instance.scope
        order = Order(
            link.run_id,
            scope.name,
            link.channel(scope).namespace,
            scope.key,
            encoder.graph(scope.graph),
            encoder.row(_without_handles(instance)),
            instance.id,
            instance.key,
            instance.attempt,
            instance.turn,
            place,
            args,
            kwargs,
            steps,
            bool(instance.gates),
            list(link.scheduler.state.gates),
            list(link.executors),
            self._manager(link, scope),
            link.memory is not None,
            self._grace,
        )
        body = encoder.dumps(tuple(order), f"what task {instance.id!r} is called with")
        return pickle.dumps((len(self.code), body), 5)

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


class FarDecoder(Decoder):
    """A decoder for which a task is the same object wherever it is spoken of: in a graph, or in the code of another.

    So `ctx.next_task(task)` finds the node of the graph, and a task that stands in a module is the one that stands
    there.
    """

    def __init__(self, graph: Graph, known: dict[tuple[Definition, str], list[Task[Any, Any]]]) -> None:
        """Know a graph, and the tasks of the run so far."""
        super().__init__(graph, {}, None)
        self._known = known
        self._is_in_graph = False

    def learn_graph(self, payload: bytes) -> None:
        """Take a GRAPH record."""
        self._is_in_graph = True
        try:
            super().learn_graph(payload)
        finally:
            self._is_in_graph = False

    def task(self, row: int | Row | None) -> Task[Any, Any] | None:
        """Make a task again, if it is not known."""
        if row is None or isinstance(row, int) or row[3] is None:
            return super().task(row)
        number, args, kwargs, task_id = row[:4]
        definition = self.definition(number)
        known = self._known.get((definition, task_id))
        if known is None:
            standing = self._standing(number, definition)
            known = [] if standing is None or standing.given_id() != task_id else [standing]
            if known or self._is_in_graph or not (args or kwargs):
                self._known[definition, task_id] = known
        for task in known:
            if _is_same((task.args, task.kwargs or None), (args, kwargs or None)):
                return task
        made = make_task(definition, args, kwargs, task_id)
        if self._is_in_graph or not (args or kwargs):
            known.append(made)
        return made

    def _standing(self, number: int, definition: Definition) -> Task[Any, Any] | None:
        """Find the task of a definition under its name in its module."""
        how, *place = self.codes[number]
        if how != "import":
            return None
        found: Any = sys.modules.get(place[0])
        for part in place[1].split("."):
            found = getattr(found, part, None)
        return found if is_task(found) and found.definition is definition else None


class OrderReader:
    """Reads the orders of one run, elsewhere."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._decoder: FarDecoder | None = None
        self._tasks: dict[tuple[Definition, str], list[Task[Any, Any]]] = {}
        self._managers: list[Any] = []
        self.known = 0

    def learn(self, records: list[bytes]) -> None:
        """Take the next pieces of code; only bytes whose signature was checked.

        Raises:
            CheckpointError: something of it cannot be loaded here.
        """
        for record in records:
            kind, payload = pickle.loads(record)
            if self._decoder is None:
                self._decoder = FarDecoder(self._load_whole(payload), self._tasks)
            elif kind == MANAGER:
                self._managers.append(self._decoder.loads(payload))
            else:
                _learn(self._decoder, kind, payload)
            self.known += 1

    def _load_whole(self, data: bytes) -> Graph:
        decoder = FarDecoder(NO_GRAPH, self._tasks)
        for kind, payload in decoder.loads(data):
            _learn(decoder, kind, payload)
        return decoder.graph_by(ROOT + 1)

    def read(self, body: bytes) -> tuple[Order, Graph, Any]:
        """Give an order, the graph that its body sees, and its task.

        Raises:
            CheckpointError: something of it cannot be loaded here.
        """
        decoder = self._decoder
        if decoder is None:
            raise NotSerializableError("an order came before the graph of its run")
        order = Order(*decoder.loads(body))
        if order.manager is not None:
            order = order._replace(manager=self._managers[order.manager])
        graph = decoder.graph if order.graph == ROOT else decoder.graph_by(order.graph)
        return order, graph, decoder.task(order.task)


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
    """Give how many pieces of code an order needs, and the rest of it; only for bytes whose signature was checked."""
    count, body = pickle.loads(order)
    return count, body


def _learn(decoder: Decoder, kind: int, payload: bytes) -> None:
    if kind == Kind.CODE:
        decoder.learn_code(payload)
    elif kind == Kind.FUNCTION:
        decoder.learn_function(payload)
    else:
        decoder.learn_graph(payload)


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


def _is_same(left: Any, right: Any) -> bool:
    with suppress(Exception):  # arrays refuse, and a user's __eq__ may do anything
        return bool(left == right)
    return False


def _is_question(key: Any) -> bool:
    return isinstance(key, tuple) and key[:1] in (("question",), ("event",))  # pyright: ignore[reportUnknownVariableType]
