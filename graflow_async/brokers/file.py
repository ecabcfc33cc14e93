"""Questions in a directory that several processes share. The port's rules are in `graflow_async.broker`.

What the files look like is in `_folder.py`; how their coming is noticed, in `_view.py`, `_signals.py`, `_inotify.py`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..broker import Change
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackResponse, FeedbackState, Letter
from ._folder import Folder, as_store_errors, hashed
from ._view import View, Views

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")


class FileBroker:
    """Questions, answers and letters as files, for any number of processes of one machine, threads and loops.

    What a verb has written survives the end of its process, however sudden. Answers, cancellations and letters are
    brought to the disk before the verb returns, so that they survive a power cut, too; what a run would find out again
    (that it asks, that a time is up) is not. The directory is made when the first question or letter comes, or the
    first watch. Nothing in it that is damaged or foreign does harm: it is skipped, and the log says so.

    A watcher hears of changes from the system. It sees every state of every question; a letter that is dropped, or a
    run that is forgotten, before the watcher has looked is not seen any more.
    """

    __slots__ = ("_folder", "_views", "directory")

    def __init__(self, directory: str | os.PathLike[str], *, sync: bool = True) -> None:
        """Name the directory; nothing is opened or made yet.

        Args:
            directory: where the files are; on a disk of this machine, as others do not tell of changes.
            sync: whether an answer is brought to the disk before `settle` returns.
        """
        self.directory = Path(directory).absolute()
        self._folder = Folder(self.directory, sync=sync)
        self._views = Views()

    @property
    def place(self) -> str:
        """Where the questions are: another broker of the same place finds them, too."""
        return f"file:{self.directory}"

    async def ask(self, request: FeedbackRequest, *, again: bool = False) -> FeedbackRecord:
        """Put a question, and give what is known of it.

        Raises:
            StoreError: its id is no address, or the system refused.
        """
        return await self._do(self._folder.ask, request, again)

    async def get(self, question_id: str) -> FeedbackRecord | None:
        """Find a question by its address; None for anything that is none.

        Raises:
            StoreError: the system refused.
        """
        return await self._do(self._folder.get, question_id)

    async def find(
        self, *, run_id: str | None = None, request_id: str | None = None, state: FeedbackState | None = None
    ) -> list[FeedbackRecord]:
        """List questions, the oldest first; of one run, with one name, in one state.

        Raises:
            StoreError: the system refused.
        """
        return await self._do(self._folder.find, run_id, request_id, state)

    async def settle(
        self,
        question_id: str,
        state: FeedbackState,
        response: FeedbackResponse | None = None,
        *,
        at: float,
        reason: str | None = None,
        revision: str | None = None,
    ) -> FeedbackRecord:
        """Answer, expire or cancel a pending question, or keep a late answer with an expired one.

        A caller that is cancelled does not know whether it was done; it may settle the question the same way again.

        Raises:
            UnknownRequestError: there is no such question.
            AlreadyAnsweredError: somebody was faster.
            StaleQuestionError: the question is another one by now than the `revision` that was answered.
            ValueError: this is no way to settle a question.
            StoreError: the system refused.
        """
        return await self._do(self._folder.settle, question_id, state, response, at, reason, revision)

    async def post(self, letter: Letter) -> None:
        """Send something to a run. Posting it twice changes nothing.

        Raises:
            StoreError: the system refused.
        """
        await self._do(self._folder.post, letter)

    async def letters(self, run_id: str) -> list[Letter]:
        """List what was sent to a run and not dropped, in the order in which it was sent.

        Raises:
            StoreError: the system refused.
        """
        return await self._do(self._folder.letters, run_id)

    async def drop(self, run_id: str, letter_ids: Sequence[str]) -> None:
        """Forget letters; those that are gone already are no error.

        Raises:
            StoreError: the system refused.
        """
        await self._do(self._folder.drop, run_id, letter_ids)

    async def forget(self, run_id: str) -> None:
        """Forget a run: its questions, answers and letters.

        Raises:
            StoreError: the system refused.
        """
        await self._do(self._folder.forget, run_id)

    def watch(self, run_id: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Open a view of what changes from now on, of one run or of all; one task at a time may wait on it.

        Entering it, or reading, raises StoreError if the system refuses, and ConfigError if it tells nobody of changes
        and the package that could do so is missing.
        """
        return View(self._folder, None if run_id is None else hashed(run_id), self._views)

    async def aclose(self) -> None:
        """End the open watches; what was kept stays, and the broker may be used again."""
        self._views.end()

    async def _do(self, verb: Callable[..., T], *args: Any) -> T:
        """Do something with the files, in a thread."""
        with as_store_errors(self._folder):
            return await asyncio.to_thread(verb, *args)
