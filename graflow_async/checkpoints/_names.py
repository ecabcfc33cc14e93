"""File names from ids and names that users chose: any text in, one harmless path component out."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import quote

from ..errors import CheckpointError

# File systems take 255 bytes; the rest is for suffixes.
_LONGEST = 120
_KEPT = 60


def encode(text: str) -> str:
    """Give a file name for `text`: different for different texts, readable where that is safe.

    Raises:
        CheckpointError: the text is empty.
    """
    if not text:
        raise CheckpointError("a run id or the name of a checkpoint must not be empty")
    raw = text.encode("utf-8", "surrogatepass")
    name = quote(raw, safe="")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) <= _LONGEST:
        return name
    # No quoted text has "%~" in it, so a shortened name is never the name of another text.
    return f"{name[:_KEPT]}%~{sha256(raw).hexdigest()[:40]}"
