"""SPEC 2.2, 2.3 and 10 beyond the numbered scenarios: jumps, passes and joins that meet."""

from __future__ import annotations

import pytest

from graflow_async import TaskWrapper, chain, parallel, task, workflow
from tests.scenarios.held import HeldClock


def noting(style, log, *names):
    return [style.task(name)(lambda name=name: log.append(name) or name) for name in names]


def jumping(style, log, name, *targets, times=1):
    """Make a task that notes itself and jumps to nodes of the graph for its first `times` runs."""

    @style.task(name, inject_context=True)
    def jumper(ctx):
        log.append(name)
        if log.count(name) <= times:
            for target in targets:
                ctx.next_task(ctx.graph.get_node(target), goto=True)
        return name

    return jumper


def test_a_jump_target_is_final(style):
    """SPEC 10: the target's value is the run's, though the target has no part in the drawn end."""
    log = []
    with workflow("w") as wf:
        a, b, _ = noting(style, log, "a", "b", "away")
        a >> jumping(style, log, "jump", "away") >> b
    assert style.run(wf) == "away"
    assert log == ["a", "jump", "away"]


def test_an_isolated_target_may_have_successors(style):
    """SPEC 2.3: what the target releases runs."""
    log = []
    with workflow("w") as wf:
        a, b, away, behind = noting(style, log, "a", "b", "away", "behind")
        away >> behind
        a >> jumping(style, log, "jump", "away") >> b
    assert style.run(wf, "a") == "behind"
    assert log == ["a", "jump", "away", "behind"]


def test_a_jump_to_a_chain_outside_the_graph_replaces_the_successors(style):
    """The lead's rule 4: the expression runs in the jumper's place; its last task is final."""
    log = []
    after, p, q, r = noting(style, log, "after", "p", "q", "r")

    @style.task(inject_context=True)
    def jump(ctx):
        ctx.next_task(chain(p, parallel(q, r).set_group_name("g")), goto=True)

    with workflow("w") as wf:
        jump >> after
    assert style.run(wf) == {"q": "q", "r": "r"}
    assert log[0] == "p"
    assert sorted(log) == ["p", "q", "r"]


def test_two_arms_that_jump_to_one_join_run_it_once(style):
    """SPEC 10: a join runs once per pass that reaches it."""
    log = []
    with workflow("w") as wf:
        root, skipped, join, end = noting(style, log, "root", "skipped", "join", "end")
        one, two = (jumping(style, log, name, "join") for name in ("one", "two"))
        root >> one >> skipped >> join >> end
        root >> two >> skipped
    assert style.run(wf) == "end"
    assert sorted(log[1:3]) == ["one", "two"]
    assert log[3:] == ["join", "end"]


def test_a_skipped_chain_skips_its_join(style):
    """SPEC 2.2: a join is skipped if all its predecessors were skipped, and so is what follows it."""
    log = []
    with workflow("w") as wf:
        b, c, join, end, _ = noting(style, log, "b", "c", "join", "end", "away")
        jump = jumping(style, log, "jump", "away")
        jump >> b >> join >> end
        jump >> c >> join
    assert style.run(wf) == "away"
    assert log == ["jump", "away"]


@pytest.mark.parametrize("times", [1, 3])
def test_a_jump_back_over_a_diamond_joins_once_in_each_pass(times, style):
    """SPEC 2.2: a jump back makes everything after it run again, once per pass."""
    log = []
    with workflow("w") as wf:
        root, a, b, end = noting(style, log, "root", "a", "b", "end")
        check = jumping(style, log, "check", "root", times=times)
        root >> a >> check >> end
        root >> b >> check
    assert style.run(wf) == "end"
    assert [log.count(x) for x in ("root", "a", "b", "check", "end")] == [times + 1] * 4 + [1]


def test_a_jump_back_to_one_arm_runs_the_join_again(style):
    """SPEC 10: passes count on their own: the other arm is not waited for in the new pass."""
    log = []
    with workflow("w") as wf:
        root, a, b, end = noting(style, log, "root", "a", "b", "end")
        check = jumping(style, log, "check", "a")
        root >> a >> check >> end
        root >> b >> check
    assert style.run(wf) == "end"
    assert [log.count(x) for x in ("root", "a", "b", "check", "end")] == [1, 2, 1, 2, 1]


