"""Who may run now: never more than there are slots, first come first served, nobody is forgotten."""

from __future__ import annotations

import random
import sys

import pytest

from graflow_async import RetryPolicy, Task, parallel
from graflow_async._core.events import (
    Called,
    Cancelled,
    CancelRequested,
    Completed,
    Parked,
    StopRequested,
    TimerFired,
    Unparked,
)
from graflow_async._core.state import Instance, Status
from graflow_async.builder import build_graph
from graflow_async.policy import Rate
from tests.core.driver import Driver, Handle, tasks
from tests.core.programs import PROFILES, Chance

MANY = " ".join(f"t{n}" for n in range(6))


def holding(driver: Driver, name: str) -> list[Instance]:
    """List the running bodies that hold a slot of a gate."""
    return [i for i in driver.with_status(Status.RUNNING) if any(gate.name == name for gate in i.gates)]


@pytest.mark.parametrize("chunk", range(3))
@pytest.mark.parametrize("profile", ["limits", "all"])
def test_never_more_run_than_there_are_slots(profile, chunk):
    """SPEC 2.7: after every fact each gate is held by at most as many as it has slots, groups' own gates too."""
    sys.stdout.write(f"profile {profile}, seeds {chunk * 25} to {chunk * 25 + 24}\n")
    was_full = 0
    for seed in range(chunk * 25, chunk * 25 + 25):
        chance = Chance(profile, seed)
        driver = chance.driver
        driver.start(chance.graph.nodes[0])
        while not driver.is_over:
            chance.step()
            held: dict[int, int] = {}
            gates = {id(gate): gate for i in driver.running.values() for gate in i.gates if gate.per is None}
            for instance in driver.with_status(Status.RUNNING):
                for gate in instance.gates:
                    held[id(gate)] = held.get(id(gate), 0) + 1
            for key, gate in gates.items():
                assert held.get(key, 0) + gate.free == gate.size, f"seed {seed}: {gate.name}"
                assert gate.free >= 0, f"seed {seed}: {gate.name}"
                was_full += gate.free == 0
    assert was_full > 20


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slots", [1, 2, 3])
def test_nobody_waits_while_there_is_a_slot(slots, seed):
    """A slot that comes free is taken at once by whoever waits longest, whatever the order of ends."""
    rng = random.Random(seed)
    driver = Driver(build_graph(tasks(MANY, limits=["few"])), limits={"few": slots})
    driver.start()
    while driver.running:
        assert len(driver.running) == min(slots, len(driver.state.live))
        driver.complete(rng.choice(driver.names))
    assert driver.ids == MANY.split()
    assert driver.is_over


def test_a_retry_takes_its_turn_again():
    """SPEC 1.1: the wait between attempts frees the slot; the next attempt queues behind those that wait."""
    policy = RetryPolicy(1)
    driver = Driver(build_graph(tasks("a b c", limits=["few"], retry_policy=policy)), limits={"few": 1})
    driver.start()
    driver.fail("a")
    assert driver.names == ["b"]
    driver.timers.clear()
    driver.submit(TimerFired(1))
    driver.complete("b")
    driver.complete("c")
    assert driver.ids == ["a", "b", "c", "a"]


def test_all_gates_are_taken_together():
    """A task that needs two slots holds neither while it waits for the second."""
    a, b, both = (
        Task(name, _body, limits=limits) for name, limits in (("a", ["x"]), ("b", ["y"]), ("both", ["x", "y"]))
    )
    driver = Driver(build_graph([b, both, a]), limits={"x": 1, "y": 1})
    driver.start()
    assert driver.names == ["b", "a"]
    driver.complete("a")
    assert driver.names == ["b"]
    driver.complete("b")
    assert driver.names == ["both"]


async def _body() -> None:
    """Stand for a body: the driver says what it does."""


