"""The verbs of a context that take note and return at once; they are the same in async and sync tasks."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._core.state import Instance
from .._core.wishes import SAME, UNSET, Child, Stop, Wishes
from .._runtime.calls import ChildHandle
from .._runtime.link import Link, child_of
from .._runtime.paths import idempotency_key
from .._runtime.ports import Memory
from ..builder import build_graph
from ..compose import Expression
from ..errors import (
    BindingError,
    ConfigError,
    DuplicateTaskError,
    GraflowRuntimeError,
    GraflowWorkflowCanceledError,
    GraphCompilationError,
)
from ..graph import Graph
from ..policy import require_number
from ..task import Task, is_mapped, is_task
from .given import Given

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

_log = logging.getLogger("graflow_async.task")


class PlainContext(Given):
    """Who am I, what do I wish for next.

    Wishes take effect together when the task returns, and not at all when the attempt raises.

    Attributes:
        face: the context that the task has, if this one only serves it.
        wishes: what was wished so far; None for nothing.
        failures: called children that failed.
    """

    calls_run = False
    face: PlainContext | None = None
    wishes: Wishes | None
    _counts: dict[str, int] | None = None
    _ids: dict[str, Any] | None
    failures: list[ChildHandle[Any]] | None
    _local_data: dict[str, Any] | None = None
    _runs = 0
    _sleeps = 0

    def __init__(self, link: Link, instance: Instance) -> None:
        """See the run through `link`, as `instance`."""
        self._link = link
        self._instance = instance
        # Every body is asked for these: what is set is quicker to read than a default in the class.
        self.wishes = None
        self.failures = None
        self._ids = None

    # -- who am I ---------------------------------------------------------------------------------------------

    @property
    def task_id(self) -> str:
        """The id of this task."""
        return self._instance.id

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._link.run_id

    @property
    def session_id(self) -> str:
        """The same as `run_id`."""
        return self._link.run_id

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._instance.attempt

    @property
    def retry_count(self) -> int:
        """How often this turn was repeated, from 0."""
        return self._instance.attempt - 1

    @property
    def cycle_count(self) -> int:
        """Number of this turn, from 1."""
        return self._instance.turn

    @property
    def max_cycles(self) -> int:
        """How many turns this task may have."""
        return self._instance.task.definition.max_cycles

    def can_iterate(self) -> bool:
        """Say whether `next_iteration` is still within `max_cycles`."""
        return self._instance.turn < self.max_cycles

    @property
    def graph(self) -> Graph:
        """The graph of the workflow."""
        return self._instance.scope.graph

    @property
    def results(self) -> Mapping[str, Any]:
        """Task id -> latest result, of the whole run."""
        return self._instance.scope.results

    def is_of(self, graph: Graph | None, name: str) -> bool:
        """Say whether its workflow is that of a graph; of that name, where its run is elsewhere and graphs are copies.

        Args:
            graph: of the workflow; None if it has not been made.
            name: of the workflow.
        """
        return self.graph is graph or (self._link.is_far and self._instance.scope.name == name)

    @property
    def local_data(self) -> dict[str, Any]:
        """A dict for this attempt alone."""
        if self._local_data is None:
            self._local_data = {}
        return self._local_data

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry `run_id` and `task_id`."""
        return logging.LoggerAdapter(_log, {"run_id": self.run_id, "task_id": self.task_id})

    @property
    def idempotency_key(self) -> str:
        """A text that is the same for every attempt of this turn, also after a resume; for calls to the outside."""
        return idempotency_key(self._link.run_id, self._instance)

    @property
    def is_cancelled(self) -> bool:
        """Whether this task was told to stop; a sync task that takes long should look at it."""
        return self._instance.doomed

    def elapsed_time(self) -> float:
        """Give the seconds since this attempt began."""
        return monotonic() - self._instance.started_at

    def emit(self, data: Any) -> None:
        """Tell listeners something."""
        instance = self._instance
        self._link.tell(lambda notifier: notifier.emitted(instance, data))

    def report_progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell listeners how far this task is."""
        instance = self._instance
        self._link.tell(lambda notifier: notifier.progress(instance, done, total, message))

    # -- wishes -----------------------------------------------------------------------------------------------

    def next_task(
        self, expression: Expression, *, goto: bool = False, wait: bool = True, delay: float | None = None
    ) -> str:
        """Run something after this task: before its successors, or with `goto=True` instead of them.

        Args:
            expression: a task, chain, group or any expression, new or already in the graph.
            goto: skip the normal successors.
            wait: False detaches it: nobody waits for it but the run.
            delay: seconds before it starts.

        Returns:
            The id of the (first) task.

        Raises:
            DuplicateTaskError: its id belongs to a different task.
            ConfigError: a negative delay, or a limit or executor that the run does not have.
        """
        wishes = self.wishes
        if wishes is None:
            wishes = self.wishes = Wishes()
        if expression.__class__ is Task and not goto and wait and delay is None:
            task: Any = expression
            definition = task.definition
            if not definition.is_free:
                self._link.check(definition)
            task_id = task._id
            children = wishes.children
            if children is None:
                children = wishes.children = []
            if task_id is None:
                name = definition.id
                counts = self._counts
                if counts is None:
                    counts = self._counts = {}
                number = counts.get(name) or self._instance.scope.graph.last_number(name)
                number += 1
                task_id = f"{name}_{number}"
                if self._ids is not None and task_id in self._ids:
                    number = self.count(name)
                    task_id = f"{name}_{number}"
                else:
                    counts[name] = number
                children.append((task, number))
                return task_id
            if task_id not in self._instance.scope.graph.numbers:
                self.claim(task_id, task)
                children.append((task, 0))
                return task_id
        if delay is not None:
            require_number("delay", delay)
        child, name = self._child(expression)
        child.delay = delay
        child.waits = wait
        if not goto:
            if wishes.children is None:
                wishes.children = []
            wishes.children.append(child)
            wishes.is_mixed = True
            return name
        if wishes.again is not None:
            raise GraflowRuntimeError(f"task {self.task_id!r} asks for another turn and for a jump; choose one")
        wishes.jumps = [*(wishes.jumps or ()), child]
        return name

    def next_iteration(self, data: Any = None, /, **kwargs: Any) -> None:
        """Run this task again; `data` goes to its first parameter, or is a bound task whose arguments count.

        Raises:
            TypeError: a bound task of another definition.
            BindingError: the data fit no parameter.
            GraflowRuntimeError: a jump was asked for in the same turn.
        """
        wishes = self.wishes
        if wishes is None:
            wishes = self.wishes = Wishes()
        elif wishes.jumps:
            raise GraflowRuntimeError(f"task {self.task_id!r} asks for a jump and for another turn; choose one")
        wishes.again = SAME if data is None and not kwargs else self._turn_arguments(data, kwargs)

    def terminate_workflow(self, message: str | None = None, *, result: Any = UNSET) -> None:
        """End the run successfully once this task returns; its value is `result`, else what this task returns."""
        if self.wishes is None:
            self.wishes = Wishes()
        if self.wishes.stop is None or self.wishes.stop.kind != "cancelled":
            self.wishes.stop = Stop("terminated", result)
        if message:
            _log.info("task %r terminates the run: %s", self.task_id, message)

    def cancel_workflow(self, message: str | None = None, *, error: str | BaseException | None = None) -> None:
        """End the run with GraflowWorkflowCanceledError once this task returns; `message` or `error` is the reason."""
        if self.wishes is None:
            self.wishes = Wishes()
        reason = message if message is not None else (str(error) if error is not None else None)
        cancelled = GraflowWorkflowCanceledError(reason, self.task_id)
        if isinstance(error, BaseException):
            cancelled.__cause__ = error
        self.wishes.stop = Stop("cancelled", error=cancelled)

    def parked(self) -> AbstractAsyncContextManager[None]:
        """Hold no slot while the block runs: this task waits for somebody."""
        return self._link.scheduler.parked(self._instance)

    # -- for the runtime --------------------------------------------------------------------------------------

    def count(self, name: str) -> int:
        """Give the next number for an automatic id made of `name`, counted per parent."""
        counts = self._counts
        if counts is None:
            counts = self._counts = {}
        number = (counts.get(name) or self._instance.scope.graph.last_number(name)) + 1
        while self._ids is not None and f"{name}_{number}" in self._ids:
            number += 1
        counts[name] = number
        return number

    def count_many(self, name: str, number: int) -> int:
        """Take `number` numbers in a row for automatic ids made of `name`; give the first."""
        counts = self._counts
        if counts is None:
            counts = self._counts = {}
        first = (counts.get(name) or self._instance.scope.graph.last_number(name)) + 1
        counts[name] = first + number - 1
        return first

    def require_memory(self) -> Memory:
        """Give what keeps things across processes.

        Raises:
            ConfigError: the run keeps no journal.
        """
        if self._link.memory is None:
            raise ConfigError("a checkpoint needs a journal to be taken of: run with checkpoint_dir='./checkpoints'")
        return self._link.memory

    def refuse_late(self, what: str) -> None:
        """Refuse to act for an attempt that is over.

        Raises:
            GraflowRuntimeError: it is.
        """
        self._link.refuse_late(self._instance, self.face or self, what)

    def unawaited_failure(self) -> BaseException | None:
        """Give what a called child raised that nobody looked at."""
        for handle in self.failures or ():
            if not handle.is_seen:
                return handle.exception()
        return None

    def claim(self, task_id: str, task: Task[Any, Any], *, by_function: bool = False) -> None:
        """Reserve an id among the children of this turn; `by_function` lets tasks of one function share it.

        Raises:
            DuplicateTaskError: it belongs to a different task.
        """
        other = self._instance.scope.graph.resembles(task)
        if other is not None:
            place = other.task.definition.place if other.task is not None else "a group"
            raise DuplicateTaskError(task_id, place, task.definition.place)
        if self._ids is None:
            self._ids = {}
        known = self._ids.setdefault(task_id, task)
        base, _, number = task_id.rpartition("_")
        taken = number.isdigit() and self._counts is not None and 0 < int(number) <= self._counts.get(base, 0)
        same = known is task or (by_function and known.definition.func is task.definition.func)
        if taken or not same:
            raise DuplicateTaskError(task_id, known.definition.place, task.definition.place)

    def _child(self, expression: Expression) -> tuple[Child, str]:
        """Make the child for any expression: a node of the graph with what lies behind it, or something new."""
        if is_mapped(expression):
            expression = expression.node
        graph = self._instance.scope.graph
        if is_task(expression):
            node = graph.find(expression)
            if node is not None:
                return Child(graph=graph, route=graph.start_anywhere(node.number)), node.id
            other = graph.resembles(expression)
            if other is not None:
                place = other.task.definition.place if other.task is not None else "a group"
                raise DuplicateTaskError(other.id, place, expression.definition.place)
            self._link.check(expression.definition)
            child = child_of(expression, self.count)
            if not child.number:
                self.claim(expression.id, expression)
            return child, expression.id if not child.number else f"{expression.definition.id}_{child.number}"
        if not isinstance(expression, Expression):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            raise TypeError(f"next_task runs a task, chain or group, not {type(expression).__name__} {expression!r}")
        new = build_graph([expression], self.count)
        self._link.check_graph(new)
        for node in new.table:
            if node.task is not None and self._ids is not None and self._ids.get(node.id, node.task) is not node.task:
                raise DuplicateTaskError(node.id, self._ids[node.id].definition.place, node.task.definition.place)
            other = graph.resembles(node.task) if node.task is not None else None
            if other is not None and node.task is not None:
                place = other.task.definition.place if other.task is not None else "a group"
                raise DuplicateTaskError(other.id, place, node.task.definition.place)
        try:
            return Child(graph=new, route=new.route(new.roots())), new.nodes[0]
        except GraphCompilationError as error:
            raise GraphCompilationError(f"next_task({expression!r}): {error}") from None

    def _turn_arguments(self, data: Any, kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Put the arguments of the next turn together."""
        task = self._instance.task
        if is_task(data):
            bound = data
            if bound.definition is not task.definition:
                raise TypeError(
                    f"next_iteration({bound!r}) in task {self.task_id!r}: that is another task; use next_task"
                )
            return bound.args, dict(bound.kwargs or {})
        plan = task.definition.plan
        named = dict(zip(plan.positional, task.args, strict=False)) | (task.kwargs or {})
        if data is not None:
            if not plan.parameters:
                raise BindingError(f"next_iteration({data!r}): task {self.task_id!r} has no parameter to take the data")
            named[plan.parameters[0].name] = data
        plan.check((), kwargs)
        return (), named | kwargs
