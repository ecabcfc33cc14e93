"""Processes whose lines can be awaited, and workers among them, for tests on a loop and for plain ones."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import IO

from tests.aids import warm

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds after which a test gives up


class Process:
    """A program of this interpreter; what it writes on either stream are its lines.

    Attributes:
        lines: those that have come; an empty one is the end.
    """

    def __init__(self, *words: str, **env: str | None) -> None:
        """Start what `python *words` would, with some variables set and those that are None left out."""
        full = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env}
        self._program = warm.Program(
            words,
            cwd=ROOT,
            env={name: value for name, value in full.items() if value is not None},
            stderr=subprocess.STDOUT,
            text=False,
        )
        self.pid = self._program.pid
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reading = threading.Thread(target=self._read, args=(self._program.stdout,), daemon=True)
        self._reading.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._add(line.decode(errors="replace"))
        self._add("")

    def _add(self, line: str) -> None:
        with self._news:
            self.lines.append(line)
            self._news.notify_all()

    @property
    def has_ended(self) -> bool:
        """Whether it is no more."""
        return self._program.poll() is not None

    def heard(self, words: str) -> str:
        """Wait for a line with these words, on a thread."""
        with self._news:
            is_found = self._news.wait_for(lambda: self.line_with(words) or self.lines[-1:] == [""], PATIENCE)
        assert is_found, f"it does not say {words!r}:\n{self.text}"
        line = self.line_with(words)
        assert line is not None, f"it ended without {words!r}:\n{self.text}"
        return line

    async def says(self, words: str) -> str:
        """Wait for a line with these words."""
        return self.line_with(words) or await asyncio.to_thread(self.heard, words)

    async def comes_to(self, *choice: str, within: float = PATIENCE) -> None:
        """Wait for a line with some of these words, or the end."""

        def is_there() -> bool:
            return self.lines[-1:] == [""] or any(self.line_with(words) for words in choice)

        def wait() -> bool:
            with self._news:
                return self._news.wait_for(is_there, within)

        assert await asyncio.to_thread(wait), f"it says none of {choice}:\n{self.text}"

    def line_with(self, words: str) -> str | None:
        """Give the first line with these words, if there is one."""
        return next((line for line in self.lines if words in line), None)

    @property
    def text(self) -> str:
        """All that was written so far."""
        return "".join(self.lines)

    def signal(self, number: Signals) -> None:
        """Send a signal, unless it has ended."""
        self._program.send_signal(number)

    async def ended(self, within: float = PATIENCE) -> int:
        """Wait for the end, and give the exit code."""
        code = await asyncio.wait_for(self._program.ended(), within)
        await asyncio.to_thread(self._reading.join, PATIENCE)
        return code

    async def kill(self) -> None:
        """Let it die as a power cut would."""
        self.signal(SIGKILL)
        await self.ended()

    def end(self, number: Signals = SIGTERM, within: float = PATIENCE) -> int:
        """Have it end, and give the exit code; for whoever has no loop."""
        self.signal(number)
        code = self._program.wait(within)
        self._reading.join(PATIENCE)
        return code


class Workers:
    """Workers of one Redis, and whatever else is to end with them.

    Attributes:
        all: those that were started.
        named: the last one of each name.
    """

    def __init__(self, url: str, *names: str, queue: str = "default", options: tuple[str, ...] = ()) -> None:
        """Start one of each name, and wait until all serve their queue."""
        self.url = url
        self.all: list[Process] = []
        self.named: dict[str, Process] = {}
        try:
            for name in names:
                self._begin(name, "--queue", queue, *options)
            for name in names:
                self.named[name].heard("serves queue")
        except BaseException:
            self.close()
            raise

    def _begin(self, name: str, *options: str, **env: str | None) -> Process:
        command = ("-m", "graflow_async.worker", "--redis-url", self.url, "--worker-id", name)
        worker = self.named[name] = Process(*command, *options, **{"GRAFLOW_TEST_REDIS": self.url, **env})
        self.all.append(worker)
        return worker

    async def start(self, name: str = "w1", *options: str, **env: str | None) -> Process:
        """Start one more, and wait until it serves its queue."""
        worker = self._begin(name, *options, **env)
        await worker.says("serves queue")
        return worker

    @property
    def pids(self) -> dict[int, str]:
        """Process id -> name."""
        return {worker.pid: name for name, worker in self.named.items()}

    def kill(self, name: str) -> None:
        """Let one die as a power cut would."""
        self.named[name].end(SIGKILL)

    def stop(self, name: str) -> int:
        """Ask one to end, and give its exit code."""
        return self.named[name].end()

    def close(self) -> None:
        """Kill those that still run."""
        for one in self.all:
            one.signal(SIGKILL)
        for one in self.all:
            one.end(SIGKILL)
