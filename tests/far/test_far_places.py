"""Where a task comes from does not matter: modules, closures, methods, partials; each is one task on both sides."""

from __future__ import annotations

import contextvars
import functools
import sys
import types

import pytest

from graflow_async import Task, Workflow, parallel, task
from tests.aids.loopback import Loopback
from tests.far import parts
from tests.far.parts import double, far, triple

pytestmark = pytest.mark.near  # it crosses a border of its own
LARGE = 5_000_000
who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

MAIN = """
from graflow_async import task, workflow

FACTOR = 10

@task
async def last(n):
    return n * FACTOR

@task
def skipped():
    raise AssertionError

@task(inject_context=True)
async def first(ctx):
    child = await ctx.call(helper, 2)
    ctx.next_task(last(child), goto=True)
    return child

@task(inject_context=True)
async def jumps(ctx):
    ctx.next_task(end, goto=True)

@task
def end():
    return "the end"

async def helper_body(n):
    return n + FACTOR

from graflow_async import Task
helper = Task("helper", helper_body)

with workflow("main") as wf:
    first >> skipped

with workflow("jumping") as jumping:
    jumps >> skipped >> end
"""


def as_main(name: str) -> types.ModuleType:
    """Run a program as a module that nobody can import, as `__main__` is in a worker."""
    module = types.ModuleType(name)
    exec(compile(MAIN, name, "exec"), module.__dict__)  # noqa: S102  # the program above
    return module


async def test_a_program_that_cannot_be_imported():
    """Tasks of `__main__` travel by value with the globals they use, children and jumps included."""
    module = as_main("a_main_of_the_tests")
    assert module.__name__ not in sys.modules
    assert await module.wf.run(executor=Loopback()) == await module.wf.run()
    assert await module.jumping.run(executor=Loopback()) == "the end"


class Thing:
    """Has a method for a task."""

    def __init__(self, n: int) -> None:
        self.n = n

    async def method(self, m: int) -> int:
        return self.n + m

    async def __call__(self, m: int) -> int:
        return self.n * m


def power(base, exponent):
    return base**exponent


@pytest.mark.parametrize(
    ("func", "expected"),
    [
        (Thing(3).method, 7),
        (Thing(3), 12),
        (functools.partial(power, exponent=2), 16),
        (lambda n: n + 1, 5),
        (abs, 4),
    ],
    ids=["method", "callable", "partial", "lambda", "builtin"],
)
async def test_functions_of_all_kinds(func, expected):
    """Whatever can be called, and pickled, can be sent."""
    assert await Workflow("w", Task("t", func)(4)).run(executor=Loopback()) == expected


async def test_a_closure_brings_what_it_holds():
    """A function made by a function, with a task of its own that is no node."""
    offset = 100

    async def inner(n):
        return n + offset

    helper = Task("helper", inner)

    async def body(ctx):
        return await ctx.map(helper, [1, 2])

    assert await far(body) == [101, 102]


@pytest.mark.parametrize("kind", ["closure", "module"])
async def test_a_node_is_found_again(kind):
    """A task that a body speaks of is the node of the graph: a jump goes there, and nothing is made twice."""

    async def target():
        return "there"

    node = Task("target", target) if kind == "closure" else landing

    async def body(ctx):
        assert node.id in ctx.graph.nodes
        ctx.next_task(node, goto=True)

    skipped = Task("skipped", parts.forget)
    wf = Workflow("w", Task("parent", body, inject_context=True) >> skipped >> node)
    assert await wf.run(executor=Loopback()) == "there"


@task
async def landing():
    """Stand in a module."""
    return "there"


async def test_a_bound_node_is_found_again():
    """The same for a node that is a task with arguments."""
    bound = double(21, task_id="bound")

    async def body(ctx):
        ctx.next_task(bound, goto=True)

    wf = Workflow("w", Task("parent", body, inject_context=True) >> Task("skipped", parts.forget) >> bound)
    assert await wf.run(executor=Loopback()) == 42


async def test_groups_and_joins():
    """Groups, and arguments that are found by name, work as they do here."""

    async def collects(double_1, triple_1):
        return double_1 + triple_1

    wf = Workflow("w", parallel(double(1), triple(1)) >> Task("collects", collects))
    assert await wf.run(executor=Loopback()) == 5


async def test_large_values():
    """Five megabytes go to and fro in every way there is."""
    data = bytes(range(256)) * (LARGE // 256)

    async def body(ctx, data):
        await ctx.channel.set("d", data)
        again = await ctx.channel.get("d")
        child = await ctx.call(same, again)
        return child if child == data else None

    wf = Workflow("w", Task("parent", body, inject_context=True)(data))
    assert await wf.run(executor=Loopback()) == data


@task
async def same(value):
    return value


def sets_name(n):
    before = who.get()
    who.set(f"task {n}")
    return before, who.get()


async def sets_own_name(ctx):
    who.set("parent")
    return await ctx.map(Task("sets", sets_name), range(3)), who.get()


async def test_context_variables_stay_inside():
    """What a body sets in a context variable neither other bodies nor the run can see; a thread sees its own."""
    values, own = await far(sets_own_name)
    assert values == [("nobody", f"task {n}") for n in range(3)]
    assert own == "parent"
    assert who.get() == "nobody"
