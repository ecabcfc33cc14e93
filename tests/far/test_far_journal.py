"""A run with a journal keeps what bodies elsewhere have done, asked and been told, as it does for bodies here."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graflow_async import FeedbackManager, MemoryCheckpointer, Task, Workflow, WorkflowPausedError
from tests.aids.loopback import Loopback
from tests.far import parts
from tests.far.parts import alone, double

pytestmark = pytest.mark.near  # it crosses a border of its own

ROOT = Path(__file__).parents[2]


def program(place: Path, where: str) -> int:
    """Run the program that dies, and give its exit code."""
    command = [sys.executable, "-m", "tests.far.killed", str(place), where]
    environment = {**os.environ, "GRAFLOW_TEST_PLACE": str(place)}
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=False).returncode


@pytest.mark.slow
@pytest.mark.chaos
def test_a_killed_run_goes_on(tmp_path):
    """After a kill in the middle of a body the same is done again as without a border, and nothing twice."""
    stories: dict[str, list[str]] = {}
    for where in ("here", "far"):
        place = tmp_path / where
        place.mkdir()
        assert program(place, where) == 9
        assert program(place, where) == 0
        stories[where] = (place / "done").read_text(encoding="utf-8").splitlines()
    assert stories["far"] == stories["here"]
    assert stories["far"].count("step") == stories["far"].count("child 1") == stories["far"].count("first") == 1
    assert stories["far"].count("second") == 2


async def test_a_failed_run_goes_on():
    """Resumed, the run keeps results; the failed body's steps and called children are found again."""
    place = MemoryCheckpointer()

    async def weak(ctx: Any) -> Any:
        value = await ctx.step("k", _counted)
        child = await ctx.call(double, 4)
        parts.count["weak"] += 1
        if parts.count["weak"] == 1:
            raise ValueError("the first time")
        return value, child, await ctx.get_result("first")

    wf = Workflow("w", Task("first", _first) >> Task("weak", weak, inject_context=True))
    with pytest.raises(ValueError, match="the first time"):
        await wf.run(run_id="r", checkpointer=place, executor=Loopback())
    assert await wf.resume("r", checkpointer=place, executor=Loopback()) == (1, 8, "first")
    assert (parts.count["step"], parts.count["first"]) == (1, 1)


async def _counted() -> int:
    parts.count["step"] += 1
    return parts.count["step"]


async def _first() -> str:
    parts.count["first"] += 1
    return "first"


async def asks(ctx: Any) -> Any:
    """Ask, and wait for an event."""
    parts.count["asks"] += 1
    name = await ctx.request_text_input("Name?", request_id="name", timeout=0.05)
    return name, await ctx.wait_for_event("go")


def asks_in_a_thread(ctx: Any) -> Any:
    """Do the same in a thread."""
    parts.count["asks"] += 1
    name = ctx.request_text_input("Name?", request_id="name", timeout=0.05)
    return name, ctx.wait_for_event("go")


@pytest.mark.parametrize("body", [asks, asks_in_a_thread], ids=["async", "sync"])
async def test_a_question_pauses_the_run(body, tmp_path):
    """A question that nobody answers in time pauses the run; answered, it is found again when the run is resumed."""
    wf, options = alone(body), {"checkpoint_dir": tmp_path}
    with pytest.raises(WorkflowPausedError) as caught:
        async with asyncio.timeout(30):
            await wf.run(run_id="r", executor=Loopback(), **options)
    assert caught.value.request_ids == ("name",)
    manager = FeedbackManager("file", checkpoint_dir=tmp_path)
    await manager.respond("name", text="Ann")
    await manager.send("r", "go", 5)
    async with asyncio.timeout(30):
        assert await wf.resume("r", executor=Loopback(), **options) == ("Ann", 5)
    assert parts.count["asks"] == 2


@pytest.mark.parametrize("is_sync", [False, True], ids=["async", "sync"])
async def test_checkpoints_are_taken(is_sync, tmp_path):
    """ctx.checkpoint takes one at once, and one when the body has returned."""
    here, after = tmp_path / "here.ckpt", tmp_path / "after.ckpt"

    async def saves(ctx: Any) -> Any:
        place, about = await ctx.checkpoint({"n": 1}, path=here, deferred=False)
        ctx.checkpoint({"n": 2}, path=after)
        return Path(place).name, about["n"] if "n" in about else about["metadata"]["n"]

    def saves_sync(ctx: Any) -> Any:
        place, about = ctx.checkpoint({"n": 1}, path=here, deferred=False)
        ctx.checkpoint({"n": 2}, path=after)
        return Path(place).name, about["n"] if "n" in about else about["metadata"]["n"]

    wf = alone(saves_sync if is_sync else saves)
    async with asyncio.timeout(30):
        value = await wf.run(run_id="r", checkpoint_dir=tmp_path / "journal", executor=Loopback())
    assert value == ("here.ckpt", 1)
    assert here.exists()
    assert after.exists()


async def test_without_a_journal_there_is_no_checkpoint():
    """The refusal is the one that a body here gets."""

    async def saves(ctx: Any) -> None:
        ctx.checkpoint()

    with pytest.raises(Exception, match="needs a journal"):
        await alone(saves).run(executor=Loopback())
