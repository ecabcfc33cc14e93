"""Prints and log lines while a picture stands in the terminal: whole lines are written above it."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONGEST = 65_536  # characters of a line that has no end yet


class Above(io.TextIOBase):
    """Stands in for a stream of the terminal while a picture is drawn there; anything else is asked of the stream.

    A line is written when it is complete. Once closed it writes to the stream as it comes: somebody may have kept it.

    Attributes:
        stream: the real one.
    """

    def __init__(self, stream: TextIO, write: Callable[[str], None]) -> None:
        """Write whole lines with `write`."""
        super().__init__()
        self.stream = stream
        self._write: Callable[[str], None] | None = write
        self._begun = ""
        self._lock = threading.RLock()

    def write(self, text: str, /) -> int:
        """Write text, or keep what is no whole line yet."""
        with self._lock:
            if self._write is None:
                return self.stream.write(text)
            lines, end, rest = (self._begun + text).rpartition("\n")
            if len(rest) > _LONGEST:
                lines, end, rest = lines + end + rest, "\n", ""
            self._begun = rest
            if end:
                self._write(lines + end)
            return len(text)

    def flush(self) -> None:
        """Do nothing while there is a picture: a part of a line would be drawn over."""
        if self._write is None:
            self.stream.flush()

    def let_go(self) -> None:
        """Write to the stream from now on, and first what has no end yet."""
        with self._lock:
            self._write = None
            begun, self._begun = self._begun, ""
            if begun:
                self.stream.write(begun)

    def isatty(self) -> bool:
        """Say what the stream says."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Give the descriptor of the stream."""
        return self.stream.fileno()

    def writable(self) -> bool:
        """Take text."""
        return True

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  # as the stream has it
        """The encoding of the stream."""
        return self.stream.encoding

    @property
    def errors(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]  # as the stream has it
        """What the stream does with characters that it cannot write."""
        return self.stream.errors

    @property
    def buffer(self) -> Any:
        """The bytes under the stream."""
        return self.stream.buffer

    def close(self) -> None:
        """Stay open, as the stream does: it belongs to the process."""

    def __getattr__(self, name: str) -> Any:
        """Give what else the stream can do."""
        return getattr(self.stream, name)


class Redirection:
    """stdout and stderr, as prints and log handlers know them, led through a picture's terminal."""

    def __init__(self, terminal: TextIO, write: Callable[[str], None]) -> None:
        """Lead those streams around that are this terminal; what goes to a file or a pipe stays as it is."""
        self._stands_in: dict[str, Above] = {}
        self._handlers: list[tuple[logging.StreamHandler[Any], Above]] = []
        for name in ("stdout", "stderr"):
            stream: TextIO | None = getattr(sys, name)
            if stream is not None and not isinstance(stream, Above) and _is_same(stream, terminal):
                self._stands_in[name] = above = Above(stream, write)
                setattr(sys, name, above)
                for handler in _handlers_of(stream):
                    handler.setStream(above)
                    self._handlers.append((handler, above))

    def end(self) -> None:
        """Put everything back, unless somebody else has put something in its place meanwhile."""
        for name, above in self._stands_in.items():
            if getattr(sys, name) is above:
                setattr(sys, name, above.stream)
            with suppress(OSError, ValueError):
                above.let_go()
        for handler, above in self._handlers:
            if handler.stream is above:
                handler.setStream(above.stream)


def real(stream: TextIO) -> TextIO:
    """Give the stream behind one that stands in for it."""
    return stream.stream if isinstance(stream, Above) else stream


def _is_same(stream: TextIO, terminal: TextIO) -> bool:
    """Say whether two streams are one terminal."""
    try:
        if stream is terminal:
            return True
        return stream.isatty() and os.path.samestat(os.fstat(stream.fileno()), os.fstat(terminal.fileno()))
    except (AttributeError, OSError, ValueError):  # replaced by something that is no file, or closed
        return False


def _handlers_of(stream: TextIO) -> Iterator[logging.StreamHandler[Any]]:
    """Go through the log handlers that write to a stream."""
    known = cast("dict[str, Any]", logging.root.manager.loggerDict)
    for logger in (logging.root, *list(known.values())):
        handlers: list[Any] = list(getattr(logger, "handlers", ()))
        for handler in handlers:
            if isinstance(handler, logging.StreamHandler) and getattr(cast("Any", handler), "stream", None) is stream:
                yield cast("logging.StreamHandler[Any]", handler)
