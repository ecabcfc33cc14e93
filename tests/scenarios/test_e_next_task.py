"""Scenarios 61 to 75 (group E): next_task. Those that are samples of seeds stand in tests/seeds."""

# A task made with the style fixture is typed as the plain function it was made of.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false, reportRedeclaration=false

from __future__ import annotations

import pytest

from graflow_async import DuplicateTaskError, Task, TaskWrapper, chain, parallel, task, workflow


def noting(style, log, *names, **options):
    return [style.task(name, **options)(lambda name=name: log.append(name) or name) for name in names]


def wishing(style, log, wish, name="start", value=None):
    """Make a task that notes its name and then calls `wish(ctx)`."""

    @style.task(name, inject_context=True)
    def start(ctx):
        log.append(name)
        wish(ctx)
        return value or name

    return start


def test_061_the_made_task_runs_after_its_maker(style):
    """61: exactly the chosen task, after the body."""
    log = []
    high, _low = noting(style, log, "high", "low")
    with workflow("w") as wf:
        style.run(wf, wishing(style, log, lambda ctx: ctx.next_task(high), "classifier"))
    assert log == ["classifier", "high"]


def test_062_a_jump_to_an_isolated_node_replaces_the_successors(style):
    """62: the handler runs, the continuation does not, and the handler's value is the run's."""
    log = []
    with workflow("w") as wf:
        risky = wishing(style, log, lambda ctx: ctx.next_task(ctx.graph.get_node("handler"), goto=True), "risky")
        handler, normal = noting(style, log, "handler", "normal")
        risky >> normal
        assert style.run(wf) == "handler"
    assert log == ["risky", "handler"]
    assert handler.id == "handler"


def test_064_the_block_may_be_closed_before_running(style):
    """63, 64: body, extra task, successor, in this order."""
    log = []
    extra, _ = noting(style, log, "extra", "unused")
    with workflow("w") as wf:
        (after,) = noting(style, log, "after")
        wishing(style, log, lambda ctx: ctx.next_task(extra), "process") >> after
    assert style.run(wf) == "after"
    assert log == ["process", "extra", "after"]


def test_068_a_jump_to_a_new_task_replaces_the_successors(style):
    """68: the new task runs, the successors do not."""
    log = []
    (new,) = noting(style, log, "new")
    with workflow("w") as wf:
        (after,) = noting(style, log, "after")
        wishing(style, log, lambda ctx: ctx.next_task(new, goto=True)) >> after
    assert style.run(wf) == "new"
    assert log == ["start", "new"]


def test_069_a_child_and_a_jump_in_one_turn(style):
    """69: both targets run, the successors do not."""
    log = []
    child, target = noting(style, log, "child", "target")

    def wish(ctx):
        ctx.next_task(target, goto=True)
        ctx.next_task(child)

    with workflow("w") as wf:
        (after,) = noting(style, log, "after")
        wishing(style, log, wish) >> after
    assert style.run(wf) == "target"
    assert log == ["start", "child", "target"]


def test_069_several_jumps_all_run(style):
    """The lead's rule 5: several jumps in one turn, all targets instead of the successors."""
    log = []
    one, two = noting(style, log, "one", "two")

    def wish(ctx):
        ctx.next_task(one, goto=True)
        ctx.next_task(two, goto=True)

    with workflow("w") as wf:
        (after,) = noting(style, log, "after")
        wishing(style, log, wish) >> after
    assert style.run(wf) == {"one": "one", "two": "two"}
    assert sorted(log) == ["one", "start", "two"]


def test_070_a_child_runs_before_the_successors(style):
    """70: start, dynamic_urgent, successor, final."""
    log = []
    (urgent,) = noting(style, log, "dynamic_urgent")
    with workflow("w") as wf:
        successor, final = noting(style, log, "successor", "final")
        wishing(style, log, lambda ctx: ctx.next_task(urgent)) >> successor >> final
    assert style.run(wf) == "final"
    assert log == ["start", "dynamic_urgent", "successor", "final"]


def test_071_all_workers_end_before_the_successor(style):
    """71: also what the workers themselves made (SPEC 2.3, one definition of done)."""
    log = []

    def worker(name):
        return wishing(style, log, lambda ctx: ctx.next_task(TaskWrapper(f"{name}_part", part(name))), name)

    def part(name):
        return style.body(lambda: log.append(f"{name}_part"))

    with workflow("w") as wf:
        (cleanup,) = noting(style, log, "cleanup")
        workers = [f"worker_{i}" for i in range(3)]
        coordinator = wishing(style, log, lambda ctx: [ctx.next_task(worker(name)) for name in workers], "coordinator")
        coordinator >> cleanup
    style.run(wf)
    assert log[-1] == "cleanup"
    assert sorted(log[1:-1]) == sorted([*workers, *(f"{name}_part" for name in workers)])


