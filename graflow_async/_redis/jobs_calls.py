"""The one way from the queue of jobs to Redis: scripts, blocking reads, and what is tried again for how long."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, cast

from redis import exceptions as faults

from ..errors import ConfigError
from ..worker_errors import QueueFullError
from .client import ANSWER_WITHIN, connect, look_elsewhere, our_errors, passes, url_of
from .names import queue_prefix
from .outage import Outage
from .wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis.asyncio import Redis

GROUP: Final = "g"
PATIENCE: Final = 10.0  # seconds
FIRST_PAUSE: Final = 0.05  # seconds
LONGEST_PAUSE: Final = 1.0  # seconds
LONGEST_BLOCK: Final = 10.0  # seconds that one read waits at most; less than the client waits for an answer
AT_ONCE: Final = 400  # things in one script, which takes two milliseconds
BYTES_AT_ONCE: Final = 1 << 20  # bytes in one script, unless a single thing is larger
OLDEST: Final = (6, 2)
NOT_TOLD: Final = (
    "Redis does not let this user ask for its version, and what it does when memory runs out (INFO, ACL rule +info): "
    "it must be 6.2 or newer, with maxmemory-policy noeviction."
)
DEFINED: Final = re.compile(r"^local (?:function )?(\w+(?:, \w+)*)", re.MULTILINE)
ARCHIVE: Final = "graflow_async._redis"


@cache
def script_text(name: str) -> str:
    """Give the text of a script with what it uses of `common.lua` in front of it: all of it is made for each call.

    A paragraph of that file is used if what it defines is named further down; the first one always is.
    """
    folder = resources.files(ARCHIVE).joinpath("job_scripts")
    text = folder.joinpath(f"{name}.lua").read_text(encoding="utf-8")
    first, *shared = folder.joinpath("common.lua").read_text(encoding="utf-8").split("\n\n")
    for paragraph in reversed(shared):
        names = ",".join(DEFINED.findall(paragraph)).replace(" ", "").split(",")
        if any(re.search(rf"\b{defined}\b", text) for defined in names):
            text = f"{paragraph}\n{text}"
    return f"{first}\n{text}"


@cache
def script_digest(name: str) -> str:
    """Give the name by which Redis knows a script once it has seen it."""
    return hashlib.sha1(script_text(name).encode(), usedforsecurity=False).hexdigest()


def pause_after(failures: int) -> float:
    """Give the seconds to wait after so many failures in a row; random, so that not everybody comes back at once."""
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10))  # noqa: S311


def batches(items: Sequence[Any], weight: Callable[[Any], int]) -> Iterable[Sequence[Any]]:
    """Cut a sequence into parts of at most AT_ONCE things and about BYTES_AT_ONCE bytes."""
    start = total = 0
    for index, item in enumerate(items):
        size = weight(item)
        if index > start and (index - start >= AT_ONCE or total + size > BYTES_AT_ONCE):
            yield items[start:index]
            start, total = index, 0
        total += size
    if start < len(items):
        yield items[start:]


def _blocking(command: Sequence[Any], seconds: float) -> tuple[Any, ...]:
    """Give a blocking read that waits for so many seconds, or LONGEST_BLOCK."""
    place = command.index(None)
    block = max(1, int(min(seconds, LONGEST_BLOCK) * 1000))
    return (*command[:place], "BLOCK", block, *command[place + 1 :])


def rows_of(answer: Any) -> list[tuple[bytes, list[Any]]]:
    """Give the (id, fields) of a blocking read of one stream, in either version of the protocol."""
    if not answer:
        return []
    streams: Any = cast("dict[Any, Any]", answer).values() if isinstance(answer, dict) else (pair[1] for pair in answer)
    return [row for rows in streams for row in rows]


class Calls:
    """A connection to the Redis of one queue.

    Attributes:
        client: makes connections as they are needed; blocking reads have their own.
        url: where it connects to.
        prefix: what every key of the queue begins with.
        stream: the stream of jobs.
        keep: seconds that keys stay without a sign of life.
        troubled_at: when Redis last did not answer, by the loop's clock; None if it always did.
    """

    def __init__(self, url: str | None, queue: str, *, keep_for: int, prefix: str) -> None:
        """Remember where to connect to.

        Raises:
            ConfigError: the URL is none.
        """
        self.url = url_of(url)
        # With a timeout of its own the client sends through `wait_for`, which costs a task for each command and before
        # Python 3.12 may swallow a cancellation; `patiently` limits the whole command instead.
        self.client: Redis = connect(self.url, socket_timeout=None)
        self._wire = Wire(self.client)
        self.prefix = queue_prefix(queue, prefix)
        self.stream = self.prefix + "s"
        self.keep = keep_for
        self.troubled_at: float | None = None
        self._outage = Outage(self.url)

    async def run(
        self, name: str, args: Sequence[Any], what: str, patience: float | None = PATIENCE, *, again: bool = False
    ) -> Any:
        """Run a script until Redis has answered; `what` names it in errors. Scripts may be sent twice, all of them.

        `again` says that the same words may have been carried out before.

        Raises:
            QueueFullError: there is no memory left for it.
            StoreUnavailableError: no answer within `patience` seconds.
            StoreError: Redis refused.
        """
        digest = script_digest(name)

        async def once(failures: int) -> Any:
            words = ("EVALSHA", digest, 1, self.stream, self.keep, int(again or failures > 0), *args)
            try:
                return (await self._wire.send(words))[0]
            except faults.NoScriptError:
                await cast("Any", self.client).script_load(script_text(name))
                return (await self._wire.send(words))[0]

        return await self.patiently(once, what, patience)

    async def send(
        self, commands: Sequence[tuple[Any, ...]], what: str, patience: float | None = PATIENCE
    ) -> list[Any]:
        """Send commands in one go until Redis has answered; they may be sent twice, all of them.

        Raises:
            QueueFullError: there is no memory left for it.
            StoreUnavailableError: no answer within `patience` seconds.
            StoreError: Redis refused.
        """

        async def once(_: int) -> list[Any]:
            return await self._wire.send(*commands)

        return cast("list[Any]", await self.patiently(once, what, patience))

    async def patiently(self, once: Callable[[int], Any], what: str, patience: float | None, quiet: float = 0.0) -> Any:
        """Call `once` until Redis answers; it is told how often it has failed.

        Redis was asked to say nothing for up to `quiet` seconds: these do not count.

        Raises:
            QueueFullError: there is no memory left for it.
            StoreUnavailableError: no answer within `patience` seconds.
            StoreError: Redis refused.
        """
        loop = asyncio.get_running_loop()
        due_at = loop.time() + quiet
        failures = 0
        while True:
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    answer = await once(failures)
            except (faults.RedisError, OSError) as error:
                due_at = min(due_at, loop.time())
                text = str(error) if isinstance(error, faults.ResponseError) else ""
                # Redis 6 puts words of its own in front of what went wrong inside a script.
                if isinstance(error, faults.OutOfMemoryError) or "OOM command" in text:
                    raise QueueFullError(f"{what}: Redis has no memory left ({error})") from error
                if "NOGROUP" in text and await self._make_group():
                    failures += 1
                    continue
                failures = await self._next_try(error, what, failures, due_at, patience)
            else:
                if self._outage.is_on:
                    self._outage.over(loop.time())
                return answer

    async def _next_try(self, error: Exception, what: str, failures: int, due_at: float, patience: float | None) -> int:
        """Wait a little, or give up if the answer is overdue for longer than `patience`."""
        now = asyncio.get_running_loop().time()
        pause = pause_after(failures + 1)
        is_passing = passes(error) or "NOGROUP" in str(error)
        if is_passing:
            self.troubled_at = now
            self._outage.met(error, now)
            await self._wire.part()  # what is wrong with one connection is wrong with all that were made before
            await look_elsewhere(self.client, error)
        if not is_passing or (patience is not None and now + pause - due_at > patience):
            with our_errors(what):
                raise error
        await asyncio.sleep(pause)
        return failures + 1

    async def _make_group(self) -> bool:
        """Make the group anew after Redis has forgotten it, from the first entry on; False if it cannot be made now."""
        try:
            await self.client.xgroup_create(self.stream, GROUP, "0", mkstream=True)
        except (faults.RedisError, OSError) as error:
            return str(error).startswith("BUSYGROUP")
        return True

    async def read(
        self, command: Sequence[Any], seconds: float, what: str, patience: float | None, *, repeats: bool = True
    ) -> list[tuple[bytes, list[Any]]]:
        """Read a stream: wait for entries up to so many seconds (LONGEST_BLOCK at most), and give those that came.

        Args:
            command: the words before and after `BLOCK milliseconds`, with None between them.
            seconds: how long to wait.
            what: names it in errors.
            patience: seconds to try while Redis does not answer.
            repeats: whether to read again after a failure; else nothing has come.

        Raises:
            StoreUnavailableError: no answer within `patience` seconds.
            StoreError: Redis refused.
        """
        words = _blocking(command, seconds)

        async def once(failures: int) -> Any:
            return (await self._wire.send(words))[0] if repeats or not failures else None

        return rows_of(await self.patiently(once, what, patience, min(seconds, LONGEST_BLOCK)))

    async def read_and_run(
        self, command: Sequence[Any], seconds: float, name: str, args: Sequence[Any], what: str, patience: float | None
    ) -> Any:
        """Read a stream as `read` does, and run a script at once when entries have come, without a way back between.

        Returns:
            The answer of the script, which also runs when nothing has come; None after a failure: both may have been
            carried out.

        Raises:
            StoreUnavailableError: no answer within `patience` seconds.
            StoreError: Redis refused.
        """
        words = _blocking(command, seconds)
        digest = script_digest(name)

        async def once(failures: int) -> Any:
            if failures:
                return None
            try:
                return (await self._wire.send(words, ("EVALSHA", digest, 1, self.stream, self.keep, 1, *args)))[1]
            except faults.NoScriptError:
                return None

        return await self.patiently(once, what, patience, min(seconds, LONGEST_BLOCK))

    async def check(self, *, any_eviction_policy: bool, patience: float | None = None) -> list[str]:
        """See whether this Redis can be relied on; `JobQueue.check` says how."""
        what = "checking Redis"
        told: list[str] = []

        async def ask(_: int) -> dict[str, Any] | None:
            try:
                return await cast("Any", self.client).info("everything")
            except faults.NoPermissionError:
                return None

        found = await self.patiently(ask, what, PATIENCE if patience is None else patience)
        if found is None:
            return [NOT_TOLD]
        version = str(found.get("redis_version", "0"))
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
            raise ConfigError(f"this Redis is {version}; 6.2 or newer is needed")
        policy = str(found.get("maxmemory_policy", ""))
        if policy and policy != "noeviction":
            advice = "set `maxmemory-policy noeviction`"
            if not any_eviction_policy:
                raise ConfigError(f"this Redis throws keys away when memory runs out ({policy}): {advice}")
            told.append(f"Redis may throw jobs away when memory runs out (maxmemory-policy {policy}); {advice}.")
        if not policy:
            told.append("Redis does not say its maxmemory-policy; it must be noeviction.")
        if not int(found.get("aof_enabled", 0)):
            told.append(
                "Redis keeps no append-only file: if it stops, its jobs are gone and their drivers send them again."
            )
        return told

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()
