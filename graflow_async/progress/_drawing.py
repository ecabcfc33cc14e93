"""Picture: what stands in the terminal, drawn with rich. The only module that knows rich; loaded with the first one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ._shown import Bar, Shown, bar_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import ConsoleOptions, RenderResult

_STYLES = {"running": "cyan", "done": "green", "failed": "bold red", "waiting": "yellow", "cancelled": "magenta"}
_MOST_BARS = 8
_MOST_ASKED = 3
_WIDEST_BAR = 40  # columns


class Picture:
    """What stands in a terminal until it is closed; prints may be written above it, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        """Show nothing yet."""
        self._console = Console(file=stream)
        self._lock = threading.RLock()
        self._shown: Sequence[Shown] = ()
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with self._lock:
            self._live.start()

    def draw(self, shown: Sequence[Shown]) -> None:
        """Put another picture in the place of the present one."""
        with self._lock:
            self._shown = shown
            self._live.refresh()

    def write_above(self, text: str) -> None:
        """Write whole lines above the picture, as they are."""
        with self._lock:
            self._console.print(_Raw(text), end="", soft_wrap=True)

    def close(self) -> None:
        """Take the picture away and show the cursor again."""
        with self._lock:
            self._shown = ()
            self._live.stop()

    def _render(self) -> RenderableType:
        return picture_of(self._shown, self._console.width, self._console.height)


class _Raw:
    """Text that goes to the terminal as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give it without looking at it."""
        del console, options
        yield Segment(self.text)


def picture_of(shown: Sequence[Shown], width: int, height: int) -> RenderableType:
    """Draw runs so that they fit into a terminal of that size."""
    room = max(1, height - 1)
    count = len(shown) if len(shown) <= room else room - 1
    rows = max(1, room // max(len(shown), 1))
    parts = [part for one in shown[:count] for part in _run(one, width, rows)]
    if count < len(shown):
        parts.append(_line(f"... and {len(shown) - count} more runs"))
    return Group(*parts)


def _run(shown: Shown, width: int, rows: int) -> Iterable[RenderableType]:
    """Draw one run in at most that many rows."""
    yield _head(shown)
    rows -= 1
    notes = shown.notes[:rows]
    asked = shown.asked[: max(0, min(_MOST_ASKED, rows - len(notes)))]
    for note in notes:
        yield _line(f"  {note}", "red" if note.startswith("failed") else "yellow")
    for question in asked:
        yield _line(f"  {question}", "bold yellow")
    rows -= len(notes) + len(asked)
    bars = shown.bars
    if rows <= 0 or not bars:
        return
    most = min(_MOST_BARS, rows)
    count = len(bars) if len(bars) <= most else most - 1
    if count:
        yield _bars(bars[:count], width)
    if count < len(bars):
        yield _line(f"  ... and {len(bars) - count} more")


def _head(shown: Shown) -> Text:
    """Draw the line of counts."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(shown.name, "bold")
    line.append(f"  {shown.clock}  ")
    for number, (count, word) in enumerate(shown.counts):
        line.append(", " if number else "")
        line.append(f"{count} {word}", _STYLES.get(word, ""))
    line.append(f"  {shown.pace}" if shown.pace else "")
    return line


def _bars(bars: Sequence[Bar], width: int) -> Table:
    """Draw bars under each other."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, max_width=max(8, width // 4))
    grid.add_column(no_wrap=True)
    for _ in range(3):
        grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True, overflow="ellipsis")
    length = max(4, min(_WIDEST_BAR, width // 4))
    for bar in bars:
        count, fast, left = bar_words(bar)
        grid.add_row(
            Text(f"  {bar.name}", no_wrap=True, overflow="ellipsis"),
            _line_of(bar, length),
            count,
            fast,
            left,
            Text(bar.message, no_wrap=True, overflow="ellipsis"),
        )
    return grid


def _line_of(bar: Bar, length: int) -> ProgressBar:
    """Draw how far something is; what has no end goes to and fro."""
    if bar.total is None:
        return ProgressBar(total=None, width=length, pulse=True)
    if bar.total <= 0:
        return ProgressBar(total=1, completed=1, width=length)
    return ProgressBar(total=bar.total, completed=max(0.0, min(bar.done, bar.total)), width=length)


def _line(text: str, style: str = "") -> Text:
    """Draw a line that is cut where the terminal ends."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")
