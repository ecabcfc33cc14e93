"""What the recorder says it expects holds when it should, fails when it should, and shows the story then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from graflow_async import RetryPolicy, Task, TaskCompleted, TaskStarted, Workflow
from graflow_async.testing import EventRecorder, run_sync


async def nap() -> None:
    await asyncio.sleep(1)


def retried() -> Task[Any, Any]:
    tries: list[int] = []

    async def flaky() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not yet")

    return Task("flaky", flaky, retry_policy=RetryPolicy(max_retries=1, initial_interval=60))


@pytest.fixture
def recorder() -> EventRecorder:
    """The story of a run: a, then b and c at once, then one that needs two attempts."""
    recorder = EventRecorder()
    names = [Task(name, nap) for name in "abc"]
    run_sync(Workflow("w", names[0] >> (names[1] | names[2]) >> retried()), listeners=[recorder])
    return recorder


HOLDS: list[Callable[[EventRecorder], Any]] = [
    lambda r: r.assert_completed("a", "b", "c", "flaky"),
    lambda r: r.assert_order("a", "b", "flaky"),
    lambda r: r.assert_order("a", "c", "flaky"),
    lambda r: r.assert_ran_once("a", "b", "c"),
    lambda r: r.assert_ran("flaky", 2),
    lambda r: r.assert_never_ran("z"),
    lambda r: r.assert_overlapped("b", "c"),
]
FAILS: list[tuple[Callable[[EventRecorder], Any], str]] = [
    (lambda r: r.assert_completed("a", "z"), "'z' did not complete"),
    (lambda r: r.assert_order("b", "a"), "'a' began before 'b' had completed"),
    (lambda r: r.assert_order("b", "c"), "'c' began before 'b' had completed"),
    (lambda r: r.assert_order("a", "z"), "'z' did not complete"),
    (lambda r: r.assert_ran_once("flaky"), "'flaky' began twice, not once"),
    (lambda r: r.assert_ran("z", 1), "'z' began never, not once"),
    (lambda r: r.assert_never_ran("a", "z"), "'a' began"),
    (lambda r: r.assert_overlapped("a", "b"), "'a' and 'b' ran one after the other"),
    (lambda r: r.assert_failed("flaky"), "'flaky' did not fail"),
]


@pytest.mark.parametrize("number", range(len(HOLDS)))
def test_what_holds_passes(recorder: EventRecorder, number: int):
    """An expectation that holds says nothing."""
    HOLDS[number](recorder)


@pytest.mark.parametrize("number", range(len(FAILS)))
def test_what_does_not_hold_shows_the_story(recorder: EventRecorder, number: int):
    """An expectation that does not hold says what is wrong, and then what happened when."""
    expect, message = FAILS[number]
    with pytest.raises(AssertionError) as caught:
        expect(recorder)
    assert str(caught.value).startswith(message)
    assert "     1.000 s  TaskCompleted a\n" in str(caught.value)
    assert "TaskRetrying flaky" in str(caught.value)


def test_a_failure_is_given(recorder: EventRecorder):
    """The error of a task that failed for good is there to be looked at; another kind is a complaint."""
    recorder.clear()

    async def breaks() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        run_sync(Workflow("w", Task("breaks", breaks)), listeners=[recorder])
    assert recorder.assert_failed("breaks", KeyError).args == ("k",)
    with pytest.raises(AssertionError, match="which is no OSError"):
        recorder.assert_failed("breaks", OSError)


def test_events_are_found_by_class(recorder: EventRecorder):
    """`of` gives events of a class with their own fields, of all tasks or of one."""
    assert [event.value for event in recorder.of(TaskCompleted, "a")] == [None]
    assert recorder.ids_of(TaskStarted) == ["a", "b", "c", "flaky", "flaky"]
    assert recorder.starts("b") == 1


def test_only_what_is_wanted_is_kept():
    """A recorder of some classes keeps these and no others."""
    recorder = EventRecorder(wants=[TaskStarted])
    run_sync(Workflow("w", Task("a", nap)), listeners=[recorder])
    assert [type(event) for event in recorder.events] == [TaskStarted]
    assert EventRecorder().story() == "nothing happened"
