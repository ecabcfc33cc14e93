"""Progress on a stream: one line that is rewritten in a terminal, a line at every tenth anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from graflow_async import Event, TaskCompleted, TaskFailed, TaskIterated, TaskRetrying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CLEAR = "\r\x1b[K"


async def show_progress(events: AsyncIterator[Event], stream: TextIO) -> None:
    """Follow a census by its events until the run ends."""
    progress = Progress(stream)
    try:
        async for event in events:
            progress.note(event)
    finally:
        progress.close()


class Progress:
    """Counts files as their tasks end, and says so not more often than worth a look."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`; how depends on whether a person is looking at it."""
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._step = 1 if self._is_terminal else 10
        self._total = self._done = self._retries = 0
        self._shown = 0
        self._is_open = False

    @property
    def done(self) -> int:
        """How many files were seen to end."""
        return self._done

    def note(self, event: Event) -> None:
        """Take an event of the run."""
        name = (event.task_id or "").rpartition("_")[0] or event.task_id
        if isinstance(event, TaskRetrying):
            self._retries += 1
        elif name == "examine" and isinstance(event, TaskCompleted | TaskFailed):
            self._file_done()
        elif name == "discover" and isinstance(event, TaskCompleted):
            self._total = len(event.value.files)
            self._say(f"found {self._total:,} files")
        elif name == "rank" and isinstance(event, TaskCompleted):
            self._ranked(event)

    def close(self) -> None:
        """Leave the cursor at the start of a line."""
        if self._is_open:
            self._stream.write("\n")
            self._stream.flush()
            self._is_open = False

    def _file_done(self) -> None:
        self._done += 1
        if not self._total:  # a resumed census: the files were found before
            if self._done % (self._step * 10) == 0:
                self._say(f"scanned {self._done:,} more files")
            return
        percent = 100 * self._done // self._total
        if percent // self._step > self._shown // self._step:
            self._shown = percent
            retries = f", {self._retries:,} retries" if self._retries else ""
            self._say(f"scanned {percent - percent % self._step} % ({self._done:,} of {self._total:,} files{retries})")

    def _ranked(self, event: TaskCompleted) -> None:
        ranking = event.value
        if not isinstance(event, TaskIterated):
            self._say(f"ranked in {ranking.turns} turns")
        elif self._is_terminal:
            self._say(f"ranking, turn {ranking.turns}: change {ranking.change:.1e}")

    def _say(self, text: str) -> None:
        self._stream.write(CLEAR + text if self._is_terminal else text + "\n")
        self._stream.flush()
        self._is_open = self._is_terminal
