"""Scenarios 139 to 152: people in the loop. Each is told by a sync and by an async task, unless the drawing differs.

Where they and the contract disagree the contract counts: an uncaught timeout pauses the run (145), answering twice and
answering nobody's question raise (148). Scenario 149 (HTTP) is told where the web inbox is tested.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from graflow_async import (
    AlreadyAnsweredError,
    CheckpointManager,
    FeedbackCancelledError,
    FeedbackManager,
    FeedbackState,
    FeedbackTimeoutError,
    FeedbackType,
    GraflowWorkflowCanceledError,
    InvalidAnswerError,
    MemoryBroker,
    Task,
    UnknownRequestError,
    Workflow,
    WorkflowPausedError,
    parallel,
)
from tests.feedback.people import alone, answer, in_thread, shown, spoken
from tests.scenarios.held import HeldClock

BOTH = pytest.mark.parametrize("way", ["sync", "async"])


@pytest.fixture
def manager() -> FeedbackManager:
    """A place for questions that no other test looks into."""
    return FeedbackManager(MemoryBroker())


def run(way: str, wf: Workflow, manager: FeedbackManager, person: Any, **options: Any) -> Any:
    """Run a workflow while somebody answers: from another thread, or from another coroutine."""
    if way == "sync":
        with in_thread(person):
            return wf.execute(feedback=manager, timeout=60, **options)

    async def both() -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(person())
            run = group.create_task(_outcome(wf, manager, options))
        return run.result()

    value = asyncio.run(both())
    if isinstance(value, Exception):
        raise value
    return value


async def _outcome(wf: Workflow, manager: FeedbackManager, options: dict[str, Any]) -> Any:
    try:
        return await wf.run(feedback=manager, timeout=60, **options)
    except Exception as error:
        return error


def deploying(way: str, ran: list[str]) -> Workflow:
    """Make the first sample of seed 004."""

    async def deploy() -> str:
        ran.append("deploy")
        return "deployed"

    def approval_task(ctx):
        manager = FeedbackManager()
        feedback = yield manager.request_feedback(
            request_id="deploy_approval",
            feedback_type=FeedbackType.APPROVAL,
            message="Approve deployment to production?",
            timeout=300,
        )
        if feedback.approved:
            ctx.next_task(Task("deploy", deploy))
        else:
            ctx.cancel_workflow(error="Deployment rejected")

    return alone(spoken(way, approval_task))


@BOTH
def test_139_approved(way, manager):
    """139: the approval of a deployment lets it run."""
    ran: list[str] = []
    run(way, deploying(way, ran), manager, lambda: answer(manager, deploy_approval=True))
    assert ran == ["deploy"]


@BOTH
def test_139_rejected(way, manager):
    """139: its rejection cancels the workflow with the task's own words."""
    ran: list[str] = []
    with pytest.raises(GraflowWorkflowCanceledError, match="Deployment rejected"):
        run(way, deploying(way, ran), manager, lambda: answer(manager, deploy_approval=False))
    assert ran == []


@BOTH
def test_140_a_text(way, manager):
    """140: a text question gives what was written."""

    def config(ctx):
        feedback = yield FeedbackManager().request_feedback(
            request_id="config_input",
            feedback_type=FeedbackType.TEXT,
            message="Enter configuration value:",
            timeout=60,
        )
        return feedback.value

    value = run(way, alone(spoken(way, config)), manager, lambda: answer(manager, config_input={"text": "v"}))
    assert value == "v"


@BOTH
def test_141_a_selection(way, manager):
    """141: a selection gives the chosen option, and refuses what is none."""
    models = ["gpt-4o", "gpt-4o-mini", "claude-3-5-sonnet"]

    def select(ctx):
        feedback = yield FeedbackManager().request_feedback(
            request_id="model_selection",
            feedback_type=FeedbackType.SELECTION,
            message="Select model to use:",
            options=models,
            timeout=120,
        )
        return feedback.value, feedback.selected

    async def person():
        await shown(manager.broker, "model_selection")
        with pytest.raises(InvalidAnswerError, match="gpt-5"):
            await manager.respond("model_selection", selected="gpt-5")
        record = await manager.get("model_selection")
        assert record.state is FeedbackState.PENDING
        await manager.respond("model_selection", selected=models[1])

    assert run(way, alone(spoken(way, select)), manager, person) == (models[1], models[1])


