"""What a journal reads: bytes that `encoding` has written become facts, tasks and graphs again.

Where the workflow is given, its own tasks stand in for those that were recorded: the code is then today's.
"""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING, Any

from .._core.wishes import SAME, UNSET, Child, Stop, Wishes
from .._lazy import lazily
from ..checkpointer import Kind
from ..definition import Definition
from ..errors import CheckpointError, GraphChangedError, text_of
from ..graph import STAYS, Graph, Join, Node
from ..task import Task, is_task
from .encoding import NO_GRAPH, PLAIN, ROOT, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

by_reference = lazily("graflow_async._runtime.pickling")
codec = lazily("graflow_async.codec")
_new = object.__new__
EDGES = 6  # parts of a graph that say where its edges are


class Decoder:
    """Turns bytes into parts of a run.

    Attributes:
        graph: the run's own graph: the workflow's if it was given, else the recorded one.
        codes, definitions, graphs: what was recorded, by number; definitions as they were asked for.
        live: where definitions are kept as they are, if the journal never leaves its process.
        children: gives the handle of a called child by its key, for handles that were arguments.
    """

    def __init__(
        self,
        graph: Graph,
        templates: Mapping[str, Definition],
        live: list[Any] | None,
        *,
        is_told_only: bool = False,
    ) -> None:
        """Know the workflow by its graph and its definitions; with `is_told_only` tasks that are gone do not matter."""
        self._is_told_only = is_told_only
        self.graph = graph
        self._templates = templates
        self.live = live
        self.codes: dict[int, Row] = {}
        self.functions: dict[int, Any] = {}
        self.definitions: dict[int, Definition] = {}
        self.graphs: dict[int, Graph] = {ROOT: graph}
        self.children: Callable[[int], Any] = _no_child

    def loads(self, data: bytes) -> Any:
        """Unpickle what `Encoder.dumps` gave.

        Raises:
            CheckpointError: it cannot be unpickled here; the message says why.
        """
        try:
            if data[:1] == b"P":
                return by_reference.loads(data[1:], self._resolve)
            return pickle.loads(data)
        except CheckpointError:
            raise
        except Exception as error:
            message = f"a recorded value cannot be loaded here: {type(error).__name__}: {text_of(error)}"
            raise CheckpointError(message) from error

    def learn(self, kind: int, payload: bytes) -> None:
        """Take a CODE, FUNCTION or GRAPH record."""
        if kind == Kind.CODE:
            self.learn_code(payload)
        elif kind == Kind.FUNCTION:
            self.learn_function(payload)
        else:
            self.learn_graph(payload)

    def learn_code(self, payload: bytes) -> None:
        """Take a CODE record."""
        number, *found_by = self.loads(payload)
        self.codes[number] = tuple(found_by)

    def learn_function(self, payload: bytes) -> None:
        """Take a FUNCTION record."""
        number, code = self.loads(payload)
        self.functions[number] = code

    def learn_graph(self, payload: bytes) -> None:
        """Take a GRAPH record."""
        number, nodes, *edges = self.loads(payload)
        made = graph_of([(*row[:-1], self.task(row[-1])) for row in nodes], tuple(edges[:EDGES]))
        if len(edges) > EDGES:
            made.executors = edges[EDGES]
        self.graphs[number] = made

    # -- parts ------------------------------------------------------------------------------------------------

    def definition(self, number: int) -> Definition:
        """Give a definition by its number.

        Raises:
            GraphChangedError: it has gone.
        """
        known = self.definitions.get(number)
        if known is None:
            known = self._find(number, self.codes[number])
            self.definitions[number] = known
        return known

    def _find(self, number: int, found_by: Row) -> Definition:
        how, name = found_by[0], ".".join(map(str, found_by[1:3])) if found_by[0] == "import" else repr(found_by[1])
        code: bytes | None = None
        found: Definition | None = None
        if how == "live":
            if self.live is None:
                message = "this run was recorded in memory, by a process that has ended"
                raise CheckpointError(message)
            return self.live[found_by[1]]
        if how == "node":
            place = self.graph.numbers.get(found_by[1])
            task = None if place is None else self.graph.table[place].task
            found = None if task is None else task.definition
        elif how == "template":
            found, code = self._templates.get(found_by[1]), found_by[2]
        elif how == "import":
            found = find_place(found_by[1], found_by[2])
            code = found_by[3] if len(found_by) > 3 else None  # (how, module, name, code)
        else:
            code = found_by[1]
        if found is not None:
            return found
        if code is None and self._is_told_only:
            return Definition(name.strip("'\""), None, {})
        if code is None:
            message = f"the run used the task {name}, which is not to be found any more"
            raise GraphChangedError(message, [f"task {name} is gone"])
        made = self.definitions[number] = _new(Definition)  # known at once: its code may speak of its own task
        for name in Definition.__slots__:
            setattr(made, name, getattr(PLAIN, name))
        function, made.id, given = self.loads(code)
        options: dict[str, Any] = given or {}
        for name, value in options.items():
            setattr(made, name, value)
        made.func = self._function(function)
        return made

    def _function(self, number: int) -> Any:
        """Give a function by its number."""
        found = self.functions[number]
        if isinstance(found, bytes):
            found = self.functions[number] = self.loads(found)
        return found

    def task(self, row: int | Row | None) -> Task[Any, Any] | None:
        """Make a task again; the root graph's nodes are themselves."""
        if row is None:
            return None
        if isinstance(row, int):
            return self.graph.table[row].task
        number, args, kwargs, task_id = row[:4]
        return make_task(self.definition(number), args, kwargs, task_id)

    def tasks(self, rows: list[Row]) -> list[tuple[Task[Any, Any], int]]:
        """Make tasks with their automatic numbers again."""
        return [(make_task(self.definition(d), args, kwargs, name), n) for d, args, kwargs, name, n in rows]

    def child(self, row: Row) -> Child:
        """Make a wished or called child again."""
        task, number, graph_number, walk, delay, waits, awaits = row
        graph = None if graph_number is None else self.graphs[graph_number]
        route = None if walk is None or graph is None else graph.route(*walk)
        child = Child(self.task(task), number, graph, route, delay=delay, waits=waits)
        child.awaits_arguments = awaits
        return child

    def wishes(self, row: Row | None) -> Wishes | None:
        """Make the wishes of a body again."""
        if row is None:
            return None
        children, is_mixed, jumps, again, end = row
        wishes = Wishes()
        if children is not None:
            if is_mixed:  # a child has seven parts, a task five
                wishes.children = [self.child(c) if len(c) == 7 else self.tasks([c])[0] for c in children]
            else:
                wishes.children = list(self.tasks(children))
            wishes.is_mixed = is_mixed
        if jumps is not None:
            wishes.jumps = [self.child(c) for c in jumps]
        if again is not None:
            wishes.again = SAME if again == "same" else again
        if end is not None:
            kind, is_set, value, error = end
            loaded = None if error is None else codec.loads_error(error)
            wishes.stop = Stop(kind, value if is_set else UNSET, loaded)
        return wishes

    def graph_by(self, number: int) -> Graph:
        """Give a graph by its number."""
        return self.graphs[number]

    def _resolve(self, reference: Any) -> Any:
        """Give what a reference of the slow pickler stands for."""
        kind, *rest = reference
        if kind in ("unset", "same"):
            return UNSET if kind == "unset" else SAME
        if kind == "task":
            return self.task(rest[0])
        if kind == "definition":
            return self.definition(rest[0])
        if kind == "graph":
            return self.graphs[rest[0]]
        if kind == "child":
            return self.children(rest[0])
        raise pickle.UnpicklingError(f"unknown reference {kind!r}")


