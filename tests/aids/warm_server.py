"""Runs programs of this interpreter in processes forked from one that has imported the library: `warm.py` asks it.

Started as `python warm_server.py DESCRIPTOR MODULE...`: an order is one message with four descriptors, which become the
program's stdin, stdout and stderr, and the place where its process id and, in the end, its exit code are written.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

ORDER_LIMIT = 1 << 20  # bytes
REPORTS: dict[int, int] = {}  # process id -> where its exit code is written


def serve(orders: socket.socket) -> dict[str, Any] | None:
    """Fork for each order; give the order in the process that is to carry it out, and None when no more come."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks, who then asks no more
    # Deaths come as bytes: a handler that did more would be called between any two lines, in the fork as well.
    deaths, bell = os.pipe()
    os.set_blocking(deaths, False)
    os.set_blocking(bell, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([orders, deaths], [], [])
        if deaths in ready:
            os.read(deaths, 4096)
            report()
        if orders not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(orders, ORDER_LIMIT, 4)
        if not message:
            return None
        *streams, status = descriptors
        child = os.fork()
        if not child:
            signal.set_wakeup_fd(-1)
            orders.close()
            become(streams, [status, deaths, bell, *REPORTS.values()])
            return json.loads(message)
        REPORTS[child] = status
        tell(status, child)
        for descriptor in streams:
            os.close(descriptor)


def report() -> None:
    """Tell of all programs that have ended."""
    while REPORTS:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return
        place = REPORTS.pop(ended.si_pid)
        tell(place, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
        os.close(place)
        os.waitpid(ended.si_pid, 0)  # last: until here nobody else can have its number


def tell(place: int, number: int) -> None:
    """Write a number, if anybody still wants it."""
    try:
        os.write(place, b"%d\n" % number)
    except BrokenPipeError:
        return


def become(streams: list[int], others: list[int]) -> None:
    """Have the program's own streams, and the signals of a process that was just started."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    for descriptor in {*streams, *others}:
        if descriptor > 2:
            os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def streams_anew(*, is_unbuffered: bool) -> None:
    """Make `sys.stdin`, `sys.stdout` and `sys.stderr` for what is behind them now."""
    kinds = sys.stdout.encoding, sys.stdout.errors
    source = io.BufferedReader(io.FileIO(0, closefd=False))
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(source, *kinds)
    for number, name in (1, "stdout"), (2, "stderr"):
        raw = io.FileIO(number, "w", closefd=False)
        errors = "backslashreplace" if number == 2 else kinds[1]
        stream = io.TextIOWrapper(
            raw if is_unbuffered else io.BufferedWriter(raw),  # type: ignore[arg-type]  # as the interpreter does it
            kinds[0],
            errors,
            newline="\n",
            line_buffering=number == 2 or os.isatty(number),
            write_through=is_unbuffered,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def carry_out(order: dict[str, Any]) -> None:
    """Run the program as the interpreter would with these words behind its name."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    tempfile.tempdir = None  # it is where the environment says
    streams_anew(is_unbuffered=bool(os.environ.get("PYTHONUNBUFFERED")))
    first, *rest = order["words"]
    main = sys.modules["__main__"] = ModuleType("__main__")
    if first == "-m":
        sys.path[0] = str(Path.cwd())
        sys.argv = ["-m", *rest[1:]]
        runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]  # what -m itself calls
        return
    if first == "-c":
        sys.path[0] = ""
        sys.argv = ["-c", *rest[1:]]
        code = compile(rest[0], "<string>", "exec")
    else:
        path = str(Path(first).absolute())
        sys.path[0] = str(Path(path).parent)
        sys.argv = [first, *rest]
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec")
        main.__file__ = path
    exec(code, main.__dict__)  # noqa: S102  # the program


if __name__ == "__main__":
    ours = sys.path.pop(0)
    for module in sys.argv[2:]:
        importlib.import_module(module)
    sys.path.insert(0, ours)
    gc.collect()
    gc.freeze()
    kept = sys.modules["__main__"]  # its names are in use
    if (asked := serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        carry_out(asked)
