"""graflow_async: an asyncio-native workflow runtime.

Define tasks with `@task`, draw them with `>>` and `|`, run them with `await wf.run()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lazy import lazily as _lazily
from ._version import __version__
from .compose import Chain, Expression, Group, ParallelGroup, chain, flatten, parallel
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
    PromptCompilationError,
    PromptConfigurationError,
    PromptError,
    PromptNotFoundError,
    PromptTypeError,
    PromptVersionNotFoundError,
    RemoteTaskError,
    RunLockedError,
    SecurityError,
    StoreError,
    StoreUnavailableError,
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
    from ._runtime.loop_watch import LoopBlockedWarning
    from .broker import Broker
    from .brokers.file import FileBroker
    from .brokers.memory import MemoryBroker
    from .brokers.redis import RedisBroker
    from .channel import Channel, TypedChannel
    from .channel.blocking import SyncChannel, SyncTypedChannel
    from .checkpointer import Checkpointer
    from .checkpoints.file import FileCheckpointer
    from .checkpoints.memory import MemoryCheckpointer
    from .checkpoints.redis import RedisCheckpointer
    from .context import ChildHandle, TaskExecutionContext, current_context
    from .context.blocking import SyncHandle, SyncTaskExecutionContext
    from .coordinator import RedisCoordinator
    from .distribution import ExecutionContext, QueueBackend, create_execution_context
    from .events import (
        Emitted,
        Event,
        EventsLost,
        FeedbackRequested,
        FeedbackSettled,
        GroupFinished,
        LoopBlocked,
        NoWorkers,
        Progress,
        RunFinished,
        RunStarted,
        TaskCancelled,
        TaskCompleted,
        TaskDetail,
        TaskDropped,
        TaskEvent,
        TaskFailed,
        TaskIterated,
        TaskQueued,
        TaskResumed,
        TaskRetrying,
        TaskSkipped,
        TaskStarted,
        TaskWaiting,
        WorkersBack,
    )
    from .factories import ChannelFactory, SharedChannel, TaskQueue, TaskQueueFactory
    from .feedback import FeedbackRecord, FeedbackRequest, FeedbackResponse, FeedbackState, FeedbackType
    from .feedback_errors import (
        AlreadyAnsweredError,
        DuplicateRequestError,
        FeedbackCancelledError,
        FeedbackError,
        FeedbackTimeoutError,
        InvalidAnswerError,
        StaleQuestionError,
        UnknownRequestError,
        WorkflowPausedError,
    )
    from .feedback_manager import FeedbackManager
    from .handlers import FeedbackHandler, SlackFeedbackHandler, WebhookFeedbackHandler
    from .manager import CheckpointManager, RecordedRun
    from .prompts.yaml_manager import YAMLPromptManager
    from .recovery import Frame, Plan, replay
    from .stores.file import FileStore
    from .stores.redis import RedisStore
    from .story import Span, Wait

# Loaded when they are first asked for: dataclasses are slow to make, and most programs keep no journal.
_events = _lazily("graflow_async.events")
_story = _lazily("graflow_async.story")
_loop_watch = _lazily("graflow_async._runtime.loop_watch")
_channel = _lazily("graflow_async.channel")
_context = _lazily("graflow_async.context")
_sync_channel = _lazily("graflow_async.channel.blocking")
_sync_context = _lazily("graflow_async.context.blocking")
_port = _lazily("graflow_async.checkpointer")
_files = _lazily("graflow_async.checkpoints.file")
_in_memory = _lazily("graflow_async.checkpoints.memory")
_redis_checkpoints = _lazily("graflow_async.checkpoints.redis")
_manager = _lazily("graflow_async.manager")
_prompts = _lazily("graflow_async.prompts.yaml_manager")
_feedback = _lazily("graflow_async.feedback")
_feedback_errors = _lazily("graflow_async.feedback_errors")
_feedback_manager = _lazily("graflow_async.feedback_manager")
_handlers = _lazily("graflow_async.handlers")
_broker = _lazily("graflow_async.broker")
_file_broker = _lazily("graflow_async.brokers.file")
_memory_broker = _lazily("graflow_async.brokers.memory")
_redis_broker = _lazily("graflow_async.brokers.redis")
_coordinator = _lazily("graflow_async.coordinator")
_distribution = _lazily("graflow_async.distribution")
_factories = _lazily("graflow_async.factories")
_recovery = _lazily("graflow_async.recovery")
_redis_store = _lazily("graflow_async.stores.redis")
_store = _lazily("graflow_async.stores.file")
_LATE = {
    **dict.fromkeys(("CheckpointManager", "RecordedRun"), _manager),
    **dict.fromkeys(("Frame", "Plan", "replay"), _recovery),
    **dict.fromkeys(("Channel", "TypedChannel"), _channel),
    **dict.fromkeys(("ChildHandle", "TaskExecutionContext", "current_context"), _context),
    **dict.fromkeys(("SyncChannel", "SyncTypedChannel"), _sync_channel),
    **dict.fromkeys(("SyncHandle", "SyncTaskExecutionContext"), _sync_context),
    **dict.fromkeys(
        ("FeedbackRecord", "FeedbackRequest", "FeedbackResponse", "FeedbackState", "FeedbackType"), _feedback
    ),
    **dict.fromkeys(
        (
            "AlreadyAnsweredError",
            "DuplicateRequestError",
            "FeedbackCancelledError",
            "FeedbackError",
            "FeedbackTimeoutError",
            "InvalidAnswerError",
            "StaleQuestionError",
            "UnknownRequestError",
            "WorkflowPausedError",
        ),
        _feedback_errors,
    ),
    **dict.fromkeys(("ExecutionContext", "QueueBackend", "create_execution_context"), _distribution),
    **dict.fromkeys(("RedisCoordinator",), _coordinator),
    **dict.fromkeys(("ChannelFactory", "SharedChannel", "TaskQueue", "TaskQueueFactory"), _factories),
    **dict.fromkeys(("FeedbackManager",), _feedback_manager),
    **dict.fromkeys(("FeedbackHandler", "SlackFeedbackHandler", "WebhookFeedbackHandler"), _handlers),
    **dict.fromkeys(("Broker",), _broker),
    **dict.fromkeys(("FileBroker",), _file_broker),
    **dict.fromkeys(("MemoryBroker",), _memory_broker),
    **dict.fromkeys(("RedisBroker",), _redis_broker),
    "Checkpointer": _port,
    "FileCheckpointer": _files,
    "FileStore": _store,
    "MemoryCheckpointer": _in_memory,
    "RedisCheckpointer": _redis_checkpoints,
    "RedisStore": _redis_store,
    "YAMLPromptManager": _prompts,
    **dict.fromkeys(
        (
            *("Emitted", "Event", "EventsLost", "GroupFinished", "Progress", "RunFinished", "RunStarted"),
            *("FeedbackRequested", "FeedbackSettled"),
            *("TaskCancelled", "TaskCompleted", "TaskEvent", "TaskFailed", "TaskIterated", "TaskRetrying"),
            *("TaskSkipped", "TaskStarted"),
            *("NoWorkers", "WorkersBack"),
            *("LoopBlocked", "TaskDetail", "TaskDropped", "TaskQueued", "TaskResumed", "TaskWaiting"),
        ),
        _events,
    ),
    **dict.fromkeys(("Span", "Wait"), _story),
    "LoopBlockedWarning": _loop_watch,
}


def __getattr__(name: str) -> Any:
    """Give what is loaded when it is first asked for."""
    if name in _LATE:
        return getattr(_LATE[name], name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "AlreadyAnsweredError",
    "BindingError",
    "Broker",
    "Cache",
    "Chain",
    "Change",
    "Channel",
    "ChannelFactory",
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
    "DuplicateRequestError",
    "DuplicateTaskError",
    "Emitted",
    "Event",
    "EventsLost",
    "ExecutionContext",
    "Executor",
    "Expression",
    "FeedbackCancelledError",
    "FeedbackError",
    "FeedbackHandler",
    "FeedbackManager",
    "FeedbackRecord",
    "FeedbackRequest",
    "FeedbackRequested",
    "FeedbackResponse",
    "FeedbackSettled",
    "FeedbackState",
    "FeedbackTimeoutError",
    "FeedbackType",
    "FileBroker",
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
    "InvalidAnswerError",
    "InvalidTransitionError",
    "Job",
    "KeyValueStore",
    "LockTimeoutError",
    "LoopBlocked",
    "LoopBlockedWarning",
    "Mapped",
    "MaxStepsExceededError",
    "MemberResult",
    "MemoryBroker",
    "MemoryCheckpointer",
    "MemoryStore",
    "NoWorkers",
    "NotSerializableError",
    "ParallelGroup",
    "ParallelGroupError",
    "Plan",
    "ProcessDiedError",
    "Progress",
    "PromptCompilationError",
    "PromptConfigurationError",
    "PromptError",
    "PromptNotFoundError",
    "PromptTypeError",
    "PromptVersionNotFoundError",
    "QueueBackend",
    "Rate",
    "RecordedRun",
    "RedisBroker",
    "RedisCheckpointer",
    "RedisCoordinator",
    "RedisStore",
    "RemoteTaskError",
    "RetryPolicy",
    "Run",
    "RunFinished",
    "RunLockedError",
    "RunStarted",
    "SecurityError",
    "SharedChannel",
    "SlackFeedbackHandler",
    "Span",
    "StaleQuestionError",
    "StoreError",
    "StoreUnavailableError",
    "SyncChannel",
    "SyncHandle",
    "SyncTaskExecutionContext",
    "SyncTypedChannel",
    "Task",
    "TaskCancelled",
    "TaskCompleted",
    "TaskDetail",
    "TaskDropped",
    "TaskEvent",
    "TaskExecutionContext",
    "TaskFailed",
    "TaskInterruptedError",
    "TaskIterated",
    "TaskQueue",
    "TaskQueueFactory",
    "TaskQueued",
    "TaskResumed",
    "TaskRetrying",
    "TaskSkipped",
    "TaskStarted",
    "TaskTimeoutError",
    "TaskWaiting",
    "TaskWrapper",
    "TypedChannel",
    "UnknownRequestError",
    "UnknownRunError",
    "UnsignedPayloadError",
    "Wait",
    "WebhookFeedbackHandler",
    "WorkersBack",
    "Workflow",
    "WorkflowPausedError",
    "YAMLPromptManager",
    "__version__",
    "at_least",
    "chain",
    "create_execution_context",
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
