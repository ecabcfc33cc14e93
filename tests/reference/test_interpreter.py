"""The interpreter against cases worked out by hand, so that the oracle itself is not taken on trust."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reference.expected import ANY, Expected, Stop
from tests.reference.interpreter import interpret
from tests.reference.outcome import AmbiguousError
from tests.reference.program import FOREVER, Expr, Policy, Program, Ref, Script, Turn, Wish, par, seq


def turn(task_id: str, *wishes: Wish, **options: Any) -> Turn:
    return Turn(options.pop("value", f"v:{task_id}"), wishes, **options)


def task(task_id: str, *wishes: Wish, retries: int = 0, **options: Any) -> dict[str, Script]:
    """Write a script of one turn that repeats."""
    return {task_id: Script((turn(task_id, *wishes, **options),), max_retries=retries)}


def then(target: str | Expr, **options: bool) -> Wish:
    return Wish(Ref(target) if isinstance(target, str) else target, **options)


def goto(target: str | Expr) -> Wish:
    return then(target, goto=True)


def run(*drawn: Expr, scripts: dict[str, Script] | None = None, start: str | None = None) -> Expected:
    return interpret(Program(drawn, scripts or {}, start=start))


def test_diamond_runs_its_join_once() -> None:
    """A join drawn with plain edges runs once, after both sides."""
    expected = run(seq("a", "b", "d"), seq("a", "c", "d"))
    assert expected.counts() == {"a": 1, "b": 1, "c": 1, "d": 1}
    assert expected.value == "v:d"
    assert expected.is_after("d", "b")
    assert expected.is_after("d", "c")
    assert not expected.is_after("c", "b")
    assert ("b", "c") in expected.orders


def test_lonely_task_waits_to_be_reached() -> None:
    """A task without edges does not start beside a drawn graph, but alone it does."""
    assert run(seq("risky", "normal"), Ref("handler")).counts() == {"risky": 1, "normal": 1}
    assert run(Ref("x"), Ref("y")).value == {"x": "v:x", "y": "v:y"}


def test_start_in_the_middle_waits_for_nobody_upstream() -> None:
    """A predecessor that cannot run in this pass is not waited for."""
    expected = run(seq("a", "b", "d"), seq("a", "c", "d"), start="b")
    assert expected.counts() == {"b": 1, "d": 1}


def test_goto_skips_successors_and_what_only_they_reach() -> None:
    """A jump runs its target instead of the successors."""
    expected = run(seq("a", "b", "c"), Ref("handler"), scripts=task("a", goto("handler")))
    assert expected.counts() == {"a": 1, "handler": 1}
    assert expected.value == "v:handler"


def test_next_task_on_existing_runs_both() -> None:
    """Without goto the target runs first and then the normal successors."""
    expected = run(seq("a", "b"), seq("x", "y"), scripts=task("a", then("y")), start="a")
    assert expected.counts() == {"a": 1, "b": 1, "y": 1}
    assert expected.is_after("b", "y")
    assert expected.value == "v:b"


def test_jump_forward_to_a_join_is_the_jumpers_delivery() -> None:
    """A jump to a join still waits for the others that can deliver, and the join runs once."""
    expected = run(seq("s", "a", "b", "j"), seq("s", "c", "j"), scripts=task("a", goto("j")))
    assert expected.counts() == {"s": 1, "a": 1, "c": 1, "j": 1}
    assert expected.is_after("j", "a")
    assert expected.is_after("j", "c")


def test_agent_and_tool_loop_until_the_agent_leaves() -> None:
    """An edge that closes a loop fires its target again, once per pass."""
    turns = tuple(turn("agent", goto("tool"), value=f"think {n}") for n in (1, 2))
    agent = Script((*turns, turn("agent", goto("out"), value="answer")))
    expected = run(seq("agent", "tool", "agent"), seq("agent", "out"), scripts={"agent": agent}, start="agent")
    assert expected.counts() == {"agent": 3, "tool": 2, "out": 1}
    assert expected.value == "v:out"
    assert expected.results["agent"] == "answer"
    assert expected.needs["tool", "agent"] == [0, 1, 2]


def test_jump_back_twice_runs_everything_after_it_again() -> None:
    """What lies after the target of a jump back runs once per pass."""
    check = Script((turn("check", goto("a")), turn("check", goto("a")), turn("check")))
    expected = run(seq("a", "b", "d", "check", "end"), seq("a", "c", "d"), scripts={"check": check})
    assert expected.counts() == {"a": 3, "b": 3, "c": 3, "d": 3, "check": 3, "end": 1}
    assert expected.needs["check", "d"] == [0, 1, 2]


def test_jump_back_to_before_the_start_of_a_loop() -> None:
    """A task upstream of the present pass is still an earlier task: what follows it runs again."""
    u = Script((turn("u"), turn("u", goto("s")), turn("u", goto("end"))))
    expected = run(seq("s", "v", "u", "v"), seq("u", "end"), scripts={"u": u})
    assert expected.counts() == {"s": 2, "v": 3, "u": 3, "end": 2}


def test_jump_to_oneself_is_another_pass() -> None:
    """A task that jumps to itself runs again and releases its successors once."""
    a = Script((turn("a", goto("a")), turn("a")))
    assert run(seq("a", "b"), scripts={"a": a}).counts() == {"a": 2, "b": 1}


def test_goto_new_expression_runs_in_the_jumpers_place() -> None:
    """The last tasks of a new target are final."""
    expected = run(seq("a", "b"), scripts=task("a", goto(seq("x", par("g", "y", "z")))))
    assert expected.counts() == {"a": 1, "x": 1, "y": 1, "z": 1}
    assert expected.value == {"y": "v:y", "z": "v:z"}


def test_iteration_runs_successors_once() -> None:
    """Successors run once, after the turn that asks for no other; each turn's children come before the next turn."""
    tune = Script((turn("tune", then("log"), iterate=True, value="1"), turn("tune", value="2")))
    expected = run(seq("tune", "deploy"), scripts={"tune": tune})
    assert expected.most == {("tune", 1, 1): 1, ("tune", 2, 1): 1, ("log", 1, 1): 1, ("deploy", 1, 1): 1}
    assert expected.needs["log", "tune"] == [0, 1]
    assert expected.results["tune"] == "2"


