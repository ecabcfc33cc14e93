"""What is in a place is found whole, whenever it is asked for, and without a look at everything that is open."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from graflow_async._core.descent import Descent
from graflow_async._core.events import Cancelled, HandleDropped
from graflow_async._core.machine import Machine
from graflow_async._core.state import Awaited, Batch, BranchEnd, Instance, Judged, Lap, PartOf, Scope
from graflow_async.builder import build_graph
from tests.core.driver import Driver, Handle, tasks
from tests.core.programs import PROFILES, Chance


def is_in(item: Instance | Batch | Scope, what: Any) -> bool:
    """Climb from something through all that waits for it, as long as it takes."""
    current: Any = item
    while current is not None and current is not what:
        lap = getattr(current, "lap", None)
        then = current.then if lap is None else PartOf(lap)
        while isinstance(then, (PartOf, BranchEnd, Judged)):
            if then.lap is what:
                return True
            then = then.lap.then
        if isinstance(then, Awaited) and then.handle is what:
            return True
        current = current.caller if isinstance(current, Scope) else current.owner
    return current is not None and current is not item


def scanned(driver: Driver, what: Any) -> tuple[list[int], list[int], list[int]]:
    """Ask everything that is open whether it is somewhere."""
    state = driver.state
    return (
        sorted(batch.first for batch in state.batches.values() if is_in(batch, what)),
        sorted(instance.key for instance in state.live.values() if is_in(instance, what)),
        sorted(scope.key for scope in state.scopes.values() if is_in(scope, what)),
    )


@pytest.mark.parametrize("profile", list(PROFILES))
def test_it_finds_what_a_look_at_everything_finds(profile: str) -> None:
    """At any moment of any program, asked often, rarely, or for the first time."""
    sys.stdout.write(f"profile {profile}, seeds 0 to 11\n")
    found: dict[type, int] = {}
    for seed in range(12):
        chance, rng = Chance(profile, seed), random.Random(seed)
        driver, pace = chance.driver, (0.9, 0.3, 0.05)[seed % 3]
        descent = Descent(driver.state)
        driver.start(chance.graph.nodes[0])
        while not driver.is_over:
            chance.step()
            if rng.random() > pace:
                continue
            state = driver.state
            places = [state.root, *state.live.values(), *state.scopes.values(), *state.laps.values(), *chance.handles]
            places += [instance.lap for instance in state.live.values() if instance.lap is not None]
            for what in rng.choices(places, k=3):
                batches, instances, scopes = descent.within(what)
                keys = [b.first for b in batches], [i.key for i in instances], [s.key for s in scopes]
                assert keys == scanned(driver, what), f"seed {seed}"
                found[type(what)] = found.get(type(what), 0) + len(instances)
    assert sum(found.values()) > 10, found
    if profile == "all":
        assert min(found[kind] for kind in (Instance, Scope, Lap, Handle)) > 3, found


class Counted(dict[int, Any]):
    """Counts how many entries were looked at."""

    looks = 0

    def get(self, key: int, default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)

    def values(self) -> Any:
        self.looks += len(self)
        return super().values()


def cancelled_one_by_one(count: int, *, apart: bool) -> int:
    """Let many pairs of children be dropped, one pair after the other; say how much was looked at.

    The pairs are called by one body, or each by its own.
    """
    driver: Any = Driver(build_graph(tasks("p")))
    driver.machine = Machine(driver.state)  # one that does not check everything after each event
    driver.start()
    callers = ["p"] * count
    if apart:
        callers = [f"q{number}" for number in range(count)]
        driver.call("p", *tasks(" ".join(callers)))
        driver.take_all()
    handles = [driver.call(caller, *tasks("x y")) for caller in callers]
    driver.take_all()
    driver.state.live = looked_at = Counted(driver.state.live)
    for caller, handle in zip(callers, handles, strict=True):
        driver.submit(HandleDropped(handle))
        assert len(driver.told) == 2
        for key in list(driver.told):
            driver.submit(Cancelled(key))
        if apart:
            driver.complete(caller)
    return looked_at.looks


@pytest.mark.parametrize("apart", [True, False], ids=["many bodies", "one body"])
def test_cancelling_costs_what_is_cancelled(*, apart: bool) -> None:
    """Four times as many that are given up one by one look at four times as much, not at sixteen times."""
    few, many = (cancelled_one_by_one(count, apart=apart) for count in (50, 200))
    assert many < 5 * few
