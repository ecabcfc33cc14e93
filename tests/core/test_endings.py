"""How runs end, whatever the order in which bodies do: once, with the value that the drawing asks for."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from graflow_async import RetryPolicy, at_least, critical, parallel
from graflow_async._core.events import (
    Called,
    Cancelled,
    CancelRequested,
    Completed,
    HandleDropped,
    StopRequested,
    TimerFired,
)
from graflow_async._core.wishes import SAME, UNSET, Child, Stop
from graflow_async.builder import build_graph
from graflow_async.errors import CycleLimitExceededError, MaxStepsExceededError, ParallelGroupError
from tests.core.driver import Driver, Handle, child, tasks, wishing


@pytest.mark.parametrize("order", list(permutations("bcd")), ids="".join)
def test_a_join_runs_once_after_the_last(order):
    """SPEC 2.2: whichever predecessor ends last lets the join run, once."""
    a, b, c, d, e = tasks("a b c d e")
    driver = Driver(build_graph([a >> b >> e, a >> c >> e, a >> d >> e]))
    driver.start()
    driver.complete("a")
    for name in order:
        assert "e" not in driver.ids
        driver.complete(name)
    assert driver.ids.count("e") == 1
    driver.complete("e")
    assert driver.finishes[0].value == "e"


@pytest.mark.parametrize("order", list(permutations("abc")), ids="".join)
def test_final_values_do_not_depend_on_the_order(order):
    """SPEC 2.5: several final tasks give a dict of their values."""
    driver = Driver(build_graph(tasks("a b c")))
    driver.start()
    for name in order:
        driver.complete(name)
    (finish,) = driver.finishes
    assert (finish.kind, finish.value) == ("completed", {"a": "a", "b": "b", "c": "c"})


POLICIES: list[tuple[Any, set[str], bool]] = [
    ("strict", set(), True),
    ("strict", {"b"}, False),
    ("best_effort", {"a", "b", "c"}, True),
    ("first", {"a", "b"}, True),
    ("first", {"a", "b", "c"}, False),
    (at_least(2), {"a"}, True),
    (at_least(2), {"a", "b"}, False),
    (at_least(1, cancel_rest=True), {"a"}, True),
    (critical(["a"]), {"b", "c"}, True),
    (critical(["a"]), {"a"}, False),
]


def _named(value: Any) -> str:
    """Name a parameter in the same way in every process."""
    if isinstance(value, (str, bool)):
        return str(value)
    return "".join(sorted(value)) or "none" if isinstance(value, set) else type(value).__name__


@pytest.mark.parametrize("order", list(permutations("abc")), ids="".join)
@pytest.mark.parametrize(
    ("policy", "failing", "passes"),
    POLICIES,
    ids=_named,
)
def test_a_group_is_judged_the_same_in_every_order(policy, failing, passes, order):
    """SPEC 2.6: the verdict depends on who failed, not on when; what is left over is cancelled."""
    driver = Driver(build_graph([parallel(*tasks("a b c"), policy=policy, name="g") >> tasks("after")[0]]))
    driver.start()
    for name in order:
        if name not in driver.names:
            continue
        if driver.body(name).key in driver.told:
            driver.submit(Cancelled(driver.body(name).key))
        elif name in failing:
            driver.fail(name)
        else:
            driver.complete(name)
    if passes:
        value = driver.state.root.results["g"]
        assert set(value) <= set("abc") - failing
        driver.complete("after")
    (finish,) = driver.finishes
    assert finish.kind == ("completed" if passes else "failed")
    assert isinstance(finish.error, ParallelGroupError) is not passes


def test_the_first_failure_is_the_runs():
    """SPEC 2.6: siblings are cancelled and awaited, then the task's own exception ends the run."""
    driver = Driver(build_graph(tasks("a b c")))
    driver.start()
    own, late = ValueError("a"), KeyError("b")
    driver.fail("a", own)
    assert {driver.body("b").key, driver.body("c").key} == driver.told
    driver.fail("b", late)
    assert not driver.is_over
    driver.submit(Cancelled(driver.body("c").key))
    assert driver.finishes[0].error is own
    assert driver.state.root.failures == {"a": own, "b": late}


@pytest.mark.parametrize(("kind", "expected"), [("terminated", "completed"), ("cancelled", "cancelled")])
def test_a_stop_awaits_what_runs(kind, expected):
    """SPEC 2.3: nothing further starts, running siblings are cancelled, then the run ends."""
    a, b, c = tasks("a b c")
    driver = Driver(build_graph([a >> c, b >> c]))
    driver.start()
    driver.complete("a", "value", stop=Stop(kind, UNSET, ValueError()))
    assert not driver.is_over
    driver.complete("b")
    (finish,) = driver.finishes
    assert (finish.kind, finish.value) == (expected, "value" if kind == "terminated" else None)
    assert "c" not in driver.ids


def test_the_first_reason_to_stop_counts():
    """A run that is stopped is not stopped again: its first end is its end."""
    driver = Driver(build_graph(tasks("a b")))
    driver.start()
    first = ValueError("first")
    driver.submit(StopRequested("cancelled", first))
    driver.submit(StopRequested("failed", KeyError("second")))
    driver.submit(Cancelled(1))
    driver.submit(Cancelled(2))
    assert [(f.kind, f.error) for f in driver.finishes] == [("cancelled", first)]


def test_a_parent_ends_after_its_children_and_theirs():
    """SPEC 2.3, one definition of done: successors wait for whatever a task has released."""
    a, after, x, y = tasks("a after x y")
    driver = Driver(build_graph([a >> after]))
    driver.start()
    driver.complete("a", children=[(x, 0)])
    driver.complete("x", children=[(y, 0)])
    assert "after" not in driver.ids
    driver.complete("y")
    assert driver.names == ["after"]


