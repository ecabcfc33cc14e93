"""Whoever finds a lock taken learns by whom, also in the moment in which the holder has not said so yet."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import _holders
from graflow_async._holders import holder_of, this_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = (1 << 22) + 1  # more than any process has: the number of one that has ended may be given to another
ME = f"pid {os.getpid()} on {socket.gethostname()}"


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    """Give a lock file in which nothing stands."""
    fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def between_looks(monkeypatch: pytest.MonkeyPatch, *deeds: Any) -> list[int]:
    """Have something done between one look and the next; give how often there was such a moment."""
    left, moments = list(deeds), [0]

    def wait(_: float) -> None:
        moments[0] += 1
        if left:
            left.pop(0)()

    monkeypatch.setattr(_holders, "threading", SimpleNamespace(Event=lambda: SimpleNamespace(wait=wait)))
    return moments


def test_a_name_that_comes_late_is_waited_for(lock: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between taking a lock and writing into its file there is a moment; half a name is none."""
    name = this_process()
    moments = between_looks(monkeypatch, lambda: os.pwrite(lock, name[:5], 0), lambda: os.pwrite(lock, name[5:], 5))
    assert holder_of(lock) == ME
    assert moments == [2]


def test_the_one_before_is_not_blamed(lock: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a process that has ended is still there until the next holder writes its own."""
    os.pwrite(lock, f"pid {NOBODY} on {socket.gethostname()}\n".encode(), 0)

    def take_over() -> None:
        os.ftruncate(lock, 0)
        os.pwrite(lock, this_process(), 0)

    moments = between_looks(monkeypatch, take_over)
    assert holder_of(lock) == ME
    assert moments == [1]


def test_who_says_nothing_is_another_process(lock: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is bounded."""
    moments = between_looks(monkeypatch)
    assert holder_of(lock) == "another process"
    assert moments == [50]


@pytest.mark.parametrize(
    "text",
    [
        "pid 1 on elsewhere",
        "pid 99999999999999999999 on " + socket.gethostname(),
        "ada",
        "pid 1 on " + socket.gethostname(),
    ],
)
def test_a_name_is_given_as_it_stands(lock: int, text: str) -> None:
    """A process of another machine, or what no process wrote, cannot be looked after."""
    os.pwrite(lock, f"{text}\n".encode(), 0)
    assert holder_of(lock) == text