def test_072_an_existing_task_without_a_jump_runs_too(style):
    """72: the target runs with what it releases, and so do the normal successors."""
    log = []
    with workflow("w") as wf:
        start = wishing(style, log, lambda ctx: ctx.next_task(ctx.graph.get_node("aside")))
        normal, aside, behind = noting(style, log, "normal", "aside", "behind")
        root = wishing(style, log, lambda _: None, "root")
        start >> normal
        root >> aside >> behind
    assert style.run(wf, "start") == "normal"
    assert log == ["start", "aside", "behind", "normal"]


def test_072_a_successor_wished_as_a_child_runs_for_both(style):
    """SPEC 10: `next_task(existing)` on a task that the normal way reaches too runs it for both."""
    log = []
    with workflow("w") as wf:
        start = wishing(style, log, lambda ctx: ctx.next_task(ctx.graph.get_node("normal")))
        normal, last = noting(style, log, "normal", "last")
        start >> normal >> last
    style.run(wf)
    assert log == ["start", "normal", "last", "normal", "last"]


def test_073_a_handler_gets_the_data_also_after_it_has_run(style):
    """73: a bound task of a definition that is a node and has run is a new instance."""
    log = []
    with workflow("w") as wf:

        @style.task
        def handler(data="none"):
            log.append(data)

        dispatcher = wishing(style, log, lambda ctx: ctx.next_task(handler(data="bound")), "dispatcher")
        handler >> dispatcher
    style.run(wf)
    assert log == ["none", "dispatcher", "bound"]


def test_074_one_id_for_two_tasks_in_a_turn_is_refused(style):
    """74: the second wish raises in the task that wishes; a node's id is taken too."""
    log = []

    def wish(ctx):
        ctx.next_task(TaskWrapper("same", lambda: log.append("first")))
        with pytest.raises(DuplicateTaskError, match="'same'"):
            ctx.next_task(TaskWrapper("same", lambda: log.append("second")))
        with pytest.raises(DuplicateTaskError, match="'after'"):
            ctx.next_task(TaskWrapper("after", lambda: log.append("third")))
        with pytest.raises(DuplicateTaskError, match="'same'"):
            ctx.next_task(chain(TaskWrapper("same", lambda: log.append("fourth")), TaskWrapper("x", lambda: None)))

    with workflow("w") as wf:
        (after,) = noting(style, log, "after")
        wishing(style, log, wish) >> after
    style.run(wf)
    assert log == ["start", "first", "after"]


def test_074_the_same_object_twice_makes_two_instances(style):
    """SPEC 10: the same object wished twice runs twice."""
    log = []
    (again,) = noting(style, log, "again")

    def wish(ctx):
        ctx.next_task(again)
        ctx.next_task(again)

    with workflow("w") as wf:
        style.run(wf, wishing(style, log, wish))
    assert log == ["start", "again", "again"]


def test_075_a_chain_as_a_child_runs_in_order(style):
    """75: p, then q, then the successors; the id that comes back is the first task's."""
    log = []
    p, q = noting(style, log, "p", "q")
    with workflow("w") as wf:
        (after,) = noting(style, log, "after")
        wishing(style, log, lambda ctx: log.append(ctx.next_task(chain(p, q)))) >> after
    style.run(wf)
    assert log == ["start", "p", "p", "q", "after"]


def test_wishes_of_a_failed_attempt_do_not_count(style):
    """SPEC 2.3: a retried task leaves no children of the attempt that raised."""
    log = []

    @style.task(inject_context=True, max_retries=1)
    def parent(ctx):
        ctx.next_task(TaskWrapper("child", style.body(lambda: log.append(ctx.attempt))))
        ctx.next_task(TaskWrapper("other", style.body(lambda: log.append("jump"))), goto=True)
        if ctx.attempt == 1:
            raise ValueError("again")

    with workflow("w") as wf:
        style.run(wf, parent)
    assert log == [2, "jump"]


def test_a_jump_back_makes_everything_after_it_run_again(style):
    """SPEC 2.2: a jump to an earlier task is a new pass."""
    log = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def check(ctx):
            log.append("check")
            if log.count("check") < 3:
                ctx.next_task(ctx.graph.get_node("first"), goto=True)
            return log.count("check")

        first, second, last = noting(style, log, "first", "second", "last")
        first >> second >> check >> last
    assert style.run(wf) == "last"
    assert log == ["first", "second", "check"] * 3 + ["last"]


