"""Runs recorded in files of this machine: the checkpointer behind `checkpoint_dir=`.

The layout is `<directory>/<run>/journal`, `lock` and `checkpoints/<name>.ckpt`, with names made harmless and nobody but
the owner allowed in. The lock does not reach across machines: keep the directory on a local disk.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpointer import Kind, Record, RunInfo
from ..errors import CheckpointError, UnknownRunError
from ..frames import scan
from ._disk import Disk, crash_point, write_all
from ._file_log import FileLog
from ._keys import Keys, key_of, load_default
from ._lock import is_held, take
from ._log import Held, write_error
from ._names import encode
from ._reading import Contents, opening, read_contents
from ._rewrite import TEMPORARY, listing, remove_leftovers
from ._thread import DiskThread, to_the_end

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("graflow_async.checkpoint")

MAX_BYTES = 4 << 30
"""What a file may have at most to be read, unless the checkpointer is told otherwise."""

_ATTEMPTS = 10
_NOT_THERE = {None, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
# No encoded run id begins with a dot.
_TRASH = ".deleted-"


class FileCheckpointer:
    """Keeps the logs of runs in a directory.

    Small records are written at once, where that takes microseconds; all waiting for the disk is done in one thread.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keyring: Keys | None = None,
        disk: Disk | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Use a directory, which is made with the first run.

        Args:
            directory: where the runs are.
            keyring: what files are signed and checked with; None for the keys of this user.
            disk: the file system, which tests replace.
            max_bytes: a file with more is not read.
        """
        self.directory = Path.cwd() / directory
        self._keyring = keyring
        self._disk = disk or Disk()
        self._most = max_bytes
        self._thread = DiskThread()
        self._open: set[FileLog] = set()

    def place_of(self, run_id: str) -> str:
        """Give the path of a run's directory, there or not."""
        return str(self._directory_of(run_id))

    async def create(self, run_id: str) -> FileLog:
        """Begin the log of a new run.

        Raises:
            RunLockedError: somebody is about to begin it.
            CheckpointWriteError: the storage refused.
            CheckpointError: there is a run of that id.
        """
        return await to_the_end(self._create(run_id, self._directory_of(run_id)), FileLog.aclose)

    async def _create(self, run_id: str, directory: Path) -> FileLog:
        try:
            held, contents = await self._thread.run(partial(self._begin, run_id, directory))
        except OSError as error:
            if isinstance(error, CheckpointError):
                raise
            raise write_error(error, f"run {run_id!r} cannot be recorded in {self.directory}") from error
        return self._log(held, contents, (directory, self.directory, self.directory.parent))

    def _begin(self, run_id: str, directory: Path) -> tuple[Held, Contents]:
        """Make the files of a new run, in the thread."""
        keys = self._keys()
        start = opening(keys.active, run_id)
        key = key_of(keys, keys.active)
        for _ in range(_ATTEMPTS):
            self._disk.make_directory(directory)
            with suppress(FileNotFoundError):  # somebody deletes a run of that id at this moment
                held = self._locked(run_id, directory, partial(self._new_journal, run_id, start))
                return held, Contents(run_id, start, key, 0, scan(start, key, start))
        raise CheckpointError(f"run {run_id!r} cannot be begun: others keep deleting it")

    def _new_journal(self, run_id: str, start: bytes, path: Path) -> int:
        """Put a file with nothing but its preamble in the place of the journal."""
        # An empty file is what a power cut may leave of a run that had not begun.
        if os.path.lexists(path) and not _is_empty_file(path):
            raise CheckpointError(
                f"there is a run {run_id!r} already in {self.directory}; resume it, or delete it first"
            )
        disk, temporary = self._disk, path.with_name("journal" + TEMPORARY)
        remove_leftovers(disk, path.parent)
        fd = disk.create(temporary)
        try:
            write_all(disk, fd, start)
            disk.rename(temporary, path)
        except BaseException:
            disk.close(fd)
            raise
        return fd

    def _locked(self, run_id: str, directory: Path, journal: Callable[[Path], int]) -> Held:
        """Lock a run, then open its journal."""
        if directory.is_symlink():
            raise CheckpointError(f"{directory} is a link and not the directory of a run")
        lock = take(self._disk, directory / "lock", run_id)
        path = directory / "journal"
        try:
            return Held(run_id, directory, path, lock, journal(path))
        except BaseException:
            lock.release()
            raise

    async def open(self, run_id: str) -> tuple[FileLog, list[Record]]:
        """Take a run over: its lock, its records, and the log to go on with. A torn tail is cut.

        Raises:
            UnknownRunError: there is no such run.
            RunLockedError: somebody has it.
            CheckpointError: it cannot be read.
        """
        return await to_the_end(self._take_over(run_id, self._directory_of(run_id)), _close_first)

    async def _take_over(self, run_id: str, directory: Path) -> tuple[FileLog, list[Record]]:
        try:
            held = await self._thread.run(partial(self._reopen, run_id, directory))
            try:
                contents = await read_contents(self._disk, held.path, self._keys, self._most, run_id)
                if contents.scan.torn:
                    await self._thread.run(partial(self._cut, held, contents))
            except BaseException:
                await self._thread.run(partial(held.release, self._disk))
                raise
        except OSError as error:
            raise self._unreadable(error, f"run {run_id!r}") from error
        return self._log(held, contents), contents.records

    def _reopen(self, run_id: str, directory: Path) -> Held:
        """Lock a run that exists and open its journal, in the thread."""
        path = directory / "journal"
        try:
            if not os.path.lexists(path):
                raise FileNotFoundError(path)  # noqa: TRY301
            held = self._locked(run_id, directory, partial(self._disk.open, write=True))
        except FileNotFoundError:
            raise self._unknown(run_id) from None
        try:
            remove_leftovers(self._disk, directory, directory / "checkpoints")
        except BaseException:
            held.release(self._disk)
            raise
        return held

    def _cut(self, held: Held, contents: Contents) -> None:
        found = contents.scan
        logger.warning(
            "run %s: a crash cut off the last record; %d bytes from offset %d of %s are dropped",
            held.run_id, found.torn, found.end, held.path,
        )  # fmt: skip
        crash_point("open.truncate")
        self._disk.truncate(held.fd, found.end)

    def _log(self, held: Held, contents: Contents, new_names: tuple[Path, ...] = ()) -> FileLog:
        log = FileLog(
            self._disk,
            self._thread,
            held,
            contents,
            keys=self._keys,
            new_names=new_names,
            on_close=self._open.discard,
        )
        self._open.add(log)
        return log

    async def read(self, source: str) -> list[Record]:
        """Read the records of a run, or of a file or directory of one.

        Args:
            source: a run id; or the path of a saved checkpoint, of a journal, or of a run's directory.

        Raises:
            UnknownRunError: there is neither.
            CheckpointError: it cannot be read.
        """
        return await to_the_end(self._read(source))

    async def _read(self, source: str) -> list[Record]:
        own = self._directory_of(source) / "journal"
        try:
            if await self._thread.run(partial(os.path.lexists, own)):
                return (await read_contents(self._disk, own, self._keys, self._most, source)).records
            path = await self._thread.run(partial(_file_at, source))
            return (await read_contents(self._disk, path, self._keys, self._most)).records
        except OSError as error:
            raise self._unreadable(error, source) from error

    async def runs(self) -> list[RunInfo]:
        """List the recorded runs, the one that was written last first; what cannot be read is left out."""
        found: list[RunInfo] = []
        for directory in await self._thread.run(self._directories):
            with suppress(CheckpointError, OSError):
                found.append(await to_the_end(self._look_at(directory)))
        return sorted(found, key=lambda run: run.updated_at, reverse=True)

    async def _look_at(self, directory: Path) -> RunInfo:
        path = directory / "journal"
        contents = await read_contents(self._disk, path, self._keys, self._most)
        if self._directory_of(contents.name) != directory:
            raise CheckpointError(f"{path} belongs to run {contents.name!r}, whose place is elsewhere")
        status, is_open = await self._thread.run(lambda: (path.stat(), is_held(self._disk, directory / "lock")))
        frames = contents.scan.frames
        marks = (frame for frame in reversed(frames) if frame.kind in {Kind.FINISHED, Kind.RESUMED})
        last = next(marks, None)
        return RunInfo(
            run_id=contents.name,
            header=frames[0].payload if frames else b"",
            last=last.payload if last else b"",
            last_kind=last.kind if last else 0,
            records=len(frames),
            size=status.st_size,
            updated_at=status.st_mtime,
            is_open=is_open,
        )

    def _directories(self) -> list[Path]:
        try:
            with os.scandir(self.directory) as entries:
                return [
                    Path(entry.path)
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
                ]
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise CheckpointError(
                f"{self.directory} is a file; the checkpoints of runs are kept in a directory"
            ) from error

    async def saved(self, run_id: str) -> list[str]:
        """List the checkpoints of a run that `Log.save` made next to its log, oldest first."""
        directory = self._directory_of(run_id) / "checkpoints"
        return [path for _, path in await self._thread.run(partial(listing, directory))]

    async def delete(self, run_id: str) -> None:
        """Remove a run with its checkpoints.

        Raises:
            UnknownRunError: there is no such run.
            RunLockedError: somebody has it.
            CheckpointWriteError: the storage refused.
        """
        await to_the_end(self._delete(run_id, self._directory_of(run_id)))

    async def _delete(self, run_id: str, directory: Path) -> None:
        try:
            await self._thread.run(partial(self._remove, run_id, directory))
        except OSError as error:
            if isinstance(error, CheckpointError):
                raise
            raise write_error(error, f"run {run_id!r} cannot be deleted") from error

    def _remove(self, run_id: str, directory: Path) -> None:
        path = directory / "journal"
        if directory.is_symlink() or not os.path.lexists(path):
            raise self._unknown(run_id)
        try:
            lock = take(self._disk, directory / "lock", run_id)
        except FileNotFoundError:
            raise self._unknown(run_id) from None
        try:
            # At once: half a run, without its journal but with its checkpoints, must never be seen.
            trash = self.directory / (_TRASH + secrets.token_hex(8))
            self._disk.rename(directory, trash)
            for leftover in self.directory.iterdir():
                if leftover.name.startswith(_TRASH):
                    with suppress(FileNotFoundError):  # another deletion is as far as this one
                        self._disk.remove_tree(leftover)
            self._disk.sync_directory(self.directory)
        finally:
            lock.release()

    async def aclose(self) -> None:
        """Close the logs that are still open, and end the thread; closing twice is fine.

        Raises:
            CheckpointWriteError: the storage refused what some log had not written yet.
        """
        failure: CheckpointError | None = None
        for log in list(self._open):
            try:
                await log.aclose()
            except CheckpointError as error:
                failure = error
        await self._thread.aclose()
        if failure is not None:
            raise failure

    def _keys(self) -> Keys:
        if self._keyring is None:
            self._keyring = load_default()
        return self._keyring

    def _directory_of(self, run_id: str) -> Path:
        return self.directory / encode(run_id)

    def _unknown(self, run_id: str) -> UnknownRunError:
        return UnknownRunError(f"there is no run {run_id!r} in {self.directory}; `runs()` lists those that there are")

    def _unreadable(self, error: OSError, source: str) -> CheckpointError:
        """Say what an error of the system means to somebody who wanted to read `source`."""
        if isinstance(error, CheckpointError):
            return error
        if error.errno in _NOT_THERE:
            return UnknownRunError(
                f"{source!r} is neither a run in {self.directory} nor a file: there is no {Path.cwd() / source}"
            )
        return CheckpointError(f"{source} cannot be read: {error.strerror or error}")


async def _close_first(opened: tuple[FileLog, list[Record]]) -> None:
    await opened[0].aclose()


def _is_empty_file(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISREG(status.st_mode) and not status.st_size


def _file_at(source: str) -> Path:
    """Give the file that a path leads to: itself, or the journal in it if it is the directory of a run."""
    path = Path.cwd() / source
    try:
        path.lstat()
    except ValueError:
        # A text that can be no path at all, such as one with a NUL.
        raise FileNotFoundError(source) from None
    inside = path / "journal"
    if path.is_dir() and not path.is_symlink() and os.path.lexists(inside):
        return inside
    return path
