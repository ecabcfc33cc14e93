"""The verbs of sync tasks that wait for people, and for events: the same names, blocking."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .._lazy import lazily
from .coroutine import TaskExecutionContext
from .plain import PlainContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from ..feedback import FeedbackResponse, FeedbackType

feedback = lazily("graflow_async.feedback")  # for its types
R = TypeVar("R")


class BlockingAskingContext(PlainContext):
    """Asks people, and waits for events; the task's thread waits, and holds no slot of those that others may have."""

    _async: TaskExecutionContext

    def block(self, function: Callable[..., Awaitable[R]], /, *args: Any) -> R:
        """Run a coroutine function on the loop and wait for it here."""
        raise NotImplementedError

    def request_feedback(
        self,
        feedback_type: FeedbackType | str,
        prompt: str | None = None,
        *,
        message: str | None = None,
        options: Sequence[str] | None = None,
        schema: Any = None,
        timeout: float | None = None,
        default: Any = None,
        channel_key: str | None = None,
        request_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        assignee: str | None = None,
    ) -> FeedbackResponse:
        """Ask a person and wait for the answer; see `TaskExecutionContext.request_feedback`.

        Raises:
            FeedbackTimeoutError: nobody answered in time. Uncaught, in a run with a journal, it pauses the run.
            FeedbackCancelledError: somebody withdrew the question.
            DuplicateRequestError: another task of the run has asked under that name.
            ConfigError: the question makes no sense.
        """
        ask = partial(
            self._async.request_feedback,
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
        return self.block(ask)

    def request_approval(self, prompt: str | None = None, **more: Any) -> bool:
        """Ask for a yes or a no; keywords and exceptions are those of `request_feedback`."""
        return self.block(partial(self._async.request_approval, prompt, **more))

    def request_text_input(self, prompt: str | None = None, **more: Any) -> str:
        """Ask for a text; keywords and exceptions are those of `request_feedback`."""
        return self.block(partial(self._async.request_text_input, prompt, **more))

    def request_selection(self, prompt: str | None = None, options: Sequence[str] | None = None, **more: Any) -> str:
        """Ask for one of some options; keywords and exceptions are those of `request_feedback`."""
        return self.block(partial(self._async.request_selection, prompt, options, **more))

    def request_multi_selection(
        self, prompt: str | None = None, options: Sequence[str] | None = None, **more: Any
    ) -> list[str]:
        """Ask for any of some options; keywords and exceptions are those of `request_feedback`."""
        return self.block(partial(self._async.request_multi_selection, prompt, options, **more))

    def wait_for_event(self, name: str, timeout: float | None = None) -> Any:
        """Wait until `run.send(name, payload)` sends an event, and give its payload.

        Raises:
            FeedbackTimeoutError: it did not come within `timeout` seconds. Uncaught, in a run with a journal, it pauses
                the run.
        """
        return self.block(self._async.wait_for_event, name, timeout)
