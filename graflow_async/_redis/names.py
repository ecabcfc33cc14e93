"""Names of keys. Everything of a run stands under one prefix, with a tag that keeps it on one node of a cluster."""

from __future__ import annotations

import hashlib
import re

PREFIX = "graflow"
KEEP_FOR = 7 * 24 * 3600  # seconds after its last sign of life that something of a run stays
_PLAIN = re.compile(r"[A-Za-z0-9_.\-]{1,120}")


def safe(text: str) -> str:
    """Give a text as part of a key: itself if it is plain, else a hash of it; different texts give different parts."""
    if _PLAIN.fullmatch(text) is not None:
        return text
    return "~" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def tagged(tag: str, prefix: str = PREFIX) -> str:
    """Give what every key with a tag begins with; `safe` makes the tag of a run from its id."""
    return f"{prefix}:{{{tag}}}:"


def run_prefix(run_id: str, prefix: str = PREFIX) -> str:
    """Give what every key of a run begins with."""
    return tagged(safe(run_id), prefix)


def queue_prefix(queue: str, prefix: str = PREFIX) -> str:
    """Give what every key of a queue of jobs begins with."""
    return f"{prefix}:{{q~{safe(queue)}}}:"
