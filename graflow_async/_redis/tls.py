"""What connections over TLS share: making its context reads all authorities of the machine, which holds the loop up."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

_REMEMBERED = 64  # contexts
_FILES = ("keyfile", "certfile", "ca_certs", "ca_path")
_contexts: dict[tuple[Any, ...], Any] = {}


@cache
def sharing(kind: type[Any]) -> type[Any]:
    """Give a kind of TLS connections as one whose connections share their context with those made alike."""

    def begin(self: Any, **options: Any) -> None:
        kind.__init__(self, **options)
        self.ssl_context = _shared(self.ssl_context)

    return type(f"Sharing{kind.__name__}", (kind,), {"__init__": begin})


def _shared(context: Any) -> Any:
    """Give the first one that was made with the same settings, from files that have not changed since."""
    names: tuple[str, ...] = context.__slots__
    settings = [str(getattr(context, name, None)) for name in names if name != "context"]
    key = (*settings, *(_stamp(getattr(context, name, None)) for name in _FILES))
    if len(_contexts) >= _REMEMBERED:
        _contexts.clear()
    return _contexts.setdefault(key, context)


def _stamp(path: str | None) -> int:
    """Give what changes with a file."""
    try:
        return 0 if path is None else Path(path).stat().st_mtime_ns
    except OSError:
        return 0
