"""Questions outlive processes: wherever a log ends, each is asked once, answered once, and keeps its deadline."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graflow_async import (
    FeedbackManager,
    FeedbackState,
    FileBroker,
    FileCheckpointer,
    MemoryBroker,
    MemoryCheckpointer,
    Task,
    Workflow,
    parallel,
)
from tests.aids.simloop import run_sim
from tests.durability.parts import RUN, bad_weather, counted, ends, first_fact, is_bad, note, strike, too_many
from tests.durability.people import PROGRAMS, Seen, Told, first, program, told
from tests.durability.test_compaction import with_snapshot
from tests.feedback.people import answer, shown

SEEDS = (1, 2)
SCRIPT = "import asyncio, pathlib; from tests.durability.test_people import live; "


def complaint(got: Seen, want: Seen, known: Any) -> str:
    """Say what is not as it must be after a resumption; nothing if all is well."""
    if got.value != want.value:
        return f"value {got.value!r} instead of {want.value!r}"
    if not got.bodies:
        return ""  # its end was in the records
    if got.channel != want.channel:
        return f"channel {got.channel!r} instead of {want.channel!r}"
    if got.asked != want.asked:
        return f"asked {got.asked - want.asked!r} more and {want.asked - got.asked!r} less"
    moved = {q for q, deadline in got.deadlines.items() if want.deadlines.get(q, deadline) != deadline}
    if moved:
        return f"deadlines of {moved} moved"
    surplus = too_many(got.bodies, want.bodies, known)
    return f"bodies {surplus}" if surplus else ""


async def every_cut(wf: Workflow, letters: Any, snapshots: bool, options: dict[str, Any]) -> list[str]:  # noqa: FBT001
    """Cut the log of a run behind every record, put the broker back, go on; list what went wrong."""
    run: Told = await told(wf, letters, **options)
    known = ends(run.records, wf)
    wrong: list[str] = []
    for cut in range(first_fact(run.records), len(run.records) + 1):
        for latest in (False, True):
            kept = await with_snapshot(wf, run.records[:cut], cut) if snapshots else None
            if snapshots and kept is None:
                continue
            try:
                got = await run.resumed(wf, cut, latest=latest, checkpointer=kept)
                found = complaint(got, run.seen, [end for end in known if end.seq < cut])
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            if found:
                wrong.append(f"{cut} of {len(run.records)} records, broker {latest=}: {found}")
    return wrong


@pytest.mark.parametrize("options", [{}, {"max_concurrency": 1}], ids=str)
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("snapshots", [False, True], ids=["log", "snapshot"])
def test_every_cut(name, options, snapshots):
    """Cut behind any record (or put together into a snapshot there): same value, no question asked twice or moved."""
    tasks, letters = PROGRAMS[name]
    for seed in SEEDS:
        wrong = run_sim(lambda: every_cut(program(*tasks), letters, snapshots, options), seed)
        assert not wrong, f"{name} {options} run_sim seed {seed}\n" + "\n".join(wrong)


def test_cut_twice():
    """A resumption that dies, too, comes to the same end; nobody is asked twice in three lives."""

    async def main(rng: random.Random) -> list[str]:
        wrong: list[str] = []
        tasks, letters = PROGRAMS["plain"]
        wf = program(*tasks)
        run = await told(wf, letters)
        for _ in range(25):
            cut = rng.randrange(first_fact(run.records), len(run.records))
            latest = rng.random() < 0.5
            got = await run.resumed(wf, cut, latest=latest)
            if got.value != run.seen.value or got.asked != run.seen.asked:
                wrong.append(f"{cut} {latest}: {got}")
        return wrong

    for seed in SEEDS:
        wrong = run_sim(lambda: main(random.Random(seed)), seed)  # noqa: B023  # it runs at once
        assert not wrong, f"seed {seed}\n" + "\n".join(wrong)


async def silent(ctx: Any) -> Any:
    note()
    return await ctx.request_text_input("silent?", request_id="q", timeout=1)


def test_every_cut_of_a_paused_run():
    """A run that paused for want of an answer pauses again from each of its records, under the same question."""

    async def main() -> None:
        wf = Workflow("w", parallel(Task("silent", silent, inject_context=True), first, name="both"))
        run = await told(wf)
        assert run.seen.value[0] == "paused"
        for cut in range(first_fact(run.records), len(run.records) + 1):
            for latest in (False, True):
                got = await run.resumed(wf, cut, latest=latest)
                assert got.value[0] == "paused", (cut, latest)
                assert "q" in got.value[1], (cut, latest)
                assert got.asked[("silent", "silent?")] == 1, (cut, latest)
                assert set(got.asked.values()) == {1}, (cut, latest)

    for seed in SEEDS:
        run_sim(main, seed)


# -- runs that failed ---------------------------------------------------------------------------------------------


async def test_a_failed_run_is_told_again_with_its_answers():
    """After a failure answers that were given stay; a question that was withdrawn with its task is asked anew."""

    async def fails(ctx: Any) -> str:
        note()
        said = await ctx.request_text_input("?", request_id="fails")
        if is_bad():
            await shown(broker, "sibling")
        strike(ValueError("weather"))
        return said

    async def sibling(ctx: Any) -> str:
        note()
        return await ctx.request_text_input("?", request_id="sibling")

    async def before(ctx: Any) -> str:
        note()
        return await ctx.request_text_input("?", request_id="before")

    broker = MemoryBroker()
    manager = FeedbackManager(broker)
    both = parallel(*(Task(f.__name__, f, inject_context=True) for f in (fails, sibling)), name="both")
    wf, place = Workflow("w", Task("before", before, inject_context=True) >> both), MemoryCheckpointer()
    answering = asyncio.ensure_future(answer(manager, RUN, before="yes", fails="said"))
    with bad_weather(), pytest.raises(ExceptionGroup):
        await wf.run(run_id=RUN, checkpointer=place, feedback=broker)
    await answering
    withdrawn = await manager.get("sibling", RUN)
    assert withdrawn.state is FeedbackState.CANCELLED
    with counted() as bodies:
        async with asyncio.TaskGroup() as group:
            group.create_task(answer(manager, RUN, sibling="said too"))
            resumed = group.create_task(wf.resume(RUN, checkpointer=place, feedback=broker))
    assert resumed.result() == {"fails": "said", "sibling": "said too"}
    assert bodies == {"fails": 1, "sibling": 1}
    names = [record.request.request_id for record in await broker.find(run_id=RUN)]
    assert sorted(names) == ["before", "fails", "sibling", "sibling"]


# -- processes that are killed ------------------------------------------------------------------------------------


async def steps(ctx: Any) -> list[Any]:
    """Ask one after the other, wait for an event, ask two at once."""
    found: list[Any] = [await ctx.request_text_input("?", request_id="one", channel_key="k", timeout=600)]
    found.append(await ctx.wait_for_event("go"))
    found += await asyncio.gather(*(ctx.request_text_input("?", request_id=name) for name in ("two", "three")))
    return [*found, await ctx.get_channel().get("k")]


class Deadly(FileBroker):
    """A broker that kills its process with the n-th call of its verbs, before or after it is carried out."""

    left = 0

    async def _do(self, *args: Any) -> Any:
        Deadly.left -= 1
        if Deadly.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        value = await super()._do(*args)
        Deadly.left -= 1
        if Deadly.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return value


async def live(home: Path, kill_at: int) -> None:
    """Begin the run, or go on with it; killed at the n-th moment, if there are so many."""
    Deadly.left = kill_at
    wf = Workflow("w", Task("steps", steps, inject_context=True))
    checkpointer = FileCheckpointer(home)
    options: Any = {"checkpointer": checkpointer, "feedback": Deadly(home / ".feedback")}
    is_known = any(info.run_id == RUN for info in await checkpointer.runs())
    value = await (wf.resume(RUN, **options) if is_known else wf.run(run_id=RUN, **options))
    await checkpointer.aclose()
    sys.stdout.write(repr(value))


async def one_life(home: Path, kill_at: int) -> tuple[int, str]:
    """Let another process have the run; give how it ended, and what it printed."""
    script = f"{SCRIPT}asyncio.run(live(pathlib.Path({str(home)!r}), {kill_at}))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


@pytest.mark.slow
@pytest.mark.chaos
async def test_killed_between_any_two_steps(tmp_path):
    """RELIABILITY F2: killed before and after each step at the broker, in life after life, a run asks each once."""
    broker = FileBroker(tmp_path / ".feedback")
    manager = FeedbackManager(broker)
    await manager.send(RUN, "go", {"n": 1})
    answering = asyncio.ensure_future(answer(manager, RUN, one="1", two="2", three="3"))
    deadlines: set[float | None] = set()
    kills, code, out = 0, -signal.SIGKILL, ""
    while code == -signal.SIGKILL:
        kills += 1
        code, out = await one_life(tmp_path, kills)
        deadlines |= {r.request.deadline for r in await broker.find(run_id=RUN, request_id="one")}
    await answering
    assert (code, out) == (0, "['1', {'n': 1}, '2', '3', '1']")
    assert kills > 5
    records = await broker.find(run_id=RUN)
    assert sorted(record.request.request_id for record in records) == ["one", "three", "two"]
    assert {record.state for record in records} == {FeedbackState.ANSWERED}
    assert len(deadlines) == 1
    assert await broker.letters(RUN) == []
    await broker.aclose()


@pytest.mark.slow
async def test_answered_while_nobody_runs(tmp_path):
    """Killed while it waits, answered while it is dead, gone on with by a third process."""
    broker = FileBroker(tmp_path / ".feedback")
    manager = FeedbackManager(broker)
    script = f"{SCRIPT}asyncio.run(live(pathlib.Path({str(tmp_path)!r}), -1))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, cwd=Path(__file__).parents[2])
    (record,) = await shown(broker, "one", run_id=RUN)
    process.kill()
    await process.wait()
    await manager.respond(record.request.id, text="1")
    await manager.send(RUN, "go", "event")
    answering = asyncio.ensure_future(answer(manager, RUN, two="2", three="3"))
    assert await one_life(tmp_path, -1) == (0, "['1', 'event', '2', '3', '1']")
    await answering
    assert len(await broker.find(run_id=RUN)) == 3
    await broker.aclose()
