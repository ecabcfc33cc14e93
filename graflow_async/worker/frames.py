"""What a worker and the child in which it runs a single task say to each other: pickled tuples with their lengths."""

from __future__ import annotations

import asyncio
import pickle
import struct
from typing import Any

_LENGTH = struct.Struct(">Q")


def frame(*parts: Any) -> bytes:
    """Make a frame."""
    body = pickle.dumps(parts, 5)
    return _LENGTH.pack(len(body)) + body


async def next_frame(reader: asyncio.StreamReader) -> tuple[Any, ...] | None:
    """Wait for a frame; None when the other side is gone. Only between a process and its own child."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))  # type: ignore[no-any-return]
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
