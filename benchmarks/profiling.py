"""Where our own side spends its time, function by function."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.plan import OURS
from benchmarks.redis_lab import lab
from benchmarks.table import number
from benchmarks.worker import WARM_UP, load_side

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import CodeType

    from benchmarks.probes import Sample

TOP = 30


def _place(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code
    path = Path(code.co_filename)
    return f"{code.co_qualname} ({path.parent.name}/{path.name}:{code.co_firstlineno})"


class Watch:
    """A profiler, and what the garbage collector takes meanwhile: a profile shows it in whatever allocated last."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._profiler = cProfile.Profile()
        self._collected = 0.0
        self._collections = [0, 0, 0]
        self._began = 0.0

    def _collecting(self, phase: str, facts: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._collected += time.perf_counter() - self._began
            self._collections[facts["generation"]] += 1

    def start(self) -> None:
        """Watch this thread."""
        gc.callbacks.append(self._collecting)
        self._profiler.enable()

    def stop(self) -> None:
        """Watch no more."""
        self._profiler.disable()
        gc.callbacks.remove(self._collecting)

    def costs(self, what: str, size: int) -> str:
        """Return the costliest functions, per task of `size`."""
        entries = sorted(self._profiler.getstats(), key=lambda entry: -entry.inlinetime)
        total = sum(entry.inlinetime for entry in entries)
        lines = [f"{'own µs/task':>12} {'calls/task':>11} {'own µs/call':>12} {'all µs/call':>12}  function"]
        lines += [
            f"{entry.inlinetime / size * 1e6:12.3f} {entry.callcount / size:11.2f} "
            f"{entry.inlinetime / entry.callcount * 1e6:12.3f} {entry.totaltime / entry.callcount * 1e6:12.3f}  "
            f"{_place(entry.code)}"
            for entry in entries[:TOP]
        ]
        young, middle, old = self._collections
        garbage = (
            f"{self._collected / size * 1e6:.1f} µs/task of it collecting garbage ({young}, {middle} and {old} times)"
        )
        return "\n".join([f"{what}, N = {size:,}, {total * 1e3:.0f} ms under the profiler, {garbage}", *lines])


def profile(case: str, size: int) -> str:
    """Profile one scenario of ours and return its costliest functions; over Redis those of the worker, too.

    Times are in µs; `own` leaves out what a function calls. The profiler adds about as much to every call as a small
    function takes, so read the order and the number of calls rather than the sums.

    Raises:
        ValueError: There is no such scenario.
    """
    scenario = load_side(OURS).SCENARIOS.get(case)
    if scenario is None:
        raise ValueError(f"no scenario {case!r} can be profiled")
    if case.split(".", maxsplit=1)[0] == "redis":
        return _over_redis(case, scenario, size)
    asyncio.run(scenario(WARM_UP))
    watch = Watch()
    watch.start()
    asyncio.run(scenario(size))
    watch.stop()
    return watch.costs(case, size)


def _over_redis(case: str, scenario: Callable[[int], Coroutine[Any, Any, Sample]], size: int) -> str:
    """Profile the driver and the worker in the same run, after one without the profilers that says what is normal."""
    place = lab()
    place.profiled = size
    asyncio.run(scenario(WARM_UP))
    plain = asyncio.run(scenario(size))
    before = place.commands()
    watch = Watch()
    with place.profiling_worker("ours") as worker:
        watch.start()
        asyncio.run(scenario(size))
        watch.stop()
    spent = {
        name: (calls - before[name][0], took - before[name][1]) for name, (calls, took) in place.commands().items()
    }
    lines = [f"{'calls/task':>11} {'server µs/task':>15} {'µs/call':>9}  command"]
    lines += [
        f"{calls / size:11.3f} {took / size:15.3f} {took / calls:9.2f}  {name}"
        for name, (calls, took) in sorted(spent.items(), key=lambda item: -item[1][1])
        if calls
    ]
    figures = {
        name: number(value * (1e6 if name != "seconds" or case == "redis.single" else 1e6 / size))
        for name, value in plain.items()
    }
    normal = ", ".join(f"{name} {value} µs" for name, value in figures.items())
    return "\n".join(
        [
            f"unprofiled, per task: {normal}\n",
            watch.costs(f"{case}, driver", size),
            "",
            worker.read_text(encoding="utf-8"),
            "",
            *lines,
        ]
    )