def test_retried_parent_leaves_no_children_twice() -> None:
    """Wishes of an attempt that raises are dropped."""
    expected = run(seq("a", "b"), scripts=task("a", then("child"), retries=2, failing=2))
    assert expected.most == {("a", 1, 1): 1, ("a", 1, 2): 1, ("a", 1, 3): 1, ("child", 1, 1): 1, ("b", 1, 1): 1}


def test_failing_child_fails_its_parent_without_retrying_it() -> None:
    """The parent's body had succeeded, so only the child's attempts are repeated."""
    scripts = task("a", then("bad"), then("good"), retries=3) | task("bad", failing=FOREVER, retries=1)
    expected = run(seq("a", "b"), scripts=scripts)
    assert expected.stops == {Stop("failed", "bad")}
    assert expected.counts() == {"a": 1, "bad": 2, "good": 1}
    assert expected.must_run() == {"a", "bad"}
    assert expected.may_run() == {"good"}


def test_fan_in_waits_for_a_branchs_dynamic_child() -> None:
    """A branch is done when what it added is done."""
    expected = run(seq("s", par("g", "a", "b"), "join"), scripts=task("a", then(seq("x", "y"))))
    assert expected.counts() == {"s": 1, "a": 1, "b": 1, "x": 1, "y": 1, "join": 1}
    assert expected.is_after("join", "y")


def test_detached_child_is_waited_for_by_nobody_but_the_run() -> None:
    """wait=False orders the child after its parent's body only."""
    expected = run(seq("a", "b"), scripts=task("a", then("audit", wait=False)))
    assert expected.counts() == {"a": 1, "b": 1, "audit": 1}
    assert expected.is_after("audit", "a")
    assert not expected.is_after("b", "audit")


def test_detached_child_of_a_cancelled_parent_may_be_missing() -> None:
    """It belongs to the run, but exists only if its parent got as far as asking for it."""
    inner = par("inner", "bad", "parent")
    scripts = task("bad", failing=FOREVER) | task("parent", then("audit", wait=False))
    expected = run(par("outer", inner, policy=Policy("best_effort")), scripts=scripts)
    assert not expected.stops
    assert expected.may_run() == {"parent", "audit"}


def test_nested_groups_and_chains_give_nested_values() -> None:
    """A group's value maps the last id of each branch, as written; a group in a group is one member."""
    expected = run(seq("s", par("outer", seq("a", "b"), par("inner", "c", "d"))))
    assert expected.value == {"b": "v:b", "inner": {"c": "v:c", "d": "v:d"}}
    assert expected.is_after("b", "a")


def test_strict_group_fails_and_cancels_the_rest() -> None:
    """The first failure ends a strict group; how far the others came is open, what follows never runs."""
    expected = run(seq(par("g", "bad", seq("a", "b")), "after"), scripts=task("bad", failing=FOREVER))
    assert expected.stops == {Stop("group failed", "g")}
    assert expected.must_run() == {"bad"}
    assert expected.may_run() == {"a", "b"}
    assert "after" not in expected.counts()


def test_best_effort_goes_on_without_the_failed_member() -> None:
    """Failed members are absent from the value; everything else certainly runs, except the rest of their branch."""
    group = par("g", seq("bad", "rest"), "x", "a", policy=Policy("best_effort"))
    scripts = task("bad", failing=FOREVER) | task("x", failing=FOREVER)
    expected = run(seq(group, "after"), scripts=scripts)
    assert not expected.stops
    assert expected.counts() == {"bad": 1, "x": 1, "a": 1, "after": 1}
    assert expected.tolerated == {"x"}
    assert run(group, scripts=scripts).value == {"a": "v:a"}


