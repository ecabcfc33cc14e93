"""The code census of `08_real_world`, as it is, over three workers: no line of it knows of them.

python census_over_workers.py [FOLDER] [--redis-url URL] [--out DIR] [--limit N]

Without a URL a Redis is started for this program. Workers elsewhere would have to find the folder there, and write
the report there.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

from cluster import redis_at, workers

sys.path.append(str(Path(__file__).resolve().parents[1] / "08_real_world"))  # workers get it with the rest of the path

from census_report import make_table  # found through the line above
from code_census import census

from graflow_async import QueueBackend

NAMES = ("worker-1", "worker-2", "worker-3")


async def take_census(folder: Path, out: Path, limit: int | None, url: str) -> dict[str, Any]:
    """Run the workflow of the census, every task on a worker, and give its report."""
    inputs = {
        "folder": folder,
        "out": out,
        "limit": limit,
        "concurrency": 48,
        "parser": "threads",
        "started": time.perf_counter(),
    }
    # The census lets one thread parse at a time: here one of each worker, see `--threads` below.
    run = census.start(inputs=inputs, limits={"cpu": len(NAMES)}, queue_backend=QueueBackend.REDIS, redis_url=url)
    async with run:
        await run
    return run.results["report"]


def main(arguments: list[str] | None = None) -> None:
    """Start Redis and workers, take the census, print its table."""
    parser = argparse.ArgumentParser(description="Take the code census over three workers.")
    parser.add_argument("folder", nargs="?", type=Path, default=sysconfig.get_path("stdlib"), help="what to count")
    parser.add_argument("--redis-url", metavar="URL", default=os.environ.get("GRAFLOW_REDIS_URL"))
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write the report")
    parser.add_argument("--limit", metavar="N", type=int, help="only the first N files in sorted order")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary, redis_at(options.redis_url) as url:
        out = options.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        with workers(url, *NAMES, options=("--threads", "1")):
            report = asyncio.run(take_census(options.folder.absolute(), out.absolute(), options.limit, url))
        print(make_table(report))
        print(f"{report['seconds']} s with {len(NAMES)} workers")


if __name__ == "__main__":
    main()
