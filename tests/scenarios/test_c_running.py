"""Scenarios 34 to 55 (group C): starting, returning, limits. Those that are samples of seeds stand in tests/seeds."""

# A task made with the style fixture is typed as the plain function it was made of.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false, reportRedeclaration=false

from __future__ import annotations

import asyncio

import pytest

from graflow_async import (
    GraflowRuntimeError,
    GraphCompilationError,
    MaxStepsExceededError,
    TaskWrapper,
    Workflow,
    parallel,
    task,
    workflow,
)


def noting(style, log, *names, **options):
    """Make tasks that note and give their name."""
    return [style.task(name, **options)(lambda name=name: log.append(name) or name) for name in names]


def test_034_the_value_of_a_run_is_its_only_task(style):
    """34: one task returning 42."""
    with workflow("w") as wf:

        @style.task
        def answer():
            return 42

        assert style.run(wf) == 42


@pytest.mark.parametrize("by", ["id", "task", "list"])
def test_035_a_start_node_leaves_out_what_lies_before(by, style):
    """35: named by id, by task or in a list."""
    log = []
    with workflow("w") as wf:
        step1, step2, step3 = noting(style, log, "step1", "step2", "step3")
        step1 >> step2 >> step3
    start = {"id": "step2", "task": step2, "list": [step2]}[by]
    assert style.run(wf, start) == "step3"
    assert log == ["step2", "step3"]


async def test_036_results_are_on_the_handle_and_on_the_workflow():
    """36 as SPEC 2.5: `run.results` and `wf.get_result` tell every task's value."""
    log = []
    with workflow("w") as wf:
        task_a = TaskWrapper("task_a", lambda: log.append("a") or "A")
        task_b = TaskWrapper("task_b", lambda: "B")
        task_a >> task_b
    async with wf.start() as run:
        assert await run == "B"
    assert run.results["task_a"] == wf.get_result("task_a") == "A"
    assert run.status == "completed"
    assert wf.get_result("missing") is None


def test_037_every_root_starts_by_itself(style):
    """37: no start id is needed; the value is the end's."""
    log = []
    with workflow("w") as wf:
        start, a, b, end = noting(style, log, "start", "a", "b", "end")
        start >> (a | b) >> end
    assert style.run(wf) == "end"
    assert (log[0], sorted(log[1:3]), log[3]) == ("start", ["a", "b"], "end")


def test_037_several_roots_start_in_order_of_appearance():
    """SPEC 10: tasks that are ready together start in the order in which they were written."""
    log = []
    with workflow("w") as wf:
        for name in ("c", "a", "b"):

            @task(id=name)
            async def root(name=name):
                log.append(name)

    asyncio.run(wf.run())
    assert log == ["c", "a", "b"]


def test_038_a_node_without_edges_waits_to_be_reached(style):
    """38: beside a drawn graph an isolated task does not start by itself; named, it runs."""
    log = []
    with workflow("w") as wf:
        risky, normal, _ = noting(style, log, "risky", "normal", "emergency_handler")
        risky >> normal
    style.run(wf)
    assert log == ["risky", "normal"]
    style.run(wf, "emergency_handler")
    assert log[2:] == ["emergency_handler"]


def test_039_members_of_a_group_count_as_having_edges(style):
    """SPEC 10: membership in a group counts as an edge, so the group starts and the isolated task does not."""
    log = []
    with workflow("w") as wf:
        a, b, _ = noting(style, log, "a", "b", "alone")
        a | b
    assert style.run(wf) == {"a": "a", "b": "b"}
    assert sorted(log) == ["a", "b"]


def test_043_an_unknown_start_is_an_error_that_names_what_there_is(style):
    """43: the error names the id and the ids that exist; a task of another workflow is refused too."""
    with workflow("w") as wf:
        a, b = noting(style, [], "alpha", "beta")
        a >> b
    with pytest.raises(GraphCompilationError, match=r"nope.*alpha"):
        style.run(wf, "nope")
    with pytest.raises(GraphCompilationError, match="other"):
        style.run(wf, TaskWrapper("other", lambda: 1))


def test_044_an_empty_workflow_cannot_run(style):
    """44: the error says what to pass; a named task makes it run."""
    with workflow("w") as wf:
        pass
    with pytest.raises(GraphCompilationError, match=r"wf\.run\(task\)"):
        style.run(wf)
    assert style.run(wf, TaskWrapper("t", lambda: 3)) == 3


def test_044_a_pure_cycle_asks_for_a_start(style):
    """SPEC 2.1: no root is an error that says what to pass."""
    with workflow("w") as wf:
        a, b = noting(style, [], "a", "b")
        a >> b >> a
    with pytest.raises(GraphCompilationError, match=r"wf\.run"):
        style.run(wf)


def test_045_a_drawn_loop_fires_by_itself_until_it_is_terminated(style):
    """45: `agent >> tool >> agent`: three calls of the agent, two of the tool."""
    log = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def agent(ctx):
            log.append("agent")
            if log.count("agent") == 3:
                ctx.terminate_workflow("done")
            return log.count("agent")

        @style.task
        def tool():
            log.append("tool")

        agent >> tool >> agent
        assert style.run(wf, "agent") == 3
    assert log == ["agent", "tool", "agent", "tool", "agent"]


