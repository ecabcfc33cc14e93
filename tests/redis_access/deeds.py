"""All that talks to a Redis, done once for a URL: the same in every setting."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import FeedbackManager, Task, TaskExecutionContext, Workflow, WorkflowPausedError, parallel, task
from graflow_async._redis.jobs import Heart, Job, JobQueue, News
from graflow_async.brokers.redis import RedisBroker
from graflow_async.checkpoints.redis import RedisCheckpointer
from graflow_async.cli import doctor_redis
from graflow_async.feedback import FeedbackRequest, FeedbackState, FeedbackType
from graflow_async.stores.redis import RedisStore
from graflow_async.worker import Worker
from tests.redis_access.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

WITHIN = 150.0  # seconds; a Sentinel that was stopped for two does nothing for half a minute


@task
async def square(x: int) -> int:
    """Square a number."""
    return x * x


@task(executor="redis", inject_context=True)
async def sums(ctx: TaskExecutionContext, n: int) -> int:
    """Add to the channel, and sum squares made by children."""
    await ctx.channel.atomic_add("sum", n)
    return sum(await ctx.map(square, range(n)))


@task(executor="redis", inject_context=True)
async def total(ctx: TaskExecutionContext) -> Any:
    """Give what was added."""
    return await ctx.channel.get("sum"), os.getpid()


async def asks(ctx: Any) -> str:
    """Ask somebody who is not there."""
    return await ctx.request_text_input("Which way?", request_id="way", timeout=0.05)


@asynccontextmanager
async def serving(url: str, *names: str, options: tuple[str, ...] = ()) -> AsyncIterator[list[str]]:
    """Let workers, each a process of its own, serve for a while; give what they say, all of it when they have gone."""
    said: list[str] = []
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    async with AsyncExitStack() as stack:
        workers: list[asyncio.subprocess.Process] = []
        for name in names:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "graflow_async.worker", "--redis-url", url, "--worker-id", name, *options),
                cwd=ROOT,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            workers.append(process)
            stack.push_async_callback(_end, process, said)
        for process in workers:
            assert process.stdout is not None
            while "serves queue" not in (line := (await process.stdout.readline()).decode()):
                said.append(line)
                assert line, said
        yield said


async def _end(process: asyncio.subprocess.Process, said: list[str]) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    said.append((await process.communicate())[0].decode())


async def everything(url: str) -> None:
    """Use tasks that workers run, channels, locks, watches, a journal with a resume, and a question."""
    async with asyncio.timeout(WITHIN):
        await _run_with_workers(url)
        await _use_store(url)
        await _pause_and_resume(url)
        assert await beat(url) == "job"
        async with JobQueue(url) as queue:
            assert await queue.dead.list() == []
        findings = await doctor_redis.look_at(url, "default", is_signed=True)
        assert all(finding.state != "problem" for finding in findings), findings


async def _run_with_workers(url: str) -> None:
    wf = Workflow("shop", parallel(sums(n=3, task_id="a"), sums(n=4, task_id="b")) >> total)
    added, where = await wf.run(redis_url=url, channel_backend="redis")
    assert added == 7
    assert where != os.getpid()


async def _use_store(url: str) -> None:
    async with RedisStore(url) as store, store.watch("t") as changes:
        async with store.lock("t"):
            await store.set("t", 1)
            await store.add("t", 2)
        assert await store.get("t") == 3
        assert (await anext(changes)).key == "t"


async def _pause_and_resume(url: str) -> None:
    """Stop at a question, with a journal; let it be answered from outside, and go on."""
    journal, broker = RedisCheckpointer(url), RedisBroker(url)
    wf = Workflow("asking", Task("asks", asks, inject_context=True))
    with pytest.raises(WorkflowPausedError):
        await wf.run(feedback=broker, run_id="r", checkpointer=journal)
    assert [run.run_id for run in await journal.runs()] == ["r"]
    async with broker.watch() as changes:
        (record,) = await broker.find(run_id="r")
        await FeedbackManager(broker).respond("way", text="left", run_id="r")
        assert (await anext(changes)) is not None
    assert record.state is not FeedbackState.ANSWERED
    assert await wf.resume("r", feedback=broker, checkpointer=journal) == "left"
    await journal.delete("r")
    await broker.forget("r")
    await journal.aclose()


async def put_question(url: str) -> None:
    """Ask something in the name of a run."""
    await RedisBroker(url).ask(FeedbackRequest("ab" * 16, "asked", "run", "task", FeedbackType.TEXT, "?", 1000.0))


async def beat(url: str) -> str:
    """Have a worker's heart, which has a thread and a connection of its own, find out that a job is cancelled."""
    news: asyncio.Queue[News] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(WITHIN), JobQueue(url, "hearts") as queue:
        driver = queue.driver("run")
        await driver.own()
        await driver.enqueue([Job("job", b"")])
        worker = queue.worker("w")
        await worker.join()
        (claim,) = await worker.take(1)
        await driver.cancel(["job"])
        heart = Heart(worker, lambda one: loop.call_soon_threadsafe(news.put_nowait, one) and None)
        heart.start()
        try:
            told = await news.get()
        finally:
            await heart.aclose()
        assert told.cancelled == [claim]
        await worker.release([claim], "over")
        await worker.retire()
        await driver.forget()
    return claim.job


