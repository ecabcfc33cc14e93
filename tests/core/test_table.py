"""ARCHITECTURE 6: which fact may arrive in which status; what does not fit changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import RetryPolicy
from graflow_async._core.events import (
    Called,
    Cancelled,
    CancelRequested,
    Completed,
    Failed,
    HandleDropped,
    Parked,
    RunCalled,
    TimerFired,
    Unparked,
)
from graflow_async._core.replay import digest
from graflow_async._core.state import Status
from graflow_async.builder import build_graph
from graflow_async.errors import InvalidTransitionError
from tests.core.driver import Driver, Handle, child, tasks
from tests.core.snapshot import picture

if TYPE_CHECKING:
    from collections.abc import Callable

INNER = build_graph(tasks("inner"))
(CALLED,) = tasks("called")


def running() -> tuple[Driver, int]:
    driver = Driver(build_graph(tasks("a", limits=["few"], retry_policy=RetryPolicy(1))), limits={"few": 1})
    driver.start()
    return driver, driver.body("a").key


def ready() -> tuple[Driver, int]:
    first, second = tasks("a b", limits=["few"])
    (start,) = tasks("s")
    driver = Driver(build_graph([start >> first, start >> second]), limits={"few": 1})
    driver.start()
    driver.complete("s")
    key = next(k for k, i in driver.state.live.items() if i.status is Status.READY)
    return driver, key


def parked() -> tuple[Driver, int]:
    driver, key = running()
    driver.park("a")
    return driver, key


def resuming() -> tuple[Driver, int]:
    driver, _ = ready()
    driver.park("a")
    first = next(k for k, i in driver.running.items() if i.status is Status.PARKED)
    driver.submit(Unparked(first))
    return driver, first


def backoff() -> tuple[Driver, int]:
    driver, key = running()
    driver.fail("a")
    return driver, key


def delayed() -> tuple[Driver, int]:
    driver, key = running()
    driver.complete("a", children=[child(tasks("late")[0], delay=2.0)])
    return driver, key + 1


def closing() -> tuple[Driver, int]:
    driver, key = running()
    driver.complete("a", children=[(CALLED, 0)])
    return driver, key


def done() -> tuple[Driver, int]:
    driver, key = running()
    driver.complete("a")
    return driver, key


def failed() -> tuple[Driver, int]:
    driver, key = running()
    driver.fail("a", again=False)
    return driver, key


def cancelled() -> tuple[Driver, int]:
    driver, key = running()
    driver.submit(CancelRequested(key))
    driver.submit(Cancelled(key))
    return driver, key


SCENES: dict[Status, Callable[[], tuple[Driver, int]]] = {
    Status.DELAYED: delayed,
    Status.READY: ready,
    Status.RUNNING: running,
    Status.PARKED: parked,
    Status.RESUMING: resuming,
    Status.BACKOFF: backoff,
    Status.CLOSING: closing,
    Status.DONE: done,
    Status.FAILED: failed,
    Status.CANCELLED: cancelled,
}
FACTS: dict[str, Callable[[int], Any]] = {
    "Completed": lambda key: Completed(key, 1),
    "Failed": lambda key: Failed(key, ValueError()),
    "Cancelled": Cancelled,
    "Called": lambda key: Called(key, Handle(), tasks=[(CALLED, 0)]),
    "RunCalled": lambda key: RunCalled(key, INNER, INNER.route(INNER.roots()), "inner", Handle()),
    "Parked": Parked,
    "Unparked": Unparked,
}
BODY = {Status.RUNNING, Status.PARKED, Status.RESUMING}
FITS = dict.fromkeys(FACTS, BODY) | {"Parked": {Status.RUNNING}, "Unparked": {Status.PARKED}}
ALL = [(status, name) for status in SCENES for name in FACTS]
LEGAL = [(status, name) for status, name in ALL if status in FITS[name]]
ILLEGAL = [(status, name) for status, name in ALL if status not in FITS[name]]


@pytest.mark.parametrize("status", SCENES)
def test_scenes_show_what_they_say(status):
    """The other tests of this file look at instances that really are in the status of their name."""
    driver, key = SCENES[status]()
    instance = driver.state.find(key)
    final = status in {Status.DONE, Status.FAILED, Status.CANCELLED}
    assert instance is None if final else instance is not None and instance.status is status


@pytest.mark.parametrize(("status", "name"), LEGAL, ids=str)
def test_legal_facts_are_worked_in(status, name):
    """A fact that fits is accepted, kept in the history, and leaves a sound state."""
    driver, key = SCENES[status]()
    event, before = FACTS[name](key), len(driver.machine.history)
    driver.submit(event)
    assert driver.machine.history[before:] == [event]
    assert driver.machine.story(key)[-1] is event


@pytest.mark.parametrize(("status", "name"), ILLEGAL, ids=str)
def test_illegal_facts_change_nothing(status, name):
    """ARCHITECTURE 2: an illegal event raises InvalidTransitionError and changes nothing."""
    driver, key = SCENES[status]()
    shallow, deep, told = digest(driver.state), picture(driver.state), list(driver.machine.history)
    with pytest.raises(InvalidTransitionError, match=f"{name} does not fit instance {key}"):
        driver.machine.apply(FACTS[name](key))
    assert digest(driver.state) == shallow
    assert picture(driver.state) == deep
    assert driver.machine.history == told
    assert not driver.machine.agenda


@pytest.mark.parametrize("name", FACTS)
def test_facts_about_nobody_change_nothing(name):
    """A key that was never given out is refused like an instance that has ended."""
    driver, _ = running()
    deep = picture(driver.state)
    with pytest.raises(InvalidTransitionError, match="which is unknown"):
        driver.machine.apply(FACTS[name](4711))
    assert picture(driver.state) == deep


@pytest.mark.parametrize("status", SCENES)
def test_facts_that_come_too_late_are_no_news(status):
    """A timer that was dropped, a handle nobody uses and a child that is gone may still be named: nothing follows."""
    driver, _ = SCENES[status]()
    deep = picture(driver.state)
    for event in (TimerFired("gone"), HandleDropped(Handle()), CancelRequested(4711)):
        assert driver.machine.apply(event) == []
    assert picture(driver.state) == deep


@pytest.mark.parametrize("status", [s for s in SCENES if s not in {Status.DONE, Status.FAILED, Status.CANCELLED}])
def test_anything_alive_can_be_cancelled(status):
    """A request to cancel fits every live status, and the run ends once the bodies have."""
    driver, key = SCENES[status]()
    driver.submit(CancelRequested(key))
    while driver.running:
        driver.submit(Cancelled(next(iter(driver.running))))
    assert len(driver.finishes) == 1


def test_a_second_request_to_cancel_is_no_news():
    """A body is told to stop once; its end is its own affair."""
    driver, key = running()
    driver.submit(CancelRequested(key))
    deep = picture(driver.state)
    assert driver.machine.apply(CancelRequested(key)) == []
    assert picture(driver.state) == deep


@pytest.mark.parametrize("name", ["Completed", "Failed", "Cancelled"])
def test_a_body_that_was_told_to_stop_may_end_any_way(name):
    """Returning or raising after a cancellation is an end like any other: the successors do not run."""
    first, second = tasks("a b")
    driver = Driver(build_graph([first >> second]))
    driver.start()
    driver.submit(CancelRequested(1))
    driver.submit(FACTS[name](1))
    assert driver.is_over
    assert driver.ids == ["a"]


def test_the_picture_sees_a_change_in_depth():
    """The snapshot that these tests compare is deep: one more counted child shows in it."""
    driver, key = running()
    before = picture(driver.state)
    driver.state.live[key].open += 1
    changed = picture(driver.state)
    driver.state.live[key].open -= 1
    assert changed != before
    assert picture(driver.state) == before
