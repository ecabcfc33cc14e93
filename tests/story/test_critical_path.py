"""The critical path: which spans determined when a run ended (SPEC 8)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import graflow_async as g
from graflow_async import Task, Workflow
from tests.aids.simloop import run_sim
from tests.story.parts import SEEDS, SimClock, played, sleeper


def path(run: Any) -> list[str]:
    return [span.task_id for span in run.critical_path()]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_diamond_goes_through_its_slower_side(seed: int) -> None:
    """Of two branches the one that ended last is on the path; the length of the path is that of the run."""
    run = played(Workflow("w", sleeper("a", 1) >> (sleeper("b", 2) | sleeper("c", 5)) >> sleeper("d", 1)), seed)
    spans = run.critical_path()
    assert path(run) == ["a", "c", "d"]
    assert sum(span.seconds for span in spans) == 7


def test_it_follows_attempts_and_turns() -> None:
    """Attempts that failed and turns before are part of the path, in order."""

    async def body(ctx: g.TaskExecutionContext) -> None:
        await asyncio.sleep(1)
        if ctx.attempt == 1:
            raise ValueError
        if ctx.cycle_count < 2:
            ctx.next_iteration()

    policy = g.RetryPolicy(1, initial_interval=5)
    run = played(Workflow("w", sleeper("first", 1) >> (Task("t", body, retry_policy=policy) | sleeper("other", 3))))
    assert [(s.task_id, s.turn, s.attempt) for s in run.critical_path()] == [
        ("first", 1, 1),
        ("t", 1, 1),
        ("t", 1, 2),
        ("t", 2, 1),
        ("t", 2, 2),
    ]


def test_it_follows_who_made_room() -> None:
    """A task that waited for a limit owes its start to the one that gave up its place, not to its predecessor."""
    one = sleeper("one", 4, limits=("tool",))
    two = sleeper("two", 3, limits=("tool",))
    run = played(Workflow("w", sleeper("before_one", 1) >> one | sleeper("before_two", 2) >> two), limits={"tool": 1})
    assert path(run) == ["before_one", "one", "two"]


def test_it_goes_into_children_that_were_waited_for() -> None:
    """What a body waited for is on the path: chains of children, and the last item of a map."""

    async def parent(ctx: g.TaskExecutionContext) -> None:
        slow = ctx.submit(sleeper("unneeded", 1))
        await ctx.call(sleeper("called", 2))
        await slow
        await ctx.map(Task("item", item), [3, 5, 4])
        await asyncio.sleep(1)
        ctx.next_task(sleeper("b", 2) >> sleeper("c", 2))
        ctx.next_task(sleeper("d", 1))

    async def item(seconds: int) -> None:
        await asyncio.sleep(seconds)

    run = played(Workflow("w", Task("parent", parent) >> sleeper("last", 1)))
    assert path(run) == ["parent", "called", "item_2", "b", "c", "last"]
    assert run.timeline()[0].finished_at == 12


@pytest.mark.near  # elsewhere nobody says when a body really waits
def test_work_beside_a_child_is_the_parents_own() -> None:
    """A child that ended while its parent was busy itself, and awaited only afterwards, held nobody up."""

    async def parent(ctx: g.TaskExecutionContext) -> None:
        child = ctx.submit(sleeper("child", 1))
        await asyncio.sleep(5)
        await child

    assert path(played(Workflow("w", Task("parent", parent)))) == ["parent"]


def test_a_failed_run_ends_with_its_failure() -> None:
    """What is cancelled because of a failure is not on the path, though it ends after it."""

    async def bad() -> None:
        await asyncio.sleep(2)
        raise ValueError

    run = played(Workflow("w", sleeper("a", 1) >> (Task("bad", bad) | sleeper("long", 9))))
    assert path(run) == ["a", "bad"]


def test_a_run_that_goes_on_has_one_so_far() -> None:
    """Before anything has ended there is no path; later it leads to what has ended last."""

    async def main() -> list[list[str]]:
        found = []
        async with Workflow("w", sleeper("a", 2) >> sleeper("b", 2)).start(clock=SimClock()) as run:
            for _ in range(2):
                await asyncio.sleep(1.5)
                found.append(path(run))
        return [*found, path(run)]

    assert run_sim(main, 0) == [[], ["a"], ["a", "b"]]


def test_a_long_map_takes_no_long_time() -> None:
    """A path through thousands of children, none of which was waited for alone, is found in one go."""

    async def fan(ctx: g.TaskExecutionContext) -> None:
        for _ in range(3):
            await ctx.map(Task("item", item), range(2000), max_concurrency=500)

    async def item(n: int) -> None:
        await asyncio.sleep(n % 3)

    run = played(Workflow("w", Task("fan", fan)))
    spans = run.critical_path()
    assert spans[0].task_id == "fan"
    assert 3 < len(spans) < 40
