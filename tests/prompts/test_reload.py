"""Changes of the files: seen by everyone, waited for by nobody on a loop."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from typing import TYPE_CHECKING

import pytest

from graflow_async import PromptConfigurationError, PromptNotFoundError
from graflow_async.prompts import YAMLPromptManager, yaml_manager

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, text: str) -> None:
    """Put a prompt with one template into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"- {{label: production, template: '{text}'}}", encoding="utf-8")


@pytest.fixture
def looks(monkeypatch) -> list[tuple[str, bool]]:
    """Collect each look at the disk: the folder, and whether it was on the test's own thread."""
    real, found = yaml_manager.look, []

    def look(root, shown, prefix, before):
        found.append((prefix, threading.current_thread() is threading.main_thread()))
        return real(root, shown, prefix, before)

    monkeypatch.setattr(yaml_manager, "look", look)
    return found


def test_a_change_shows_at_the_next_call_in_plain_code(tmp_path):
    """Without a time to live each call compares: change, new file, new folder and removal show at once."""
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    write(tmp_path / "p.yaml", "one")
    assert prompts.get_prompt("p").render() == "one"
    write(tmp_path / "p.yaml", "two")
    assert prompts.get_prompt("p").render() == "two"
    write(tmp_path / "q.yaml", "new")
    write(tmp_path / "in" / "r.yaml", "deep")
    assert prompts.get_prompt("q").render() == "new"
    assert prompts.get_prompt("in/r").render() == "deep"
    (tmp_path / "p.yaml").unlink()
    (tmp_path / "in" / "r.yaml").unlink()
    (tmp_path / "in").rmdir()
    for name in ("p", "in/r"):
        with pytest.raises(PromptNotFoundError):
            prompts.get_prompt(name)


def test_changes_that_leave_size_and_time_alone_show(tmp_path):
    """Quick changes within one tick of the file system's clock, and files whose time is set back, are noticed."""
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    for number in range(100, 200):
        write(tmp_path / "p.yaml", str(number))
        os.utime(tmp_path / "p.yaml", (1, 1))
        assert prompts.get_prompt("p").render() == str(number)


def test_a_file_that_rests_is_not_read_again(tmp_path, monkeypatch):
    """Once its times are long past, an unchanged file costs a look at its entry and nothing else."""
    write(tmp_path / "p.yaml", "one")
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    prompts.get_prompt("p")
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: opened.append(path) or real(path, *rest))
    monkeypatch.setattr("graflow_async.prompts._folder.SETTLED_AFTER", -(10**12))
    first = prompts.get_prompt("p")
    assert [path.rpartition("/")[2] for path in opened] == ["p.yaml"]
    assert prompts.get_prompt("p") is first
    assert len(opened) == 1


def test_within_its_time_to_live_the_disk_is_left_alone(tmp_path, looks):
    """`cache_ttl` counts for all calls, `cache_ttl_seconds` for one; 0 asks for what is on disk now."""
    write(tmp_path / "p.yaml", "one")
    prompts = YAMLPromptManager(tmp_path, cache_ttl=3600)
    assert [prompts.get_prompt("p").render() for _ in range(3)] == ["one"] * 3
    write(tmp_path / "p.yaml", "two")
    assert prompts.get_text_prompt("p").render() == "one"
    assert len(looks) == 1
    assert prompts.get_text_prompt("p", cache_ttl_seconds=0).render() == "two"
    assert prompts.get_prompt("p").render() == "two"
    with pytest.raises(ValueError, match="cache_ttl_seconds must be"):
        prompts.get_prompt("p", cache_ttl_seconds=-1)


def test_a_new_manager_sees_what_is_there_now(tmp_path):
    """What managers share is never older than the files: one made after a change sees it, whatever its time to live."""
    for number in range(3):
        write(tmp_path / "p.yaml", str(number))
        assert YAMLPromptManager(tmp_path, cache_ttl=3600).get_prompt("p").render() == str(number)


