"""Whole processes as the thing measured: importing a library, and a hello world from start to exit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.probes import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
SCRIPT_DEADLINE = 60.0

# Appended to a hello world in a run of its own, so that the run whose time is taken stays as the user wrote it.
PEAK_PROBE = """
with open("/proc/self/status") as _status:
    print([_line.split()[1] for _line in _status if _line.startswith("VmHWM:")][0])
"""


class ChildError(Exception):
    """The child process did not deliver; the message is its last word."""


def run_child(arguments: list[str], deadline: float) -> str:
    """Run this interpreter with `arguments`, in an empty folder, for at most `deadline` seconds.

    Returns:
        What it printed.

    Raises:
        ChildError: It failed or was still running at the deadline; then it and its own children are killed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile() as printed,
        tempfile.TemporaryFile() as complaints,
    ):
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=complaints,
            start_new_session=True,
        )
        # A timer and a plain wait, because waiting with a timeout polls, in steps of up to 50 ms.
        expired = threading.Event()
        timer = threading.Timer(deadline, lambda: (expired.set(), _kill(child)))
        timer.start()
        try:
            code = child.wait()
        finally:
            timer.cancel()
            # The whole group, also after success: a peer may leave a server behind.
            _kill(child)
            child.wait()
        if expired.is_set():
            raise ChildError(f"too slow: still running after {deadline:.0f} s")
        if code:
            complaints.seek(0)
            words = complaints.read().decode(errors="replace").strip().splitlines()
            raise ChildError(words[-1] if words else f"exit code {code}")
        printed.seek(0)
        return printed.read().decode(errors="replace")


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def import_sample(side: Any) -> Sample:
    """Time a process that only imports what this side needs."""
    began = time.perf_counter()
    run_child(["-c", side.IMPORT], SCRIPT_DEADLINE)
    return {"seconds": time.perf_counter() - began}


def cold_sample(side: Any) -> Sample:
    """Time this side's hello world as a process, and read its peak memory (bytes) in a second run."""
    began = time.perf_counter()
    printed = run_child(["-c", side.HELLO], SCRIPT_DEADLINE)
    seconds = time.perf_counter() - began
    if "hello" not in printed.split():
        raise ChildError(f"the hello world printed {printed!r}")
    peak = run_child(["-c", side.HELLO + PEAK_PROBE], SCRIPT_DEADLINE).split()[-1]
    return {"seconds": seconds, "peak": float(peak) * 1024}


PROCESS_CASES: dict[str, Callable[[Any], Sample]] = {"import": import_sample, "cold": cold_sample}
