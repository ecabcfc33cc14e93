"""The files of a file broker: what there is and what the verbs do to it, blocking, to be called in threads.

    runs/<run>/<name>-<id>-<n>   the n-th state of a question, a whole record as JSON
    runs/<run>/letter-<hash>     a letter
    ids/<id>                     a symbolic link that is only read, never followed: `<run>/<name>`
    tmp/                         files that are being written, and runs that are being removed

`<run>` and `<name>` are hashes of the run's id and the question's name, `<id>` is the question's address: no text that
anybody chose becomes part of a path. A state is written in `tmp` as a whole, then linked to its name: of several who
want to write the n-th state one succeeds, and the others look again. A state never changes once it has its name, and
goes when its run is forgotten.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ..errors import StoreError
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackResponse, FeedbackState, Letter
from ._files import DAMAGED, listed, read_object, skip, sync_names, write_new
from ._rules import asked, check_address, in_order, is_address, settled, unknown

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

STATE = re.compile(r"([0-9a-f]{16}-([0-9a-f]{32}))-(0|[1-9][0-9]{0,8})")
LETTER = re.compile(r"letter-[0-9a-f]{32}")
RUN = re.compile(r"[0-9a-f]{32}")
_PLACE = re.compile(r"([0-9a-f]{32})/([0-9a-f]{16})")
_GONE = ".gone"
_STALE = 3600.0  # seconds after which nobody is still writing a file
_ATTEMPTS = 1000


def hashed(text: str, digits: int = 32) -> str:
    """Give the name that a text has on the disk."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


