"""What a run has come to so far, looked at by a task elsewhere: a thread waits for it, a coroutine has to ask."""

from __future__ import annotations

from typing import Any

import pytest

from graflow_async import GraflowRuntimeError, Task, Workflow
from tests.aids.loopback import Loopback
from tests.far.parts import double

pytestmark = pytest.mark.near  # it crosses a border of its own


def looks(ctx: Any) -> Any:
    """Look in a thread."""
    ctx.call(double(7))
    with pytest.raises(KeyError, match="nothing"):
        ctx.results["nothing"]
    return (
        sorted(ctx.results),
        len(ctx.results),
        ctx.results["first"],
        ctx.results.get("nothing", 5),
        "none" in ctx.results,
    )


async def asks(ctx: Any) -> Any:
    """Look on a loop, where nothing may wait."""
    for look in (len, list, lambda results: results["first"], lambda results: results.get("first")):
        with pytest.raises(GraflowRuntimeError, match=r"await ctx\.get_result"):
            look(ctx.results)
    return await ctx.get_result("first"), await ctx.get_result("nothing", 5)


def program(body: Any) -> Workflow:
    """Make a task with a result, one with none that is anything, and one that looks."""
    first = Task("first", lambda: {"n": 1})
    return Workflow("w", first >> Task("none", lambda: None) >> Task("looks", body, inject_context=True))


async def test_a_thread_waits_for_results() -> None:
    """`ctx.results` is there what it is here, for a task in a thread."""
    expected = await program(looks).run()
    assert expected == (["double_1", "first", "none"], 3, {"n": 1}, 5, True)
    assert await program(looks).run(executor=Loopback()) == expected


async def test_a_coroutine_is_told_to_ask() -> None:
    """Elsewhere a coroutine is refused, with what to write instead, which works."""
    assert await program(asks).run(executor=Loopback()) == ({"n": 1}, 5)