def test_strict_group_inside_a_tolerant_one() -> None:
    """An inner failure is a failure of its branch; order is still promised for what was not cut short."""
    inner = par("inner", "bad", "sibling")
    expected = run(
        seq(par("outer", inner, "a", policy=Policy("best_effort")), "after"), scripts=task("bad", failing=FOREVER)
    )
    assert not expected.stops
    assert expected.must_run() == {"bad", "a", "after"}
    assert expected.may_run() == {"sibling"}
    assert expected.is_after("after", "bad")
    assert not expected.is_after("after", "sibling")


@pytest.mark.parametrize(
    ("policy", "fails"),
    [
        (Policy("at_least", 2), False),
        (Policy("at_least", 3), True),
        (Policy("critical", names=("a", "b")), False),
        (Policy("critical", names=("bad",)), True),
    ],
)
def test_policies_judge_one_failure_in_three(policy: Policy, *, fails: bool) -> None:
    """A quorum counts successes, a critical policy looks only at the named members."""
    expected = run(par("g", "a", "b", "bad", policy=policy), scripts=task("bad", failing=FOREVER))
    assert bool(expected.stops) is fails


def test_race_has_one_certain_winner() -> None:
    """In a race that only one member can win, the losers may or may not have started."""
    expected = run(par("g", "win", "lose", policy=Policy("first")), scripts=task("lose", failing=FOREVER))
    assert expected.value == {"win": "v:win"}
    assert expected.must_run() == {"win"}
    with pytest.raises(AmbiguousError):
        run(par("g", "a", "b", policy=Policy("first")))


def test_goto_inside_a_branch_takes_the_jumpers_place() -> None:
    """The rest of the branch is skipped, the group goes on after the target, the key stays and the value is new."""
    group = par("g", seq("a", "b"), "c")
    expected = run(seq(group, "after"), scripts=task("a", goto("x")))
    assert expected.counts() == {"a": 1, "c": 1, "x": 1, "after": 1}
    assert expected.is_after("after", "x")
    assert run(group, scripts=task("a", goto("x"))).value == {"b": "v:x", "c": "v:c"}


def test_goto_within_a_branch_walks_it_again_from_there() -> None:
    """A jump back inside a branch repeats that part of the branch only."""
    b = Script((turn("b", goto("a")), turn("b")))
    expected = run(seq(par("g", seq("a", "b", "e"), "c"), "after"), scripts={"b": b})
    assert expected.counts() == {"a": 2, "b": 2, "e": 1, "c": 1, "after": 1}


def test_goto_out_of_a_branch_leaves_out_what_lies_after_the_group() -> None:
    """A drawn target runs with what it releases as the end of the branch; the group's successors run once."""
    drawn = (seq("s", par("g", "a", "c"), "after"), seq("t", "u", "after"))
    expected = run(*drawn, scripts=task("a", goto("t")), start="s")
    assert expected.counts() == {"s": 1, "a": 1, "c": 1, "t": 1, "u": 1, "after": 1}
    assert expected.is_after("after", "u")


def test_terminate_says_only_what_certainly_ran() -> None:
    """Ancestors of the stop have run, its successors never, siblings perhaps."""
    expected = run(seq("s", "a", "end"), seq("s", "b"), scripts=task("a", stop="terminate_with"))
    assert expected.stops == {Stop("terminated", "a", "stop:a")}
    assert expected.must_run() == {"s", "a"}
    assert expected.may_run() == {"b"}
    assert "end" not in expected.counts()


def test_two_stops_either_may_come_first() -> None:
    """Of two independent stops one ends the run; only what both follow is certain."""
    scripts = task("a", stop="cancel") | task("b", failing=FOREVER)
    expected = run(seq("s", "a"), seq("s", "b"), scripts=scripts)
    assert expected.stops == {Stop("cancelled", "a"), Stop("failed", "b")}
    assert expected.must_run() == {"s"}
    assert expected.may_run() == {"a", "b"}


def test_stop_in_an_attempt_that_raises_is_no_stop() -> None:
    """Nothing that a failed attempt wished for takes effect, the stop included; the retry does it."""
    expected = run(seq("a", "b"), scripts=task("a", retries=1, failing=1, stop="cancel"))
    assert expected.counts() == {"a": 2}
    assert expected.stops == {Stop("cancelled", "a")}


def test_cycle_limit_fails_the_task() -> None:
    """A task that always asks for another turn fails after max_cycles of them."""
    expected = run(seq("a", "b"), scripts={"a": Script((turn("a", iterate=True),), max_cycles=3)})
    assert expected.counts() == {"a": 3}
    assert expected.stops == {Stop("failed", "a")}


def test_racing_jump_is_refused() -> None:
    """Whether an unrelated task has started when another jumps to it is not for a test to say."""
    with pytest.raises(AmbiguousError):
        run(seq("s", "a", "b"), seq("s", "c"), scripts=task("a", goto("c")))


def test_wildcard_equals_everything() -> None:
    """Values that depend on the order compare equal to any value, also inside a mapping."""
    assert {"a": ANY} == {"a": 5}
    assert {"a": ANY} != {"b": 5}
