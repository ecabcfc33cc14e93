"""Workflow: a name, a graph and what its tasks are provided with; the front door to running it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ._lazy import lazily
from .builder import build_graph
from .compose import Chain, Expression, Group, set_alone
from .current import Block, caller, is_on_loop, open_block
from .definition import Definition, check_id
from .drawn import Drawn
from .errors import ConfigError, DuplicateTaskError, GraflowRuntimeError
from .graph import Graph
from .options import check_options
from .run import Run
from .task import Mapped, Task, is_mapped, is_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextvars import Token
    from os import PathLike
    from types import TracebackType
    from typing import Unpack

    from .context.prompting import PromptManager
    from .distribution import ExecutionContext
    from .keywords import RunOptions
    from .recovery import Plan

config = lazily("graflow_async.config")
_distribution = lazily("graflow_async.distribution")
_keeping = lazily("graflow_async.keeping")
_keywords = lazily("graflow_async.keywords")  # for its types
_prompting = lazily("graflow_async.context.prompting")
_recovery = lazily("graflow_async.recovery")


class Workflow(Drawn):
    """A named graph of tasks. One workflow can run many times, also at once; running never changes it."""

    def __init__(
        self,
        name: str,
        expression: Expression | None = None,
        *,
        prompt_manager: PromptManager | None = None,
        execution_context: ExecutionContext | None = None,
    ) -> None:
        """Make a workflow of an expression, or an empty one to be filled in a `with` block.

        Args:
            name: what to call it.
            expression: what it is made of.
            prompt_manager: `ctx.prompt_manager` in its tasks and in their child runs, and the value of parameters of
                that name.
            execution_context: options of all its runs; those of a run itself count before them.

        Raises:
            DefinitionError: no usable name, or a prompt manager or an execution context that is none.
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
        self._last: Mapping[str, Any] = {}
        if prompt_manager is not None:
            self._provided["prompt_manager"] = _prompting.require_prompt_manager(prompt_manager)
        self._execution_context = None
        if execution_context is not None:
            self._execution_context = _distribution.require_execution_context(execution_context)
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
            self._graph.settle()
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
        if is_on_loop():
            message = f"workflow {self.name!r}: execute() would block the running event loop; write `await wf.run()`"
            raise GraflowRuntimeError(message)
        call = partial(self.run, start_node, **options)
        parent = caller()
        if parent is not None:
            return parent.block(call)
        return asyncio.run(call())

    async def resume(
        self,
        source: str | PathLike[str],
        *,
        allow_changes: bool = False,
        interrupted: Mapping[str, Any] | str | None = None,
        **options: Unpack[RunOptions],
    ) -> Any:
        """Go on with a recorded run, or with a named checkpoint, and give its value.

        What had completed is not run again, what was in flight starts again; the tasks that made the run fail are tried
        again. A run that has completed gives its recorded value.

        Args:
            source: the run's id, or the path of a checkpoint: where that run is not recorded here itself, it goes on
                under its own id, else as a run of its own.
            allow_changes: go on although the workflow is another one: keep what is still valid, run the rest.
            interrupted: what to do with tasks that have `on_crash="fail"` and had begun: "retry", or id -> result.
            options: those of `run`; where the run is kept is told by `checkpoint_dir` or `checkpointer` (else files in
                `./checkpoints`). Limits that are not given stay as they were.

        Raises:
            UnknownRunError: there is no such run or checkpoint.
            RunLockedError: it is running elsewhere.
            GraphChangedError: the workflow has changed, and `allow_changes` is not set.
            TaskInterruptedError: a task that must not run twice had begun.
            CheckpointError: the records cannot be used here.
            BaseException: as `run`.
        """
        return await _recovery.resume(self, str(source), options, allow_changes=allow_changes, interrupted=interrupted)

    async def fork(
        self, source: str | PathLike[str], at: int | str | None = None, **options: Unpack[RunOptions]
    ) -> Any:
        """Run a new run that begins with what another one had recorded up to a step, and give its value.

        Args:
            source: a run's id, or the path of a checkpoint.
            at: how many steps (bodies that returned) are taken over, or the id of the task whose last step is the last
                one; None for all.
            options: those of `run`; `inputs` are written into the new run's channel.

        Raises:
            ConfigError: there is no such step.
            BaseException: as `resume`.
        """
        return await _recovery.fork(self, str(source), at, options)

    async def plan(self, source: str | PathLike[str], **options: Unpack[RunOptions]) -> Plan:
        """Say what `resume` would keep, what is stale because code or graph have changed, and what would run.

        Raises:
            UnknownRunError: there is no such run or checkpoint.
            CheckpointError: the records cannot be used here.
        """
        return await _recovery.plan(self, str(source), options)

    @property
    def templates(self) -> Mapping[str, Definition]:
        """The definitions that belong to the workflow, those that are no nodes of its graph included."""
        known = {task.definition.id: task.definition for task in self._ids.values()}
        for task in _parts_of(self._items.values()):
            inner = task.task if is_mapped(task) else task
            known.setdefault(inner.definition.id, inner.definition)
        return known

    def get_result(self, task_id: str, default: Any = None) -> Any:
        """Give a task's result: of the current run inside a task, else of the last finished run."""
        parent = caller()
        if parent is not None and parent.is_of(self._graph, self.name):
            return parent.results.get(task_id, default)
        return self._last.get(task_id, default)

    def _new_run(self, start_node: Any, options: RunOptions, *, watched: bool) -> Run:
        """Make a run; a task that is named as the start of an empty workflow is the workflow."""
        graph = self.graph
        if not graph.table and isinstance(start_node, Expression):
            graph = build_graph([start_node])
            start_node = None
        options = self.completed(options)
        keeper = None
        if options.get("checkpointer") is not None or options.get("checkpoint_dir") is not None:
            check_options(options)
            keeper = _keeping.new_keeper(options, self.templates)
        run = Run(self.name, graph, self._provided, start_node, options, watched=watched, keeper=keeper)
        run.on_end(lambda ended: self.remember(ended.results))
        if keeper is not None:
            _recovery.remember(run.run_id, self)
        return run

    def completed(self, options: RunOptions) -> RunOptions:
        """Give the options of a run with those of the execution context where it has none of its own."""
        return options if self._execution_context is None else self._execution_context.completed(options)

    def remember(self, results: Mapping[str, Any]) -> None:
        """Keep the results of the last finished run for `get_result`."""
        self._last = results

    def __repr__(self) -> str:
        """Show the name and the size."""
        return f"<Workflow {self.name!r}: {len(self._items)} items>"


def workflow(
    name: str, *, prompt_manager: PromptManager | None = None, execution_context: ExecutionContext | None = None
) -> Workflow:
    """Make a workflow to be filled in a block.

    What is defined inside `with workflow("name") as wf:` joins it. The arguments are those of `Workflow`.
    """
    return Workflow(name, prompt_manager=prompt_manager, execution_context=execution_context)


def _tasks_in(expressions: Iterable[Expression]) -> set[int]:
    """Collect the identities of the tasks that stand in some expressions."""
    return {id(part) for part in _parts_of(expressions) if is_task(part)}


def _parts_of(expressions: Iterable[Expression]) -> Iterator[Task[Any, Any] | Mapped[Any]]:
    """Go through the tasks and maps that stand in some expressions."""
    stack = list(expressions)
    while stack:
        item = stack.pop()
        if isinstance(item, Chain):
            stack.extend(item.parts)
        elif isinstance(item, Group):
            stack.extend(item.members)
        elif is_task(item) or is_mapped(item):
            yield item


async def _run_alone(expression: Expression) -> Any:
    """Run an expression outside of any run, as a workflow of its own."""
    name = "run"
    if is_task(expression):
        name = expression.definition.id
    return await Workflow(name, expression).run()


set_alone(_run_alone)
