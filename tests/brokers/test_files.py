"""What the file broker leaves on the disk, what it makes of what it finds there, and what it holds while it is open."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import stat
import threading

import pytest

from graflow_async.brokers.file import FileBroker
from graflow_async.errors import StoreError
from graflow_async.feedback import FeedbackRecord, FeedbackState
from graflow_async.testing._brokers import answer, answered, letter, question, take
from graflow_async.testing.brokers import NO_ADDRESSES, TEXTS
from tests.aids import guards

HOSTILE = [
    *TEXTS,
    *NO_ADDRESSES,
    *(start + end for start in ("../" * 5, "/", "\\..\\", "%2f", "..%c0%af", "file://") for end in TEXTS[:12]),
]


def everything(folder):
    return sorted(path for path in folder.rglob("*"))


async def test_nothing_is_made_before_there_is_something(tmp_path):
    """Looking, dropping and forgetting make no directory."""
    broker = FileBroker(tmp_path / "deep" / "down")
    assert await broker.find() == await broker.find(run_id="run") == await broker.letters("run") == []
    assert await broker.get("0" * 32) is None
    await broker.drop("run", ["x"])
    await broker.forget("run")
    await broker.aclose()
    assert everything(tmp_path) == []


async def test_hostile_texts_lead_nowhere(tmp_path):
    """Whatever ids and names people think of, every file is in the directory, with a name of ours."""
    place = tmp_path / "a" / "b" / "people"
    broker = FileBroker(place, sync=False)
    assert len(set(HOSTILE)) >= 100
    for text in set(HOSTILE):
        request = question(text, text)
        await broker.ask(request)
        await broker.post(letter(text, text, id=text))
        await broker.get(text)
        await broker.drop(text, [f"../{text}"])
        with pytest.raises(StoreError):
            await broker.ask(question(id=f"{text}/x"))
        assert [record.request for record in await broker.find(run_id=text, request_id=text)] == [request]
    inside = set(everything(place))
    assert set(everything(tmp_path)) == {tmp_path / "a", tmp_path / "a" / "b", place, *inside}
    allowed = set("0123456789abcdef-")
    for path in inside:
        assert set(path.name.removeprefix("letter-")) <= allowed or path.name in {"runs", "ids", "tmp"}
    for text in set(HOSTILE):
        await broker.forget(text)
    left = [path for path in everything(place) if not path.is_dir()]
    assert left == []


async def test_only_the_owner_may_look(tmp_path):
    """Directories and files are closed to others, whatever the process gives to new files."""
    before = os.umask(0)
    try:
        broker = FileBroker(tmp_path / "above" / "people")
        request = question()
        await broker.ask(request)
        await answered(broker, request)
        await broker.post(letter())
    finally:
        os.umask(before)
    for path in everything(tmp_path):
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


async def test_temporary_files_do_not_stay(tmp_path):
    """Whether a step was won or lost, nothing is left of how it was written."""
    broker = FileBroker(tmp_path)
    request = question()
    await broker.ask(request)
    tries = (broker.settle(request.id, FeedbackState.ANSWERED, answer(request, f"{n}"), at=1.0) for n in range(8))
    await asyncio.gather(*tries, return_exceptions=True)
    assert list((tmp_path / "tmp").iterdir()) == []


DAMAGES = {
    "empty": b"",
    "torn": None,
    "zeros": b"\0" * 300,
    "list": b"[1, 2]",
    "text": b'"text"',
    "number": b"7",
    "deep": b"[" * 100_000,
    "not utf-8": b"\xff\xfe",
    "other": json.dumps({"request": [], "state": "pending", "response": None, "settled_at": 1, "reason": 1}).encode(),
    "strange": json.dumps({"request": "x", "state": {}, "response": 3, "settled_at": [], "reason": {}}).encode(),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_is_skipped(tmp_path, damage, caplog):
    """A file that a power cut, or somebody, has spoilt hides no other one, and the log names it."""
    broker = FileBroker(tmp_path)
    good, bad = question("good"), question("bad")
    for request in (good, bad):
        await broker.ask(request)
        await broker.post(letter(request.request_id))
    answered_record = await answered(broker, bad)
    (last,) = tmp_path.glob(f"runs/*/*-{bad.id}-1")
    note = min(tmp_path.glob("runs/*/letter-*"))
    for path in (last, note):
        content = DAMAGES[damage]
        path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with caplog.at_level(logging.WARNING, "graflow_async.feedback"):
        assert {record.request.id for record in await broker.find()} == {good.id, bad.id}
        assert len(await broker.letters("run")) == 1
    assert last.name in caplog.text
    assert note.name in caplog.text
    # What came before it counts, and may be settled anew.
    assert await broker.get(bad.id) == FeedbackRecord(bad)
    assert (await answered(broker, bad)).state is answered_record.state
    async with broker.watch() as changes:
        await broker.ask(question("next"))
        (seen,) = await take(changes, 1)
        assert seen.record is not None
        assert seen.record.request.request_id == "next"


async def test_a_question_that_was_spoilt_is_asked_again(tmp_path):
    """A first state that cannot be read counts for nothing: the run that asks again is heard."""
    broker = FileBroker(tmp_path)
    request = question()
    await broker.ask(request)
    (first,) = tmp_path.glob("runs/*/*-0")
    first.write_bytes(b"")
    assert await broker.get(request.id) is None
    async with broker.watch("run") as changes:
        record = await broker.ask(request)
        assert record == FeedbackRecord(request) == await broker.get(request.id)
        assert [change.record for change in await take(changes, 1)] == [record]
    assert await broker.find(state=FeedbackState.PENDING) == [record]


async def test_foreign_files_are_left_alone(tmp_path):
    """Links, pipes, folders and files of others are neither followed nor opened nor listed."""
    secret = tmp_path / "secret"
    place = tmp_path / "people"
    broker = FileBroker(place)
    request = question()
    record = await broker.ask(request)
    (first,) = place.glob("runs/*/*-0")
    secret.write_bytes(first.read_bytes())
    other = question("other").id
    name = first.name.replace(request.id, other)
    first.with_name(name).symlink_to(secret)
    os.mkfifo(first.with_name(name[:-1] + "1"))
    first.with_name(name[:-1] + "2").mkdir()
    shutil.copy(first, first.with_name(name[:-1] + "3"))
    first.with_name("notes.txt").write_text("mine")
    (place / "runs" / "a folder").mkdir()
    (place / "runs" / ("0" * 32)).symlink_to(first.parent)
    (place / "runs" / ("1" * 32)).write_text("a file")
    for text, number in (("../../secret", "2"), ("x", "3"), (f"{'0' * 32}/{'0' * 16}\n", "4")):
        (place / "ids" / (number * 32)).symlink_to(text)
    (place / "ids" / ("5" * 32)).write_text("a file")
    assert await broker.find() == await broker.find(run_id="run") == [record]
    for number in "2345":
        assert await broker.get(number * 32) is None
    async with broker.watch():
        pass
    assert secret.exists()


async def test_what_was_copied_elsewhere_is_not_believed(tmp_path):
    """A record under another question's or another run's name is skipped."""
    broker = FileBroker(tmp_path)
    mine, other = question("mine"), question("mine", "other run")
    await broker.ask(mine)
    await broker.ask(other)
    (file,) = tmp_path.glob(f"runs/*/*-{mine.id}-0")
    (file_of_other,) = tmp_path.glob(f"runs/*/*-{other.id}-0")
    shutil.copy(file, file_of_other.with_name(file.name))
    assert [record.request for record in await broker.find(run_id="other run")] == [other]
    assert len(await broker.find()) == 2


async def test_a_run_is_found_without_reading_others(tmp_path):
    """Finding in one run, or by one name, does not open the files of anything else."""
    broker = FileBroker(tmp_path, sync=False)
    wanted = await broker.ask(question("wanted"))
    for number in range(20):
        await broker.ask(question(f"other {number}"))
        await broker.ask(question(f"other {number}", f"run {number}"))
    for path in tmp_path.glob("runs/*/*-0"):
        if wanted.request.id not in path.name:
            path.write_bytes(b"")
    logger = logging.getLogger("graflow_async.feedback")
    with guards.AsyncioErrors(logger.name) as none:
        none.setLevel(logging.WARNING)
        assert await broker.find(request_id="wanted") == [wanted]
        assert await broker.find(run_id="run", request_id="wanted") == [wanted]
        assert await broker.get(wanted.request.id) == wanted
        assert none.reports == []
        assert await broker.find(run_id="run") == [wanted]
        assert len(none.reports) == 20


async def test_a_place_that_is_a_file(tmp_path):
    """The errors of the system are those of the port."""
    (tmp_path / "file").write_text("mine")
    broker = FileBroker(tmp_path / "file" / "people")
    request = question()
    for verb in (broker.ask(request), broker.post(letter()), broker.watch().__aenter__()):
        with pytest.raises(StoreError):
            await verb
    assert await broker.find() == []
    await broker.aclose()


async def test_two_thousand_questions_are_listed(tmp_path):
    """A full listing, and one of what is open, give each question once."""
    broker = FileBroker(tmp_path, sync=False)
    requests = [question(f"{number}", f"run {number % 10}", created_at=float(number)) for number in range(2000)]

    def fill():
        for number, request in enumerate(requests):
            broker._folder.ask(request, again=False)
            if number % 2:
                broker._folder.settle(request.id, FeedbackState.EXPIRED, None, 1.0, None, None)

    await asyncio.to_thread(fill)
    assert [record.request for record in await broker.find()] == requests
    assert [record.request for record in await broker.find(state=FeedbackState.PENDING)] == requests[::2]
    assert len(await broker.find(run_id="run 3")) == 200


async def test_nothing_is_held_after_use(tmp_path):
    """Watches give back descriptors and tasks when they are left; there never is a thread of the broker's own."""
    broker = FileBroker(tmp_path)
    await broker.ask(question())  # the loop's own threads have begun
    threads, descriptors = set(threading.enumerate()), guards.open_descriptors()
    for run_id in ("run", None, "nobody"):
        async with broker.watch(run_id) as changes, broker.watch(run_id):
            await broker.ask(question(run_id=run_id or "run"))
            await take(changes, 1)
            waiting = asyncio.ensure_future(take(changes, 1))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
    await broker.aclose()
    assert guards.new_descriptors(descriptors) == []
    assert {
        thread for thread in threading.enumerate() if thread not in threads and "asyncio" not in thread.name
    } == set()


async def test_watching_a_run_without_questions_leaves_no_folder(tmp_path):
    """Whoever watches runs that nobody knows does not fill the directory."""
    broker = FileBroker(tmp_path)
    for number in range(5):
        async with broker.watch(f"nobody {number}"):
            pass
    assert list((tmp_path / "runs").iterdir()) == []


async def test_what_a_killed_process_left_is_removed(tmp_path):
    """Half-removed runs go with the next writer; half-written files once nobody can be writing them."""
    broker = FileBroker(tmp_path)
    request = question()
    await broker.ask(request)
    (run,) = (tmp_path / "runs").iterdir()
    run.rename(tmp_path / "tmp" / "0123.gone")
    old, new = tmp_path / "tmp" / "old", tmp_path / "tmp" / "new"
    for path in (old, new):
        path.write_text("half")
    os.utime(old, (0, 0))
    await FileBroker(tmp_path).ask(question(run_id="other"))
    assert list((tmp_path / "tmp").iterdir()) == [new]
    assert request.id not in {path.name for path in (tmp_path / "ids").iterdir()}
