"""The examples of `12_hitl`: what they print, alone and as the several processes that they are."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import runpy
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from graflow_async import FeedbackManager, FeedbackState, WorkflowPausedError
from tests.examples.test_checkpoints import complaints
from tests.examples.test_examples import ROOT, readme_of, run

FOLDER = "12_hitl"
NAMES = [
    "agent_loop.py",
    "basic_approval.py",
    "channel_integration.py",
    "http_answers.py",
    "timeout_and_resume.py",
]
TOKEN = secrets.token_urlsafe(32)


def path_of(name: str) -> str:
    return f"examples/{FOLDER}/{name}"


def contents_of(name: str) -> dict[str, Any]:
    """Give what an example defines, without running it."""
    return runpy.run_path(str(ROOT / path_of(name)), run_name="example")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_prints_what_its_readme_shows(name: str, tmp_path: Path) -> None:
    """The README's command prints the README's block, without a warning, and leaves no file behind."""
    section = readme_of(FOLDER)[name]
    assert section["bash"] == f"python {path_of(name)}\n"
    done = run([sys.executable, path_of(name)], TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == section["text"]
    assert complaints(done) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_example_can_be_imported_without_running(name: str) -> None:
    """Nothing runs and nothing is printed before the main part is called."""
    done = run([sys.executable, "-c", f"import runpy; runpy.run_path({path_of(name)!r}, run_name='example')"])
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""


def test_the_readme_describes_the_files_that_are_there() -> None:
    """No example is left out of the README, and it shows none that is gone."""
    assert sorted(readme_of(FOLDER)) == sorted(p.name for p in (ROOT / "examples" / FOLDER).glob("*.py")) == NAMES


def test_the_folder_shows_both_styles() -> None:
    """Readers who write plain functions and readers who write coroutines both find their style."""
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "examples" / FOLDER).glob("*.py"))
    assert ".execute(" in code
    assert re.search(r"@task.*\n *def ", code)
    assert "asyncio.run(" in code
    assert re.search(r"@task.*\n *async def ", code)


# -- basic_approval.py ----------------------------------------------------------------------------------------


def test_the_person_may_sit_at_the_terminal() -> None:
    """With `--ask` lines that are typed decide: a yes deploys, and the reason of a no reaches the run."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, path_of("basic_approval.py"), "--ask"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=theirs,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        ) as child:
            os.write(ours, b"y\n")
            os.write(ours, b"n it is late\n")
            told, _ = child.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert child.returncode == 0
    assert "announced: shop-1.4 is live\n" in told
    assert "cancelled: you said no: it is late\n" in told


