"""The web service of `10_fastapi`: real servers and sockets, and clients that answer, wait or hang up."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
from contextlib import aclosing, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from tests.examples.test_examples import ROOT, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FOLDER = ROOT / "examples" / "10_fastapi"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(?:bash|text)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
TOKEN = "editor-Hq7vX2-bJ9kLw4Rs5tYc1Nd8Mf3Gz6Pa"  # noqa: S105  # of the tests alone
EDITOR = {"Authorization": f"Bearer {TOKEN}"}

sys.path.append(str(FOLDER))
service: Any = import_module("service")
tour: Any = import_module("tour")


class Held:
    """A model that never answers, and counts how often it was asked and told to stop."""

    def __init__(self) -> None:
        self.asked = self.stopped = 0
        self._asked = asyncio.Semaphore(0)

    async def wait_for(self, count: int) -> None:
        """Wait until it was asked so often."""
        for _ in range(count):
            await self._asked.acquire()

    async def shorten(self, paragraph: str) -> str:
        """Wait for ever."""
        self.asked += 1
        self._asked.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # tidying up takes its time, too
            self.stopped += 1
            raise
        return paragraph


class Broken:
    """A model that fails with a text that is nobody's business."""

    async def shorten(self, paragraph: str) -> str:
        """Fail."""
        raise ConnectionError("the password hunter2 was refused")


@asynccontextmanager
async def serving(app: Any, server: type[uvicorn.Server] = service.Server, **options: Any) -> AsyncIterator[Any]:
    """Serve an application on a free port; give the server and a client."""
    async with asyncio.timeout(60):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            # A service that does not end fails its test, not the suite.
            given: dict[str, Any] = {"timeout_graceful_shutdown": 10, **options}
            serving = server(uvicorn.Config(app, log_config=None, ws="none", **given))
            task = asyncio.create_task(serving.serve(sockets=[listener]))
            address = "http://{}:{}".format(*listener.getsockname())
            try:
                async with httpx.AsyncClient(base_url=address, timeout=60) as client:
                    yield serving, client
            finally:
                serving.should_exit = True
                await task


async def finished(client: httpx.AsyncClient, path: str) -> list[tuple[str, str, Any]]:
    """Read a run's story to its end."""
    return [one async for one in tour.events(client, path)]


# -- what the README shows ------------------------------------------------------------------------------------


def test_the_tour_prints_what_the_readme_shows() -> None:
    """A service in a process of its own, a client, an editor, a signal: the README's command prints its block."""
    command, text = BLOCKS[-2:]
    assert command == "python examples/10_fastapi/tour.py\n"
    done = run([sys.executable, *command.split()[1:]])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == text


def test_the_service_can_be_started_as_the_readme_says() -> None:
    """Both commands serve, with any free port in place of theirs, and end at once when they are told to."""
    own, shown, foreign = BLOCKS[:3]
    commands = {
        own: rf"({re.escape(shown.strip()).replace('8000', '[0-9]+')})\n",
        foreign: r"running on (http://127\.0\.0\.1:[0-9]+) ",
    }
    for command, announced in commands.items():
        name, *arguments = command.replace(" --port 8000", "").split()
        before = [sys.executable, "-u", "-W", "error", *([] if name == "python" else ["-m", name])]
        with subprocess.Popen(
            [*before, *arguments, "--port", "0"],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        ) as child:
            assert child.stdout is not None
            try:
                found = next(filter(None, (re.search(announced, line) for line in child.stdout)))
                page = httpx.get(found[1].removesuffix("/docs") + "/openapi.json", timeout=60)
                assert page.json()["info"]["title"] == "Summaries"
            finally:
                child.send_signal(signal.SIGTERM)
            told = child.communicate(timeout=60)[0]
        assert child.returncode == -signal.SIGTERM
        assert "Traceback" not in told


def test_the_readme_names_every_route() -> None:
    """No route of the service is left out, and none is shown that is not there."""
    app = service.create_app(token=TOKEN)
    there = {f"{method.upper()} {path}" for path, one in app.openapi()["paths"].items() for method in one}
    named = {name.replace("{id}", "{run_id}") for name in re.findall(r"`((?:GET|POST|DELETE) [^`]+)`", README)}
    assert named == there


