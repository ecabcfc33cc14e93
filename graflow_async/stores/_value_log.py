"""The file of a store: one writer, one lock, records of what was done to keys, and a shorter file in its place.

Everything here blocks. Only `ValueLog.write` with a small record is quick enough for the event loop: it copies bytes to
the operating system. Whoever owns the log makes sure that one thing at a time is done to it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .._holders import holder_of, this_process
from ..codec import Keyring
from ..errors import CheckpointError, NotSerializableError, SecurityError, StoreError
from ..frames import MAX_PAYLOAD, Encoder, read_preamble, scan
from ._draft import FLAGS, PURPOSE, Draft, Sizes, beside, put
from ._entries import Verb, alive, pack, replay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Put off a compaction that failed until the file has grown by so much.
_PATIENCE = 2.0
_HINT = "put it back from a copy, or move it away to begin with an empty store"


class ValueLog:
    """The open file of a store.

    Attributes:
        path: of the file.
        size: bytes of the file.
        torn: bytes that were cut off its end when it was opened.
        found: what was in it, value and deadline by key; whoever takes it leaves an empty dict.
    """

    def __init__(self, path: Path, keyring: Keyring | None, now: float) -> None:
        """Take the lock and read the file, or make it.

        Raises:
            StoreError: it is in use, damaged, signed with an unknown key, or the system refused.
        """
        self.path = path
        self._fd = -1
        self._lock = -1
        self._broken = ""
        self._since: list[tuple[Verb, str, bytes]] | None = None
        self._wait = 0.0
        self._sizes = Sizes()
        self.size = 0
        self.found: dict[str, Any] = {}
        self.torn = 0
        try:
            self._keyring = Keyring.load() if keyring is None else keyring
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _take_lock(path)
            _open_logs.add(self)
            self._read(now)
        except (CheckpointError, SecurityError, NotSerializableError) as error:
            self.close()
            raise StoreError(f"the store {path} cannot be read: {error}; {_HINT}") from error
        except OSError as error:
            self.close()
            raise StoreError(f"the store {path} cannot be opened: {error}") from error
        except BaseException:
            self.close()
            raise

    def _read(self, now: float) -> None:
        beside(self.path, ".new").unlink(missing_ok=True)
        try:
            self._fd = _open_plain(self.path)
        except FileNotFoundError:
            self._replace(Draft(self.path, self._keyring))
            return
        with open(self._fd, "rb", closefd=False) as file:
            data = file.read()
        head = read_preamble(data)
        if head.purpose != PURPOSE:
            raise CheckpointError(f"it is a {head.purpose}, not a {PURPOSE}")
        key, start = self._keyring.derive(PURPOSE, head.kid), data[: head.end]
        found = scan(data, key, start)
        entries = replay(found.frames, head.end)
        self.found = {name: (entry.value(), entry.deadline) for name, entry in alive(entries, now)}
        if head.kid != self._keyring.active:
            draft = Draft(self.path, self._keyring)
            try:
                draft.add(entries, now)
            except OSError:
                draft.discard()
                raise
            self._replace(draft)
        else:
            self._encoder = Encoder(key, start, seq=found.seq, tag=found.tag)
            for name, entry in entries.items():
                self._sizes.count(Verb.SET, name, entry.size)
            self.size = found.end
            if found.torn:
                os.ftruncate(self._fd, found.end)
        self.torn = found.torn

    def write(self, verb: Verb, key: str, data: bytes, deadline: float | None) -> None:
        """Give a record to the operating system.

        Raises:
            StoreError: the system refused, or has refused before; the file is what it was.
        """
        if self._broken:
            raise StoreError(f"the store {self.path} takes no more writes: {self._broken}; close it and open it again")
        payload = pack(key, data, deadline)
        if len(payload) > MAX_PAYLOAD:
            raise StoreError(f"{key!r}: a value of {len(data)} bytes is too large for the store {self.path}")
        encoder = self._encoder
        before = encoder.seq, encoder.tag
        frame = encoder.encode(verb, payload)
        try:
            put(self._fd, frame, self.size)
        except OSError as error:
            encoder.seq, encoder.tag = before
            self._undo()
            raise StoreError(f"the store {self.path} could not be written, nothing was changed: {error}") from error
        self.size += len(frame)
        if self._since is not None:
            self._since.append((verb, key, payload))
        self._sizes.count(verb, key, len(frame))

    def sync(self) -> Callable[[], None]:
        """Give a function that brings everything written so far to the disk; it may be called in another thread.

        The function raises StoreError if the disk refused. After that nothing more is written: what the system kept of
        the file in memory may be lost without a further word.
        """
        if self._broken:
            raise StoreError(f"the store {self.path} takes no more writes: {self._broken}; close it and open it again")
        copy = os.dup(self._fd)

        def bring() -> None:
            try:
                os.fsync(copy)
            except OSError as error:
                self._broken = f"it could not be brought to the disk ({error})"
                raise StoreError(f"the store {self.path} could not be brought to the disk: {error}") from error
            finally:
                os.close(copy)

        return bring

    @property
    def is_sound(self) -> bool:
        """Say whether the file takes writes."""
        return not self._broken

    def is_bloated(self, least: int) -> bool:
        """Say whether the file has `least` bytes, and four times as many as are needed."""
        return self.size > max(least, 4 * self._sizes.total, self._wait) and self._since is None

    def begin_draft(self) -> int:
        """Remember from now on what is written, for `draft` and `install`, and give the size of the file."""
        self._since = []
        return self.size

    def draft(self, size: int, now: float) -> Draft:
        """Write what the first `size` bytes come to into a new file; may go on in a thread while others write.

        Raises:
            OSError: the file system refused.
            CheckpointError: the file was damaged since it was opened.
        """
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            count = os.preadv(self._fd, [view[at:]], at)
            if not count:
                raise OSError(errno.EIO, "the file has become shorter")
            at += count
        head = read_preamble(view)
        found = scan(view, self._keyring.derive(PURPOSE, head.kid), bytes(view[: head.end]))
        if found.torn:
            raise CheckpointError("the file was changed by somebody else")
        entries = replay(found.frames, head.end)
        draft = Draft(self.path, self._keyring)
        try:
            draft.add(entries, now)
            os.fsync(draft.fd)
        except BaseException:
            draft.discard()
            raise
        return draft

    def install(self, draft: Draft) -> None:
        """Let a draft, and what was written since it was begun, be the file; nobody may write meanwhile.

        Raises:
            OSError: the file system refused; the file is what it was.
        """
        self._replace(draft)

    def end_draft(self, draft: Draft | None) -> None:
        """Forget about a draft, installed or not; a next one waits until the file has grown if it was not."""
        self._since = None
        if draft is None or draft.fd >= 0:
            self._wait = self.size * _PATIENCE
        if draft is not None:
            draft.discard()

    def close(self) -> None:
        """Give everything back; doing it twice is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        lock, self._lock = self._lock, -1
        if lock >= 0:
            # A child process may have inherited the descriptor: closing ours would not be enough.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)

    def __del__(self) -> None:
        self.close()

    def leave_to_parent(self) -> None:
        """Drop in a forked child what its parent has open; the parent's lock stays."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1
        self._broken = "it was opened by the process that this one was forked from"

    def _replace(self, draft: Draft) -> None:
        try:
            draft.install(self.path, self._since or [])
        except OSError:
            draft.discard()
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, draft.fd = draft.fd, -1
        self._encoder, self._sizes, self.size = draft.encoder, draft.sizes, draft.size
        self._wait = 0.0
        try:
            _sync_folder(self.path)
        except OSError as error:
            self._broken = f"its folder could not be brought to the disk ({error})"

    def _undo(self) -> None:
        try:
            os.ftruncate(self._fd, self.size)
        except OSError as error:
            self._broken = f"a record that was written in part could not be taken back ({error})"


def _open_plain(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | FLAGS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no plain file")
    return fd


def _take_lock(path: Path) -> int:
    """Take the lock that says who has the store; the lock file stays, so that all mean the same one.

    Raises:
        StoreError: somebody has it.
        OSError: the file system refused.
    """
    fd = os.open(beside(path, ".lock"), os.O_RDWR | os.O_CREAT | FLAGS, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"the store {path} is in use by {holder_of(fd)}; one process at a time can have it: close it there, "
                "or use a store that processes can share"
            ) from None
        os.ftruncate(fd, 0)
        put(fd, this_process(), 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _sync_folder(path: Path) -> None:
    fd = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


_open_logs: WeakSet[ValueLog] = WeakSet()


def _after_fork() -> None:
    for log in list(_open_logs):
        log.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
