"""The simulated loop that the suite runs programs on: the published one without threads, so that a seed decides all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from graflow_async.testing.loop import DeadlockError as SimDeadlockError
from graflow_async.testing.loop import LeakError as SimLeakError
from graflow_async.testing.loop import LivelockError as SimLivelockError
from graflow_async.testing.loop import SimulationError as SimError
from graflow_async.testing.loop import VirtualLoop as SimLoop
from graflow_async.testing.running import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

__all__ = ["SimDeadlockError", "SimError", "SimLeakError", "SimLivelockError", "SimLoop", "run_sim"]

T = TypeVar("T")


def run_sim(main: Callable[[], Coroutine[Any, Any, T]], seed: int, *, max_rounds: int = 1_000_000) -> T:
    """Run `main()` on a loop of its own, at exact times and without lag; any exception carries the seed."""
    run = partial(simulate, seed=seed, threads=False, jitter=0.0, lag=0.0, max_rounds=max_rounds)
    return run(main)