def test_a_detached_child_holds_only_the_run():
    """SPEC 2.3: `wait=False` lets the successors go on; the run still waits."""
    a, after, x = tasks("a after x")
    driver = Driver(build_graph([a >> after]))
    driver.start()
    driver.complete("a", children=[Child(x, waits=False)])
    driver.complete("after")
    assert not driver.is_over
    driver.complete("x")
    assert driver.finishes[0].value == "after"


def test_turns_and_attempts_are_counted_apart():
    """The lead's rule 13: a new turn starts with attempt 1 again; wishes of a failed attempt are dropped."""
    driver = Driver(build_graph(tasks("a", retry_policy=RetryPolicy(1, 0.0))))
    driver.start()
    driver.fail("a")
    driver.complete("a", again=SAME)
    driver.fail("a")
    driver.complete("a")
    assert driver.started == [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 2)]
    assert driver.finishes[0].kind == "completed"


def test_too_many_turns_fail_the_task():
    """SPEC 2.3: more than `max_cycles` turns raise CycleLimitExceededError."""
    driver = Driver(build_graph(tasks("a", max_cycles=2)))
    driver.start()
    driver.complete("a", again=SAME)
    driver.complete("a", again=SAME)
    assert isinstance(driver.finishes[0].error, CycleLimitExceededError)


@pytest.mark.parametrize(("most", "ids"), [(1, "a"), (2, "a b"), (3, "a b c")])
def test_max_steps_counts_turns(most, ids):
    """The lead's rule 11: the turn that would exceed max_steps is not run."""
    a, b, c, d = tasks("a b c d")
    driver = Driver(build_graph([a >> b >> c >> d]), max_steps=most)
    driver.start()
    while not driver.is_over:
        driver.complete(driver.names[0])
    assert driver.ids == ids.split()
    assert isinstance(driver.finishes[0].error, MaxStepsExceededError)


def test_called_children_deliver_to_their_positions():
    """Ends of called tasks, walks and child runs go to the handle, at the position they were called at."""
    p, a, b, c, d = tasks("p a b c d")
    driver = Driver(build_graph([p]))
    driver.start()
    handle = Handle()
    driver.submit(Called(1, handle, 5, children=[Child(a), child(b >> c), Child(d)]))
    driver.complete("d")
    error = ValueError()
    driver.fail("a", error)
    driver.complete("b")
    driver.complete("c")
    assert handle.ends == {7: ("value", "d"), 5: ("error", error), 6: ("value", "c")}
    inner = driver.call_run("p", build_graph(tasks("r s")))
    driver.complete("s")
    driver.complete("r")
    assert inner.ends == {0: ("value", {"r": "r", "s": "s"})}
    driver.complete("p")
    assert driver.finishes[0].value == "p"


def test_a_child_run_ends_for_itself():
    """SPEC 2.4: terminate in a child run ends the child run; its parent goes on."""
    driver = Driver(build_graph(tasks("p")))
    driver.start()
    inner = driver.call_run("p", build_graph(tasks("a b")))
    driver.complete("a", stop=Stop("terminated", "early"))
    driver.submit(Cancelled(driver.body("b").key))
    assert inner.ends == {0: ("value", "early")}
    assert not driver.is_over
    driver.complete("p")
    assert driver.finishes[0].kind == "completed"


def test_a_dropped_handle_cancels_its_children_only():
    """Children of another handle, and the parent, go on."""
    driver = Driver(build_graph(tasks("p")))
    driver.start()
    kept = driver.call("p", *tasks("x"))
    dropped = driver.call("p", *tasks("y z"))
    driver.take_all()
    driver.submit(HandleDropped(dropped))
    assert {driver.body("y").key, driver.body("z").key} == driver.told
    driver.submit(Cancelled(driver.body("z").key))
    driver.complete("y")
    assert {end[0] for end in dropped.ends.values()} == {"cancelled"}
    driver.complete("x")
    driver.complete("p")
    assert kept.ends == {0: ("value", "x")}


def test_children_that_had_not_begun_are_forgotten():
    """A batch that is dropped delivers "cancelled" for each child at once, and begins none."""
    driver = Driver(build_graph(tasks("p")))
    driver.start()
    handle = driver.call("p", *tasks("x y z"))
    driver.submit(HandleDropped(handle))
    assert handle.ends == dict.fromkeys(range(3), ("cancelled", None))
    assert driver.ids == ["p"]


def test_a_retry_in_backoff_can_be_cancelled():
    """A child that waits for its next attempt ends at once, and its timer is dropped."""
    driver = Driver(build_graph(tasks("p")))
    driver.start()
    handle = driver.call("p", *tasks("x", retry_policy=RetryPolicy(1)))
    driver.fail("x")
    key = next(iter(driver.timers))
    driver.submit(CancelRequested(key))
    assert driver.timers == {}
    assert handle.ends == {0: ("cancelled", None)}
    assert driver.machine.apply(TimerFired(key)) == []


def test_a_deep_family_closes_without_recursion():
    """20,000 generations, each the only child of the one before, end with the last."""
    (x,) = tasks("x")
    driver = Driver(build_graph([x]))
    machine = super(type(driver.machine), driver.machine)  # the plain machine: checking each event would be quadratic
    driver.start()
    commands: list[Any] = []
    for key in range(1, 20_001):
        commands = machine.apply(Completed(key, key, _one_child(x) if key < 20_000 else None))
    assert [type(c).__name__ for c in commands] == ["Finish"]
    assert not driver.state.live


def _one_child(task: Any) -> Any:
    """Wish one more child."""
    return wishing(children=[(task, 0)])
