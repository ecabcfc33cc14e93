"""Task: an id, a callable and its options; `@task`; bound tasks and maps. Calling a task binds, awaiting runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from .compose import Expression, run_expression
from .current import caller, open_block, running
from .definition import Definition, TaskOptions, check_id, name_of
from .errors import BindingError, ConfigError
from .policy import require_count

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from typing import Unpack

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C")
_new = object.__new__


class Task(Expression, Generic[P, R]):
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

    def __init__(
        self,
        id: str,
        func: Callable[..., Any] | None = None,
        **options: Unpack[TaskOptions],  # noqa: A002  # SPEC's name
    ) -> None:
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
    def func(self) -> Callable[P, R]:
        """The plain function, for tests."""
        return cast("Callable[P, R]", self.definition.func)

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

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Task[P, R]: ...
    @overload
    def __call__(self, *args: Any, task_id: str | None = None, **kwargs: Any) -> Task[P, R]: ...
    def __call__(self, *args: Any, task_id: str | None = None, **kwargs: Any) -> Any:
        """Bind arguments; never run the function (but inside a plain `def` flow, where a call runs the task).

        Without `task_id` the id is `<id>_1`, `<id>_2`, ... `t()` is `t` itself.

        Raises:
            BindingError: an argument fits no parameter.
        """
        body: Any = running.get()
        if body is not None and body.calls_run:
            return caller().call_blocking(self._bind(args, kwargs, task_id) if args or kwargs or task_id else self)
        if not args and not kwargs and task_id is None and not self._is_method:
            return self
        if kwargs or task_id is not None or self.args or self.kwargs:
            bound = self._bind(args, kwargs, task_id)
        else:  # the usual case of a fan-out, without a call
            definition = self.definition
            plan = definition.plan_now or definition.plan
            if len(args) > len(plan.positional):
                plan.check(args, None)
            bound = _new(Task)
            bound.definition = definition
            bound._id = None
            bound._is_method = False
            bound.args = args
            bound.kwargs = None
        block = open_block.get()
        if block is not None:
            block.add_task(bound)
        return bound

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any], task_id: str | None) -> Task[P, R]:
        """Make the bound task, checked against the signature."""
        definition = self.definition
        if self.args or self.kwargs:
            args = self.args + args
            kwargs = {**(self.kwargs or {}), **kwargs}
        plan = definition.plan
        if kwargs or len(args) > len(plan.positional):
            plan.check(args, kwargs)
        if task_id is not None:
            check_id(task_id)
        bound: Task[P, R] = _new(Task)
        bound.definition = definition
        bound._id = task_id
        bound._is_method = False
        bound.args = args
        bound.kwargs = kwargs or None
        return bound

    def map(self, *iterables: Any, **fixed: Any) -> Mapped[R]:
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

    async def run(self, **inputs: Any) -> R:
        """Run this task alone as a workflow, `inputs` by parameter name."""
        return await cast("Awaitable[R]", run_expression(self._bind((), inputs, None) if inputs else self))

    def __await__(self) -> Generator[Any, Any, R]:
        """Run this task as a child of the running task, elsewhere as a run of its own."""
        return cast("Awaitable[R]", run_expression(self)).__await__()

    def __get__(self, owner: Any, owner_type: type | None = None) -> Task[..., R]:
        """Bind `self` (or the class) when a method is a task."""
        func = self.definition.func
        if self.definition.is_static or (owner is None and not isinstance(func, classmethod)) or self.args or self.kwargs:
            return self
        bound: Task[..., R] = _new(Task)
        bound.definition = self.definition.bound_to(owner, owner_type)
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

    def with_execution(
        self, *, max_concurrency: int | None = None, return_exceptions: bool | None = None
    ) -> Mapped[R_co]:
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

    @property
    def node(self) -> Task[Any, Any]:
        """The task that stands for this map in a graph; it has the mapped task's own id."""
        if self._node is None:
            node: Task[Any, Any] = _new(Task)
            options: TaskOptions = {"inject_context": True, "description": self.task.definition.description}
            body = _over_upstream(self) if not self.iterables else _over_given(self)
            node.definition = Definition(self.task.given_id() or self.task.definition.id, body, options)
            node._id = self.task.given_id()  # pyright: ignore[reportPrivateUsage]
            node._is_method = False  # pyright: ignore[reportPrivateUsage]
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


class _Maps(Protocol):
    """The part of a context that a map's node uses."""

    async def map(self, *args: Any, **options: Any) -> list[Any]:
        """Run a task over iterables."""
        ...


def _over_upstream(mapped: Mapped[Any]) -> Callable[..., Any]:
    """Make the body of a node that maps over what its predecessor returned."""

    async def over_upstream(ctx: _Maps, upstream__: Any) -> list[Any]:
        return await _map_with(ctx, mapped, (upstream__,))

    return over_upstream


def _over_given(mapped: Mapped[Any]) -> Callable[..., Any]:
    """Make the body of a node that maps over given iterables."""

    async def over_given(ctx: _Maps) -> list[Any]:
        return await _map_with(ctx, mapped, mapped.iterables)

    return over_given


async def _map_with(ctx: _Maps, mapped: Mapped[Any], iterables: tuple[Any, ...]) -> list[Any]:
    """Run the map with its options."""
    return await ctx.map(
        mapped.task,
        *iterables,
        max_concurrency=mapped.max_concurrency,
        return_exceptions=mapped.return_exceptions,
        **mapped.fixed,
    )


class _Decorator(Protocol):
    """What `@task(...)` gives: a decorator for async and plain functions."""

    @overload
    def __call__(self, func: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> Task[P, R]: ...


class _InjectingDecorator(Protocol):
    """What `@task(inject_context=True)` gives: the first parameter is the run's to fill."""

    @overload
    def __call__(self, func: Callable[Concatenate[C, P], Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, func: Callable[Concatenate[C, P], R], /) -> Task[P, R]: ...


@overload
def task(func: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
@overload
def task(func: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(id: str | None = None, /, *, inject_context: bool, **options: Any) -> _InjectingDecorator: ...
@overload
def task(id: str | None = None, /, **options: Any) -> _Decorator: ...
def task(id_or_func: Any = None, /, *, id: str | None = None, **options: Any) -> Any:  # noqa: A002  # SPEC's name
    """Make a task of a function: `@task`, `@task("id")`, `@task(id="id", max_retries=3, ...)`.

    Raises:
        DefinitionError: a lambda without an id, or something that cannot be called.
        ConfigError: an option has a value that makes no sense.
    """
    if isinstance(id_or_func, str):
        if id is not None:
            message = f"a task has one id; {id_or_func!r} and {id!r} were given"
            raise ConfigError(message)
        id, id_or_func = id_or_func, None  # noqa: A001

    def decorate(func: Any) -> Task[Any, Any]:
        if isinstance(func, Task):
            message = f"{func!r} is a task already; to rename it call it: {func!r}(task_id='other')"
            raise BindingError(message)
        if isinstance(func, staticmethod):
            made: Task[Any, Any] = Task(name_of(func.__func__) if id is None else id, func.__func__, **options)
            made.definition.is_static = True
            return made
        return Task(name_of(func) if id is None else id, func, **options)

    return decorate if id_or_func is None else decorate(id_or_func)
