"""A worker under a profiler: `python -m benchmarks.profiled N NAME MODULE ARGUMENTS...` runs MODULE as a program.

SIGUSR1 starts the profiler and makes the file NAME.on; SIGUSR2 stops it and writes NAME.costs, in µs per task of N.
"""

from __future__ import annotations

import runpy
import signal
import sys
from pathlib import Path

from benchmarks.profiling import Watch


def main(size: int, name: str, module: str, arguments: list[str]) -> None:
    """Run a module as a program whose main thread can be profiled from outside."""
    watch = Watch()

    def begin(*_: object) -> None:
        Path(f"{name}.on").touch()
        watch.start()

    def end(*_: object) -> None:
        watch.stop()
        half = Path(f"{name}.half")
        half.write_text(watch.costs("worker", size), encoding="utf-8")
        half.rename(f"{name}.costs")

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
