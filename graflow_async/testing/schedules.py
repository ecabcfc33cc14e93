"""Performing one test body many times: under every schedule of a plan, and with a death after every commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .harness import Harness, Undisturbed
from .running import Ambient, ambient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EVERY_COMMIT = "every-commit"


class Plan(NamedTuple):
    """What is done with a test.

    Attributes:
        schedules: under how many seeds it is performed, from 0 on.
        crash: let the process die after every commit, once each.
        seed: perform it under this seed only.
        crash_after: let it die after this commit only.
        leaks: allow tasks and threads to be left behind.
        jitter: by how many seconds timers are late at most.
        compare: expect a run that has died to end like the undisturbed one.
    """

    schedules: int = 1
    crash: bool = False
    seed: int | None = None
    crash_after: int | None = None
    leaks: bool = False
    jitter: float = 0.001
    compare: bool = True

    @property
    def seeds(self) -> Iterable[int]:
        """The seeds, in order."""
        return range(self.schedules) if self.seed is None else (self.seed,)


def perform(body: Callable[[], None], plan: Plan, harness: Harness, failed: Callable[[str, str], None]) -> int:
    """Perform a body as planned, and give how often.

    Args:
        body: the test; its runs go through `harness`, or through `run_sync`.
        plan: what is varied.
        harness: made new for each performance.
        failed: is told which performance has failed, and the options that repeat it, before its exception goes on.
    """
    harness.is_journaled = plan.crash
    harness.compares = plan.compare
    number = 0
    for seed in plan.seeds:
        undisturbed = _one(body, plan, harness, failed, seed)
        number += 1
        for commit in _deaths(plan, undisturbed):
            _one(body, plan, harness, failed, seed, commit, undisturbed)
            number += 1
    return number


def _deaths(plan: Plan, undisturbed: Undisturbed) -> Iterable[int]:
    """List the commits after which to die; nothing is lost after the last one."""
    if not plan.crash:
        return ()
    return range(1, undisturbed.commits) if plan.crash_after is None else (plan.crash_after,)


def _one(
    body: Callable[[], None],
    plan: Plan,
    harness: Harness,
    failed: Callable[[str, str], None],
    seed: int,
    commit: int | None = None,
    undisturbed: Undisturbed | None = None,
) -> Undisturbed:
    """Perform the body once."""
    token = ambient.set(Ambient(seed, plan.jitter, leaks=plan.leaks))
    harness.begin(seed, commit, undisturbed)
    try:
        body()
        return harness.finish()
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__module__.startswith("_pytest"):
            what, repeat = f"schedule {seed} of {plan.schedules}, seed={seed}", f"--graflow-seed={seed}"
            if commit is not None and undisturbed is not None:
                what += f", death after commit {commit} of {undisturbed.commits}"
                repeat += f" --graflow-crash={commit}"
            failed(what, repeat)
        raise
    finally:
        ambient.reset(token)
