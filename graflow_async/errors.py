"""Every error that graflow_async raises by name; nothing else may live here.

The tree says whose move is next::

    GraflowError
    ├─ DefinitionError               your code, before the run
    │  ├─ GraphCompilationError          the graph cannot run as drawn
    │  │  └─ DuplicateTaskError          one id, two different tasks
    │  ├─ BindingError (TypeError)       a parameter got no value, or one it does not know
    │  ├─ NotSerializableError           an object cannot travel or be stored
    │  └─ ConfigError (ValueError)       an option has a value that makes no sense
    ├─ GraflowRuntimeError           the run ended without a result
    │  ├─ ParallelGroupError (ExceptionGroup)
    │  ├─ TaskTimeoutError (TimeoutError)
    │  ├─ CycleLimitExceededError
    │  ├─ MaxStepsExceededError
    │  ├─ GraflowWorkflowCanceledError
    │  ├─ TaskInterruptedError           a task that must not run twice was running when the process died
    │  ├─ RemoteTaskError                stands for an exception that could not travel itself
    │  └─ ProcessDiedError
    ├─ CheckpointError               this run cannot be continued here
    │  ├─ UnknownRunError                there is no such run or file
    │  ├─ RunLockedError                 another process has it
    │  ├─ GraphChangedError              the workflow is not the one that was recorded
    │  ├─ CheckpointCorruptError         damaged in the middle
    │  ├─ CheckpointTamperedError (SecurityError)   the signature is wrong, or made with an unknown key
    │  ├─ CheckpointVersionError         written by a newer version
    │  └─ CheckpointWriteError (OSError) the storage refused
    ├─ StoreError                    the backend
    │  ├─ StoreUnavailableError          it does not answer
    │  ├─ ChannelTypeError (TypeError)
    │  └─ LockTimeoutError (TimeoutError)
    ├─ PromptError                   a prompt cannot be had, or not be rendered
    │  ├─ PromptNotFoundError (LookupError)
    │  ├─ PromptVersionNotFoundError (LookupError)   the prompt has no such label or version
    │  ├─ PromptTypeError (TypeError)    a chat prompt where a text was asked for, or the other way round
    │  ├─ PromptCompilationError         the template is wrong, or a variable is missing
    │  └─ PromptConfigurationError (ConfigError)   the file does not have the form of a prompt file
    ├─ SecurityError                 bytes that must not be trusted
    │  └─ UnsignedPayloadError           pickled bytes without a signature, where one is needed
    └─ InternalError                 our bug, please report
       └─ InvalidTransitionError

All of them survive pickling with their attributes and notes.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _rebuild(cls: type[GraflowError], args: tuple[Any, ...], state: dict[str, Any]) -> GraflowError:
    """Make an error again from its pickled parts, without calling its constructor."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class GraflowError(Exception):
    """Base of every error of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments and attributes, so that no subclass has to."""
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class DefinitionError(GraflowError):
    """The program that was written down cannot run; change it before running."""


class GraphCompilationError(DefinitionError):
    """The graph cannot be run as it is drawn."""


class DuplicateTaskError(GraphCompilationError):
    """Two different tasks carry one id.

    Attributes:
        task_id: the id that is taken.
    """

    def __init__(self, task_id: str, first: str = "", second: str = "") -> None:
        """Say which id is taken and where both tasks were defined."""
        where = f" (first {first}, again {second})" if first or second else ""
        super().__init__(f"task id {task_id!r} is used by two different tasks{where}; give one of them another id")
        self.task_id = task_id


class BindingError(DefinitionError, TypeError):
    """A parameter of a task has no value, or an argument fits no parameter."""


class NotSerializableError(DefinitionError):
    """An object cannot be pickled, so it can neither travel nor be stored."""


class ConfigError(DefinitionError, ValueError):
    """An option has a value that makes no sense."""


class GraflowRuntimeError(GraflowError):
    """The run ended without a result."""


