"""Where our own side spends its time, function by function."""

from __future__ import annotations

import asyncio
import cProfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.plan import OURS
from benchmarks.worker import WARM_UP, load_side

if TYPE_CHECKING:
    from types import CodeType

TOP = 30


def _place(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code
    path = Path(code.co_filename)
    return f"{code.co_qualname} ({path.parent.name}/{path.name}:{code.co_firstlineno})"


def profile(case: str, size: int) -> str:
    """Profile one scenario of ours and return its costliest functions.

    Times are in µs; `own` leaves out what a function calls. The profiler adds about as much to every call as a small
    function takes, so read the order and the number of calls rather than the sums.

    Raises:
        ValueError: There is no such scenario.
    """
    scenario = load_side(OURS).SCENARIOS.get(case)
    if scenario is None:
        raise ValueError(f"no scenario {case!r} can be profiled")
    asyncio.run(scenario(WARM_UP))
    profiler = cProfile.Profile()
    profiler.runcall(asyncio.run, scenario(size))
    entries = sorted(profiler.getstats(), key=lambda entry: -entry.inlinetime)
    total = sum(entry.inlinetime for entry in entries)
    lines = [f"{'own µs/task':>12} {'calls/task':>11} {'own µs/call':>12} {'all µs/call':>12}  function"]
    lines += [
        f"{entry.inlinetime / size * 1e6:12.3f} {entry.callcount / size:11.2f} "
        f"{entry.inlinetime / entry.callcount * 1e6:12.3f} {entry.totaltime / entry.callcount * 1e6:12.3f}  "
        f"{_place(entry.code)}"
        for entry in entries[:TOP]
    ]
    return "\n".join([f"{case}, N = {size:,}, {total * 1e3:.0f} ms under the profiler", *lines])