async def test_on_a_loop_a_thread_looks(tmp_path, looks):
    """A call on a loop gives what is in memory and lets a thread look; what it found shows afterwards."""
    write(tmp_path / "p.yaml", "one")
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    await prompts.aload()
    write(tmp_path / "p.yaml", "two")
    assert prompts.get_prompt("p").render() == "one"
    await prompts.aclose()
    assert prompts.get_prompt("p").render() == "two"
    await prompts.aclose()
    assert looks
    assert not any(on_loop for _, on_loop in looks)


async def test_the_first_call_on_a_loop_looks_itself(tmp_path, looks):
    """Where nothing is in memory there is nothing to give: one look for the folder, then no more on the loop."""
    write(tmp_path / "in" / "p.yaml", "one")
    async with YAMLPromptManager(tmp_path / "none"):
        looks.clear()
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    for _ in range(20):
        assert prompts.get_prompt("in/p").render() == "one"
    await prompts.aclose()
    assert [look for look in looks if look[1]] == [("in/", True)]


async def test_only_one_thread_looks_at_a_folder(tmp_path, monkeypatch):
    """However many calls find a folder old, one thread looks, and the calls do not wait for it."""
    write(tmp_path / "p.yaml", "one")
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    await prompts.aload()
    release, begun, real = threading.Event(), threading.Event(), yaml_manager.look
    calls = []

    def slow(*args):
        calls.append(args)
        begun.set()
        assert release.wait(30)
        return real(*args)

    monkeypatch.setattr(yaml_manager, "look", slow)
    try:
        assert [prompts.get_prompt("p").render() for _ in range(50)] == ["one"] * 50
        await asyncio.to_thread(begun.wait, 30)
        assert len([t for t in threading.enumerate() if t.name == "graflow-prompts"]) == 1
    finally:
        release.set()
    await prompts.aclose()
    assert len(calls) == 1
    assert not [t for t in threading.enumerate() if t.name == "graflow-prompts"]


async def test_the_asynchronous_call_is_never_out_of_date(tmp_path, looks):
    """`aget_prompt` waits for the thread that looks, and asks no thread when what is in memory is young enough."""
    prompts = YAMLPromptManager(tmp_path, cache_ttl=3600)
    for number in range(3):
        write(tmp_path / "p.yaml", str(number))
        assert (await prompts.aget_prompt("p", cache_ttl_seconds=0)).render() == str(number)
    count = len(looks)
    write(tmp_path / "p.yaml", "later")
    assert (await prompts.aget_prompt("p")).render() == "2"
    assert len(looks) == count
    assert not any(on_loop for _, on_loop in looks)
    with pytest.raises(PromptNotFoundError):
        await prompts.aget_prompt("q", cache_ttl_seconds=0)


async def test_before_a_prompt_is_said_to_be_missing_the_disk_is_asked(tmp_path):
    """A prompt that was just added, or put right, is found on a loop too once the time to live is over."""
    write(tmp_path / "p.yaml", "one")
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    await prompts.aload()
    write(tmp_path / "q.yaml", "new")
    assert prompts.get_prompt("q").render() == "new"
    (tmp_path / "r.yaml").write_text("- 7", encoding="utf-8")
    with pytest.raises(PromptConfigurationError):
        prompts.get_prompt("r")
    write(tmp_path / "r.yaml", "right")
    assert prompts.get_prompt("r").render() == "right"
    await prompts.aclose()


async def test_entering_loads_and_tells_what_is_wrong(tmp_path, looks):
    """`async with` has everything in memory before its block begins, compiled; a wrong file keeps it from beginning."""
    write(tmp_path / "p.yaml", "one")
    write(tmp_path / "a" / "b" / "q.yaml", "two")
    async with YAMLPromptManager(tmp_path, cache_ttl=3600) as prompts:
        assert sorted(looks) == [("", False), ("a/", False), ("a/b/", False)]
        assert prompts.get_prompt("a/b/q").render() == "two"
        assert len(looks) == 3
    (tmp_path / "a" / "bad.yaml").write_text("x: [", encoding="utf-8")
    with pytest.raises(PromptConfigurationError, match=r"a/bad\.yaml"):
        async with YAMLPromptManager(tmp_path):
            pytest.fail("the block began")


