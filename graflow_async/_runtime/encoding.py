"""What a journal writes: facts, tasks and graphs as bytes, data apart from code.

A definition (a function with its options) is written once, by name where it has one that can be found again, and is a
number from then on; so is a graph. What remains of a fact is plain data, which plain pickle takes fastest; only values
that it refuses (a lambda, a task, a handle) go through the slower pickler, which says `P` in front.
"""

from __future__ import annotations

import pickle
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from .._core.wishes import SAME, UNSET, Child, Wishes
from .._lazy import lazily
from ..checkpointer import Kind
from ..definition import Definition
from ..errors import NotSerializableError
from ..graph import STAYS, Graph, Node
from ..task import Task, is_task
from .recorded import Handle, RecordedHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

by_reference = lazily("graflow_async._runtime.pickling")
codec = lazily("graflow_async.codec")

ROOT = 0  # number of the run's own graph
NO_GRAPH = Graph([], [], [], [], {}, {})
PLAIN = Definition("plain", None, {})
OPTIONS = tuple(name for name in Definition.__slots__ if name not in ("id", "func", "plan_now"))
_options = attrgetter(*OPTIONS)
PLAIN_OPTIONS = _options(PLAIN)
Row = tuple[Any, ...]
"""A task as data: (number of its definition, args, kwargs, id), or the number of the root graph's node that it is."""


class Encoder:
    """Turns parts of a run into bytes, and writes what they refer to in front of them.

    Attributes:
        emit: takes a record (kind, payload).
        next_handle: number of the next receiver of called children.
        refusal: what is said of something that cannot be pickled.
    """

    refusal = "cannot be written to the journal"

    def __init__(
        self,
        graph: Graph,
        templates: Mapping[str, Definition],
        live: list[Any] | None,
        emit: Callable[[int, bytes], None],
    ) -> None:
        """Begin with nothing written.

        Args:
            graph: the run's own graph.
            templates: definitions of the workflow by id, those that are no nodes included.
            live: where definitions are kept as they are, if the journal never leaves this process.
            emit: takes a record.
        """
        self.emit = emit
        self._graph = graph
        self._live = live
        self._nodes = {id(node.task): node.number for node in graph.table if node.task is not None}
        self._names: dict[int, Row] = {id(d): ("template", name) for name, d in templates.items()}
        for node in graph.table:
            if node.task is not None:
                self._names[id(node.task.definition)] = ("node", node.id)
        self._definitions: dict[int, tuple[int, Definition]] = {}
        self._graphs: dict[int, tuple[int, Graph]] = {id(graph): (ROOT, graph)}
        self._functions: dict[int, tuple[int, Any]] = {}
        self._next_definition = 0
        self._next_function = 0
        self._next_graph = ROOT + 1
        self.next_handle = 0

    def go_on(
        self,
        definitions: Mapping[int, Definition],
        next_definition: int,
        next_function: int,
        graphs: Mapping[int, Graph],
        next_handle: int,
    ) -> None:
        """Go on where earlier records end: these numbers were given."""
        self._next_function = next_function
        self._definitions = {id(made): (number, made) for number, made in definitions.items()}
        self._next_definition = next_definition
        self._graphs = {id(made): (number, made) for number, made in graphs.items()}
        self._next_graph = max(graphs, default=ROOT) + 1
        self.next_handle = next_handle

    # -- values -----------------------------------------------------------------------------------------------

    def dumps(self, value: Any, what: str) -> bytes:
        """Pickle a value; `what` names it in the error.

        Raises:
            NotSerializableError: it cannot be pickled; the message names the part at fault.
        """
        try:
            return pickle.dumps(value, 5)
        except Exception:  # noqa: BLE001  # a user's object may raise anything
            return self.dumps_slowly(value, what)

    def dumps_slowly(self, value: Any, what: str, part: int | None = None) -> bytes:
        """Pickle what plain pickle refuses; with `part`, `what` names that part of a tuple.

        Raises:
            NotSerializableError: it cannot be pickled.
        """
        try:
            return b"P" + by_reference.dumps(value, self._refer)
        except NotSerializableError:
            raise
        except Exception as error:
            culprit = codec.explain(value if part is None else value[part], what, error)
            message = f"{what} {self.refusal}: {culprit}"
            raise NotSerializableError(message) from error

    def _refer(self, value: Any) -> Any:
        """Give the reference that stands for a part of the run."""
        kind = value.__class__
        if value is UNSET or value is SAME:
            return ("unset",) if value is UNSET else ("same",)
        if kind is Task:
            return ("task", self.row(value))
        if kind is Definition:
            return ("definition", self.definition(value))
        if kind is Graph:
            return ("graph", self.graph(value))
        if isinstance(value, Handle) and not (isinstance(value, RecordedHandle) and value.child is value):
            return ("child", value.child.key)  # pyright: ignore[reportUnknownMemberType]  # of any kind
        return None  # a handle that is bound to no run stands in a snapshot, together with its child

    # -- parts ------------------------------------------------------------------------------------------------

    def row(self, task: Task[Any, Any]) -> int | Row:
        """Give a task as data."""
        node = self._nodes.get(id(task))
        if node is not None:
            return node
        return (self.definition(task.definition), task.args, task.kwargs, task.given_id())

    def rows(self, tasks: list[tuple[Task[Any, Any], int]]) -> list[Row]:
        """Give tasks with their automatic numbers as data."""
        known, last = None, -1
        rows: list[Row] = []
        for task, number in tasks:
            definition = task.definition
            if definition is not known:
                known, last = definition, self.definition(definition)
            rows.append((last, task.args, task.kwargs, task.given_id(), number))
        return rows

    def definition(self, definition: Definition) -> int:
        """Give the number of a definition; with the first use it is written."""
        entry = self._definitions.get(id(definition))
        if entry is None:
            entry = self._definitions[id(definition)] = (self._next_definition, definition)
            self._next_definition += 1
            try:
                self.emit(Kind.CODE, pickle.dumps((entry[0], *self._found_by(definition)), 5))
            except BaseException:
                del self._definitions[id(definition)]  # it was not written: the next use must not refer to it
                raise
        return entry[0]

    def _found_by(self, definition: Definition) -> Row:
        """Say how a definition is found again: by name if it has one, else it is written as a whole."""
        if self._live is not None:
            self._live.append(definition)
            return ("live", len(self._live) - 1)
        named = self._names.get(id(definition))
        if named is not None and named[0] == "node":
            return named
        place = place_of(definition)
        if place is not None and place[0] != "__main__":
            return ("import", *place)
        named = named or (None if place is None else ("import", *place))
        try:
            code = self.dumps(
                (self._function(definition), definition.id, options_of(definition)),
                f"the options of task {definition.id!r}",
            )
        except NotSerializableError:
            if named is None:
                raise
            code = None  # it has a name, by which it is found as long as the workflow is given
        return ("code", code) if named is None else (*named, code)

    def _function(self, definition: Definition) -> int:
        """Give the number of a definition's function; with the first use it is written."""
        func: Any = definition.func
        entry = self._functions.get(id(func))
        if entry is None:
            code = self.dumps_slowly(func, f"the code of task {definition.id!r}")
            entry = self._functions[id(func)] = (self._next_function, func)
            self._next_function += 1
            self.emit(Kind.FUNCTION, pickle.dumps((entry[0], code), 5))
        return entry[0]

    def graph(self, graph: Graph) -> int:
        """Give the number of a graph; with the first use it is written."""
        entry = self._graphs.get(id(graph))
        if entry is None:
            entry = self._graphs[id(graph)] = (self._next_graph, graph)
            self._next_graph += 1
            try:
                nodes = [(*_node_row(n), None if n.task is None else self.row(n.task)) for n in graph.table]
                made = (entry[0], nodes, *_edges(graph), *self.brought(graph))
                self.emit(Kind.GRAPH, self.dumps(made, "a graph that a task made"))
            except BaseException:
                del self._graphs[id(graph)]  # it was not written: the next use must not refer to it
                raise
        return entry[0]

    def brought(self, graph: Graph) -> tuple[Any, ...]:
        """Give what else of a graph is written: nothing, as executors are those of a process."""
        del graph
        return ()

    # -- wishes -----------------------------------------------------------------------------------------------

    def child(self, child: Child) -> Row:
        """Give a wished or called child as data."""
        route = child.route
        return (
            None if child.task is None else self.row(child.task),
            child.number,
            None if child.graph is None else self.graph(child.graph),
            None if route is None else (route.starts, route.inside),
            child.delay,
            child.waits,
            child.awaits_arguments,
        )

    def wishes(self, wishes: Wishes | None) -> Row | None:
        """Give what a body wishes as data."""
        if wishes is None:
            return None
        children: list[Any] | None = wishes.children
        if children is not None:
            if wishes.is_mixed:
                children = [self.child(c) if isinstance(c, Child) else self.rows([c])[0] for c in children]
            else:
                children = self.rows(children)
        jumps = None if wishes.jumps is None else [self.child(c) for c in wishes.jumps]
        again = "same" if wishes.again is SAME else wishes.again
        stop = wishes.stop
        end = None
        if stop is not None:
            error = None if stop.error is None else codec.dumps_error(stop.error)
            end = (stop.kind, stop.value is not UNSET, None if stop.value is UNSET else stop.value, error)
        return (children, wishes.is_mixed, jumps, again, end)

    def handle(self, handle: Any) -> int | None:
        """Give the number of the receiver of called children; it keeps it."""
        if handle is None:
            return None
        if handle.number is None:
            handle.number = self.next_handle
            self.next_handle += 1
        return handle.number


