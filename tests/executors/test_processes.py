"""The process pool: what travels, who runs it, and in which order. How processes end is in test_process_ends.py."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from graflow_async.errors import ConfigError, GraflowRuntimeError, NotSerializableError
from graflow_async.executors.process import ProcessPool


async def test_value_comes_from_another_process(pool):
    """Positional and keyword arguments arrive, the value comes back, and one child does it all."""
    results = [await pool.run(lambda a, *, b: (os.getpid(), a, b), (n,), {"b": [n]}) for n in range(5)]
    pids = {pid for pid, _, _ in results}
    assert [(a, b) for _, a, b in results] == [(n, [n]) for n in range(5)]
    assert len(pids) == 1
    assert os.getpid() not in pids


async def test_nested_functions_and_classes_travel_by_value(pool):
    """A closure over a local class works, and an instance that comes back is of the very same class."""

    class Point:
        def __init__(self, x):
            self.x = x

    offset = 5

    def moved(point):
        return Point(point.x + offset)

    point = await pool.run(moved, (Point(1),))
    assert type(point) is Point
    assert point.x == 6


def module(tmp_path, name, source):
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))


async def test_modules_are_imported_by_the_child(pool, tmp_path, monkeypatch):
    """A function of a module is imported, from folders added to sys.path at any time, and keeps the module's state."""
    await pool.run(int)
    module(
        tmp_path,
        "graflow_test_counting",
        """
        count = 0

        def up():
            global count
            count += 1
            return count
        """,
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    counting = __import__("graflow_test_counting")
    try:
        assert [await pool.run(counting.up) for _ in range(3)] == [1, 2, 3]
        assert counting.count == 0
    finally:
        del sys.modules["graflow_test_counting"]


async def test_wrapped_functions_are_imported_too(pool, tmp_path, monkeypatch):
    """The function inside a module's decorated object is found by its place, so its globals need not be picklable."""
    module(
        tmp_path,
        "graflow_test_wrapping",
        """
        import threading

        LOCK = threading.Lock()
        calls = []

        class Task:
            def __init__(self, func):
                self.func = func

        @Task
        def double(x):
            with LOCK:
                calls.append(x)
                return 2 * x, len(calls)

        class Holder:
            @staticmethod
            def triple(x):
                with LOCK:
                    return 3 * x

            triple = Task(triple)
        """,
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    wrapping = __import__("graflow_test_wrapping")
    try:
        assert await pool.run(wrapping.double.func, (4,)) == (8, 1)
        assert await pool.run(wrapping.double.func, (5,)) == (10, 2)
        assert await pool.run(wrapping.Holder.triple.func, (5,)) == 15
    finally:
        del sys.modules["graflow_test_wrapping"]


def test_main_is_not_imported_again(tmp_path, nothing_left):
    """A script without any guard runs once, and its functions and classes travel by value both ways."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import asyncio, enum
            from graflow_async.executors.process import ProcessPool

            print("imported")

            class Colour(enum.Enum):
                RED = 1

            class OddError(Exception):
                pass

            def paint(colour):
                if colour is Colour.RED:
                    return [Colour.RED]
                raise OddError(colour)

            async def main():
                pool = ProcessPool(1)
                print((await pool.run(paint, (Colour.RED,)))[0] is Colour.RED)
                try:
                    await pool.run(paint, (3,))
                except OddError as error:
                    print(error.args)
                await pool.aclose()

            asyncio.run(main())
            """
        )
    )
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("imported\nTrue\n(3,)\n", "", 0)


async def test_exceptions_arrive_with_the_remote_traceback(pool):
    """The exception of a call is raised here, attributes and notes included, and a note shows where it happened."""

    class OddError(Exception):
        def __init__(self, code):
            super().__init__(code)
            self.code = code

    def inner_culprit():
        error = OddError(7)
        error.add_note("look there")
        raise error from KeyError("cause")

    with pytest.raises(OddError) as caught:
        await pool.run(inner_culprit)
    first, second = caught.value.__notes__
    assert caught.value.code == 7
    assert first == "look there"
    assert "Traceback in the child process" in second
    assert "inner_culprit" in second
    assert "KeyError: 'cause'" in second
    assert "_child.py" not in second


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, ExceptionGroup])
async def test_unusual_exceptions_are_exceptions_of_the_call(pool, kind):
    """What would end a program, or cancel a task, only ends the call; the child serves on."""

    def body():
        raise kind("stop", [ValueError(1)]) if kind is ExceptionGroup else kind(3)

    pid = await pool.run(os.getpid)
    caught = None
    try:
        await pool.run(body)
    except BaseException as error:
        caught = error
    assert type(caught) is kind
    assert await pool.run(os.getpid) == pid


async def test_stop_iteration_is_wrapped(pool):
    """StopIteration cannot leave a coroutine and arrives as the cause of a RuntimeError."""
    with pytest.raises(RuntimeError) as caught:
        await pool.run(next, (iter(()),))
    assert isinstance(caught.value.__cause__, StopIteration)


async def test_exceptions_that_cannot_travel_are_described(pool):
    """An exception that cannot be pickled, or not be rebuilt, is named with its traceback."""

    class NeedyError(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one}{two}")

    def not_rebuilt():
        raise NeedyError("a", "b")

    def not_pickled():
        raise ValueError(threading.Lock())

    for body, looks in ((not_rebuilt, "NeedyError: ab"), (not_pickled, "ValueError: <unlocked")):
        with pytest.raises(GraflowRuntimeError, match=looks) as caught:
            await pool.run(body)
        assert body.__name__ in caught.value.__notes__[0]


