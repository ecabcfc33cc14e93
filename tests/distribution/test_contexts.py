"""Execution contexts and coordinators: whose word counts, what is refused, what is pickled; all without a Redis."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from graflow_async import (
    CheckpointManager,
    ConfigError,
    ExecutionContext,
    Job,
    MemoryStore,
    ParallelGroup,
    QueueBackend,
    RedisCoordinator,
    TaskTimeoutError,
    Workflow,
    chain,
    create_execution_context,
    parallel,
    task,
    workflow,
)


class Here:
    """An executor that runs jobs in this process and notes which."""

    def __init__(self, name: str = "here") -> None:
        self.name = name
        self.ran: list[str] = []
        self.closed = 0

    async def execute(self, job: Job) -> Any:
        self.ran.append(job.task_id)
        return job.func(*job.args, **job.kwargs)

    async def aclose(self) -> None:
        self.closed += 1


def one() -> int:
    return 1


# -- execution contexts ---------------------------------------------------------------------------------------


async def test_options_of_a_context_are_those_of_every_run() -> None:
    """`run`, `start` and `execute` have them; what a run is given itself counts before them."""
    store, other = MemoryStore(), MemoryStore()
    wf = Workflow("w", task(id="a")(one), execution_context=ExecutionContext(store=store))
    await wf.run(inputs={"x": 1}, run_id="first")
    async with wf.start(inputs={"x": 2}, run_id="second") as run:
        await run
    await asyncio.to_thread(wf.execute, inputs={"x": 3}, run_id="third")
    await wf.run(inputs={"x": 4}, run_id="fourth", store=other)
    found = {name: await store.get(f"{name}:default:x") for name in ("first", "second", "third", "fourth")}
    assert found == {"first": 1, "second": 2, "third": 3, "fourth": None}
    assert await other.get("fourth:default:x") == 4


@pytest.mark.unrecorded  # the journal is the one that the context names
async def test_a_context_counts_for_resume_and_fork(tmp_path: Any) -> None:
    """A workflow goes on with its context's options, whether it or a manager is asked, and forks with them."""
    limited = ExecutionContext(timeout=0.05, checkpoint_dir=tmp_path)

    @task
    async def endless() -> None:
        await asyncio.Event().wait()

    wf = Workflow("w", endless, execution_context=limited)
    with pytest.raises(TaskTimeoutError):
        await wf.run(run_id="r")
    for again in (
        lambda: wf.resume("r"),
        lambda: CheckpointManager(tmp_path).resume("r", wf),
        lambda: CheckpointManager(tmp_path).resume("r"),
        lambda: wf.fork("r"),
    ):
        with pytest.raises(TaskTimeoutError, match=r"0\.05 s"):
            await again()
    assert (await wf.plan("r")).to_run == ["endless"]


def test_a_context_may_be_shared_and_stays_as_it_is() -> None:
    """Two workflows have the same context; completing options changes neither it nor what was given."""
    context = create_execution_context(QueueBackend.MEMORY, "memory", "q", "redis://here", max_steps=5)
    assert context.options == {
        "queue_backend": "memory",
        "channel_backend": "memory",
        "queue_name": "q",
        "redis_url": "redis://here",
        "max_steps": 5,
    }
    with workflow("a", execution_context=context) as wf:
        task(id="t")(one)
    given: Any = {"max_steps": 7, "queue_backend": "memory"}
    assert wf.completed(given) == {**context.options, "max_steps": 7}
    assert given == {"max_steps": 7, "queue_backend": "memory"}
    assert context.options["max_steps"] == 5
    assert wf.execute() == Workflow("b", task(id="u")(one), execution_context=context).execute() == 1
    assert "redis://here" not in repr(context)


def test_a_store_and_a_backend_replace_each_other() -> None:
    """Whoever gives a run a store does not mean the context's backend, and the other way round."""
    store = MemoryStore()
    assert "channel_backend" not in ExecutionContext(channel_backend="redis").completed({"store": store})
    assert "store" not in ExecutionContext(store=store).completed({"channel_backend": "redis"})
    with pytest.raises(ConfigError, match="choose"):
        ExecutionContext(store=store, channel_backend="redis")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"queue_backend": "kafka"}, "queue_backend"),
        ({"channel_backend": "disk"}, "channel_backend"),
        ({"queue_name": ""}, "queue_name"),
        ({"queue_name": "a\nb"}, "queue_name"),
        ({"run_id": "r"}, "run_id"),
        ({"inputs": {}}, "inputs"),
        ({"no_such": 1}, "no_such"),
        ({"max_steps": 0}, "max_steps"),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], match: str) -> None:
    """A context that no run could use is not made."""
    with pytest.raises(ConfigError, match=match):
        create_execution_context(**options)


