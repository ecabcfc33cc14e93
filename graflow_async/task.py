"""Task: an id, a callable and its options; bound tasks and maps. Calling a task binds, awaiting runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from ._lazy import lazily
from .compose import Expression, run_expression
from .current import AnyContext, caller, get_block, get_running, open_block, running
from .definition import Definition, check_id
from .policy import require_count

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from typing import Literal, Unpack

    from typing_extensions import TypeIs  # checkers bring it; nothing imports it at run time

    from .keywords import CommonOptions, TaskOptions

_keywords = lazily("graflow_async.keywords")  # for its types


P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C", bound=AnyContext)
_new: Callable[[type[Any]], Any] = object.__new__


class Task(Expression, Generic[P, R_co]):
    """A definition, possibly with bound arguments; immutable.

    Attributes:
        definition: the function and its options.
        args: bound positional arguments.
        kwargs: bound keyword arguments, None for none.
    """

    __slots__ = ("_id", "_is_method", "args", "definition", "kwargs")

    definition: Definition
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None

    @overload
    def __init__(
        self: Task[Q, R],
        id: str,
        func: Callable[Concatenate[Any, Q], Coroutine[Any, Any, R]],
        *,
        inject_context: Literal[True],
        **options: Unpack[CommonOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: Task[Q, R],
        id: str,
        func: Callable[Concatenate[Any, Q], R],
        *,
        inject_context: Literal[True],
        **options: Unpack[CommonOptions],
    ) -> None: ...
    @overload
    def __init__(
        self, id: str, func: Callable[P, Coroutine[Any, Any, R_co]], **options: Unpack[TaskOptions]
    ) -> None: ...
    @overload
    def __init__(self, id: str, func: Callable[P, R_co], **options: Unpack[TaskOptions]) -> None: ...
    @overload
    def __init__(self: Task[[], None], id: str, func: None = None, **options: Unpack[TaskOptions]) -> None: ...
    def __init__(self, id: str, func: Callable[..., Any] | None = None, **options: Unpack[TaskOptions]) -> None:
        """Make a task; without a function it is a node that does nothing.

        Raises:
            DefinitionError: no usable id, or a function that cannot be called.
            ConfigError: an option has a value that makes no sense.
        """
        self.definition = Definition(id, func, options)
        self._id: str | None = id
        self._is_method = False
        self.args = ()
        self.kwargs = None
        block = open_block.get()
        if block is not None:
            block.add_task(self)

    @property
    def id(self) -> str:
        """The task's id; a bound task without one is numbered here, under the running task."""
        if self._id is None:
            parent = caller()
            if parent is None:
                return self.definition.id
            self._id = f"{self.definition.id}_{parent.count(self.definition.id)}"
        return self._id

    @property
    def task_id(self) -> str:
        """The same as `id`."""
        return self.id

    @property
    def func(self) -> Callable[..., Any]:
        """The plain function (a coroutine function gives its coroutine, a context has to be passed), for tests."""
        return cast("Callable[..., Any]", self.definition.func)

    @property
    def is_bound(self) -> bool:
        """Whether it was made by calling a task."""
        return bool(self.args) or self.kwargs is not None or self._id != self.definition.id

    def given_id(self) -> str | None:
        """Tell the id if it has one already; an automatic one is numbered where the task joins."""
        return self._id

    def settle_id(self, task_id: str) -> None:
        """Fix the automatic id under which a bound task joined a workflow."""
        self._id = task_id

    # Not every parameter has to be given, a context never. In a plain flow a call, typed as a task, gives the value.
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Task[..., R_co]: ...
    @overload
    def __call__(self, *, task_id: str | None = None, **kwargs: Any) -> Task[..., R_co]: ...
    @overload
    def __call__(
        self: Task[Concatenate[A, ...], R_co], first: A | Task[..., A], /, *, task_id: str | None = None, **kwargs: Any
    ) -> Task[..., R_co]: ...
    @overload
    def __call__(
        self: Task[Concatenate[A, B, ...], R_co],
        first: A | Task[..., A],
        second: B | Task[..., B],
        /,
        *rest: Any,
        task_id: str | None = None,
        **kwargs: Any,
    ) -> Task[..., R_co]: ...
    @overload
    def __call__(
        self: Task[Concatenate[C, A, ...], R_co],
        first: A | Task[..., A],
        /,
        *rest: Any,
        task_id: str | None = None,
        **kwargs: Any,
    ) -> Task[..., R_co]: ...
    def __call__(self, *args: Any, task_id: str | None = None, **kwargs: Any) -> Any:
        """Bind arguments; never run the function (but inside a plain `def` flow, where a call runs the task).

        Without `task_id` the id is `<id>_1`, `<id>_2`, ... `t()` is `t` itself.

        Raises:
            BindingError: an argument fits no parameter.
        """
        body: Any = get_running()
        if body is not None and body.calls_run:
            return caller().call_blocking(self.bind(args, kwargs, task_id) if args or kwargs or task_id else self)
        if not args and not kwargs and task_id is None and not self._is_method:
            return self
        if kwargs or task_id is not None or self.args or self.kwargs:
            bound = self.bind(args, kwargs, task_id)
        else:  # the usual case of a fan-out, without a call
            definition = self.definition
            plan = definition.plan_now or definition.plan
            if len(args) > len(plan.positional):
                plan.check(args, None)
            bound: Task[..., R_co] = _new(Task)
            bound.definition = definition
            bound._id = None
            bound._is_method = False
            bound.args = args
            bound.kwargs = None
        block = get_block()
        if block is not None:
            block.add_task(bound)
        return bound

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any], task_id: str | None = None) -> Task[..., R_co]:
        """Make the bound task, whatever a call would do here; no block hears of it.

        Raises:
            BindingError: an argument fits no parameter.
        """
        definition = self.definition
        if self.args or self.kwargs:
            args = self.args + args
            kwargs = {**(self.kwargs or {}), **kwargs}
        plan = definition.plan
        if kwargs or len(args) > len(plan.positional):
            plan.check(args, kwargs)
        if task_id is not None:
            check_id(task_id)
        bound: Task[..., R_co] = _new(Task)
        bound.definition = definition
        bound._id = task_id
        bound._is_method = False
        bound.args = args
        bound.kwargs = kwargs or None
        return bound

    def map(self, *iterables: Any, **fixed: Any) -> Mapped[R_co]:
        """Run this task once for each element; awaited it gives the list of results, in an expression it is a node.

        Iterables are zipped, scalars and `unmapped(x)` repeated, `fixed` keywords are the same for every call.

        Raises:
            BindingError: a keyword fits no parameter.
        """
        if fixed:
            self.definition.plan.check((), {**(self.kwargs or {}), **fixed})
        mapped = Mapped(self, iterables, fixed)
        body: Any = running.get()
        if body is not None and body.calls_run:
            return caller().call_blocking(mapped)
        block = open_block.get()
        if block is not None:
            block.add_task(mapped)
        return mapped

    async def run(self, **inputs: Any) -> R_co:
        """Run this task alone as a workflow, `inputs` by parameter name."""
        return await cast("Awaitable[R_co]", run_expression(self.bind((), inputs) if inputs else self))

    def __await__(self) -> Generator[Any, Any, R_co]:
        """Run this task as a child of the running task, elsewhere as a run of its own."""
        return cast("Awaitable[R_co]", run_expression(self)).__await__()

    def __get__(self, owner: Any, owner_type: type | None = None) -> Task[..., R_co]:
        """Bind `self` (or the class) when a method is a task."""
        definition = self.definition
        is_plain = owner is None and not isinstance(definition.func, classmethod)
        if definition.is_static or is_plain or self.args or self.kwargs:
            return self
        bound: Task[..., R_co] = _new(Task)
        bound.definition = definition.bound_to(owner, owner_type)
        bound._id = self._id
        bound._is_method = True
        bound.args = ()
        bound.kwargs = None
        return bound

    def __repr__(self) -> str:
        """Show the id, and the arguments of a bound task."""
        name = self._id or self.definition.id
        if not self.args and not self.kwargs:
            return name
        shown = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in (self.kwargs or {}).items()]
        return f"{name}({', '.join(shown)})"


