"""Where a run is in Redis, what it is signed with, and reading it."""

from __future__ import annotations

import os
import re
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .._redis.link import Link
from .._redis.names import run_prefix, safe
from .._redis.payloads import Payloads
from ..checkpointer import Kind
from ..errors import CheckpointCorruptError, CheckpointError, CheckpointTamperedError, SecurityError, UnknownRunError
from ..frames import read_preamble
from ._keys import Keys
from ._names import encode
from ._reading import Contents, parse
from ._redis_scripts import PIECE
from ._thread import in_thread_if

if TYPE_CHECKING:
    from collections.abc import Callable

CALL_BYTES = 1 << 20
"""How much goes to Redis or comes from it with one request: nobody else waits for longer than that takes."""

MARKS = frozenset({Kind.FINISHED, Kind.RESUMED})
PURPOSE = "journal listing"

_LARGE = 256 * 1024  # bytes that are checked in a thread
_ATTEMPTS = 100
_NO_KEY = b"graflow_async: a checksum, no key"


class Unsigned:
    """Stands for a keyring where none is needed: tags are checksums, and nothing that was signed is read."""

    active = ""
    """No real key has this id."""

    def derive(self, purpose: str, kid: str) -> bytes:
        """Give what everybody knows.

        Raises:
            LookupError: a real key is asked for.
        """
        del purpose
        if kid != self.active:
            raise LookupError(kid)
        return _NO_KEY


class Place:
    """The keys of one run."""

    __slots__ = ("base", "data", "member", "meta", "run_id", "saved")

    def __init__(self, run_id: str, prefix: str) -> None:
        """Name them.

        Raises:
            CheckpointError: the id is empty.
        """
        encode(run_id)
        self.run_id = run_id
        self.member = run_id.encode("utf-8", "surrogatepass")
        self.base = run_prefix(run_id, prefix) + "journal"
        self.meta = self.base
        self.data = f"{self.base}:data"
        self.saved = f"{self.base}:saved"

    @property
    def all(self) -> tuple[str, str, str]:
        """Give the three keys that every run may have."""
        return self.meta, self.data, self.saved

    def temporary(self) -> str:
        """Give a key for what is being written."""
        return f"{self.base}:tmp:{os.urandom(8).hex()}"

    def copy(self, name: str) -> str:
        """Give the key of a named checkpoint."""
        return f"{self.saved}:{safe(name)}"


def is_copy(source: str, prefix: str) -> bool:
    """Say whether a text is the key of a named checkpoint."""
    return re.fullmatch(re.escape(prefix) + r":\{[^{}]+\}:journal:saved:.+", source, re.DOTALL) is not None


def index_of(prefix: str) -> str:
    """Give the key of the list of runs."""
    return f"{prefix}:journals"


def holder() -> str:
    """Say who takes a lock here."""
    return f"pid {os.getpid()} on {socket.gethostname()}"


class Stored(NamedTuple):
    """A run that was read and found in order.

    Attributes:
        contents: its records.
        gen: how often it was compacted, from 1.
        size: bytes; more than the records have if the last one was not written to its end.
        data: the bytes.
    """

    contents: Contents
    gen: int
    size: int
    data: bytes


async def read_run(link: Link, place: Place, keys: Callable[[], Keys]) -> Stored:
    """Read a run while it may be written.

    Raises:
        UnknownRunError: there is none.
        CheckpointError: it cannot be read.
        RedisError: Redis refused, or does not answer.
    """
    for _ in range(_ATTEMPTS):
        found = await _pieces(link, place)
        if found is not None:
            break
    else:
        raise CheckpointError(f"run {place.run_id!r} cannot be read: it is rewritten again and again")
    data, (gen, size, records, tag) = found
    contents = await _checked(data, keys, place.run_id, place.data)
    if len(data) != size or contents.scan.seq != records or contents.scan.tag != tag:
        raise CheckpointCorruptError(
            f"run {place.run_id!r} has {contents.scan.seq} records and {len(data)} bytes in Redis, and should have "
            f"{records} and {size}: something else than graflow_async has written to {place.data}"
        )
    return Stored(contents, gen, size, data)


async def _pieces(link: Link, place: Place) -> tuple[bytes, tuple[int, int, int, bytes]] | None:
    """Read the bytes that there are at the beginning of reading; None if the run was compacted meanwhile."""
    gen, index, parts, length = b"", 0, list[bytes](), 0
    first: list[Any] = []
    while True:
        reply = await link.ask(PIECE, (place.data, place.meta), (gen, index, CALL_BYTES))
        if not reply:
            raise UnknownRunError(f"there is no run {place.run_id!r} in this Redis; `runs()` lists what there is")
        if len(reply) < 3:
            return None
        first = first or reply
        gen, reached, piece = reply[0], int(reply[1]), reply[2]
        parts.append(piece)
        length += len(piece)
        size = int(first[3])
        if length >= size or reached == index:
            return b"".join(parts)[:size], (int(gen), size, int(first[5]), first[6])
        index = reached


async def read_copy(link: Link, key: str, keys: Callable[[], Keys], prefix: str) -> Contents:
    """Read a named checkpoint.

    Raises:
        UnknownRunError: there is none.
        CheckpointError: it cannot be read.
        RedisError: Redis refused, or does not answer.
    """
    parts, index, count = list[bytes](), 0, 1
    while index < count:
        reply = await link.ask(PIECE, (key,), ("", index, CALL_BYTES))
        # It was whole when it got its name: one that ends too early is being deleted.
        count = max(count, int(reply[4]))
        if int(reply[1]) == index:
            raise UnknownRunError(f"{key!r} is not a checkpoint in this Redis")
        index = int(reply[1])
        parts.append(reply[2])
    contents = await _checked(b"".join(parts), keys, None, key)
    if not key.startswith(Place(contents.name, prefix).saved + ":"):
        raise CheckpointTamperedError(f"the checkpoint {key!r} belongs to run {contents.name!r}, whose place it is not")
    return contents


async def _checked(data: bytes, keys: Callable[[], Keys], run_id: str | None, key: str) -> Contents:
    try:
        if read_preamble(data).kid == Unsigned.active and not isinstance(keys(), Unsigned):
            raise CheckpointTamperedError(
                "the log is not signed, and there is a key here: it was written where none was set, or by somebody "
                "else; read it without a key, and only if you trust whoever can write to that Redis"
            )
        return await in_thread_if(len(data) > _LARGE, partial(parse, data, keys, run_id))
    except CheckpointError as error:
        error.add_note(f"in Redis, under the key {key}")
        raise


class Listing:
    """The payloads that a listing shows: kept beside a run, so that its records need not be read, and signed, too."""

    __slots__ = ("_payloads",)

    def __init__(self, payloads: Payloads, run_id: str) -> None:
        """Sign for one run."""
        self._payloads = payloads.bound_to(safe(run_id))

    def seal(self, kind: int, payload: bytes) -> bytes:
        """Make a field of the kind and the payload of a record."""
        return self._payloads.seal(bytes((kind,)) + payload)

    def unseal(self, field: bytes | None) -> tuple[int, bytes]:
        """Give them back; nothing for a field that is not there.

        Raises:
            SecurityError: the signature does not fit.
        """
        if field is None:
            return 0, b""
        data = self._payloads.unseal(field)
        if not data:
            raise SecurityError("a field of a listing is empty")
        return data[0], data[1:]
