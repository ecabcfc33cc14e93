"""People whose answers are written down beforehand, so that a test needs nobody."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .._runtime.timers import LoopClock
from ..answers import answer_to
from ..brokers.memory import MemoryBroker
from ..errors import GraflowError
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackState
from ..feedback_errors import AlreadyAnsweredError, UnknownRequestError

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

Matcher: TypeAlias = "str | re.Pattern[str]"


class UnexpectedQuestionError(GraflowError):
    """A task asked what no script answers; it is raised in that task."""


class Answer(NamedTuple):
    """An answer with more than its value.

    Attributes:
        value: what is answered.
        after: how long it takes, in seconds; past the question's deadline, the answer comes too late.
        by: who answers.
        reason: why.
    """

    value: Any
    after: float = 0.0
    by: str | None = None
    reason: str | None = None


class _Nobody:
    """Stands for people who never answer."""

    def __repr__(self) -> str:
        return "NOBODY"


NOBODY = _Nobody()
"""Nobody answers this question: its deadline comes, or the run waits for ever."""


class _InTurn:
    """Answers to be given one after the other."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self.answers = answers

    def __repr__(self) -> str:
        return f"in_turn({', '.join(map(repr, self.answers))})"


def in_turn(*answers: Any) -> Any:
    """Answer the first such question with the first of these, the second one with the second, and no more of them."""
    return _InTurn(answers)


class ScriptedPeople(MemoryBroker):
    """Answers the questions of runs by a script: `wf.run(feedback=ScriptedPeople({"deploy": True}))`.

    A question that the script does not know raises `UnexpectedQuestionError` in the task that asks. As a context
    manager it expects at its end, unless the block raised, that every entry was used.

    Attributes:
        asked: the questions, in the order in which they were put.
    """

    __slots__ = ("_chosen", "_handler", "_script", "_used", "asked")

    def __init__(
        self, script: Mapping[Matcher, Any] | None = None, handler: Callable[[FeedbackRequest], Any] | None = None
    ) -> None:
        """Take the script.

        Args:
            script: which question -> its answer. A text names a question by its `request_id`, by the id of the task
                that asks, or by its prompt; a compiled pattern is searched for in the prompt. The first entry that
                fits counts. An answer is a value that the question takes, an `Answer`, `NOBODY`, `in_turn(...)`, or a
                function that is given the `FeedbackRequest` and gives one of those.
            handler: answers what no entry fits, in the same way.
        """
        super().__init__()
        self.asked: list[FeedbackRequest] = []
        self._script = dict(script or {})
        self._handler = handler
        self._used: dict[Matcher, int] = {}
        self._chosen: dict[str, Any] = {}

    async def ask(self, request: FeedbackRequest, *, again: bool = False) -> FeedbackRecord:
        """Put a question, whose answer comes by itself.

        Raises:
            UnexpectedQuestionError: no script answers it.
            InvalidAnswerError: the scripted answer does not fit the question.
        """
        is_new = request.id not in self._chosen
        if is_new:
            self._chosen[request.id] = self._answer_for(request)
            self.asked.append(request)
        answer = self._chosen[request.id]
        if isinstance(answer, Answer):
            clock = LoopClock(asyncio.get_running_loop())
            # An answer that does not fit is told to whoever asks, at once.
            answer_to(request, at=0.0, value=answer.value, reason=answer.reason, responded_by=answer.by)
            record = await super().ask(request, again=again)
            if is_new:
                clock.call_later(answer.after, lambda: self._give(request, answer, clock.time()))
            return record
        return await super().ask(request, again=again)

    def _give(self, request: FeedbackRequest, answer: Answer, now: float) -> None:
        """Answer a question, unless it is settled."""
        at = max(now, request.created_at)
        response = answer_to(request, at=at, value=answer.value, reason=answer.reason, responded_by=answer.by)
        settling = self.settle(request.id, FeedbackState.ANSWERED, response, at=at)
        with suppress(AlreadyAnsweredError, UnknownRequestError, StopIteration):
            settling.send(None)  # it never waits
        settling.close()

    def assert_all_asked(self) -> None:
        """Expect every entry of the script to have been used, and every answer of `in_turn`.

        Raises:
            AssertionError: naming those that were not, and what was asked instead.
        """
        left: list[str] = []
        for matcher, answer in self._script.items():
            used, wanted = self._used.get(matcher, 0), len(answer.answers) if isinstance(answer, _InTurn) else 1
            if used < wanted:
                left.append(f"{_shown(matcher)} ({used} of {wanted} asked)" if wanted > 1 else _shown(matcher))
        if left:
            asked = ", ".join(f"{request.request_id!r} by task {request.task_id!r}" for request in self.asked)
            raise AssertionError(f"nobody asked for {', '.join(left)}; asked was: {asked or 'nothing'}")

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Expect every entry to have been used, unless the block raised."""
        if error is None:
            self.assert_all_asked()

    def _answer_for(self, request: FeedbackRequest) -> Answer | _Nobody:
        """Look up what is answered to a question."""
        matcher = next((matcher for matcher in self._script if _fits(matcher, request)), None)
        if matcher is not None:
            number = self._used[matcher] = self._used.get(matcher, 0) + 1
            found = self._script[matcher]
            if isinstance(found, _InTurn):
                if number > len(found.answers):
                    raise self._surprise(request, f"{_shown(matcher)} has {len(found.answers)} answers only")
                found = found.answers[number - 1]
        elif self._handler is not None:
            found = self._handler
        else:
            raise self._surprise(request, f"the script has {', '.join(map(_shown, self._script)) or 'no answers'}")
        if callable(found):
            found = found(request)
        return found if isinstance(found, (Answer, _Nobody)) else Answer(found)

    @staticmethod
    def _surprise(request: FeedbackRequest, why: str) -> UnexpectedQuestionError:
        options = f", options {', '.join(map(repr, request.options))}" if request.options else ""
        return UnexpectedQuestionError(
            f"nobody expected the question {request.request_id!r} of task {request.task_id!r} "
            f"({request.feedback_type}{options}): {request.prompt!r}; {why}"
        )


def _fits(matcher: Matcher, request: FeedbackRequest) -> bool:
    if isinstance(matcher, str):
        return matcher in (request.request_id, request.task_id, request.prompt)
    return matcher.search(request.prompt) is not None


def _shown(matcher: Matcher) -> str:
    return repr(matcher) if isinstance(matcher, str) else f"/{matcher.pattern}/"
