r"""The format of append-only files: records in a row, each numbered, checked, and signed together with all before it.

Only bytes live here; who opens files, what a kind of record means and where keys come from is decided elsewhere::

    file     := preamble frame*
    preamble := "GFALOG1\n" | length u16 | JSON {"format": 1, "kid": ..., "name": ..., "purpose": ...}
    frame    := length u32 | crc32 u32 | seq u64 | kind u8 | flags u8 | 0 u16 | payload | tag of 16 bytes
    crc32    over seq ... payload
    tag      := HMAC-SHA256(key, the tag before + seq ... payload), cut to 16 bytes; the tag before the first frame is
                HMAC-SHA256(key, preamble), cut likewise

Numbers are little endian. The checksum tells a record that was cut off by a crash from one that was changed; the chain
of tags makes sure that no record was changed, left out, moved or taken from another file. What it cannot show is that
whole records are missing at the end: such a file is simply an older state.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from struct import Struct
from typing import Any, Final, NamedTuple, cast
from zlib import crc32

from .errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointTamperedError,
    CheckpointVersionError,
    CheckpointWriteError,
    ConfigError,
)

FORMAT: Final = 1
MAX_PAYLOAD: Final = 1 << 30
"""Bytes that one record may have."""

_FAMILY = b"GFALOG"
_MAGIC = b"GFALOG1\n"
_LENGTH = Struct("<H")
_HEAD = Struct("<IIQBBH")
_CHECKED = Struct("<II")
_NUMBERED = Struct("<QBBH")
_HEAD_SIZE = _HEAD.size
_BODY_AT = _CHECKED.size
_TAG_SIZE = 16
_LEAST_FRAME = _HEAD_SIZE + _TAG_SIZE
_LEAST_KEY = 16
# RFC 2104: the block of SHA-256, and what a key is mixed with.
_BLOCK = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
# From this size on, copying a payload to sign it costs more than signing it in two steps.
_LARGE = 1 << 16
# How many times its own length may be checked while the bytes behind a bad frame are searched.
_PATIENCE = 64


class Frame(NamedTuple):
    """A record as it was read.

    Attributes:
        seq: its number; they count up by one.
        kind: what it means to whoever wrote it, 0 to 255.
        payload: its content.
        end: offset of the first byte behind it.
    """

    seq: int
    kind: int
    payload: bytes
    end: int


class Preamble(NamedTuple):
    """What a file says about itself before its first record; only a record behind it proves that it is true.

    Attributes:
        kid: id of the key that signs the records.
        name: what the file belongs to, such as a run id.
        purpose: what the file is for, such as `"journal"`.
        end: offset of the first record.
    """

    kid: str
    name: str
    purpose: str
    end: int


class Scan(NamedTuple):
    """What a file holds.

    Attributes:
        frames: the records, in order.
        end: offset of the first byte behind the last whole record; a writer goes on here.
        torn: number of bytes behind `end`: the beginning of a record that was never finished, to be cut off.
        tag: tag of the last record, for the encoder that goes on.
        seq: number of the next record.
    """

    frames: list[Frame]
    end: int
    torn: int
    tag: bytes
    seq: int


def preamble(kid: str, name: str, purpose: str) -> bytes:
    """Make the bytes that a file begins with.

    Raises:
        ConfigError: the three texts are longer than fits (64 KiB as JSON).
    """
    fields = {"format": FORMAT, "kid": kid, "name": name, "purpose": purpose}
    text = json.dumps(fields, separators=(",", ":")).encode()
    if len(text) > 0xFFFF:
        raise ConfigError(f"the head of a file has {len(text)} bytes and 65535 fit; give it a shorter name")
    return _MAGIC + _LENGTH.pack(len(text)) + text


def read_preamble(data: bytes | memoryview) -> Preamble:
    """Read what the file that begins with `data` says about itself; the first 65,545 bytes are always enough.

    Raises:
        CheckpointVersionError: the file has a format that this version does not know.
        CheckpointError: it is no file of this package, or it ends within its first bytes.
    """
    magic = bytes(data[: len(_MAGIC)])
    if magic != _MAGIC:
        if len(magic) == len(_MAGIC) and magic.startswith(_FAMILY) and magic.endswith(b"\n"):
            raise CheckpointVersionError(
                f"the file has format {magic[len(_FAMILY) : -1].decode('ascii', 'replace')!r} and this version reads "
                f"format {FORMAT}; use the version of graflow_async that wrote it, or a newer one"
            )
        raise CheckpointError(f"not a file of graflow_async: it begins with {magic!r}")
    begin = len(_MAGIC) + _LENGTH.size
    if len(data) < begin:
        raise CheckpointError("not a file of graflow_async: it ends within its first bytes")
    end = begin + _LENGTH.unpack_from(data, len(_MAGIC))[0]
    if len(data) < end:
        raise CheckpointError("not a file of graflow_async: it ends within its first bytes")
    return _parse(bytes(data[begin:end]), end)


def _parse(text: bytes, end: int) -> Preamble:
    try:
        loaded: Any = json.loads(text)
    except (ValueError, RecursionError):
        loaded = None
    if not isinstance(loaded, dict):
        raise CheckpointError("not a file of graflow_async: what it says about itself is not a JSON object")
    fields = cast("dict[str, Any]", loaded)
    version = fields.get("format")
    if type(version) is int and version > FORMAT:
        raise CheckpointVersionError(
            f"the file has format {version} and this version reads format {FORMAT}; "
            "use the version of graflow_async that wrote it, or a newer one"
        )
    texts = [fields.get(field) for field in ("kid", "name", "purpose")]
    if type(version) is not int or version != FORMAT or not all(isinstance(text, str) for text in texts):
        raise CheckpointError("not a file of graflow_async: what it says about itself is incomplete")
    kid, name, purpose = cast("list[str]", texts)
    return Preamble(kid, name, purpose, end)


class Encoder:
    """Numbers, checks and signs the records of one file, which has one writer.

    Attributes:
        seq: number of the next record.
        tag: tag of the last one.
    """

    __slots__ = ("_inner", "_outer", "seq", "tag")

    def __init__(self, key: bytes, start: bytes, *, seq: int = 0, tag: bytes | None = None) -> None:
        """Begin a file, or go on with one that was scanned.

        Args:
            key: the key of this purpose, at least 16 bytes.
            start: the bytes of the preamble.
            seq: number of the next record.
            tag: tag of the last record; None if there is none.

        Raises:
            ConfigError: the key is too short.
        """
        self._inner, self._outer = _keyed(key)
        self.seq = seq
        self.tag = _first_tag(key, start) if tag is None else tag

    def encode(self, kind: int, payload: bytes) -> bytes:
        """Make the next record; all that this returns has to go to the file, in order.

        Whoever could not write a record sets `seq` and `tag` back to what they were before.

        Raises:
            CheckpointWriteError: the payload has more than 1 GiB.
        """
        size = len(payload)
        if size > MAX_PAYLOAD:
            raise CheckpointWriteError(f"a record of {size} bytes is too large; {MAX_PAYLOAD} fit")
        seq = self.seq
        body = _NUMBERED.pack(seq, kind, 0, 0) + payload
        inner = self._inner.copy()
        inner.update(self.tag + body)
        outer = self._outer.copy()
        outer.update(inner.digest())
        tag = self.tag = outer.digest()[:_TAG_SIZE]
        self.seq = seq + 1
        return _CHECKED.pack(size, crc32(body)) + body + tag


def scan(data: bytes | memoryview, key: bytes, start: bytes) -> Scan:
    """Read the records of a whole file: all of them, or all but an unfinished last one.

    Args:
        data: the file from its first byte, with the preamble.
        key: the key of this purpose, at least 16 bytes.
        start: the bytes of the preamble, `data[:read_preamble(data).end]`; the records begin behind it.

    Raises:
        CheckpointCorruptError: a record is damaged and there are whole ones behind it.
        CheckpointTamperedError: a record is whole but not the one that was written here with this key.
        CheckpointVersionError: a record is marked in a way that this version does not know.
        ConfigError: the key is too short.
    """
    tag = _first_tag(key, start)
    view = memoryview(data)
    if bytes(view[: len(start)]) != start:
        raise CheckpointCorruptError("the file does not begin with the bytes that it is to be read with")
    frames: list[Frame] = []
    add, unpack, digest, same = frames.append, _HEAD.unpack_from, hmac.digest, hmac.compare_digest
    offset, seq, last = len(start), 0, len(view) - _LEAST_FRAME
    while offset <= last:
        size, check, number, kind, flags, zero = unpack(view, offset)
        begin = offset + _HEAD_SIZE
        end = begin + size
        if size > MAX_PAYLOAD or end > last + _HEAD_SIZE or crc32(view[offset + _BODY_AT : end]) != check:
            break
        if size < _LARGE:
            wanted = digest(key, tag + view[offset + _BODY_AT : end], "sha256")[:_TAG_SIZE]
        else:
            wanted = _tag_of_large(key, tag, view[offset + _BODY_AT : end])
        before, tag = tag, bytes(view[end : end + _TAG_SIZE])
        if not same(wanted, tag):
            if _is_half_written(view, end, wanted):
                tag = before
                break
            raise CheckpointTamperedError(
                f"record {seq} at byte {offset} is whole, but its signature is wrong: the file was changed, its "
                "records were moved, or it was written with another key; nothing of it was used"
            )
        if number != seq:
            raise CheckpointCorruptError(f"record {seq} at byte {offset} has the number {number}")
        if flags or zero:
            raise CheckpointVersionError(
                f"record {seq} at byte {offset} is marked in a way that this version does not know; "
                "use the version of graflow_async that wrote it, or a newer one"
            )
        offset = end + _TAG_SIZE
        add(Frame(seq, kind, bytes(view[begin:end]), offset))
        seq += 1
    torn = len(view) - offset
    if torn:
        _refuse_hole(view, offset, seq)
    return Scan(frames, offset, torn, tag, seq)


def _first_tag(key: bytes, start: bytes) -> bytes:
    if len(key) < _LEAST_KEY:
        raise ConfigError(f"the key of a file has {len(key)} bytes; it needs at least {_LEAST_KEY}")
    return hmac.digest(key, start, "sha256")[:_TAG_SIZE]


def _keyed(key: bytes) -> tuple[Any, Any]:
    """Give the two hashes of an HMAC after they have taken the key: copying them costs a third of `hmac.digest`."""
    block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


def _tag_of_large(key: bytes, before: bytes, body: memoryview) -> bytes:
    mac = hmac.new(key, before, "sha256")
    mac.update(body)
    return mac.digest()[:_TAG_SIZE]


def _is_half_written(view: memoryview, at: int, tag: bytes) -> bool:
    """Say whether the file ends in zeros from somewhere inside this tag on: an empty page that a power cut left."""
    written = bytes(view[at : at + _TAG_SIZE]).rstrip(b"\0")
    return tag.startswith(written) and not bytes(view[at + len(written) :]).strip(b"\0")


def _refuse_hole(view: memoryview, bad: int, seq: int) -> None:
    """Raise if there is a whole record behind the bad one at `bad`: a crash tears the end of a file and nothing else.

    A record that could be there has a number between `seq` and what fits into the rest. Their common upper bytes and
    the zeros behind the kind are a pattern that the regular expression engine finds much faster than a loop here.
    """
    highest = seq + (len(view) - bad) // _LEAST_FRAME
    low, high = seq.to_bytes(8, "little"), highest.to_bytes(8, "little")
    common = 8
    while common and low[8 - common :] != high[8 - common :]:
        common -= 1
    # Twelve zeros in a row are an empty page and not the beginning of a record.
    pattern = rb"(?=(?!\x00{12}).{%d}%s.\x00{3})" % (16 - common, re.escape(low[8 - common :]))
    budget = _PATIENCE * (len(view) - bad)
    for match in re.compile(pattern, re.DOTALL).finditer(view, bad + 1):
        offset = match.start()
        if offset + _LEAST_FRAME > len(view):
            return
        size, check, number, *_ = _HEAD.unpack_from(view, offset)
        end = offset + _HEAD_SIZE + size
        if not seq <= number <= highest or end + _TAG_SIZE > len(view):
            continue
        budget -= size
        if budget < 0:
            raise CheckpointCorruptError(
                f"record {seq} at byte {bad} is damaged, and the bytes behind it are not what a crash leaves"
            )
        if crc32(view[offset + _BODY_AT : end]) == check:
            raise CheckpointCorruptError(
                f"record {seq} at byte {bad} is damaged, but record {number} at byte {offset} is whole: "
                "the file was damaged in the middle, and what is behind cannot be trusted"
            )
