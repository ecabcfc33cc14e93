"""Workers as processes of their own, and places where bodies and tests meet: lists in Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import redis.asyncio
from redis.asyncio import Redis

from graflow_async import Run, Workflow, parallel, task, workflow
from graflow_async.executors.redis import RedisExecutor
from tests.worker.tasks import meets

ROOT = Path(__file__).parents[2]
PATIENCE = 15.0  # seconds after which a test gives up


async def soon(awaitable: Any, within: float = PATIENCE) -> Any:
    """Wait, but not for ever."""
    return await asyncio.wait_for(awaitable, within)


async def started(wf: Workflow, **options: Any) -> Run:
    """Start a run now."""
    run = wf.start(**options)
    await run.open()
    return run


class Process:
    """A Python process whose lines can be awaited."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, *arguments: str, **env: str | None) -> Process:
        """Start one; what it writes on either stream are its lines."""
        full: Any = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *arguments),
            cwd=ROOT,
            env={name: value for name, value in full.items() if value is not None},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return cls(process)

    async def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while line := await stream.readline():
            async with self._news:
                self.lines.append(line.decode(errors="replace"))
                self._news.notify_all()
        async with self._news:
            self.lines.append("")  # the end
            self._news.notify_all()

    async def says(self, words: str) -> str:
        """Wait for a line with these words."""

        def found() -> bool:
            return self.line_with(words) is not None or self.lines[-1:] == [""]

        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(found)
        except TimeoutError:
            message = f"it does not say {words!r}:\n{self.text}"
            raise AssertionError(message) from None
        line = self.line_with(words)
        assert line is not None, f"it ended without {words!r}:\n{self.text}"
        return line

    async def changed(self) -> None:
        """Wait for the next line, or the end."""
        async with self._news:
            await self._news.wait()

    def line_with(self, words: str) -> str | None:
        """Give the first line with these words, if there is one."""
        return next((line for line in self.lines if words in line), None)

    @property
    def text(self) -> str:
        """All that was written so far."""
        return "".join(self.lines)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end, and give the exit code."""
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            await self._reading
        return code

    async def kill(self) -> None:
        """Let it die as a power cut would."""
        self.signal(signal.SIGKILL)
        await self.ended()


class Workers:
    """Starts workers of one Redis; all are killed at the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.all: list[Process] = []

    async def start(self, name: str = "w1", *options: str, ready: bool = True, **env: str | None) -> Process:
        """Start a worker, and wait until it serves its queue."""
        command = ("-m", "graflow_async.worker", "--redis-url", self.url, "--worker-id", name)
        worker = await Process.start(*command, *options, **{"GRAFLOW_TEST_REDIS": self.url, **env})
        self.all.append(worker)
        if ready:
            await worker.says("serves queue")
        return worker

    async def aclose(self) -> None:
        """Kill those that still run."""
        for worker in self.all:
            await worker.kill()


class Meeting:
    """Where bodies and tests meet."""

    def __init__(self, url: str) -> None:
        self.client: Redis = redis.asyncio.from_url(url)

    async def heard(self, place: str, count: int = 1) -> list[str]:
        """Wait until so many things were said at a place, and give them."""
        client: Any = self.client
        found: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                answer = await client.blpop([f"meet:{place}"], 2)
                found += [] if answer is None else [answer[1].decode()]
        return found

    async def say(self, place: str, what: str = "go", count: int = 1) -> None:
        """Say something at a place, so many times."""
        client: Any = self.client
        await client.rpush(f"meet:{place}", *[what] * count)

    async def said(self, place: str) -> int:
        """Count what was said at a place and not heard."""
        client: Any = self.client
        return await client.llen(f"meet:{place}")

    async def left(self) -> list[str]:
        """Give the keys of queues and runs that are there, but those of the roll of workers."""
        client: Any = self.client
        keys = [key.decode() for key in await client.keys("graflow:*")]
        kept = (":w", ":wi", ":wake", ":s")
        # The epoch of a run that was taken over stays, so that a driver which only slept does not begin again.
        return sorted(key for key in keys if not key.endswith(kept) and ":in:" not in key and ":own:" not in key)

    async def waiting(self) -> int:
        """Count the jobs in the queue."""
        client: Any = self.client
        return await client.xlen("graflow:{q~default}:s")


async def drive(folder: str, *, resumes: bool) -> None:
    """Begin a run that is recorded in a folder, or go on with it, and print its value."""
    with workflow("driven") as wf:

        @task
        async def last(a: str, b: str) -> list[str]:
            return [a, b]

        parallel(meets("a", task_id="a"), meets("b", task_id="b")) >> last
    options: Any = {"executor": {"redis": RedisExecutor(lease=0.5)}, "checkpoint_dir": folder}
    value = await (wf.resume("driven", **options) if resumes else wf.run(run_id="driven", **options))
    print("value:", value)  # noqa: T201  # the test waits for it
