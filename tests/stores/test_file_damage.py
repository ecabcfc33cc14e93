"""FileStore when things go wrong: killed processes, full disks, damaged files, other people's files, other keys."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import resource
import stat
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

from graflow_async.codec import Keyring
from graflow_async.errors import StoreError
from graflow_async.stores.memory import MemoryStore
from tests.stores.file_changes import change, contents, store_at

SEED = 20_260_303
PROGRAM = Path(__file__).with_name("file_changes.py")
LARGE = 200_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store"


@contextmanager
def started(path, seed, compact_at):
    """Start the program that changes a store until it is killed."""
    command = [sys.executable, PROGRAM, path, str(seed), str(compact_at)]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, bufsize=0) as child:
        try:
            yield child
        finally:
            child.kill()


def acknowledged(child, most=1 << 16):
    """Wait until the program has said that changes were made, and give their number; 0 when it is dead."""
    assert child.stdout is not None
    return len(child.stdout.read(most))


async def state_after(count, seed):
    """Give what a store holds after so many changes, and the halves of a change that makes two."""
    store = MemoryStore()
    for number in range(count):
        await change(store, number, seed)
    return store


async def possible_states(count, seed):
    """Give what a store may hold whose program said that `count` changes were made, and was then killed."""
    store = await state_after(count, seed)
    states = [await contents(store)]
    store.on_write = lambda *_: states.append(dict(store.peek_many(store._values)))
    await change(store, count, seed)
    store.on_write = None
    return [*states, await contents(store)]


@pytest.mark.chaos
@pytest.mark.parametrize("compact_at", [1 << 30, 0], ids=["growing", "compacting"])
@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
def test_a_killed_process_loses_nothing_it_was_told_is_kept(path, seed, compact_at):
    """After SIGKILL at any instant every acknowledged change is there, and at most one that was not."""
    with started(path, seed, compact_at) as child:
        said = acknowledged(child, 1)
        wanted = random.Random(seed).randrange(1, 1_500)
        while said < wanted:
            said += acknowledged(child, wanted - said)
        child.kill()
        while more := acknowledged(child):
            said += more

    async def look():
        async with store_at(path) as store:
            found = await contents(store)
        assert found in await possible_states(said, seed)
        assert not path.with_name("store.new").exists()

    asyncio.run(look())


def test_another_process_is_refused_until_it_is_dead(path):
    """A store that another process has open names it; when that process is killed, the store is free at once."""
    with started(path, SEED, 1 << 30) as child:
        assert acknowledged(child, 1)

        async def use():
            async with store_at(path) as store:
                return await store.keys()

        with pytest.raises(StoreError, match=f"in use by pid {child.pid} on"):
            asyncio.run(use())
        child.kill()
        child.wait()
        assert asyncio.run(use())


async def test_a_forked_child_does_not_keep_the_file(path):
    """A child that lives on after its parent closed the store neither holds the lock nor writes to the file."""
    store = store_at(path)
    await store.set("k", 1)
    log, (ready, go_on) = store._log, os.pipe()
    assert log is not None
    with warnings.catch_warnings():
        # Newer Pythons warn of forking beside threads; that somebody does it all the same is the case to test.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(go_on)
        os.read(ready, 1)
        os._exit(0 if not log.is_sound and log._fd == -1 else 1)
    os.close(ready)
    await store.aclose()
    async with store_at(path) as again:
        assert await again.get("k") == 1
    os.close(go_on)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


# A file that grows and is made shorter


async def test_a_file_is_rewritten_when_it_is_mostly_history(path):
    """A key that is set again and again does not fill the disk."""
    async with store_at(path, compact_at=50_000) as store:
        for number in range(20_000):
            await store.set("k", number)
            if number % 50 == 0:
                await asyncio.sleep(0)
            if number % 5_000 == 0 and store._compaction is not None:
                await asyncio.wait([store._compaction])  # else a busy machine has one that lasts to the end
        while store._compaction is not None:
            await asyncio.wait([store._compaction])
        assert path.stat().st_size < 1_000_000
        await store.append("l", 1)
    async with store_at(path) as store:
        assert await contents(store) == {"k": 19_999, "l": [1]}


async def test_a_file_that_is_needed_is_not_rewritten(path):
    """A list that only grows is never copied in vain, though the file is large, also after reopening."""
    for count in (2_000, 4_000):
        async with store_at(path, compact_at=10_000) as store:
            for number in range(2_000):
                await store.append("l", number)
                assert store._compaction is None
            assert len(await store.get("l")) == count
            assert path.stat().st_size > 50_000


async def test_changes_during_a_compaction_are_kept(path):
    """While a shorter file is written all verbs go on, and none of what they did is missing from it."""
    async with store_at(path, compact_at=100_000) as store:
        compactions, expected = set(), MemoryStore()
        for number in range(4_000):
            await change(store, number, SEED)
            await change(expected, number, SEED)
            compactions.add(store._compaction)
            if number % 10 == 0:
                await asyncio.sleep(0)
            if number % 500 == 0 and store._compaction is not None:
                await asyncio.wait([store._compaction])  # else a busy machine has one that lasts to the end
        assert len(compactions - {None}) > 2
        before = await contents(store)
        assert before == await contents(expected)
    async with store_at(path) as store:
        assert await contents(store) == before


async def test_a_compaction_that_fails_changes_nothing(path, caplog):
    """Where there is no room for a second file the first one goes on, with few warnings."""
    async with store_at(path, compact_at=10_000) as store:
        path.with_name("store.new").mkdir()
        with caplog.at_level(logging.WARNING, "graflow_async.store"):
            for number in range(300):
                await store.set("k", "x" * 100 + str(number))
                if store._compaction is not None:
                    await asyncio.wait([store._compaction])
        warnings = [record for record in caplog.records if "could not be made shorter" in record.getMessage()]
        assert 1 <= len(warnings) <= 4
        path.with_name("store.new").rmdir()
        for number in range(3_000):
            await store.set("k", number)
            if number % 100 == 0:
                await asyncio.sleep(0)
        if store._compaction is not None:
            await asyncio.wait([store._compaction])
        assert path.stat().st_size < 400_000
    async with store_at(path) as store:
        assert await contents(store) == {"k": 2_999}


async def test_closing_waits_for_a_compaction(path):
    """A store that is closed in the middle of making its file shorter leaves one whole file."""
    for _ in range(5):
        store = store_at(path, compact_at=0)
        for number in range(200):
            await store.set("k", number)
        await store.aclose()
        assert store._compaction is None
        assert sorted(each.name for each in path.parent.iterdir()) == ["store", "store.lock"]
    async with store_at(path) as store:
        assert await contents(store) == {"k": 199}


# Disks that refuse


@contextmanager
def no_file_larger_than(size):
    """Let the operating system refuse to make any file of this process larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 30, 70])
