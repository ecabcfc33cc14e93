"""Where our own side spends its time, function by function."""

from __future__ import annotations

import asyncio
import cProfile
import pstats

from benchmarks.plan import OURS
from benchmarks.worker import WARM_UP, load_side

TOP = 25


def profile(case: str, size: int) -> str:
    """Profile one scenario of ours and return its costliest functions.

    Times are µs of their own (not of what they call); the profiler makes small functions look dearer than they are.

    Raises:
        KeyError: There is no such scenario.
    """
    scenario = load_side(OURS).SCENARIOS[case]
    asyncio.run(scenario(WARM_UP))
    profiler = cProfile.Profile()
    profiler.runcall(asyncio.run, scenario(size))
    stats = pstats.Stats(profiler).get_stats_profile()
    lines = [f"{'own µs/task':>12} {'calls/task':>11} {'own µs/call':>12} {'total µs/call':>14}  function"]
    costly = sorted(stats.func_profiles.items(), key=lambda item: -item[1].tottime)[:TOP]
    for name, found in costly:
        calls = int(str(found.ncalls).split("/", maxsplit=1)[0])
        lines.append(
            f"{found.tottime / size * 1e6:12.3f} {calls / size:11.2f} {found.tottime / calls * 1e6:12.3f} "
            f"{found.cumtime / calls * 1e6:14.3f}  {name} ({found.file_name}:{found.line_number})"
        )
    return "\n".join([f"{case}, N = {size:,}, {stats.total_tt * 1e3:.0f} ms under the profiler", *lines])