def test_a_parked_body_lets_another_in():
    """SPEC 2.4: who waits gives the slot back, so that nested waits cannot lock each other out."""
    driver = Driver(build_graph(tasks("a b c", limits=["few"])), limits={"few": 1})
    driver.start()
    driver.park("a")
    assert driver.names == ["a", "b"]
    driver.submit(Unparked(1))
    assert driver.resumed == []
    driver.complete("b")
    assert driver.resumed == [1]
    assert "c" not in driver.names
    driver.complete("a")
    assert driver.names == ["c"]


def test_nested_fan_out_cannot_deadlock():
    """SPEC 2.4: with one slot, parents that wait for children still get them done."""
    driver = Driver(build_graph(tasks("p")), max_concurrency=1)
    driver.start()
    parents: list[tuple[int, Handle]] = []
    for depth in range(20):
        (key,) = (i.key for i in driver.with_status(Status.RUNNING))
        parents.append((key, Handle()))
        driver.submit(Called(key, parents[-1][1], tasks=[(tasks(f"c{depth}")[0], 0)]))
        driver.submit(Parked(key))
    (key,) = (i.key for i in driver.with_status(Status.RUNNING))
    driver.submit(Completed(key, "leaf"))
    for key, handle in reversed(parents):
        assert handle.ends[0][0] == "value"
        driver.submit(Unparked(key))
        driver.submit(Completed(key, "up"))
    assert driver.finishes[0].kind == "completed"


def test_a_resumed_body_goes_before_those_that_have_not_started():
    """What is half done is finished first, in spite of a long queue."""
    driver = Driver(build_graph(tasks(MANY, limits=["few"])), limits={"few": 1})
    driver.start()
    driver.park("t0")
    driver.submit(Unparked(1))
    driver.complete("t1")
    assert [i.id for i in driver.with_status(Status.RUNNING)] == ["t0"]


def test_a_cancelled_waiter_is_passed_over():
    """A place in the queue that nobody wants any more costs nobody a slot."""
    driver = Driver(build_graph(tasks("a b c", limits=["few"])), limits={"few": 1})
    driver.start()
    driver.submit(CancelRequested(2))
    driver.complete("a")
    assert driver.names == ["c"]
    assert driver.ids == ["a", "c"]


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_batches_are_let_in_lazily_in_key_order(size):
    """PERFORMANCE: of a thousand children that share a limit only those exist that may run."""
    driver = Driver(build_graph(tasks("p")), limits={"few": size})
    driver.start()
    children = [Task(f"c{n}", _body, limits=["few"]) for n in range(9)]
    handle = driver.call("p", *children)
    begun = 1 + min(size, 9)
    assert len(driver.state.live) == begun
    while len(driver.running) > 1:
        driver.complete(driver.names[1])
        begun = min(begun + 1, 10)
        assert len(driver.ids) == begun
    assert driver.ids == ["p", *(f"c{n}" for n in range(9))]
    assert len(handle.ends) == 9


def test_a_batch_without_gates_is_taken_by_whoever_has_time():
    """Nothing is made of a child before somebody takes it; keys are in call order."""
    driver = Driver(build_graph(tasks("p")))
    driver.start()
    driver.call("p", *tasks(MANY))
    (batch,) = driver.waiting_batches()
    assert list(driver.state.live) == [1]
    keys = [driver.take(batch).key for _ in range(6)]
    assert keys == list(range(batch.first, batch.first + 6))
    assert driver.state.batches == {}


def test_a_batch_waits_at_the_gate_that_holds_it_up():
    """Children that pass two gates are let in by either, and do not stop others at the first one."""
    driver = Driver(build_graph(tasks("p q")), limits={"x": 2, "y": 1})
    driver.start()
    driver.call("p", *tasks("a b c", limits=["x", "y"]))
    driver.call("q", *tasks("d e", limits=["x"]))
    assert driver.names == ["p", "q", "a", "d"]
    for name in ("a", "d", "b", "e", "c"):
        driver.complete(name)
    assert sorted(driver.ids) == ["a", "b", "c", "d", "e", "p", "q"]


