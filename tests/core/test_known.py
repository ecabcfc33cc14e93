"""Promises that the machine once did not keep: each test names one."""

from __future__ import annotations

from typing import Any

import pytest

from graflow_async import RetryPolicy, parallel
from graflow_async._core.events import Cancelled, CancelRequested, Completed, RunStarted, StopRequested, Unparked
from graflow_async._core.replay import digest, replay
from graflow_async._core.wishes import SAME, Child, Stop
from graflow_async.builder import build_graph
from graflow_async.errors import InvalidTransitionError
from tests.core.driver import Driver, child, tasks, to, wishing
from tests.core.snapshot import picture


class Lenient:
    """A policy of the user's own that lets every group pass."""

    def on_group_finished(self, group_id: str, members: Any, results: Any, ctx: Any) -> None:
        """Accept anything."""


def one(**options: Any) -> Driver:
    """Start a run of one task `p`."""
    driver = Driver(build_graph(tasks("p")), **options)
    driver.start()
    return driver


def test_max_steps_ends_a_run_in_the_middle_of_a_family():
    """SPEC 2.3: more turns than max_steps end the run, also between two children of different kinds."""
    x, y, z = tasks("x y z")
    driver = one(max_steps=1)
    driver.complete("p", children=[(x, 0), Child(y), (z, 0)])
    assert not driver.state.live
    assert driver.is_over


@pytest.mark.parametrize("how", ["cancel in backoff", "turn after max_steps"])
def test_a_run_ends_once(how):
    """There is one Finish, also where nothing has a body that must end first."""
    driver = Driver(build_graph(tasks("a", retry_policy=RetryPolicy(1))), max_steps=1)
    driver.start()
    if how == "cancel in backoff":
        driver.fail("a")
        driver.submit(StopRequested("cancelled", ValueError()))
    else:
        driver.complete("a", again=SAME)
    assert len(driver.finishes) == 1


def test_a_run_that_has_ended_ends_no_more():
    """Stopping a finished run is refused, or no news; it does not finish a second time."""
    driver = one()
    driver.complete("p")
    assert driver.machine.apply(StopRequested("cancelled", ValueError())) == []


def test_a_run_starts_once():
    """A second RunStarted does not fit and starts nothing."""
    driver = one()
    graph = driver.state.root.graph
    with pytest.raises(InvalidTransitionError):
        driver.machine.apply(RunStarted(graph.route(graph.roots())))


def test_an_unknown_scope_is_refused_as_such():
    """An event that names a child run that is not there raises InvalidTransitionError."""
    with pytest.raises(InvalidTransitionError):
        one().machine.apply(StopRequested("cancelled", ValueError(), 99))


def test_a_refused_fact_begins_no_child():
    """An illegal event changes nothing, also when it names a child that waits in a batch."""
    driver = one()
    driver.call("p", *tasks("x y z"))
    before = picture(driver.state)
    with pytest.raises(InvalidTransitionError):
        driver.machine.apply(Unparked(3))
    assert picture(driver.state) == before


def test_a_replay_knows_which_children_had_begun():
    """The history alone tells a run again: children that lanes took from a batch included."""
    driver = one()
    driver.call("p", *tasks("x y"))
    driver.take_all()
    driver.fail("p")
    for key in list(driver.told):
        driver.submit(Cancelled(key))
    assert digest(replay(driver.machine.history, driver.state)) == digest(driver.state)


@pytest.mark.parametrize("verb", ["children", "jumps"])
def test_a_member_of_a_group_on_a_loop_can_be_a_child(verb):
    """SPEC 2.3: next_task(member) runs it, also where an edge leads from behind the group back to it."""
    a, b, c, d = tasks("a b c d")
    graph = build_graph([a >> parallel(b, c, name="g") >> a, d])
    driver = Driver(graph)
    driver.start("d")
    driver.complete("d", **{verb: [to(graph, "b")]})
    assert driver.names == ["b"]


@pytest.mark.parametrize("target", ["task", "walk"])
def test_a_called_task_may_jump(target):
    """What takes a called task's place delivers to the task's own position."""
    x, y, z, last = tasks("x y z last")
    driver = one()
    handle = driver.call("p", x, y)
    driver.take_all()
    driver.complete("x", jumps=[Child(z) if target == "task" else child(z >> last)])
    driver.complete("z")
    if target == "walk":
        driver.complete("last")
    driver.complete("y")
    assert set(handle.ends) == {0, 1}


def test_a_cancelled_body_may_call_a_walk():
    """Clean-up of a cancelled body may call tasks, so it may call a chain of tasks."""
    a, b = tasks("a b")
    driver = one()
    driver.submit(CancelRequested(1))
    driver.call("p", child(a >> b))
    assert "a" in driver.names


@pytest.mark.parametrize("inside", ["judge", "jump"])
def test_a_called_walk_ends_when_the_run_is_stopped(inside):
    """Every called child ends before its parent does, also a walk that a stop has interrupted."""
    a, b, c = tasks("a b c")
    driver = one()
    walk = parallel(a, policy=Lenient(), name="g") if inside == "judge" else a >> b
    handle = driver.call("p", child(walk))
    driver.submit(_end_of(driver, "a", jumps=None if inside == "judge" else [Child(c)]))
    driver.submit(StopRequested("cancelled", ValueError()))
    driver.submit(Cancelled(driver.body("g" if inside == "judge" else "c").key))
    assert handle.ends == {0: ("cancelled", None)}


def _end_of(driver: Driver, name: str, jumps: list[Child] | None) -> Any:
    """Make the end of a body, with jumps if there are any."""
    return Completed(driver.body(name).key, name, wishing(jumps=jumps) if jumps else None)


def test_a_policy_may_ask_for_a_jump():
    """A policy of the user's own has a context; a jump asked for there does not lose what comes after the group."""
    a, b, c, d = tasks("a b c d")
    driver = Driver(build_graph([parallel(a, policy=Lenient(), name="g") >> b]))
    driver.start()
    driver.complete("a")
    driver.complete("g", jumps=[child(c >> d)])
    driver.complete("c")
    driver.complete("d")
    assert "b" in driver.ids


@pytest.mark.parametrize("how", ["jumps", "calls", "detached"])
def test_max_steps_ends_a_run_in_the_middle_of_anything(how):
    """The turn that is one too many ends the run, also where another one was to begin with it."""
    x, y = tasks("x y")
    driver = one(max_steps=1)
    if how == "calls":
        driver.call("p", Child(x), Child(y))
        driver.submit(Cancelled(1))
    elif how == "jumps":
        driver.complete("p", jumps=[Child(x), Child(y)])
    else:
        driver.complete("p", children=[Child(x, waits=False), Child(y, waits=False)])
    assert driver.is_over


def test_a_called_walk_ends_when_a_jump_of_it_stops_the_run():
    """Every called child ends before its parent does, also where the stop comes out of it."""
    a, b, c = tasks("a b c")
    driver = one()
    handle = driver.call("p", child(a >> b))
    driver.complete("a", jumps=[Child(c)])
    driver.complete("c", stop=Stop("terminated"))
    assert set(handle.ends) == {0}
