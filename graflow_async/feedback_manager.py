"""FeedbackManager: asking people and answering for them, from tasks and from outside, in async and in sync code."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .broker import Broker, Change
from .brokering import broker_of
from .brokers.memory import shared
from .current import caller, is_on_loop
from .errors import ConfigError, GraflowRuntimeError
from .feedback import FeedbackType
from .handlers.base import check_handlers
from .inbox import Inbox
from .manager import either

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from os import PathLike

STRANGE = "a task asks through its run's own broker: give this one to the run, wf.run(feedback=...)"


class FeedbackManager:
    """Questions of runs, seen from both sides.

    In a task `FeedbackManager()` is the run's own. Elsewhere it looks into the questions of all runs of this process
    that keep no journal; those of recorded runs are in their checkpoint directory: `FeedbackManager("file",
    checkpoint_dir="./checkpoints")`.

    Verbs that wait give an awaitable where an event loop runs, and block and give the value elsewhere.

    Attributes:
        handlers: are told of questions and answers.
        own_broker: where the questions are, if that was chosen; None for what suits the place.
    """

    def __init__(
        self,
        backend: str | Broker | None = None,
        *,
        directory: str | PathLike[str] | None = None,
        checkpoint_dir: str | PathLike[str] | None = None,
        redis_url: str | None = None,
        handlers: Iterable[Any] = (),
    ) -> None:
        """Choose where the questions are.

        Args:
            backend: "memory" (one for the whole process), "file", "redis", a broker, or None for what suits the place.
            directory: where a "file" backend keeps questions.
            checkpoint_dir: the same, told by the directory where runs are recorded.
            redis_url: where the Redis is; without it a "redis" backend takes GRAFLOW_REDIS_URL, else the usual one.
            handlers: are told of questions and answers, by a run that has this manager: `wf.run(feedback=manager)`.

        Raises:
            ConfigError: an argument makes no sense.
        """
        self.handlers = check_handlers(handlers)
        self.own_broker = broker_of(backend, directory, checkpoint_dir, redis_url)

    @property
    def broker(self) -> Broker:
        """Where the questions are: the one that was chosen, else that of the running task's run."""
        if self.own_broker is not None:
            return self.own_broker
        task: Any = caller()
        return task.feedback_broker if task is not None else shared()

    def request_feedback(
        self,
        request_id: str | None = None,
        feedback_type: FeedbackType | str = FeedbackType.APPROVAL,
        message: str | None = None,
        *,
        prompt: str | None = None,
        options: Sequence[str] | None = None,
        schema: Any = None,
        timeout: float | None = None,
        default: Any = None,
        channel_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        assignee: str | None = None,
        execution_context: Any = None,
    ) -> Any:
        """Ask on behalf of the running task (or of `execution_context`), and give the `FeedbackResponse`.

        Arguments and exceptions are those of `TaskExecutionContext.request_feedback`; in an async task it is awaited.

        Raises:
            GraflowRuntimeError: no task is running here.
            ConfigError: this manager is not that of the run.
        """
        task: Any = execution_context if execution_context is not None else caller()
        if task is None:
            raise GraflowRuntimeError("no task is running here; only a task can ask (FeedbackManager answers anywhere)")
        ask = partial(
            task.request_feedback,
            feedback_type,
            prompt,
            message=message,
            options=options,
            schema=schema,
            timeout=timeout,
            default=default,
            channel_key=channel_key,
            request_id=request_id,
            metadata=metadata,
            assignee=assignee,
        )
        own, broker = self.own_broker, task.feedback_broker
        is_same: Any = getattr(broker, "is_same", None)  # of a run in another process, which has to be asked
        if own is None or own is broker:
            return ask()
        if is_same is None:
            raise ConfigError(STRANGE)
        if is_on_loop():
            return _asked(is_same(own), ask)
        if not task.block(is_same, own):
            raise ConfigError(STRANGE)
        return ask()

    def respond(
        self,
        request_id: str,
        *,
        approved: bool | None = None,
        text: str | None = None,
        selected: str | Sequence[str] | None = None,
        value: Any = None,
        responded_by: str | None = None,
        reason: str | None = None,
        run_id: str | None = None,
        revision: str | None = None,
    ) -> Any:
        """Answer a question, and give its `FeedbackRecord`; the first answer counts.

        With `run_id` (in a task: its own run) a question may be answered before it is asked; None is given then.

        Args:
            request_id: the question's name or address.
            approved: the answer to an approval.
            text: the answer to a text question.
            selected: the chosen option, or a list of them.
            value: the answer to a question of any type.
            responded_by: who answers.
            reason: why.
            run_id: of the run that asks.
            revision: `request.revision` of what was shown, to be told if the question has changed since.

        Raises:
            UnknownRequestError: there is no such question, or several runs have one of that name.
            InvalidAnswerError: the answer does not fit; the question stays open.
            AlreadyAnsweredError: somebody was faster.
            StaleQuestionError: the question has changed.
        """
        inbox, run = self.inbox, self._run(run_id)
        return either(
            lambda: inbox.respond(
                request_id,
                run_id=run,
                approved=approved,
                text=text,
                selected=selected,
                value=value,
                reason=reason,
                responded_by=responded_by,
                revision=revision,
            )
        )

    def list_pending(self, run_id: str | None = None, assignee: str | None = None) -> Any:
        """List open questions as `FeedbackRecord`s, the oldest first; of one run, for one person."""
        inbox = self.inbox
        return either(lambda: inbox.pending(run_id, assignee))

    def get(self, request_id: str, run_id: str | None = None) -> Any:
        """Find a question by its name or address, and give its `FeedbackRecord`.

        Raises:
            UnknownRequestError: there is none, or several runs have one of that name.
        """
        inbox, run = self.inbox, self._run(run_id)
        return either(lambda: inbox.get(request_id, run))

    def cancel(self, request_id: str, *, reason: str | None = None, run_id: str | None = None) -> Any:
        """Withdraw a question: the task that waits for the answer gets FeedbackCancelledError.

        Raises:
            UnknownRequestError: there is no such question.
            AlreadyAnsweredError: it is settled.
        """
        inbox, run = self.inbox, self._run(run_id)
        return either(lambda: inbox.cancel(request_id, run_id=run, reason=reason))

    def send(self, run_id: str, name: str, payload: Any = None) -> Any:
        """Send an event to a run in whichever process, for `ctx.wait_for_event(name)`; it is kept until it is taken.

        Raises:
            ConfigError: the payload is no JSON.
        """
        inbox = self.inbox
        return either(lambda: inbox.send(run_id, name, payload))

    def watch(self, run_id: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Open a view of what changes from now on: `async with manager.watch() as changes: async for change in ...`."""
        return self.inbox.watch(run_id)

    @property
    def inbox(self) -> Inbox:
        """The answering side, for async code."""
        return Inbox(self.broker)

    def _run(self, run_id: str | None) -> str | None:
        """Give the run that is meant: in a task that has no other, its own."""
        task: Any = caller() if run_id is None and self.own_broker is None else None
        return task.run_id if task is not None else run_id


async def _asked(is_same: Awaitable[bool], ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask once it is known that this is the broker of the run.

    Raises:
        ConfigError: it is not.
    """
    if not await is_same:
        raise ConfigError(STRANGE)
    return await ask()
