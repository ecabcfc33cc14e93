"""The program that a child process runs, and the frames in which it talks to its parent.

The file is run by its path and must therefore import nothing but the standard library (and cloudpickle, late): it
starts in a few milliseconds, wherever the package is installed. The parent's half is in `process.py`, which imports the
frames from here.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import select
import signal
import struct
import sys
import threading
import traceback
from functools import partial
from typing import Any

READY = b"+"  # child: I am listening
PATH = b"P"  # parent: import from these folders from now on
CALL = b"C"  # parent: run this
VALUE = b"V"  # child: what the call returned
ERROR = b"E"  # child: (the exception of the call, its traceback as text)
OPAQUE = b"O"  # child: (what the exception looked like, its traceback as text), as it cannot be pickled itself
STUCK = b"S"  # child: (type of the value, why it cannot be pickled)
UNREADABLE = b"U"  # child: (why the call could not be unpickled, the traceback as text)

_MARK = b"gA"
_HEADER = struct.Struct(">2scQ")  # mark, kind, length of what follows
_JOINED = 1 << 16  # bytes up to which a copy is cheaper than a second system call


def send(fd: int, kind: bytes, payload: bytes | bytearray) -> None:
    """Write one frame, blocking until the pipe has taken all of it.

    Raises:
        OSError: nobody reads the pipe any more.
    """
    header = _HEADER.pack(_MARK, kind, len(payload))
    parts = [header + payload] if len(payload) <= _JOINED else [header, payload]
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[os.write(fd, view) :]


def _exactly(fd: int, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = os.readv(fd, [view])
        if count == 0:
            raise EOFError("the other end of the pipe is closed")
        view = view[count:]
    return buffer


def receive(fd: int) -> tuple[bytes, bytearray]:
    """Read one frame, blocking until it is complete, and give its kind and payload.

    Raises:
        EOFError: the pipe ended before the frame did.
        OSError: what arrived is no frame, or the pipe cannot be read.
    """
    mark, kind, length = _HEADER.unpack(_exactly(fd, _HEADER.size))
    if mark != _MARK:
        raise ConnectionAbortedError("something else wrote to the pipe between parent and child")
    return kind, _exactly(fd, length)


def dumps(value: Any) -> bytes:
    """Pickle a value, by value what cannot be imported by name; cloudpickle is loaded at the first use."""
    import cloudpickle  # pyright: ignore[reportMissingTypeStubs]  # it has none

    return cloudpickle.dumps(value)  # pyright: ignore[reportUnknownMemberType]


def _load(payload: bytearray) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Unpickle a call; a function named by its place is looked up there."""
    fn, place, args, kwargs = pickle.loads(payload)
    if place is not None:
        module, names = place
        fn = importlib.import_module(module)
        for name in names:
            fn = getattr(fn, name)
    return fn, args, kwargs


def _text(error: BaseException) -> str:
    """Format the traceback without this file's own frame."""
    trace = error.__traceback__ and error.__traceback__.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _looks(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _failed(error: BaseException) -> tuple[bytes, bytes]:
    text = _text(error)
    try:
        payload = dumps((error, text))
        # Many exceptions can be pickled and not be rebuilt; that must come out here, where the text is at hand.
        pickle.loads(payload)
    except Exception:  # noqa: BLE001  # user code runs here and may raise anything
        return OPAQUE, pickle.dumps((_looks(error), text))
    return ERROR, payload


def _serve(requests: int) -> tuple[bytes, bytes] | None:
    """Take one request and carry it out; the answer, if it wants one."""
    kind, payload = receive(requests)
    if kind == PATH:
        sys.path[:] = pickle.loads(payload)
        importlib.invalidate_caches()
        return None
    try:
        fn, args, kwargs = _load(payload)
    except BaseException as error:  # noqa: BLE001  # importing a user's module may raise anything
        return UNREADABLE, pickle.dumps((_looks(error), _text(error)))
    del payload
    try:
        value = fn(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  # SystemExit too belongs to the caller, not to this process
        return _failed(error)
    try:
        return VALUE, dumps(value)
    except Exception as error:  # noqa: BLE001  # as above: __reduce__ is user code
        return STUCK, pickle.dumps((type(value).__qualname__, _looks(error)))


def _exit_with_parent(requests: int) -> None:
    """Wait until nobody can write requests any more, then end this process and what it has started.

    It needs the interpreter lock for that: a call into C that holds on to it comes to its end first.
    """
    poller = select.poll()
    poller.register(requests, select.POLLHUP)
    poller.poll()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _take_no_notice(signum: int, frame: object) -> None:
    """Do nothing on Ctrl-C, which is the parent's to judge.

    A handler, as ignoring the signal would be inherited by the programs that a task starts.
    """


def main(requests: int, replies: int) -> None:
    """Serve requests until the parent closes its end of the pipe."""
    signal.signal(signal.SIGINT, _take_no_notice)
    for fd in (requests, replies):
        os.set_inheritable(fd, False)  # noqa: FBT003  # positional only
        # A process that a task forks must neither answer for this one nor keep the pipes open.
        os.register_at_fork(after_in_child=partial(os.close, fd))
    threading.Thread(target=_exit_with_parent, args=(requests,), name="graflow-parent", daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        send(replies, READY, b"")
        while True:
            answer = _serve(requests)
            if answer is not None:
                for stream in (sys.stdout, sys.stderr):
                    # What a task has printed is out before its caller goes on; a broken stdout is not its failure.
                    with contextlib.suppress(Exception):
                        stream.flush()
                send(replies, *answer)
                del answer


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
