"""Questions in the files of a folder, as the tests of `feedback` put them there and look at them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pwd
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

from graflow_async.brokers.file import FileBroker
from graflow_async.cli import main
from graflow_async.feedback import FeedbackRecord, FeedbackRequest, FeedbackType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.cli.conftest import Project

IN = ("--checkpoint-dir", "runs here")
USER = pwd.getpwuid(os.getuid()).pw_name
HOSTILE = "\x1b[2J\x1b]0;title\x07 \x9b31m\u202e\r\nstate        answered"
MODULE = """
from graflow_async import TaskExecutionContext, task, workflow

with workflow("asking") as asking:

    @task
    async def ask(ctx: TaskExecutionContext, timeout: float = 3600.0):
        return await ctx.request_selection("Which one?", options=["red", "green"], request_id="colour", timeout=timeout)
"""


class Desk:
    """The questions of a folder."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def do(self, work: Callable[[FileBroker], Awaitable[Any]]) -> Any:
        """Do something at the broker."""

        async def run() -> Any:
            broker = FileBroker(self.project.folder / "runs here" / ".feedback")
            try:
                return await work(broker)
            finally:
                await broker.aclose()

        return asyncio.run(run())

    def put(self, name: str, kind: str = "approval", prompt: str = "Deploy?", **more: Any) -> FeedbackRequest:
        """Ask a question."""
        given = {"run_id": "run-1", "task_id": "ship", "created_at": 100.0, **more}
        request = FeedbackRequest(
            id=os.urandom(16).hex(), request_id=name, feedback_type=FeedbackType(kind), prompt=prompt, **given
        )
        self.do(lambda broker: broker.ask(request))
        return request

    def get(self, request: FeedbackRequest) -> FeedbackRecord:
        """Look at a question."""
        return self.do(lambda broker: broker.get(request.id))

    def letters(self, run_id: str) -> list[Any]:
        """List what was sent to a run."""
        return [(letter.kind, letter.name, letter.payload) for letter in self.do(lambda b: b.letters(run_id))]

    def __call__(self, *arguments: str, code: int = 0) -> list[str]:
        """Call a command of `feedback` in this process, for speed: give its lines; if it has to fail, its one error."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.project.folder), redirect_stdout(out), redirect_stderr(err):
            given = main(["feedback", *arguments, *IN])
        assert given == code, (given, out.getvalue(), err.getvalue())
        assert len(err.getvalue().splitlines()) == (code != 0), err.getvalue()
        return (err if code else out).getvalue().splitlines()

    def json(self, *arguments: str) -> Any:
        """Call a command and read what it prints."""
        (line,) = self(*arguments, "--json")
        return json.loads(line)
