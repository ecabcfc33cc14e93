"""What a worker has to say: messages of bodies, then how they ended; all that has come together goes at once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .._redis.jobs import Claim, Worker
from .held import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger("graflow_async.worker")


class Post:
    """The way from a worker to its queue."""

    def __init__(self, worker: Worker, failed: Callable[[Exception], None]) -> None:
        """Send as `worker`; `failed` hears of it when that is not possible any more."""
        self._worker = worker
        self._failed = failed
        self._messages: list[tuple[Claim, bytes]] = []
        self._reports: list[tuple[Held, bytes]] = []
        self._returns: list[Held] = []
        self._crashes: list[tuple[Held, str]] = []
        self._flushing: asyncio.Task[None] | None = None

    def say(self, claim: Claim, data: bytes) -> None:
        """Send something to the driver of a claim."""
        self._messages.append((claim, data))
        self._flush_soon()

    def report(self, held: Held, outcome: bytes) -> None:
        """Report how a body has ended."""
        self._worker.ending.add(held.claim)
        self._reports.append((held, outcome))
        self._flush_soon()

    def give_back(self, held: Held) -> None:
        """Give a claim back for others to run."""
        self._returns.append(held)
        self._flush_soon()

    def crashed(self, held: Held, reason: str) -> None:
        """Give a claim back of which a child process has died."""
        self._crashes.append((held, reason))
        self._flush_soon()

    async def flushed(self) -> None:
        """Wait until everything has gone."""
        if self._flushing is not None:
            await asyncio.shield(self._flushing)

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self._messages or self._reports or self._returns or self._crashes:
                await self._send()
        except Exception as error:  # noqa: BLE001  # nobody awaits this task
            self._failed(error)
        finally:
            self._flushing = None

    async def _send(self) -> None:
        worker = self._worker
        reports, self._reports = self._reports, []
        messages, self._messages = self._messages, []
        returns, self._returns = self._returns, []
        crashes, self._crashes = self._crashes, []
        if messages:
            await worker.say(messages)
        if reports:
            fates = await worker.finish([(held.claim, "done", outcome) for held, outcome in reports])
            _complain([held for held, _ in reports], fates)
        if returns:
            await worker.release([held.claim for held in returns], "its worker stops, or was silent for too long")
        for held, reason in crashes:
            await worker.crash([held.claim], reason)

    async def aclose(self) -> None:
        """Stop sending."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)


def _complain(reports: Sequence[Held], fates: Sequence[str]) -> None:
    """Tell of results that nobody wants any more."""
    for held, fate in zip(reports, fates, strict=True):
        if fate in ("fenced", "gone"):
            logger.warning("%r: its result comes too late, others have it (%s)", held, fate)
