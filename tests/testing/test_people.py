"""People by a script answer what they are told to, refuse what nobody told them, and know what was never asked."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from graflow_async import (
    FeedbackRequest,
    FeedbackTimeoutError,
    InvalidAnswerError,
    MemoryCheckpointer,
    Task,
    TaskExecutionContext,
    Workflow,
    WorkflowPausedError,
)
from graflow_async.testing import NOBODY, Answer, ScriptedPeople, UnexpectedQuestionError, in_turn, run_sync

YES, NO = True, False


async def deploy(ctx: TaskExecutionContext) -> Any:
    if not await ctx.request_approval("Deploy to production?", request_id="deploy", timeout=3600):
        return "kept back"
    return await ctx.request_selection("Which region?", ["eu", "us"])


def flow() -> Workflow:
    return Workflow("w", Task("deploy", deploy))


@pytest.mark.parametrize(
    "script",
    [
        {"deploy": in_turn(YES, "eu")},
        {"Deploy to production?": True, "Which region?": "eu"},
        {re.compile("^Which"): "eu", re.compile("(?i)deploy"): True},
        {"Which region?": lambda request: request.options[0], "deploy": Answer(YES, after=60, by="ann", reason="ok")},
    ],
    ids=["task", "prompts", "patterns", "function"],
)
def test_questions_are_answered_by_the_script(script: Any):
    """Names, task ids, prompts and patterns find the answer, which may be a value, several, or a function's."""
    people = ScriptedPeople(script)
    assert run_sync(flow(), feedback=people) == "eu"
    assert [request.prompt for request in people.asked] == ["Deploy to production?", "Which region?"]
    people.assert_all_asked()


def test_an_unexpected_question_names_itself():
    """The task that asks gets an error that shows the question and what the script has."""
    with pytest.raises(UnexpectedQuestionError) as caught:
        run_sync(flow(), feedback=ScriptedPeople({"deploy to staging": True}))
    assert (
        "nobody expected the question 'deploy' of task 'deploy' (approval): 'Deploy to production?'; "
        "the script has 'deploy to staging'"
    ) in str(caught.value)


def test_one_question_too_many_names_itself():
    """`in_turn` answers as often as it was told, and not once more."""
    with pytest.raises(UnexpectedQuestionError, match="'deploy' has 1 answers only"):
        run_sync(flow(), feedback=ScriptedPeople({"deploy": in_turn(YES)}))


def test_an_answer_that_does_not_fit_is_told_to_the_task():
    """A wrong script fails at once instead of leaving the question open."""
    with pytest.raises(InvalidAnswerError):
        run_sync(flow(), feedback=ScriptedPeople({"deploy": "perhaps"}))


def test_what_was_never_asked_is_told():
    """Entries that nothing asked for fail the block, with what was asked instead."""
    with (
        pytest.raises(AssertionError, match=r"nobody asked for /refund/; asked was: 'deploy' by task 'deploy'"),
        ScriptedPeople({"deploy": False, re.compile("refund"): True}) as people,
    ):
        run_sync(flow(), feedback=people)
    with pytest.raises(AssertionError, match=r"'deploy' \(1 of 2 asked\)"):
        _half_used().assert_all_asked()


def _half_used() -> ScriptedPeople:
    people = ScriptedPeople({"deploy": in_turn(NO, YES)})
    assert run_sync(flow(), feedback=people) == "kept back"
    return people


def test_a_failing_block_keeps_its_own_error():
    """What the block raises is not hidden by what was never asked."""
    with pytest.raises(ValueError, match="mine"), ScriptedPeople({"deploy": True}):
        raise ValueError("mine")


@pytest.mark.unrecorded  # a run with a journal would pause
@pytest.mark.parametrize("answer", [NOBODY, Answer(YES, after=3601)], ids=["nobody", "late"])
def test_deadlines_are_scripted(answer: Any):
    """Nobody answers, or too late: the question times out, at its deadline and in no time."""

    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        try:
            await flow().run(feedback=ScriptedPeople({"deploy": answer}))
        except FeedbackTimeoutError:
            return "timeout", loop.time()
        return "answered", loop.time()

    end, seconds = run_sync(main)
    assert end == "timeout"
    assert seconds == pytest.approx(3600)


def test_a_late_answer_is_there_for_the_resumed_run():
    """An answer that comes after the pause is what the resumed run goes on with."""

    async def main() -> Any:
        kept, people = MemoryCheckpointer(keep_code=True), ScriptedPeople({"deploy": Answer(NO, after=7200)})
        with pytest.raises(WorkflowPausedError):
            await flow().run(feedback=people, checkpointer=kept, run_id="r")
        await asyncio.sleep(7200)
        return await flow().resume("r", feedback=people, checkpointer=kept)

    assert run_sync(main) == "kept back"


def test_a_handler_answers_the_rest():
    """A function for everything else sees the question."""
    seen: list[FeedbackRequest] = []

    def anything(request: FeedbackRequest) -> Any:
        seen.append(request)
        return request.options[-1] if request.options else True

    assert run_sync(flow(), feedback=ScriptedPeople(handler=anything)) == "us"
    assert [request.request_id for request in seen][:1] == ["deploy"]