async def test_what_cannot_be_sent_is_named(pool):
    """The error names the argument, or the function, that cannot be pickled, and costs no child."""
    pid = await pool.run(os.getpid)
    lock = threading.Lock()

    def captures():
        return lock

    for call, what in (
        ((len, (1, lock)), r"argument 2 of 'len' \(a lock\)"),
        ((len, (), {"key": [lock]}), r"argument 'key' of 'len' \(a list\)"),
        ((captures,), "function .*captures"),
    ):
        with pytest.raises(NotSerializableError, match=what):
            await pool.run(*call)
    assert await pool.run(os.getpid) == pid


async def test_what_cannot_come_back_is_named(pool):
    """A result that cannot be pickled is an error that names function and type, and costs no child."""
    pid = await pool.run(os.getpid)

    def generates():
        yield 1

    with pytest.raises(NotSerializableError, match=r"result of .*generates.* \(a generator\)"):
        await pool.run(generates)
    assert await pool.run(os.getpid) == pid


async def test_what_cannot_be_rebuilt_is_an_error(pool):
    """An argument that cannot be rebuilt in the child, or a result here, is an error of the call."""
    here, pid = os.getpid(), await pool.run(os.getpid)

    def rebuild(where):
        if (os.getpid() == here) == (where == "here"):
            raise LookupError("not " + where)
        return where

    class Picky:
        def __init__(self, where):
            self.where = where

        def __reduce__(self):
            return rebuild, (self.where,)

    with pytest.raises(NotSerializableError, match="in a child process: LookupError: not there") as caught:
        await pool.run(repr, (Picky("there"),))
    assert "rebuild" in caught.value.__notes__[0]
    with pytest.raises(NotSerializableError, match="unpickled here: not here"):
        await pool.run(Picky, ("here",))
    assert await pool.run(os.getpid) == pid


async def test_large_payloads_do_not_hold_the_loop(pool):
    """50 MB travel both ways unharmed while the loop goes on turning."""
    payload = os.urandom(1 << 20) * 50
    turns = 0

    async def turn():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    try:
        result = await pool.run(lambda data: data[::-1], (payload,))
    finally:
        turning.cancel()
    assert result[::-1] == payload
    assert turns > 20


async def test_prints_are_the_users(pool, capfd):
    """What a call writes to stdout and stderr goes there at once and never into the protocol; stdin is empty."""

    def talks():
        os.write(1, b"raw\n")
        print("x" * 200_000)  # noqa: T201  # prints are what this is about
        print("complaint", file=sys.stderr)  # noqa: T201  # as above
        os.system("echo from a shell")  # noqa: S605  # written here
        return sys.stdin.read()

    assert await pool.run(talks) == ""
    out, err = capfd.readouterr()
    assert sorted(out.split()) == sorted(["raw", "x" * 200_000, "from", "a", "shell"])
    assert err == "complaint\n"


async def test_environment_and_folder_are_inherited(pool, tmp_path, monkeypatch):
    """A child has the environment and the working directory of the moment it starts."""
    monkeypatch.setenv("GRAFLOW_TEST_MARK", "here")
    monkeypatch.chdir(tmp_path)
    assert await pool.run(lambda: (os.environ["GRAFLOW_TEST_MARK"], Path.cwd())) == ("here", tmp_path)
    assert await pool.run(lambda: "PYTHONPATH" in os.environ) == ("PYTHONPATH" in os.environ)


async def test_two_run_at_once_and_never_more(pool, fifo):
    """Calls that need each other run at the same time, and many calls use no more than `max_workers` children."""

    def reads():
        return Path(fifo).read_text()

    def writes():
        Path(fifo).write_text("met")

    assert await asyncio.gather(pool.run(reads), pool.run(writes)) == ["met", None]
    pids = await asyncio.gather(*(pool.run(os.getpid) for _ in range(300)))
    assert len(set(pids)) <= 2


async def test_calls_wait_in_line(nothing_left):
    """With one child, calls run in the order in which they were made, and who leaves the line holds up nobody."""
    pool = ProcessPool(1)

    def note(n):
        import builtins

        seen = builtins.__dict__.setdefault("graflow_seen", [])
        seen.append(n)
        return seen

    calls = [asyncio.create_task(pool.run(note, (n,))) for n in range(20)]
    await asyncio.sleep(0)
    for n in (5, 6, 19):
        calls[n].cancel()
    await asyncio.wait(calls)
    assert [n for n, call in enumerate(calls) if call.cancelled()] == [5, 6, 19]
    assert calls[18].result() == [n for n in range(19) if n not in (5, 6)]
    await pool.aclose()


async def test_two_thousand_calls(pool):
    """Every one of 2,000 calls gets its own answer."""
    values = await asyncio.gather(*(pool.run(divmod, (n, 7)) for n in range(2_000)))
    assert values == [divmod(n, 7) for n in range(2_000)]


async def test_interrupts_are_left_to_the_parent(pool):
    """SIGINT does not touch a call, and programs that a call starts are not made deaf to it."""

    def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
        ignored = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
        return int(ignored, 16) >> (signal.SIGINT - 1) & 1, os.getpgrp() == os.getpid()

    assert await pool.run(interrupted) == (0, True)


def test_number_of_workers_is_checked():
    """A pool of no children is refused where it is made."""
    wrongs: list[Any] = [0, -1, 1.5, "2"]
    for wrong in wrongs:
        with pytest.raises(ConfigError, match="max_workers"):
            ProcessPool(wrong)
    assert ProcessPool()._max_workers == os.cpu_count()


def test_cloudpickle_is_loaded_late():
    """Importing the pool does not import cloudpickle."""
    root = str(Path(__file__).parents[2])
    program = (
        f"import sys; sys.path.insert(0, {root!r}); import graflow_async.executors.process as p; print(p.__name__)"
    )
    program += "; print('cloudpickle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["graflow_async.executors.process", "False"]
