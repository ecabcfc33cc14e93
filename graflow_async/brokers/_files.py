"""Reading, writing and listing the small files of a file broker; all of it blocks."""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger("graflow_async.feedback")

# A FIFO would block whoever opens it for reading, and a link could point anywhere.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_FOREIGN = {errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM}
DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading may raise when a file does not hold what we have written."""


def skip(path: Path, error: Exception) -> None:
    """Say in the log that a file is none of ours, or damaged."""
    logger.warning("%s is skipped: %s", path, error)


def read_object(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if it is gone, foreign or damaged.

    Raises:
        OSError: the system cannot open files at all.
    """
    try:
        fd = os.open(path, _READ)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno not in _FOREIGN:
            raise
        skip(path, error)
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is no regular file")
        with open(fd, "rb", buffering=0, closefd=False) as file:
            return dict(json.loads(file.read()))
    except (*DAMAGED, OSError) as error:
        skip(path, error)
        return None
    finally:
        os.close(fd)


def write_new(path: Path, content: dict[str, Any], drafts: Path, *, sync: bool) -> bool:
    """Put a whole JSON file under a name that is free, and say whether it was.

    Args:
        path: the name.
        content: what to write.
        drafts: a folder of the same disk, where it is written first.
        sync: whether the content has to survive a power cut; the name is `sync_names`'s business.

    Raises:
        FileNotFoundError: the folder is gone.
    """
    draft = drafts / secrets.token_hex(16)
    fd = os.open(draft, _CREATE, 0o600)
    try:
        try:
            left = memoryview(json.dumps(content).encode())
            while left:
                left = left[os.write(fd, left) :]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        return True
    finally:
        draft.unlink(missing_ok=True)


def sync_names(folder: Path) -> None:
    """Wait until the names in a directory survive a power cut."""
    with suppress(FileNotFoundError):  # the run was forgotten meanwhile
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def listed(folder: Path, *, folders: bool = False) -> Iterator[str]:
    """Give the names in a folder, or those of the folders in it; none if it is missing."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if not folders or entry.is_dir(follow_symlinks=False):
                yield entry.name