def command(*words: str, url: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of the library."""
    place = {**os.environ, "PYTHONPATH": str(ROOT), "GRAFLOW_REDIS_URL": url, **env}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env=place, capture_output=True, text=True, timeout=WITHIN, check=False
    )


@task(executor="redis")
async def squared_slowly(x: int) -> int:
    """Square a number; workers hold some of these at any time."""
    await asyncio.sleep(0.005)
    return x * x


async def drive(url: str) -> None:
    """Send a task to workers."""
    await Workflow("w", squared_slowly(x=2)).run(redis_url=url)


async def serve(url: str) -> None:
    """Be a worker."""
    await Worker(url).run()


async def store(url: str) -> None:
    """Read from a store."""
    async with RedisStore(url) as place:
        await place.get("k")


async def lock(url: str) -> None:
    """Take a lock of a store."""
    async with RedisStore(url) as place, place.lock("k"):
        pass


async def watch(url: str) -> None:
    """Watch a store."""
    async with RedisStore(url) as place, place.watch("k"):
        pass


async def record(url: str) -> None:
    """Record a run."""
    await Workflow("w", square(x=2)).run(checkpointer=RedisCheckpointer(url))


async def list_runs(url: str) -> None:
    """List recorded runs."""
    await RedisCheckpointer(url).runs()


async def ask(url: str) -> None:
    """Ask a person."""
    await Workflow("asking", Task("asks", asks, inject_context=True)).run(feedback=RedisBroker(url))


async def watch_questions(url: str) -> None:
    """Watch for questions."""
    async with RedisBroker(url).watch():
        pass


async def look_for_the_dead(url: str) -> None:
    """Look at dead letters."""
    async with JobQueue(url) as queue:
        await queue.dead.list()


DOORS = {
    door.__name__: door
    for door in (drive, serve, store, lock, watch, record, list_runs, ask, watch_questions, look_for_the_dead)
}


async def refusals(url: str) -> dict[str, Exception]:
    """Try every door at once, and give what each has raised; none may take as long as patience with an outage does."""

    async def tried(door: Callable[[str], Coroutine[Any, Any, None]]) -> Exception:
        async with asyncio.timeout(9):  # patience is ten
            try:
                await door(url)
            except TimeoutError:
                raise
            except Exception as error:  # that is what is asked for
                return error
        raise AssertionError(f"{door.__name__} got in")

    return dict(zip(DOORS, await asyncio.gather(*map(tried, DOORS.values())), strict=True))
