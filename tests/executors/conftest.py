"""What the tests of executors share: loops of both kinds, and proof that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from graflow_async.executors.process import ProcessPool


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("graflow")}


def _open_files() -> dict[str, str]:
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except FileNotFoundError:
            continue  # the descriptor with which this folder is being read
    return found


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fail the test that leaves a thread, an open file, a child or a zombie."""
    threads = _threads()
    files = _open_files()
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    gc.collect()
    assert _threads() <= threads
    left = {number: what for number, what in _open_files().items() if files.get(number) != what}
    assert not left
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= children


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, nothing_left: None) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Give a function that runs a coroutine function on a new loop of either kind."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    def runner(main: Callable[[], Awaitable[Any]]) -> Any:
        async def reported() -> Any:
            complaints: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
            value = await main()
            gc.collect()
            assert not complaints
            return value

        with asyncio.Runner(loop_factory=factory) as loop:
            return loop.run(reported())

    return runner


@pytest_asyncio.fixture
async def pool(nothing_left: None) -> AsyncIterator[ProcessPool]:
    """Give a pool of at most two children."""
    processes = ProcessPool(2)
    yield processes
    await processes.aclose()


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """Give a named pipe, by which a call in another process can say where it is."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


class Watched:
    """A process, related or not, whose end can be awaited."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    async def ended(self) -> None:
        """Return when the process has ended (nobody need have reaped it)."""
        loop = asyncio.get_running_loop()
        end: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._fd, lambda: end.done() or end.set_result(None))
        try:
            async with asyncio.timeout(30):
                await end
        finally:
            loop.remove_reader(self._fd)
            os.close(self._fd)


@pytest.fixture
def watched() -> type[Watched]:
    """Give the class, as tests cannot import from here."""
    return Watched
