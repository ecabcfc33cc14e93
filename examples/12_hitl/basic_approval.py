"""A deploy pipeline that asks before it goes on. The program plays the person itself; with `--ask` it is you.

python basic_approval.py [--ask]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

from graflow_async import (
    FeedbackManager,
    FeedbackRequest,
    FeedbackState,
    GraflowWorkflowCanceledError,
    SyncTaskExecutionContext,
    TaskExecutionContext,
    Workflow,
    task,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from graflow_async.broker import Change

    Person = Callable[[FeedbackRequest], Awaitable[dict[str, Any]]]


# -- the pipeline ---------------------------------------------------------------------------------------------


@task
async def build(version: str) -> str:
    """Make an image."""
    return f"shop-{version}"


@task
async def deploy(image: str) -> str:
    """Put it where the customers are."""
    return f"{image} is live"


@task
async def approve(ctx: TaskExecutionContext, build: str) -> None:
    """Ask, and let the answer decide what comes next; while it waits, nothing is held up and nothing polls."""
    answer = await ctx.request_feedback(
        "approval",
        f"Deploy {build} to production?",
        request_id="deploy",
        metadata={"image": build, "checks": "412 passed"},
        assignee="ada",
        timeout=300,
    )
    if answer.approved:
        ctx.next_task(deploy(task_id="deploy", image=build))
    else:
        ctx.cancel_workflow(f"{answer.responded_by} said no: {answer.reason}")


@task
async def announce(ctx: TaskExecutionContext) -> str:
    """Tell everybody, after whatever `approve` has started."""
    return f"announced: {await ctx.get_result('deploy')}"


pipeline = Workflow("release", build >> approve >> announce)


# -- the person -----------------------------------------------------------------------------------------------


async def careful(question: FeedbackRequest) -> dict[str, Any]:
    """Stand for a person who looks at what is shown, and lets nothing through on a Friday."""
    print(f"  ada is asked: {question.prompt} ({question.metadata['checks']})")
    if question.metadata["image"].endswith("-friday"):
        return {"approved": False, "reason": "not on a Friday", "responded_by": "ada"}
    return {"approved": True, "responded_by": "ada"}


async def at_the_terminal(question: FeedbackRequest) -> dict[str, Any]:
    """Let whoever sits at the terminal answer: y, or n and a reason."""
    print(f"  {question.prompt} [y / n REASON] ", end="", flush=True)
    loop, can_read = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, can_read.set)  # a thread in `input()` could not be interrupted
    try:
        await can_read.wait()
    finally:
        loop.remove_reader(sys.stdin)
    verdict, _, reason = sys.stdin.readline().strip().partition(" ")
    return {"approved": verdict in ("y", "yes"), "reason": reason or "no reason given", "responded_by": "you"}


async def answer_all(changes: AsyncIterator[Change], person: Person) -> None:
    """Answer every question as it is asked: what a chat bot or a web page does as well."""
    async for change in changes:
        if change.record is not None and change.record.state is FeedbackState.PENDING:
            question = change.record.request
            answer = await person(question)
            await FeedbackManager().respond(question.id, revision=question.revision, **answer)


async def release(version: str, person: Person) -> None:
    """Run the pipeline beside the person."""
    print(f"version {version}")
    run = pipeline.start(inputs={"version": version})
    async with FeedbackManager().watch(run.run_id) as changes, asyncio.TaskGroup() as group:
        answering = group.create_task(answer_all(changes, person))
        try:
            async with run:
                print(f"  {await run}")
        except GraflowWorkflowCanceledError as error:
            print(f"  cancelled: {error.message}")
        answering.cancel()


# -- plain code -----------------------------------------------------------------------------------------------


@task
def confirm(ctx: SyncTaskExecutionContext) -> str:
    """Ask in a plain function; nobody answers here, and `default` says what that means."""
    may_delete = ctx.request_approval("Delete the old images?", timeout=0.1, default=False)
    return "deleted" if may_delete else "nobody answered in time: kept"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="A deploy pipeline that asks before it goes on.")
    parser.add_argument("--ask", action="store_true", help="answer yourself, at the terminal")
    options = parser.parse_args()
    if options.ask and not sys.stdin.isatty():
        parser.error("--ask needs a terminal")
    return options


async def main(person: Person) -> None:
    """Release twice."""
    await release("1.4", person)
    await release("1.5-friday", person)


if __name__ == "__main__":
    asyncio.run(main(at_the_terminal if parse().ask else careful))
    print("in plain code")
    print(f"  {Workflow('cleaning', confirm).execute()}")
