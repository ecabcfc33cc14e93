"""A terminal for tests: a pseudo-terminal whose screen is worked out from the bytes that arrive."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 100, 30
PATIENCE = 60.0  # seconds after which a test gives up
_MARK = b"<mark>"
_TOKEN = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|(.)", re.DOTALL)
# Makes the terminal on stdin the controlling one, so that its keys become signals.
_ON_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Screen:
    """What a terminal shows after some bytes; a sequence that it does not know is an error."""

    def __init__(self, raw: str) -> None:
        self.lines: list[str] = [""]
        self.has_cursor = True
        self._row = self._column = 0
        for private, numbers, letter, move, text, other in _TOKEN.findall(raw):
            if other:
                raise AssertionError(f"a stray {other!r} reached the terminal")
            if letter:
                self._control(private, numbers, letter)
            elif move == "\r":
                self._column = 0
            elif move == "\n":
                self._row += 1
                if self._row == len(self.lines):
                    self.lines.append("")
            else:
                self._put(text)

    @property
    def text(self) -> list[str]:
        """Give the lines that show something."""
        return [line.rstrip() for line in self.lines if line.strip()]

    def _control(self, private: str, numbers: str, letter: str) -> None:
        if private and numbers == "25":
            self.has_cursor = letter == "h"
        elif letter == "A":
            self._row -= int(numbers or 1)
            assert self._row >= 0, "the cursor left the screen"
        elif letter == "K":
            self.lines[self._row] = ""
        elif letter != "m":
            raise AssertionError(f"the terminal got {private}{numbers}{letter}")

    def _put(self, text: str) -> None:
        assert text.isprintable(), f"a control character reached the terminal: {text!r}"
        line = self.lines[self._row].ljust(self._column)
        self.lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
        self._column += len(text)


class Terminal:
    """The end of a pseudo-terminal that a person would look at; what was printed there is kept."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self.stream: TextIO = os.fdopen(os.dup(self.slave), "w", encoding="utf-8", errors="backslashreplace")
        self._raw = b""
        self._has_more = threading.Condition()
        self._stop, self._stopping = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def raw(self) -> str:
        """Give everything that was printed so far."""
        if self.slave >= 0:
            os.write(self.slave, _MARK)  # behind what is still under way
            with self._has_more:
                assert self._has_more.wait_for(lambda: _MARK in self._raw, PATIENCE), self._raw
                self._raw = self._raw.replace(_MARK, b"")
        return self._raw.decode()

    def screen(self) -> Screen:
        """Work out what is to be seen."""
        return Screen(self.raw)

    def wait_for(self, check: Callable[[str], bool], seconds: float = PATIENCE) -> str:
        """Wait (in a thread that may wait) until what was printed passes a check."""
        with self._has_more:
            assert self._has_more.wait_for(lambda: check(self._raw.decode(errors="replace")), seconds), self._raw
            return self._raw.decode(errors="replace")

    def type(self, keys: bytes) -> None:
        """Type."""
        os.write(self.master, keys)

    def hang_up(self) -> None:
        """Leave: whoever writes to the terminal from now on gets an error."""
        if self.master < 0:
            return
        os.write(self._stopping, b"x")
        self._reader.join()
        for descriptor in (self._stop, self._stopping, self.master):
            os.close(descriptor)
        self.master = -1

    def close(self) -> None:
        """Give everything back, having read what was still under way."""
        with suppress(OSError):  # nobody is left to take the rest
            self.stream.close()
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1
        self.hang_up()

    def _read(self) -> None:
        while True:
            ready = select.select([self.master, self._stop], [], [])[0]
            try:
                chunk = os.read(self.master, 65_536) if self.master in ready else b""
            except OSError:  # how Linux says that the other end is closed
                chunk = b""
            if not chunk:
                return
            with self._has_more:
                self._raw += chunk
                self._has_more.notify_all()


@contextmanager
def on_terminal(*command: str, folder: Path, **environment: str) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """Run a Python program with a terminal as stdin, stdout and stderr; the block ends with the program."""
    terminal = Terminal()
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, sys.executable, *command],
            cwd=folder,
            env={**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment},
            stdin=terminal.slave,
            stdout=terminal.slave,
            stderr=terminal.slave,
        )
        terminal.stream.close()
        os.close(terminal.slave)
        terminal.slave = -1
        with child:
            yield terminal, child
            child.wait(timeout=60)
            terminal._reader.join()  # everything was printed, and the other end is closed
    finally:
        terminal.close()
