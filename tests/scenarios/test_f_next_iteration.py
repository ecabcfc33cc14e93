"""Scenarios 76 to 90 (group F): next_iteration. Those that are samples of seeds stand in tests/seeds."""

# A task made with the style fixture is typed as the plain function it was made of.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false, reportRedeclaration=false

from __future__ import annotations

import pytest

from graflow_async import (
    BindingError,
    CycleLimitExceededError,
    GraflowRuntimeError,
    TaskWrapper,
    task,
    workflow,
)


def noting(style, log, *names):
    return [style.task(name)(lambda name=name: log.append(name) or name) for name in names]


def test_076_data_reach_the_next_turn(style):
    """76: turns receive 0, 1, 2, 3; a mapping goes to the first parameter as it is."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def counter(ctx, data=None):
            count = (data or {"count": 0})["count"]
            seen.append(count)
            if count < 3:
                ctx.next_iteration({"count": count + 1})
            return count

        assert style.run(wf) == 3
    assert seen == [0, 1, 2, 3]


def test_077_cycle_count_is_guarded_by_can_iterate(style):
    """77: with max_cycles=5 the turns count 1 to 5 and nothing fails."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True, max_cycles=5)
        def loop(ctx):
            seen.append(ctx.cycle_count)
            if ctx.can_iterate():
                ctx.next_iteration()
            return ctx.max_cycles

        assert style.run(wf) == 5
    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_078_an_unguarded_loop_ends_at_its_limit(limit, style):
    """78: exactly `max_cycles` turns, then the error with its numbers."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True, max_cycles=limit)
        def base(ctx):
            seen.append(1)
            ctx.next_iteration()

    with pytest.raises(CycleLimitExceededError) as caught:
        style.run(wf)
    assert len(seen) == limit
    assert (caught.value.task_id, caught.value.cycle_count, caught.value.max_cycles) == ("base", limit, limit)


def test_078_the_default_limit_is_a_thousand(style):
    """78 as SPEC 1.1."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def base(ctx):
            seen.append(1)
            ctx.next_iteration()

    with pytest.raises(CycleLimitExceededError):
        style.run(wf)
    assert len(seen) == 1000


def test_079_loops_count_on_their_own(style):
    """79: two loops in sequence count from 1 each; the second starts when the first has ended."""
    seen = []

    def loop(name, turns):
        @style.task(name, inject_context=True)
        def body(ctx):
            seen.append((name, ctx.cycle_count))
            if ctx.cycle_count < turns:
                ctx.next_iteration()

        return body

    with workflow("w") as wf:
        loop("one", 3) >> loop("two", 4)
    style.run(wf)
    assert seen == [("one", n) for n in (1, 2, 3)] + [("two", n) for n in (1, 2, 3, 4)]


def test_080_zero_is_data_and_none_is_none(style):
    """80: 0 reaches the parameter, None leaves it to its default."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def loop(ctx, value="default"):
            seen.append(value)
            if ctx.cycle_count == 1:
                ctx.next_iteration(0)
            elif ctx.cycle_count == 2:
                ctx.next_iteration(None)

        style.run(wf)
    assert seen == ["default", 0, "default"]


def test_081_data_win_over_channel_and_bound_arguments(style):
    """81: for that turn only; the turn after it has the bound argument again."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def loop(ctx, value):
            seen.append(value)
            if ctx.cycle_count == 1:
                ctx.next_iteration("data")
            elif ctx.cycle_count == 2:
                ctx.next_iteration()

        loop(task_id="bound", value="bound")
        style.run(wf, inputs={"value": "channel"})
        assert seen == ["bound", "data", "bound"]
    seen.clear()
    with workflow("w") as wf:
        style.run(wf, loop, inputs={"value": "channel"})
    assert seen == ["channel", "data", "channel"]


def test_081_keywords_are_data_too(style):
    """SPEC 2.3: `next_iteration(data, **kwargs)` names further parameters; unknown names are refused at once."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def loop(ctx, a=1, b=2):
            seen.append((a, b))
            with pytest.raises(BindingError):
                ctx.next_iteration(c=3)
            if ctx.cycle_count == 1:
                ctx.next_iteration(10, b=20)
            elif ctx.cycle_count == 2:
                ctx.next_iteration(b=30)

        style.run(wf)
    assert seen == [(1, 2), (10, 20), (1, 30)]


def test_082_successors_run_once_after_the_last_turn(style):
    """82: finalize once; the loop's result is that of its last turn."""
    log = []
    with workflow("w") as wf:
        setup, finalize = noting(style, log, "setup", "finalize")

        @style.task(inject_context=True)
        def loop(ctx):
            log.append("loop")
            if ctx.cycle_count < 3:
                ctx.next_iteration()
            return ctx.cycle_count

        setup >> loop >> finalize
    style.run(wf)
    assert log == ["setup", "loop", "loop", "loop", "finalize"]
    assert wf.get_result("loop") == 3


