"""A file that is written to take the place of a store's file, and what both of them need to write. All of it blocks."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from ..codec import Keyring
from ..frames import Encoder, preamble
from ._entries import Entry, Verb, alive, pack

if TYPE_CHECKING:
    from pathlib import Path

PURPOSE = "store"
FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# Keys that were up only just now are taken along: the clock may be set back, and whoever reads next would miss them.
_SLACK = 60.0


class Sizes:
    """How many bytes of a file still matter.

    Attributes:
        total: of all keys.
    """

    __slots__ = ("_by_key", "total")

    def __init__(self) -> None:
        self._by_key: dict[str, int] = {}
        self.total = 0

    def count(self, verb: Verb, key: str, size: int) -> None:
        """Take a record of `size` bytes into account."""
        by_key = self._by_key
        if verb is Verb.CLEAR:
            for name in [name for name in by_key if name.startswith(key)]:
                self.total -= by_key.pop(name)
        elif verb is Verb.DELETE:
            self.total -= by_key.pop(key, 0)
        else:
            before = by_key.get(key, 0)
            by_key[key] = size + before if verb is Verb.APPEND or verb is Verb.PREPEND else size
            self.total += by_key[key] - before


class Draft:
    """A file that is to replace another: complete up to a moment, and open for what was written since.

    Attributes:
        encoder: its writer.
        fd: its descriptor, -1 when it was given away.
        size: bytes so far.
        sizes: what of them belongs to which key.
    """

    __slots__ = ("_path", "encoder", "fd", "size", "sizes")

    def __init__(self, path: Path, keyring: Keyring) -> None:
        """Begin an empty file beside `path`.

        Raises:
            OSError: the file system refused.
        """
        start = preamble(keyring.active, secrets.token_hex(8), PURPOSE)
        self._path = beside(path, ".new")
        self._path.unlink(missing_ok=True)
        self.encoder = Encoder(keyring.derive(PURPOSE), start)
        self.sizes = Sizes()
        self.size = 0
        self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | FLAGS, 0o600)
        self._put(start)

    def add(self, entries: dict[str, Entry], now: float) -> None:
        """Write what is alive.

        Raises:
            OSError: the file system refused.
        """
        batch: list[bytes] = []
        waiting = 0
        for key, entry in alive(entries, now - _SLACK):
            for verb, data in entry.pieces:
                frame = self.encoder.encode(verb, pack(key, data, entry.deadline))
                batch.append(frame)
                waiting += len(frame)
                self.sizes.count(verb, key, len(frame))
            if waiting > 1 << 20:
                self._put(b"".join(batch))
                batch, waiting = [], 0
        self._put(b"".join(batch))

    def install(self, path: Path, since: list[tuple[Verb, str, bytes]]) -> None:
        """Write what was done since, bring all of it to the disk, and take the place of `path`.

        Raises:
            OSError: the file system refused; `path` is what it was.
        """
        for verb, key, payload in since:
            frame = self.encoder.encode(verb, payload)
            self._put(frame)
            self.sizes.count(verb, key, len(frame))
        os.fsync(self.fd)
        self._path.replace(path)

    def discard(self) -> None:
        """Remove the file, unless it was given away."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _put(self, data: bytes) -> None:
        put(self.fd, data, self.size)
        self.size += len(data)


def put(fd: int, data: bytes, at: int) -> None:
    """Write all of `data` at an offset.

    Raises:
        OSError: the file system refused; some of it may have been written.
    """
    count = os.pwrite(fd, data, at)
    if count < len(data):
        view = memoryview(data)
        while count < len(data):
            count += os.pwrite(fd, view[count:], at + count)


def beside(path: Path, ending: str) -> Path:
    """Give the path of a file that belongs to the one at `path`."""
    return path.with_name(path.name + ending)
