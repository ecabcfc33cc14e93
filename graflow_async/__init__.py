"""graflow_async: an asyncio-native workflow runtime.

Define tasks with `@task`, draw them with `>>` and `|`, run them with `await wf.run()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lazy import lazily as _lazily
from ._version import __version__
from .channel import Channel, TypedChannel
from .compose import Chain, Expression, Group, ParallelGroup, chain, flatten, parallel
from .context import ChildHandle, TaskExecutionContext, current_context
from .errors import (
    BindingError,
    ChannelTypeError,
    CheckpointCorruptError,
    CheckpointError,
    CheckpointTamperedError,
    CheckpointVersionError,
    CheckpointWriteError,
    ConfigError,
    CycleLimitExceededError,
    DefinitionError,
    DuplicateTaskError,
    GraflowError,
    GraflowRuntimeError,
    GraflowWorkflowCanceledError,
    GraphChangedError,
    GraphCompilationError,
    InternalError,
    InvalidTransitionError,
    LockTimeoutError,
    MaxStepsExceededError,
    NotSerializableError,
    ParallelGroupError,
    ProcessDiedError,
    RemoteTaskError,
    RunLockedError,
    SecurityError,
    StoreError,
    TaskInterruptedError,
    TaskTimeoutError,
    UnknownRunError,
    UnsignedPayloadError,
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
    from .channel.blocking import SyncChannel, SyncTypedChannel
    from .checkpointer import Checkpointer
    from .checkpoints.file import FileCheckpointer
    from .checkpoints.memory import MemoryCheckpointer
    from .context.blocking import SyncHandle, SyncTaskExecutionContext
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
    from .manager import CheckpointManager, RecordedRun
    from .recovery import Frame, Plan, replay
    from .stores.file import FileStore

# Loaded when they are first asked for: dataclasses are slow to make, and most programs keep no journal.
_events = _lazily("graflow_async.events")
_sync_channel = _lazily("graflow_async.channel.blocking")
_sync_context = _lazily("graflow_async.context.blocking")
_port = _lazily("graflow_async.checkpointer")
_files = _lazily("graflow_async.checkpoints.file")
_in_memory = _lazily("graflow_async.checkpoints.memory")
_manager = _lazily("graflow_async.manager")
_recovery = _lazily("graflow_async.recovery")
_store = _lazily("graflow_async.stores.file")
_LATE = {
    **dict.fromkeys(("CheckpointManager", "RecordedRun"), _manager),
    **dict.fromkeys(("Frame", "Plan", "replay"), _recovery),
    **dict.fromkeys(("SyncChannel", "SyncTypedChannel"), _sync_channel),
    **dict.fromkeys(("SyncHandle", "SyncTaskExecutionContext"), _sync_context),
    "Checkpointer": _port,
    "FileCheckpointer": _files,
    "FileStore": _store,
    "MemoryCheckpointer": _in_memory,
    **dict.fromkeys(
        (
            *("Emitted", "Event", "EventsLost", "GroupFinished", "Progress", "RunFinished", "RunStarted"),
            *("TaskCancelled", "TaskCompleted", "TaskEvent", "TaskFailed", "TaskIterated", "TaskRetrying"),
            *("TaskSkipped", "TaskStarted"),
        ),
        _events,
    ),
}


def __getattr__(name: str) -> Any:
    """Give what is loaded when it is first asked for."""
    if name in _LATE:
        return getattr(_LATE[name], name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "BindingError",
    "Cache",
    "Chain",
    "Change",
    "Channel",
    "ChannelTypeError",
    "CheckpointCorruptError",
    "CheckpointError",
    "CheckpointManager",
    "CheckpointTamperedError",
    "CheckpointVersionError",
    "CheckpointWriteError",
    "Checkpointer",
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
    "FileCheckpointer",
    "FileStore",
    "Frame",
    "GraflowError",
    "GraflowRuntimeError",
    "GraflowWorkflowCanceledError",
    "Graph",
    "GraphChangedError",
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
    "MemoryCheckpointer",
    "MemoryStore",
    "NotSerializableError",
    "ParallelGroup",
    "ParallelGroupError",
    "Plan",
    "ProcessDiedError",
    "Progress",
    "Rate",
    "RecordedRun",
    "RemoteTaskError",
    "RetryPolicy",
    "Run",
    "RunFinished",
    "RunLockedError",
    "RunStarted",
    "SecurityError",
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
    "TaskInterruptedError",
    "TaskIterated",
    "TaskRetrying",
    "TaskSkipped",
    "TaskStarted",
    "TaskTimeoutError",
    "TaskWrapper",
    "TypedChannel",
    "UnknownRunError",
    "UnsignedPayloadError",
    "Workflow",
    "__version__",
    "at_least",
    "chain",
    "critical",
    "current_context",
    "flatten",
    "flow",
    "parallel",
    "replay",
    "task",
    "unmapped",
    "workflow",
]
