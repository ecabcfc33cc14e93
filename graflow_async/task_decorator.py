"""`@task`: the decorator, and what it makes of the types of a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from ._lazy import lazily
from .definition import name_of
from .errors import BindingError, ConfigError
from .task import Task, is_task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Literal, Unpack

    from .keywords import CommonOptions

_keywords = lazily("graflow_async.keywords")  # for its types

P = ParamSpec("P")
R = TypeVar("R")


class _Decorator(Protocol):
    """What `@task(...)` gives: a decorator for async and plain functions."""

    @overload
    def __call__(self, func: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> Task[P, R]: ...


class _InjectingDecorator(Protocol):
    """What `@task(inject_context=True)` gives: the first parameter is the run's to fill."""

    @overload
    def __call__(self, func: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, func: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...


@overload
def task(func: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
@overload
def task(func: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    id: str | None = None, /, *, inject_context: Literal[True], **options: Unpack[CommonOptions]
) -> _InjectingDecorator: ...
@overload
def task(*, id: str | None, inject_context: Literal[True], **options: Unpack[CommonOptions]) -> _InjectingDecorator: ...
@overload
def task(
    id: str | None = None, /, *, inject_context: Literal[False] = False, **options: Unpack[CommonOptions]
) -> _Decorator: ...
@overload
def task(*, id: str | None, inject_context: Literal[False] = False, **options: Unpack[CommonOptions]) -> _Decorator: ...
def task(id_or_func: Any = None, /, *, id: str | None = None, **options: Any) -> Any:
    """Make a task of a function: `@task`, `@task("id")`, `@task(id="id", max_retries=3, ...)`.

    Raises:
        DefinitionError: a lambda without an id, or something that cannot be called.
        ConfigError: an option has a value that makes no sense.
    """
    if isinstance(id_or_func, str):
        if id is not None:
            message = f"a task has one id; {id_or_func!r} and {id!r} were given"
            raise ConfigError(message)
        id, id_or_func = id_or_func, None  # noqa: A001  # SPEC's name

    make = cast("Callable[..., Task[Any, Any]]", Task)

    def decorate(func: Any) -> Task[Any, Any]:
        if is_task(func):
            message = f"{func!r} is a task already; to rename it call it: {func!r}(task_id='other')"
            raise BindingError(message)
        if isinstance(func, staticmethod):
            made = make(name_of(func.__func__) if id is None else id, func.__func__, **options)
            made.definition.is_static = True
            return made
        return make(name_of(func) if id is None else id, func, **options)

    return decorate if id_or_func is None else decorate(id_or_func)
