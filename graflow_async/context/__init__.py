"""What a task sees of its run. `plain` has the verbs that only take note, the other two the ones that wait."""

from __future__ import annotations

from .._runtime.calls import ChildHandle
from .blocking import FlowContext, SyncHandle, SyncTaskExecutionContext
from .coroutine import TaskExecutionContext, current_context

__all__ = [
    "ChildHandle",
    "FlowContext",
    "SyncHandle",
    "SyncTaskExecutionContext",
    "TaskExecutionContext",
    "current_context",
]
