"""SPEC 1.1, 1.4: what a plan says of a callable is what `inspect.signature` says of it."""

from __future__ import annotations

import functools
import inspect
import operator
import types
from typing import TYPE_CHECKING, Any, Optional, Union

import pytest

import graflow_async
from graflow_async import SyncTaskExecutionContext, TaskExecutionContext
from graflow_async.errors import BindingError
from graflow_async.plan import MISSING, is_coroutine_callable, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable


def plain(a, b, c=3, *, d, e=5): ...
def none(): ...
def only(a, b=2, /, c=3): ...
def varied(a, *args, k, **kwargs): ...
def keywords(**kwargs): ...
def typed(a: int, b: str = "x") -> None: ...
async def coroutine(a, b=1, *, c=2): ...
async def generator(a):
    yield a


@functools.wraps(plain)
def wrapped(*args, **kwargs):
    return plain(*args, **kwargs)


@functools.wraps(coroutine)
async def wrapped_coroutine(*args, **kwargs):
    return await coroutine(*args, **kwargs)


class Tool:
    def __init__(self, size=1, *, colour="red"): ...
    def method(self, a, b=2): ...
    async def work(self, a, *, b): ...
    @classmethod
    def make(cls, a, *rest): ...
    @staticmethod
    def free(a, /, b): ...


class Callable1:
    def __call__(self, a, b=2, *, c): ...


class AsyncCallable:
    async def __call__(self, a, b=2): ...


def signed(*args): ...


signed.__signature__ = inspect.Signature([inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY)])  # pyright: ignore[reportFunctionMemberAccess]

TOOL = Tool()
CALLABLES: dict[str, Callable[..., Any]] = {
    "plain": plain,
    "none": none,
    "only": only,
    "varied": varied,
    "keywords": keywords,
    "typed": typed,
    "coroutine": coroutine,
    "generator": generator,
    "wrapped": wrapped,
    "wrapped coroutine": wrapped_coroutine,
    "lambda": lambda x, y=1: (x, y),
    "partial": functools.partial(plain, 1),
    "partial by name": functools.partial(plain, b=2, d=4),
    "partial of partial": functools.partial(functools.partial(plain, 1), 2, e=6),
    "partial coroutine": functools.partial(coroutine, 1),
    "partial method": functools.partial(TOOL.method, 1),
    "method": TOOL.method,
    "async method": TOOL.work,
    "class method": Tool.make,
    "static method": Tool.free,
    "unbound method": Tool.method,
    "callable object": Callable1(),
    "async callable object": AsyncCallable(),
    "partial of object": functools.partial(AsyncCallable(), 1),
    "class": Tool,
    "signature of its own": signed,
    "builtin": len,
    "sorted": sorted,
    "operator": operator.add,
}
ASYNC = {
    "coroutine",
    "wrapped coroutine",
    "partial coroutine",
    "async method",
    "async callable object",
    "partial of object",
}


@pytest.mark.parametrize("name", CALLABLES)
def test_a_plan_says_what_the_signature_says(name):
    """Names, order, defaults, annotations and kinds of every named parameter are those of `inspect.signature`."""
    func = CALLABLES[name]
    plan = plan_of(func, inject_context=False, label=name)
    named, kinds = [], set()
    for p in inspect.signature(func).parameters.values():
        kinds.add(p.kind)
        if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}:
            named.append((p.name, p.default, p.annotation, p.kind is p.KEYWORD_ONLY))
    assert [(p.name, p.default, p.annotation, p.keyword_only) for p in plan.parameters] == named
    assert plan.positional == tuple(n for n, *_, keyword_only in named if not keyword_only)
    assert plan.names == {n for n, *_ in named}
    assert plan.var_positional == (inspect.Parameter.VAR_POSITIONAL in kinds)
    assert plan.var_keyword == (inspect.Parameter.VAR_KEYWORD in kinds)
    assert [p.is_required for p in plan.parameters] == [default is MISSING for _, default, *_ in named]
    assert not plan.wants_context


@pytest.mark.parametrize("name", CALLABLES)
def test_a_plan_knows_what_has_to_be_awaited(name):
    """Coroutine functions are found behind partials, methods, wrappers and callable objects, and nowhere else."""
    func = CALLABLES[name]
    assert is_coroutine_callable(func) is (name in ASYNC)
    assert plan_of(func, inject_context=False, label=name).is_async is (name in ASYNC)


def test_a_class_with_an_async_call_is_no_coroutine_function():
    """Calling the class makes an object; only calling the object gives a coroutine."""
    assert not is_coroutine_callable(AsyncCallable)


def test_a_callable_without_a_signature_takes_what_it_is_given():
    """Some callables of C cannot be inspected; nothing is refused and nothing is looked for."""
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(type)
    plan = plan_of(type, inject_context=False, label="type")
    plan.check((1, 2, 3), {"anything": 4})
    assert plan.parameters == ()
    assert plan.arrange((1,), {"k": 2}, {}, None) == ((1,), {"k": 2})


