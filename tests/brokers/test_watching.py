"""How a file broker hears of changes: lost news, full tables, new folders, shared descriptors, other systems."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import threading
from pathlib import Path

import pytest

from graflow_async._lazy import lazily
from graflow_async.brokers import _signals
from graflow_async.brokers.file import FileBroker
from graflow_async.errors import ConfigError, StoreError
from graflow_async.testing._brokers import WatchTests, answered, letter, question, take
from tests.aids import guards

LIMIT = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


def inotify_descriptors():
    return [target for target in guards.open_descriptors().values() if "inotify" in target]


def overflow(folder):
    """Make more news than the system keeps; on the loop, so that nobody reads them meanwhile."""
    for number in range(LIMIT):
        name = folder / f"noise-{number % 7}"
        name.touch()
        name.unlink()


fills_the_queue = pytest.mark.skipif(LIMIT > 50_000, reason="the queue of this system is too long to be filled")


@fills_the_queue
async def test_lost_news_lose_no_change(tmp_path):
    """When the system's queue runs over, the watchers look at everything, and give each change once and in order."""
    broker, other = FileBroker(tmp_path, sync=False), FileBroker(tmp_path, sync=False)
    before = [question(f"before {number}") for number in range(3)]
    for request in before:
        await broker.ask(request)
    async with asyncio.timeout(60), broker.watch("run") as changes, broker.watch() as everything:
        (folder,) = (tmp_path / "runs").iterdir()
        first = await other.ask(question("first"))
        overflow(folder)
        records = [broker._folder.ask(question(f"q{number}"), again=False) for number in range(5)]
        records += [broker._folder.ask(question("elsewhere", "another run"), again=False)]
        late = await answered(other, before[0])
        note = letter("note")
        await other.post(note)
        seen = await take(everything, 9)
        assert {change.record.request.id for change in seen if change.record} == {
            record.request.id for record in (first, late, *records)
        }
        assert [change.letter for change in seen if change.letter] == [note]
        mine = await take(changes, 8)
        last = await other.ask(question("last"))
        for view in (changes, everything):
            assert [change.record for change in await take(view, 1)] == [last]
        assert late in [change.record for change in mine]


@fills_the_queue
async def test_a_folder_that_was_replaced_while_news_were_lost(tmp_path):
    """Also then the watchers find out that the run was forgotten and has begun anew."""
    broker = FileBroker(tmp_path, sync=False)
    request = question()
    await broker.ask(request)
    async with asyncio.timeout(60), broker.watch("run") as changes, broker.watch() as everything:
        (folder,) = (tmp_path / "runs").iterdir()
        overflow(folder)
        broker._folder.forget("run")
        record = broker._folder.ask(request, again=False)
        for view in (changes, everything):
            assert [change.record for change in await take(view, 1)] == [record]
        settled = await answered(broker, request)
        for view in (changes, everything):
            assert [change.record for change in await take(view, 1)] == [settled]


async def test_runs_that_begin_while_all_are_watched(tmp_path):
    """Whatever comes first, the folder's news or its first file, every question of every new run is seen once."""
    broker, other = FileBroker(tmp_path, sync=False), FileBroker(tmp_path, sync=False)
    requests = [question(f"{number}", f"run {number % 60}") for number in range(180)]
    async with broker.watch() as everything:
        asking = asyncio.gather(*(other.ask(request) for request in requests))
        seen = await take(everything, len(requests))
        await asking
        last = await other.ask(question("last"))
        assert [change.record for change in await take(everything, 1)] == [last]
    assert {change.record.request.id for change in seen if change.record} == {request.id for request in requests}


async def test_runs_that_come_and_go_while_they_are_watched(tmp_path):
    """Forgetting and asking at the same time never ends a watch, and what is asked last is seen."""
    broker, other = FileBroker(tmp_path, sync=False), FileBroker(tmp_path, sync=False)
    async with asyncio.timeout(60), broker.watch("run") as changes, broker.watch() as everything:
        for _ in range(20):
            await asyncio.gather(
                *(other.ask(question(f"{number}")) for number in range(4)), other.forget("run"), broker.forget("run")
            )
        last = await other.ask(question("last"))
        for view in (changes, everything):
            while (await anext(view)).record != last:
                continue


async def test_watches_of_a_loop_share_a_descriptor(tmp_path):
    """Hundreds of runs are watched through one, by whichever broker objects; the last watch gives it back."""
    assert inotify_descriptors() == []
    watches = []
    for number in range(200):
        watch = FileBroker(tmp_path / f"{number % 5}", sync=False).watch(f"run {number // 10}")
        watches.append((number, watch, await watch.__aenter__()))
    assert len(inotify_descriptors()) == 1
    for number in range(200):
        if number % 10 < 5:
            await FileBroker(tmp_path / f"{number % 5}", sync=False).ask(question(f"{number}", f"run {number // 10}"))
    for _, _, changes in watches:
        await take(changes, 1)
    for number, watch, _ in watches:
        assert len(inotify_descriptors()) == 1, number
        await watch.__aexit__(None, None, None)
    assert inotify_descriptors() == []


def test_a_loop_that_was_closed_gives_its_descriptor_back(tmp_path):
    """Nobody leaves a watch, its loop is closed and the broker dropped: nothing stays open."""

    async def leave_open():
        await FileBroker(tmp_path).watch().__aenter__()
        assert len(inotify_descriptors()) == 1

    asyncio.run(leave_open())
    gc.collect()
    assert inotify_descriptors() == []


async def test_a_full_table_of_files_loses_no_change(tmp_path):
    """A reader is told that the system has no descriptor left, and gets every change afterwards."""
    broker = FileBroker(tmp_path, sync=False)
    async with asyncio.timeout(60), broker.watch("run") as changes:
        requests = [question(f"{number}") for number in range(5)]
        for request in requests:
            await broker.ask(request)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(StoreError, match="Too many open files"):
                await anext(changes)
            with pytest.raises(StoreError, match="Too many open files"):
                await broker.get(requests[0].id)
            with pytest.raises(StoreError, match="Too many open files"):
                await broker.watch("other").__aenter__()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        seen = await take(changes, 5)
        assert {change.record.request.id for change in seen if change.record} == {request.id for request in requests}


async def test_without_inotify_and_watchfiles_nothing_is_polled(tmp_path, monkeypatch):
    """On a system that tells nobody, watching says what to install; everything else works."""
    monkeypatch.setattr(_signals, "is_available", lambda: False)
    monkeypatch.setattr(_signals, "watchfiles", lazily("watchfiles"))
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    broker = FileBroker(tmp_path)
    with pytest.raises(ConfigError, match="pip install watchfiles"):
        await broker.watch().__aenter__()
    request = question()
    await broker.ask(request)
    assert (await answered(broker, request)).response is not None


class TestWithWatchfiles(WatchTests):
    """Watching on a system without inotify, where the package watchfiles tells of changes."""

    @pytest.fixture(autouse=True)
    def other_system(self, tmp_path, monkeypatch):
        pytest.importorskip("watchfiles")
        monkeypatch.setattr(_signals, "is_available", lambda: False)
        self.directory = tmp_path / "people"
        before = len(guards.open_descriptors())
        yield
        # The package's own thread closes what it had opened, some time after it was told to.
        for _ in range(3000):
            if len(guards.open_descriptors()) <= before:
                break
            threading.Event().wait(0.01)

    async def make_brokers(self):
        return FileBroker(self.directory, sync=False), FileBroker(self.directory, sync=False)
