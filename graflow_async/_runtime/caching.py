"""Under which key a result is kept that is to be used again across runs: `@task(cache=Cache(...))`."""

from __future__ import annotations

from typing import Any

from ..definition import Definition
from ..errors import NotSerializableError
from ..policy import Cache

PREFIX = "graflow:cache:"


def cache_key(definition: Definition, cache: Cache, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Make the key of a call from its arguments, without the context.

    Raises:
        NotSerializableError: there is no key function and the arguments cannot be pickled.
    """
    import hashlib  # both are slow to import, and few tasks are cached
    import pickle

    parts: Any = (args, sorted(kwargs.items())) if cache.key is None else cache.key(*args, **kwargs)
    try:
        digest = hashlib.sha256(pickle.dumps(parts, protocol=5)).hexdigest()
    except Exception as error:
        message = (
            f"task {definition.id!r}: its arguments cannot be pickled to find a cached result; give Cache(key=...)"
        )
        raise NotSerializableError(message) from error
    return f"{PREFIX}{definition.id}:{digest}"
