"""A log that grows is put together into a snapshot while the run goes on; what resumes from there is the same run."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import FileCheckpointer, TaskExecutionContext, Workflow, task
from graflow_async._runtime import journal
from graflow_async.checkpointer import Kind
from graflow_async.keeping import Keeper
from graflow_async.recovery import subject_of
from graflow_async.resume import fresh, opening_of
from tests.durability.parts import RUN, ends, holding, performed, recorded, too_many
from tests.durability.programs import PROGRAMS

if TYPE_CHECKING:
    from pathlib import Path

    from graflow_async.checkpointer import Record


HALF = 1500
put_together: list[asyncio.Event] = []  # set when the log has been put together, where a test waits for that


@task(inject_context=True, max_cycles=10**6)
async def spins(ctx: TaskExecutionContext, turn: int = 0) -> int:
    await ctx.channel.atomic_add("turns")
    await ctx.channel.set("last", turn)
    if turn == HALF and put_together:
        await put_together[0].wait()
    if turn < 2 * HALF:
        ctx.next_iteration(turn + 1)
    return turn


@task
async def tells(ctx: TaskExecutionContext) -> Any:
    return [await ctx.channel.get("turns"), await ctx.channel.get("last")]


def awaits_compaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let logs be put together soon, and the loop of `spins` wait for that half way."""
    monkeypatch.setattr(journal, "COMPACT_AT", 20_000)
    compact = Keeper._compact
    put_together[:] = [asyncio.Event()]

    async def compact_and_tell(keeper: Keeper, before: int) -> None:
        try:
            await compact(keeper, before)
        finally:
            put_together[0].set()

    monkeypatch.setattr(Keeper, "_compact", compact_and_tell)


async def test_a_log_stays_short_while_a_loop_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop of any length keeps a log of bounded length, and a run resumed from its snapshot counts on."""
    awaits_compaction(monkeypatch)
    wf = Workflow("turning", spins >> tells)
    checkpointer = FileCheckpointer(tmp_path)
    assert await wf.run(checkpointer=checkpointer, run_id=RUN) == [3001, 3000]
    records = await checkpointer.read(RUN)
    await checkpointer.aclose()
    assert Kind.SNAPSHOT in {record.kind for record in records}
    assert len(records) < 2 * HALF
    cut = next(i for i, record in enumerate(records) if record.kind == Kind.SNAPSHOT) + 2
    resumed = await holding(records[:cut])
    assert await wf.resume(RUN, checkpointer=resumed) == [3001, 3000]


async def with_snapshot(wf: Workflow, records: list[Record], upto: int) -> Any:
    """Give a checkpointer in which the first records stand as a snapshot; None for a run that was about to end."""
    checkpointer = await holding(records)
    log, _ = await checkpointer.open(RUN)
    keeper: Any = Keeper(checkpointer, "process", wf.templates, is_own=False)
    state = fresh(opening_of(records), subject_of(wf), None).state
    keeper.journal = type("Told", (), {"state": state})()
    made = keeper._put_together(records[:upto], None, 10**9)
    if made is not None:
        await log.compact(made, upto)
    await log.aclose()
    return None if made is None else checkpointer


@pytest.mark.parametrize("name", PROGRAMS)
async def test_any_snapshot_followed_by_any_records_goes_on(name: str) -> None:
    """Wherever a snapshot is taken and wherever the log ends behind it, the run comes to the same end."""
    seed = 20261121
    rng = random.Random(seed)
    wf, options = PROGRAMS[name]()
    want, records = await recorded(wf, **options)
    known = ends(records, wf)
    for _ in range(12):
        cut = rng.randrange(3, len(records))
        upto = rng.randrange(3, cut + 1)
        checkpointer = await with_snapshot(wf, records[:cut], upto)
        if checkpointer is None:
            continue
        got = await performed(wf.resume, RUN, checkpointer=checkpointer)
        where = f"seed {seed}: {name}, a snapshot of {upto} of {cut} records"
        assert got.value == want.value, where
        surplus = too_many(got.bodies, want.bodies, [end for end in known if end.seq < cut])
        assert not surplus, f"{where}: {surplus}"
