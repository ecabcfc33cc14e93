"""A question that nobody answers in time: the run pauses, its process ends, and the answer lets another one go on.

    python timeout_and_resume.py                       all of it, in a temporary directory
    python timeout_and_resume.py start DIRECTORY       ask, and give up waiting
    python timeout_and_resume.py answer DIRECTORY [--reject REASON]
    python timeout_and_resume.py resume DIRECTORY      go on

Nothing but the directory is shared by the three: they may be days apart.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from graflow_async import (
    FeedbackManager,
    GraflowWorkflowCanceledError,
    TaskExecutionContext,
    Workflow,
    WorkflowPausedError,
    task,
)

RUN = "release-1.4"


@task
async def build() -> str:
    """Make an image; recorded, so that it is made once."""
    print("build: runs")
    return "shop-1.4"


@task
async def approve(ctx: TaskExecutionContext, build: str) -> None:
    """Ask. The body starts over in the process that goes on; the question is still the same one."""
    print("approve: begins")
    answer = await ctx.request_feedback(
        "approval", f"Deploy {build} to production?", request_id="deploy", assignee="ada", timeout=0.2
    )
    print(f"approve: {answer.responded_by} said {'yes' if answer.approved else 'no'}")
    if not answer.approved:
        ctx.cancel_workflow(f"rejected: {answer.reason}")


@task
async def deploy(build: str) -> str:
    """Put the image where the customers are."""
    print("deploy: runs")
    return f"{build} is live"


pipeline = Workflow("release", build >> approve >> deploy)


def start(directory: Path) -> None:
    """Begin, in a process of its own; the pause is an exception that says what is missing."""
    try:
        print(asyncio.run(pipeline.run(checkpoint_dir=directory, run_id=RUN)))
    except WorkflowPausedError as pause:
        print(f"paused, waiting for: {', '.join(pause.request_ids)}")


def answer(directory: Path, reason: str | None) -> None:
    """Answer, from plain code: the run is not there, but its question is."""
    manager = FeedbackManager("file", checkpoint_dir=directory)
    found = manager.get("deploy", run_id=RUN)
    print(f"{found.request.prompt} ({found.state}, for {found.request.assignee})")
    manager.respond("deploy", run_id=RUN, approved=reason is None, reason=reason, responded_by="ada")
    print("answered" if reason is None else f"rejected: {reason}")


def resume(directory: Path) -> None:
    """Go on; without an answer the question is opened again for as long as it was before."""
    try:
        print(asyncio.run(pipeline.resume(RUN, checkpoint_dir=directory)))
    except WorkflowPausedError as pause:
        print(f"paused again, waiting for: {', '.join(pause.request_ids)}")
    except GraflowWorkflowCanceledError as error:
        print(f"cancelled: {error.message}")


def all_of_it(directory: Path) -> None:
    """Run the three as three processes, one after the other, and show what they print."""
    for step in ("start", "answer", "resume"):
        print(f"=== {step} ===", flush=True)
        subprocess.run([sys.executable, __file__, step, str(directory)], check=True)  # noqa: S603  # this program
    manager = FeedbackManager("file", checkpoint_dir=directory)
    print("=== in the end ===")
    print(f"deploy: {manager.get('deploy').state}; open questions: {len(manager.list_pending())}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Pause for an answer, and go on in another process.")
    steps = parser.add_subparsers(dest="step")
    for name in ("start", "answer", "resume"):
        steps.add_parser(name).add_argument("directory", type=Path)
    steps.choices["answer"].add_argument("--reject", metavar="REASON", help="say no, and why")
    return parser.parse_args()


if __name__ == "__main__":
    options = parse()
    match options.step:
        case "start":
            start(options.directory)
        case "answer":
            answer(options.directory, options.reject)
        case "resume":
            resume(options.directory)
        case _:
            with tempfile.TemporaryDirectory() as temporary:
                all_of_it(Path(temporary))
