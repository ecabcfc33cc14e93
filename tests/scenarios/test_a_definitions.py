"""Scenarios 1 to 19 (group A): defining tasks and making instances."""

# The error may come from any line of a block: what counts is that it comes before the run.
# ruff: noqa: PT012
# A task made with the style fixture is typed as the plain function it was made of.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false, reportRedeclaration=false

from __future__ import annotations

import asyncio
import functools
import uuid

import pytest

from graflow_async import (
    BindingError,
    DefinitionError,
    DuplicateTaskError,
    RetryPolicy,
    Task,
    TaskExecutionContext,
    TaskWrapper,
    chain,
    parallel,
    task,
    workflow,
)


def plain(x=1):
    return x


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (task(plain), "plain"),
        (task()(plain), "plain"),
        (task("x")(plain), "x"),
        (task(id="x")(plain), "x"),
        (task("x", inject_context=True)(plain), "x"),
        (task(functools.partial(plain, 2)), "plain"),
        (task("lambda")(lambda: 1), "lambda"),
    ],
)
def test_001_every_spelling_of_the_decorator_makes_a_task(made, expected):
    """1: the id is the one that was given, else the function's name."""
    assert isinstance(made, Task)
    assert made.id == made.task_id == expected


def test_001_a_lambda_without_an_id_is_refused():
    """1: nothing could name it."""
    with pytest.raises(DefinitionError, match="id"):
        task(lambda: 1)


async def test_002_a_task_runs_alone_with_its_inputs():
    """2: `run` takes inputs by name and leaves the others to their defaults."""

    @task
    def calculate(x, y=2):
        return x + y

    assert await calculate.run(x=5, y=3) == 8
    assert await calculate.run(x=5) == 7
    assert await calculate.run(x=5, y=None if False else 3) == 8
    assert calculate.func(1) == 3


def test_003_instances_remember_their_own_values(style):
    """3: two bound tasks have their own ids and values."""

    @style.task
    def f(value):
        return value

    one, two = f(task_id="t1", value=10), f(task_id="t2", value=20)
    assert one is not two
    assert (one.id, two.id) == ("t1", "t2")
    with workflow("w") as wf:
        parallel(one, two)
    assert style.run(wf) == {"t1": 10, "t2": 20}


def test_004_automatic_ids_are_counted(style):
    """4 as SPEC 1.1: ten calls give `f_1` to `f_10`, the same ones in every run."""

    @style.task
    def f(value):
        return value

    with workflow("w") as wf:
        parallel(*(f(value=i) for i in range(10)))
    expected = {f"f_{n + 1}": n for n in range(10)}
    assert style.run(wf) == style.run(wf) == expected


def test_005_instances_keep_the_settings_of_their_definition():
    """5: context, cycles and retries are those of the task that was called."""
    policy = RetryPolicy(2, 0)
    seen = []

    @task(inject_context=True, max_cycles=4, retry_policy=policy)
    def f(ctx, value):
        seen.append((ctx.max_cycles, ctx.attempt, value))
        if ctx.attempt < 3:
            raise ValueError(value)

    with workflow("w") as wf:
        f(task_id="i", value=7)
        wf.execute()
    assert seen == [(4, 1, 7), (4, 2, 7), (4, 3, 7)]


def test_006_instances_join_where_they_are_made_or_linked():
    """6: an instance made in a block is a node at once, one made outside when it is linked."""

    @task
    def f(value):
        return value

    outside = f(task_id="outside", value=1)
    with workflow("w") as wf:
        inside = f(task_id="inside", value=2)
        assert wf.graph.nodes == ["inside"]
        inside >> outside
        assert wf.graph.nodes == ["inside", "outside"]
    assert wf.graph.edges == [("inside", "outside")]


def test_007_one_id_for_two_tasks_is_refused():
    """7: the second definition raises, naming the id and both places."""
    with workflow("w"):

        @task(id="x")
        def first():
            pass

        with pytest.raises(DuplicateTaskError, match=r"test_a_definitions\.py.*test_a_definitions\.py") as caught:

            @task(id="x")
            def second():
                pass

    assert caught.value.task_id == "x"


def test_008_a_loop_with_its_variable_in_the_id_makes_nodes():
    """8: three nodes, no error."""
    with workflow("w") as wf:
        for i in range(3):

            @task(id=f"task_{i}")
            def made():
                pass

    assert wf.graph.nodes == ["task_0", "task_1", "task_2"]


def test_009_made_tasks_with_random_ids_both_run(style):
    """9: two tasks made in a running one run under their own ids."""
    ran = []

    @style.task(inject_context=True)
    def maker(ctx):
        names = [f"dynamic_task_{uuid.uuid4().hex[:8]}" for _ in range(2)]
        for name in names:
            ctx.next_task(TaskWrapper(name, style.body(lambda name=name: ran.append(name))))
        return names

    with workflow("w") as wf:
        names = style.run(wf, maker)
    assert ran == names or style.name != "async"  # plain functions of a wrapper run in threads
    assert sorted(ran) == sorted(names)


def test_010_two_outside_tasks_with_one_id_clash_when_linked():
    """10: the clash is found where both join one workflow, at the latest when it is compiled."""
    one, two = TaskWrapper("x", lambda: 1), TaskWrapper("x", lambda: 2)
    with workflow("w") as wf, pytest.raises(DuplicateTaskError, match="'x'"):
        TaskWrapper("a", lambda: 0) >> one
        TaskWrapper("b", lambda: 0) >> two
        _ = wf.graph


