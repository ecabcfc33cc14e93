"""A recorded program whose bodies run over the border; it dies in the middle, as often as files do not say otherwise.

Called as: python -m tests.far.killed PLACE here|far
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from graflow_async import Task, Workflow
from tests.aids.loopback import Loopback

PLACE = "GRAFLOW_TEST_PLACE"


def place() -> Path:
    """Give the directory in which everything is kept."""
    return Path(os.environ[PLACE])


def told(what: str) -> None:
    """Note that something was done."""
    with (place() / "done").open("a", encoding="utf-8") as file:
        file.write(f"{what}\n")


def die_once(name: str) -> None:
    """End the process without a word, the first time."""
    mark = place() / f"died at {name}"
    if not mark.exists():
        mark.touch()
        os._exit(9)


async def first(ctx: Any) -> int:
    """End before anything happens."""
    told("first")
    await ctx.channel.set("of first", 1)
    return 1


async def child(n: int) -> int:
    """Be called by a body that starts over."""
    told(f"child {n}")
    return n * 10


async def second(ctx: Any) -> list[Any]:
    """Write, take a step, call, die, and go on."""
    told("second")
    await ctx.channel.append("list", "before")
    value = await ctx.step("k", step, ctx)
    called = await ctx.map(Task("child", child), [1, 2])
    run = await ctx.run_workflow(Workflow("inner", Task("child", child)(3)))
    await ctx.sleep(0.001)
    die_once("second")
    return [value, called, run, await ctx.channel.get("list"), await ctx.channel.get("of first"), ctx.idempotency_key]


async def step(ctx: Any) -> str:
    """Write as part of a step."""
    told("step")
    await ctx.channel.append("list", "in step")
    return "stepped"


wf = Workflow("killed", Task("first", first, inject_context=True) >> Task("second", second, inject_context=True))


async def main(where: str) -> None:
    """Begin, or go on."""
    options: dict[str, Any] = {"checkpoint_dir": place() / "journal"}
    if where == "far":
        options["executor"] = Loopback()
    if (place() / "done").exists():
        value = await wf.resume("r", **options)
    else:
        value = await wf.run(run_id="r", **options)
    told(repr(value))


if __name__ == "__main__":
    os.environ[PLACE] = sys.argv[1]
    from tests.far import killed

    asyncio.run(killed.main(sys.argv[2]))