def test_a_plan_is_worked_out_once():
    """`inspect` must not run per task: the same function gives the same plan, a different option another one."""
    assert plan_of(plain, inject_context=False, label="x") is plan_of(plain, inject_context=False, label="y")
    injected = plan_of(plain, inject_context=True, label="x")
    assert injected is not plan_of(plain, inject_context=False, label="x")
    assert injected.positional == ("b", "c")


def by_class(ctx: TaskExecutionContext, a): ...
def by_sync_class(ctx: SyncTaskExecutionContext, a): ...
def by_module(ctx: graflow_async.TaskExecutionContext, a): ...
def by_union(ctx: TaskExecutionContext | None, a): ...
def by_optional(ctx: Optional[TaskExecutionContext], a): ...  # noqa: UP045  # users write it
def by_union_name(ctx: Union[TaskExecutionContext, None], a): ...  # noqa: UP007  # users write it


CONTEXTS = [
    *(by_class, by_sync_class, by_module, by_union),
    by_optional,
    by_union_name,
]


def evaluated(func: Callable[..., Any]) -> Callable[..., Any]:
    """Make a copy of a function whose annotations are objects, as without the future import."""
    copy = types.FunctionType(func.__code__, func.__globals__, func.__name__, func.__defaults__)
    copy.__annotations__ = inspect.get_annotations(func, eval_str=True)
    return copy


@pytest.mark.parametrize("func", CONTEXTS)
@pytest.mark.parametrize("form", ["text", "object"])
def test_a_context_is_known_by_its_annotation(func, form):
    """SPEC 1.1: a parameter annotated with a context type is injected, as text or object, optional or not."""
    plan = plan_of(func if form == "text" else evaluated(func), inject_context=False, label="t")
    assert plan.wants_context
    assert plan.names == {"a"}
    assert plan.arrange((1,), {}, {}, "CTX") == (("CTX", 1), {})


def test_a_context_is_injected_wherever_it_stands():
    """SPEC 1.1: in the middle, last, or keyword-only; several get the same context."""

    def middle(a, ctx: TaskExecutionContext, b=2, *, other: SyncTaskExecutionContext):
        return a, ctx, b, other

    plan = plan_of(middle, inject_context=False, label="middle")
    assert plan.positional == ("a", "b")
    args, kwargs = plan.arrange((1,), {}, {"b": 7}, "CTX")
    assert middle(*args, **kwargs) == (1, "CTX", 7, "CTX")


def test_other_annotations_are_no_context():
    """A type whose name only contains the context's name is a parameter like any other."""

    class MyTaskExecutionContextBuilder: ...

    def func(a: MyTaskExecutionContextBuilder, b: list[TaskExecutionContext], c: str = "TaskExecutionContext"): ...

    plan = plan_of(func, inject_context=False, label="f")
    assert plan.names == {"a", "b", "c"}


def test_inject_context_takes_the_first_parameter():
    """SPEC 1.1: `inject_context=True` gives the context as first positional argument, whatever it is called."""

    def func(context, a, b=1):
        return context, a, b

    plan = plan_of(func, inject_context=True, label="f")
    assert plan.context_first
    args, kwargs = plan.arrange((), {}, {"a": 5}, "CTX")
    assert func(*args, **kwargs) == ("CTX", 5, 1)


def test_inject_context_into_varargs():
    """A function that only takes *args gets the context as the first of them."""
    plan = plan_of(lambda *args: args, inject_context=True, label="f")
    assert plan.arrange((1, 2), {}, {}, "CTX") == (("CTX", 1, 2), {})


@pytest.mark.parametrize("func", [none, keywords, lambda *, a: a], ids=["none", "keywords", "keyword only"])
def test_inject_context_needs_a_place(func):
    """Without a positional parameter the mistake is named when the plan is made."""
    with pytest.raises(BindingError, match="no positional parameter"):
        plan_of(func, inject_context=True, label="task 'x'")


@pytest.mark.parametrize(
    ("args", "kwargs", "complaint"),
    [
        ((1, 2, 3, 4), {}, "takes 3 positional"),
        ((1,), {"a": 1}, "'a' is given by position and by name"),
        ((), {"z": 1}, "has no parameter 'z'; it takes: a, b, c, d, e"),
    ],
)
def test_arguments_that_fit_no_parameter_are_refused(args, kwargs, complaint):
    """SPEC 1.1: a bound argument that fits nothing is a BindingError at once."""
    with pytest.raises(BindingError, match=complaint):
        plan_of(plain, inject_context=False, label="t").check(args, kwargs)


def test_the_context_cannot_be_given():
    """Only the run gives the context."""

    def func(a, ctx: TaskExecutionContext): ...

    with pytest.raises(BindingError, match="'ctx' is the context"):
        plan_of(func, inject_context=False, label="t").check((), {"ctx": 1})
