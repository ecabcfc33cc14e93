"""What `run`, `start` and `execute` take, checked once before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ._lazy import lazily
from .errors import ConfigError
from .policy import Rate, require_count, require_number
from .protocols import Executor

if TYPE_CHECKING:
    from .keywords import RunOptions

_keywords = lazily("graflow_async.keywords")

DEFAULT_DIRECTORY = "./checkpoints"  # where runs are recorded if nothing else is said
BACKENDS = (None, "memory", "local", "redis")
DURABILITIES = ("process", "fsync", "async", "exit")
_URLS = ("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://")
RESERVED_LIMITS = frozenset({"threads", "run"})
EVERYWHERE: list[Any] = []
"""Listeners of every run of this process."""
CHILD_OPTIONS = ("inputs", "start_node", "timeout")


def listeners_of(options: RunOptions) -> list[Any]:
    """List who listens to a run: its own listeners, and those of every run of whose class it has none."""
    own = options.get("listeners") or ()
    if not EVERYWHERE:
        return list(own)
    kinds: set[type] = {type(listener) for listener in own}
    return [*own, *(listener for listener in EVERYWHERE if type(listener) not in kinds)]


def check_options(options: RunOptions) -> None:
    """Refuse options that make no sense.

    Raises:
        ConfigError: an unknown name, or a value that makes no sense.
    """
    if not options:
        return
    for name in options:
        if name not in _keywords.RunOptions.__annotations__:
            message = f"a run has no option {name!r}; options: {', '.join(_keywords.RunOptions.__annotations__)}"
            raise ConfigError(message)
    for name in ("max_steps", "max_concurrency", "max_threads"):
        value: Any = options.get(name)
        if value is not None:
            require_count(name, value, least=1)
    _check_timeout(options.get("timeout"))
    pause_after = options.get("pause_after")
    if pause_after is not None:
        require_number("pause_after", pause_after, exclusive=True)
        if options.get("checkpointer") is None and options.get("checkpoint_dir") is None:
            raise ConfigError("pause_after= needs a journal to go on from: run with checkpoint_dir='./checkpoints'")
    for name in ("queue_backend", "channel_backend"):
        backend: Any = options.get(name)
        if backend not in BACKENDS:
            raise ConfigError(f"{name} is 'memory' or 'redis', not {backend!r}")
    check_queue_name(options.get("queue_name"))
    if options.get("channel_backend") == "redis" and options.get("store") is not None:
        raise ConfigError("channel_backend= says which store to make, and store= gives one: choose")
    _check_timeout(options.get("worker_timeout"))
    block_warning: Any = options.get("block_warning")
    if block_warning is not None:
        require_number("block_warning", block_warning, exclusive=True)
    require_number("cancel_grace", options.get("cancel_grace", 10.0))
    for name, limit in (options.get("limits") or {}).items():
        _check_limit(name, limit)
    _check_inputs(options.get("inputs"))
    durability = options.get("durability", "process")
    if durability not in DURABILITIES:
        message = f"durability is one of {', '.join(map(repr, DURABILITIES))}, not {durability!r}"
        raise ConfigError(message)
    if not isinstance(options.get("progress", False), bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
        raise ConfigError(f"progress is True or False, not {options.get('progress')!r}")
    run_id: Any = options.get("run_id")
    if run_id is not None and (not isinstance(run_id, str) or not run_id or not run_id.isprintable()):
        message = f"run_id is a printable, non-empty text, not {run_id!r}"
        raise ConfigError(message)


def check_queue_name(name: Any) -> None:
    """Refuse what cannot name a queue; None is the usual one.

    Raises:
        ConfigError: it is no text, or cannot be printed.
    """
    if name is not None and (not isinstance(name, str) or not name or not name.isprintable()):
        message = f"queue_name is a printable, non-empty text, not {name!r}"
        raise ConfigError(message)


def check_child_options(inputs: Any, timeout: Any, others: Mapping[str, Any]) -> None:
    """Refuse options of a child run that make no sense: what belongs to the whole run cannot change inside it.

    Raises:
        ConfigError: an option of the whole run, an unknown name, or a value that makes no sense.
    """
    for name in others:
        known = f"a child run takes {', '.join(CHILD_OPTIONS)}"
        if name in _keywords.RunOptions.__annotations__:
            message = f"{name} belongs to the whole run, of which a child run is a part: give it to that run; {known}"
        else:
            message = f"a child run has no option {name!r}; {known}"
        raise ConfigError(message)
    _check_timeout(timeout)
    _check_inputs(inputs)


def executors_of(given: Any) -> tuple[dict[str, Executor], str | None]:
    """Read the `executor` option: an executor, a mapping name -> executor, or the name of a known one.

    Returns:
        The executors by name, and the name of the one that tasks use which do not ask for any.

    Raises:
        ConfigError: something else.
    """
    if given is None:
        return {}, None
    if isinstance(given, str):
        return {}, given
    if isinstance(given, dict):
        mapping = cast("dict[str, Any]", given)
        for name, executor in mapping.items():
            _check_executor(name, executor)
        return dict(mapping), None
    _check_executor("executor", given)
    return {given.name: given}, given.name


def _check_executor(name: str, executor: Any) -> None:
    """Refuse what does not execute."""
    if not isinstance(executor, Executor):
        message = f"executor {name!r} needs name, execute(job) and aclose(); {executor!r} has not"
        raise ConfigError(message)


def _check_timeout(timeout: Any) -> None:
    """Refuse a timeout that makes no sense."""
    if timeout is not None:
        require_number("timeout", timeout, exclusive=True)


def _check_inputs(inputs: Any) -> None:
    """Refuse inputs that are no parameters by name."""
    keys = inputs
    if inputs is not None and not (isinstance(inputs, Mapping) and all(isinstance(key, str) for key in keys)):
        message = f"inputs is a mapping of parameter names to values, not {inputs!r}"
        raise ConfigError(message)


def _check_limit(name: Any, limit: Any) -> None:
    """Refuse a limit that makes no sense."""
    if not isinstance(name, str) or name in RESERVED_LIMITS:
        message = f"a limit's name is a text other than {sorted(RESERVED_LIMITS)}, not {name!r}"
        raise ConfigError(message)
    if not isinstance(limit, Rate):
        require_count(f"limits[{name!r}]", limit, least=1)


def is_url(place: Any) -> bool:
    """Say whether a place where runs are recorded is a Redis, told by its URL, and no directory."""
    return isinstance(place, str) and place.startswith(_URLS)
