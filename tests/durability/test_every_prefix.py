"""A log may end anywhere: whatever is left of it, the run goes on to the same end, and nothing recorded runs again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from graflow_async import CheckpointError, FileCheckpointer, Workflow
from graflow_async.checkpointer import Record
from tests.aids.simloop import run_sim
from tests.durability.parts import (
    RUN,
    End,
    Outcome,
    ends,
    first_fact,
    holding,
    performed,
    recorded,
    too_many,
)
from tests.durability.programs import BOUNDS, PROGRAMS, THREADED

SEEDS = (1, 2)
BYTE_CUTS = 500


def bounds_of(bounds: dict[str, Any]) -> str:
    return "-".join(f"{name}={bound}" for name, bound in bounds.items()) or "unbounded"


async def go_on(wf: Workflow, records: list[Record]) -> tuple[Outcome, list[Record]]:
    """Resume a run that left these records; give the records after it, too."""
    checkpointer = await holding(records)
    outcome = await performed(wf.resume, RUN, checkpointer=checkpointer)
    return outcome, await checkpointer.read(RUN)


def complaint(got: Outcome, want: Outcome, known: list[End]) -> str:
    """Say what is not as it must be after a resumption; nothing if all is well."""
    if got.value != want.value:
        return f"value {got.value!r} instead of {want.value!r}"
    if got.bodies or got.channel:  # a run whose end was in the records is not put together again
        wrong = {k for k in got.channel.keys() | want.channel.keys() if got.channel.get(k) != want.channel.get(k)}
        if wrong:
            return f"channel { {k: (got.channel.get(k), want.channel.get(k)) for k in wrong} }"
    surplus = too_many(got.bodies, want.bodies, known)
    return f"bodies {surplus}" if surplus else ""


async def every_prefix(wf: Workflow, options: dict[str, Any]) -> list[str]:
    """Cut the log of a run behind every record and go on; list what went wrong."""
    want, records = await recorded(wf, **options)
    known = ends(records, wf)
    wrong: list[str] = []
    for cut in range(first_fact(records), len(records) + 1):
        told = [end for end in known if end.seq < cut]
        try:
            got, _ = await go_on(wf, records[:cut])
            found = complaint(got, want, told)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        if found:
            wrong.append(f"{cut} of {len(records)} records: {found}")
    return wrong


@pytest.mark.parametrize("bounds", BOUNDS[:3], ids=bounds_of)
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_prefix_in_simulated_time(name: str, bounds: dict[str, Any]):
    """Cut behind any record, a run resumes to the same value and channel, and no recorded body runs again."""
    for seed in SEEDS:
        wf, options = PROGRAMS[name]()
        wrong = run_sim(lambda: every_prefix(wf, options | bounds), seed)  # noqa: B023  # it runs at once
        assert not wrong, f"{name} {bounds} run_sim seed {seed}\n" + "\n".join(wrong)


@pytest.mark.parametrize("bounds", BOUNDS, ids=bounds_of)
@pytest.mark.parametrize("name", THREADED)
async def test_every_prefix_with_threads(name: str, bounds: dict[str, Any]):
    """The same with sync tasks in threads, in real time."""
    wf, options = THREADED[name]()
    wrong = await every_prefix(wf, options | bounds)
    assert not wrong, f"{name} {bounds}\n" + "\n".join(wrong)


async def cut_twice(wf: Workflow, options: dict[str, Any], rng: random.Random, times: int) -> list[str]:
    """Cut, go on, cut what that has written, go on."""
    want, records = await recorded(wf, **options)
    first = first_fact(records)
    wrong: list[str] = []
    for _ in range(times):
        one = rng.randrange(first, len(records))
        two = 0
        try:
            _, longer = await go_on(wf, records[:one])
            two = rng.randrange(one, len(longer) + 1)
            got, _ = await go_on(wf, longer[:two])
            found = complaint(got, want, ends(longer[:two], wf))
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        if found:
            wrong.append(f"cut at {one}, then at {two}: {found}")
    return wrong


@pytest.mark.parametrize("name", PROGRAMS)
def test_cut_twice(name: str):
    """A run whose resumption was cut, too, comes to the same end."""
    for seed in SEEDS:
        wf, options = PROGRAMS[name]()
        rng = random.Random(seed)
        wrong = run_sim(lambda: cut_twice(wf, options, rng, 25), seed)  # noqa: B023  # it runs at once
        assert not wrong, f"{name} random.Random({seed})\n" + "\n".join(wrong)


async def cut_bytes(wf: Workflow, options: dict[str, Any], home: Path, rng: random.Random, times: int) -> list[str]:
    """Record in files, cut the journal anywhere, go on."""
    whole = FileCheckpointer(home / "whole")
    want = await performed(wf.run, checkpointer=whole, run_id=RUN, **options)
    records = await whole.read(RUN)
    await whole.aclose()
    journal = (home / "whole" / RUN / "journal").read_bytes()
    known, first = ends(records, wf), first_fact(records)
    wrong: list[str] = []
    for number in range(times):
        size = rng.randrange(len(journal))
        place = home / str(number)
        (place / RUN).mkdir(parents=True)
        (place / RUN / "journal").write_bytes(journal[:size])
        checkpointer = FileCheckpointer(place)
        left = 0
        try:
            left = len(await checkpointer.read(RUN))
            got = await performed(wf.resume, RUN, checkpointer=checkpointer)
            found = complaint(got, want, [end for end in known if end.seq < left])
        except CheckpointError as error:
            found = "" if left < first else f"{type(error).__name__}: {error}"
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        finally:
            await checkpointer.aclose()
        if found:
            wrong.append(f"{size} of {len(journal)} bytes, {left} records: {found}")
    return wrong


@pytest.mark.parametrize("name", [*PROGRAMS, "threads"])
async def test_cut_at_random_bytes(name: str, tmp_path: Path):
    """A journal cut in the middle of a record, as a kill leaves it, resumes from the last whole record."""
    seed = 11
    wf, options = {**PROGRAMS, **THREADED}[name]()
    times = BYTE_CUTS // (len(PROGRAMS) + 1)
    wrong = await cut_bytes(wf, options, tmp_path, random.Random(seed), times)
    assert not wrong, f"{name} random.Random({seed})\n" + "\n".join(wrong)


async def test_a_finished_run_gives_its_value_without_running_anything():
    """Resuming a run that has completed reads its value and begins no body."""
    for name, make in PROGRAMS.items():
        wf, options = make()
        want, records = await recorded(wf, **options)
        got, after = await go_on(wf, records)
        assert got == Outcome(want.value, {}, got.bodies), name
        assert not got.bodies, name
        assert after == records, name
