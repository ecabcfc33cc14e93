"""A terminal with a program behind it that runs one command line after the other, each in a process of its own.

The library is imported once and every command forks, so that a command costs milliseconds and not half a second.
"""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import re
import select
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WIDTH = 100
PATIENCE = 60.0  # seconds without a word, after which a test has failed
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ENDED = re.compile("\x1e([0-9]+) (-?[0-9]+)\x1e")
# Reads command lines from a pipe and has a process run each; the terminal on stdin is the controlling one, so that its
# keys become signals, which only the process of the command minds. What commands import later is imported before. A
# machine that stands still must look neither like a Redis that does not answer nor like a run that does not end.
SERVER = """
import fcntl, gc, importlib, json, os, signal, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from graflow_async.cli import doctor_redis, loop, main
loop._NOTICE_AFTER = doctor_redis.PATIENCE = float(sys.argv[2])
for name in "_redis.jobs worker.main ui.server draw recorded_story checkpoints.file cli.doctor_redis".split():
    importlib.import_module(f"graflow_async.{name}")
import typer.rich_utils
gc.freeze()
signal.signal(signal.SIGINT, signal.SIG_IGN)
for line in os.fdopen(int(sys.argv[1])):
    order = json.loads(line)
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(order["environment"])
        sys.exit(main(order["words"]))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(1, f"\\x1e{order['number']} {status}\\x1e".encode())
"""


class Console:
    """Somebody at a terminal, who types command lines and keys."""

    def __init__(self, master: int, orders: int) -> None:
        self._master = master
        self._orders = orders
        self._read = ""
        self._number = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def begin(self, *words: str, **environment: str) -> None:
        """Start a command."""
        self._number += 1
        order = {"number": self._number, "words": words, "environment": environment}
        os.write(self._orders, f"{json.dumps(order)}\n".encode())

    def see(self, word: str) -> None:
        """Wait until something is on the screen."""
        while word not in self._read:
            self._read_on()

    def _read_on(self) -> None:
        if not select.select([self._master], [], [], PATIENCE)[0]:
            raise TimeoutError(f"nothing more comes after {self._read!r}")
        self._read += self._decoder.decode(os.read(self._master, 65536))

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def end(self) -> tuple[int, str]:
        """Wait for the end of the command: give its exit code and what was on the screen, but for keys."""
        while True:
            ended = ENDED.search(self._read)
            if ended is None:
                self._read_on()
                continue
            screen, self._read = self._read[: ended.start()], self._read[ended.end() :]
            if int(ended[1]) == self._number:  # else it is what a test that failed has left
                break
        return int(ended[2]), screen.replace("\r\n", "\n").replace("^C", "")

    def __call__(self, *words: str, **environment: str) -> tuple[int, str]:
        """Run a command to its end."""
        self.begin(*words, **environment)
        return self.end()


@contextmanager
def console_in(folder: Path, environment: dict[str, str]) -> Iterator[Console]:
    """Open a terminal in a folder."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    reader, writer = os.pipe()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(reader), str(PATIENCE)],
        cwd=folder,
        env={**environment, "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        pass_fds=(reader,),
    )
    os.close(slave)
    os.close(reader)
    try:
        yield Console(master, writer)
    finally:
        os.close(writer)
        os.close(master)
        server.wait(timeout=PATIENCE)
