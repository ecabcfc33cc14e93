"""The samples of seed 004 about people in the loop as written there, with plain `def` tasks, answered from a thread."""

# Annotated for the async context while their tasks are plain functions, the samples are right only when run.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import pytest

from graflow_async import (
    FeedbackManager,
    FeedbackType,
    GraflowWorkflowCanceledError,
    TaskExecutionContext,
    task,
    workflow,
)
from tests.feedback.people import answer, in_thread

RUN = "seed-004-sync"  # these samples ask in the place that all runs of the process share


def answering(**answers):
    """Answer from another thread."""
    return in_thread(lambda: answer(FeedbackManager(), RUN, **answers))


@pytest.mark.parametrize("approved", [True, False])
def test_basic_approval(approved):
    """Basic Approval: approved it deploys, rejected it cancels the workflow."""
    deployed = []

    with workflow("approval") as wf:

        @task
        def deploy():
            deployed.append("production")

        @task(inject_context=True)
        def approval_task(ctx: TaskExecutionContext):
            manager = FeedbackManager()

            feedback = manager.request_feedback(
                request_id="deploy_approval",
                feedback_type=FeedbackType.APPROVAL,
                message="Approve deployment to production?",
                timeout=300,  # 5 minutes
            )

            if feedback.approved:
                ctx.next_task(deploy())
            else:
                ctx.cancel_workflow(error="Deployment rejected")

        with answering(deploy_approval={"approved": approved}):
            if approved:
                wf.execute("approval_task", run_id=RUN)
            else:
                with pytest.raises(GraflowWorkflowCanceledError, match="Deployment rejected"):
                    wf.execute("approval_task", run_id=RUN)
    assert deployed == (["production"] if approved else [])


def test_text_input():
    """Text Input: the value is what was entered."""

    @task(inject_context=True)
    def configure(ctx: TaskExecutionContext):
        manager = FeedbackManager()
        feedback = manager.request_feedback(
            request_id="config_input",
            feedback_type=FeedbackType.TEXT,
            message="Enter configuration value:",
            timeout=60,
        )
        config_value = feedback.value
        return config_value  # noqa: RET504  # as the sample has it

    with workflow("text") as wf, answering(config_input={"text": "eu-west-1"}):
        assert wf.execute(configure, run_id=RUN) == "eu-west-1"


def test_selection():
    """Selection: the value is the chosen option."""

    @task(inject_context=True)
    def choose(ctx: TaskExecutionContext):
        manager = FeedbackManager()
        feedback = manager.request_feedback(
            request_id="model_selection",
            feedback_type=FeedbackType.SELECTION,
            message="Select model to use:",
            options=["gpt-4o", "gpt-4o-mini", "claude-3-5-sonnet"],
            timeout=120,
        )
        selected_model = feedback.value
        return selected_model  # noqa: RET504  # as the sample has it

    with workflow("selection") as wf, answering(model_selection={"selected": "gpt-4o-mini"}):
        assert wf.execute(choose, run_id=RUN) == "gpt-4o-mini"


def test_channel_integration():
    """Channel Integration: the value stands in the channel for the next task, too."""

    @task(inject_context=True)
    def feedback_to_channel(ctx: TaskExecutionContext):
        manager = FeedbackManager()

        feedback = manager.request_feedback(
            request_id="user_input",
            feedback_type=FeedbackType.TEXT,
            message="Enter search query:",
            channel_key="search_query",  # Auto-write to channel
            execution_context=ctx.execution_context,
        )
        # feedback.value is also written to channel["search_query"]
        return feedback.value

    @task(inject_context=True)
    def search(ctx: TaskExecutionContext):
        return ctx.get_channel().get("search_query"), ctx.get_result("feedback_to_channel")

    with workflow("channel") as wf:
        feedback_to_channel >> search
        with answering(user_input={"text": "async workflows"}):
            assert wf.execute(run_id=RUN) == ("async workflows", "async workflows")