def test_asking_needs_a_terminal() -> None:
    """Without a terminal `--ask` is a usage error, not a program that waits for ever."""
    done = subprocess.run(
        [sys.executable, path_of("basic_approval.py"), "--ask"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "--ask needs a terminal" in done.stderr


# -- timeout_and_resume.py ------------------------------------------------------------------------------------


def step(name: str, directory: Path, *more: str) -> str:
    """Run one step as a process of its own, and give what it prints."""
    done = run([sys.executable, path_of("timeout_and_resume.py"), name, str(directory), *more])
    assert done.returncode == 0, done.stderr
    assert complaints(done) == []
    return done.stdout


def test_a_question_stays_the_same_in_every_process(tmp_path: Path) -> None:
    """Resumed before the answer the run pauses again, with the same question; a no reaches the run in the end."""
    manager = FeedbackManager("file", checkpoint_dir=tmp_path)
    assert step("start", tmp_path) == "build: runs\napprove: begins\npaused, waiting for: deploy\n"
    first = manager.get("deploy")
    assert step("resume", tmp_path) == "approve: begins\npaused again, waiting for: deploy\n"
    second = manager.get("deploy")
    assert (first.state, second.state) == (FeedbackState.PENDING, FeedbackState.PENDING)
    assert first.request.id == second.request.id
    assert "rejected: not on a Friday\n" in step("answer", tmp_path, "--reject", "not on a Friday")
    resumed = step("resume", tmp_path)
    assert resumed == "approve: begins\napprove: ada said no\ncancelled: rejected: not on a Friday\n"
    assert manager.get("deploy").request.id == first.request.id


def test_an_answered_question_is_put_to_nobody_again(tmp_path: Path) -> None:
    """After the answer there is one question in all, and a run that has ended gives its value without asking."""
    step("start", tmp_path)
    step("answer", tmp_path)
    assert step("resume", tmp_path).endswith("deploy: runs\nshop-1.4 is live\n")
    assert step("resume", tmp_path) == "shop-1.4 is live\n"
    manager = FeedbackManager("file", checkpoint_dir=tmp_path)
    assert len(asyncio.run(manager.broker.find())) == 1
    assert manager.list_pending() == []


async def test_the_answer_may_come_before_the_question(tmp_path: Path) -> None:
    """What is answered before the run begins is kept, and the question finds it."""
    example = contents_of("timeout_and_resume.py")
    manager = FeedbackManager("file", checkpoint_dir=tmp_path)
    assert await manager.respond("deploy", run_id=example["RUN"], approved=True, responded_by="ada") is None
    try:
        value = await example["pipeline"].run(checkpoint_dir=tmp_path, run_id=example["RUN"])
    except WorkflowPausedError:  # a machine that was busy for all of the question's time
        value = await example["pipeline"].resume(example["RUN"], checkpoint_dir=tmp_path)
    assert value == "shop-1.4 is live"


# -- channel_integration.py -----------------------------------------------------------------------------------


def test_other_answers_lead_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """What the tasks find in the channel is what was answered, and a misfit is refused where it is given."""
    example = contents_of("channel_integration.py")
    desk = example["Desk"](
        {"user_input": [7, "knots"], "model_selection": ["large"], "sources": ["wiki", ["wiki", "wiki"], ["wiki"]]}
    )
    with desk:
        value = example["asking"].execute(feedback=FeedbackManager(handlers=[desk]))
    assert value == "'knots' in wiki, model large (chosen by ada)"
    assert capsys.readouterr().out.count("refused:") == 3


# -- http_answers.py ------------------------------------------------------------------------------------------


async def test_the_inbox_of_the_application_is_a_page_and_an_api() -> None:
    """The mounted inbox serves its page to a browser and its API to whoever has the token; a yes lets the run go on."""
    example = contents_of("http_answers.py")
    async with (
        asyncio.timeout(60),
        example["serving"](example["application"](TOKEN)) as address,
        httpx.AsyncClient(base_url=address, timeout=60) as customer,
        httpx.AsyncClient(
            base_url=f"{address}/inbox/", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
        ) as inbox,
    ):
        page = await customer.get("/inbox/")
        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
        refund = asyncio.create_task(customer.post("/refunds/b-1", params={"amount": 5000}, timeout=60))
        question = await first_open(example["events"](inbox))
        answer = f"api/questions/{question['id']}/answer"
        assert (await customer.post(f"/inbox/{answer}", json={"approved": True})).status_code == 401
        assert (await inbox.post(answer, json={"approved": "perhaps"})).status_code == 422
        assert (await inbox.post(answer, json={"approved": True})).status_code == 200
        assert (await inbox.post("api/runs/b-1/events/receipt", json={"payload": {"number": "R"}})).status_code == 204
        assert (await refund).json() == {"refund": "paid", "receipt": "R"}


async def first_open(events: AsyncGenerator[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Follow the stream of changes until a question is open."""
    async with aclosing(events):
        async for kind, content in events:
            for question in content["questions"] if kind == "snapshot" else [content]:
                if question.get("state") == "pending":
                    return question
    raise AssertionError("the stream has ended")


# -- agent_loop.py --------------------------------------------------------------------------------------------


async def test_an_agent_that_may_do_everything_does_what_it_planned(capsys: pytest.CaptureFixture[str]) -> None:
    """Consent is what decides: with a yes the first plan is carried out, and nothing else is asked."""
    example = contents_of("agent_loop.py")
    await example["supervised"](lambda question: {"approved": True})
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == "  deleted january.log, taxes.log, march.log"
    assert re.findall(r"(\S+): May I", told) == ["delete-2"]


async def test_a_refusal_changes_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """Refused for another reason the agent archives everything; when that is refused, too, nothing is done."""
    example = contents_of("agent_loop.py")
    await example["supervised"](lambda question: {"approved": False, "reason": "no"})
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == "  nothing was done"
    assert re.findall(r"(\S+): May I", told) == ["delete-2", "archive-3"]
