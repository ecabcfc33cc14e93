"""Runs recorded in Redis: resumed from anywhere, forked, planned, listed, and killed at any instant."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from graflow_async import (
    CheckpointManager,
    CheckpointWriteError,
    RedisCheckpointer,
    RunLockedError,
    Task,
    TaskExecutionContext,
    Workflow,
    chain,
)
from graflow_async.checkpointer import Kind, Record
from tests.aids.redis_server import RedisServer
from tests.durability import test_compaction
from tests.durability.parts import RUN, bad_weather, clear_up, ends, first_fact, note, performed, recorded, strike
from tests.durability.programs import PROGRAMS, adds
from tests.durability.test_compaction import awaits_compaction
from tests.durability.test_every_prefix import complaint
from tests.durability.test_kills import ROOT, check

DURABILITIES = ("process", "fsync", "async", "exit")


def number_of(name: str, *, is_bad: bool = False) -> Task[Any, Any]:
    """Make a task that counts in the channel."""

    async def body(ctx: TaskExecutionContext) -> int:
        note()
        count = await ctx.channel.atomic_add("count")
        if is_bad:
            strike(ValueError(name))
        return int(count)

    return Task(name, body)


def row(last_is_bad: bool = False) -> Workflow:  # noqa: FBT001, FBT002  # a case
    return Workflow("row", chain(number_of("one"), number_of("two"), number_of("three", is_bad=last_is_bad)))


async def hold(checkpointer: RedisCheckpointer, records: list[Record]) -> None:
    """Put the records of a run into Redis, in the place of those that there are."""
    if await checkpointer.runs():
        await checkpointer.delete(RUN)
    log = await checkpointer.create(RUN)
    for record in records:
        log.append(record.kind, record.payload)
    await log.aclose()


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("name", sorted(PROGRAMS.keys() - {"times"}))
async def test_programs(name: str, durability: str, redis_url: str):
    """Recorded in Redis a run has the same value, channel and records as in memory, and its end is there."""
    wf, options = PROGRAMS[name]()
    want, _ = await recorded(wf, **options)
    checkpointer = RedisCheckpointer(redis_url)
    got = await performed(wf.run, run_id=RUN, checkpointer=checkpointer, durability=durability, **options)
    assert (got.value, got.channel, got.bodies) == want
    again = await performed(wf.resume, RUN, checkpointer=checkpointer)
    assert (again.value, again.bodies) == (want.value, {})
    (run,) = await checkpointer.runs()
    assert (run.last_kind, run.is_open) == (Kind.FINISHED, False)
    await checkpointer.aclose()


@pytest.mark.parametrize("name", ["dynamic", "loops", "calls"])
async def test_cut_anywhere(name: str, redis_url: str):
    """Cut behind any seventh record, a run resumes out of Redis to the same end, and nothing recorded runs again."""
    wf, options = PROGRAMS[name]()
    want, records = await recorded(wf, **options)
    known = ends(records, wf)
    checkpointer = RedisCheckpointer(redis_url)
    for cut in range(first_fact(records), len(records) + 1, 7):
        await hold(checkpointer, records[:cut])
        got = await performed(wf.resume, RUN, checkpointer=checkpointer)
        assert not complaint(got, want, [end for end in known if end.seq < cut]), f"{cut} of {len(records)}"
    await checkpointer.aclose()


async def test_failed_planned_resumed_and_forked(redis_url: str):
    """A run that failed is planned and resumed from another checkpointer, then forked; the manager lists both."""
    wf = row(last_is_bad=True)
    with bad_weather(), pytest.raises(ValueError):
        await wf.run(run_id=RUN, checkpointer=RedisCheckpointer(redis_url))
    clear_up()
    checkpointer = RedisCheckpointer(redis_url)
    plan = await wf.plan(RUN, checkpointer=checkpointer)
    assert (plan.kept, plan.to_run) == (["one", "two"], ["three"])
    manager = CheckpointManager(checkpointer=checkpointer)
    assert [run.status for run in await manager.list_runs()] == ["failed"]
    got = await performed(wf.resume, RUN, checkpointer=checkpointer)
    assert (got.value, got.bodies) == (3, {"three": 1})
    assert (await performed(wf.run, run_id="whole", checkpointer=checkpointer)).value == 3
    forked = await performed(wf.fork, "whole", "one", checkpointer=checkpointer, run_id="fork")
    assert (forked.value, forked.bodies) == (3, {"two": 1, "three": 1})
    listed = {run.run_id: (run.workflow, run.status, run.forked_from) for run in await manager.list_runs()}
    done = ("row", "completed", ())
    assert listed == {RUN: done, "whole": done, "fork": ("row", "completed", ("whole",))}
    assert set(await manager.prune(keep=0)) == {RUN, "whole", "fork"}
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == []


@pytest.mark.parametrize("deferred", [True, False])
async def test_named_checkpoints(deferred: bool, redis_url: str, tmp_path: Path):  # noqa: FBT001  # a case
    """A checkpoint of a run, in Redis or in a file, goes on as a run of its own."""

    async def saves(ctx: TaskExecutionContext) -> int:
        note()
        for path in (None, str(tmp_path / "copy.ckpt")) if not deferred else (None,):
            made: Any = ctx.checkpoint(path=path, deferred=deferred)
            if not deferred:
                await made
        return 5

    wf = Workflow("saving", chain(adds(task_id="first"), Task("saves", saves), adds(task_id="last")))
    checkpointer = RedisCheckpointer(redis_url)
    want = await performed(wf.run, run_id=RUN, checkpointer=checkpointer)
    places = await CheckpointManager(checkpointer=checkpointer).list_checkpoints(RUN)
    assert len(places) == (1 if deferred else 2)
    for place in places:
        got = await performed(wf.resume, place, checkpointer=checkpointer)
        assert got.value == want.value
        assert "first" not in got.bodies
        assert got.bodies["last"] == 1
    assert len(await checkpointer.runs()) == 1 + len(places)


def test_a_blocking_program(redis_url: str):
    """Outside of any loop the manager's verbs block, one loop after the other, and the run is resumed."""
    checkpointer = RedisCheckpointer(redis_url)
    wf = row(last_is_bad=True)
    with bad_weather(), pytest.raises(ValueError):
        asyncio.run(wf.run(run_id=RUN, checkpointer=checkpointer))
    clear_up()
    manager = CheckpointManager(checkpointer=checkpointer)
    assert [run.status for run in manager.list_runs()] == ["failed"]
    assert manager.resume_from_latest(wf) == 3
    assert [run.status for run in manager.list_runs()] == ["completed"]
    manager.delete(RUN)
    assert manager.list_runs() == []


