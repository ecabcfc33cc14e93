"""Reading orders in another process than that of the run: its code, its graphs, and which of its tasks may run here."""

from __future__ import annotations

import pickle
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..definition import Definition
from ..errors import NotSerializableError, SecurityError
from ..graph import Graph
from ..task import Task, is_task
from .decoding import Decoder, make_task
from .encoding import NO_GRAPH, ROOT, Row
from .far_link import far_scope
from .orders import MANAGER, STAGE, Order, Stage
from .within import loaded

if TYPE_CHECKING:
    from collections.abc import Sequence


NOT_HERE = "(not allowed here)"  # id of what stands for a task that this process must not run


class FarDecoder(Decoder):
    """A decoder for which a task is the same object wherever it is spoken of: in a graph, or in the code of another.

    So `ctx.next_task(task)` finds the node of the graph, and a task that stands in a module is the one that stands
    there.
    """

    def __init__(
        self, graph: Graph, known: dict[tuple[Definition, str], list[Task[Any, Any]]], allowed: Sequence[str] | None
    ) -> None:
        """Know a graph, and the tasks of the run so far; of others than `allowed` modules nothing is imported."""
        super().__init__(graph, {}, None)
        self._known = known
        self._allowed = allowed
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

    def _find(self, number: int, found_by: Row) -> Definition:
        if self._allowed is not None and found_by[0] != "node" and not self._is_allowed(found_by):
            return Definition(NOT_HERE, None, {})
        return super()._find(number, found_by)

    def _is_allowed(self, found_by: Row) -> bool:
        """Say whether a task stands in one of the modules whose tasks may run here; one that came by value does not."""
        how, module = found_by[0], found_by[1]
        names = self._allowed or ()
        return how == "import" and any(module == name or module.startswith(f"{name}.") for name in names)

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

    def __init__(self, allowed: Sequence[str] | None = None) -> None:
        """Know nothing yet; with `allowed` only tasks of these modules, and of those inside them, can be read."""
        self._allowed = allowed
        self._decoder: FarDecoder | None = None
        self._tasks: dict[tuple[Definition, str], list[Task[Any, Any]]] = {}
        self._managers: list[Any] = []
        self._stages: list[Stage] = []
        self._scopes: list[Any] = []
        self.known = 0

    def learn(self, records: list[bytes]) -> None:
        """Take the next pieces of code; only bytes whose signature was checked.

        Raises:
            CheckpointError: something of it cannot be loaded here.
        """
        for record in records:
            kind, payload = pickle.loads(record)
            if self._decoder is None:
                self._decoder = FarDecoder(self._load_whole(payload), self._tasks, self._allowed)
            elif kind == MANAGER:
                self._managers.append(self._decoder.loads(payload))
            elif kind == STAGE:
                stage = Stage(*self._decoder.loads(payload))
                manager = None if stage.manager is None else self._managers[stage.manager]
                graph = self._decoder.graph if stage.graph == ROOT else self._decoder.graph_by(stage.graph)
                self._stages.append(stage._replace(manager=manager))
                self._scopes.append(far_scope(stage.scope, graph, stage.workflow))
            else:
                self._decoder.learn(kind, payload)
            self.known += 1

    def _load_whole(self, data: bytes) -> Graph:
        decoder = FarDecoder(NO_GRAPH, self._tasks, self._allowed)
        for kind, payload in decoder.loads(data):
            decoder.learn(kind, payload)
        return decoder.graph_by(ROOT + 1)

    def read(self, body: bytes) -> tuple[Order, Any, Any]:
        """Give an order, what stands for its run on this side, and its task.

        Raises:
            CheckpointError: something of it cannot be loaded here.
            SecurityError: the task is of none of the allowed modules.
        """
        decoder = self._decoder
        if decoder is None:
            raise NotSerializableError("an order came before the graph of its run")
        number, *rest = decoder.loads(body)
        order = Order(self._stages[number], *rest)
        if order.around is not None:
            order = order._replace(around=loaded(decoder.loads, order.around, order.task_id))
        task = decoder.task(order.task)
        if task is not None and task.definition.func is None and task.definition.id == NOT_HERE:
            names = ", ".join(self._allowed or ())
            raise SecurityError(
                f"task {order.task_id!r} stands in none of the modules that this worker allows: {names}"
            )
        return order, self._scopes[number], task


def _is_same(left: Any, right: Any) -> bool:
    with suppress(Exception):  # arrays refuse, and a user's __eq__ may do anything
        return bool(left == right)
    return False
