"""The keyword arguments of tasks and of runs: names and types. What makes sense is checked by those who take them.

A TypedDict is slow to make, and only who gives options has them looked up here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from .policy import Cache, Rate, RetryPolicy
from .protocols import Clock
from .store import KeyValueStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike


class CommonOptions(TypedDict, total=False):
    """The options of a task that do not change how it is called."""

    executor: str
    max_retries: int
    retry_policy: RetryPolicy | None
    timeout: float | None
    max_cycles: int
    limits: Sequence[str]
    resolve_keyword_args: bool
    on_crash: str
    persist: bool
    cache: Cache | None
    tags: Sequence[str]
    description: str


class TaskOptions(CommonOptions, total=False):
    """The options of a task."""

    inject_context: bool


class RunOptions(TypedDict, total=False):
    """The keyword arguments of a run."""

    inputs: Mapping[str, Any] | None
    max_steps: int | None
    max_concurrency: int | None
    timeout: float | None
    limits: Mapping[str, int | Rate] | None
    max_threads: int
    cancel_grace: float
    executor: Any
    store: KeyValueStore | None
    checkpoint_dir: str | PathLike[str] | None
    checkpointer: Any
    durability: str
    secret_keys: Any
    feedback: Any
    pause_after: float | None
    queue_backend: str | None
    channel_backend: str | None
    queue_name: str | None
    redis_url: str | None
    worker_timeout: float | None
    run_id: str | None
    listeners: Sequence[Any]
    block_warning: float | None
    progress: bool
    clock: Clock | None
    validate: bool