TaskWrapper = Task


def is_task(value: object) -> TypeIs[Task[Any, Any]]:
    """Say whether something is a task; `isinstance` alone leaves its type half unknown."""
    return isinstance(value, Task)


class Unmapped:
    """A value that a map repeats as it is, though it could be iterated."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        """Keep the value."""
        self.value = value


def unmapped(value: Any) -> Unmapped:
    """Mark an argument of a map as the same for every call."""
    return Unmapped(value)


class Mapped(Expression, Generic[R_co]):
    """A task over many elements: `t.map(xs)`; without iterables it maps over what arrives from upstream."""

    __slots__ = ("_node", "fixed", "iterables", "max_concurrency", "return_exceptions", "task")

    def __init__(
        self,
        task: Task[Any, R_co],
        iterables: tuple[Any, ...],
        fixed: dict[str, Any],
        *,
        max_concurrency: int | None = None,
        return_exceptions: bool = False,
    ) -> None:
        """Keep the task and what it maps over.

        Raises:
            ConfigError: a bound below 1.
        """
        if max_concurrency is not None:
            require_count("max_concurrency", max_concurrency, least=1)
        self.task = task
        self.iterables = iterables
        self.fixed = fixed
        self.max_concurrency = max_concurrency
        self.return_exceptions = return_exceptions
        self._node: Task[Any, Any] | None = None

    @overload
    def with_execution(
        self, *, max_concurrency: int | None = None, return_exceptions: Literal[False] | None = None
    ) -> Mapped[R_co]: ...
    @overload
    def with_execution(
        self, *, max_concurrency: int | None = None, return_exceptions: bool | None
    ) -> Mapped[R_co | BaseException]: ...
    def with_execution(self, *, max_concurrency: int | None = None, return_exceptions: bool | None = None) -> Any:
        """Give a copy with the options that are not None.

        Raises:
            ConfigError: a bound below 1.
        """
        changed = Mapped(
            self.task,
            self.iterables,
            self.fixed,
            max_concurrency=self.max_concurrency if max_concurrency is None else max_concurrency,
            return_exceptions=self.return_exceptions if return_exceptions is None else return_exceptions,
        )
        block = open_block.get()
        if block is not None:
            block.add_expression(changed, (self,))
        return changed

    def over(self, task: Task[..., Any], iterables: tuple[Any, ...] | None = None) -> Mapped[Any]:
        """Give the same map of another task, or over other iterables."""
        given = self.iterables if iterables is None else iterables
        options: dict[str, Any] = {"max_concurrency": self.max_concurrency, "return_exceptions": self.return_exceptions}
        return Mapped(task, given, self.fixed, **options)

    @property
    def node(self) -> Task[Any, Any]:
        """The task that stands for this map in a graph; it has the mapped task's own id."""
        if self._node is None:
            node: Task[Any, Any] = _new(Task)
            options: TaskOptions = {"inject_context": True, "description": self.task.definition.description}
            body = _over_upstream(self) if not self.iterables else _over_given(self)
            vars(body)["mapped"] = self  # drawings show what is a map
            node.definition = Definition(self.task.given_id() or self.task.definition.id, body, options)
            node._id = self.task.given_id()  # pyright: ignore[reportPrivateUsage]  # same module
            node._is_method = False  # pyright: ignore[reportPrivateUsage]  # same module
            node.args = ()
            node.kwargs = None
            self._node = node
        return self._node

    def __await__(self) -> Generator[Any, Any, list[R_co]]:
        """Run the map as children of the running task, elsewhere as a run of its own."""
        return cast("Awaitable[list[R_co]]", run_expression(self)).__await__()

    def __repr__(self) -> str:
        """Show what is mapped."""
        return f"{self.task!r}.map(...)" if self.iterables else f"{self.task!r}.map()"


def is_mapped(value: object) -> TypeIs[Mapped[Any]]:
    """Say whether something is a task over many elements."""
    return isinstance(value, Mapped)


def _over_upstream(mapped: Mapped[Any]) -> Callable[..., Any]:
    """Make the body of a node that maps over what its predecessor returned."""

    async def over_upstream(ctx: Any, upstream__: Any) -> list[Any]:
        return await _map_with(ctx, mapped, (upstream__,))

    return over_upstream


def _over_given(mapped: Mapped[Any]) -> Callable[..., Any]:
    """Make the body of a node that maps over given iterables."""

    async def over_given(ctx: Any) -> list[Any]:
        return await _map_with(ctx, mapped, mapped.iterables)

    return over_given


async def _map_with(ctx: Any, mapped: Mapped[Any], iterables: tuple[Any, ...]) -> list[Any]:
    """Run the map with its options."""
    return await ctx.map(
        mapped.task,
        *iterables,
        max_concurrency=mapped.max_concurrency,
        return_exceptions=mapped.return_exceptions,
        **mapped.fixed,
    )