def whole(graph: Graph, live: list[Any] | None) -> bytes:
    """Pickle a graph with the code of its tasks, to be run where the workflow is not at hand.

    Raises:
        NotSerializableError: some code cannot be pickled.
    """
    records: list[tuple[int, bytes]] = []
    encoder = Encoder(NO_GRAPH, {}, live, lambda kind, payload: records.append((int(kind), payload)))
    encoder.graph(graph)
    return pickle.dumps(records, 5)


def place_of(definition: Definition) -> tuple[str, str] | None:
    """Find the module and the qualified name under which a definition's task stands; None if it stands nowhere."""
    func: Any = definition.func
    module, name = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    if not isinstance(name, str) or "<locals>" in name or not isinstance(module, str):
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return (module, name) if is_task(found) and found.definition is definition else None


def options_of(definition: Definition) -> dict[str, Any] | None:
    """Give the options of a definition that differ from those of a plain one; None if none does."""
    values = _options(definition)
    if values == PLAIN_OPTIONS:
        return None
    return {n: v for n, v, plain in zip(OPTIONS, values, PLAIN_OPTIONS, strict=True) if v != plain}


def _node_row(node: Node) -> Row:
    join = node.join
    asked = None if join is None else (join.policy, join.max_concurrency, join.branches, join.members)
    return (node.id, asked, node.groups, node.bounds, node.kind + STAYS * node.stays, node.is_plain)


def _edges(graph: Graph) -> Row:
    plot = graph.plot
    return (graph.successors_of, graph.edges, plot.targets, plot.forks, plot.entries, graph.starts_all)
