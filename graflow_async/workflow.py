"""Workflow: a name, a graph and what its tasks are provided with; the front door to running it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ._lazy import lazily
from .builder import build_graph
from .compose import Chain, Expression, Group, set_alone
from .current import Block, caller, open_block
from .definition import check_id
from .errors import ConfigError, DuplicateTaskError, GraflowRuntimeError
from .graph import Graph
from .options import RunOptions
from .run import Run
from .task import Mapped, Task, is_mapped, is_task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token
    from os import PathLike
    from types import TracebackType
    from typing import Unpack


draw = lazily("graflow_async.draw")
config = lazily("graflow_async.config")


class Workflow:
    """A named graph of tasks. One workflow can run many times, also at once; running never changes it."""

    def __init__(self, name: str, expression: Expression | None = None) -> None:
        """Make a workflow of an expression, or an empty one to be filled in a `with` block.

        Raises:
            DefinitionError: no usable name.
            TypeError: not a task expression.
        """
        check_id(name)
        self.name = name
        self._items: dict[int, Expression] = {}
        self._ids: dict[str, Task[Any, Any]] = {}
        self._instantiated: set[int] = set()
        self._provided: dict[str | type, Any] = {}
        self._graph: Graph | None = None
        self._starts_all = False
        self._tokens: list[Token[Block | None]] = []
        self._last: Run | None = None
        if expression is not None:
            if not isinstance(expression, Expression):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
                message = (
                    f"a workflow is made of tasks, chains and groups, not {type(expression).__name__} {expression!r}"
                )
                raise TypeError(message)
            self._items[id(expression)] = expression

    @classmethod
    def from_config(cls, source: Mapping[str, Any] | str | PathLike[str], registry: Mapping[str, Any]) -> Self:
        """Build a workflow from data: steps that name tasks of `registry` and depend on each other.

        The form is described in `graflow_async.config`. A file is read at once: call this before the loop runs, or in a
        thread. Every enabled step runs, also one without dependencies.

        Args:
            source: a mapping with `name` and `steps`, or the path of a JSON or YAML file (YAML: extra `config`).
            registry: name -> task, or plain function.

        Raises:
            GraphCompilationError: everything that is wrong, each with its place; nothing was built.
            ConfigError: a YAML file, and PyYAML is not installed.
            TypeError: the source is neither, or the registry is no mapping.
        """
        drawing = config.load(source, registry)
        made = cls(drawing.name)
        for item in (*drawing.tasks.values(), *drawing.edges):
            made._items[id(item)] = item
        made._ids.update(drawing.tasks)
        made._starts_all = True
        return made

    # -- definition -------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Open the block: tasks and expressions that are defined inside it join the workflow."""
        self._tokens.append(open_block.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the block."""
        open_block.reset(self._tokens.pop())

    def add_task(self, task: Task[Any, Any] | Mapped[Any]) -> None:
        """Let a task join.

        Raises:
            DuplicateTaskError: its id belongs to another task of the workflow.
        """
        self._graph = None
        if is_mapped(task):
            self._instantiated.add(id(task.task.definition))
        elif task.is_bound:
            self._instantiated.add(id(task.definition))
            self._claim(task)
        else:
            self._claim(task)
        self._items[id(task)] = task

    def add_expression(self, expression: Expression, operands: tuple[Expression, ...]) -> None:
        """Let an expression join; what it is made of no longer stands for itself.

        Raises:
            DuplicateTaskError: the id of a task in it belongs to another task of the workflow.
        """
        self._graph = None
        for operand in operands:
            if isinstance(operand, (Chain, Group)):
                self._items.pop(id(operand), None)
            elif is_task(operand):
                self._claim(operand)
            elif is_mapped(operand):
                self._instantiated.add(id(operand.task.definition))
                self._items.pop(id(operand), None)
        self._items[id(expression)] = expression

    def _claim(self, task: Task[Any, Any]) -> None:
        """Reserve the id of a task; a template gives way to an instance of its own."""
        task_id = task.given_id()
        if task_id is None:
            return
        known = self._ids.get(task_id)
        if known is None or known is task:
            self._ids[task_id] = task
        elif known.definition is task.definition and not known.is_bound:
            self._items.pop(id(known), None)
            self._ids[task_id] = task
        elif known.definition is not task.definition or task.is_bound:
            raise DuplicateTaskError(task_id, known.definition.place, task.definition.place)

    def provide(self, key: str | type, value: Any) -> Self:
        """Register an object for parameters of that name or type; a function or class is called once per run.

        Raises:
            ConfigError: the key is neither a name nor a type.
        """
        if not isinstance(key, (str, type)):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            message = f"provide() takes a parameter name or a type, not {key!r}"
            raise ConfigError(message)
        self._provided[key] = value
        return self

    @property
    def provided(self) -> Mapping[str | type, Any]:
        """What was registered with `provide`."""
        return self._provided

    @property
    def graph(self) -> Graph:
        """The compiled graph.

        Raises:
            DuplicateTaskError: one id, two different tasks.
            GraphCompilationError: a policy does not fit its members.
        """
        if self._graph is None:
            self._graph = build_graph(self._members())
            self._graph.starts_all = self._starts_all
        return self._graph

    def _members(self) -> list[Expression]:
        """List what makes the graph: templates, used only through their instances, are left out."""
        items = list(self._items.values())
        if not self._instantiated:
            return items
        used = _tasks_in(item for item in items if not isinstance(item, Task))
        return [
            item
            for item in items
            if not is_task(item) or item.is_bound or id(item.definition) not in self._instantiated or id(item) in used
        ]

    # -- running ----------------------------------------------------------------------------------------------

    async def run(
        self, start_node: str | Task[Any, Any] | list[Any] | None = None, **options: Unpack[RunOptions]
    ) -> Any:
        """Run the workflow and give its value.

        Raises:
            DefinitionError: the workflow or an option makes no sense; nothing was started.
            BaseException: what a task raised, as it is.
            ParallelGroupError: a group failed by its policy.
            GraflowWorkflowCanceledError: a task cancelled the run.
        """
        return await self._new_run(start_node, options, watched=False).value()

    def start(self, start_node: str | Task[Any, Any] | list[Any] | None = None, **options: Unpack[RunOptions]) -> Run:
        """Give a handle on a run that `async with` starts; the arguments are those of `run`.

        Raises:
            DefinitionError: the workflow or an option makes no sense.
        """
        return self._new_run(start_node, options, watched=True)

    def execute(self, start_node: str | Task[Any, Any] | list[Any] | None = None, **options: Unpack[RunOptions]) -> Any:
        """Run the workflow from plain code and give its value; in a sync task it runs on the run's own loop.

        Raises:
            GraflowRuntimeError: called on a running event loop.
            BaseException: as `run`.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            message = f"workflow {self.name!r}: execute() would block the running event loop; write `await wf.run()`"
            raise GraflowRuntimeError(message)
        call = partial(self.run, start_node, **options)
        parent = caller()
        if parent is not None:
            return parent.block(call)
        return asyncio.run(call())

    def get_result(self, task_id: str, default: Any = None) -> Any:
        """Give a task's result: of the current run inside a task, else of the last finished run."""
        parent = caller()
        if parent is not None and parent.graph is self._graph:
            return parent.results.get(task_id, default)
        return self._last.results.get(task_id, default) if self._last is not None else default

    def _new_run(self, start_node: Any, options: RunOptions, *, watched: bool) -> Run:
        """Make a run; a task that is named as the start of an empty workflow is the workflow."""
        graph = self.graph
        if not graph.table and isinstance(start_node, Expression):
            graph = build_graph([start_node])
            start_node = None
        run = Run(self.name, graph, self._provided, start_node, options, watched=watched)
        run.on_end(self._remember)
        return run

    def _remember(self, run: Run) -> None:
        """Keep the last finished run for `get_result`."""
        self._last = run

    # -- looking at it ----------------------------------------------------------------------------------------

    def to_mermaid(self) -> str:
        """Draw the graph as Mermaid text."""
        return draw.to_mermaid(self.graph)

    def to_dot(self) -> str:
        """Draw the graph in Graphviz's language."""
        return draw.to_dot(self.graph, self.name)

    def to_ascii(self) -> str:
        """Draw the graph as plain text."""
        return draw.to_ascii(self.graph)

    def to_svg(self) -> str:
        """Draw the graph as SVG."""
        return draw.to_svg(self.graph, self.name)

    def show_info(self) -> None:
        """Print name, size, drawing and cycles."""
        graph = self.graph
        print(f"=== Workflow {self.name} ===")
        print(f"{len(graph.nodes)} nodes, {len(graph.edges)} edges")
        print(self.to_ascii())
        cycles = graph.cycles
        print("cycles: " + ("none" if not cycles else "; ".join(" -> ".join(cycle) for cycle in cycles)))

    def visualize_dependencies(self) -> None:
        """Print one line for each node with what follows it."""
        graph = self.graph
        print(f"=== Dependencies of {self.name} ===")
        for node in graph.nodes:
            after = graph.successors(node)
            print(f"{node} >> {', '.join(after)}" if after else f"{node} (nothing follows)")

    def _repr_html_(self) -> str:
        """Draw the graph in a notebook."""
        return draw.to_html(self.graph, self.name)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Give a notebook the drawing in the forms that it can choose from."""
        _ = include, exclude
        return {"image/svg+xml": self.to_svg(), "text/html": self._repr_html_(), "text/plain": self.to_ascii()}

    def __repr__(self) -> str:
        """Show the name and the size."""
        return f"<Workflow {self.name!r}: {len(self._items)} items>"


def workflow(name: str) -> Workflow:
    """Make a workflow to be filled in a block.

    What is defined inside `with workflow("name") as wf:` joins it.
    """
    return Workflow(name)


def _tasks_in(expressions: Any) -> set[int]:
    """Collect the identities of the tasks that stand in some expressions."""
    found: set[int] = set()
    stack = list(expressions)
    while stack:
        item = stack.pop()
        if isinstance(item, Chain):
            stack.extend(item.parts)
        elif isinstance(item, Group):
            stack.extend(item.members)
        elif is_task(item):
            found.add(id(item))
    return found


async def _run_alone(expression: Expression) -> Any:
    """Run an expression outside of any run, as a workflow of its own."""
    name = "run"
    if is_task(expression):
        name = expression.definition.id
    return await Workflow(name, expression).run()


set_alone(_run_alone)