def test_082_an_asked_turn_keeps_what_came_from_upstream(style):
    """SPEC 1.4: parameters that the data do not name are found again in every turn."""
    seen = []
    with workflow("w") as wf:

        @style.task
        def source():
            return "value"

        @style.task(inject_context=True)
        def loop(ctx, n=0, source=None):
            seen.append((n, source))
            if n < 2:
                ctx.next_iteration(n + 1)

        source >> loop
    style.run(wf)
    assert seen == [(0, "value"), (1, "value"), (2, "value")]


def test_089_a_node_of_the_workflow_is_run_by_the_last_turn(style):
    """89: publish runs once."""
    log = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def loop(ctx):
            log.append("loop")
            if ctx.cycle_count < 3:
                ctx.next_iteration()
            else:
                ctx.next_task(ctx.graph.get_node("publish"))

        first, _ = noting(style, log, "first", "publish")
        first >> loop
    style.run(wf)
    assert log == ["first", "loop", "loop", "loop", "publish"]


def test_090_a_loop_of_jumps_between_agent_and_tool(style):
    """90: agent four times, tool three times; each pass is a first turn of its own."""
    log, score = [], [0]
    with workflow("w") as wf:

        @style.task(inject_context=True, max_cycles=5)
        def agent(ctx):
            log.append("agent")
            if score[0] < 75:
                ctx.next_task(ctx.graph.get_node("tool"), goto=True)

        @style.task(inject_context=True)
        def tool(ctx):
            log.append("tool")
            score[0] += 25
            ctx.next_task(ctx.graph.get_node("agent"), goto=True)

        (start,) = noting(style, log, "start")
        start >> agent
    style.run(wf)
    assert log == ["start", "agent", "tool", "agent", "tool", "agent", "tool", "agent"]


def test_the_last_asked_turn_counts(style):
    """SPEC 10: `next_iteration` twice in a turn: the last call counts."""
    seen = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def loop(ctx, value=0):
            seen.append(value)
            if value == 0:
                ctx.next_iteration(1)
                ctx.next_iteration(2)

        style.run(wf)
    assert seen == [0, 2]


@pytest.mark.parametrize("jump_first", [True, False])
def test_a_turn_and_a_jump_exclude_each_other(jump_first, style):
    """SPEC 10: `next_iteration` with goto in the same turn is an error."""
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def both(ctx):
            for verb in (jump, turn) if jump_first else (turn, jump):
                verb(ctx)

        def jump(ctx):
            ctx.next_task(TaskWrapper("other", lambda: None), goto=True)

        def turn(ctx):
            ctx.next_iteration()

        with pytest.raises(GraflowRuntimeError, match="another turn"):
            style.run(wf, max_steps=3)


def test_children_run_before_the_asked_turn(style):
    """SPEC 10: a turn that adds children and asks for another turn: children first; ids may come again."""
    log = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def loop(ctx):
            log.append(ctx.cycle_count)
            ctx.next_task(TaskWrapper("child", style.body(lambda n=ctx.cycle_count: log.append(f"child {n}"))))
            if ctx.cycle_count < 3:
                ctx.next_iteration()

        style.run(wf)
    assert log == [1, "child 1", 2, "child 2", 3, "child 3"]


def test_a_bound_task_of_another_definition_is_refused(style):
    """SPEC 10: TypeError; one of the same definition passes its arguments."""
    seen = []

    @task
    def other(x=0):
        pass

    with workflow("w") as wf:

        @style.task(inject_context=True)
        def loop(ctx, value=0):
            seen.append(value)
            with pytest.raises(TypeError):
                ctx.next_iteration(other(x=1))
            if value < 2:
                ctx.next_iteration(loop(value=value + 1))

        style.run(wf, loop)
    assert seen == [0, 1, 2]


def test_data_for_a_task_without_parameters_are_refused(style):
    """SPEC 2.3: data have nowhere to go; the error is raised in the task."""
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def loop(ctx):
            with pytest.raises(BindingError):
                ctx.next_iteration(1)
            return ctx.cycle_count

        assert style.run(wf) == 1
