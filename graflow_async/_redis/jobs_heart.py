"""The heartbeat of a worker: a thread with a connection of its own, so that a blocked loop does not lose its jobs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import redis
from redis import exceptions as faults

from .client import connect_blocking
from .jobs_calls import pause_after, script_text
from .jobs_data import Claim
from .jobs_worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

FENCED_AFTER: Final = 0.8  # of a lease
# Counts while the machine sleeps, which the monotonic clock of Linux does not.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_seconds() -> float:
    """Give the seconds since the machine started, sleep included."""
    return time.clock_gettime(_CLOCK)


class News(NamedTuple):
    """What a heartbeat found.

    Attributes:
        lost: claims that others have now, or that Redis has forgotten: end their bodies and `drop` them.
        cancelled: claims whose job is to be cancelled; each is told once.
        is_fenced: no heartbeat got through for so long that others may have any claim of this worker: `lost` has all
            of them; end their bodies and `release` them, which gives back what is ours after all.
    """

    lost: list[Claim]
    cancelled: list[Claim]
    is_fenced: bool = False


class Heart:
    """Renews the lease of a worker three times as often as needed, and tells what became of its claims.

    Attributes:
        beats: heartbeats that Redis has confirmed.
    """

    def __init__(self, worker: Worker, tell: Callable[[News], None]) -> None:
        """Stand ready; `tell` is called on the heart's own thread and must only hand the news on."""
        self.beats = 0
        self._worker = worker
        self._tell = tell
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: set[tuple[bytes, int]] = set()
        self._confirmed_at = boot_seconds()
        self._is_fenced = False
        self._client: redis.Redis | None = None

    def start(self) -> None:
        """Start beating, at once: the worker has joined."""
        self._confirmed_at = boot_seconds()
        self._thread = threading.Thread(target=self._live, name=f"graflow-heart-{self._worker.id}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and wait for the thread, which takes as long as one command at most; not on a loop's thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    async def aclose(self) -> None:
        """Stop beating, and wait for the thread without holding the loop up."""
        self._stop.set()
        await asyncio.to_thread(self.stop)

    def _live(self) -> None:
        lease = self._worker.lease
        limit = min(5.0, lease / 6)
        self._client = client = connect_blocking(self._worker.calls.url, limit)
        failures = 0
        try:
            while not self._stop.is_set():
                sent_at = boot_seconds()
                self._fence_if_late(sent_at)
                try:
                    news = self._beat()
                except (faults.RedisError, OSError):
                    failures += 1
                    client.connection_pool.disconnect()  # it may lead to a server that is not in charge any more
                    pause = min(pause_after(failures), lease / 6)
                else:
                    failures = 0
                    self._confirmed_at = sent_at
                    self._is_fenced = False
                    self.beats += 1
                    if news.lost or news.cancelled:
                        self._tell(news)
                    pause = lease / 3
                # Never past the moment at which silence fences this worker.
                left = self._confirmed_at + FENCED_AFTER * lease - boot_seconds()
                self._stop.wait(pause if self._is_fenced else max(0.0, min(pause, left)))
        finally:
            with contextlib.suppress(faults.RedisError, OSError):
                client.close()

    def _fence_if_late(self, now: float) -> None:
        """Tell once per silence that others may have our claims."""
        if not self._is_fenced and now - self._confirmed_at >= FENCED_AFTER * self._worker.lease:
            self._is_fenced = True
            ending = self._worker.ending
            self._tell(News([claim for claim in self._claims() if claim not in ending], [], is_fenced=True))

    def _claims(self) -> list[Claim]:
        # One step of the interpreter, so the loop's thread cannot change the dict in between.
        return list(self._worker.held.values())

    def _beat(self) -> News:
        worker = self._worker
        claims = self._claims()
        words: list[Any] = [
            worker.calls.keep,
            0,
            worker.id,
            int(worker.lease * 1000),
            worker.info,
            "" if worker.heard == "0" else worker.heard,
        ]
        for claim in claims:
            words += (claim.entry, claim.ref, claim.fence, claim.nonce)
        found: tuple[list[int], list[int]] = self._send(words)
        lost, cancelled = found
        ending = worker.ending
        fresh = [claims[at] for at in cancelled if (claims[at].ref, claims[at].fence) not in self._told]
        current = {(claim.ref, claim.fence) for claim in claims}
        self._told = (self._told & current) | {(claim.ref, claim.fence) for claim in fresh}
        return News([claims[at] for at in lost if claims[at] not in ending], fresh)

    def _send(self, words: list[Any]) -> Any:
        client = self._client
        if client is None:  # only between threads' lives
            raise faults.ConnectionError
        script = client.register_script(script_text("beat"))
        return script(keys=[self._worker.calls.stream], args=words)
