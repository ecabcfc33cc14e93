"""The samples of seed 004 about people in the loop with `async def` tasks, answered from a coroutine."""

from __future__ import annotations

import asyncio

import pytest

from graflow_async import (
    FeedbackManager,
    FeedbackType,
    GraflowWorkflowCanceledError,
    TaskExecutionContext,
    task,
    workflow,
)
from tests.feedback.people import answer

RUN = "seed-004-async"  # these samples ask in the place that all runs of the process share


async def answered(run, **answers):
    """Await a run while another coroutine answers."""
    async with asyncio.TaskGroup() as group:
        group.create_task(answer(FeedbackManager(), RUN, **answers))
        ended = group.create_task(outcome(run))
    value = ended.result()
    if isinstance(value, Exception):
        raise value
    return value


async def outcome(run):
    """Give the value of a run, or what it raised."""
    try:
        return await run
    except Exception as error:
        return error


@pytest.mark.parametrize("approved", [True, False])
async def test_basic_approval(approved):
    """Basic Approval: approved it deploys, rejected it cancels the workflow."""
    deployed = []

    with workflow("approval") as wf:

        @task
        async def deploy():
            deployed.append("production")

        @task(inject_context=True)
        async def approval_task(ctx: TaskExecutionContext):
            manager = FeedbackManager()

            feedback = await manager.request_feedback(
                request_id="deploy_approval",
                feedback_type=FeedbackType.APPROVAL,
                message="Approve deployment to production?",
                timeout=300,  # 5 minutes
            )

            if feedback.approved:
                ctx.next_task(deploy())
            else:
                ctx.cancel_workflow(error="Deployment rejected")

        running = answered(wf.run("approval_task", run_id=RUN), deploy_approval={"approved": approved})
        if approved:
            await running
        else:
            with pytest.raises(GraflowWorkflowCanceledError, match="Deployment rejected"):
                await running
    assert deployed == (["production"] if approved else [])


async def test_text_input():
    """Text Input: the value is what was entered."""

    @task(inject_context=True)
    async def configure(ctx: TaskExecutionContext):
        manager = FeedbackManager()
        feedback = await manager.request_feedback(
            request_id="config_input",
            feedback_type=FeedbackType.TEXT,
            message="Enter configuration value:",
            timeout=60,
        )
        config_value = feedback.value
        return config_value  # noqa: RET504  # as the sample has it

    with workflow("text") as wf:
        assert await answered(wf.run(configure, run_id=RUN), config_input={"text": "eu-west-1"}) == "eu-west-1"


async def test_selection():
    """Selection: the value is the chosen option."""

    @task(inject_context=True)
    async def choose(ctx: TaskExecutionContext):
        manager = FeedbackManager()
        feedback = await manager.request_feedback(
            request_id="model_selection",
            feedback_type=FeedbackType.SELECTION,
            message="Select model to use:",
            options=["gpt-4o", "gpt-4o-mini", "claude-3-5-sonnet"],
            timeout=120,
        )
        selected_model = feedback.value
        return selected_model  # noqa: RET504  # as the sample has it

    with workflow("selection") as wf:
        assert await answered(wf.run(choose, run_id=RUN), model_selection={"selected": "gpt-4o-mini"}) == "gpt-4o-mini"


async def test_channel_integration():
    """Channel Integration: the value stands in the channel for the next task, too."""

    @task(inject_context=True)
    async def feedback_to_channel(ctx: TaskExecutionContext):
        manager = FeedbackManager()

        feedback = await manager.request_feedback(
            request_id="user_input",
            feedback_type=FeedbackType.TEXT,
            message="Enter search query:",
            channel_key="search_query",  # Auto-write to channel
            execution_context=ctx.execution_context,
        )
        # feedback.value is also written to channel["search_query"]
        return feedback.value

    @task(inject_context=True)
    async def search(ctx: TaskExecutionContext):
        return await ctx.get_channel().get("search_query"), await ctx.get_result("feedback_to_channel")

    with workflow("channel") as wf:
        feedback_to_channel >> search
        assert await answered(wf.run(run_id=RUN), user_input={"text": "async workflows"}) == (
            "async workflows",
            "async workflows",
        )