# -- a run that a request awaits ------------------------------------------------------------------------------


async def test_a_client_that_hangs_up_cancels_its_run() -> None:
    """The socket is closed: the body sees CancelledError and is through with it before the run counts as cancelled."""
    model = Held()
    app = service.create_app(model, token=TOKEN)
    async with serving(app) as (_, client):
        _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        body = b'{"text": "one two"}'
        head = (
            f"POST /summaries HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await model.wait_for(1)
        (known,) = (await client.get("/runs")).json()
        assert (known["workflow"], known["status"]) == ("summary", "running")
        writer.close()
        await writer.wait_closed()
        _, kind, content = (await finished(client, f"/runs/{known['id']}/events"))[-1]
        assert (kind, content["status"]) == ("RunFinished", "cancelled")
        assert model.stopped == 1
        with pytest.raises(service.GraflowWorkflowCanceledError, match="the client has gone"):
            await app.state.runs.get(known["id"])


async def test_a_client_that_stays_gets_its_summary_over_one_connection() -> None:
    """Listening for the client does not eat what it sends next: one connection serves several requests."""
    async with serving(service.create_app(token=TOKEN)) as (server, client):
        for text in ("One. Two.", "Three. Four.\n\nFive."):
            reply = await client.post("/summaries", json={"text": text})
            assert (reply.status_code, reply.headers.get("connection")) == (200, None)
        assert reply.json() == {"summary": "Three. Five."}
        assert len(server.server_state.connections) == 1


async def test_failures_have_a_status_and_keep_their_secrets() -> None:
    """No words: 422. No time left: 504, with the body stopped. Anything else: 500, and its text is in no answer."""
    async with serving(service.create_app(token=TOKEN)) as (_, client):
        assert (await client.post("/summaries", json={"words": ""})).status_code == 422
        empty = await client.post("/summaries", json={"text": "\n\n"})
        assert (empty.status_code, empty.json()) == (422, {"detail": "there is nothing to summarise"})
    model = Held()
    async with serving(service.create_app(model, token=TOKEN, timeout=0.05)) as (_, client):
        late = await client.post("/summaries", json={"text": "one"})
        assert (late.status_code, late.json()) == (504, {"detail": "TaskTimeoutError"})
        assert (await client.get("/runs/none")).status_code == 404
        assert (await client.get("/runs/none/events")).status_code == 404
    assert model.stopped == model.asked
    async with serving(service.create_app(Broken(), token=TOKEN)) as (_, client):
        broken = await client.post("/summaries", json={"text": "one"})
        assert broken.status_code == 500
        assert "hunter2" not in broken.text


# -- a run that goes on by itself -----------------------------------------------------------------------------


async def test_a_story_can_be_read_in_parts_and_by_many() -> None:
    """Events are numbered from 1 without a gap; a reader that leaves changes nothing, and comes back for the rest."""
    async with serving(service.create_app(token=TOKEN)) as (_, client):
        article = (await client.post("/articles", json={"text": "One. Two."})).json()
        number, question = await tour.asked(client, article["events"])
        assert (await client.get(article["run"])).json()["status"] == "running"
        whole = asyncio.create_task(finished(client, article["events"]))
        answer = f"/inbox/api/questions/{question['question']}/answer"
        reply = await client.post(answer, json={"approved": False}, headers=EDITOR)
        assert reply.status_code == 200
        story = await whole
        assert [int(one[0]) for one in story] == [*range(1, len(story) + 1)]
        rest = [one async for one in tour.events(client, article["events"], after=number)]
        assert rest == story[int(number) :]
        assert [one[1] for one in rest][-1] == "RunFinished"
        assert (await client.get(article["run"])).json()["value"] == {"text": "One.", "state": "rejected"}


async def test_questions_are_listed_for_editors_only_and_belong_to_one_application() -> None:
    """The list wants the token, shows the question of the run, and that of another application is not in it."""
    app, other = service.create_app(token=TOKEN), service.create_app(token=TOKEN)
    async with serving(app) as (_, client), serving(other) as (_, elsewhere):
        article = (await client.post("/articles", json={"text": "One."})).json()
        await tour.asked(client, article["events"])
        assert (await client.get("/inbox/api/questions")).status_code == 401
        listed = (await client.get("/inbox/api/questions", headers=EDITOR)).json()["questions"]
        assert [(one["run_id"], one["prompt"]) for one in listed] == [(article["id"], "Publish this? One.")]
        assert (await elsewhere.get("/inbox/api/questions", headers=EDITOR)).json()["questions"] == []


async def test_a_run_can_be_cancelled_over_http() -> None:
    """A run that waits for its editor is cancelled by its address; the question goes with it."""
    async with serving(service.create_app(token=TOKEN)) as (_, client):
        article = (await client.post("/articles", json={"text": "One."})).json()
        await tour.asked(client, article["events"])
        assert (await client.delete(article["run"])).status_code == 202
        assert (await finished(client, article["events"]))[-1][2]["status"] == "cancelled"
        assert (await client.get(article["run"])).json()["status"] == "cancelled"
        assert (await client.get("/inbox/api/questions", headers=EDITOR)).json()["questions"] == []


async def test_a_failed_article_is_told_in_the_log_and_without_details_to_clients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody awaits such a run: its failure is logged with its cause, and the answers name only the task."""
    async with serving(service.create_app(Broken(), token=TOKEN)) as (_, client):
        article = (await client.post("/articles", json={"text": "One."})).json()
        story = await finished(client, article["events"])
        shown = (await client.get(article["run"])).json()
    assert (shown["status"], shown["value"]) == ("failed", None)
    assert shown["failed"]
    assert "hunter2" not in str(story) + str(shown)
    assert [record.message for record in caplog.records if record.name == "summaries"] == [
        f"run {article['id']} of article failed"
    ]
    assert "hunter2" in caplog.text


async def test_runs_are_bounded() -> None:
    """With all places taken a run is refused; one that has ended makes room and is forgotten."""
    app = service.create_app(token=TOKEN)
    app.state.runs = service.Runs(most=1)
    async with serving(app) as (_, client):
        first = (await client.post("/articles", json={"text": "One."})).json()
        refused = await client.post("/summaries", json={"text": "Two."})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        await client.delete(first["run"])
        await finished(client, first["events"])
        assert (await client.post("/summaries", json={"text": "Two."})).status_code == 200
        assert (await client.get(first["run"])).status_code == 404


# -- the end --------------------------------------------------------------------------------------------------


async def test_the_service_ends_its_runs_and_tells_everybody_who_waits() -> None:
    """At the end a request gets 503 and a stream its last event; bodies were stopped, and nothing begins any more."""
    model = Held()
    app = service.create_app(model, token=TOKEN)
    async with serving(app) as (server, client):
        waiting = asyncio.create_task(client.post("/summaries", json={"text": "one"}))
        article = (await client.post("/articles", json={"text": "one"})).json()
        async with aclosing(tour.events(client, article["events"])) as story:
            await anext(story)
            await model.wait_for(2)
            server.should_exit = True
            kinds = [(kind, content) async for _, kind, content in story]
        assert kinds[-1][0] == "RunFinished"
        assert kinds[-1][1]["status"] == "cancelled"
        reply = await waiting
        assert (reply.status_code, reply.json()) == (503, {"detail": "GraflowWorkflowCanceledError"})
    assert model.stopped == 2
    with pytest.raises(service.HTTPException):
        await app.state.runs.start(app.state.summary)


async def test_another_server_ends_the_runs_by_the_lifespan() -> None:
    """Under a server that knows nothing of runs all of them end, too: at its limit, or with the application's life."""
    model = Held()
    app = service.create_app(model, token=TOKEN)
    async with serving(app, uvicorn.Server, timeout_graceful_shutdown=0.1) as (server, client):
        article = (await client.post("/articles", json={"text": "one"})).json()
        waiting = asyncio.create_task(client.post("/summaries", json={"text": "one"}))
        async with aclosing(tour.events(client, article["events"])) as story:
            await anext(story)
            await model.wait_for(2)
            server.should_exit = True
            with pytest.raises(httpx.HTTPError):
                [one async for one in story]
        reply = await waiting
        assert reply.status_code == 500
    assert model.stopped == 2
    assert {one.status for one in app.state.runs} == {"cancelled"}
