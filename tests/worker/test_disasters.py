"""Workers that stop, die or never come, drivers that are killed, and a Redis that forgets: nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from graflow_async import NotSerializableError, RunLockedError, TaskExecutionContext, chain, parallel, task, workflow
from graflow_async._redis import jobs_driver
from graflow_async._redis.jobs import JobQueue
from graflow_async.events import NoWorkers, TaskFailed, WorkersBack
from graflow_async.executors import _ownership
from graflow_async.executors.redis import RedisExecutor
from graflow_async.worker.solo import ChildDiedError, SoloBody
from graflow_async.worker_errors import NoWorkersError, PoisonTaskError
from tests.aids.redis_server import RedisServer
from tests.aids.workers import Process, Workers
from tests.worker import tasks
from tests.worker.aids import Meeting, Sleeps, soon, started
from tests.worker.tasks import kills_its_process, meets, meets_by_process, meets_in_thread, square

SHORT = ("--lease", "0.6")  # for workers that die: one that stands still for as long seems dead, too


async def test_no_workers(workers: Workers, caplog: pytest.LogCaptureFixture):
    """Without a worker a line and an event say so, once, and after worker_timeout the tasks fail."""
    told: list[Any] = []
    with workflow("alone") as wf:
        parallel(meets("a"), meets("b", task_id="b")).with_execution(policy="best_effort")
    await soon(wf.run(worker_timeout=0.3, listeners=[told.append]))
    failures = [event.error for event in told if isinstance(event, TaskFailed)]
    assert [type(error) for error in failures] == [NoWorkersError, NoWorkersError]
    assert "start one" in str(failures[0])
    (nobody,) = [event for event in told if isinstance(event, NoWorkers)]
    assert (nobody.queue, nobody.waiting, nobody.task_id) == ("default", 2, None)
    assert not any(isinstance(event, WorkersBack) for event in told)
    assert caplog.text.count("no worker of queue 'default' is alive") == 1


async def test_workers_come_back(workers: Workers, meeting: Meeting):
    """Listeners hear when the last worker has died, and when another one has come; the task goes on there."""
    news = asyncio.Condition()
    told: list[Any] = []

    async def listen(event: Any) -> None:
        async with news:
            told.append(event)
            news.notify_all()

    async def last_is(kind: type) -> None:
        async with news:
            await news.wait_for(lambda: isinstance(told[-1:] and told[-1], kind))

    listen.wants = (NoWorkers, WorkersBack)  # type: ignore[attr-defined]
    worker = await workers.start("w1", *SHORT)
    with workflow("deserted") as wf:
        meets("a")
    run = await started(wf, listeners=[listen])
    await meeting.heard("begun.a")
    await worker.kill()
    async with JobQueue(workers.url) as queue:
        while await queue.workers():  # noqa: ASYNC110  # its lease is in Redis
            await asyncio.sleep(0.01)
    await soon(last_is(NoWorkers))
    await workers.start("w2")
    await soon(last_is(WorkersBack))
    await meeting.heard("begun.a")
    await meeting.say("go.a")
    await soon(run)
    # The first one may have been silent for a lease before it died, and have come back.
    assert [type(event) for event in told] == [NoWorkers, WorkersBack] * (len(told) // 2)
    assert told[-1].worker.startswith("w2.")


async def test_a_zombie_changes_nothing(workers: Workers, meeting: Meeting):
    """What a worker reports after it was silent for longer than its lease is refused: another one has the task."""
    first = await workers.start("w1")
    with workflow("zombie") as wf:
        meets_by_process("p")
    run = await started(wf)
    (zombie,) = await meeting.heard("begun.p")
    first.signal(signal.SIGSTOP)
    await meeting.bury("w1")
    await workers.start("w2")
    (other,) = await meeting.heard("begun.p")
    await meeting.say(f"go.{zombie}", "late")
    first.signal(signal.SIGCONT)
    await first.comes_to("comes too late", "its lease is lost")
    await meeting.say(f"go.{other}", "in time")
    assert await soon(run) == "in time"
    assert await meeting.left() == []


async def test_sigterm_drains(workers: Workers, meeting: Meeting, tmp_path: Path):
    """After SIGTERM what runs ends, what waits goes to others, and the exit code is 0; its health file goes."""
    health = tmp_path / "alive"
    worker = await workers.start("w1", "--concurrency", "1", "--health-file", str(health))
    with workflow("drained") as wf:
        parallel(meets("a"), meets("a", task_id="b"))

    run = await started(wf)
    (first,) = await meeting.heard("begun.a")
    while not health.exists():  # noqa: ASYNC110  # of the first heartbeat nobody is told
        await asyncio.sleep(0.01)
    worker.signal(signal.SIGTERM)
    await worker.says("waits for 1 tasks")
    other = await workers.start("w2")
    (second,) = await meeting.heard("begun.a")
    assert (int(first), int(second)) == (worker.pid, other.pid)
    await meeting.say("go.a", count=2)
    await soon(run)
    assert await worker.ended() == 0
    assert not health.exists()


async def test_a_second_signal_hands_back(workers: Workers, meeting: Meeting):
    """After a second signal a worker cancels what runs and hands it back at once; threads are left behind."""
    worker = await workers.start("w1")
    with workflow("handed back") as wf:
        parallel(meets("a"), meets_in_thread("t"))
    run = await started(wf)
    await meeting.heard("begun.a")
    await meeting.heard("begun.t")
    worker.signal(signal.SIGTERM)
    await worker.says("waits for 2 tasks")
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    await meeting.heard("cancelled.a")
    await workers.start("w2")
    await meeting.heard("begun.a")
    await meeting.heard("begun.t")
    await meeting.say("go.a")
    await meeting.say("go.t")
    await soon(run)


@task(executor="redis", inject_context=True)
async def talks(ctx: TaskExecutionContext) -> Any:
    """Call children, remember a step, and wait to be told to go on."""
    await ctx.channel.atomic_add("begun")
    kept = await ctx.step("kept", remembered)
    values = await ctx.map(square, range(3))
    await tasks.say("begun.talks", os.getpid())
    return kept, values, await tasks.hear("go.talks"), await ctx.map(square, range(2))


async def remembered() -> int:
    """Be called once."""
    await tasks.say("remembered")
    return 1


async def test_a_worker_is_killed(workers: Workers, meeting: Meeting):
    """Another worker runs the tasks of a killed one; they know their steps, and have their children anew."""
    worker = await workers.start("w1")
    with workflow("killed") as wf:
        parallel(talks, meets("a"))
    run = await started(wf)
    await meeting.heard("begun.talks")
    await meeting.heard("begun.a")
    await worker.kill()
    await meeting.bury("w1")
    await workers.start("w2")
    await meeting.heard("begun.talks")
    await meeting.heard("begun.a")
    await meeting.say("go.a")
    await meeting.say("go.talks", "went")
    await soon(run)
    assert run.results["talks"] == (1, [0, 1, 4], "went", [0, 1])
    assert await meeting.said("remembered") == 1
    assert await meeting.left() == []


async def test_poison(workers: Workers, meeting: Meeting):
    """A task that kills every worker fails in the end with their story; from the third time it harms nobody else."""
    with workflow("poison") as wf:
        neighbours = [meets(name, task_id=f"n{number}") for number, name in enumerate("aab")]
        parallel(kills_its_process, *neighbours).with_execution(policy="best_effort")
    failures: list[Any] = []
    run = await started(wf, listeners=[failures.append])
    # One after the other: beside a worker that dies nobody else may seem dead, as its silence would be blamed, too.
    for name in ("w0", "w1"):
        worker = await workers.start(name, *SHORT)
        assert await meeting.heard("kills") == [str(worker.pid)]
        await worker.ended()
    await meeting.say("go.a", count=2)
    await workers.start("w2", "--lease", "8")
    await meeting.heard("kills", 2)
    await meeting.say("go.b")
    await soon(run)
    assert sum(worker.has_ended for worker in workers.all) == 2
    assert {f"n{number}" for number in range(3)} <= run.results.keys()
    assert await meeting.said("kills") == 0
    (failure,) = [event.error for event in failures if isinstance(event, TaskFailed)]
    assert isinstance(failure, PoisonTaskError)
    assert failure.crashes == 4
    assert "exit code 7" in failure.story


async def test_how_a_lone_child_has_died_is_known():
    """The end of a process that runs a task alone is told as it was, also if it is noticed before it was reaped."""

    class Deaf(SoloBody):
        async def _talk(self, ours: socket.socket) -> None:
            ours.close()
            children = psutil.Process().children()
            (child,) = (child for child in children if "graflow_async.worker.child" in child.cmdline())
            child.kill()
            with contextlib.suppress(psutil.NoSuchProcess):  # where another thread has reaped it
                while child.status() != psutil.STATUS_ZOMBIE:
                    pass

    with pytest.raises(ChildDiedError, match="SIGKILL"):
        await Deaf([], b"", lambda _: None, "here").run()


async def test_unpicklable(workers: Workers):
    """What cannot be sent is refused where it was written, in either direction, and names the culprit."""
    await workers.start()
    import threading

    with workflow("argument") as wf:

        @task(executor="redis")
        async def takes(what: Any) -> None:
            pass

    with pytest.raises(NotSerializableError, match="lock"):
        await soon(wf.run(inputs={"what": threading.Lock()}))
    with workflow("result") as wf:

        @task(executor="redis")
        async def gives() -> Any:
            return threading.Lock()

    with pytest.raises(NotSerializableError, match="lock"):
        await soon(wf.run())


async def test_a_module_that_the_worker_lacks(workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A task whose module the worker cannot import fails with the name of the module and of the worker."""
    (tmp_path / "only_here.py").write_text("async def body():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # type: ignore[import-not-found]

    await workers.start("w1")
    with workflow("module") as wf:
        task(executor="redis")(only_here.body)
    with pytest.raises(Exception, match="only_here"):
        await soon(wf.run())
    with workflow("next") as wf:
        square(2)
    assert await soon(wf.run(queue_backend="redis")) == 4


@pytest.mark.parametrize("key", ["another-key-of-sixteen-bytes-at-least", None])
async def test_keys(key: str | None, workers: Workers):
    """A worker without the right key runs nothing, and the task fails instead of waiting."""
    await workers.start("w1", GRAFLOW_SECRET_KEY=key)
    with workflow("keys") as wf:
        square(2)
    with pytest.raises(Exception) as caught:
        await soon(wf.run(queue_backend="redis"))
    assert "GRAFLOW_SECRET_KEY" in str(caught.value) or "sign" in str(caught.value)


async def test_a_run_that_another_process_has(workers: Workers, meeting: Meeting, tmp_path: Path):
    """Who resumes a run that is being driven is refused at once, and told by whom and what to do."""
    await workers.start()
    driver = Process("-c", DRIVER, str(tmp_path))
    workers.all.append(driver)
    await meeting.heard("begun.a")
    with workflow("driven") as wf:
        parallel(meets("a", task_id="a"), meets("b", task_id="b"))
    with pytest.raises(RunLockedError, match=f"pid {driver.pid} .*wait until it has ended, or stop it") as caught:
        await wf.resume("driven", checkpoint_dir=tmp_path)
    assert caught.value.seconds_left is None  # the lock ends with the process


async def test_a_run_of_the_same_name(workers: Workers, meeting: Meeting, monkeypatch: pytest.MonkeyPatch):
    """Without a journal, too, only one process drives a run: the other learns for how long, and what to do."""
    place, lengthen = "graflow:{q~default}:own:same", asyncio.Semaphore(0)
    client: Any = meeting.client

    async def until_lengthened() -> None:
        await client.hset(place, "u", "1")  # the lease is over
        lengthen.release()
        while await client.hget(place, "u") == b"1":  # noqa: ASYNC110  # it is in Redis
            await asyncio.sleep(0.01)

    keeping, waiting = Sleeps(lengthen.acquire), Sleeps(until_lengthened)
    monkeypatch.setattr(jobs_driver, "asyncio", keeping)
    monkeypatch.setattr(_ownership, "asyncio", waiting)
    await workers.start()
    with workflow("twins") as wf:
        meets("a")
    first = await started(wf, run_id="same", executor={"redis": RedisExecutor()})
    await meeting.heard("begun.a")
    with pytest.raises(RunLockedError, match=r"wait until it has ended, or stop it.*lease ends in \d") as caught:
        await soon(wf.run(run_id="same", executor={"redis": RedisExecutor()}))
    assert 0 < (caught.value.seconds_left or 0.0) <= 30
    assert keeping.asked[0] == 10
    assert [0 < seconds < 31 for seconds in waiting.asked] == [True]
    await meeting.say("go.a", "first")
    assert await soon(first) == "first"
    assert await meeting.said("begun.a") == 0


DRIVER = """
import asyncio, sys
from tests.worker.aids import drive
asyncio.run(drive(sys.argv[1], resumes=len(sys.argv) > 2))
"""


async def test_the_driver_is_killed(workers: Workers, meeting: Meeting, tmp_path: Path):
    """A run that another process resumes takes over what workers have finished meanwhile, and ends as it would have."""
    await workers.start()
    driver = Process("-c", DRIVER, str(tmp_path))
    workers.all.append(driver)
    await meeting.heard("begun.a")
    await meeting.heard("begun.b")
    await driver.kill()
    await meeting.say("go.a", "first")  # it ends while nobody drives the run
    while await meeting.waiting() > 1:  # noqa: ASYNC110  # it is in Redis
        await asyncio.sleep(0.01)
    again = Process("-c", DRIVER, str(tmp_path), "again")
    workers.all.append(again)
    await meeting.heard("begun.b")
    await meeting.heard("cancelled.b")
    await meeting.say("go.b", "second")
    await again.says("value: ['first', 'second']")
    assert await again.ended() == 0
    assert await meeting.said("begun.a") == 0
    assert await meeting.left() == []


async def test_redis_restarts(monkeypatch: pytest.MonkeyPatch):
    """A Redis with an append-only file that dies and comes back only holds a run up."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        await hold_up(server, server.restart, monkeypatch, repeats=0)


async def test_redis_forgets(monkeypatch: pytest.MonkeyPatch):
    """A Redis that comes back empty makes tasks run again that were under way, and no other."""
    with RedisServer() as server:
        await hold_up(server, server.restart, monkeypatch, repeats=2)


async def hold_up(server: RedisServer, strike: Any, monkeypatch: pytest.MonkeyPatch, repeats: int) -> None:
    """Run tasks, let something happen to Redis in the middle, and look at the end."""
    monkeypatch.setenv("GRAFLOW_REDIS_URL", server.url)
    with RedisServer() as other:
        workers, meeting = Workers(server.url), Meeting(other.url)
        monkeypatch.setenv("GRAFLOW_TEST_REDIS", other.url)
        try:
            await workers.start("w1", GRAFLOW_TEST_REDIS=other.url)
            with workflow("held up") as wf:
                chain(square(2, task_id="before"), parallel(meets("a"), meets("a", task_id="b")), square(3))
            run = await started(wf, executor=RedisExecutor(server.url, lease=0.6))
            await meeting.heard("begun.a", 2)
            await asyncio.to_thread(strike)
            if repeats:
                await meeting.heard("begun.a", repeats)
            # The bodies from before wait as well, until a heartbeat tells their worker.
            await meeting.say("go.a", count=2 + repeats)
            assert await soon(run) == 9
            assert await meeting.said("begun.a") == 0
        finally:
            workers.close()
            await meeting.client.aclose()


async def test_flushed(workers: Workers, meeting: Meeting, caplog: pytest.LogCaptureFixture):
    """FLUSHALL in the middle of a run: what Redis has forgotten is sent again."""
    caplog.set_level(logging.WARNING)
    await workers.start("w1")
    with workflow("flushed") as wf:
        parallel(meets("a"), talks)
    run = await started(wf, executor=RedisExecutor(workers.url, lease=0.6))
    await meeting.heard("begun.a")
    await meeting.heard("begun.talks")
    await meeting.client.flushall()
    await meeting.heard("begun.a")
    await meeting.heard("begun.talks")
    # The bodies from before wait as well, until a heartbeat tells their worker.
    await meeting.say("go.a", count=2)
    await meeting.say("go.talks", "went", count=2)
    await soon(run)
    assert run.results["talks"] == (1, [0, 1, 4], "went", [0, 1])
    assert "has forgotten" in caplog.text