@BOTH
def test_142_into_the_channel(way, manager):
    """142: the value is in the channel under the key that the question names."""

    def search(ctx):
        feedback = yield FeedbackManager().request_feedback(
            request_id="user_input",
            feedback_type=FeedbackType.TEXT,
            message="Enter search query:",
            channel_key="search_query",
            execution_context=ctx.execution_context,
        )
        return feedback.value, (yield ctx.get_channel().get("search_query"))

    assert run(way, alone(spoken(way, search)), manager, lambda: answer(manager, user_input="q")) == ("q", "q")


@BOTH
def test_143_every_short_form(way, manager):
    """143: approvals, texts and selections, with the reason and the name of whoever answered."""

    def asks(ctx):
        first = yield ctx.request_feedback("approval", "Go?", request_id="yes")
        second = yield ctx.request_feedback(FeedbackType.APPROVAL, prompt="Really?", request_id="no")
        short = [
            (yield ctx.request_approval("ok?", request_id="short")),
            (yield ctx.request_text_input("name?", request_id="text")),
            (yield ctx.request_selection("which?", ["a", "b"], request_id="one")),
            (yield ctx.request_multi_selection("which?", ["a", "b", "c"], request_id="many")),
        ]
        return (first.approved, first.responded_by), (second.approved, second.reason), short

    person = lambda: answer(  # noqa: E731  # as the other scenarios have it
        manager,
        yes={"approved": True, "responded_by": "ada"},
        no={"approved": False, "reason": "too late"},
        short={"approved": True},
        text={"text": "me"},
        one={"selected": "b"},
        many={"selected": ["c", "a"]},
    )
    value = run(way, alone(spoken(way, asks)), manager, person)
    assert value == ((True, "ada"), (False, "too late"), [True, "me", "b", ["c", "a"]])


@BOTH
def test_144_the_whole_response_in_the_channel(way, manager):
    """144: the channel has value and response before the task goes on, though another manager answers."""

    def asks(ctx):
        yield ctx.request_feedback("approval", "ok?", request_id="q", channel_key="k")
        channel = ctx.get_channel()
        return (yield channel.get("k")), (yield channel.get("k.__feedback_response__"))

    other = FeedbackManager(manager.broker)
    value, response = run(way, alone(spoken(way, asks)), manager, lambda: answer(other, q={"approved": True}))
    assert value is True
    assert response.approved is True
    assert response.request_id == "q"


def release(way: str, ran: list[str], timeout: float) -> Workflow:
    """Make the deployment of scenario 145."""

    def asks(ctx):
        ran.append("asks")
        return (yield ctx.request_approval("Deploy?", request_id="release", timeout=timeout))

    async def deploy(asks: bool) -> str:  # noqa: FBT001  # the result of the task before
        ran.append("deploy")
        return "DEPLOYED" if asks else "CANCELLED"

    first = Task("asks", spoken(way, asks), inject_context=True)
    return Workflow("release", first >> Task("deploy", deploy))


@BOTH
@pytest.mark.parametrize(("approved", "end"), [(True, "DEPLOYED"), (False, "CANCELLED")])
def test_145_paused_and_resumed(way, approved, end, tmp_path):
    """145: an uncaught timeout pauses the run; answered meanwhile it goes on, with the same question."""
    ran: list[str] = []
    wf = release(way, ran, 0.05)
    with pytest.raises(WorkflowPausedError) as caught:
        wf.execute(checkpoint_dir=str(tmp_path), run_id="r")
    assert (caught.value.run_id, caught.value.request_ids) == ("r", ("release",))
    assert Path(caught.value.checkpoint).exists()
    assert [run.status for run in CheckpointManager(str(tmp_path)).list_runs()] == ["paused"]
    manager = FeedbackManager("file", checkpoint_dir=tmp_path)
    before = manager.get("release", run_id="r")
    assert before.state is FeedbackState.PENDING
    manager.respond("release", run_id="r", approved=approved)
    assert CheckpointManager(str(tmp_path)).resume_from_checkpoint(caught.value.checkpoint, wf) == end
    after = manager.get("release", run_id="r")
    assert (after.request.id, after.state) == (before.request.id, FeedbackState.ANSWERED)
    assert ran == ["asks", "asks", "deploy"]


@BOTH
def test_146_a_caught_timeout(way, tmp_path):
    """146: a task that catches the timeout returns what it likes, and nothing pauses."""

    def asks(ctx):
        try:
            yield ctx.request_approval("ok?", timeout=0.05)
        except FeedbackTimeoutError:
            return "nobody there"

    wf = alone(spoken(way, asks))
    assert wf.execute(checkpoint_dir=str(tmp_path)) == "nobody there"
    assert [run.status for run in CheckpointManager(str(tmp_path)).list_runs()] == ["completed"]


