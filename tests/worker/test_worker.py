"""Tasks that run in workers do what they would do here: values, channels, children, questions, failures, ends."""

from __future__ import annotations

import asyncio
import os
import traceback
from typing import Any

import pytest

from graflow_async import (
    FeedbackManager,
    GraflowWorkflowCanceledError,
    ParallelGroupError,
    ProcessDiedError,
    SecurityError,
    SyncTaskExecutionContext,
    TaskExecutionContext,
    TaskTimeoutError,
    parallel,
    task,
    workflow,
)
from graflow_async.executors.redis import RedisExecutor
from graflow_async.testing import FakeClock
from tests.aids.workers import Workers
from tests.worker import tasks
from tests.worker.aids import Meeting, soon, started
from tests.worker.tasks import (
    dies_in_its_process,
    maps,
    maps_in_thread,
    meets,
    meets_in_thread,
    pid,
    pid_async,
    pid_with_context,
    square,
    sums,
    where,
)


async def test_beside_local_tasks(workers: Workers, meeting: Meeting):
    """Tasks with executor="redis" run in a worker, the others here; values go both ways, and nothing stays in Redis."""
    await workers.start()
    with workflow("mixed") as wf:

        @task
        def first() -> int:
            return os.getpid()

        @task(executor="redis")
        def there(first: int) -> tuple[int, int]:
            return first, os.getpid()

        @task(executor="redis")
        async def also_there(there: tuple[int, int]) -> tuple[int, ...]:
            return (*there, os.getpid())

        @task
        async def last(also_there: tuple[int, ...]) -> tuple[int, ...]:
            return (*also_there, os.getpid())

        first >> there >> also_there >> last
    here, one, two, again = await soon(wf.run())
    assert here == again == os.getpid()
    assert one == two == workers.all[0].pid
    assert await meeting.left() == []


async def test_contexts(workers: Workers):
    """Contexts of either kind reach the run's channel, turns, results and children."""
    await workers.start()
    with workflow("contexts") as wf:

        @task(executor="redis", inject_context=True)
        async def one(ctx: TaskExecutionContext, n: int) -> list[int]:
            await ctx.channel.set("pair", (1, 2))
            return await ctx.map(square, range(n))

        @task(executor="redis", inject_context=True)
        def two(ctx: SyncTaskExecutionContext, one: list[int]) -> Any:
            ctx.channel.append("turns", ctx.cycle_count)
            if ctx.cycle_count < 3:
                ctx.next_iteration()
            return one, ctx.channel.get("turns"), ctx.channel.get("pair"), ctx.get_result("one")

        one >> two
    squares = [0, 1, 4, 9]
    assert await soon(wf.run(inputs={"n": 4})) == (squares, [1, 2, 3], (1, 2), squares)


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_everything_through_the_queue(count: int, workers: Workers):
    """With queue_backend="redis" all tasks go to workers, children of children too, and so may the channel."""
    for number in range(count):
        await workers.start(f"w{number}", "--concurrency", "2")
    with workflow("all") as wf:

        @task(inject_context=True)
        def top(ctx: SyncTaskExecutionContext) -> Any:
            return ctx.map(sums, range(12)), ctx.channel.get("sum")

    value = await soon(wf.run(queue_backend="redis", channel_backend="redis", redis_url=workers.url))
    assert value == ([sum(x * x for x in range(n)) for n in range(12)], sum(range(12)))


async def test_groups(workers: Workers):
    """A group that is told to runs in workers, groups inside of it as well; its members may wait for each other."""
    await workers.start("w1", "--concurrency", "2")
    await workers.start("w2", "--concurrency", "2")
    with workflow("groups") as wf:
        parts = [where(task_id=f"p{number}") for number in range(4)]
        inner = parallel(parts[2], parts[3])
        group = parallel(parts[0], parts[1], inner).with_execution(executor="redis")

        @task(inject_context=True)
        async def last(ctx: TaskExecutionContext) -> set[int]:
            return {ctx.results[f"p{number}"] for number in range(4)}

        group >> last
    assert await soon(wf.run()) <= {worker.pid for worker in workers.all}


async def test_parents_give_their_place_to_children(workers: Workers):
    """A worker for one task at a time, with one thread, finishes parents in threads whose children wait for a place."""
    await workers.start("w1", "--concurrency", "1", "--threads", "1")
    with workflow("narrow") as wf:

        @task(inject_context=True)
        def top(ctx: SyncTaskExecutionContext) -> Any:
            return ctx.map(maps_in_thread, [2, 3]), ctx.map(maps, [2, 3])

    expected = [[0, 1], [0, 1, 4]]
    assert await soon(wf.run(queue_backend="redis")) == (expected, expected)


