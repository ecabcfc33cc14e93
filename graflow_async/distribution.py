"""Saying that tasks travel, for all runs of a workflow: an execution context."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from .errors import ConfigError
from .keywords import RunOptions
from .options import check_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack


class QueueBackend(StrEnum):
    """Where the tasks of a run wait for whoever runs them; the plain texts do as well."""

    MEMORY = "memory"
    REDIS = "redis"


class ExecutionContext:
    """Options for all runs of the workflows that it is given to; those that a run is given itself count before them."""

    def __init__(self, **options: Unpack[RunOptions]) -> None:
        """Keep options.

        Raises:
            ConfigError: an option makes no sense, or belongs to one run alone.
        """
        for name in ("run_id", "inputs"):
            if name in options:
                raise ConfigError(f"{name}= belongs to one run: give it to wf.run()")
        check_options(options)
        self._options = options

    @property
    def options(self) -> Mapping[str, Any]:
        """The options as they were given."""
        return cast("Mapping[str, Any]", self._options)

    def completed(self, options: RunOptions) -> RunOptions:
        """Give the options of a run with those of this context where it has none of its own."""
        merged: Any = {**self._options, **options}
        # These two say the same thing in two ways: whoever says one of them does not mean the other.
        for given, other in (("store", "channel_backend"), ("channel_backend", "store")):
            if options.get(given) is not None and other not in options:
                merged.pop(other, None)
        return merged

    def __repr__(self) -> str:
        """Show which options it has; an address may hold a password."""
        return f"<ExecutionContext: {', '.join(self._options) or 'no options'}>"


def create_execution_context(
    queue_backend: str | None = None,
    channel_backend: str | None = None,
    queue_name: str | None = None,
    redis_url: str | None = None,
    **options: Any,
) -> ExecutionContext:
    """Make an execution context for `workflow("x", execution_context=context)`.

    Args:
        queue_backend: where tasks wait: QueueBackend.MEMORY (they run here) or QueueBackend.REDIS (workers run them).
        channel_backend: where channels are: "memory" or "redis".
        queue_name: the queue; workers are started with `--queue` of the same name.
        redis_url: of the Redis; None for GRAFLOW_REDIS_URL, or the one on this machine.
        options: more options of `wf.run`.

    Raises:
        ConfigError: an option makes no sense, or belongs to one run alone.
    """
    named = {
        "queue_backend": queue_backend,
        "channel_backend": channel_backend,
        "queue_name": queue_name,
        "redis_url": redis_url,
    }
    return ExecutionContext(**{name: value for name, value in named.items() if value is not None}, **options)


def require_execution_context(given: Any) -> ExecutionContext:
    """Refuse what is no execution context.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(given, ExecutionContext):
        raise ConfigError(f"execution_context= is what create_execution_context() gives, not {given!r}")
    return given
