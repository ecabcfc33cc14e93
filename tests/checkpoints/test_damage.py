"""Files that were cut, changed, swapped or forged: a clean prefix or an error of ours, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
from typing import TYPE_CHECKING

import pytest

from graflow_async.checkpointer import Kind
from graflow_async.checkpoints._reading import parse
from graflow_async.checkpoints.file import FileCheckpointer
from graflow_async.codec import Keyring
from graflow_async.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointTamperedError,
    CheckpointVersionError,
    UnknownRunError,
)
from tests.checkpoints.keys import SomeKeys

if TYPE_CHECKING:
    from pathlib import Path

MUTATIONS = 10_000


async def journal_of(checkpointer: FileCheckpointer, run_id: str, records: int, *, compacted: bool = False) -> bytes:
    """Make a run and give the bytes of its journal."""
    log = await checkpointer.create(run_id)
    for number in range(records):
        log.append(Kind.EVENT, (b"%s %d " % (run_id.encode(), number)) * (number % 5 + 1))
    if compacted:
        await log.compact([(Kind.SNAPSHOT, b"sum")], records // 2)
    await log.aclose()
    return (checkpointer.directory / run_id / "journal").read_bytes()


@pytest.mark.parametrize("compacted", [False, True])
async def test_a_tail_torn_anywhere_is_cut(compacted, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Wherever the last record was torn, the ones before it are there and the run goes on behind them."""
    checkpointer = FileCheckpointer(tmp_path, keyring=SomeKeys())
    whole = await journal_of(checkpointer, "run", 4, compacted=compacted)
    journal = tmp_path / "run" / "journal"
    contents = parse(whole, SomeKeys)
    begin = contents.scan.frames[-2].end
    for end in range(begin, len(whole)):
        journal.write_bytes(whole[:end])
        assert await checkpointer.read("run") == contents.records[:-1]
        caplog.clear()
        log, records = await checkpointer.open("run")
        assert records == contents.records[:-1]
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        if end > begin:
            (warning,) = warnings
            assert f"{end - begin} bytes from offset {begin}" in warning
        else:
            assert warnings == []
        log.append(Kind.EVENT, b"on")
        await log.aclose()
        assert [record.seq for record in await checkpointer.read("run")] == [r.seq for r in contents.records]
    await checkpointer.aclose()


