"""What the machine asks to tell when somebody listens: it changes nothing, and every attempt has a whole story."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from graflow_async import Task, parallel
from graflow_async._core.replay import digest
from graflow_async.builder import build_graph
from tests.core.driver import Driver, tasks
from tests.core.programs import PROFILES, Chance

ENDS = ("completed", "iterated", "retrying", "failed", "cancelled")


class Told(list[Any]):
    """Keeps what is told, with the attempt of that moment."""

    def append(self, item: Any) -> None:
        instance = item.instance
        at = None if instance is None else (instance.key, instance.turn, instance.attempt)
        super().append((item.kind, at, item.data))


def played(profile: str, seed: int, *, observed: bool) -> Driver:
    chance = Chance(profile, seed)
    chance.driver.told_of = Told()
    chance.driver.machine.observed = chance.driver.machine.noticed = observed
    return chance.run()


@pytest.mark.parametrize("profile", list(PROFILES))
def test_being_observed_changes_nothing(profile: str) -> None:
    """A run in which everything is told does what it does when nothing is: the same starts, the same state."""
    sys.stdout.write(f"profile {profile}, seeds 0 to 5\n")
    told = 0
    for seed in range(6):
        unseen, seen = (played(profile, seed, observed=observed) for observed in (False, True))
        assert unseen.started == seen.started, f"seed {seed}"
        assert digest(unseen.state) == digest(seen.state), f"seed {seed}"
        assert unseen.told_of == []
        told += len(seen.told_of)
    assert told > 30


@pytest.mark.parametrize("profile", list(PROFILES))
def test_every_attempt_has_a_whole_story(profile: str) -> None:
    """Each attempt that begins was queued once before; each that was queued begins, is cancelled or is dropped."""
    sys.stdout.write(f"profile {profile}, seeds 0 to 5\n")
    for seed in range(6):
        driver = played(profile, seed, observed=True)
        queued: list[Any] = []
        ended: set[Any] = set()
        told: list[Any] = driver.told_of
        for kind, at, data in told:
            if kind == "queued":
                queued.append(at)
            elif kind == "batch":
                queued += [(data[0].first + n, 1, 1) for n in range(data[0].last + 1)]
            elif kind == "dropped":
                ended.update((data[2] + n, 1, 1) for n in range(data[1], len(data[0])))
            elif kind in ENDS:
                attempt = (at[0], at[1], at[2] - 1) if kind == "retrying" else at
                ended.add(attempt)
        assert len(queued) == len(set(queued)), f"seed {seed}"
        assert set(driver.started) <= set(queued), f"seed {seed}"
        assert set(queued) - set(driver.started) <= ended, f"seed {seed}"


def causes(driver: Driver) -> list[tuple[str, Any]]:
    """List which task was queued, and whose end made it ready."""
    told: list[Any] = driver.told_of
    return [(tell.name, tell.data) for tell in told if tell.kind == "queued"]


def observing(expression: Any, **options: Any) -> Driver:
    driver = Driver(build_graph([expression]), **options)
    driver.machine.observed = driver.machine.noticed = True
    driver.start()
    return driver


def test_the_cause_is_the_last_that_delivered() -> None:
    """A start has no cause, a successor that of its predecessor, a join (drawn or a group) its last one."""
    a, b, c, d, e = tasks("a b c d e")
    driver = observing(a >> (b | c) >> d >> e)
    keys = {}
    for name in ("a", "c", "b", "d"):
        keys[name] = driver.body(name).key
        driver.complete(name)
    assert causes(driver) == [("a", None), ("b", keys["a"]), ("c", keys["a"]), ("d", keys["b"]), ("e", keys["d"])]


def test_a_tolerated_failure_is_a_cause() -> None:
    """What follows a group whose last branch failed was made ready by that failure."""
    a, b, c = tasks("a b c")
    driver = observing(parallel(a, b, policy="best_effort") >> c)
    driver.complete("a")
    key = driver.body("b").key
    driver.fail("b")
    assert causes(driver)[-1] == ("c", key)


def test_who_waits_at_a_limit_and_who_lets_in() -> None:
    """A task that finds a limit shut is told to wait for it; what lets it in is told with the task that made room."""
    first, second = (Task(name, limits=("tool",)) for name in ("first", "second"))
    driver = observing(first | second, limits={"tool": 1})
    told: list[Any] = driver.told_of
    giver = driver.body("first").key
    assert [(t.name, t.data) for t in told if t.kind == "waiting"] == [("second", ("limit", "tool"))]
    driver.park("first")
    assert [(t.name, t.data) for t in told if t.kind == "resumed"] == [("second", ("limit", "tool", giver))]
