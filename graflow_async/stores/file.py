"""Values in one file: what the memory store does, and the values are still there when the process is not.

The port's rules are in `graflow_async.store`; what the file looks like is in `_entries.py` and `_value_log.py`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time as _time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..codec import Keyring, dumps
from ..errors import CheckpointError, StoreError
from ..store import MISSING, Watch
from ._changing import EarlyWatch, Gate, Intent, LargeRecord, in_thread, settle
from ._draft import Draft
from ._entries import Verb
from ._locks import LocalLocks
from ._recorder import Recorder
from ._value_log import ValueLog
from .memory import MemoryStore

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")

logger = logging.getLogger("graflow_async.store")


class FileStore:
    """A key-value store in one append-only file, for one process and one event loop at a time.

    Reading costs nothing but memory: all values are kept there, as the memory store keeps them, so changing the inside
    of a value changes it for everyone here, but not in the file. A verb that changes a key has given the change to the
    operating system when it returns: it survives the end of the process, however sudden. A power cut may take what was
    not brought to the disk by `sync` or `aclose`. If the file cannot be written, the verb raises StoreError, and
    neither memory nor file have changed. Times to live end by the wall clock, also while nobody has the file open.

    The file is opened by the first verb that needs it, or by `async with`. Locks are those of the memory store: they
    hold off the tasks of this process, and their fencing numbers begin anew in each.
    """

    __slots__ = (
        "__weakref__",
        "_compact_at",
        "_compaction",
        "_gate",
        "_keyring",
        "_locks",
        "_log",
        "_memory",
        "_now",
        "_opening",
        "_path",
        "_recorder",
    )

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        keyring: Keyring | None = None,
        time: Callable[[], float] = _time.time,
        compact_at: int = 1 << 20,
    ) -> None:
        """Name the file; nothing is opened yet.

        Args:
            path: of the file; its folder is made if need be, and `path.lock` and `path.new` are used as well.
            keyring: the keys that sign the file; None for those of the environment, or of this machine.
            time: the wall clock, in seconds since the epoch.
            compact_at: bytes that the file must have to be rewritten when it is four times as large as it need be.
        """
        self._path = Path(path)
        self._keyring = keyring
        self._now = time
        self._compact_at = compact_at
        self._locks = LocalLocks()
        self._memory: MemoryStore | None = None
        self._log: ValueLog | None = None
        self._opening: asyncio.Task[None] | None = None
        self._compaction: asyncio.Task[None] | None = None
        self._gate = Gate()
        self._recorder: Recorder | None = None

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            StoreError: it is in use, or cannot be read.
        """
        await self._opened()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def get(self, key: str, default: Any = None) -> Any:
        """Give the value of `key`, or `default` itself; a stored None is a value."""
        return await (self._memory or await self._opened()).get(key, default)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Give the values of those of `keys` that exist."""
        return await (self._memory or await self._opened()).get_many(keys)

    async def exists(self, key: str) -> bool:
        """Say whether `key` has a value."""
        return await (self._memory or await self._opened()).exists(key)

    async def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that start with `prefix`, in the order in which they came."""
        return await (self._memory or await self._opened()).keys(prefix)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Store `value`, for `ttl` seconds or for good; an earlier time to live is forgotten.

        Raises:
            NotSerializableError: it cannot be pickled.
            StoreError: the file cannot be written; nothing was changed.
        """
        await self._change(self._intend(Verb.SET, key, value, ttl), lambda store: store.set(key, value, ttl))

    async def delete(self, key: str) -> bool:
        """Remove `key` and say whether it existed.

        Raises:
            StoreError: the file cannot be written; nothing was changed.
        """
        return await self._change(Intent(Verb.DELETE), lambda store: store.delete(key))

    async def pop(self, key: str, default: Any = None) -> Any:
        """Remove `key` and give the value it had, or `default`.

        Raises:
            StoreError: the file cannot be written; nothing was changed.
        """
        return await self._change(Intent(Verb.DELETE), lambda store: store.pop(key, default))

    async def clear(self, prefix: str = "") -> int:
        """Remove the keys that start with `prefix` and give their number.

        Raises:
            StoreError: the file cannot be written; nothing was changed.
        """
        return await self._change(Intent(Verb.CLEAR), lambda store: self._open_recorder().clear(store, prefix))

    async def append(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the end of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
            NotSerializableError: the value cannot be pickled.
            StoreError: the file cannot be written; nothing was changed.
        """
        intent = self._intend(Verb.APPEND, key, value, ttl)
        return await self._change(intent, lambda store: self._open_recorder().append(store, key, value, ttl))

    async def prepend(self, key: str, value: Any, ttl: float | None = None) -> int:
        """Add `value` at the front of the list under `key`, made if missing, and give its new length.

        Raises:
            TypeError: the key holds something else than a list.
            NotSerializableError: the value cannot be pickled.
            StoreError: the file cannot be written; nothing was changed.
        """
        intent = self._intend(Verb.PREPEND, key, value, ttl)
        return await self._change(intent, lambda store: store.prepend(key, value, ttl))

    async def add(self, key: str, amount: float = 1, ttl: float | None = None) -> Any:
        """Add `amount` to the number under `key` (a missing one counts as 0) and give the new number.

        Raises:
            TypeError: the key, or `amount`, holds something else than an int or float.
            StoreError: the file cannot be written; nothing was changed.
        """
        intent = Intent(Verb.KEEP, None, self._deadline(ttl))
        return await self._change(intent, lambda store: store.add(key, amount, ttl))

    async def compare_and_set(self, key: str, expected: Any, value: Any, ttl: float | None = None) -> bool:
        """Store `value` if the key still holds `expected`, and say whether it did; MISSING stands for no such key.

        Raises:
            NotSerializableError: the value cannot be pickled.
            StoreError: the file cannot be written; nothing was changed.
        """
        intent = Intent(Verb.DELETE) if value is MISSING else self._intend(Verb.KEEP, key, value, ttl)
        return await self._change(intent, lambda store: store.compare_and_set(key, expected, value, ttl))

    def watch(self, prefix: str = "", *, exact: bool = False) -> Watch:
        """Watch the keys that start with `prefix`, or with `exact` the one key of that name.

        It sees every change from now on, or, if the file is not open yet, from the moment it opens for this watch.
        """
        if self._memory is not None:
            return self._memory.watch(prefix, exact=exact)
        return EarlyWatch(self._opened, prefix, exact=exact)

    def lock(self, key: str, timeout: float | None = None) -> AbstractAsyncContextManager[int]:
        """Hold the advisory lock of that name, first come, first served; entering gives a fencing number.

        Raises:
            LockTimeoutError: on entering, if the lock is not to be had within `timeout` seconds (None: wait for ever).
        """
        return self._locks.lock(key, timeout)

    async def sync(self) -> None:
        """Bring every change that was made so far to the disk, so that it survives a power cut.

        Raises:
            StoreError: the disk refused; the store takes no more changes until it was closed and opened again.
        """
        await self._ready()
        await in_thread(self._open_log().sync())

    async def aclose(self) -> None:
        """Bring the file to the disk and close it, and end all watches; the next verb opens it again.

        Raises:
            StoreError: the disk refused; the file is closed all the same.
        """
        while True:
            under_way = [task for task in (self._opening, self._compaction) if task is not None and not task.done()]
            if under_way:
                await asyncio.wait(under_way)
            elif not self._gate.is_open:
                await self._gate.wait()
            else:
                break
        log, memory = self._log, self._memory
        self._log = self._memory = self._recorder = None
        if log is None or memory is None:
            return
        self._gate.close()
        try:
            await memory.aclose()
            if log.is_sound:
                await in_thread(log.sync())
        finally:
            log.close()
            self._gate.open()

    # Opening

    async def _opened(self) -> MemoryStore:
        while self._memory is None:
            # A task that was cancelled before its first step could not say that it has ended.
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open())
            await asyncio.shield(self._opening)
        return self._memory

    async def _open(self) -> None:
        try:
            await self._gate.wait()  # the same file may be about to be closed
            log = await in_thread(lambda: ValueLog(self._path, self._keyring, self._now()), ValueLog.close)
            memory = MemoryStore(time=self._now)
            found, log.found = log.found, {}
            now = self._now()
            for key, (value, deadline) in found.items():
                await memory.set(key, value, None if deadline is None else deadline - now)
            lists = {key for key, (value, deadline) in found.items() if deadline is None and type(value) is list}
            self._recorder = Recorder(log, lists)
            memory.on_write = self._recorder.on_write
            self._log, self._memory = log, memory
            if log.torn:
                logger.warning(
                    "store %s: its last %d bytes (from byte %d on) were cut off: a record that was never finished",
                    *(self._path, log.torn, log.size),
                )
        finally:
            self._opening = None

    async def _ready(self) -> MemoryStore:
        """Wait until the file is open and nobody writes to it in a thread."""
        while True:
            memory = self._memory or await self._opened()
            if self._gate.is_open:
                return memory
            await self._gate.wait()

    def _open_log(self) -> ValueLog:
        if self._log is None:
            raise StoreError(f"the store {self._path} was closed while it was used")
        return self._log

    def _open_recorder(self) -> Recorder:
        if self._recorder is None:
            raise StoreError(f"the store {self._path} was closed while it was used")
        return self._recorder

    # Writing

    def _intend(self, verb: Verb, key: str, value: Any, ttl: float | None) -> Intent:
        return Intent(verb, dumps(value, f"the value of {key!r}"), self._deadline(ttl))

    def _deadline(self, ttl: float | None) -> float | None:
        return None if ttl is None else self._now() + ttl

    async def _change(self, intent: Intent, act: Callable[[MemoryStore], Awaitable[T]]) -> T:
        """Let a verb change memory and file, both or none of them."""
        memory = await self._ready()
        try:
            done = await self._open_recorder().act(memory, intent, act)
        except LargeRecord as large:
            # Nobody came between: from finding the gate open to closing it, nothing has waited.
            self._gate.close()
            try:
                done = await self._change_large(memory, intent, act, large)
            finally:
                self._gate.open()
        log = self._log
        is_compacting = self._compaction is not None and not self._compaction.done()
        if log is not None and not is_compacting and log.is_bloated(self._compact_at):
            self._compaction = asyncio.create_task(self._compact(log, memory))
        return done

    async def _change_large(
        self, memory: MemoryStore, intent: Intent, act: Callable[[MemoryStore], Awaitable[T]], large: LargeRecord
    ) -> T:
        """Write in a thread first, then let the verb change memory; cancelling waits for both."""
        log, cancelled = self._open_log(), None
        while True:
            record = large.verb, large.key, large.data, intent.deadline
            writing = asyncio.get_running_loop().run_in_executor(None, log.write, *record)
            cancelled = await settle(writing) or cancelled
            if cancelled is not None and writing.exception() is not None:
                raise cancelled
            writing.result()
            intent.is_changing, intent.written = False, large.verb
            try:
                done = await self._open_recorder().act(memory, intent, act)
                break
            except LargeRecord as again:
                # The key's time was up meanwhile, so the record has to be another one; the first changed what is gone.
                large = again
        if not intent.is_changing:
            log.write(Verb.DELETE, large.key, b"", None)
        if cancelled is not None:
            raise cancelled
        return done

    # A shorter file

    async def _compact(self, log: ValueLog, memory: MemoryStore) -> None:
        """Put a file of what is left in the place of the present one; writing goes on until the very end of it."""
        draft = None
        try:
            await self._gate.wait()
            size, now = log.begin_draft(), self._now()
            memory.drop_due()
            draft = await in_thread(lambda: log.draft(size, now), Draft.discard)
            await self._gate.wait()
            self._gate.close()
            try:
                await in_thread(functools.partial(log.install, draft))
            finally:
                self._gate.open()
        except (OSError, CheckpointError) as error:
            logger.warning("store %s could not be made shorter, and goes on as it is: %s", self._path, error)
        finally:
            log.end_draft(draft)
            self._compaction = None