def mutate(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Do to a file what disks, editors and enemies do."""
    at = chance.randrange(len(data))
    length = chance.choice([1, 2, 7, 36, 100, 512])
    match chance.randrange(6):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data[:at] + data[at + length :]
        case 3:
            return data[:at] + chance.randbytes(length) + data[at:]
        case 4:
            return data[:at] + bytes(min(length, len(data) - at)) + data[at + length :]
        case _:
            there = chance.randrange(len(other))
            return data[:at] + other[there : there + chance.choice([20, 200, 5000])] + data[at:] * chance.randrange(2)


async def test_mutated_files(tmp_path: Path):
    """Of 10,000 damaged files each gives a prefix of what was written, or a CheckpointError."""
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    checkpointer = FileCheckpointer(tmp_path, keyring=SomeKeys())
    originals = [
        await journal_of(checkpointer, run_id, 25, compacted=compacted)
        for run_id, compacted in (("one", False), ("two", False), ("three", True))
    ]
    await checkpointer.aclose()
    ends = {"prefix": 0, "refused": 0}
    for _ in range(MUTATIONS):
        data, other = chance.sample(originals, 2)
        mutated = mutate(chance, data, other)
        if chance.randrange(3) == 0:
            mutated = mutate(chance, mutated or data, other)
        try:
            contents = parse(mutated, SomeKeys)
        except CheckpointError:
            ends["refused"] += 1
            continue
        ends["prefix"] += 1
        if not contents.records:
            continue
        # A file may be put in the place of another as a whole: then its name says so, which `open` checks.
        whole = [original for original in originals if original.startswith(contents.start)]
        assert any(contents.records == parse(one, SomeKeys).records[: len(contents.records)] for one in whole)
    assert min(ends.values()) > MUTATIONS // 20


async def test_damage_in_the_middle_is_no_torn_tail(tmp_path: Path):
    """A run with a hole is not continued, and its file is left as it is."""
    checkpointer = FileCheckpointer(tmp_path, keyring=SomeKeys())
    data = bytearray(await journal_of(checkpointer, "run", 10))
    data[len(data) // 2] ^= 1
    (tmp_path / "run" / "journal").write_bytes(data)
    for _ in range(2):
        with pytest.raises(CheckpointCorruptError) as caught:
            await checkpointer.open("run")
        assert "journal" in caught.value.__notes__[0]
    assert (tmp_path / "run" / "journal").read_bytes() == data
    assert await checkpointer.runs() == []
    await checkpointer.delete("run")
    await checkpointer.aclose()


async def test_keys(tmp_path: Path):
    """A file signed with an unknown key is refused; with a known one it is read, and goes on with that key."""
    old = FileCheckpointer(tmp_path, keyring=SomeKeys("k1"))
    await journal_of(old, "run", 3)
    await old.aclose()
    stranger = FileCheckpointer(tmp_path, keyring=SomeKeys("k2", ("k2",)))
    for verb in (stranger.open, stranger.read):
        with pytest.raises(CheckpointTamperedError, match="k1"):
            await verb("run")
    await stranger.aclose()
    rotated = FileCheckpointer(tmp_path, keyring=SomeKeys("k2", ("k1", "k2")))
    log, records = await rotated.open("run")
    log.append(Kind.EVENT, b"new")
    await log.compact([(Kind.SNAPSHOT, b"sum")], 4)
    await log.aclose()
    assert len(records) == 3
    assert len(await rotated.read("run")) == 1
    await rotated.aclose()


async def test_the_keyring_of_the_package(tmp_path: Path):
    """The keys that users have fit, and one that is not among them is refused by name."""
    mine = FileCheckpointer(tmp_path, keyring=Keyring({"mine": bytes(range(32))}))
    await journal_of(mine, "run", 3)
    assert len(await mine.read("run")) == 3
    await mine.aclose()
    stranger = FileCheckpointer(tmp_path, keyring=Keyring({"other": bytes(range(1, 33))}))
    with pytest.raises(CheckpointTamperedError, match="mine"):
        await stranger.read("run")
    await stranger.aclose()


async def test_the_default_keys_are_loaded_at_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Making a checkpointer touches no key; the first run does."""
    loaded: list[int] = []

    def load() -> SomeKeys:
        loaded.append(1)
        return SomeKeys()

    monkeypatch.setattr("graflow_async.checkpoints.file.load_default", load)
    checkpointer = FileCheckpointer(tmp_path)
    assert await checkpointer.runs() == []
    assert loaded == []
    await journal_of(checkpointer, "run", 1)
    await journal_of(checkpointer, "other", 1)
    assert loaded == [1]
    await checkpointer.aclose()


async def test_a_file_in_the_place_of_another(tmp_path: Path):
    """A journal that was put into another run's place is refused, and so is a file of another purpose."""
    checkpointer = FileCheckpointer(tmp_path, keyring=SomeKeys())
    one = await journal_of(checkpointer, "one", 3)
    await journal_of(checkpointer, "two", 3)
    (tmp_path / "two" / "journal").write_bytes(one)
    for verb in (checkpointer.open, checkpointer.read):
        with pytest.raises(CheckpointError, match="belongs to run 'one'"):
            await verb("two")
    assert [run.run_id for run in await checkpointer.runs()] == ["one"]
    for purpose in (b"mailbox", b"journal:", b"journal:0", b"journal:-1", b"journal:\xc2\xb2", b"journal:" + b"9" * 20):
        text = b'{"format":1,"kid":"k1","name":"two","purpose":"%s"}' % purpose
        (tmp_path / "two" / "journal").write_bytes(b"GFALOG1\n" + len(text).to_bytes(2, "little") + text)
        with pytest.raises(CheckpointError):
            await checkpointer.read("two")
    (tmp_path / "two" / "journal").write_bytes(one.replace(b'"format":1', b'"format":2'))
    with pytest.raises(CheckpointVersionError):
        await checkpointer.open("two")
    await checkpointer.aclose()


async def test_hostile_places(tmp_path: Path):
    """Links, FIFOs, directories, foreign and huge files are refused at once, by name."""
    checkpointer = FileCheckpointer(tmp_path / "runs", keyring=SomeKeys(), max_bytes=10_000)
    await journal_of(checkpointer, "run", 3)
    run, journal = tmp_path / "runs" / "run", tmp_path / "runs" / "run" / "journal"
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(journal)
    (tmp_path / "foreign").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "huge").write_bytes(journal.read_bytes() + bytes(10_000))
    async with asyncio.timeout(60):
        for name in ("fifo", "link", "foreign", "empty", "huge", "runs"):
            with pytest.raises(CheckpointError) as caught:
                await checkpointer.read(str(tmp_path / name))
            assert not isinstance(caught.value, UnknownRunError)
        with pytest.raises(UnknownRunError, match="no " + str(tmp_path / "missing")):
            await checkpointer.read(str(tmp_path / "missing"))
        assert await checkpointer.read(str(run)) == await checkpointer.read(str(journal))
        for other in ("fifo", "link"):
            journal.rename(run / "aside")
            (tmp_path / other).rename(journal)
            for verb in (checkpointer.open, checkpointer.read, checkpointer.create):
                with pytest.raises(CheckpointError):
                    await verb("run")
            journal.unlink()
            (run / "aside").rename(journal)
        (tmp_path / "runs" / "alias").symlink_to(run)
        with pytest.raises(CheckpointError, match="link"):
            await checkpointer.open("alias")
        (run / "lock").unlink()
        (run / "lock").symlink_to(tmp_path / "foreign")
        with pytest.raises(CheckpointError, match="regular"):
            await checkpointer.open("run")
    assert (tmp_path / "foreign").read_bytes() == b"#!/bin/sh\n"
    await checkpointer.aclose()
