"""Pictures: a workflow as it was declared, as it really ran, and when what ran; in virtual time, so always the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

from graflow_async import RetryPolicy, TaskExecutionContext, Workflow, parallel, task
from graflow_async.testing import Answer, ScriptedPeople, simulate

HERE = Path(__file__).parent


@task
async def list_sites() -> list[int]:
    """Find out where the counting stations are."""
    await asyncio.sleep(0.8)
    return list(range(24))


@task(limits=["api"], retry_policy=RetryPolicy(1, initial_interval=0.5), inject_context=True)
async def measure(ctx: TaskExecutionContext, site: int) -> int:
    """Ask a station for its count; one is out of order, one needs a second attempt."""
    await asyncio.sleep(0.4 + site % 5 * 0.15)
    if site == 17 or (site == 5 and ctx.attempt == 1):
        raise ConnectionError(f"station {site} does not answer")
    return site * 7


@task
async def weather() -> str:
    """Look up the weather."""
    await asyncio.sleep(2.2)
    return "rain"


@task
async def holidays() -> str:
    """Look up holidays, of which there is no list for this year."""
    await asyncio.sleep(0.9)
    raise LookupError("no list of holidays for this year")


@task(inject_context=True)
async def research(ctx: TaskExecutionContext) -> None:
    """Let three agents look for explanations."""
    for name, seconds in (("ask_archive", 1.4), ("ask_police", 2.6), ("ask_press", 1.9)):

        @task(id=name)
        async def ask(seconds: float = seconds) -> None:
            await asyncio.sleep(seconds)

        ctx.next_task(ask)


@task(inject_context=True)
async def draft(ctx: TaskExecutionContext, turn: int = 1) -> str:
    """Write a report, three times over."""
    await asyncio.sleep(1.1)
    if turn < 3:
        ctx.next_iteration(turn + 1)
    return f"version {turn}"


@task(inject_context=True)
async def review(ctx: TaskExecutionContext) -> None:
    """Ask a person; what is fine as it is need not be repaired."""
    await asyncio.sleep(0.3)
    if await ctx.request_approval("Is the report fine?", request_id="report"):
        ctx.next_task(publish, goto=True)


@task
async def repair() -> None:
    """Mend what was found."""


@task
async def publish() -> str:
    """Put the report on the wall."""
    await asyncio.sleep(0.6)
    return "published"


def survey() -> Workflow:
    """Draw the workflow."""
    counts = measure.map().with_execution(max_concurrency=8, return_exceptions=True)
    context = parallel(weather, holidays, research, name="context", policy="best_effort")
    return Workflow("survey", list_sites >> counts >> context >> draft >> review >> repair >> publish)


async def pictures() -> dict[str, str]:
    """Run the workflow and draw everything: file name -> content."""
    wf = survey()
    people = ScriptedPeople({"Is the report fine?": Answer(value=True, after=2.5)})
    async with wf.start(limits={"api": 4}, feedback=people, run_id="survey-1") as run:
        await run
    return {
        "survey.svg": wf.to_svg() + "\n",
        "survey_run.svg": run.to_svg() + "\n",
        "survey_timeline.svg": run.timeline_svg() + "\n",
        "survey_timeline.html": run.timeline_html(),
    }


def main() -> None:
    """Write the pictures beside this file."""
    for name, content in simulate(pictures).items():
        (HERE / name).write_text(content, encoding="utf-8")
        print(f"examples/pictures/{name}")


if __name__ == "__main__":
    main()
