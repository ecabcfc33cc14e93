"""Every operation of the disk fails once, for good, or takes the disk with it; then the power goes."""

from __future__ import annotations

import random
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from graflow_async.checkpointer import Kind
from graflow_async.checkpoints.file import FileCheckpointer
from graflow_async.errors import CheckpointError, CheckpointWriteError, UnknownRunError
from graflow_async.testing.faults import FaultyDisk, PowerLossDisk
from tests.checkpoints.keys import SomeKeys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from graflow_async.checkpoints._file_log import FileLog
    from graflow_async.testing.faults import Fault

    Scenario = Callable[[FileCheckpointer, "Ledger"], Awaitable[None]]

RUN = "run"


class Ledger:
    """What a scenario was promised: numbers of records, and the places of checkpoints with what is in them."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.saved: dict[str, int] = {}
        self.log: FileLog | None = None


def payload(number: int) -> bytes:
    return b"%d;" % number * (number % 40 + 1)


def append(log: FileLog, count: int) -> None:
    for _ in range(count):
        log.append(Kind.EVENT, payload(log.next_seq))


async def pushing(checkpointer: FileCheckpointer, ledger: Ledger) -> None:
    log = ledger.log = await checkpointer.create(RUN)
    for _ in range(6):
        append(log, 2)
        if not log.push():
            await log.flush()
        ledger.acknowledged = log.next_seq
    await log.aclose()


async def flushing(checkpointer: FileCheckpointer, ledger: Ledger) -> None:
    log = ledger.log = await checkpointer.create(RUN)
    for turn in range(12):
        append(log, 2)
        if turn == 3:
            log.append(Kind.EVENT, payload(log.next_seq) + b"x" * 100_000)
        await log.flush(sync=True)
        ledger.acknowledged = log.next_seq
    await log.aclose()


async def saving(checkpointer: FileCheckpointer, ledger: Ledger) -> None:
    log = ledger.log = await checkpointer.create(RUN)
    for _ in range(3):
        append(log, 2)
        ledger.saved[await log.save("point")] = log.next_seq
        ledger.acknowledged = log.next_seq
    await log.aclose()


async def compacting(checkpointer: FileCheckpointer, ledger: Ledger) -> None:
    log = ledger.log = await checkpointer.create(RUN)
    for turn in range(3):
        append(log, 6)
        await log.flush()
        ledger.acknowledged = log.next_seq
        await log.compact([(Kind.SNAPSHOT, payload(log.next_seq - 3))], log.next_seq - 2)
        append(log, turn)
        await log.flush(sync=True)
        ledger.acknowledged = log.next_seq
    await log.aclose()


async def opening(checkpointer: FileCheckpointer, ledger: Ledger) -> None:
    plain = FileCheckpointer(checkpointer.directory, keyring=SomeKeys())
    log = await plain.create(RUN)
    append(log, 3)
    await plain.aclose()
    journal = checkpointer.directory / RUN / "journal"
    journal.write_bytes(journal.read_bytes() + b"torn")
    ledger.acknowledged = 3
    for _ in range(2):
        log, records = await checkpointer.open(RUN)
        ledger.log = log
        assert len(records) == ledger.acknowledged
        append(log, 1)
        await log.flush()
        ledger.acknowledged += 1
        await log.aclose()
    await checkpointer.runs()


SCENARIOS: list[Scenario] = [pushing, flushing, saving, compacting, opening]


def leftovers(directory: Path) -> list[Path]:
    return list(directory.rglob("*.tmp"))


async def one_trial(scenario: Scenario, directory: Path, disk: FaultyDisk) -> bool:
    """Run a scenario on a disk with one fault, check what is left, and say whether it ended as if nothing were."""
    checkpointer, ledger = FileCheckpointer(directory, keyring=SomeKeys(), disk=disk), Ledger()
    whole = True
    try:
        await scenario(checkpointer, ledger)
    except CheckpointError:
        whole = False
        log = ledger.log
        if log is not None and scenario in {pushing, flushing}:
            with pytest.raises(CheckpointError):
                log.push()
    with suppress(CheckpointWriteError):
        await checkpointer.aclose()
    await check(directory, ledger)
    return whole


async def check(directory: Path, ledger: Ledger) -> None:
    """What was acknowledged is there, what is there is right, and the run can be gone on with."""
    after = FileCheckpointer(directory, keyring=SomeKeys())
    try:
        log, records = await after.open(RUN)
    except UnknownRunError:
        assert ledger.acknowledged == 0
        return
    numbers = [record.seq for record in records]
    assert numbers == list(range(log.next_seq - len(numbers), log.next_seq))
    assert log.next_seq >= ledger.acknowledged
    for record in records:
        assert record.payload.startswith(payload(record.seq))
    for place, count in ledger.saved.items():
        assert len(await after.read(place)) == count
    assert not leftovers(directory), "what a dead writer left is removed"
    append(log, 1)
    await log.flush(sync=True)
    await after.aclose()


@pytest.mark.parametrize("sticky", [False, True], ids=["single", "sticky"])
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO", "EINTR", "short", "crash"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_every_operation_fails_in_turn(scenario: Scenario, fault: Fault, sticky, tmp_path: Path):
    """Whichever operation fails: nothing acknowledged is lost, and the error is one of ours."""
    number, failures = 0, 0
    while True:
        number += 1
        disk = FaultyDisk(number, fault, sticky=sticky)
        whole = await one_trial(scenario, tmp_path / str(number), disk)
        failures += not whole
        if disk.fired == 0 and number > len(disk.operations):
            assert whole
            break
        if fault == "short":
            assert whole, "a short write is completed"
    assert number > 8
    assert failures > 4 or fault == "short"


async def test_the_number_of_the_error_is_kept(tmp_path: Path):
    """A full disk is told apart from a broken one, and stays the reason."""
    disk = FaultyDisk()
    checkpointer = FileCheckpointer(tmp_path, keyring=SomeKeys(), disk=disk)
    log = await checkpointer.create(RUN)
    log.append(Kind.EVENT, b"good")
    await log.flush()
    disk._at, disk._fault = len(disk.operations) + 1, "ENOSPC"
    log.append(Kind.EVENT, b"bad")
    with pytest.raises(CheckpointWriteError) as first:
        await log.flush()
    with pytest.raises(CheckpointWriteError) as second:
        log.append(Kind.EVENT, b"late")
    assert first.value.errno == second.value.errno == 28
    assert [record.payload for record in await checkpointer.read(RUN)] == [b"good"]
    await checkpointer.aclose()


async def test_a_failed_sync_is_never_tried_again(tmp_path: Path):
    """The second sync of a descriptor would lie, so a log whose sync failed is done."""
    disk = FaultyDisk()
    checkpointer = FileCheckpointer(tmp_path, keyring=SomeKeys(), disk=disk)
    log = await checkpointer.create(RUN)
    log.append(Kind.EVENT, b"good")
    await log.flush()
    disk._at = len(disk.operations) + 1
    with pytest.raises(CheckpointWriteError):
        await log.flush(sync=True)
    assert disk.operations[-1] == "sync"
    with pytest.raises(CheckpointWriteError):
        await log.flush(sync=True)
    await checkpointer.aclose()
    assert disk.count("sync") == 1


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("cut_at", range(1, 25))
async def test_power_loss(cut_at: int, keep: float, zeros, tmp_path: Path):
    """What a flush with sync or a save has acknowledged survives; no run is damaged by a power cut."""
    seed = cut_at
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    disk, directory = PowerLossDisk(), tmp_path / "runs"
    directory.mkdir()
    disk.sync_directory(tmp_path)
    checkpointer = FileCheckpointer(directory, keyring=SomeKeys(), disk=disk)
    log = await checkpointer.create(RUN)
    synced, saved = 0, {}
    for _ in range(cut_at):
        append(log, chance.randrange(3))
        match chance.randrange(6):
            case 0:
                await log.flush()
            case 1 | 2 | 3:
                await log.flush(sync=True)
                synced = log.next_seq
            case 4:
                saved[await log.save("point")] = log.next_seq
            case _ if log.next_seq:
                upto = log.next_seq
                await log.compact([(Kind.SNAPSHOT, payload(upto - 1))], upto)
                synced = upto
            case _:
                pass
    await checkpointer.aclose()
    disk.cut_power(directory, keep=keep, zeros=zeros)
    after = FileCheckpointer(directory, keyring=SomeKeys())
    for place, count in saved.items():
        assert (await after.read(place))[-1:] == [] or (await after.read(place))[-1].seq == count - 1
    try:
        log, records = await after.open(RUN)
    except CheckpointError:
        # A run that had acknowledged nothing may be unknown, or its journal may lack its first bytes, and says so.
        assert synced == 0
        return
    assert log.next_seq >= synced
    assert all(record.payload == payload(record.seq) for record in records)
    await after.aclose()
