"""A run is its events: random programs in random orders end once, stay sound, and told again come out the same."""

from __future__ import annotations

import sys
from collections import Counter
from copy import deepcopy

import pytest

from graflow_async import RetryPolicy
from graflow_async._core.commands import SetTimer
from graflow_async._core.events import Called, Completed, Failed, Parked, TimerFired, Unparked
from graflow_async._core.replay import RecordingMachine, digest, replay
from graflow_async._core.run_state import RunState
from graflow_async._core.state import Gate
from graflow_async.builder import build_graph
from graflow_async.errors import InternalError, InvalidTransitionError
from tests.core.driver import Driver, tasks
from tests.core.programs import PROFILES, Chance
from tests.core.snapshot import picture

CHUNKS, SEEDS = 4, 25
RANDOM = list(PROFILES)


def chances(profile: str, chunk: int) -> list[tuple[int, Chance]]:
    first = chunk * SEEDS
    sys.stdout.write(f"profile {profile}, seeds {first} to {first + SEEDS - 1}\n")
    return [(seed, Chance(profile, seed)) for seed in range(first, first + SEEDS)]


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("profile", RANDOM)
def test_random_runs_end_once_and_leave_nothing(profile, chunk):
    """Whatever the order of facts: sound after each of them, nothing started twice, one Finish, nothing left."""
    for seed, chance in chances(profile, chunk):
        driver = chance.run()
        where = f"profile {profile}, seed {seed}"
        state = driver.state
        assert len(driver.finishes) == 1, where
        assert max(Counter(driver.started).values()) == 1, where
        assert not state.laps, where
        assert all(gate.free == gate.size for gate in state.gates.values() if gate.per is None), where
        assert all(gate is target for gate, target in _rates(state)), where
        assert set(driver.timers) == set(state.timers), where


def _rates(state: RunState) -> list[tuple[Gate, object]]:
    """Pair what is left of the timers with the gates that they are to reopen."""
    return [(state.gates[token[1]], target) for token, target in state.timers.items()]


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("profile", RANDOM)
def test_random_runs_told_again_are_the_same(profile, chunk):
    """ARCHITECTURE 2: resume is a fold; the events of any prefix give the state that the run had there."""
    for seed, chance in chances(profile, chunk):
        driver = chance.driver
        marks: dict[int, dict[str, object]] = {}
        driver.start(chance.graph.nodes[0])
        while not driver.is_over:
            chance.step()
            if chance.rng.random() < 0.1:
                marks[len(driver.machine.history)] = deepcopy(digest(driver.state))
        marks[len(driver.machine.history)] = deepcopy(digest(driver.state))
        for length in [*sorted(marks)[:2], max(marks)]:
            again = replay(driver.machine.history[:length], driver.state)
            assert digest(again) == marks[length], f"profile {profile}, seed {seed}, after {length} events"


def test_random_programs_do_what_they_are_named_for():
    """The random tests meet retries, rates, parking, calls, child runs, walks, jumps and every end of a run."""
    seen: Counter[str] = Counter()
    for profile in PROFILES:
        for seed in range(40):
            driver = Chance(profile, seed).run()
            seen[driver.finishes[0].kind] += 1
            seen.update(type(event).__name__ for event in driver.machine.history)
            seen["retry"] += any(attempt > 1 for _, _, attempt in driver.started)
            seen["turn"] += any(turn > 1 for _, turn, _ in driver.started)
            seen["jump"] += any(getattr(getattr(e, "wishes", None), "jumps", None) for e in driver.machine.history)
            seen["walk"] += any(getattr(e, "children", None) for e in driver.machine.history)
            seen["ParallelGroupError"] += "ParallelGroupError" in repr(driver.finishes[0].error)
            seen["resumed"] += bool(driver.resumed)
    expected = {"completed", "failed", "cancelled", "retry", "turn", "jump", "walk", "ParallelGroupError", "resumed"}
    expected |= {"Called", "RunCalled", "Parked", "Unparked", "TimerFired", "CancelRequested", "HandleDropped"}
    missing = {name for name in expected | {"StopRequested", "Cancelled", "Failed"} if seen[name] < 5}
    assert not missing, seen


def test_a_story_is_one_instance_in_order():
    """`story(key)` gives the life of one instance and nothing of others."""
    first, second = tasks("a b", retry_policy=RetryPolicy(1, 1.0))
    driver = Driver(build_graph([first, second]))
    driver.start()
    key = driver.body("a").key
    driver.park("a")
    driver.complete("b")
    driver.submit(Unparked(key))
    driver.fail("a")
    driver.submit(TimerFired(key))
    driver.call("a", *tasks("c"))
    driver.complete("a")
    kinds = [type(event) for event in driver.machine.story(key)]
    assert kinds == [Parked, Unparked, Failed, Called, Completed]
    assert driver.machine.story(4711) == []


def test_a_replay_of_another_runs_events_is_refused():
    """Events that do not belong to a run do not fit it."""
    a, b = tasks("a b")
    driver = Driver(build_graph([a >> b]))
    driver.start()
    driver.complete("a")
    driver.complete("b")
    first, *_, last = driver.machine.history
    with pytest.raises(InvalidTransitionError):
        replay([first, last], driver.state)


def test_a_replay_leaves_the_other_state_alone():
    """`like` lends its name, graph and limits; it is not touched."""
    driver = Driver(build_graph(tasks("a b", limits=["few"])), limits={"few": 1}, max_concurrency=1, max_steps=9)
    driver.start()
    before = picture(driver.state)
    again = replay(driver.machine.history, driver.state)
    assert picture(driver.state) == before
    assert again.gates["few"] is not driver.state.gates["few"]
    assert [gate.size for gate in again.base] == [1]
    assert (again.run_id, again.max_steps) == (driver.state.run_id, 9)


def test_retries_wait_the_same_when_told_again():
    """Jitter is drawn from the run and the instance: a replay sets the same timers."""
    policy = RetryPolicy(3, 1.0, jitter=True)
    driver = Driver(build_graph(tasks("a", retry_policy=policy)))
    driver.start()
    waits = []
    for _ in range(3):
        (timer,) = driver.fail("a")
        assert isinstance(timer, SetTimer)
        waits.append(timer.delay)
        driver.timers.clear()
        driver.running.clear()
        driver.submit(TimerFired(1))
    other = Driver(build_graph(tasks("a", retry_policy=policy)))
    seen = [c.delay for e in driver.machine.history for c in other.machine.apply(e) if isinstance(c, SetTimer)]
    assert seen == waits
    assert len(set(waits)) == 3


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (lambda state: setattr(state.root, "open", 5), "counts 5 open"),
        (lambda state: setattr(state.gates["few"], "free", 9), "has 9 free"),
        (lambda state: state.live.update({77: state.live[1]}), "kept under key 77"),
    ],
)
def test_a_broken_state_is_noticed(break_it, complaint):
    """The recording machine checks after every event: a state that is not sound raises InternalError."""
    driver = Driver(build_graph(tasks("a b", limits=["few"])), limits={"few": 2})
    driver.start()
    break_it(driver.state)
    with pytest.raises(InternalError, match=complaint):
        driver.machine.apply(TimerFired("none"))


def test_facts_are_kept_once_they_are_worked_in():
    """An event that was refused is not part of the history."""
    machine = RecordingMachine(RunState("r", build_graph(tasks("a")), "w"))
    with pytest.raises(InvalidTransitionError):
        machine.apply(Completed(1, None))
    assert machine.history == []
