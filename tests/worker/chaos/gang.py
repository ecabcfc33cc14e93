"""Workers that are killed and stopped; whoever dies has a successor."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path
from typing import IO

from tests.aids.warm import Program
from tests.worker.chaos.bodies import ENV
from tests.worker.chaos.ledger import Strike

ROOT = Path(__file__).resolve().parents[3]


class Gang:
    """So many workers of one queue.

    Attributes:
        strikes: what was done to them.
        faults: what they should not have done.
    """

    def __init__(self, url: str, ledger: str, log: Path, *, concurrency: int, lease: float) -> None:
        self.strikes: list[Strike] = []
        self.faults: list[str] = []
        self.lease = lease
        self._command = (
            *("-m", "graflow_async.worker", "--redis-url", url, "--log-level", "warning"),
            *("--concurrency", str(concurrency), "--lease", str(lease)),
        )
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), ENV: ledger}
        self._path = log
        self._log: IO[bytes] = log.open("wb")
        self._members: dict[int, Program] = {}
        self._stopped: set[int] = set()
        self._news = asyncio.Event()  # somebody has come, or goes on
        self._places: list[asyncio.Task[None]] = []
        self._wakers: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def start(self, size: int) -> None:
        """Start so many."""
        for number in range(size):
            self._places.append(asyncio.create_task(self._fill(number)))

    async def _fill(self, number: int) -> None:
        """Keep one place filled."""
        while not self._is_closing:
            words = (*self._command, "--worker-id", f"w{number}")
            log = self._log.fileno()
            process = Program(words, cwd=ROOT, env=self._env, stdout=log, stderr=log)
            self._members[number] = process
            self._news.set()
            if self._is_closing:
                process.kill()
            code = await process.ended()
            del self._members[number]
            if self._is_closing:
                return
            if code != -signal.SIGKILL:
                self.faults.append(f"worker w{number} ended with {code}: {self.log[-2000:]}")
                return
            self.strikes.append(Strike("death", 0.0, pid=process.pid))

    async def _chosen(self, chance: random.Random) -> Program:
        """Choose one that runs, as soon as there is one."""
        while True:
            self._news.clear()
            awake = [self._members[n] for n in sorted(self._members) if self._members[n].pid not in self._stopped]
            if awake:
                return chance.choice(awake)
            await self._news.wait()

    async def kill(self, chance: random.Random) -> None:
        """Kill one as a power cut would."""
        process = await self._chosen(chance)
        process.kill()
        await process.ended()

    async def stop(self, chance: random.Random) -> None:
        """Stop one, and let it go on after others have taken its tasks."""
        process = await self._chosen(chance)
        self._stopped.add(process.pid)
        process.send_signal(signal.SIGSTOP)
        begun, seconds = time.monotonic(), self.lease * chance.uniform(1.4, 3.0)

        async def wake() -> None:
            await asyncio.sleep(seconds)
            self._stopped.discard(process.pid)
            self._news.set()
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
            # What it had claimed and not begun, it begins now.
            self.strikes.append(Strike("stop", begun, time.monotonic() + self.lease, process.pid))

        waker = asyncio.create_task(wake())
        self._wakers.add(waker)
        waker.add_done_callback(self._wakers.discard)

    async def awake(self) -> None:
        """Wait until nobody is stopped any more."""
        if self._wakers:
            await asyncio.wait(self._wakers)

    @property
    def log(self) -> str:
        """All that they have logged."""
        return self._path.read_text(errors="replace")

    async def dismiss(self) -> None:
        """Let everybody end in peace: what was done in vain has been logged then."""
        self._is_closing = True
        for process in list(self._members.values()):
            process.terminate()
        await asyncio.gather(*self._places)

    @property
    def late(self) -> dict[str, int]:
        """How many bodies ran in vain because their worker got no processor for a lease: it is as good as stopped."""
        log = self.log
        return {"refused late": log.count("comes too late"), "fenced": log.count("its lease is lost")}

    async def close(self) -> None:
        """Kill everybody."""
        self._is_closing = True
        for waker in list(self._wakers):
            waker.cancel()
        for process in list(self._members.values()):
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*self._places, *self._wakers, return_exceptions=True)
        self._log.close()
