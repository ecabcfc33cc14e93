"""When the end of a task was safe in the journal is recorded apart from when it ended (SPEC 8)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import graflow_async as g
from graflow_async import MemoryCheckpointer, Workflow
from tests.aids.simloop import run_sim
from tests.story.parts import SimClock, sleeper

pytestmark = pytest.mark.unrecorded


class SlowLog:
    """A log that takes a second of the clock to make anything safe."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def push(self, *, sync: bool = False) -> bool:
        del sync
        return False

    async def flush(self, *, sync: bool = False) -> None:
        await asyncio.sleep(1)
        await self._log.flush(sync=sync)


class SlowCheckpointer(MemoryCheckpointer):
    """Gives slow logs."""

    async def create(self, run_id: str) -> Any:
        return SlowLog(await super().create(run_id))


def saved(durability: str) -> tuple[list[g.Span], str]:
    async def main() -> Any:
        run = Workflow("w", sleeper("a", 2) >> sleeper("b", 3)).start(
            clock=SimClock(), checkpointer=SlowCheckpointer(), durability=durability
        )
        async with run:
            await run
        return run

    run = run_sim(main, 0)
    return run.timeline(), str(run.explain("a"))


def test_the_end_and_its_safety_are_two_moments() -> None:
    """A body ends when it returns; what follows begins a second later, when that is safe."""
    (a, b), text = saved("process")
    assert a.started_at is not None
    assert [at - a.started_at for at in (a.finished_at, a.saved_at) if at is not None] == [2, 3]
    assert b.queued_at == a.saved_at
    assert text.endswith("Its end was safe 1.00 s later.")


def test_nothing_is_said_of_what_is_not_known() -> None:
    """Where results are written behind, or never, nobody knows when an end was safe."""
    for spans in (saved("async")[0], saved("exit")[0]):
        assert [span.saved_at for span in spans] == [None, None]