class ParallelGroupError(ExceptionGroup[Exception], GraflowRuntimeError):
    """A group failed by its policy.

    Attributes:
        group_id: id of the group.
        failed: mapping of member id to the member's exception.
        successful: mapping of member id to the member's value.
    """

    group_id: str
    failed: Mapping[str, BaseException]
    successful: Mapping[str, Any]

    def __new__(
        cls,
        message: str,
        exceptions: Sequence[Exception],
        group_id: str = "",
        failed: Mapping[str, BaseException] | None = None,
        successful: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make the group of exceptions; the base takes no more than these two arguments."""
        _ = group_id, failed, successful
        return super().__new__(cls, message, exceptions)

    def __init__(
        self,
        message: str,
        exceptions: Sequence[Exception],
        group_id: str = "",
        failed: Mapping[str, BaseException] | None = None,
        successful: Mapping[str, Any] | None = None,
    ) -> None:
        """Remember which member each exception belongs to."""
        super().__init__(message, exceptions)
        self.group_id = group_id
        self.failed = dict(failed or {})
        self.successful = dict(successful or {})

    def derive(  # pyright: ignore[reportIncompatibleMethodOverride]  # a group of exceptions holds nothing wider
        self, excs: Sequence[Exception]
    ) -> ParallelGroupError:
        """Make the part of this group that `split` and `except*` ask for."""
        return ParallelGroupError(self.message, excs, self.group_id, self.failed, self.successful)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle like every other error of this package."""
        return _rebuild, (type(self), (self.message, tuple(self.exceptions)), self.__dict__.copy())


class TaskTimeoutError(GraflowRuntimeError, TimeoutError):
    """A task (or a whole run) took longer than its `timeout` in seconds."""


class CycleLimitExceededError(GraflowRuntimeError):
    """A task asked for more turns than its `max_cycles`.

    Attributes:
        task_id: the task.
        cycle_count: turns it has had.
        max_cycles: turns it may have.
    """

    def __init__(self, task_id: str, cycle_count: int, max_cycles: int) -> None:
        """Say which task turned too often."""
        super().__init__(
            f"task {task_id!r} has had {cycle_count} turns and max_cycles is {max_cycles}; "
            "stop the iteration (ctx.can_iterate()) or raise max_cycles"
        )
        self.task_id = task_id
        self.cycle_count = cycle_count
        self.max_cycles = max_cycles


class MaxStepsExceededError(GraflowRuntimeError):
    """The run wanted more task turns than its `max_steps`.

    Attributes:
        max_steps: the limit.
        busiest: (task id, turns) of the tasks that turned most, the busiest first.
    """

    def __init__(self, max_steps: int, busiest: Sequence[tuple[str, int]]) -> None:
        """Name the tasks that turned most."""
        names = ", ".join(f"{name} ({count})" for name, count in busiest)
        super().__init__(
            f"the run reached max_steps={max_steps}; busiest tasks: {names}; raise max_steps or end the loop"
        )
        self.max_steps = max_steps
        self.busiest = tuple(busiest)


class GraflowWorkflowCanceledError(GraflowRuntimeError):
    """A task or the holder of the run cancelled it.

    Attributes:
        task_id: the task that asked for it; None when it came from outside.
        message: the reason that was given.
    """

    def __init__(self, message: str | None = None, task_id: str | None = None) -> None:
        """Say who cancelled the run, and why."""
        who = f" by task {task_id!r}" if task_id is not None else ""
        super().__init__(f"workflow cancelled{who}: {message}" if message else f"workflow cancelled{who}")
        self.message = message
        self.task_id = task_id


class ProcessDiedError(GraflowRuntimeError):
    """The child process that ran a task ended before it answered.

    Attributes:
        exit_code: exit status of the process; negative for a signal.
    """

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        """Say how the process ended."""
        super().__init__(message)
        self.exit_code = exit_code


class TaskInterruptedError(GraflowRuntimeError):
    """A task with `on_crash="fail"` was running when the process died, and must not run again.

    Attributes:
        task_ids: ids of all such tasks of the run.
    """

    def __init__(self, task_ids: Sequence[str], run_id: str = "") -> None:
        """Name the tasks."""
        names = ", ".join(map(repr, task_ids))
        super().__init__(
            f"run {run_id}: {names} had begun when the process died and must not run twice (on_crash='fail'); find out "
            'whether the work was done, then resume with interrupted={id: result}, or with interrupted="retry"'
        )
        self.task_ids = tuple(task_ids)
        self.run_id = run_id


class RemoteTaskError(GraflowRuntimeError):
    """Stands for an exception that could not be pickled, or not be loaded again where it was needed.

    Attributes:
        type_name: module and name of the exception's own type.
        message: its text.
        traceback: its traceback as text, empty if it had none.
    """

    def __init__(self, type_name: str, message: str, traceback: str = "") -> None:
        """Say what the exception said."""
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name
        self.message = message
        self.traceback = traceback


class CheckpointError(GraflowError):
    """A recorded run cannot be read, written or continued here."""


class UnknownRunError(CheckpointError, LookupError):
    """There is no recorded run of that id, or no such checkpoint file."""


class RunLockedError(CheckpointError):
    """Another process (or another run of this one) has the recorded run open.

    Attributes:
        seconds_left: after how many seconds it is free, should whoever has it be dead; None if its lock ends with its
            process, or does not end by itself.
    """

    def __init__(self, message: str = "", seconds_left: float | None = None) -> None:
        """Say who has it."""
        super().__init__(message)
        self.seconds_left = seconds_left


class GraphChangedError(CheckpointError):
    """The workflow is not the one whose run was recorded.

    Attributes:
        changes: one line for each difference.
    """

    def __init__(self, message: str, changes: Sequence[str] = ()) -> None:
        """Say what is different."""
        super().__init__(message)
        self.changes = tuple(changes)


class CheckpointCorruptError(CheckpointError):
    """A file is damaged where a crash cannot have done it: in front of records that are whole."""


class CheckpointVersionError(CheckpointError):
    """A file was written by a version of the package that this one cannot read."""


class CheckpointWriteError(CheckpointError, OSError):
    """The storage refused a record; the run stops rather than carry on unrecorded."""


class SecurityError(GraflowError):
    """Bytes that must not be trusted: nothing in them was run or loaded."""


class UnsignedPayloadError(SecurityError):
    """Pickled bytes came without a signature, from a place where one is needed."""


class CheckpointTamperedError(CheckpointError, SecurityError):
    """The signature of a file is wrong, or was made with a key that is not known here."""


class StoreError(GraflowError):
    """The key-value store behind a channel refused or failed."""


class StoreUnavailableError(StoreError):
    """The backend does not answer; whether it did what was asked is not known."""


class ChannelTypeError(StoreError, TypeError):
    """A value does not fit the model of its typed channel."""


class LockTimeoutError(StoreError, TimeoutError):
    """A channel lock was not to be had within `timeout` seconds."""


class PromptError(GraflowError):
    """A prompt cannot be had, or not be rendered."""


class PromptNotFoundError(PromptError, LookupError):
    """There is no prompt of that name, or it is none that a prompt could have."""


class PromptVersionNotFoundError(PromptError, LookupError):
    """The prompt is there, but not with that label or version."""


class PromptTypeError(PromptError, TypeError):
    """The prompt is a chat where a text was asked for, or the other way round."""


class PromptCompilationError(PromptError):
    """A template cannot be compiled, or not be rendered with the variables that it was given.

    Attributes:
        prompt: name of the prompt.
        label: its label.
        variable: the variable that is missing; None if it is something else.
    """

    def __init__(self, message: str, prompt: str = "", label: str = "", variable: str | None = None) -> None:
        """Say which template, and what is wrong with it."""
        super().__init__(message)
        self.prompt = prompt
        self.label = label
        self.variable = variable


class PromptConfigurationError(PromptError, ConfigError):
    """A prompt file cannot be read or does not have the form of one, or a package that is needed is not installed."""


class InternalError(GraflowError):
    """A bug of graflow_async itself; please report it with its message."""


class InvalidTransitionError(InternalError):
    """An event does not fit the state it arrived in; nothing was changed."""


def note(error: BaseException, text: str) -> None:
    """Add a PEP 678 note once, however often the error passes by; an exception that refuses notes stays as it is."""
    notes = cast("list[str]", getattr(error, "__notes__", []))
    if text not in notes:
        with suppress(Exception):
            error.add_note(text)


def text_of(error: BaseException) -> str:
    """Give the text of an exception, whatever its own `__str__` does."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  # a user's exception may do anything
        return type(error).__name__
