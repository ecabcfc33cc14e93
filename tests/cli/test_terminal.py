"""The command line on a real terminal: colours, boxes, and a Ctrl-C that comes from the keyboard."""

from __future__ import annotations

import codecs
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cli.conftest import NOTICE

if TYPE_CHECKING:
    from collections.abc import Iterator

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Makes the terminal on stdin the controlling one, so that its keys become signals.
ON_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """The keyboard and the screen of a child process."""

    def __init__(self, master: int, child: subprocess.Popen[bytes]) -> None:
        self.master = master
        self.child = child
        self.screen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def read_until(self, word: str) -> None:
        while word not in self.screen:
            self.screen += self._decoder.decode(os.read(self.master, 4096))

    def read_all(self) -> str:
        while True:
            try:
                chunk = os.read(self.master, 4096)
            except OSError:  # how Linux says that the other end is closed
                chunk = b""
            if not chunk:
                return self.screen
            self.screen += self._decoder.decode(chunk)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)


@contextmanager
def on_terminal(project: Any, *arguments: str) -> Iterator[Terminal]:
    """Run the command line with a terminal as stdin, stdout and stderr."""
    master, slave = os.openpty()
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *project.command, *arguments],
            cwd=project.folder,
            env={**project.environment, "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        with child:
            yield Terminal(master, child)
            child.wait(timeout=60)
    finally:
        os.close(master)


def test_help_is_coloured_and_fits(project: Any) -> None:
    """On a terminal help has colours and keeps to the width."""
    with on_terminal(project, "run", "--help") as terminal:
        screen = terminal.read_all()
    assert terminal.child.returncode == 0
    assert "\x1b[" in screen
    lines = COLOUR.sub("", screen).splitlines()
    assert any("--inputs-json" in line for line in lines)
    assert max(map(len, lines)) == int(project.environment["COLUMNS"])


def test_a_run_prints_its_value(project: Any) -> None:
    """The value reaches the screen as it reaches a pipe."""
    with on_terminal(project, "run", "flows:sums", "--input", "n=3") as terminal:
        screen = terminal.read_all()
    assert terminal.child.returncode == 0
    assert screen.splitlines() == ["imported", "{'value': 30, 'label': '-'}"]


def test_doctor_is_coloured(project: Any) -> None:
    """On a terminal the state of a finding is coloured."""
    with on_terminal(project, "doctor") as terminal:
        screen = terminal.read_all()
    assert terminal.child.returncode == 0
    assert "\x1b[32m" in screen


def test_ctrl_c_on_the_keyboard(project: Any) -> None:
    """The key itself cancels the run cleanly and the program ends with 130."""
    with on_terminal(project, "run", "flows:patient") as terminal:
        terminal.read_until("started")
        terminal.type(b"\x03")
        screen = terminal.read_all().replace("\r\n", "\n").replace(NOTICE, "").replace("^C", "")  # the key is shown
    assert terminal.child.returncode == 130
    assert screen.splitlines()[-2:] == ["cleaned up", "error: interrupted"]