async def test_a_full_disk_changes_nothing(path, room):
    """A verb that cannot be written raises StoreError; memory and file are as before, and go on when there is room."""
    async with store_at(path) as store:
        await store.set("k", 1)
        await store.append("l", 1)
        data, before = path.read_bytes(), await contents(store)
        async with store.watch() as changes:
            with no_file_larger_than(len(data) + room):
                for write in (
                    store.set("k", "y" * 100),
                    store.set("k", "y" * LARGE),
                    store.append("l", "y" * 100),
                    store.prepend("l", "y" * 100),
                    store.add("n" * 100),
                    store.compare_and_set("k", 1, "y" * 100),
                    store.clear("") if room < 40 else store.set("z", "y" * 100),
                    store.pop("k") if room < 40 else store.set("z", "y" * LARGE),
                ):
                    with pytest.raises(StoreError, match="could not be written, nothing was changed"):
                        await write
                assert path.read_bytes() == data
                assert await contents(store) == before
            await store.set("k", 2)
            assert (await anext(changes)).value == 2
    async with store_at(path) as store:
        assert await contents(store) == {"k": 2, "l": [1]}


async def test_what_is_synced_is_on_the_disk(path):
    """`sync` comes back when the disk has everything, and may be called at any time, also before any verb."""
    store = store_at(path)
    await store.sync()
    await asyncio.gather(store.set("k", "x" * LARGE), store.sync(), store.add("n"), store.sync())
    await store.aclose()
    await store.sync()
    assert await store.get("n") == 1
    await store.aclose()


