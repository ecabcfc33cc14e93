"""What a FileCheckpointer leaves on the disk: names, modes, locks, checkpoints."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from typing import TYPE_CHECKING

import pytest

from graflow_async.checkpointer import Kind
from graflow_async.checkpoints._disk import Disk
from graflow_async.checkpoints._lock import take
from graflow_async.checkpoints._names import encode
from graflow_async.checkpoints.file import FileCheckpointer
from graflow_async.errors import CheckpointError, RunLockedError
from tests.aids import guards
from tests.checkpoints.keys import SomeKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def checkpointer(tmp_path: Path) -> AsyncIterator[FileCheckpointer]:
    """Give a checkpointer in a directory that does not exist yet."""
    made = FileCheckpointer(tmp_path / "some" / "runs", keyring=SomeKeys())
    yield made
    await made.aclose()


async def test_only_the_owner_may_look(checkpointer: FileCheckpointer):
    """Directories are made with 0700 and files with 0600, whatever the process gives to others."""
    before = os.umask(0)
    try:
        log = await checkpointer.create("run")
        log.append(Kind.EVENT, b"x")
        await log.save("point")
        await log.compact([(Kind.EVENT, b"x")], 1)
        await log.aclose()
    finally:
        os.umask(before)
    top = checkpointer.directory.parent
    found = {path.relative_to(top).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in [top, *top.rglob("*")]}
    assert found == {
        ".": 0o700,
        "runs": 0o700,
        "runs/run": 0o700,
        "runs/run/journal": 0o600,
        "runs/run/lock": 0o600,
        "runs/run/checkpoints": 0o700,
        "runs/run/checkpoints/point.ckpt": 0o600,
    }


def test_encoded_names_are_harmless_and_distinct():
    """No id leads out of the directory, hides, is too long, or has the name of another."""
    ids = ["a", "A", ".", "..", "...", "/", "a/b", "a%2Fb", "\x00", "é", "e\u0301", "\ud800", "x" * 121, "x" * 122]
    ids += [encode("x" * 121), "~", "%~", "x" * 60 + "%~", ".deleted-1"]
    names = [encode(text) for text in ids]
    assert len(set(names)) == len(names)
    for name in names:
        assert not name.startswith(".")
        assert not set(name) & set("/\x00\\:")
        assert len(name.encode()) <= 120
    with pytest.raises(CheckpointError):
        encode("")


async def test_a_checkpoint_never_replaces_another_unless_told(checkpointer: FileCheckpointer, tmp_path: Path):
    """Taken names get a number; a path of one's own is replaced as a whole; neither is a half-written file."""
    log = await checkpointer.create("run")
    log.append(Kind.EVENT, b"1")
    places = [await log.save("a.b/c") for _ in range(3)]
    assert [place.rpartition("/")[2] for place in places] == ["a.b%2Fc.ckpt", "a.b%2Fc-2.ckpt", "a.b%2Fc-3.ckpt"]
    mine = tmp_path / "new" / "mine"
    for count in (1, 2):
        assert await log.save("ignored", str(mine)) == str(mine)
        assert len(await checkpointer.read(str(mine))) == count
        log.append(Kind.EVENT, b"2")
    assert await checkpointer.saved("run") == places
    assert list(mine.parent.iterdir()) == [mine]
    with pytest.raises(CheckpointError, match="journal"):
        await log.save("x", str(checkpointer.directory / "run" / "journal"))
    # A copied checkpoint stands for itself.
    copy = tmp_path / "copy"
    copy.write_bytes(mine.read_bytes())
    assert await checkpointer.read(str(copy)) == await checkpointer.read(str(mine))


async def test_the_lock_says_who_has_it(checkpointer: FileCheckpointer):
    """Whoever is refused learns which process to look for."""
    await checkpointer.create("run")
    with pytest.raises(RunLockedError, match=f"pid {os.getpid()} on "):
        await checkpointer.open("run")


async def test_a_duplicated_lock_counts_as_held(checkpointer: FileCheckpointer, monkeypatch: pytest.MonkeyPatch):
    """The system lets a copy of the descriptor lock again; the register of this process does not."""
    await checkpointer.create("run")
    lock = checkpointer.directory / "run" / "lock"
    fd = descriptor_of(lock)
    monkeypatch.setattr(Disk, "open_lock", lambda self, path: os.dup(fd))
    copy = os.dup(fd)
    fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)  # no error: this is what the register is for
    os.close(copy)
    with pytest.raises(RunLockedError):
        take(Disk(), lock, "run")


def descriptor_of(path: Path) -> int:
    (fd,) = [fd for fd, target in guards.open_descriptors().items() if target == str(path)]
    return fd


async def test_looking_at_a_lock_keeps_nobody_out(checkpointer: FileCheckpointer):
    """A listing never makes an open fail, although it touches the lock."""
    log = await checkpointer.create("run")
    await log.aclose()
    other = FileCheckpointer(checkpointer.directory, keyring=SomeKeys())

    async def list_again_and_again() -> None:
        while True:
            await other.runs()

    async with asyncio.TaskGroup() as group:
        listing = group.create_task(list_again_and_again())
        for _ in range(30):
            log, _ = await checkpointer.open("run")
            await log.aclose()
        listing.cancel()
    await other.aclose()


async def test_a_copied_descriptor_does_not_keep_the_lock(checkpointer: FileCheckpointer):
    """Closing gives the lock back even while somebody, such as a child process, has its descriptor as well."""
    log = await checkpointer.create("run")
    lock = checkpointer.directory / "run" / "lock"
    copy = os.dup(descriptor_of(lock))
    await log.aclose()
    log, _ = await checkpointer.open("run")
    os.close(copy)
    await log.aclose()


async def test_a_cancelled_caller_leaves_nothing_behind(checkpointer: FileCheckpointer):
    """Cancelled at any of its steps, opening gives the lock and the descriptors back."""
    log = await checkpointer.create("run")
    log.append(Kind.EVENT, b"x")
    await log.aclose()
    opened = 0
    for turns in range(40):
        opening = asyncio.ensure_future(checkpointer.open("run"))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        (outcome,) = await asyncio.gather(opening, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            opened += 1
            await outcome[0].aclose()
    log, records = await checkpointer.open("run")
    assert len(records) == 1
    assert opened < 40


async def test_what_a_dead_writer_left_is_removed(checkpointer: FileCheckpointer):
    """Opening removes half-written files, and creating replaces an empty journal."""
    log = await checkpointer.create("run")
    await log.save("point")
    await log.aclose()
    for leftover in ("journal.tmp", "checkpoints/point.ckpt.1.tmp"):
        (checkpointer.directory / "run" / leftover).write_bytes(b"half")
    log, _ = await checkpointer.open("run")
    await log.aclose()
    assert not list(checkpointer.directory.rglob("*.tmp"))
    (checkpointer.directory / "empty").mkdir(0o700)
    (checkpointer.directory / "empty" / "journal").write_bytes(b"")
    log = await checkpointer.create("empty")
    await log.aclose()