def test_a_file_that_becomes_wrong_is_served_as_it_was(tmp_path, caplog):
    """A half-written file stops nobody: its last right state is served with one warning, until it is right again."""
    write(tmp_path / "p.yaml", "one")
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    assert prompts.get_prompt("p").render() == "one"
    for _ in range(3):
        (tmp_path / "p.yaml").write_text("- {label: prod", encoding="utf-8")
        assert prompts.get_prompt("p").render() == "one"
    assert len(caplog.records) == 1
    assert "p.yaml is no plain YAML" in caplog.text
    assert "still served" in caplog.text
    with pytest.raises(PromptConfigurationError, match=r"p\.yaml is no plain YAML"):
        prompts.load()
    write(tmp_path / "p.yaml", "two")
    assert prompts.get_prompt("p").render() == "two"
    prompts.load()
    write(tmp_path / "p.yaml", "one")
    assert prompts.get_prompt("p").render() == "one"


def test_a_file_that_was_never_right_is_told_until_it_is(tmp_path):
    """There is nothing to serve in its place, and the message is that of its present state."""
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    for text, said in (("- 1", "not 1"), ("- 2", "not 2")):
        (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(PromptConfigurationError, match=said):
            prompts.get_prompt("p")
    write(tmp_path / "p.yaml", "right")
    assert prompts.get_prompt("p").render() == "right"


async def test_a_thread_that_cannot_start_leaves_what_is_in_memory(tmp_path, monkeypatch, caplog):
    """Where the system refuses threads, prompts are still served, and the log says that they may be out of date."""
    write(tmp_path / "p.yaml", "one")
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    await prompts.aload()

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert prompts.get_prompt("p").render() == "one"
    assert "may be out of date" in caplog.text
    write(tmp_path / "p.yaml", "two")
    prompts.get_prompt("p")
    await prompts.aclose()
    assert (await prompts.aget_prompt("p")).render() == "two"


async def test_a_folder_that_cannot_be_listed_any_more_is_served_as_it_was(tmp_path, monkeypatch, caplog):
    """A disk that fails for a while takes no prompt away that is in memory; what is not in memory says why."""
    write(tmp_path / "p.yaml", "one")
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    await prompts.aload()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(yaml_manager, "look", refuse)
        assert (await prompts.aget_prompt("p")).render() == "one"
        assert "Permission denied; its prompts are still served" in caplog.text
        with pytest.raises(PromptConfigurationError, match="Permission denied"):
            YAMLPromptManager(tmp_path).get_prompt("p")


def test_threads_share_a_manager(tmp_path):
    """While the file changes all the time, many threads and loops only ever see whole states of it, in their order."""
    write(tmp_path / "p.yaml", "0")
    prompts = YAMLPromptManager(tmp_path, cache_ttl=0)
    done = threading.Event()
    seen: list[list[int]] = [[] for _ in range(6)]

    def watch(found: list[int]) -> None:
        while not done.is_set() or not found or found[-1] != 60:
            found.append(int(prompts.get_text_prompt("p").render()))

    async def watch_on_loop(found: list[int]) -> None:
        while not done.is_set() or not found or found[-1] != 60:
            found.append(int(str((await prompts.aget_prompt("p")).render())))

    threads = [threading.Thread(target=watch, args=(found,)) for found in seen[:4]]
    threads += [threading.Thread(target=lambda f=found: asyncio.run(watch_on_loop(f))) for found in seen[4:]]
    for thread in threads:
        thread.start()
    for number in range(1, 61):
        write(tmp_path / "next", str(number))
        (tmp_path / "next").replace(tmp_path / "p.yaml")
    done.set()
    for thread in threads:
        thread.join()
    assert all(found == sorted(found) for found in seen)
    assert all(found[-1] == 60 for found in seen)


def test_a_pickled_manager_looks_at_the_same_directory(tmp_path, monkeypatch):
    """In another process, with another working directory, it finds the same prompts and keeps its time to live."""
    write(tmp_path / "prompts" / "p.yaml", "one")
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(YAMLPromptManager("prompts", cache_ttl=3600))
    monkeypatch.chdir("/")
    prompts = pickle.loads(data)
    assert prompts.get_prompt("p").render() == "one"
    write(tmp_path / "prompts" / "p.yaml", "two")
    assert prompts.get_prompt("p").render() == "one"
