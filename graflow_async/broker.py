"""The port to people: where questions wait for answers, whichever process asks and whichever answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .feedback import FeedbackRecord, FeedbackRequest, FeedbackResponse, FeedbackState, Letter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager


@dataclass(frozen=True)
class Change:
    """Something that happened at a broker.

    Attributes:
        run_id: of the run that it concerns.
        record: the question that was asked, settled, opened again or answered late, as it is now; None for a letter.
        letter: what was sent to the run; None for a question.
    """

    run_id: str
    record: FeedbackRecord | None = None
    letter: Letter | None = None


@runtime_checkable
class Broker(Protocol):
    """Keeps questions and what becomes of them. Every verb may be called from any task of any loop.

    The suite `graflow_async.testing.brokers` says what an implementation has to do; in short:

    - a question is settled once, by one atomic step, whoever tries: the first wins and the others are told;
    - whoever watches sees every change that happens after `watch` was entered, in order for each question;
    - nothing is polled, and no thread is held for a question or a watcher.
    """

    async def ask(self, request: FeedbackRequest, *, again: bool = False) -> FeedbackRecord:
        """Put a question, and give what is known of it; one that is there already stays as it is.

        With `again` one that has expired is opened again with what `request` says now, or becomes "answered" if an
        answer came late. What is pending, answered or cancelled stays as it is.

        Raises:
            StoreError: the backend refused, or the request's id is no address.
        """
        ...

    async def get(self, question_id: str) -> FeedbackRecord | None:
        """Find a question by its address; None for anything that is none."""
        ...

    async def find(
        self, *, run_id: str | None = None, request_id: str | None = None, state: FeedbackState | None = None
    ) -> list[FeedbackRecord]:
        """List questions, the oldest first; of one run, with one name, in one state."""
        ...

    async def settle(
        self,
        question_id: str,
        state: FeedbackState,
        response: FeedbackResponse | None = None,
        *,
        at: float,
        reason: str | None = None,
        revision: str | None = None,
    ) -> FeedbackRecord:
        """Answer, expire or cancel a pending question, in one atomic step. Answers are not checked here.

        A first answer to an expired question is kept with it: the record that is given stays "expired" and has the
        response. Settling it again with an equal response (or an equal state, without one) gives the record.

        Args:
            question_id: its address.
            state: what becomes of it.
            response: the answer, if it is answered.
            at: now, in seconds since the epoch.
            reason: why it is cancelled.
            revision: what was shown to whoever answers.

        Raises:
            UnknownRequestError: there is no such question.
            AlreadyAnsweredError: somebody was faster.
            StaleQuestionError: the question is another one by now than the `revision` that was answered.
            ValueError: nothing becomes pending, answered without a response, or anything else with one.
        """
        ...

    async def post(self, letter: Letter) -> None:
        """Send something to a run, which may not have started, or may be paused. Posting it twice changes nothing."""
        ...

    async def letters(self, run_id: str) -> list[Letter]:
        """List what was sent to a run and not dropped, in the order in which it was sent."""
        ...

    async def drop(self, run_id: str, letter_ids: Sequence[str]) -> None:
        """Forget letters; those that are gone already are no error."""
        ...

    async def forget(self, run_id: str) -> None:
        """Forget a run: its questions, answers and letters."""
        ...

    def watch(self, run_id: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Open a view of what changes from now on, of one run or of all; it ends when it is left, or with `aclose`.

        One task at a time may wait on it. Changes of different questions may come in another order than they were made
        in; a letter that is dropped, or a run that is forgotten, before the view has looked may be left out.
        """
        ...

    async def aclose(self) -> None:
        """End this object's open views and give back what it holds; what it has kept stays. It may be used again."""
        ...
