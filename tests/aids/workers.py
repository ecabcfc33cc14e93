"""Real workers as processes, each of which serves a queue until its block ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Self, cast

import redis

from graflow_async._redis.names import queue_prefix

ROOT = Path(__file__).resolve().parents[2]


class Workers:
    """Some workers of one queue.

    Attributes:
        processes: name -> process.
    """

    def __init__(self, url: str, *names: str, queue: str = "default", options: tuple[str, ...] = ()) -> None:
        """Start one of each name, and wait until all are there."""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, IO[bytes]] = {}
        self._url, self._queue, self._options = url, queue, options
        try:
            for name in names:
                self._start(name)
            self._wait_for_all()
        except BaseException:
            self.close()
            raise

    def _start(self, name: str) -> None:
        log = self._logs[name] = tempfile.TemporaryFile()  # noqa: SIM115  # open for as long as the worker
        command = [
            *(sys.executable, "-m", "graflow_async.worker", "--redis-url", self._url),
            *("--worker-id", name, "--queue", self._queue, *self._options),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.processes[name] = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def _wait_for_all(self) -> None:
        """Wait until Redis knows every one of them."""
        roll, wake = (queue_prefix(self._queue) + key for key in ("w", "wake"))
        with redis.Redis.from_url(self._url) as client:
            for _ in range(300):
                known = cast("list[bytes]", client.zrange(roll, 0, -1))
                missing = [name for name in self.processes if not any(k.startswith(name.encode()) for k in known)]
                if not missing:
                    return
                for name in missing:
                    if self.processes[name].poll() is not None:
                        raise RuntimeError(f"worker {name} has ended: {self.log(name)}")
                client.xread({wake: "$"}, block=100)  # not for longer: one may have come just before
        raise RuntimeError("the workers do not come: " + "".join(map(self.log, self.processes)))

    @property
    def pids(self) -> dict[int, str]:
        """Process id -> name."""
        return {process.pid: name for name, process in self.processes.items()}

    def log(self, name: str) -> str:
        """Give what one has logged so far."""
        log = self._logs[name]
        log.seek(0)
        return log.read().decode(errors="replace")

    def kill(self, name: str) -> None:
        """Let one die as a power cut would."""
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self, name: str) -> int:
        """Ask one to end, and give its exit code."""
        self.processes[name].terminate()
        return self.processes[name].wait(30)

    def close(self) -> None:
        """Stop all that are left."""
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in self._logs.values():
            log.close()

    def __enter__(self) -> Self:
        """Give them."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        self.close()