# Files as they are found


@pytest.mark.parametrize("keep", [1, 19, 35])
async def test_a_torn_end_is_cut_off_with_a_warning(path, keep, caplog):
    """A record that a crash cut off is forgotten, the rest is there, and the log says how much was lost."""
    async with store_at(path) as store:
        await store.set("k", 1)
    whole = path.stat().st_size
    async with store_at(path) as store:
        await store.set("k", 2)
    os.truncate(path, whole + keep)
    async with store_at(path) as store:
        assert await store.get("k") == 1
        assert f"last {keep} bytes (from byte {whole} on) were cut off" in caplog.text
        assert path.stat().st_size == whole
        await store.set("k", 3)
    caplog.clear()
    async with store_at(path) as store:
        assert await store.get("k") == 3
    assert caplog.text == ""


async def test_damage_is_a_store_error_that_says_what_to_do(path):
    """A file that was damaged or changed anywhere but at its end is refused, and left as it is."""
    async with store_at(path) as store:
        for number in range(5):
            await store.set(f"k{number}", number)
    good = path.read_bytes()
    first = good.index(b"}") + 1
    for position in range(first, len(good) - 70, 7):
        bad = bytearray(good)
        bad[position] ^= 1
        path.write_bytes(bad)
        with pytest.raises(StoreError, match="put it back from a copy, or move it away"):
            await store_at(path).get("k")
        assert path.read_bytes() == bad
    path.write_bytes(good)
    async with store_at(path) as store:
        assert len(await store.keys()) == 5


@pytest.mark.parametrize("content", [b"", b"GFALOG1\n", b"SQLite format 3\x00", b"GFALOG9\n" + bytes(50)])
async def test_other_files_are_not_touched(path, content):
    """What is no file of a store is refused and stays as it is."""
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read"):
        await store_at(path).set("k", 1)
    assert path.read_bytes() == content


async def test_only_plain_files_are_opened(path, tmp_path):
    """A link, a pipe and a folder in the place of the file are refused, without waiting for anybody."""
    async with store_at(tmp_path / "other"):
        pass
    path.symlink_to(tmp_path / "other")
    with pytest.raises(StoreError, match="cannot be opened"):
        await store_at(path).get("k")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match="no plain file"):
        await store_at(path).get("k")
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        await store_at(path).get("k")


async def test_files_are_for_their_owner_only(path):
    """Nobody else can read the values, whatever the process's own mask is, also after a compaction."""
    before = os.umask(0)
    try:
        async with store_at(path, compact_at=0) as store:
            for number in range(500):
                await store.set("k", number)
                if store._compaction is not None:
                    await asyncio.wait([store._compaction])
        assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(before)


async def test_keys_are_rotated_and_unknown_ones_refused(path):
    """A file of an older key is read and signed anew; one of a key that is not known is refused, unread."""
    draw = random.Random(SEED)
    old, new = draw.randbytes(32), draw.randbytes(32)
    async with store_at(path, keyring=Keyring({"old": old})) as store:
        await store.set("k", 1)
    with pytest.raises(StoreError, match="'old'"):
        await store_at(path, keyring=Keyring({"new": new})).get("k")
    with pytest.raises(StoreError, match="signature is wrong"):
        await store_at(path, keyring=Keyring({"old": new})).get("k")
    async with store_at(path, keyring=Keyring({"new": new, "old": old})) as store:
        assert await store.get("k") == 1
    async with store_at(path, keyring=Keyring({"new": new})) as store:
        assert await store.get("k") == 1


async def test_a_store_that_was_dropped_gives_its_file_back(path):
    """Who forgets to close it does not lock everyone out: with the store its lock is gone."""
    store = store_at(path)
    await store.set("k", 1)
    gc.collect()
    gc.disable()
    try:
        del store
    finally:
        gc.enable()
    async with store_at(path) as again:
        assert await again.get("k") == 1