def test_a_jump_to_itself_runs_the_task_again(style):
    """SPEC 2.3: `goto=True` to the running task is one more pass from there."""
    log = []
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def again(ctx):
            log.append("again")
            if len(log) < 3:
                ctx.next_task(ctx.graph.get_node("again"), goto=True)

        (last,) = noting(style, log, "last")
        again >> last
    style.run(wf)
    assert log == ["again", "again", "again", "last"]


def test_a_jump_forward_to_the_join_is_the_jumpers_delivery(style):
    """SPEC 10: the join still waits for the other arm and runs once; what was jumped over does not run."""
    log = []
    with workflow("w") as wf:
        root, skipped, other, join, end = noting(style, log, "root", "skipped", "other", "join", "end")
        jumper = wishing(style, log, lambda ctx: ctx.next_task(ctx.graph.get_node("join"), goto=True), "jumper")
        root >> jumper >> skipped >> join >> end
        root >> other >> join
    assert style.run(wf) == "end"
    assert sorted(log[1:3]) == ["jumper", "other"]
    assert log[3:] == ["join", "end"]


def test_a_jump_over_a_join_leaves_the_others_their_way(style):
    """SPEC 2.2: a join skipped by one arm still runs for the other one."""
    log = []
    with workflow("w") as wf:
        root, other, join, far = noting(style, log, "root", "other", "join", "far")
        jumper = wishing(style, log, lambda ctx: ctx.next_task(ctx.graph.get_node("far"), goto=True), "jumper")
        root >> jumper >> join >> far
        root >> other >> join
    assert style.run(wf) == "far"
    assert log.count("join") == 1
    assert log.count("far") == 1
    assert log[-1] == "far"


def test_a_jump_to_a_direct_successor_skips_the_others(style):
    """The lead's rule 4: the edge to the target is delivered, the other edges are skipped."""
    log = []
    with workflow("w") as wf:
        left, right, join = noting(style, log, "left", "right", "join")
        fork = wishing(style, log, lambda ctx: ctx.next_task(ctx.graph.get_node("left"), goto=True), "fork")
        fork >> left >> join
        fork >> right >> join
    assert style.run(wf) == "join"
    assert log == ["fork", "left", "join"]


def test_a_detached_child_is_waited_for_by_the_run_only(style):
    """SPEC 2.3: `wait=False`: the successor does not wait for it, the run does."""
    log = []

    @style.task(inject_context=True)
    def detached(ctx):
        log.append("detached")
        if "after" not in log:
            ctx.next_iteration()

    with workflow("w") as wf:
        (after,) = noting(style, log, "after")
        wishing(style, log, lambda ctx: ctx.next_task(detached, wait=False)) >> after
    assert style.run(wf, max_steps=100_000) == "after"
    assert log[0] == "start"
    assert log[-1] == "detached"


def test_a_child_is_never_final(style):
    """SPEC 10: a parent without successors is final with its own value, whatever its children return."""
    log = []
    (child,) = noting(style, log, "child")
    with workflow("w") as wf:
        start = wishing(style, log, lambda ctx: ctx.next_task(child), value="own")
        assert style.run(wf, start) == "own"
    assert log == ["start", "child"]
    assert wf.get_result("child") == "child"


def test_a_group_and_its_join_as_a_child_end_before_the_successors(style):
    """SPEC 2.3: `parallel(a, b) >> integrator` as a child runs the integrator once, then the successors go on."""
    log = []
    a, b, integrator = noting(style, log, "a", "b", "integrator")
    with workflow("w") as wf:
        (after,) = noting(style, log, "after")
        wishing(style, log, lambda ctx: ctx.next_task(parallel(a, b) >> integrator)) >> after
    style.run(wf)
    assert sorted(log[1:3]) == ["a", "b"]
    assert log[3:] == ["integrator", "after"]


def test_the_parent_is_the_direct_predecessor_of_its_child():
    """SPEC 10: a child made with next_task gets its parent's result as the single open parameter, and by name."""
    seen = []

    @task
    def child(value):
        seen.append(value)

    @task
    def by_name(parent):
        seen.append(parent)

    @task
    def by_key(key):
        seen.append(key)

    @task(inject_context=True)
    def parent(ctx):
        for made in (child, by_name, by_key):
            ctx.next_task(made)
        return {"key": "k"}

    with workflow("w") as wf:
        wf.execute(parent)
    assert sorted(map(str, seen)) == sorted(["{'key': 'k'}", "{'key': 'k'}", "k"])


def test_anything_else_than_an_expression_is_refused(style):
    """SPEC 2.3: next_task takes expressions only; the error is raised in the task."""
    with workflow("w") as wf:

        @style.task(inject_context=True)
        def start(ctx):
            for wrong in ("start", 3, lambda: None):
                with pytest.raises(TypeError):
                    ctx.next_task(wrong)
            return isinstance(ctx.graph.get_node("start"), Task)

        assert style.run(wf) is True