def test_046_max_steps_is_a_limit_with_a_name(style):
    """46 as SPEC 2.3: the turn that would exceed it does not run; the error names the busiest tasks."""
    log = []
    with workflow("w") as wf:
        a, b, c = noting(style, log, "a", "b", "c")
        a >> b >> c
    with pytest.raises(MaxStepsExceededError, match="a") as caught:
        style.run(wf, max_steps=2)
    assert log == ["a", "b"]
    assert caught.value.max_steps == 2
    assert style.run(wf, max_steps=3) == "c"


def test_046_max_steps_counts_turns_and_names_the_busiest(style):
    """SPEC 2.3: iterations are turns; groups and nodes without a function are not."""
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def busy(ctx):
            ctx.next_iteration()

        start = TaskWrapper("start")
        start >> busy
    with pytest.raises(MaxStepsExceededError, match=r"busy.*5") as caught:
        style.run(wf, max_steps=5)
    assert caught.value.busiest[0] == ("busy", 5)


def test_048_every_run_starts_fresh(style):
    """48: channel, cycles and made tasks of one run do not show in the next."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def loop(ctx, n=0):
            seen.append((ctx.cycle_count, n))
            ctx.next_task(TaskWrapper("made", lambda: None))
            if n < 2:
                ctx.next_iteration(n + 1)

    style.run(wf)
    style.run(wf)
    assert seen == [(1, 0), (2, 1), (3, 2)] * 2
    assert wf.graph.nodes == ["loop"]


async def test_048_one_workflow_runs_many_times_at_once():
    """SPEC 1.3: concurrent runs share neither channel nor results."""
    both_in = asyncio.Barrier(3)
    with workflow("w") as wf:

        @task(inject_context=True)
        async def first(ctx, name):
            await both_in.wait()
            await ctx.channel.set("seen", name)
            await both_in.wait()
            return await ctx.channel.get("seen")

        @task(inject_context=True)
        async def second(ctx):
            return await ctx.get_result("first") * 2

        first >> second
    values = await asyncio.gather(*(wf.run(inputs={"name": name}) for name in "xyz"))
    assert values == ["xx", "yy", "zz"]


async def test_049_a_stored_none_is_a_result():
    """49: get_result tells None from missing, inside and outside of the run."""
    with workflow("w") as wf:

        @task
        def nothing():
            return None

        @task(inject_context=True)
        async def look(ctx):
            return await ctx.get_result("nothing", "D"), await ctx.get_result("missing", "D")

        nothing >> look
    assert await wf.run() == (None, "D")
    assert wf.get_result("nothing", "D") is None
    assert wf.get_result("missing", "D") == "D"


def test_050_inputs_reach_parameters(style):
    """50: `inputs` land in the channel under the parameter's name."""
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def my_task(ctx, value):
            return value * 2

    assert style.run(wf, inputs={"value": 5}) == 10


@pytest.mark.near  # a coroutine elsewhere has to ask for results
def test_051_the_workflow_gives_results_of_the_current_run(style):
    """51: inside a task `wf.get_result` is about the run that the task belongs to."""
    runs = []
    with workflow("w") as wf:
        batches = [style.task(f"batch_{i}")(lambda x=1, i=i: i * x) for i in range(3)]

        @style.task
        def aggregate():
            runs.append([wf.get_result(f"batch_{i}", "none") for i in range(3)])
            return sum(runs[-1])

        for batch in batches:
            batch >> aggregate
    assert style.run(wf) == 3
    assert style.run(wf, inputs={"x": 10}) == 30
    assert runs == [[0, 1, 2], [0, 10, 20]]


def test_052_a_join_does_not_wait_for_what_cannot_run(style):
    """52: started at one batch, only that batch and the aggregate run."""
    log = []
    with workflow("w") as wf:
        *batches, aggregate = noting(style, log, "batch_0", "batch_1", "batch_2", "aggregate")
        for batch in batches:
            batch >> aggregate
    style.run(wf, "batch_0")
    assert log == ["batch_0", "aggregate"]


def test_several_final_tasks_give_a_mapping(style):
    """SPEC 2.5: with several final tasks the value is a dict id -> result, in order of appearance."""
    with workflow("w") as wf:
        a, b, c = noting(style, [], "a", "b", "c")
        a >> b
        a >> c
    assert style.run(wf) == {"b": "b", "c": "c"}


def test_a_group_at_the_end_gives_its_mapping(style):
    """SPEC 2.5: a group's result is a dict member id -> result, in the order as written."""
    with workflow("w") as wf:
        a, b, c = noting(style, [], "a", "c", "b")
        a >> parallel(b, c)
    assert list(style.run(wf).items()) == [("c", "c"), ("b", "b")]


def test_a_member_of_a_group_as_start_runs_its_branch_alone(style):
    """SPEC 10: neither the other branch nor what follows the group runs."""
    log = []
    with workflow("w") as wf:
        a, b, c, d = noting(style, log, "a", "b", "c", "d")
        ((a >> b) | c) >> d
    assert style.run(wf, "a") == "b"
    assert log == ["a", "b"]


async def test_the_sync_door_refuses_to_block_a_loop():
    """SPEC 2: in a coroutine `execute` is an error that says what to write."""
    with workflow("w") as wf:
        TaskWrapper("t", lambda: 1)
    with pytest.raises(GraflowRuntimeError, match=r"await wf\.run\(\)"):
        wf.execute()


def test_a_workflow_can_be_made_of_an_expression(style):
    """SPEC 1.3: `Workflow("name", expression)`."""
    log = []
    a, b = noting(style, log, "a", "b")
    assert style.run(Workflow("w", a >> b)) == "b"
    assert log == ["a", "b"]
