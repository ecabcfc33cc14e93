"""What an attempt of a body is as bytes, so that it can run elsewhere; and what has come of it."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from .._core.state import Instance
from ..checkpointer import Kind
from ..errors import NotSerializableError
from ..graph import Graph
from .decoding import Decoder, load_whole, make_task
from .encoding import ROOT, Encoder, whole
from .link import Link


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
        scope: number of the child run that it belongs to, 0 for the run itself.
        graph: number of that one's graph.
        task: the task, as data.
        task_id, key, attempt, turn: of the instance.
        place: where in the run it stands, in words.
        args, kwargs: what the function is called with.
        steps: values of steps that were recorded in earlier attempts.
        has_gates: whether it holds slots of the run's limits.
        gates, executors: names of what the run has.
        has_memory: whether the run keeps a journal.
    """

    run_id: str
    workflow: str
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
    has_memory: bool


class OrderWriter:
    """Makes the orders of one run; what they speak of (code, graphs) is numbered once, and kept in `code`.

    Attributes:
        code: pickled (kind, payload) pairs, in order; the first is the run's own graph.
    """

    def __init__(self, graph: Graph) -> None:
        """Begin with the graph of a run.

        Raises:
            NotSerializableError: some code of it cannot be pickled.
        """
        self.code: list[bytes] = [pickle.dumps((-1, whole(graph, None)), 5)]
        self._encoder = Encoder(
            graph, {}, None, lambda kind, payload: self.code.append(pickle.dumps((kind, payload), 5))
        )

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
        task = instance.task
        is_bound = bool(task.args or task.kwargs)
        row = encoder.row(make_task(task.definition, (), None, task.given_id()) if is_bound else task)
        order = Order(
            link.run_id,
            instance.scope.name,
            instance.scope.key,
            encoder.graph(instance.scope.graph),
            row,
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
            link.memory is not None,
        )
        body = encoder.dumps(tuple(order), f"what task {instance.id!r} is called with")
        return pickle.dumps((len(self.code), body), 5)


class OrderReader:
    """Reads the orders of one run, elsewhere."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._decoder: Decoder | None = None
        self.known = 0

    def learn(self, records: list[bytes]) -> None:
        """Take the next pieces of code; only bytes whose signature was checked."""
        for record in records:
            kind, payload = pickle.loads(record)
            if self._decoder is None:
                self._decoder = Decoder(load_whole(payload, None), {}, None)
            elif kind == Kind.CODE:
                self._decoder.learn_code(payload)
            elif kind == Kind.FUNCTION:
                self._decoder.learn_function(payload)
            else:
                self._decoder.learn_graph(payload)
            self.known += 1

    def read(self, body: bytes) -> tuple[Order, Graph, Any]:
        """Give an order, the graph that its body sees, and its task.

        Raises:
            CheckpointError: something of it cannot be loaded here.
        """
        decoder = self._decoder
        if decoder is None:
            raise NotSerializableError("an order came before the graph of its run")
        order = Order(*decoder.loads(body))
        graph = decoder.graph if order.graph == ROOT else decoder.graph_by(order.graph)
        return order, graph, decoder.task(order.task)


def needs(order: bytes) -> tuple[int, bytes]:
    """Give how many pieces of code an order needs, and the rest of it; only for bytes whose signature was checked."""
    count, body = pickle.loads(order)
    return count, body


def _is_question(key: Any) -> bool:
    return isinstance(key, tuple) and key[:1] in (("question",), ("event",))  # pyright: ignore[reportUnknownVariableType]
