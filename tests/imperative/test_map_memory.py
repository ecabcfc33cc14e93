"""What a map over a long input keeps in memory, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ITEMS = 100_000
MOST = 20_000_000

SCRIPT = """
import asyncio, gc, sys
from benchmarks.probes import memory_bytes
from graflow_async import Workflow, task

kind, count = sys.argv[1], int(sys.argv[2])

@task
async def item(parcel):
    await asyncio.sleep(0)
    return parcel[0]

def parcels(count):
    return (bytes([n % 256]) * 1000 for n in range(count))

async def async_parcels(count):
    for parcel in parcels(count):
        yield parcel

@task(inject_context=True)
async def parent(ctx):
    source = parcels if kind == "generator" else async_parcels
    await ctx.map(item, source(1000), max_concurrency=100)
    gc.collect()
    before = memory_bytes()[0]
    results = await ctx.map(item, source(count), max_concurrency=100)
    assert results == [n % 256 for n in range(count)]
    return memory_bytes()[1] - before - sys.getsizeof(results)

print(asyncio.run(Workflow("w", parent).run()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_a_long_input_is_never_in_memory(kind):
    """SPEC 2.4: 100,000 items of 1 kB pass through a window of 100 with less than 20 MB beyond the list of results."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind, str(ITEMS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    grown = int(done.stdout)
    assert 0 < grown < MOST, f"{grown:,} bytes at the worst moment"
