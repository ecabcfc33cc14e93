"""graflow_async: an asyncio-native workflow runtime.

Define tasks with `@task`, draw them with `>>` and `|`, run them with `await wf.run()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lazy import lazily as _lazily
from ._version import __version__
from .channel import Channel, SyncChannel, SyncTypedChannel, TypedChannel
from .compose import Chain, Expression, Group, ParallelGroup, chain, flatten, parallel
from .context import ChildHandle, SyncHandle, SyncTaskExecutionContext, TaskExecutionContext, current_context
from .errors import (
    BindingError,
    ChannelTypeError,
    ConfigError,
    CycleLimitExceededError,
    DefinitionError,
    DuplicateTaskError,
    GraflowError,
    GraflowRuntimeError,
    GraflowWorkflowCanceledError,
    GraphCompilationError,
    InternalError,
    InvalidTransitionError,
    LockTimeoutError,
    MaxStepsExceededError,
    NotSerializableError,
    ParallelGroupError,
    ProcessDiedError,
    StoreError,
    TaskTimeoutError,
)
from .flow import flow
from .graph import Graph
from .policy import Cache, MemberResult, Rate, RetryPolicy, at_least, critical
from .protocols import Clock, Executor, Job
from .run import Run
from .store import Change, KeyValueStore
from .stores.memory import MemoryStore
from .task import Mapped, Task, TaskWrapper, unmapped
from .task_decorator import task
from .workflow import Workflow, workflow

if TYPE_CHECKING:
    from .events import (
        Emitted,
        Event,
        EventsLost,
        GroupFinished,
        Progress,
        RunFinished,
        RunStarted,
        TaskCancelled,
        TaskCompleted,
        TaskEvent,
        TaskFailed,
        TaskIterated,
        TaskRetrying,
        TaskSkipped,
        TaskStarted,
    )

_events = _lazily("graflow_async.events")  # dataclasses are slow to make, and most programs listen to nothing
_EVENTS = frozenset(
    {
        "Emitted",
        "Event",
        "EventsLost",
        "GroupFinished",
        "Progress",
        "RunFinished",
        "RunStarted",
        "TaskCancelled",
        "TaskCompleted",
        "TaskEvent",
        "TaskFailed",
        "TaskIterated",
        "TaskRetrying",
        "TaskSkipped",
        "TaskStarted",
    }
)


def __getattr__(name: str) -> Any:
    """Give the events, loaded when they are first asked for."""
    if name in _EVENTS:
        return getattr(_events, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "BindingError",
    "Cache",
    "Chain",
    "Change",
    "Channel",
    "ChannelTypeError",
    "ChildHandle",
    "Clock",
    "ConfigError",
    "CycleLimitExceededError",
    "DefinitionError",
    "DuplicateTaskError",
    "Emitted",
    "Event",
    "EventsLost",
    "Executor",
    "Expression",
    "GraflowError",
    "GraflowRuntimeError",
    "GraflowWorkflowCanceledError",
    "Graph",
    "GraphCompilationError",
    "Group",
    "GroupFinished",
    "InternalError",
    "InvalidTransitionError",
    "Job",
    "KeyValueStore",
    "LockTimeoutError",
    "Mapped",
    "MaxStepsExceededError",
    "MemberResult",
    "MemoryStore",
    "NotSerializableError",
    "ParallelGroup",
    "ParallelGroupError",
    "ProcessDiedError",
    "Progress",
    "Rate",
    "RetryPolicy",
    "Run",
    "RunFinished",
    "RunStarted",
    "StoreError",
    "SyncChannel",
    "SyncHandle",
    "SyncTaskExecutionContext",
    "SyncTypedChannel",
    "Task",
    "TaskCancelled",
    "TaskCompleted",
    "TaskEvent",
    "TaskExecutionContext",
    "TaskFailed",
    "TaskIterated",
    "TaskRetrying",
    "TaskSkipped",
    "TaskStarted",
    "TaskTimeoutError",
    "TaskWrapper",
    "TypedChannel",
    "Workflow",
    "__version__",
    "at_least",
    "chain",
    "critical",
    "current_context",
    "flatten",
    "flow",
    "parallel",
    "task",
    "unmapped",
    "workflow",
]
