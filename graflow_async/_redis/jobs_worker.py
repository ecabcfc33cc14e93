"""The side of a process that runs jobs: it claims them, reports how they ended, and talks with their drivers."""

from __future__ import annotations

import asyncio
import os
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from ..errors import ConfigError
from .jobs_calls import AT_ONCE, GROUP, LONGEST_BLOCK, Calls, batches
from .jobs_data import Claim, Delivery, Entry, Fate
from .names import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

LEASE: Final = 30.0  # seconds
FEW: Final = 16  # claims that are looked through each time, where that spares a way to Redis and back
TAKEN_AT_ONCE: Final = 250  # a script that begins so many takes two or three milliseconds
# Seconds after which a job that was taken over from a dead worker has shown that it does not kill at once: a hundred
# long jobs of a dead worker must not wait for each other for a lease each.
CALM: Final = 1.0
LETTERS: Final[dict[str, str]] = {"done": "d", "failed": "f"}
DELIVERIES: Final[dict[bytes, Any]] = {b"m": "message", b"c": "cancel"}


class Worker:
    """What one process has to do with the jobs that it runs. One task takes; reports may come from anywhere.

    Attributes:
        id: of the worker, different in every process.
        info: what drivers and operators see of it.
        lease: seconds without a heartbeat after which its jobs are given to others.
        held: the claims that are not over, by job and fence; those being reported are among them.
        ending: the claims being reported.
        calls: the connection.
        heard: id of the last delivery that was read.
    """

    def __init__(
        self, calls: Calls, name: str, info: bytes, *, lease: float, patience: float | None, life: str | None = None
    ) -> None:
        """Stand ready; nothing is sent yet.

        Raises:
            ConfigError: the name has characters that keys do not like, or the lease is not positive.
        """
        if safe(name) != name:
            raise ConfigError(f"{name!r} is no name of a worker: letters, digits, '.', '_' and '-', at most 120")
        if lease <= 0:
            raise ConfigError(f"a lease of {lease!r} seconds makes no sense")
        self.id = name + (f".{_nonce()[:8].decode()}" if life is None else life)
        self.info = info
        self.lease = lease
        self.calls = calls
        self.held: dict[tuple[bytes, int], Claim] = {}
        self.ending: set[Claim] = set()
        self.heard = "0"
        self._patience = patience
        self._saying = asyncio.Lock()
        self._milliseconds = max(1, int(lease * 1000))
        # The nonce of a command whose answer may have been lost with claims in it: the next `fetch` asks for them.
        self._doubtful: bytes | None = None
        # Jobs come one by one: nothing will be there before it has been waited for.
        self._is_quiet = False
        self._reclaim_at = 0.0
        self._suspect: Claim | None = None
        self._calm_at = 0.0

    async def join(self) -> None:
        """Come onto the roll of workers; drivers that wait for one wake up.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        left = await self._run("join", [self.id, self._milliseconds, self.info], "joining the queue")
        self._plan_reclaim(left)

    async def take(self, count: int, within: float | None = None) -> list[Claim]:
        """Wait for jobs, and begin at most `count` of them: as many as can run now, for there is no queue behind.

        Takes jobs over from workers that died as well, one at a time: while one of those is young no other is taken.

        Args:
            count: how many to begin at most.
            within: seconds to wait; an empty list comes after them. None for ever.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        loop = asyncio.get_running_loop()
        until = None if within is None else loop.time() + within
        while True:
            if self.reclaim_in() <= 0 and (claim := await self.reclaim()) is not None:
                return [claim]
            claims = [] if self._is_quiet and self._doubtful is None else await self.fetch(count)
            left = LONGEST_BLOCK if until is None else until - loop.time()
            if claims or left <= 0:
                return claims
            claims = await self._wait(count, min(left, self.reclaim_in()))
            self._is_quiet = len(claims) == 1
            if claims:
                return claims

    async def _wait(self, count: int, block: float) -> list[Claim]:
        """Wait up to `block` seconds for jobs, and begin them."""
        if len(self.held) < FEW:
            return await self._wait_and_begin(count, block)
        entries = await self.read(count, block)
        return await self.begin(entries) if entries else []

    async def _wait_and_begin(self, count: int, block: float) -> list[Claim]:
        """Wait up to `block` seconds for jobs, and begin them on the spot; for a worker that holds few."""
        self._doubtful = nonce = _nonce()
        command = self._reading(count)
        words = [self.id, nonce, self._milliseconds, min(count, TAKEN_AT_ONCE)]
        answer = await self.calls.read_and_run(command, block, "begin", words, "waiting for jobs", self._patience)
        if answer is None:  # whatever has been begun is found by the next `fetch`
            return []
        return self._begun(nonce, answer, {})

    async def fetch(self, count: int) -> list[Claim]:
        """Begin at most `count` jobs that are there, without waiting.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        return await self._begin([], count)

    async def read(self, count: int, block: float) -> list[Entry]:
        """Wait up to `block` seconds for jobs, and give at most `count`; begin them at once, or they wait for a lease.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        command = self._reading(count)
        before, troubled_at = self._doubtful, self.calls.troubled_at
        # A lost answer may have had jobs in it: only the next `fetch` can find them, so nothing is read again here.
        self._doubtful = before or _nonce()
        rows = await self.calls.read(command, block, "waiting for jobs", self._patience, repeats=False)
        if self.calls.troubled_at == troubled_at:
            self._doubtful = before
        return [Entry(number, fields[1], fields[3]) for number, fields in rows]

    async def begin(self, entries: Sequence[Entry]) -> list[Claim]:
        """Claim what was read; jobs that were cancelled or given to others meanwhile are left out.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        return await self._begin(entries, 0)

    async def _begin(self, entries: Sequence[Entry], count: int) -> list[Claim]:
        doubtful = self._doubtful
        self._doubtful = nonce = doubtful or _nonce()
        at_most = min(count, TAKEN_AT_ONCE)
        words: list[Any] = [self.id, nonce, self._milliseconds, at_most, *(entry.id for entry in entries)]
        answer = await self._run("begin", words, "beginning jobs", again=doubtful is not None)
        return self._begun(nonce, answer, {entry.id: entry.payload for entry in entries})

    def _reading(self, count: int) -> list[Any]:
        """Give the words that wait for jobs."""
        first = ["XREADGROUP", "GROUP", GROUP, self.id, "COUNT", min(count, TAKEN_AT_ONCE)]
        return [*first, None, "STREAMS", self.calls.stream, ">"]

    def _begun(self, nonce: bytes, answer: tuple[int, list[Any]], read: dict[Any, bytes]) -> list[Claim]:
        """Take what a script has begun; payloads of what was `read` before are here already."""
        left, rows = answer
        self._doubtful = None
        self._plan_reclaim(left)
        claims: list[Claim] = []
        about, found = b"", (0, 0, 0, 0)
        for entry, ref, payload, told, flags in rows:
            if told != about:
                about, found = told, tuple(map(int, told.split()))
            claim = Claim(entry, ref, read.get(entry) or payload, nonce, found, flags)
            self.held[ref, claim.fence] = claim
            claims.append(claim)
        return claims

    def reclaim_in(self) -> float:
        """Give the seconds until a worker's lease may have ended, and until a job may be taken from it."""
        now = asyncio.get_running_loop().time()
        at = self._reclaim_at
        suspect = self._suspect
        if suspect is not None and (suspect.ref, suspect.fence) in self.held:
            at = max(at, self._calm_at)
        if self.calls.troubled_at is not None:
            # After an outage the living need a moment to say that they live.
            at = max(at, self.calls.troubled_at + self.lease / 2)
        return max(0.0, at - now)

    async def reclaim(self) -> Claim | None:
        """Take one job from a worker whose lease has ended, and begin it; None if there is none.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        doubtful = self._doubtful
        self._doubtful = doubtful or _nonce()
        answer = await self._run("reclaim", [self.id, _nonce()], "taking over jobs")
        self._doubtful = doubtful
        self._plan_reclaim(answer[0])
        if len(answer) == 1:
            return None
        claims = await self.begin([Entry(*answer[1:])])
        for claim in claims:
            if claim.crashes:
                self._suspect = claim
                self._calm_at = asyncio.get_running_loop().time() + min(CALM, self.lease / 10)
        return claims[0] if claims else None

    def _plan_reclaim(self, left: int) -> None:
        """Remember when to look for dead workers: when the first lease ends, or that of one unknown yet could."""
        # A millisecond more, lest it comes back just before the end that it waits for.
        seconds = self.lease if left < 0 else min((left + (left > 0)) / 1000, self.lease)
        self._reclaim_at = asyncio.get_running_loop().time() + seconds

    async def finish(self, reports: Sequence[tuple[Claim, Literal["done", "failed"], bytes]]) -> list[Fate]:
        """Report how jobs ended, all that ended in this turn at once; their drivers hear of those that are `ok`.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        fates: list[Fate] = []
        self.ending.update(claim for claim, _, _ in reports)
        for batch in batches(reports, lambda report: len(report[2])):
            words: list[Any] = [self.id]
            for (fence, nonce, kind), alike in groupby(batch, _alike):
                given = [part for claim, _, data in alike for part in (claim.ref, data)]
                words += (len(given) // 2, fence, nonce, LETTERS[kind], *given)
            answer = await self._run("finish", words, "reporting jobs")
            fates += self._ended([claim for claim, _, _ in batch], answer)
        return fates

    async def release(self, claims: Sequence[Claim], reason: str = "released") -> list[Fate]:
        """Give claims back for others to run, without blame: this worker stops, or does not know how to run them.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        return await self._give_back(claims, 0, reason)

    async def crash(self, claims: Sequence[Claim], reason: str) -> list[Fate]:
        """Give claims back because the child process that ran them died: a job is dead after two such deaths alone.

        A whole worker that dies with a job that runs alone counts half as much.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        return await self._give_back(claims, 1, reason)

    async def _give_back(self, claims: Sequence[Claim], blame: int, reason: str) -> list[Fate]:
        fates: list[Fate] = []
        self.ending.update(claims)
        line = " ".join(reason.split()).encode("utf-8", "replace")
        for start in range(0, len(claims), AT_ONCE):
            part = claims[start : start + AT_ONCE]
            words: list[Any] = [self.id, blame, line]
            for claim in part:
                words += (claim.ref, claim.fence, claim.nonce)
            fates += self._ended(part, await self._run("release", words, "giving jobs back"))
        return fates

    def _ended(self, claims: Sequence[Claim], answer: list[bytes]) -> list[Fate]:
        """Forget claims whose end has been told."""
        for claim in claims:
            self.held.pop((claim.ref, claim.fence), None)
            self.ending.discard(claim)
        return [cast("Fate", fate.decode()) for fate in answer]

    def drop(self, claims: Sequence[Claim]) -> None:
        """Forget claims that were lost: nothing is to be reported of them any more."""
        for claim in claims:
            self.held.pop((claim.ref, claim.fence), None)

    async def say(self, messages: Sequence[tuple[Claim, bytes]]) -> list[bool]:
        """Send to the drivers of claims, in order; False where the claim is no more.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        answers: list[bool] = []
        async with self._saying:
            for batch in batches(messages, lambda message: len(message[1])):
                words: list[Any] = [self.id]
                for claim, data in batch:
                    claim.said += 1
                    words += (claim.ref, claim.fence, claim.nonce, claim.said, data)
                answers += [bool(taken) for taken in await self._run("say", words, "sending to drivers")]
        return answers

    async def inbox(self, after: str = "0", within: float | None = None) -> list[Delivery]:
        """Wait for what drivers have for claims of this worker, after a delivery that was handled.

        What was handled (`after`) is removed by the heartbeat.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        loop = asyncio.get_running_loop()
        until = None if within is None else loop.time() + within
        self.heard = after
        command = ["XREAD", "COUNT", AT_ONCE, None, "STREAMS", f"{self.calls.prefix}in:{self.id}", after]
        while True:
            left = 3600.0 if until is None else until - loop.time()
            rows = await self.calls.read(command, left, "reading the inbox", self._patience)
            if rows:
                return [
                    _delivery(number, fields[at], fields[at + 1])
                    for number, fields in rows
                    for at in range(0, len(fields), 2)
                ]
            if until is not None and loop.time() >= until:
                return []

    async def retire(self) -> int:
        """Leave the roll, and give how many claims stand in the way: release them first, and retire again.

        What was handed to this worker without its knowledge goes back without blame.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        words = [self.id, *(claim.ref for claim in self.held.values())]
        return int(await self._run("retire", words, "leaving the queue"))

    async def _run(self, script: str, words: Sequence[Any], what: str, *, again: bool = False) -> Any:
        return await self.calls.run(script, words, what, self._patience, again=again)


def _alike(report: tuple[Claim, Any, bytes]) -> tuple[int, bytes, Any]:
    """Give what the reports of jobs that were begun together have in common."""
    claim, kind, _ = report
    return claim.fence, claim.nonce, kind


def _nonce() -> bytes:
    return os.urandom(8).hex().encode()


def _delivery(number: bytes, head: bytes, data: bytes) -> Delivery:
    kind, fence, ref = head.split(b" ", 2)
    run, _, job = ref.partition(b":")
    return Delivery(
        number.decode(), DELIVERIES[kind], run.decode(), job.decode("utf-8", "surrogatepass"), int(fence), data
    )
