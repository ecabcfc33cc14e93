"""Children are named by their ids: what they are given may be large, or may not like to be shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from graflow_async import Workflow, chain, parallel, task


class Secret:
    """A value that must not be shown."""

    def __repr__(self) -> str:
        raise AssertionError("somebody showed the argument of a child")


@task
async def leaf(value: Any) -> bool:
    return isinstance(value, Secret)


@task
async def sleeper(value: Any) -> None:
    await asyncio.Event().wait()


async def within(body: Any) -> Any:
    """Run `body(ctx)` as the only task of a run."""
    async with asyncio.timeout(60):
        return await Workflow("w", task("parent", inject_context=True)(body)).run()


async def test_no_verb_shows_the_arguments_of_a_child():
    """Starting a child costs the same whatever its arguments look like: their repr is nobody's business."""

    async def body(ctx):
        several = [await leaf(Secret()), await leaf(Secret(), task_id="named"), *await leaf.map([Secret()])]
        several += [await ctx.submit(leaf, Secret()), await ctx.call(leaf, Secret()), *await ctx.map(leaf, [Secret()])]
        several.append(await chain(leaf(Secret(), task_id="first"), leaf(Secret(), task_id="last")))
        both = await parallel(leaf(Secret(), task_id="left"), leaf(Secret(), task_id="right"))
        return all(several) and both == {"left": True, "right": True}

    assert await within(body) is True


async def test_no_blocking_verb_shows_them_either():
    """The same promise to sync tasks."""

    def body(ctx):
        return [ctx.submit(leaf, Secret()).result(), ctx.call(leaf, Secret()), *ctx.map(leaf, [Secret()])]

    assert await within(body) == [True] * 3


async def test_a_handle_names_its_child_by_id():
    """What a handle says of its child can be found in events and results: the id, numbered as the child is."""

    async def body(ctx):
        handles = [ctx.submit(sleeper, Secret()), ctx.submit(sleeper, 2), ctx.submit(sleeper(3, task_id="third"))]
        shown = [repr(handle) for handle in handles]
        handles[1].cancel()
        with pytest.raises(asyncio.CancelledError, match="'sleeper_2'"):
            await handles[1]
        for handle in handles:
            handle.cancel()
        return shown

    assert await within(body) == [f"<ChildHandle {name} pending>" for name in ("sleeper_1", "sleeper_2", "third")]
