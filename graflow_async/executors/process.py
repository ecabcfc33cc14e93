"""Child processes for CPU-bound calls: the pool that runs a pickled function outside this interpreter.

Only the pool and its side of the pipes live here; the program that a child runs is in `_child.py`. Each child is a
fresh interpreter, so the user's `__main__` is not imported a second time, and it shares no state with this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from graflow_async.errors import GraflowRuntimeError, NotSerializableError, ProcessDiedError, note
from graflow_async.policy import require_count

from . import _child as wire
from .threads import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

_REAP_WITHIN = 5.0  # seconds that a killed child may take to vanish before nobody waits for it any more


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__qualname__", None) or type(fn).__qualname__


def place_of(fn: Callable[..., Any]) -> tuple[str, list[str]] | None:
    """Find the module-level object that wraps `fn` as its `func`, as a decorated task does.

    Such a function is no longer what its name stands for, so pickling would copy it together with all globals it uses:
    slowly, without their state, and not at all if one of them is a lock or a connection.
    """
    module = sys.modules.get(getattr(fn, "__module__", None) or "")
    if module is None or module.__name__ == "__main__" or module.__spec__ is None:
        return None
    names = _name(fn).split(".")
    found: Any = module
    for name in names:
        found = getattr(found, name, None)
    if found is fn or getattr(found, "func", None) is not fn:
        return None
    return module.__name__, [*names, "func"]


def _pickled(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """Pickle a call.

    Raises:
        NotSerializableError: the function or an argument cannot be pickled.
    """
    place = place_of(fn)
    try:
        return wire.dumps((None if place else fn, place, tuple(args), dict(kwargs)))
    except Exception as error:
        what = f"function {_name(fn)!r}"
        parts = [(f"argument {i + 1}", value) for i, value in enumerate(args)]
        parts += [(f"argument {key!r}", value) for key, value in kwargs.items()]
        for label, value in parts:
            try:
                wire.dumps(value)
            except Exception:  # noqa: BLE001  # pickling runs user code, which may raise anything
                what = f"{label} of {_name(fn)!r} (a {type(value).__qualname__})"
                break
        raise NotSerializableError(f"{what} cannot be sent to a child process: {error}; pass plain data") from error


def _unpickled(fn: Callable[..., Any], kind: bytes, payload: bytearray) -> tuple[Any, BaseException | None]:
    """Turn the answer of a child into the value of the call or the exception it ended with."""
    try:
        answer = pickle.loads(payload)
    except Exception as error:  # noqa: BLE001  # unpickling runs user code, which may raise anything
        refusal = NotSerializableError(f"what {_name(fn)!r} gave back cannot be unpickled here: {error}")
        refusal.__cause__ = error
        return None, refusal
    if kind == wire.VALUE:
        return answer, None
    if kind == wire.STUCK:
        problem = f"the result of {_name(fn)!r} (a {answer[0]}) cannot be sent back: {answer[1]}; return plain data"
        return None, NotSerializableError(problem)
    looks, text = answer
    if kind == wire.ERROR:
        error = looks
    elif kind == wire.OPAQUE:
        error = GraflowRuntimeError(f"{_name(fn)!r} raised an exception that cannot be pickled: {looks}")
    else:
        error = NotSerializableError(f"{_name(fn)!r} or its arguments cannot be unpickled in a child process: {looks}")
    note(error, f"Traceback in the child process:\n{text.rstrip()}")
    return None, error


def _ending(code: int) -> str:
    """Say in words how a process ended."""
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")


class _Child:
    """A place for one child process, which is started when a call needs it and again after it died.

    All methods but `kill` block and are called by one thread at a time, the one that has the place.
    """

    __slots__ = ("_lock", "_path", "_process", "_replies", "_requests", "doomed")

    def __init__(self) -> None:
        self.doomed = False  # killed, or to be killed as soon as it has started; must be reaped before the next call
        self._lock = threading.Lock()  # a process is signalled only while it is certain that it has not been reaped
        self._process: subprocess.Popen[bytes] | None = None
        self._requests = self._replies = -1
        self._path: list[str] = []

    def call(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, BaseException | None]:
        """Run one call and give its value or its exception.

        Raises:
            NotSerializableError: the call cannot be pickled.
            ProcessDiedError: the process ended before it answered.
            OSError: no process could be started.
        """
        request = _pickled(fn, args, kwargs)
        if self.doomed:
            raise ProcessDiedError(f"{_name(fn)!r} was given up before it reached a child process")
        if self._process is not None and self._is_dead():
            self.reap()
        if self._process is None:
            self._start()
        path = [entry for entry in sys.path if isinstance(entry, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
        try:
            if path != self._path:
                wire.send(self._requests, wire.PATH, pickle.dumps(path))
                self._path = path
            wire.send(self._requests, wire.CALL, request)
            del request
            kind, payload = wire.receive(self._replies)
        except (EOFError, OSError) as error:
            raise self._died(f"while it ran {_name(fn)!r}") from error
        return _unpickled(fn, kind, payload)

    def kill(self) -> None:
        """End the process and what it has started; never blocks, callable from any thread."""
        self.doomed = True
        # Not to be had: the process is just being noted, and then seen to be doomed, or is being reaped.
        if self._lock.acquire(blocking=False):
            try:
                if self._process is not None:
                    _kill_group(self._process.pid)
            finally:
                self._lock.release()

    def reap(self) -> int:
        """Kill the process unless it has ended, collect its exit status and close the pipes."""
        with self._lock:
            process, self._process = self._process, None
            if process is None:
                return 0
            # Also after it died by itself: what it has started is still there, and its group id still taken.
            _kill_group(process.pid)
            code = process.wait()
        os.close(self._requests)
        os.close(self._replies)
        return code

    def _start(self) -> None:
        theirs_in, requests = os.pipe()
        replies, theirs_out = os.pipe()
        # By path and not with -m, which would import the whole package first and find it only where it is installed.
        # -P keeps the folder of that file out of sys.path.
        command = [sys.executable, "-P", wire.__file__, str(theirs_in), str(theirs_out)]
        try:
            # A group of its own: Ctrl-C in the terminal stays with the parent, and killing takes grandchildren along.
            process = subprocess.Popen(  # noqa: S603  # our own program, nothing from outside
                command, stdin=subprocess.DEVNULL, pass_fds=(theirs_in, theirs_out), process_group=0
            )
        except BaseException:
            os.close(requests)
            os.close(replies)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        with self._lock:
            self._process, self._requests, self._replies, self._path = process, requests, replies, []
        if self.doomed:
            self.kill()
        try:
            wire.receive(replies)
        except (EOFError, OSError) as error:
            raise self._died("while it started") from error

    def _is_dead(self) -> bool:
        # An idle child says nothing; the end of its pipe is news of its death, before anybody has collected its status.
        poller = select.poll()
        poller.register(self._replies, select.POLLIN)
        return bool(poller.poll(0))

    def _died(self, when: str) -> ProcessDiedError:
        code = self.reap()
        return ProcessDiedError(f"a child process {_ending(code)} {when}", code)


def _kill_group(pid: int) -> None:
    # EPERM is what some systems say of a group in which only the dead are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class ProcessPool:
    """Runs calls in child processes, one call at a time in each; for use from one event loop.

    A child is started when a call finds none idle, up to `max_workers`; further calls wait their turn. It inherits
    environment, working directory, stdout and stderr as they are when it starts, and follows `sys.path`. Functions of
    importable modules are imported by the child, others (of `__main__`, nested ones, lambdas) are sent by value.
    """

    __slots__ = ("_closed", "_idle", "_max_workers", "_places", "_threads", "_waiting", "_working")

    def __init__(self, max_workers: int | None = None) -> None:
        """Make an empty pool; no process starts before the first call.

        Args:
            max_workers: how many children there may be at once; by default one per processor.

        Raises:
            ConfigError: `max_workers` is no whole number of at least 1.
        """
        if max_workers is not None:
            require_count("max_workers", max_workers, least=1)
        self._max_workers = max_workers or os.cpu_count() or 1
        self._threads = ThreadPool("graflow-process")
        self._places: list[_Child] = []
        self._idle: list[_Child] = []  # used as a stack, so that few children do the work if few are enough
        self._waiting: deque[asyncio.Future[_Child]] = deque()
        self._working: set[asyncio.Future[Any]] = set()
        self._closed = False

    async def run(
        self,
        fn: Callable[..., T],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        on_begin: Callable[[], None] | None = None,
    ) -> T:
        """Call `fn(*args, **kwargs)` in a child process and give its value; `on_begin` hears that one is free for it.

        An exception of the call is raised here with the remote traceback as a note. When the awaiting task is
        cancelled, the child is killed and reaped.

        Raises:
            NotSerializableError: function, argument or result cannot be pickled or not be unpickled.
            ProcessDiedError: the child ended before it answered; other calls are not touched.
            GraflowRuntimeError: the pool is closed, or the exception of the call cannot be pickled.
            OSError: no process could be started.
        """
        child = await self._acquire()
        if on_begin is not None:
            on_begin()
        try:
            future = self._occupy(child, partial(child.call, fn, args, kwargs or {}))
        except BaseException:
            self._release(child)
            raise
        try:
            # Not awaited directly: cancelling must not mark it as done while its thread still has the child.
            await asyncio.wait((future,))
        except asyncio.CancelledError:
            if not future.done():
                child.kill()
                await asyncio.wait((future,), timeout=_REAP_WITHIN)
            raise
        error = None
        try:
            value, error = future.result()
            if error is not None:
                raise error
            return value
        except ProcessDiedError as death:
            if self._closed and death is not error:
                raise self._refusal() from None
            raise
        finally:
            del error, future  # an exception that knows this frame must not be known by it

    async def aclose(self) -> None:
        """Kill and reap all children; calls that still run or wait end with a GraflowRuntimeError."""
        self._closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(self._refusal())
        self._waiting.clear()
        for child in self._places:
            child.kill()
        idle, self._idle = self._idle, []
        for child in idle:
            self._release(child)
        while self._working:
            done, _ = await asyncio.wait(self._working, timeout=_REAP_WITHIN)
            if not done:
                break
        await self._threads.aclose()

    def _refusal(self) -> GraflowRuntimeError:
        return GraflowRuntimeError("the process pool is closed; keep it open until its calls have ended")

    async def _acquire(self) -> _Child:
        """Wait for a place to run in; first come, first served."""
        if self._closed:
            raise self._refusal()
        if self._idle:
            return self._idle.pop()
        if len(self._places) < self._max_workers:
            child = _Child()
            self._places.append(child)
            return child
        waiter: asyncio.Future[_Child] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with contextlib.suppress(ValueError):
                    self._waiting.remove(waiter)
            elif waiter.exception() is None:
                self._release(waiter.result())
            raise

    def _occupy(self, child: _Child, call: Callable[[], T]) -> asyncio.Future[T]:
        """Have a thread do something with a child; the place is free again when the thread is done."""
        future = self._threads.submit(call)
        self._working.add(future)
        future.add_done_callback(partial(self._vacate, child))
        return future

    def _vacate(self, child: _Child, future: asyncio.Future[Any]) -> None:
        self._working.discard(future)
        self._release(child)

    def _release(self, child: _Child) -> None:
        """Give a place to the next in line."""
        if child.doomed:
            child.doomed = False
            self._occupy(child, child.reap)
            return
        if self._closed:
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(child)
                return
        self._idle.append(child)
