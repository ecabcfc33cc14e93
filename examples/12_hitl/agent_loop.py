"""An agent whose tools need somebody's consent, who may say no and why, and who may stop it at any moment.

The language model is a function of this file, so that the program runs anywhere and prints the same every time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from graflow_async import (
    FeedbackManager,
    FeedbackRequest,
    FeedbackRequested,
    FeedbackSettled,
    TaskExecutionContext,
    Workflow,
    parallel,
    task,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Decide = Callable[[FeedbackRequest], dict[str, Any] | None]


# -- the model and the tools ----------------------------------------------------------------------------------


def plan(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Stand for a language model: choose the next call of a tool, in view of what has come of the earlier ones."""
    tools = [step["tool"] for step in history]
    refused = {step["tool"]: step["refused"] for step in history if "refused" in step}
    if not tools:
        return {"tool": "find_files", "arguments": {"older_than_days": 30}}
    if "delete" not in tools:
        return {"tool": "delete", "arguments": {"files": history[-1]["result"]}}
    if "delete" in refused and "archive" not in tools:
        kept = [name for name in history[0]["result"] if name not in refused["delete"]]
        return {"tool": "archive", "arguments": {"files": kept}}
    return {"tool": "finish", "arguments": {"summary": history[-1].get("result", "nothing was done")}}


def find_files(older_than_days: int) -> list[str]:
    """Look, which harms nobody."""
    return [f"{name}.log" for name in ("january", "taxes", "march")] if older_than_days else []


def delete(files: list[str]) -> str:
    """Stand for something that cannot be undone."""
    return f"deleted {', '.join(files)}"


def archive(files: list[str]) -> str:
    """Stand for something that costs money."""
    return f"archived {', '.join(files)}"


TOOLS: dict[str, Callable[..., Any]] = {"find_files": find_files, "delete": delete, "archive": archive}
NEEDS_CONSENT = {"delete", "archive"}


# -- the workflow ---------------------------------------------------------------------------------------------


@task
async def agent(ctx: TaskExecutionContext, history: tuple[dict[str, Any], ...] = ()) -> str:
    """Take one step; what has happened goes to the next turn, so that a journal would have all of it."""
    call = plan(list(history))
    name, arguments = call["tool"], call["arguments"]
    if name == "finish":
        return arguments["summary"]
    step = {"tool": name}
    if name in NEEDS_CONSENT:
        consent = await ctx.request_feedback(
            "approval",
            f"May I {name} {', '.join(arguments['files'])}?",
            request_id=f"{name}-{ctx.cycle_count}",  # one name, one question: each turn asks its own
            metadata=call,
            timeout=600,
        )
        if not consent.approved:
            ctx.next_iteration((*history, step | {"refused": consent.reason}))
            return "refused"
    step["result"] = TOOLS[name](**arguments)
    print(f"  {name}: {step['result']}")
    ctx.next_iteration((*history, step))
    return "went on"


@task
async def brake(ctx: TaskExecutionContext) -> str:
    """Wait for somebody to stop the agent; whichever of the two ends first ends the other one."""
    why = await ctx.wait_for_event("stop")
    return f"stopped: {why}"


@task
async def report(ctx: TaskExecutionContext) -> str:
    """Tell what has come of it."""
    return await ctx.get_result("brake") or await ctx.get_result("agent")


helper = Workflow("helper", parallel(agent, brake, policy="first") >> report)


# -- the person -----------------------------------------------------------------------------------------------


def cautious(question: FeedbackRequest) -> dict[str, Any] | None:
    """Let nobody delete, and say why."""
    if question.metadata["tool"] == "delete":
        return {"approved": False, "reason": "we still need taxes.log"}
    return {"approved": True}


def hasty(question: FeedbackRequest) -> dict[str, Any] | None:
    """Answer nothing, and stop everything instead."""
    del question


def said(answer: dict[str, Any] | None) -> str:
    """Put an answer into words."""
    return "Stop!" if answer is None else "Yes" if answer["approved"] else f"No, {answer['reason']}"


async def supervised(decide: Decide) -> None:
    """Run the agent, and follow its story: its questions are events like any others."""
    manager = FeedbackManager()
    async with helper.start() as run:
        async for event in run.events():
            if isinstance(event, FeedbackSettled):
                if event.outcome != "answered":
                    print(f"  {event.request.request_id}: {event.outcome}")
            elif isinstance(event, FeedbackRequested):
                answer = decide(event.request)
                print(f"  {event.request.request_id}: {event.request.prompt} {said(answer)}")
                if answer is None:
                    run.send("stop", "that goes too far")
                else:
                    await manager.respond(event.request.request_id, run_id=run.run_id, **answer)
        print(f"  {await run}")


async def main() -> None:
    """Supervise it twice."""
    print("somebody who knows better")
    await supervised(cautious)
    print("somebody who has seen enough")
    await supervised(hasty)


if __name__ == "__main__":
    asyncio.run(main())
