"""From checked steps to expressions: a task of its own for each, plain edges, a node in front of a conditional step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .._core.wishes import Child, Wishes
from ..compose import Expression
from ..context.plain import PlainContext
from ..definition import Definition
from ..errors import ConfigError, DefinitionError
from ..keywords import TaskOptions
from ..plan import MISSING, Parameter, Plan
from ..policy import RetryPolicy
from ..task import Mapped, Task
from .conditions import Condition
from .faults import Faults
from .steps import Step
from .values import ELEMENTS, Values

if TYPE_CHECKING:
    from collections.abc import Callable

CONTEXT = "config__context"
LOCAL_KINDS = frozenset({"async", "thread", "inline"})


class Drawing:
    """What a configuration says, as expressions.

    Attributes:
        name: of the workflow.
        tasks: every node, in the order of the document.
        edges: chains of two.
    """

    __slots__ = ("edges", "name", "tasks")

    def __init__(self, name: str) -> None:
        """Begin empty."""
        self.name = name
        self.tasks: dict[str, Task[Any, Any]] = {}
        self.edges: list[Expression] = []

    def add(self, task: Task[Any, Any]) -> Task[Any, Any]:
        """Take a node.

        Raises:
            ConfigError: its id is taken.
        """
        if task.id in self.tasks:
            message = f"the id {task.id!r} is needed twice: by a step, and for the condition of a step; rename one"
            raise ConfigError(message)
        self.tasks[task.id] = task
        return task

    def link(self, before: str, after: str) -> None:
        """Draw an edge."""
        self.edges.append(self.tasks[before] >> self.tasks[after])


def draw(name: str, steps: list[Step], faults: Faults) -> Drawing:
    """Draw checked steps; what only shows here (the id of a condition's node is taken) is a fault, too."""
    drawing = Drawing(name)
    entries: dict[str, str] = {}
    for step in steps:
        try:
            entries[step.id] = _place(step, drawing)
        except (DefinitionError, TypeError) as error:
            faults.add(step.path, str(error))
            entries[step.id] = step.id
            drawing.tasks.setdefault(step.id, Task(step.id))
    for step in steps:
        for before in step.before:
            drawing.link(before, entries[step.id])
    return drawing


def _place(step: Step, drawing: Drawing) -> str:
    """Make the nodes of a step; give the id of the one that its dependencies lead to."""
    condition = step.when
    if condition is None or (not step.before and condition.holds({})):
        return drawing.add(_task_of(step)).id
    relays = {before: _relay(step, before) for before in step.before} if len(step.before) > 1 else {}
    gate = drawing.add(_gate(step, condition, relays))
    for relay in relays.values():
        drawing.add(relay)
        drawing.link(gate.id, relay.id)
    node = drawing.add(_task_of(step))
    for before in [relay.id for relay in relays.values()] or [gate.id]:
        drawing.link(before, node.id)
    return gate.id


# -- conditions -----------------------------------------------------------------------------------------------


def _gate(step: Step, condition: Condition, relays: dict[str, Task[Any, Any]]) -> Task[Any, Any]:
    """Make the node that lets a step run or skips it; what arrived from an only dependency it hands on."""
    before = step.before

    async def decide(ctx: PlainContext) -> Any:
        results = ctx.results
        if not condition.holds(results):
            _jump_nowhere(ctx)
            return False
        if not relays:
            return results.get(before[0]) if before else True
        delivered = [relay for name, relay in relays.items() if name in results]
        if len(delivered) < len(relays):
            for relay in delivered:
                ctx.next_task(relay, goto=True)
        return True

    return Task(
        f"{step.id}.when", decide, inject_context=True, executor="inline", description=f"condition of {step.id}"
    )


def _relay(step: Step, before: str) -> Task[Any, Any]:
    """Make the node that hands one of several results on to a step with a condition."""

    async def hand_on(ctx: PlainContext) -> Any:
        return ctx.results[before]

    return Task(f"{step.id}.when.{before}", hand_on, inject_context=True, executor="inline")


def _jump_nowhere(ctx: PlainContext) -> None:
    """Wish a jump to no place of the graph: whatever follows is skipped, and nothing runs instead.

    `next_task(..., goto=True)` would need a target, which would be a final task with a value of its own.
    """
    ctx.wishes = Wishes()
    ctx.wishes.jumps = [Child(graph=ctx.graph, route=ctx.graph.route(()))]


# -- steps ----------------------------------------------------------------------------------------------------


def _task_of(step: Step) -> Task[Any, Any]:
    """Make the task of a step: bound, mapped, or with references to look up."""
    given = cast("Task[Any, Any]", step.task)
    options = _options_of(given.definition, step.options)
    own: Task[Any, Any] = Task(step.id, given.definition.func, **options)
    own.definition.is_flow = given.definition.is_flow
    own.definition.is_static = given.definition.is_static
    kwargs = {**(given.kwargs or {}), **step.params.fixed}
    if step.over is not None:
        return _mapped(step, own, step.over, given.args, kwargs)
    if step.params.open:
        return _referring(step, own, given.args, kwargs)
    return _bound(own, given.args, kwargs, step.id)


def _bound(task: Task[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any], task_id: str) -> Task[Any, Any]:
    """Bind arguments, if there are any."""
    return task.bind(args, kwargs, task_id) if args or kwargs else task


def _options_of(definition: Definition, changes: dict[str, Any]) -> TaskOptions:
    """Put the options of a registered task and those of a step together."""
    options: TaskOptions = {
        "inject_context": definition.inject_context,
        "executor": definition.executor,
        "retry_policy": definition.retry,
        "timeout": definition.timeout,
        "max_cycles": definition.max_cycles,
        "limits": definition.limits,
        "resolve_keyword_args": definition.resolve,
        "on_crash": definition.on_crash,
        "persist": definition.persist,
        "cache": definition.cache,
        "tags": definition.tags,
        "description": definition.description,
    }
    changed = dict(changes)
    retries = changed.pop("max_retries", None)
    fields = changed.pop("retry_policy", None)
    known = definition.retry
    if known is not None and (retries is not None or fields is not None):  # what the step does not say stays
        changed["retry_policy"] = _retries(known, fields if fields is not None else {"max_retries": retries})
    elif fields is not None:
        changed["retry_policy"] = RetryPolicy(**fields)
    elif retries is not None:
        changed["max_retries"] = retries
    return cast("TaskOptions", {**options, **changed})


def _retries(known: RetryPolicy, changes: dict[str, Any]) -> RetryPolicy:
    """Change some fields of a policy."""
    fields: dict[str, Any] = {name: getattr(known, name) for name in RetryPolicy.__slots__}
    return RetryPolicy(**{**fields, **changes})


def _mapped(
    step: Step, own: Task[Any, Any], over: Values, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Task[Any, Any]:
    """Make the node of a step that runs its task once for each element; options are those of the items."""
    item = _bound(own, args, kwargs, step.id)

    async def each(ctx: Any) -> Any:
        results = ctx.results
        elements = over.look_up(results)[ELEMENTS]
        return await ctx.call(Mapped(item, (elements,), step.params.look_up(results), **step.map_options))

    return _on_the_loop(own, each)


def _referring(step: Step, own: Task[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task[Any, Any]:
    """Make the node of a step whose parameters refer to results: they are looked up when it starts.

    Where the task runs elsewhere there are no results to look at, and where it is cached they belong into the key:
    there the node calls the task as its child.
    """
    definition = own.definition
    func: Any = definition.func
    plan = definition.plan

    def look_up(ctx: Any, found: dict[str, Any]) -> dict[str, Any]:
        return {**kwargs, **step.params.look_up(ctx.results), **found}

    async def run_async(**found: Any) -> Any:
        ctx = found.pop(CONTEXT)
        given, named = plan.arrange(args, look_up(ctx, found), {}, ctx)
        return await func(*given, **named)

    def run_sync(**found: Any) -> Any:
        ctx = found.pop(CONTEXT)
        given, named = plan.arrange(args, look_up(ctx, found), {}, ctx)
        return func(*given, **named)

    async def run_child(**found: Any) -> Any:
        ctx = found.pop(CONTEXT)
        return await ctx.call(own, *args, **look_up(ctx, found))

    if definition.kind not in LOCAL_KINDS or definition.cache is not None:
        node = _on_the_loop(own, run_child)
    else:
        body: Callable[..., Any] = run_async if definition.kind == "async" else run_sync
        options = _options_of(definition, {"inject_context": False})
        if definition.executor == "auto":  # the run's default executor must not take it away from its context
            options["executor"] = "inline" if definition.kind == "async" else "thread"
        node = Task(step.id, body, **options)
        node.definition.is_flow = definition.is_flow
    node.definition.inject_context = False
    node.definition.resolve = definition.resolve
    node.definition.plan_now = _open_plan(plan, len(args), {**kwargs, **step.params.open}, step.id)
    return node


def _on_the_loop(own: Task[Any, Any], body: Callable[..., Any]) -> Task[Any, Any]:
    """Make a node that only calls children; what is said about the task goes for them."""
    description, tags = own.definition.description, own.definition.tags
    return Task(own.id, body, inject_context=True, executor="inline", description=description, tags=tags)


def _open_plan(plan: Plan, positional: int, given: dict[str, Any], label: str) -> Plan:
    """Plan a wrapper: the parameters that are still open, all by name, and the context."""
    parameters = [
        Parameter(p.name, p.default, p.annotation, keyword_only=True) for p in plan.open_parameters(positional, given)
    ]
    parameters.append(Parameter(CONTEXT, MISSING, "TaskExecutionContext", keyword_only=True))
    return Plan(
        f"task {label!r}",
        parameters,
        var_positional=False,
        var_keyword=plan.var_keyword,
        is_async=plan.is_async,
        inject_context=False,
    )
