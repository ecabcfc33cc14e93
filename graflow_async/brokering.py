"""Which broker a run asks through: the one that was given, else what suits where the run is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._lazy import lazily
from .broker import Broker
from .brokers.memory import shared
from .errors import ConfigError
from .options import DEFAULT_DIRECTORY

if TYPE_CHECKING:
    from os import PathLike

_file = lazily("graflow_async.brokers.file")
_redis = lazily("graflow_async.brokers.redis")
BACKENDS = ("memory", "file", "redis")
FEEDBACK_FOLDER = ".feedback"  # in a checkpoint directory; no run has such a name


def broker_of(
    backend: Any,
    directory: str | PathLike[str] | None = None,
    checkpoint_dir: str | PathLike[str] | None = None,
    redis_url: str | None = None,
) -> Broker | None:
    """Make the broker that some arguments ask for; None for what suits the place.

    Raises:
        ConfigError: they make no sense.
    """
    if redis_url is not None or backend == "redis":
        if backend not in (None, "redis") or directory is not None or checkpoint_dir is not None:
            raise ConfigError("redis_url= goes with backend 'redis', and neither of them with a directory")
        return _redis.RedisBroker(redis_url)
    if backend is None and (directory is not None or checkpoint_dir is not None):
        backend = "file"
    if backend is None:
        return None
    if isinstance(backend, Broker):
        return backend
    if backend == "memory":
        return shared()
    if backend == "file":
        return _file.FileBroker(directory or Path(checkpoint_dir or DEFAULT_DIRECTORY) / FEEDBACK_FOLDER)
    known = ", ".join(map(repr, BACKENDS))
    raise ConfigError(f"a backend for feedback is one of {known}, or a broker; not {backend!r}")


def broker_for(feedback: Any, home: Path | None, redis_url: str | None = None) -> tuple[Broker, list[Any], bool]:
    """Give the broker of a run, its handlers, and whether the broker was made here.

    Args:
        feedback: the run's option: a FeedbackManager, a broker, the name of a backend, or None.
        home: directory where the run is recorded; None if it keeps no files.
        redis_url: of the Redis that the run uses; None for that of the environment, or the one on this machine.

    Raises:
        ConfigError: the option makes no sense.
    """
    handlers: Any = getattr(feedback, "handlers", None)
    if isinstance(handlers, list):
        broker, _, is_own = broker_for(feedback.own_broker, home, redis_url)
        return broker, handlers, is_own  # pyright: ignore[reportUnknownVariableType]  # whatever the user gave
    if feedback == "redis":
        return _redis.RedisBroker(redis_url), [], True
    given = broker_of(feedback) if feedback != "file" else None
    if given is not None:
        return given, [], False
    if home is None and feedback is None:
        return shared(), [], False
    return _file.FileBroker((home or Path(DEFAULT_DIRECTORY)) / FEEDBACK_FOLDER), [], True
