"""A group with an executor of its own travels from a task elsewhere to the run, which has its members run there."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from graflow_async import Job, NotSerializableError, ParallelGroup, Task, Workflow, parallel, task
from tests.aids.loopback import Loopback
from tests.far.parts import alone, count, double, far

REFUSED = r"executor 'mine' of a group cannot be sent .*give it to the run"
pytestmark = pytest.mark.near  # it crosses a border of its own


class Marks:
    """An executor that travels: it counts under its name what it runs."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def execute(self, job: Job) -> Any:
        count[f"{self.name} ran"] += 1
        value = job.func(*job.args, **job.kwargs)
        return await value if asyncio.iscoroutine(value) else value

    async def aclose(self) -> None:
        count[f"{self.name} closed"] += 1


class Stays(Marks):
    """An executor that does not travel."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.lock = threading.Lock()


def group(executor: Any) -> Any:
    """Make a group whose members run there."""
    return ParallelGroup([double(1), Task("one", _one), double(2)], name="g", coordinator=executor)


def _one() -> int:
    return 1


async def awaits(ctx: Any) -> Any:
    """Await a group."""
    return sorted((await group(Marks("m"))).values())


async def submits(ctx: Any) -> Any:
    """Submit one."""
    return sorted(
        (
            await ctx.submit(parallel(double(1), Task("one", _one), double(2)).with_execution(executor=Marks("m")))
        ).values()
    )


def calls(ctx: Any) -> Any:
    """Call one from a thread."""
    return sorted(ctx.call(group(Marks("m"))).values())


async def runs(ctx: Any) -> Any:
    """Run a workflow that has one."""
    return sorted((await ctx.run_workflow(Workflow("inner", group(Marks("m"))))).values())


@pytest.mark.parametrize("body", [awaits, submits, calls, runs], ids=lambda body: body.__name__)
async def test_members_run_where_their_group_says(body: Any) -> None:
    """Awaited, submitted, called or in a child run: the members run with the group's executor, which the run closes."""
    assert await alone(body).run() == [1, 2, 4]
    here = dict(count)
    assert here == {"m ran": 3, "m closed": 1}
    count.clear()
    assert await far(body) == [1, 2, 4]
    assert dict(count) == here


async def test_a_wished_group_runs_where_it_says() -> None:
    """A body elsewhere may wish for such a group, too; a second one of that name has the executor of the first."""

    async def wishes(ctx: Any) -> str:
        ctx.next_task(group(Marks("m")))
        ctx.next_task(ParallelGroup([Task("last", _one)], name="h", executor=Marks("m")))
        return "wished"

    assert await far(wishes) == "wished"
    assert dict(count) == {"m ran": 4, "m closed": 1}


async def test_the_runs_executor_of_that_name_counts() -> None:
    """What the run has under that name is taken, and what the group brings need not travel then."""
    there = Loopback()

    async def parent(ctx: Any) -> Any:
        return sorted((await group(Stays("mine"))).values())

    value = await alone(parent, executor="far").run(executor={"far": there, "mine": Marks("given")})
    assert value == [1, 2, 4]
    assert dict(count) == {"given ran": 3, "given closed": 1}


@pytest.mark.unrecorded  # values that are kept in memory may be anything
@pytest.mark.parametrize("is_sync", [False, True], ids=["async", "sync"])
async def test_what_cannot_travel(*, is_sync: bool) -> None:
    """An executor that cannot be pickled is refused, with its name and with what to do; the task may go on."""

    async def parent(ctx: Any) -> Any:
        with pytest.raises(NotSerializableError, match=REFUSED) as caught:
            await group(Stays("mine"))
        return str(caught.value), await double(4)

    def parent_sync(ctx: Any) -> Any:
        with pytest.raises(NotSerializableError, match=REFUSED) as caught:
            ctx.call(group(Stays("mine")))
        return str(caught.value), ctx.call(double(4))

    text, value = await far(parent_sync if is_sync else parent)
    assert value == 8
    assert "lock" in text


@task
async def within(n: int) -> Any:
    """Await a group in a child of a body elsewhere."""
    return sum((await group(Marks("m"))).values()) + n


async def test_a_child_brings_it_along() -> None:
    """Children of bodies elsewhere do the same; each brings its own, and the run has one."""

    async def parent(ctx: Any) -> Any:
        return await ctx.map(within, range(3))

    assert await far(parent) == [7, 8, 9]
    assert dict(count) == {"m ran": 9, "m closed": 1}