async def test_011_a_wrapped_lambda_runs_alone_and_in_a_workflow():
    """11: its argument comes from `run` or from the inputs."""
    add_ten = TaskWrapper("add_ten", lambda x: x + 10)
    assert await add_ten.run(x=5) == 15
    with workflow("w") as wf:
        assert await wf.run(add_ten, inputs={"x": 5}) == 15


def test_013_positional_calls_make_tasks_with_ids_of_their_own():
    """13: three positional calls give three tasks; one running gives the processor of its config."""

    @task
    def create_processor(config):
        return lambda data: data * config

    made = [create_processor(config) for config in (1, 2, 3)]
    with workflow("w") as wf:
        chain(*made)
        wf.execute()
    assert [t.id for t in made] == ["create_processor_1", "create_processor_2", "create_processor_3"]
    assert [wf.get_result(t.id)(10) for t in made] == [10, 20, 30]


def test_014_methods_bind_their_own_instance(style):
    """14: a task per instance, `self` being the right one."""
    made = style.task

    class Configurable:
        def __init__(self, config):
            self.config = config

        @made
        def execute(self, extra=0):
            return self.config + extra

        @made
        def plus(self, extra):
            return self.config + extra

    with workflow("w") as wf:
        tasks = [Configurable(c).execute() for c in (1, 2)]
        tasks.append(Configurable(3).plus(10))
        value = style.run(wf)
    assert [value[t.id] for t in tasks] == [1, 2, 13]


@pytest.mark.parametrize("outer", ["task", "method"])
@pytest.mark.parametrize("through", ["class", "instance"])
async def test_014_class_and_static_methods_are_tasks(outer, through):
    """14 and SPEC 1.1: in either order of the decorators, called on the class or on an instance."""
    if outer == "task":

        class Both:
            factor = 7

            @task
            @classmethod
            def of_class(cls, x):
                return cls.factor * x

            @task
            @staticmethod
            def static(x):
                return x

        where = Both if through == "class" else Both()
        assert await where.of_class(2) == 14
    else:

        class Both:
            @staticmethod
            @task
            def static(x):
                return x

        where = Both if through == "class" else Both()
    assert await where.static(5) == 5


async def test_015_a_memoizing_closure_calls_its_function_once_for_each_argument():
    """15: three runs with two arguments call it twice."""
    called = []

    def create_memoized_task(function):
        cache = {}

        @task
        async def memoized(*args):
            if args not in cache:
                cache[args] = function(*args)
            return cache[args]

        return memoized

    memoized = create_memoized_task(lambda value: called.append(value) or value * 2)
    assert [await memoized(1), await memoized(1), await memoized(2)] == [2, 2, 4]
    assert called == [1, 2]


@pytest.mark.parametrize("number", [17, 18])
def test_017_018_calling_a_task_inside_a_task_only_binds(number, style):
    """17, 18: with or without arguments, also after the task has run, a call gives a task and runs nothing."""
    ran, made = [], []

    @style.task
    def other(data=0):
        ran.append(data)

    @style.task(inject_context=True)
    def later(ctx):
        bound = other(data=1) if number == 17 else other()
        made.append(isinstance(bound, Task))
        assert ran == [0]
        ctx.next_task(bound)

    with workflow("w") as wf:
        if number == 17:
            other >> later
        else:
            ran.append(0)
        style.run(wf, None if number == 17 else later)
    assert made == [True]
    assert ran == ([0, 1] if number == 17 else [0, 0])


def test_019_calling_never_runs_the_function():
    """19 as SPEC 1.1: `t()` is `t` itself; `.func` is the plain function."""
    ran = []

    @task
    def test_func():
        ran.append(1)
        return "value"

    assert test_func() is test_func
    assert ran == []
    assert test_func.func() == "value"


@pytest.mark.parametrize("call", [lambda t: t(z=1), lambda t: t(1, 2, 3), lambda t: t(1, a=1)])
def test_019_a_call_that_does_not_fit_is_refused_at_once(call):
    """19 as SPEC 1.1: unknown names, too many and doubled arguments are a BindingError where they are written."""

    @task
    def t(a, b=2):
        return a

    with pytest.raises(BindingError):
        call(t)


async def test_019_awaiting_runs(style):
    """SPEC 1.1: a bound task is awaitable anywhere, also several at once."""
    del style

    @task
    async def t(a, b=2):
        await asyncio.sleep(0)
        return a + b

    assert await asyncio.gather(t(1), t(1, b=5), t(a=3)) == [3, 6, 5]
    assert await t.run(a=1) == 3


@pytest.mark.parametrize("position", ["first", "last", "keyword"])
def test_context_is_injected_by_annotation_wherever_it_stands(position):
    """SPEC 1.1: a parameter annotated with a context class is filled without inject_context."""

    def first(c: TaskExecutionContext, x=1):
        return c.task_id, x

    def last(x, c: TaskExecutionContext):
        return c.task_id, x

    def keyword(x, *, c: TaskExecutionContext):
        return c.task_id, x

    made = task("named")({"first": first, "last": last, "keyword": keyword}[position])
    with workflow("w") as wf:
        made(task_id="bound", x=1)
        assert wf.execute() == ("bound", 1)