async def test_one_of_two_resumers_proceeds(redis_url: str):
    """Of two who resume a run at the same time one gets it; the other is told at once that it is taken."""
    gate = asyncio.Event()

    async def waits() -> str:
        await gate.wait()
        return "done"

    wf = Workflow("w", adds(task_id="first") >> Task("waits", waits))
    gate.set()
    _, records = await recorded(wf)
    for _ in range(10):
        one, two = RedisCheckpointer(redis_url), RedisCheckpointer(redis_url)
        await hold(one, records[:-2])
        gate.clear()
        both = {asyncio.ensure_future(wf.resume(RUN, checkpointer=each)) for each in (one, two)}
        done, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        assert isinstance(done.pop().exception(), RunLockedError)
        assert not done
        gate.set()
        assert await waiting.pop() == "done"


async def test_a_long_loop_is_compacted(redis_url: str, monkeypatch: pytest.MonkeyPatch):
    """A log that grows is put together while the run goes on, and what is left of it resumes to the same end."""
    awaits_compaction(monkeypatch)
    monkeypatch.setattr(test_compaction, "HALF", 300)
    wf = Workflow("turning", test_compaction.spins >> test_compaction.tells)
    checkpointer = RedisCheckpointer(redis_url)
    assert await wf.run(run_id=RUN, checkpointer=checkpointer) == [601, 600]
    records = await checkpointer.read(RUN)
    kinds = [record.kind for record in records]
    assert kinds[0] == Kind.HEADER
    assert Kind.SNAPSHOT in kinds
    await hold(checkpointer, records[: kinds.index(Kind.SNAPSHOT) + 2])
    assert await wf.resume(RUN, checkpointer=checkpointer) == [601, 600]


async def test_a_run_stops_when_redis_forgets_it():
    """Once Redis has lost the records nothing further begins, and the run says why."""
    begun: list[int] = []
    with RedisServer() as server:

        def link(number: int) -> Task[Any, Any]:
            async def body() -> None:
                begun.append(number)
                if number == 3:
                    await asyncio.to_thread(server.restart)

            return Task(f"t{number}", body)

        wf = Workflow("row", chain(*map(link, range(8))))
        with pytest.raises(CheckpointWriteError, match="gone from Redis"):
            await wf.run(run_id=RUN, checkpointer=RedisCheckpointer(server.url))
        assert begun == [0, 1, 2, 3]


async def test_a_run_outlives_redis():
    """A Redis that dies during a run and comes back with its data holds the run up, and nothing runs twice."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:

        def link(number: int) -> Task[Any, Any]:
            async def body(ctx: TaskExecutionContext) -> int:
                note()
                if number % 3 == 1:
                    await asyncio.to_thread(server.restart)
                return int(await ctx.channel.atomic_add("count"))

            return Task(f"t{number}", body)

        wf = Workflow("row", chain(*map(link, range(8))))
        checkpointer = RedisCheckpointer(server.url, patience=40.0)
        got = await performed(wf.run, run_id=RUN, checkpointer=checkpointer)
        assert got.value == 8
        assert set(got.bodies.values()) == {1}
        records = await checkpointer.read(RUN)
        assert [record.seq for record in records] == list(range(len(records)))
        assert (await performed(wf.resume, RUN, checkpointer=checkpointer)).value == 8


def kill(url: str, place: Path, seed: int, kills: int, patience: float) -> list[dict[str, Any]]:
    """Let killed_redis.py work in a process of its own, and give what it tells."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.durability.killed_redis", str(place), str(seed), str(kills), "process"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "GRAFLOW_REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.chaos
def test_killed_twenty_times(redis_url: str, tmp_path: Path):
    """SIGKILL at a random instant: equal result, exact counters, nothing recorded runs again, few repeats."""
    seed = 11
    assert check(kill(redis_url, tmp_path, seed, 20, 400), 20, f"seed {seed}")["kills"] >= 20


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_killed_two_hundred_times(seed: int, redis_url: str, tmp_path: Path):
    """The same fifty times for each of four seeds."""
    print(f"seed {seed}: {check(kill(redis_url, tmp_path, seed, 50, 600), 50, f'seed {seed}')}")  # noqa: T201  # seeds are told