def test_what_is_no_context_is_refused() -> None:
    """A mapping of options is no context, and the error says how to make one."""
    wrong: Any = {"queue_backend": "redis"}
    with pytest.raises(ConfigError, match="create_execution_context"):
        workflow("w", execution_context=wrong)


# -- executors of groups --------------------------------------------------------------------------------------


async def test_a_group_brings_its_executor_along() -> None:
    """Members that leave it open run there; it is closed once for each run."""
    here = Here()
    group = ParallelGroup([task(id="a")(one), task(id="b", executor="inline")(one)], name="g", executor=here)
    last = task(id="last")(one)
    assert await Workflow("w", group >> last).run() == 1
    assert (here.ran, here.closed) == (["a"], 1)


@pytest.mark.unrecorded  # what an executor has open cannot follow the group to another process
async def test_a_group_in_a_child_run_brings_its_executor_along() -> None:
    """A group that a task awaits may bring an executor that its run did not have."""
    here = Here()

    @task
    async def parent() -> Any:
        return await ParallelGroup([task(id="c")(one)], name="inner", coordinator=here)

    assert await Workflow("w", parent).run() == {"c": 1}
    assert (here.ran, here.closed) == (["c"], 1)


async def test_who_says_where_a_member_runs() -> None:
    """A task before a coordinator, that before `executor=`, that before the run's own; copies keep it."""
    near, far, usual = Here("near"), Here("far"), Here("usual")
    first = ParallelGroup([task(id="a")(one)], name="g", executor=near, coordinator=far).set_group_name("first")
    second = parallel(task(id="b")(one), name="second").with_execution(executor=near)
    third = task(id="c")(one)
    await Workflow("w", chain(first, second, third)).run(executor=usual)
    assert (far.ran, near.ran, usual.ran) == (["a"], ["b"], ["c"])


async def test_the_runs_executor_of_that_name_counts() -> None:
    """Who runs a workflow may put another executor in the place of the one that its group brings."""
    brought, given = Here("far"), Here("far")
    wf = Workflow("w", ParallelGroup([task(id="a")(one)], executor=brought))
    assert await wf.run(executor={"far": given}) == {"a": 1}
    assert (brought.ran, given.ran) == ([], ["a"])


def test_what_is_no_executor_is_refused() -> None:
    """A group takes executors and their names; two different ones of one name cannot stand in one graph."""
    wrong: Any = 3
    with pytest.raises(ConfigError, match="executor"):
        ParallelGroup([task(id="a")(one)], coordinator=wrong)
    groups = [ParallelGroup([task(id=name)(one)], name=f"g{name}", executor=Here()) for name in "ab"]
    with pytest.raises(ConfigError, match="another executor 'here'"):
        Workflow("w", chain(*groups)).graph  # noqa: B018  # asking for it compiles it


def test_coordinators_of_one_queue_are_equal() -> None:
    """Equal are those that lead to the same queue of the same Redis; secrets are neither shown nor pickled."""
    usual = RedisCoordinator("redis://u:password@h", "q", secret_keys=["k" * 40])
    assert usual == RedisCoordinator("redis://u:password@h", "q", worker_timeout=5.0)
    assert usual != RedisCoordinator("redis://other", "q")
    assert usual != RedisCoordinator("redis://u:password@h", "r")
    assert len({usual, RedisCoordinator("redis://u:password@h", "q")}) == 1
    data = pickle.dumps(usual)
    assert b"kkkk" not in data
    assert pickle.loads(data) == usual
    assert "password" not in repr(usual)
    assert (usual.name, usual.is_open) == ("redis:q", False)
    assert RedisCoordinator().queue_name == "default"
    with pytest.raises(ConfigError, match="queue_name"):
        RedisCoordinator(queue_name="")
    with pytest.raises(ConfigError, match="timeout"):
        RedisCoordinator(worker_timeout=-1.0)