class Recording:
    """A handler that keeps what it is told, and may be a bad one.

    Attributes:
        heard: what happened, and to which question.
    """

    def __init__(self, *, is_bad: bool = False) -> None:
        self.heard: list[tuple[str, str]] = []
        self._is_bad = is_bad

    def _hear(self, what: str, request: Any) -> None:
        self.heard.append((what, request.request_id))
        if self._is_bad:
            raise ValueError("a bad handler")

    async def on_request_created(self, request: Any) -> None:
        self._hear("created", request)

    def on_response_received(self, request: Any, response: Any) -> None:
        self._hear(f"received {response.value}", request)

    async def on_request_timeout(self, request: Any) -> None:
        self._hear("timeout", request)


@BOTH
@pytest.mark.parametrize("is_bad", [False, True])
def test_147_handlers(way, is_bad):
    """147: handlers hear of questions, answers and timeouts, in this order; one that raises breaks nothing."""
    handler = Recording(is_bad=is_bad)
    manager = FeedbackManager(MemoryBroker(), handlers=[handler])

    def asks(ctx):
        first = yield ctx.request_approval("ok?", request_id="answered")
        return first, (yield ctx.request_approval("ok?", request_id="late", timeout=0.03, default=False))

    assert run(way, alone(spoken(way, asks)), manager, lambda: answer(manager, answered=True)) == (True, False)
    assert [h for h in handler.heard if h[1] == "answered"] == [("created", "answered"), ("received True", "answered")]
    assert [h for h in handler.heard if h[1] == "late"] == [("created", "late"), ("timeout", "late")]


@BOTH
def test_148_second_answers_and_strangers(way, manager):
    """148: the second answer and answers to nobody's question are refused; lists are of one run."""

    def asks(ctx):
        first = yield ctx.request_approval("ok?", request_id="q")
        return first, (yield ctx.request_approval("ok?", request_id="last"))

    async def person():
        await shown(manager.broker, "q")
        assert await manager.list_pending(run_id="another") == []
        assert len(await manager.list_pending(run_id="r")) == 1
        await manager.respond("q", approved=True)
        with pytest.raises(AlreadyAnsweredError, match="answered"):
            await manager.respond("q", approved=False)
        with pytest.raises(UnknownRequestError):
            await manager.respond("never asked", approved=True)
        await answer(manager, last=True)

    assert run(way, alone(spoken(way, asks)), manager, person, run_id="r") == (True, True)


async def test_150_a_hundred_wait_at_once(manager):
    """150: a hundred tasks that wait for people hold no thread, and each has its own answer."""

    async def asks(ctx, number: int) -> str:
        return await ctx.request_text_input("?", request_id=f"q{number}")

    async def maps(ctx) -> list[str]:
        return await ctx.map(Task("asks", asks, inject_context=True), range(100))

    before = threading.active_count()
    async with alone(maps).start(feedback=manager, block_warning=None) as run:
        names = [f"q{n}" for n in range(100)]
        await shown(manager.broker, *names)
        assert threading.active_count() == before
        for name in reversed(names):
            await manager.respond(name, text=name)
        assert await run == names


@BOTH
def test_151_in_a_group(way, tmp_path):
    """151: a timeout in a member of a group pauses the whole run, and nothing behind the group runs."""
    ran: list[str] = []
    clock = HeldClock()

    def member(ctx):
        if ctx.task_id == "b":
            yield ctx.request_approval("ok?", request_id="q", timeout=0.05)
        ran.append(ctx.task_id)
        if len(ran) == 2:
            clock.let_go()

    async def after() -> str:
        ran.append("after")
        return "after"

    members = [Task(name, spoken(way, member), inject_context=True) for name in "abc"]
    wf = Workflow("w", parallel(*members, policy="best_effort") >> Task("after", after))
    with pytest.raises(WorkflowPausedError) as caught:
        wf.execute(checkpoint_dir=str(tmp_path), run_id="r", clock=clock)
    assert sorted(ran) == ["a", "c"]
    FeedbackManager("file", checkpoint_dir=tmp_path).respond("q", run_id="r", approved=True)
    assert CheckpointManager(str(tmp_path)).resume(caught.value.run_id, wf) == "after"
    assert sorted(ran) == ["a", "after", "b", "c"]


@BOTH
def test_152_withdrawn(way, manager):
    """152: a question that somebody cancels ends for its task with the reason."""

    def asks(ctx):
        try:
            yield ctx.request_approval("ok?", request_id="q")
        except FeedbackCancelledError as error:
            return error.reason

    async def person():
        await shown(manager.broker, "q")
        await manager.cancel("q", reason="no longer needed")

    assert run(way, alone(spoken(way, asks)), manager, person) == "no longer needed"