def test_batches_of_two_parents_are_served_in_order():
    """First come, first served: the second family begins when the first has, and it does begin."""
    driver = Driver(build_graph(tasks("p q")), limits={"few": 1})
    driver.start()
    driver.call("p", *tasks("a b c", limits=["few"]))
    driver.call("q", *tasks("d e", limits=["few"]))
    while len(driver.running) > 2:
        driver.complete(driver.names[-1])
    assert driver.ids == ["p", "q", "a", "b", "c", "d", "e"]


@pytest.mark.parametrize("count", [1, 3])
def test_a_rate_lets_so_many_start_per_time(count):
    """SPEC 2.7: `Rate(n, per)` lets n start; each start is given back `per` seconds after it, not with its end."""
    driver = Driver(build_graph(tasks(MANY, limits=["db"])), limits={"db": Rate(count, per=2.5)})
    driver.start()
    assert driver.ids == MANY.split()[:count]
    for name in list(driver.names):
        driver.complete(name)
    assert len(driver.ids) == count
    while not driver.is_over:
        token, seconds = driver.timers.popitem()
        assert seconds == 2.5
        before = len(driver.ids)
        driver.submit(TimerFired(token))
        assert len(driver.ids) == min(before + 1, 6)
        for name in list(driver.names):
            driver.complete(name)
    assert driver.ids == MANY.split()


def test_a_resumed_body_does_not_count_as_a_start():
    """Parking and going on takes nothing from a rate."""
    driver = Driver(build_graph(tasks("a", limits=["db"])), limits={"db": Rate(1, per=1.0)})
    driver.start()
    driver.park("a")
    driver.submit(Unparked(1))
    assert driver.resumed == [1]
    assert len(driver.timers) == 1


def test_a_group_bounds_its_own_members():
    """SPEC 1.2: `max_concurrency` of a group holds for its tasks, those of inner groups included, and for no others."""
    a, b, c, d, other = tasks("a b c d other")
    group = parallel(a, parallel(b, c, name="inner"), d, max_concurrency=2, name="g")
    driver = Driver(build_graph([group >> tasks("after")[0], other >> tasks("last")[0]]))
    driver.start()
    assert sorted(driver.names) == ["a", "b", "other"]
    driver.complete("a")
    driver.complete("b")
    assert sorted(driver.names) == ["c", "d", "other"]
    assert len(holding(driver, "g")) == 2


def test_plain_functions_share_the_threads():
    """SPEC 2.7: tasks that run in threads pass the thread limit, coroutines do not."""

    def blocking() -> None:
        """Stand for a body in a thread."""

    driver = Driver(build_graph([Task("s1", blocking), Task("s2", blocking), *tasks("a b")]), threads=1)
    driver.start()
    assert sorted(driver.names) == ["a", "b", "s1"]
    driver.complete("s1")
    assert "s2" in driver.names


def test_slots_come_back_however_bodies_end():
    """Returning, raising, being cancelled, being parked while it happens: the slots are all there at the end."""
    driver = Driver(build_graph(tasks("a b c d", limits=["few"])), limits={"few": 2}, max_concurrency=3)
    driver.start()
    driver.park("a")
    driver.complete("a")
    driver.complete("b")
    driver.submit(StopRequested("cancelled", ValueError()))
    for key in list(driver.running):
        driver.submit(Cancelled(key))
    assert driver.finishes[0].kind == "cancelled"
    assert {name: gate.free for name, gate in driver.state.gates.items()} == {"threads": 40, "few": 2, "run": 3}


def test_the_random_profiles_cover_limits():
    """The random tests above do draw limits, rates and bounds."""
    assert PROFILES["limits"].limits > 0.5
    assert any(Chance("limits", seed).driver.state.base for seed in range(10))