async def test_only_so_many_threads(workers: Workers, meeting: Meeting):
    """Plain functions beyond --threads wait, async ones do not."""
    await workers.start("w1", "--threads", "2")
    with workflow("threads") as wf:
        for number in range(3):
            meets_in_thread("t", task_id=f"t{number}")
        meets("a")
    run = await started(wf)
    await meeting.heard("begun.t", 2)
    await meeting.heard("begun.a")
    assert await meeting.said("begun.t") == 0
    await meeting.say("go.t")
    await meeting.heard("begun.t")
    await meeting.say("go.t", count=2)
    await meeting.say("go.a")
    await soon(run)


async def test_plain_functions_in_processes(workers: Workers):
    """With --processes plain functions leave the worker's process, if they take no context; who dies dies alone."""
    worker = await workers.start("w1", "--processes", "2")
    with workflow("apart") as wf:

        @task(inject_context=True)
        async def all_of(ctx: TaskExecutionContext) -> tuple[int, int, int]:
            with pytest.raises(ProcessDiedError):
                await ctx.call(dies_in_its_process)
            return await ctx.call(pid), await ctx.call(pid_with_context), await ctx.call(pid_async)

    apart, in_thread, on_loop = await soon(wf.run(queue_backend="redis"))
    assert in_thread == on_loop == worker.pid != apart


async def test_only_tasks_of_allowed_modules(workers: Workers):
    """With --allow a task of another module, or one that came by value, fails with a sentence, and is not imported."""
    await workers.start("w1", "--allow", "tests.worker.tasks")
    with workflow("allowed") as wf:
        square(3)
    assert await soon(wf.run(queue_backend="redis")) == 9
    with workflow("refused") as wf:

        @task
        async def by_value() -> int:
            return 1

    with pytest.raises(SecurityError, match=r"by_value.*tests\.worker\.tasks"):
        await soon(wf.run(queue_backend="redis"))


async def test_questions(workers: Workers):
    """A task in a worker asks a person through its run, and gets the answer that is given here."""
    await workers.start()
    manager = FeedbackManager()
    with workflow("asks") as wf:

        @task(executor="redis", inject_context=True)
        async def asks(ctx: TaskExecutionContext) -> str:
            return await ctx.request_text_input("your name?")

    run = await started(wf, feedback=manager)
    async with manager.watch() as changes:
        while not (pending := await manager.list_pending(run_id=run.run_id)):
            await soon(anext(changes))
        await manager.respond(pending[0].request.request_id, run_id=run.run_id, text="Ada")
    assert await soon(run) == "Ada"


