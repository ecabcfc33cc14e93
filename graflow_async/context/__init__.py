"""What a task sees of its run. `plain` has the verbs that only take note, the other two the ones that wait.

The context of sync tasks is loaded when the first sync task runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._lazy import lazily
from .._runtime.calls import ChildHandle
from .coroutine import TaskExecutionContext, current_context

if TYPE_CHECKING:
    from .blocking import FlowContext, SyncHandle, SyncTaskExecutionContext

_blocking = lazily("graflow_async.context.blocking")

__all__ = [
    "ChildHandle",
    "FlowContext",
    "SyncHandle",
    "SyncTaskExecutionContext",
    "TaskExecutionContext",
    "current_context",
]


def __getattr__(name: str) -> Any:
    """Give what is loaded when it is first asked for."""
    if name in __all__:
        return getattr(_blocking, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
