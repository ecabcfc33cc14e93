"""Serving: what it refuses to start with, how it ends, and the program around it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from graflow_async.brokers.file import FileBroker
from graflow_async.brokers.memory import MemoryBroker
from graflow_async.errors import ConfigError
from graflow_async.ui import serve
from graflow_async.ui.__main__ import main
from graflow_async.ui.server import serve_folder
from tests.ui.aids import AUTHORISED, OPERATOR, put, question, served

if TYPE_CHECKING:
    from pathlib import Path

PUBLIC = "0.0.0.0"  # noqa: S104  # the address that is refused


@pytest.mark.parametrize("host", [PUBLIC, "::", "", "203.0.113.1", "0", "[::]"])
async def test_a_public_address_needs_a_token(broker: MemoryBroker, host: str) -> None:
    """Where others can reach it, the server does not start without a token, and says what to do."""
    with pytest.raises(ConfigError, match=r"token|no address"):
        await serve(broker, host=host, port=0)


@pytest.mark.parametrize("token", ["", "short", "changeme" * 8, "a" * 64, "two words " * 4])
@pytest.mark.parametrize("host", ["127.0.0.1", PUBLIC])
async def test_a_weak_token_is_none(broker: MemoryBroker, host: str, token: str) -> None:
    """A token that can be guessed is refused at any address, without being shown."""
    with pytest.raises(ConfigError) as caught:
        await serve(broker, host=host, port=0, token=token)
    assert not token or token not in str(caught.value)


async def test_weak_keys_and_open_hosts_are_refused(broker: MemoryBroker) -> None:
    """Neither a sample as a key nor any host without a token lets the server start."""
    with pytest.raises(ConfigError):
        await serve(broker, port=0, secret_keys="your-secret-key-your-secret-key-00")  # noqa: S106  # one to refuse
    with pytest.raises(ConfigError, match="name the hosts"):
        await serve(broker, port=0, allowed_hosts=["*"])


async def test_a_public_address_with_a_token_asks_for_it(broker: MemoryBroker) -> None:
    """With a token any address will do, and everybody needs it, this machine's programs too."""
    await put(broker, question())
    async with served(broker, host=PUBLIC, token=OPERATOR) as url:
        local = url.replace(PUBLIC, "127.0.0.1")
        async with httpx.AsyncClient(base_url=local, timeout=60) as client:
            assert (await client.get("api/questions")).status_code == 401
            assert (await client.get("api/questions", headers=AUTHORISED)).json()["total"] == 1
            forwarded = {**AUTHORISED, "X-Forwarded-For": "203.0.113.5", "Host": "inbox.example.com"}
            assert (await client.get("api/questions", headers=forwarded)).status_code == 200


async def test_this_machine_needs_none(broker: MemoryBroker) -> None:
    """On a loopback address it works at once, for programs that come here themselves."""
    async with served(broker) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        assert (await client.get("api/questions")).status_code == 200
        assert (await client.get("api/questions", headers={"X-Forwarded-For": "127.0.0.1"})).status_code == 401
        assert (await client.get("api/questions", headers={"Host": "evil.example"})).status_code == 421
        assert "server" not in (await client.get("")).headers


async def test_a_taken_port_is_an_ordinary_error(broker: MemoryBroker) -> None:
    """An address that cannot be had is an OSError, not the end of the process; a name without address is named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            await serve(broker, port=taken.getsockname()[1])


async def test_the_inbox_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The questions of recorded runs are found in their checkpoint directory; the token may be in the environment."""
    monkeypatch.setenv("GRAFLOW_UI_TOKEN", OPERATOR)
    broker = FileBroker(tmp_path / ".feedback", sync=False)
    request = await put(broker, question())
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_folder(tmp_path, port=0, on_ready=ready.set_result))
    async with httpx.AsyncClient(base_url=await ready, headers=AUTHORISED, timeout=60) as client:
        assert (await client.post(f"api/questions/{request.id}/answer", json={"approved": True})).status_code == 200
        assert (await client.get("api/questions", headers={"Authorization": "Bearer no"})).status_code == 401
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    record = await broker.get(request.id)
    assert record is not None
    assert str(record.state) == "answered"
    await broker.aclose()


@pytest.mark.slow
async def test_the_program_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    """The program says where it is, serves, and ends with 0 at an interrupt, a stream being open or not."""
    environment = {key: value for key, value in os.environ.items() if key != "GRAFLOW_UI_TOKEN"}
    command = [sys.executable, "-m", "graflow_async.ui", "--dir", str(tmp_path), "--port", "0", "--docs"]
    program = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env=environment)
    assert program.stderr is not None
    url = (await program.stderr.readline()).decode().split()[-1]
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        assert (await client.get("api/openapi.json")).status_code == 200
        async with client.stream("GET", "api/events") as response:
            lines = response.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            program.send_signal(signal.SIGINT)
            rest = [line async for line in lines]
    assert rest[0] == "event: snapshot"
    assert await program.wait() == 0
    assert await program.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--host", PUBLIC], 1, "without a token"),
        (["--token", "short"], 1, "32 are the least"),
        (["--allow-host", "a/b"], 1, "a host is"),
    ],
)
def test_the_program_says_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    """One line says what is wrong and what to do; the exit code tells."""
    monkeypatch.delenv("GRAFLOW_UI_TOKEN", raising=False)
    assert main(["--dir", str(tmp_path), "--port", "0", *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--dir", "x", "--port", "70000"], ["--dir", "x", "--port", "a"]])
def test_a_wrong_command_line_is_refused(arguments: list[str]) -> None:
    """Usage is explained, with exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
def test_a_missing_extra_is_named(missing: str) -> None:
    """Without the extra the import says what to install."""
    program = f"import sys; sys.modules[{missing!r}] = None; import graflow_async.ui"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert child.returncode == 1
    last = child.stderr.splitlines()[-1]
    assert last == f"ModuleNotFoundError: the web inbox needs {missing}: pip install 'graflow-async[ui]'"
