"""Runs recorded in Redis: another process, also on another machine, can go on with them.

A run is a hash and a list under one prefix, with the bytes that its file would have; the lock of a run is a lease that
its holder renews, by the clock of Redis. How much a record survives is up to Redis: with `appendonly yes` and
`appendfsync always` its death and a power cut; with `appendfsync everysec`, which answers before it writes while the
disk is busy, all but the last two seconds; without either only the death of the process that wrote it. A holder that
finds records missing stops its run, which can then be resumed from those that are there.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._lazy import lazily
from .._redis.client import check_given, connect, shown, url_of
from .._redis.link import PATIENCE, Link
from .._redis.names import KEEP_FOR, PREFIX
from .._redis.payloads import Payloads, keyring_for
from ..checkpointer import Record, RunInfo
from ..errors import CheckpointError, ConfigError, RunLockedError, SecurityError, UnknownRunError
from ..frames import Encoder
from ..policy import require_count, require_number
from ._disk import Disk
from ._keys import Keys, key_of
from ._reading import opening, read_contents
from ._redis_appender import Held, Terms
from ._redis_link import reading, writing
from ._redis_log import Opening, RedisLog
from ._redis_run import PURPOSE, Listing, Place, Stored, Unsigned, holder, index_of, is_copy, read_copy, read_run
from ._redis_scripts import CREATE, CUT, LIST, RELEASE, REMOVE, TAKE
from ._thread import to_the_end

if TYPE_CHECKING:
    from redis.asyncio import Redis

_codec: Any = lazily("graflow_async.codec")

LEASE = 30.0
"""Seconds after which the run of a process that was killed can be opened again."""

_AT_ONCE = 200  # runs that are asked for together in a listing
_FIELDS = ("id", "header", "last", "records", "size", "updated", "until")
_MAX_BYTES = 4 << 30


class RedisCheckpointer:
    """Keeps the logs of runs in Redis.

    Connections are made when they are needed, and closed when no log is open and nothing is asked.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Redis | None = None,
        prefix: str = PREFIX,
        secret_keys: Any = None,
        expire_after: float = KEEP_FOR,
        lease: float = LEASE,
        patience: float = PATIENCE,
        wait_replicas: int = 0,
    ) -> None:
        """Use a Redis, which is asked nothing yet.

        Args:
            url: where it is; None for GRAFLOW_REDIS_URL, then `redis://localhost:6379/0`.
            client: a client to use instead, which answers in bytes and which its owner closes.
            prefix: what all keys begin with.
            secret_keys: what records are signed and checked with; None for GRAFLOW_SECRET_KEY.
            expire_after: seconds after its last sign of life (a record, an open log) when a run is forgotten.
            lease: seconds that a run stays locked when the process that had it was killed.
            patience: seconds for which something is tried again while Redis does not answer.
            wait_replicas: how many replicas must have what is flushed with `sync` (durability "fsync").

        Raises:
            ConfigError: a value makes no sense.
            UnsignedPayloadError: there is no key, and the Redis is not on this machine.
        """
        if not prefix or not prefix.isprintable() or set(prefix) & set("{}"):
            raise ConfigError(f"prefix is a printable text without braces, not {prefix!r}")
        for name, value in (("expire_after", expire_after), ("lease", lease), ("patience", patience)):
            require_number(name, value, exclusive=True)
        require_count("wait_replicas", wait_replicas, least=0)
        probe = connect(url) if client is None else client
        check_given(probe)
        keyring = keyring_for(probe, secret_keys)
        self._name = "the given Redis" if client is not None else shown(url_of(url))
        self._prefix = prefix
        self._terms = Terms(prefix, index_of(prefix), expire_after, lease, wait_replicas)
        self._keyring = keyring
        self._keys: Keys = Unsigned() if keyring is None else keyring
        self._payloads = Payloads(keyring, PURPOSE)
        self._link = Link(url, client, patience)
        self._open: set[RedisLog] = set()

    def __repr__(self) -> str:
        return f"RedisCheckpointer({self._name!r}, prefix={self._prefix!r})"

    async def create(self, run_id: str) -> RedisLog:
        """Begin the log of a new run.

        Raises:
            CheckpointWriteError: Redis refused, or does not answer.
            CheckpointError: there is a run of that id.
        """
        return await to_the_end(self._create(self._place(run_id)), RedisLog.aclose)

    async def _create(self, place: Place) -> RedisLog:
        keys, terms, token = self._keys, self._terms, os.urandom(16).hex()
        start = opening(keys.active, place.run_id)
        key = key_of(keys, keys.active)
        tag = Encoder(key, start).tag
        args = (token, holder(), terms.lease_ms, terms.ttl, place.member, start, tag)
        self._link.enter()
        try:
            with writing(f"run {place.run_id!r} cannot be recorded in {self._name}"):
                # Listed first: an entry without a run is passed over, a run without an entry would not be found.
                await self._link.ask(LIST, (terms.listed,), (place.member, terms.ttl))
                reply = await self._link.ask(CREATE, (place.meta, place.data), args)
            if reply[0] != b"OK":
                raise CheckpointError(  # noqa: TRY301  # the link is left below
                    f"there is a run {place.run_id!r} already in {self._name}; resume it, or delete it first"
                )
        except BaseException:
            await self._link.leave()
            raise
        return self._log(Held(place, token, start, key, 0, 1, len(start), 0, None))

    async def open(self, run_id: str) -> tuple[RedisLog, list[Record]]:
        """Take a run over: its lock, its records, and the log to go on with. A torn tail is cut.

        Raises:
            UnknownRunError: there is no such run.
            RunLockedError: somebody has it, or had it when it was killed, less than a lease ago.
            CheckpointError: it cannot be read.
        """
        return await to_the_end(self._take_over(self._place(run_id)), _close_first)

    async def _take_over(self, place: Place) -> Opening:
        self._link.enter()
        try:
            with reading(f"run {place.run_id!r} cannot be opened"):
                token = await self._lock(place)
                try:
                    stored = await read_run(self._link, place, self._get_keys)
                    if stored.contents.scan.torn:
                        await self._cut(place, token, stored)
                except BaseException:
                    await self._unlock(place, token)
                    raise
        except BaseException:
            await self._link.leave()
            raise
        contents, scan = stored.contents, stored.contents.scan
        held = Held(place, token, contents.start, contents.key, contents.base, stored.gen, scan.end, scan.seq, scan.tag)
        return Opening(self._log(held), contents.records)

    async def _lock(self, place: Place) -> str:
        """Take the lease of a run, and give the proof."""
        token, terms = os.urandom(16).hex(), self._terms
        reply = await self._link.ask(TAKE, place.all, (token, holder(), terms.lease_ms, terms.ttl))
        if reply[0] == b"UNKNOWN":
            raise self._unknown(place.run_id)
        if reply[0] == b"HELD":
            left = reply[2] / 1000
            raise RunLockedError(
                f"run {place.run_id!r} is in use by {reply[1].decode('utf-8', 'replace')}; wait until it has ended, or "
                f"stop it there: if it was killed, its lease ends in {left:.1f} s",
                left,
            )
        return token

    async def _unlock(self, place: Place, token: str) -> None:
        with reading(f"run {place.run_id!r} cannot be given back"):
            await self._link.ask(RELEASE, (place.meta,), (token,))

    async def _cut(self, place: Place, token: str, stored: Stored) -> None:
        """Drop the part of a last record that a crash has left."""
        reply = await self._link.ask(CUT, (place.meta, place.data), (token, stored.contents.scan.end))
        if reply[0] != b"OK":
            raise RunLockedError(f"run {place.run_id!r} was taken over by somebody else while it was opened")

    def _log(self, held: Held) -> RedisLog:
        listing = Listing(self._payloads, held.place.run_id)
        log = RedisLog(
            self._link,
            self._terms,
            held,
            listing,
            keys=self._get_keys,
            file_keys=self._file_keys,
            on_close=self._open.discard,
        )
        self._open.add(log)
        return log

    async def read(self, source: str) -> list[Record]:
        """Read the records of a run, or of a saved checkpoint.

        Args:
            source: a run id; or what `Log.save` gave: a key in this Redis, or the path of a file.

        Raises:
            UnknownRunError: there is neither.
            CheckpointError: it cannot be read.
        """
        async with self._link.used():
            with reading(f"{source!r} cannot be read"):
                try:
                    return (await read_run(self._link, self._place(source), self._get_keys)).contents.records
                except UnknownRunError:
                    if is_copy(source, self._prefix):
                        return (await read_copy(self._link, source, self._get_keys, self._prefix)).records
        return await self._read_file(source)

    async def _read_file(self, source: str) -> list[Record]:
        try:
            path = Path.cwd() / source
            if not await asyncio.to_thread(path.is_file):
                raise self._unknown(source)
            keys = await asyncio.to_thread(self._file_keys)
            return (await read_contents(Disk(), path, lambda: keys, _MAX_BYTES)).records
        except (FileNotFoundError, ValueError) as error:
            raise self._unknown(source) from error
        except OSError as error:
            if isinstance(error, (CheckpointError, SecurityError)):
                raise
            raise self._unknown(source) from error

    async def runs(self) -> list[RunInfo]:
        """List the recorded runs, the one that was written last first; what cannot be read is left out."""
        found: list[RunInfo] = []
        async with self._link.used():
            with reading(f"the runs in {self._name} cannot be listed"):
                members = await self._link.command("ZREVRANGE", self._terms.listed, 0, -1)
                for at in range(0, len(members), _AT_ONCE):
                    found += await self._look_at(members[at : at + _AT_ONCE])
        return sorted(found, key=lambda run: run.updated_at, reverse=True)

    async def _look_at(self, members: list[bytes]) -> list[RunInfo]:
        places = [self._place(member.decode("utf-8", "surrogatepass")) for member in members]

        async def send(client: Redis) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                ask: Any = pipe
                ask.time()
                for place in places:
                    ask.hmget(place.meta, _FIELDS)
                return await ask.execute()

        now, *answers = await self._link.until_answered(send)
        infos = (
            self._info(place, fields, now[0] * 1000 + now[1] // 1000)
            for place, fields in zip(places, answers, strict=True)
        )
        return [info for info in infos if info is not None]

    def _info(self, place: Place, fields: list[Any], now: int) -> RunInfo | None:
        """Make what a listing shows; None for a run that is gone, or whose signatures do not fit."""
        if fields[0] != place.member:
            return None
        listing = Listing(self._payloads, place.run_id)
        try:
            header = listing.unseal(fields[1])[1]
            last_kind, last = listing.unseal(fields[2])
            records, size, updated = map(int, fields[3:6])
            until = int(fields[6] or 0)
        except (SecurityError, ValueError, TypeError):
            return None
        return RunInfo(place.run_id, header, last, last_kind, records, size, updated / 1000, until > now)

    async def saved(self, run_id: str) -> list[str]:
        """List the checkpoints of a run that `Log.save` made in Redis, oldest first."""
        place = self._place(run_id)
        async with self._link.used():
            with reading(f"the checkpoints of run {run_id!r} cannot be listed"):
                found = await self._link.command("ZRANGE", place.saved, 0, -1)
        return [key.decode() for key in found]

    async def delete(self, run_id: str) -> None:
        """Remove a run with its checkpoints.

        Raises:
            UnknownRunError: there is no such run.
            RunLockedError: somebody has it.
            CheckpointWriteError: Redis refused, or does not answer.
        """
        await to_the_end(self._delete(self._place(run_id)))

    async def _delete(self, place: Place) -> None:
        async with self._link.used():
            with writing(f"run {place.run_id!r} cannot be deleted"):
                # In two steps: whoever holds it may ask twice, and knows that it was he who removed it.
                token = await self._lock(place)
                await self._link.ask(REMOVE, place.all, (token,))
                await self._link.command("ZREM", self._terms.listed, place.member)

    async def aclose(self) -> None:
        """Close the logs that are still open; closing twice is fine.

        Raises:
            CheckpointWriteError: the storage refused what some log had not written yet.
        """
        failure: CheckpointError | None = None
        for log in list(self._open):
            try:
                await log.aclose()
            except CheckpointError as error:
                failure = error
        if failure is not None:
            raise failure

    def _place(self, run_id: str) -> Place:
        return Place(run_id, self._prefix)

    def _get_keys(self) -> Keys:
        return self._keys

    def _file_keys(self) -> Keys:
        """Give the keys of files: without a key for Redis those of this user, made at first use; in a thread."""
        return _codec.Keyring.load() if self._keyring is None else self._keyring

    def _unknown(self, run_id: str) -> UnknownRunError:
        return UnknownRunError(
            f"there is neither a run {run_id!r} nor such a checkpoint in {self._name}; `runs()` lists what there is"
        )


async def _close_first(opened: Opening) -> None:
    await opened.log.aclose()