def test_a_jump_over_a_group(style):
    """SPEC 2.3: the group is a successor like another: none of its members runs."""
    log = []
    with workflow("w") as wf:
        a, b, after = noting(style, log, "a", "b", "after")
        jumping(style, log, "jump", "after") >> (a | b) >> after
    assert style.run(wf) == "after"
    assert log == ["jump", "after"]


def test_a_jump_to_a_member_of_a_group_from_outside(style):
    """SPEC 2.3: the target runs and the group goes on with what was reached of it."""
    log = []
    with workflow("w") as wf:
        a, b, after = noting(style, log, "a", "b", "after")
        jumping(style, log, "jump", "a") >> (a | b) >> after
    assert style.run(wf) == "after"
    assert log == ["jump", "a", "after"]


def test_a_loop_with_a_way_out(style):
    """SPEC 2.2 and 2.3: a drawn loop fires by itself until its task jumps out of it."""
    log = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def agent(ctx):
            log.append("agent")
            if log.count("agent") == 3:
                ctx.next_task(ctx.graph.get_node("answer"), goto=True)

        start, tool, answer = noting(style, log, "start", "tool", "answer")
        start >> agent >> tool >> agent
        agent >> answer
    with_answers = style.run(wf, max_steps=50)
    assert log.count("agent") == 3
    assert log.count("tool") == 2
    assert with_answers == "answer"


def test_a_jump_out_of_a_branch_runs_the_target_in_its_place(style):
    """The lead's rule 5: the target and what it releases run, except what lies after the group."""
    log = []
    with workflow("w") as wf:
        rest, other, after, away, behind, root = noting(style, log, "rest", "other", "after", "away", "behind", "root")
        root >> parallel(jumping(style, log, "jump", "away") >> rest, other).set_group_name("g") >> after
        away >> behind
    style.run(wf, "root")
    assert sorted(log[1:-1]) == ["away", "behind", "jump", "other"]
    assert log[-1] == "after"
    assert wf.get_result("g") == {"rest": "behind", "other": "other"}


def test_a_jump_from_a_branch_to_the_task_after_the_group(style):
    """The lead's rule 5: what lies after the group still runs once, when the group has ended."""
    log = []
    with workflow("w") as wf:
        rest, other, after, last = noting(style, log, "rest", "other", "after", "last")
        parallel(jumping(style, log, "jump", "last") >> rest, other).set_group_name("g") >> after >> last
    assert style.run(wf) == "last"
    assert "rest" not in log
    assert log.count("after") == 1
    assert log[-1] == "last"


def test_a_jump_made_by_a_child_is_part_of_that_child(style):
    """SPEC 10: the parent's successors run after it."""
    log = []

    @style.task(inject_context=True)
    def child(ctx):
        log.append("child")
        ctx.next_task(TaskWrapper("target", style.body(lambda: log.append("target"))), goto=True)

    with workflow("w") as wf:

        @style.task(inject_context=True)
        def parent(ctx):
            ctx.next_task(child)
            return "parent"

        (after,) = noting(style, log, "after")
        parent >> after
    assert style.run(wf) == "after"
    assert log == ["child", "target", "after"]


def test_a_failing_wished_child_does_not_retry_its_parent(style):
    """The lead's rule 8: the parent's body had succeeded; its own retries do not repeat it."""
    log, error = [], ValueError("child broke")

    @task
    def child():
        raise error

    with workflow("w") as wf:

        @style.task(inject_context=True, max_retries=3)
        def parent(ctx):
            log.append("parent")
            ctx.next_task(child)

    with pytest.raises(ValueError, match="child broke") as caught:
        style.run(wf)
    assert caught.value is error
    assert log == ["parent"]


def test_a_delayed_child_starts_later_and_is_waited_for(style):
    """SPEC 2.3: `delay=` seconds before it starts; the successor waits for it."""
    log, clock = [], HeldClock()

    def soon():
        log.append("soon")
        clock.let_go()

    with workflow("w") as wf:

        @style.task(inject_context=True)
        def parent(ctx):
            ctx.next_task(TaskWrapper("late", style.body(lambda: log.append("late"))), delay=0.02)
            ctx.next_task(TaskWrapper("soon", style.body(soon)))

        (after,) = noting(style, log, "after")
        parent >> after
    style.run(wf, clock=clock)
    assert log == ["soon", "late", "after"]