class OwnError(Exception):
    """One of the user's own."""

    def __init__(self, code: int, *, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


async def test_failures(workers: Workers):
    """What a task raises arrives as what it is, with the traceback of the worker told in a note; retries are made."""
    await workers.start("w1", "--modules", "tests.worker.test_worker")
    with workflow("fails") as wf:

        @task(executor="redis")
        async def fails() -> None:
            deep(3)

    with pytest.raises(OwnError) as caught:
        await soon(wf.run())
    text = "".join(traceback.format_exception(caught.value))
    assert "worker w1" in text
    assert "in deep" in text


def deep(levels: int) -> None:
    """Raise from some levels down."""
    if levels == 0:
        raise OwnError(4, text="far away")
    deep(levels - 1)


async def test_timeouts_count_from_the_beginning(workers: Workers, meeting: Meeting):
    """Time in the queue does not count against a task's timeout; time in the worker does."""
    with workflow("waits") as wf:

        @task(executor="redis", timeout=30.0)
        async def begins() -> str:
            await tasks.say("begun")
            return "done"

    clock = FakeClock()
    run = await started(wf, clock=clock)
    while not await meeting.waiting():  # noqa: ASYNC110  # it is in Redis
        await asyncio.sleep(0.01)
    await clock.advance(1000.0)  # longer than its timeout, and nobody there
    await workers.start()
    assert await soon(run) == "done"
    await meeting.heard("begun")
    with workflow("late") as wf:

        @task(executor="redis", timeout=0.6)
        async def sleeps() -> None:
            await asyncio.sleep(600.0)

    with pytest.raises(TaskTimeoutError):
        await soon(wf.run())


async def test_cancelling_a_run(workers: Workers, meeting: Meeting):
    """Cancelling a run cancels what runs in workers, drops what waits, and leaves nothing in Redis."""
    await workers.start("w1", "--concurrency", "2")
    with workflow("stopped") as wf:
        for number in range(5):
            meets("a", task_id=f"m{number}")
    run = await started(wf)
    pids = await meeting.heard("begun.a", 2)
    run.cancel()
    with pytest.raises(GraflowWorkflowCanceledError):
        await soon(run)
    assert await meeting.heard("cancelled.a", 2) == pids
    assert await meeting.left() == []
    assert await meeting.waiting() == 0
    assert await meeting.said("begun.a") == 0


async def test_a_sibling_fails(workers: Workers, meeting: Meeting):
    """A failure that ends the run cancels the bodies that run beside it in workers."""
    await workers.start()
    with workflow("siblings") as wf:

        @task(executor="redis")
        async def fails() -> None:
            await tasks.hear("fail")
            raise ValueError("enough")

        parallel(meets("a"), fails)
    run = await started(wf)
    await meeting.heard("begun.a")
    await meeting.say("fail")
    with pytest.raises(ParallelGroupError, match="fails"):
        await soon(run)
    await meeting.heard("cancelled.a")


async def test_a_parent_is_cancelled(workers: Workers, meeting: Meeting):
    """A task whose time is over takes its children in workers with it."""
    await workers.start()
    with workflow("parents") as wf:

        @task(executor="redis", timeout=3.0, inject_context=True)  # its children have to begin in time
        async def parent(ctx: TaskExecutionContext) -> None:
            await ctx.map(meets, ["a", "a"])

    run = await started(wf)
    await meeting.heard("begun.a", 2)
    with pytest.raises(TaskTimeoutError):
        await soon(run)
    await meeting.heard("cancelled.a", 2)


async def test_two_runs_at_once(workers: Workers, meeting: Meeting):
    """Two runs share a queue and an executor; the end of one does not harm the other, though their tasks look alike."""
    await workers.start()
    executor = RedisExecutor(workers.url)
    with workflow("one") as one:
        meets("a")
    with workflow("two") as two:
        meets("b")
    runs = [await started(wf, executor={"redis": executor}) for wf in (one, two)]
    await meeting.heard("begun.a")
    await meeting.heard("begun.b")
    await meeting.say("go.a", "first")
    assert await soon(runs[0]) == "first"
    await meeting.say("go.b", "second")
    assert await soon(runs[1]) == "second"
    assert await meeting.left() == []


@pytest.mark.parametrize("run_id", ["plain", "not plain: ä/{}"])
async def test_names_of_runs(run_id: str, workers: Workers):
    """The id of a run may be any text."""
    await workers.start()
    with workflow("named") as wf:
        square(3)
    assert await soon(wf.run(run_id=run_id, executor=RedisExecutor(workers.url))) == 9


async def test_a_worker_that_comes_later(workers: Workers):
    """A run waits for its first worker, and goes on at once when it comes."""
    with workflow("early") as wf:
        maps(3)
    run = await started(wf)
    await asyncio.sleep(0)
    await workers.start()
    assert await soon(run) == [0, 1, 4]


async def test_the_window(workers: Workers, meeting: Meeting):
    """Not more jobs than the window wait in Redis, and all are run."""
    with workflow("window") as wf:

        @task(executor="thread", inject_context=True)
        def all_of(ctx: SyncTaskExecutionContext) -> list[int]:
            return ctx.map(square, range(500))

    seen: list[int] = []
    run = await started(wf, executor=RedisExecutor(workers.url, window=50))
    while not await meeting.waiting():  # noqa: ASYNC110  # it is in Redis
        await asyncio.sleep(0.01)
    await workers.start("w1", "--concurrency", "10")
    ends = asyncio.ensure_future(soon(run))
    while not ends.done():
        seen.append(await meeting.waiting())
    assert await ends == [x * x for x in range(500)]
    assert max(seen) <= 50


async def test_a_group_that_stays(workers: Workers):
    """Members of a group with executor="thread" stay with their run, wherever it or the rest of the tasks is."""
    worker = await workers.start()
    with workflow("staying") as wf:

        @task(inject_context=True)
        async def calls(ctx: TaskExecutionContext) -> Any:
            here = parallel(where(task_id="p"), where(task_id="q")).with_execution(executor="thread")
            return await ctx.call(here), os.getpid()

        inner = parallel(where(task_id="x"), where(task_id="y")).with_execution(executor="thread")
        parallel(inner, where(task_id="z"), calls)
    run = await started(wf, queue_backend="redis")
    await soon(run)
    here, there = os.getpid(), worker.pid
    assert [run.results[name] for name in "xyz"] == [here, here, there]
    assert run.results["calls"] == ({"p": here, "q": here}, there)