class Folder:
    """The directory of a file broker. Every method may block, and may raise OSError."""

    __slots__ = ("_ids", "_is_swept", "_sync", "_tmp", "directory", "runs")

    def __init__(self, directory: Path, *, sync: bool) -> None:
        """Name the directory; nothing is made yet."""
        self.directory = directory
        self.runs = directory / "runs"
        self._ids = directory / "ids"
        self._tmp = directory / "tmp"
        self._sync = sync
        self._is_swept = False

    # Questions

    def ask(self, request: FeedbackRequest, again: bool) -> FeedbackRecord:  # noqa: FBT001  # called through a thread
        """Put a question, and give what is known of it."""
        check_address(request)
        own = hashed(request.run_id), hashed(request.request_id, 16)
        for _ in range(_ATTEMPTS):
            self.make(own[0])
            with suppress(FileNotFoundError):  # somebody forgets the run at this moment
                place = self._enter(request.id, own)
                number, known = self._last(place, request.id)
                if not number and place != own:
                    # Left by a run that is gone.
                    (self._ids / request.id).unlink()
                    continue
                record = asked(known, request, again=again)
                if record is known:
                    return record
                if self._write(self._state(place, request.id, number), record.to_json(), sync=False):
                    self._enter(request.id, own)
                    return record
        raise self._busy(request.id)

    def get(self, question_id: str) -> FeedbackRecord | None:
        """Find a question by its address."""
        place = self._place(question_id)
        return None if place is None else self._last(place, question_id)[1]

    def find(self, run_id: str | None, request_id: str | None, state: FeedbackState | None) -> list[FeedbackRecord]:
        """List questions, the oldest first."""
        begin = "" if request_id is None else hashed(request_id, 16) + "-"
        found: list[FeedbackRecord] = []
        for run in self.run_folders() if run_id is None else [hashed(run_id)]:
            last: dict[str, int] = {}
            for name in self.names(run):
                match = STATE.fullmatch(name) if name.startswith(begin) else None
                if match is not None:
                    last[match[1]] = max(last.get(match[1], 0), int(match[3]))
            for stem, number in last.items():
                if number or state in (None, FeedbackState.PENDING):
                    record = self._readable(run, stem, number)
                    if record is not None:
                        found.append(record)
        return in_order(
            record
            for record in found
            if (state is None or record.state is state)
            # Two names may have one hash.
            and request_id in (None, record.request.request_id)
            and run_id in (None, record.request.run_id)
        )

    def settle(
        self,
        question_id: str,
        state: FeedbackState,
        response: FeedbackResponse | None,
        at: float,
        reason: str | None,
        revision: str | None,
    ) -> FeedbackRecord:
        """Answer, expire or cancel a pending question, or keep a late answer with an expired one."""
        for _ in range(_ATTEMPTS):
            place = self._place(question_id)
            if place is None:
                raise unknown(question_id)
            number, known = self._last(place, question_id)
            if known is None:
                raise unknown(question_id)
            record = settled(known, state, response, at=at, reason=reason, revision=revision)
            if record is known:
                return record
            # An end of its time is found out again; what people said is not.
            sync = state is not FeedbackState.EXPIRED
            with suppress(FileNotFoundError):  # somebody forgets the run at this moment
                if self._write(self._state(place, question_id, number), record.to_json(), sync=sync):
                    return record
        raise self._busy(question_id)

    def _busy(self, question_id: str) -> StoreError:
        return StoreError(f"question {question_id} in {self.directory} cannot be written: others always are faster")

    def _enter(self, question_id: str, place: tuple[str, str]) -> tuple[str, str]:
        """Note where a question is, and give where it is if that was noted before."""
        link = self._ids / question_id
        for _ in range(_ATTEMPTS):
            try:
                link.symlink_to("/".join(place))
                return place
            except FileExistsError:
                pass
            try:
                match = _PLACE.fullmatch(str(link.readlink()))
            except FileNotFoundError:
                continue  # somebody forgets the run at this moment
            if match is None:
                break
            return match[1], match[2]
        raise StoreError(f"{link} is none of our files")

    def _place(self, question_id: str) -> tuple[str, str] | None:
        """Give the hashes of a question's run and name."""
        if not is_address(question_id):
            return None
        try:
            match = _PLACE.fullmatch(str((self._ids / question_id).readlink()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            skip(self._ids / question_id, error)
            return None
        return None if match is None else (match[1], match[2])

    def _state(self, place: tuple[str, str], question_id: str, number: int) -> Path:
        return self.runs / place[0] / f"{place[1]}-{question_id}-{number}"

    def _last(self, place: tuple[str, str], question_id: str) -> tuple[int, FeedbackRecord | None]:
        """Give how many states a question has had, and the last one that can be read."""
        number = 0
        while os.path.lexists(self._state(place, question_id, number)):
            number += 1
        return number, self._readable(place[0], f"{place[1]}-{question_id}", number - 1)

    def _readable(self, run: str, stem: str, number: int) -> FeedbackRecord | None:
        for earlier in range(number, -1, -1):
            record = self.record(run, f"{stem}-{earlier}")
            if record is not None:
                return record
        return None

    def record(self, run: str, name: str) -> FeedbackRecord | None:
        """Read one state of a question; None if it is gone, or none of ours."""
        content = self._read(run, name)
        if content is None:
            return None
        try:
            record = FeedbackRecord.from_json(content)
            request = record.request
            own = f"{hashed(request.request_id, 16)}-{request.id}" == name.rpartition("-")[0]
            if not own or hashed(request.run_id) != run or not _is_number(request.created_at):
                raise ValueError("it belongs elsewhere")
        except DAMAGED as error:
            self._skip(run, name, error)
            return None
        return record

    # Letters

    def post(self, letter: Letter) -> None:
        """Keep a letter, unless there is one of that id."""
        run = hashed(letter.run_id)
        for _ in range(_ATTEMPTS):
            self.make(run)
            with suppress(FileNotFoundError):  # somebody forgets the run at this moment
                self._write(self.runs / run / f"letter-{hashed(letter.id)}", asdict(letter), sync=True)
                return
        raise StoreError(f"{self.directory} takes no letter: others keep removing the run's folder")

    def letters(self, run_id: str) -> list[Letter]:
        """List the letters of a run in the order in which they were sent."""
        run = hashed(run_id)
        names = [name for name in self.names(run) if LETTER.fullmatch(name) is not None]
        found = [letter for letter in (self.letter(run, name) for name in names) if letter is not None]
        return sorted(found, key=lambda letter: (letter.sent_at, letter.id))

    def letter(self, run: str, name: str) -> Letter | None:
        """Read a letter; None if it is gone, or none of ours."""
        content = self._read(run, name)
        if content is None:
            return None
        try:
            letter = Letter(**content)
            own = f"letter-{hashed(letter.id)}" == name and hashed(letter.run_id) == run
            if not own or not _is_number(letter.sent_at):
                raise ValueError("it belongs elsewhere")
        except DAMAGED as error:
            self._skip(run, name, error)
            return None
        return letter

    def drop(self, run_id: str, letter_ids: Sequence[str]) -> None:
        """Remove letters."""
        run = hashed(run_id)
        for letter_id in letter_ids:
            with suppress(FileNotFoundError, NotADirectoryError):
                (self.runs / run / f"letter-{hashed(letter_id)}").unlink()

    # Runs

    def forget(self, run_id: str) -> None:
        """Remove a run: at once for whoever looks, then file by file."""
        self._sweep()
        gone = self._tmp / (secrets.token_hex(16) + _GONE)
        with suppress(FileNotFoundError):
            (self.runs / hashed(run_id)).rename(gone)
            self._bury(gone, hashed(run_id))

    def _bury(self, gone: Path, run: str | None = None) -> None:
        """Remove what was a run's folder, and the notes of where its questions are."""
        for name in listed(gone):
            match = STATE.fullmatch(name)
            if match is not None:
                place = self._place(match[2])
                if place is not None and (place[0] == run or not (self.runs / place[0]).exists()):
                    (self._ids / match[2]).unlink(missing_ok=True)
        # Another process may be doing the same.
        shutil.rmtree(gone, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what killed processes left, once for each object."""
        if self._is_swept:
            return
        self._is_swept = True
        for name in listed(self._tmp):
            path = self._tmp / name
            with suppress(FileNotFoundError):
                if name.endswith(_GONE):
                    self._bury(path)
                elif time.time() - path.lstat().st_mtime > _STALE:
                    path.unlink()

    def make(self, run: str | None = None) -> None:
        """Make the folders that are missing: of everything, and of one run."""
        for path in (self._tmp, self._ids, self.runs if run is None else self.runs / run):
            try:
                path.mkdir(0o700)
            except FileExistsError:
                continue
            except FileNotFoundError:
                # mkdir would make those above with whatever mode the process gives to new directories.
                for above in (*reversed(path.parents), path):
                    if not above.is_dir():
                        above.mkdir(0o700, exist_ok=True)
        self._sweep()

    def leave(self, run: str) -> None:
        """Remove the folder of a run in which there is nothing."""
        with suppress(OSError):
            (self.runs / run).rmdir()

    def run_folders(self) -> list[str]:
        """List the folders of runs."""
        return [name for name in listed(self.runs, folders=True) if RUN.fullmatch(name) is not None]

    def names(self, run: str) -> list[str]:
        """List the names in the folder of a run."""
        return list(listed(self.runs / run))

    def _read(self, run: str, name: str) -> dict[str, Any] | None:
        return read_object(self.runs / run / name)

    def _skip(self, run: str, name: str, error: Exception) -> None:
        skip(self.runs / run / name, error)

    def _write(self, path: Path, content: dict[str, Any], *, sync: bool) -> bool:
        """Put a whole file under a name that is free, and say whether it was.

        Raises:
            FileNotFoundError: the folder is gone.
        """
        sync = sync and self._sync
        is_ours = write_new(path, content, self._tmp, sync=sync)
        if is_ours and sync:
            for folder in (path.parent, self.runs, self._ids):
                sync_names(folder)
        return is_ours


def _is_number(value: Any) -> bool:
    """Say whether what a file has in the place of a time can be compared with others."""
    return isinstance(value, int | float)


@contextmanager
def as_store_errors(folder: Folder) -> Generator[None]:
    """Turn errors of the system into those of the port."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"the broker in {folder.directory} failed: {error}") from error
