"""Watching the directory of a file broker: which names came since, read in the order in which they were given."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

from .._unread import Unread
from ..broker import Change
from ._folder import LETTER, STATE, Folder, as_store_errors
from ._signals import Signals, signals_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROOT = ""
"""Stands for the folder in which the runs' folders are."""


class Views:
    """The open views of a broker, on whichever loops they are."""

    __slots__ = ("_lock", "_open")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[View] = set()

    def add(self, view: View) -> None:
        """Note a view that was entered, and give back what views hold whose loops were closed under them."""
        with self._lock:
            abandoned = [one for one in self._open if one.is_abandoned]
            self._open.difference_update(abandoned)
            self._open.add(view)
        for one in abandoned:
            one.abandon()

    def discard(self, view: View) -> None:
        """Forget a view."""
        with self._lock:
            self._open.discard(view)

    def end(self) -> None:
        """End all views that are open."""
        with self._lock:
            views = list(self._open)
            self._open = {view for view in views if not view.is_abandoned}
        for view in views:
            view.end()


class View:
    """What changes in one run, or in all of them. One task at a time may wait on it.

    A question's states are numbered, so the view knows which ones it has given; news of a folder only say where to
    look. Whoever misses news looks everywhere, and nothing is given twice. Nothing is read before somebody asks for
    the next change.
    """

    def __init__(self, folder: Folder, run: str | None, views: Views) -> None:
        """View the folder of one run, or with None all of them."""
        self._folder = folder
        self._run = run
        self._views = views
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signals: Signals | None = None
        self._numbers: dict[str, int] = {}
        self._runs: dict[int, str] = {}
        # By run: the last state that was given of each question, and the letters.
        self._seen: dict[str, dict[str, int]] = {}
        # Where to look: at these names, or with None at all of them.
        self._news: dict[str, dict[str, None] | None] = {}
        self._is_lost = False
        self._unread: Unread[Change] = Unread()
        self._looking: asyncio.Task[None] | None = None
        self._is_read = False

    # What happens in the folders

    def changed(self, number: int, name: str) -> None:
        """Hear that a name came or went."""
        run = self._runs.get(number)
        if run is None:
            return
        names = self._news.setdefault(run, {})
        if names is not None:
            names[name] = None
        self._unread.wake()

    def gone(self, number: int) -> None:
        """Hear that a folder was moved or removed: what comes in its place is new."""
        run = self._runs.pop(number, None)
        if run is not None:
            self._detach(run)
            self._news[_ROOT] = None
            self._unread.wake()

    def lost(self) -> None:
        """Hear that anything may have changed."""
        self._is_lost = True
        self._unread.wake()

    def end(self) -> None:
        """Let the reader have what was found, and then stop; from any thread."""
        self._unread.is_over = True
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._unread.wake)
        except RuntimeError:
            self.abandon()

    @property
    def is_abandoned(self) -> bool:
        """Whether the loop was closed before the view was left."""
        return self._loop is not None and self._loop.is_closed()

    def abandon(self) -> None:
        """Give back what is held for a loop that is closed; from any thread."""
        for run in list(self._numbers):
            self._detach(run)

    # Reading

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._views.add(self)
        self._signals = signals_of(self._folder.runs, self)
        try:
            with as_store_errors(self._folder):
                await asyncio.to_thread(self._folder.make)
                await self._signals.begin()
                for run in await self._attach():
                    self._seen[run] = await asyncio.to_thread(self._latest, run)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unread.is_over = True
        self._unread.wake()
        await self._close()

    async def _close(self) -> None:
        """Give everything back, once a thread that is looking is done."""
        self._views.discard(self)
        try:
            if self._looking is not None:
                await asyncio.wait([self._looking])
        finally:
            for run in list(self._numbers):
                self._detach(run)
            if self._signals is not None:
                await self._signals.aclose()
        if self._run is not None:
            await asyncio.to_thread(self._folder.leave, self._run)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        if self._is_read:
            raise RuntimeError("another task waits on this watch already; open one watch for each reader")
        self._is_read = True
        try:
            while not self._unread.items:
                if self._looking is not None:
                    # A reader that is cancelled leaves the task to the next one, or to the end.
                    await asyncio.shield(self._looking)
                elif self._unread.is_over:
                    raise StopAsyncIteration
                elif self._news or self._is_lost:
                    self._looking = asyncio.ensure_future(self._look())
                    self._looking.add_done_callback(_noticed)
                else:
                    await self._unread.called()
            return self._unread.items.popleft()
        finally:
            self._is_read = False

    async def _look(self) -> None:
        """Read what the news tell of."""
        news, self._news = self._news, {}
        try:
            with as_store_errors(self._folder):
                if self._is_lost:
                    self._is_lost = False
                    news = dict.fromkeys(await self._attach_again())
                if _ROOT in news:
                    del news[_ROOT]
                    news |= dict.fromkeys(await self._attach())
                await asyncio.to_thread(self._read, news)
        except BaseException:
            self._is_lost = True
            raise
        finally:
            self._looking = None

    def _latest(self, run: str) -> dict[str, int]:
        """List what is there already, in a thread."""
        seen: dict[str, int] = {}
        for name in self._folder.names(run):
            state = STATE.fullmatch(name)
            if state is not None:
                seen[state[1]] = max(seen.get(state[1], 0), int(state[3]))
            elif LETTER.fullmatch(name) is not None:
                seen[name] = 0
        return seen

    def _read(self, news: dict[str, dict[str, None] | None]) -> None:
        """Read the states and letters that are new, in a thread."""
        for run, names in news.items():
            seen = self._seen.get(run)
            if seen is not None:
                for change in self._changes(run, seen, self._folder.names(run) if names is None else names):
                    self._unread.items.append(change)

    def _changes(self, run: str, seen: dict[str, int], names: Iterable[str]) -> Iterator[Change]:
        for name in names:
            state = STATE.fullmatch(name)
            if state is not None:
                for number in range(seen.get(state[1], -1) + 1, int(state[3]) + 1):
                    record = self._folder.record(run, f"{state[1]}-{number}")
                    seen[state[1]] = number
                    if record is not None:
                        yield Change(record.request.run_id, record)
            elif LETTER.fullmatch(name) is not None:
                letter = self._folder.letter(run, name)
                if letter is None:
                    seen.pop(name, None)
                elif name not in seen:
                    seen[name] = 0
                    yield Change(letter.run_id, letter=letter)

    # Which folders

    async def _attach(self) -> list[str]:
        """Listen to the folders that are not listened to yet, and give the runs among them."""
        if self._run is not None:
            while self._run not in self._numbers:
                await asyncio.to_thread(self._folder.make, self._run)
                self._add(self._run)
            return [self._run]
        while _ROOT not in self._numbers:
            await asyncio.to_thread(self._folder.make)
            self._add(_ROOT)
        new = [run for run in await asyncio.to_thread(self._folder.run_folders) if run not in self._numbers]
        return [run for run in new if self._add(run)]

    async def _attach_again(self) -> list[str]:
        """Listen to all folders, some of which may be others of the same name, and give the runs."""
        for run, number in list(self._numbers.items()):
            if not self._add(run):
                self._detach(run)
            elif self._signals is not None:
                # Added once more, or void.
                self._signals.remove(number)
        await self._attach()
        return [run for run in self._numbers if run != _ROOT]

    def _add(self, run: str) -> bool:
        """Listen to a folder, and say whether it is there; what was seen is kept if it is the same folder."""
        if self._signals is None:
            return False
        path = self._folder.runs / run if run != _ROOT else self._folder.runs
        try:
            number = self._signals.add(path)
        except FileNotFoundError:
            return False
        before = self._numbers.get(run)
        if before != number:
            if before is not None:
                self._runs.pop(before, None)
            self._numbers[run] = number
            self._runs[number] = run
            if run != _ROOT:
                self._seen[run] = {}
        return True

    def _detach(self, run: str) -> None:
        """Listen to a folder no more."""
        number = self._numbers.pop(run, None)
        self._seen.pop(run, None)
        self._news.pop(run, None)
        if number is not None and self._signals is not None:
            self._runs.pop(number, None)
            self._signals.remove(number)


def _noticed(looking: asyncio.Task[None]) -> None:
    """Take note of a failure, which is lost on nobody: the next reader looks everywhere."""
    if not looking.cancelled():
        looking.exception()