def load_whole(data: bytes, live: list[Any] | None, *, is_told_only: bool = False) -> Graph:
    """Make the graph again that `encoding.whole` has pickled; with `is_told_only` without the tasks that are gone.

    Raises:
        CheckpointError: its code cannot be loaded here.
    """
    decoder = Decoder(NO_GRAPH, {}, live, is_told_only=is_told_only)
    for kind, payload in decoder.loads(data):
        decoder.learn(kind, payload)
    return decoder.graph_by(ROOT + 1)


def find_place(module: str, name: str) -> Definition | None:
    """Find the definition of the task that stands under a name of a module, importing the module if need be."""
    found: Any = sys.modules.get(module)
    if found is None:
        try:
            __import__(module)
        except ImportError:
            return None
        found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found.definition if is_task(found) else None


def make_task(
    definition: Definition, args: tuple[Any, ...], kwargs: dict[str, Any] | None, task_id: str | None
) -> Task[Any, Any]:
    """Make a task with bound arguments."""
    task: Any = object.__new__(Task)  # pyright: ignore[reportUnknownVariableType]
    task.definition = definition
    task.args = args
    task.kwargs = kwargs
    task._id = task_id
    task._is_method = False
    return task


def graph_of(nodes: list[Row], edges: Row) -> Graph:
    """Make a compiled graph again from its tables."""
    table: list[Node] = []
    for number, (node_id, asked, groups, bounds, kind, is_plain, task) in enumerate(nodes):
        join = None
        if asked is not None:
            join = Join(asked[0], asked[1])
            join.branches, join.members = asked[2], asked[3]
        node = Node(number, node_id, task, join)
        node.groups, node.bounds, node.kind, node.is_plain = groups, bounds, kind.removesuffix(STAYS), is_plain
        node.stays = kind.endswith(STAYS)
        table.append(node)
    successors, drawn, targets, forks, entries, starts_all = edges
    graph = Graph(table, [list(row) for row in successors], drawn, targets, forks, entries)
    graph.starts_all = starts_all
    return graph


def _no_child(key: int) -> Any:
    message = f"the called child {key} is not known"
    raise CheckpointError(message)
