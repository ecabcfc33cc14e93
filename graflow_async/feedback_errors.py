"""The errors of questions to people, and of the pause that an unanswered one leads to; loaded when somebody asks.

Their place in the tree of `errors`::

    GraflowRuntimeError
    └─ WorkflowPausedError             the run waits for somebody, and goes on with `wf.resume`
    FeedbackError (GraflowError)       a question, or its answer
    ├─ FeedbackTimeoutError (TimeoutError)  nobody answered in time
    ├─ FeedbackCancelledError              somebody withdrew the question
    ├─ AlreadyAnsweredError                it was answered, cancelled or expired before
    ├─ InvalidAnswerError (ValueError)     the answer does not fit the question
    ├─ StaleQuestionError                  the question has changed since it was shown
    ├─ DuplicateRequestError               one request_id, two questions
    └─ UnknownRequestError (LookupError)   there is no such question
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .errors import GraflowError, GraflowRuntimeError

if TYPE_CHECKING:
    from collections.abc import Sequence


class WorkflowPausedError(GraflowRuntimeError):
    """The run has stopped in good order, and goes on where it was when it is resumed.

    Attributes:
        run_id: of the run, for `wf.resume(run_id)`.
        request_ids: names of the questions that are open.
        reason: why it paused.
        checkpoint: what to resume from: the run's place in its checkpoint directory, or its id.
    """

    def __init__(self, run_id: str, request_ids: Sequence[str] = (), checkpoint: str = "", reason: str = "") -> None:
        """Say why the run paused, and how it goes on."""
        why = f": {reason}" if reason else ""
        waiting = f"; open questions: {', '.join(map(repr, request_ids))}" if request_ids else ""
        super().__init__(f"run {run_id} is paused{why}{waiting}; go on with: await wf.resume({run_id!r}, ...)")
        self.run_id = run_id
        self.reason = reason
        self.request_ids = tuple(request_ids)
        self.checkpoint = checkpoint or run_id


class FeedbackError(GraflowError):
    """A question to a person, or its answer, is not as it should be.

    Attributes:
        request_id: name of the question.
    """

    def __init__(self, message: str, request_id: str = "") -> None:
        """Say what is wrong with which question."""
        super().__init__(message)
        self.request_id = request_id


class FeedbackTimeoutError(FeedbackError, TimeoutError):
    """Nobody answered a question within its timeout.

    Attributes:
        request_id: name of the question.
        question_id: its address.
        timeout: seconds that it was open.
    """

    def __init__(self, request_id: str, timeout: float | None = None, question_id: str = "") -> None:
        """Name the question."""
        within = "" if timeout is None else f" within {timeout:g} s"
        super().__init__(f"nobody answered {request_id!r}{within}", request_id)
        self.timeout = timeout
        self.question_id = question_id


class FeedbackCancelledError(FeedbackError):
    """Somebody withdrew the question that a task waited for.

    Attributes:
        reason: why, if they said so.
    """

    def __init__(self, request_id: str, reason: str | None = None) -> None:
        """Name the question."""
        super().__init__(f"question {request_id!r} was cancelled" + (f": {reason}" if reason else ""), request_id)
        self.reason = reason


class AlreadyAnsweredError(FeedbackError):
    """A question was settled before this answer came: the first one counts.

    Attributes:
        state: what became of it: "answered", "expired" or "cancelled".
        at: when, in seconds since the epoch.
    """

    def __init__(self, request_id: str, state: str = "answered", at: float | None = None) -> None:
        """Say what became of the question."""
        when = "" if at is None else f" at {datetime.fromtimestamp(at, UTC).isoformat(timespec='seconds')}"
        super().__init__(f"question {request_id!r} was {state}{when}; this answer came too late", request_id)
        self.state = state
        self.at = at


class InvalidAnswerError(FeedbackError, ValueError):
    """An answer does not fit its question; the question stays open."""


class StaleQuestionError(FeedbackError):
    """The question is not the one that was shown to whoever answers; look at it again."""


class DuplicateRequestError(FeedbackError):
    """Two tasks of a run ask under one `request_id`."""


class UnknownRequestError(FeedbackError, LookupError):
    """There is no question of that name, or several runs have one."""
