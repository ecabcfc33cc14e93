"""The side of the process that awaits a run: it sends jobs and hears what became of them."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, cast

from ..errors import RunLockedError
from ..worker_errors import QueueFullError
from .jobs_calls import AT_ONCE, PATIENCE, Calls, batches
from .jobs_data import Event, Job, State
from .names import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KINDS: Final[dict[bytes, Any]] = {
    b"d": "done",
    b"f": "failed",
    b"x": "dead",
    b"c": "cancelled",
    b"l": "lost",
    b"m": "message",
}
ENDED_AT_ONCE: Final = 500  # jobs that are forgotten by one script
READ_AT_ONCE: Final = 32  # batches of events, of up to a megabyte each
DEPARTED: Final = b"DEPOSED"
FORGETTABLE: Final = frozenset({"done", "failed", "cancelled"})


class Driver:
    """What one process has to do with the jobs of one run.

    Attributes:
        run: the run as keys name it.
        epoch: number of this process among those that drove the run; 0 before `own`.
    """

    def __init__(self, calls: Calls, run_id: str, *, lease: float, patience: float | None = PATIENCE) -> None:
        """Stand ready; nothing is sent yet."""
        self.run = safe(run_id)
        self.epoch = 0
        self._calls = calls
        self._lease = lease
        self._patience = patience
        self._token = secrets.token_hex(8)
        self._telling = asyncio.Lock()
        self._told = 0
        self._sending: set[str] = set()
        # Ended jobs by the batch that told their end: Redis forgets them when the batch has been acknowledged.
        self._heard: deque[tuple[str, list[str]]] = deque()
        self._ended: list[str] = []

    async def own(self) -> int:
        """Become the one that drives the run, and give the epoch: greater than that of anybody before.

        Raises:
            RunLockedError: another process drives it, and its lease has not ended.
            StoreUnavailableError: Redis does not answer.
        """
        answer = await self._run("own", [self.run, self._token, int(self._lease * 1000), "own"], "owning the run")
        if answer[0] != b"OK":
            left = int(answer[2]) / 1000
            raise RunLockedError(
                f"run {self.run} is driven by another process; wait until it has ended, or stop it: if it was killed, "
                f"its lease ends in {left:.1f} s",
                left,
            )
        self.epoch = int(answer[1])
        return self.epoch

    async def renew(self) -> None:
        """Make the lease of the run last as long as at its start again, and the run's keys as well.

        Raises:
            RunLockedError: another process drives the run.
            StoreUnavailableError: Redis does not answer.
        """
        words = [self.run, self._token, int(self._lease * 1000), "renew", self.epoch]
        answer = await self._run("own", words, "renewing the run's lease")
        self._refuse_deposed(answer[0])

    async def keep(self) -> None:
        """Renew the lease three times as often as needed, until cancelled; run it in a task of its own.

        Raises:
            RunLockedError: another process drives the run.
            StoreUnavailableError: Redis does not answer.
        """
        while True:
            await asyncio.sleep(self._lease / 3)
            await self.renew()

    async def give_up(self) -> None:
        """Let another process drive the run at once; nothing happens if one does already.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        await self._run("own", [self.run, self._token, 0, "yield", self.epoch], "giving the run's lease up")

    async def enqueue(self, jobs: Sequence[Job]) -> list[State | None]:
        """Send jobs, in order; None for each that is new, else the state of the one that is there already.

        A job whose id Redis knows is left as it is, so sending again after a doubt is harmless.

        Raises:
            QueueFullError: Redis has no memory left; it says how many have gone in.
            RunLockedError: another process drives the run.
            StoreUnavailableError: Redis does not answer; some may have gone in.
        """
        answers: list[State | None] = []
        for batch in batches(jobs, lambda job: len(job.payload)):
            words: list[Any] = [self.run, self.epoch]
            for flags, alike in groupby(batch, itemgetter(2)):
                given = [part for job in alike for part in (_utf8(job.id), job.payload)]
                words += (len(given) // 2, flags, *given)
            names = [job.id for job in batch]
            self._sending.update(names)
            try:
                answer = await self._run("enqueue", words, "sending jobs")
            except QueueFullError as error:
                error.taken = len(answers)
                raise
            finally:
                self._sending.difference_update(names)
            self._refuse_deposed(answer)
            for state in answer:
                answers.append(_state(state) if state else None)  # noqa: PERF401  # types of literals survive this only
        return answers

    async def events(self, after: str = "0", within: float | None = None) -> list[Event]:
        """Wait for events after a batch that was handled, and give some that are there, in order.

        The events of one batch bear one id and come together: handle all of them, then `ack` the last id.

        Args:
            after: id of the last batch handled; `"0"` for what is there from the start.
            within: seconds to wait; an empty list comes after them. None for ever.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        loop = asyncio.get_running_loop()
        until = None if within is None else loop.time() + within
        command = ["XREAD", "COUNT", READ_AT_ONCE, None, "STREAMS", f"{self._calls.prefix}ev:{self.run}", after]
        while True:
            left = 3600.0 if until is None else until - loop.time()
            rows = await self._calls.read(command, left, "reading events of jobs", self._patience)
            if rows:
                events = _opened(rows)
                for batch, told in groupby(events, itemgetter(0)):
                    self._heard.append((batch, [event.job for event in told if event.kind in FORGETTABLE]))
                return events
            if until is not None and loop.time() >= until:
                return []

    async def inherit(self) -> list[Event]:
        """Remove the jobs of a process that drove the run before, and give what it has heard, or would have.

        That stays where it is until `forget`, for whoever drives the run should this process die before it has recorded
        it; so it may be old.

        Raises:
            RunLockedError: another process drives the run.
            StoreUnavailableError: Redis does not answer.
        """
        left = 1
        while left:
            left = await self._run("inherit", [self.run, self.epoch], "taking the run over")
            self._refuse_deposed(left)
        events: list[Event] = []
        command = ["XREAD", "COUNT", READ_AT_ONCE, None, "STREAMS", f"{self._calls.prefix}old:{self.run}", "0"]
        while rows := await self._calls.read(command, 0.0, "reading what a driver has left", self._patience):
            events += _opened(rows)
            command[-1] = events[-1].id
        return events

    async def ack(self, upto: str) -> None:
        """Let Redis forget the events up to a batch, and the jobs whose end they told; they have been recorded.

        Raises:
            RunLockedError: another process drives the run.
            StoreUnavailableError: Redis does not answer.
        """
        limit = _number(upto)
        while self._heard and _number(self._heard[0][0]) <= limit:
            self._ended += self._heard.popleft()[1]
        # A doubtful `enqueue` may be sent once more; what is not known any more then would run once more.
        ended = [job for job in self._ended if job not in self._sending]
        self._ended = [job for job in self._ended if job in self._sending]
        following = f"{limit[0]}-{limit[1] + 1}"
        for start in range(0, max(1, len(ended)), ENDED_AT_ONCE):
            words = [self.run, self.epoch, following, *map(_utf8, ended[start : start + ENDED_AT_ONCE])]
            self._refuse_deposed(await self._run("ack", words, "acknowledging events"))

    async def cancel(self, jobs: Iterable[str]) -> dict[str, State]:
        """Cancel jobs: `cancelled` will never run; `running` was asked to end and an event will tell how it did.

        Raises:
            RunLockedError: another process drives the run.
            StoreUnavailableError: Redis does not answer.
        """
        return await self._each("cancel", jobs, "cancelling jobs")

    async def states(self, jobs: Iterable[str]) -> dict[str, State]:
        """Say where jobs stand; `missing` if Redis knows nothing of them.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        return await self._each("states", jobs, "asking after jobs")

    async def repair(self, jobs: Iterable[str]) -> dict[str, State]:
        """Say where jobs stand after mending what can be mended; those that are `missing` then must be sent again.

        Call it for all outstanding jobs at the start, after an outage, and now and then.

        Raises:
            RunLockedError: another process drives the run.
            StoreUnavailableError: Redis does not answer.
        """
        return await self._each("repair", jobs, "repairing jobs")

    async def tell(self, messages: Sequence[tuple[str, int, bytes]]) -> list[bool]:
        """Send (job, fence, bytes) to whoever holds these claims, in order; False where the claim is no more.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        answers: list[bool] = []
        async with self._telling:
            for batch in batches(messages, lambda message: len(message[2])):
                words: list[Any] = [self.run, self._token]
                for job, fence, data in batch:
                    self._told += 1
                    words += (_utf8(job), fence, self._told, data)
                answers += [bool(taken) for taken in await self._run("tell", words, "sending to workers")]
        return answers

    async def forget(self) -> None:
        """Remove the run from the queue: its jobs, whatever their state, its events and its lease.

        Raises:
            RunLockedError: another process drives the run.
            StoreUnavailableError: Redis does not answer.
        """
        self._heard.clear()
        left = 1
        while left:
            left = await self._run("forget", [self.run, self.epoch], "forgetting the run")
            self._refuse_deposed(left)

    async def _each(self, script: str, jobs: Iterable[str], what: str) -> dict[str, State]:
        """Ask the same of many jobs."""
        known = list(dict.fromkeys(jobs))
        states: dict[str, State] = {}
        for start in range(0, len(known), AT_ONCE):
            part = known[start : start + AT_ONCE]
            answer = await self._run(script, [self.run, self.epoch, *map(_utf8, part)], what)
            self._refuse_deposed(answer)
            for job, state in zip(part, answer, strict=True):
                states[job] = _state(state)
        return states

    async def _run(self, script: str, words: Sequence[Any], what: str) -> Any:
        return await self._calls.run(script, words, what, self._patience)

    def _refuse_deposed(self, answer: Any) -> None:
        """Raise if the script found that another process drives the run.

        Raises:
            RunLockedError: it does.
        """
        if answer == DEPARTED:
            raise RunLockedError(f"run {self.run} is driven by another process now")


def _opened(rows: Sequence[tuple[bytes, list[Any]]]) -> list[Event]:
    """Take the batches apart: each field is the head of an event, its value what goes with it."""
    events: list[Event] = []
    front = b""
    told: tuple[Any, ...] | None = None
    for number, fields in rows:
        batch = number.decode()
        for at in range(0, len(fields), 2):
            head = fields[at]
            if told is None or not head.startswith(front):  # jobs that were begun together have it in common
                letter, *numbers, worker, job = head.split(b" ", 5)
                front = head[: len(head) - len(job)]
                told = (KINDS[letter], *map(int, numbers), worker.decode())
            kind, fence, tries, crashes, name = told
            events.append(Event(batch, kind, _text(head[len(front) :]), fence, tries, crashes, name, fields[at + 1]))
    return events


def _utf8(job: str) -> bytes:
    return job.encode("utf-8", "surrogatepass")


def _text(job: bytes) -> str:
    return job.decode("utf-8", "surrogatepass")


def _state(answer: bytes) -> State:
    return cast("State", answer.decode())


def _number(batch: str) -> tuple[int, int]:
    """Give an id of a stream as what it is ordered by."""
    front, _, back = batch.partition("-")
    return int(front), int(back or 0)
