"""The files of one folder: found, opened carefully, and read again when they have changed."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from time import monotonic, time_ns

from ..config.faults import nearest
from ..errors import PromptConfigurationError, PromptNotFoundError, PromptVersionNotFoundError
from ._reading import AnyPrompt, Content, is_part, read

logger = logging.getLogger("graflow_async.prompts")

SUFFIXES = (".yaml", ".yml")
MOST_BYTES = 1 << 20
SETTLED_AFTER = 2_000_000_000
"""Nanoseconds after which a file that is changed again is sure to have another time stamp."""

Signature = tuple[int, int, int, int, int]


class KnownFile:
    """A file as it was read last.

    Attributes:
        content: what it said when it was right; what it says if it never was.
        complaint: what is wrong with it now although an earlier state of it is still served; empty if nothing is.
        signature: by which a change is noticed; None to read the file again at the next look.
    """

    __slots__ = ("complaint", "content", "signature")

    def __init__(self, content: Content, signature: Signature | None, complaint: str = "") -> None:
        """Keep what was read."""
        self.content = content
        self.signature = signature
        self.complaint = complaint


class Folder:
    """The prompts of one folder, as they were at one moment; if one of them changes, it is replaced by another.

    Attributes:
        checked_at: when the look at the disk began, in seconds of the monotonic clock.
        files: by their names.
        refused: stem of a file that lies outside of the prompts directory -> what is to be said about it.
    """

    __slots__ = ("checked_at", "files", "prompts", "refused")

    def __init__(self, checked_at: float, files: dict[str, KnownFile], refused: dict[str, str]) -> None:
        """Put together what the files say."""
        self.checked_at = checked_at
        self.files = files
        self.refused = refused
        self.prompts: dict[str, dict[tuple[str, int], AnyPrompt]] = {}
        givers: dict[tuple[str, str, int], str] = {}
        for file, known in files.items():
            for prompt in known.content.prompts:
                key = (prompt.name, prompt.label, prompt.version)
                if key in givers:
                    logger.warning("prompt %r, label %r, version %d: %s counts, not %s", *key, file, givers[key])
                givers[key] = file
                self.prompts.setdefault(prompt.name, {})[key[1:]] = prompt

    def complaints(self) -> list[str]:
        """List everything that is wrong with the files as they are now."""
        return [
            line
            for known in self.files.values()
            for line in ([known.complaint] if known.complaint else known.content.complaints())
        ]

    def find(self, name: str, label: str, version: int | None, directory: str) -> AnyPrompt:
        """Give a prompt; without a version the latest of its label.

        Raises:
            PromptNotFoundError: there is none of that name.
            PromptVersionNotFoundError: it has no such label or version.
            PromptConfigurationError: what should define it is wrong.
        """
        for known in self.files.values():
            if name in known.content.faults:
                raise PromptConfigurationError(known.content.faults[name])
        found = self.prompts.get(name)
        if found is None:
            raise self._missing(name, directory)
        if version is None:
            version = max((number for known, number in found if known == label), default=0)
        prompt = found.get((label, version))
        if prompt is None:
            there = ", ".join(f"{known!r} (version {number})" for known, number in sorted(found))
            wanted = f"label {label!r}" + (f" with version {version}" if version else "")
            raise PromptVersionNotFoundError(f"prompt {name!r} has no {wanted}; it has: {there}")
        return prompt

    def _missing(self, name: str, directory: str) -> Exception:
        """Say why there is no such prompt: perhaps it is in a file that cannot be read."""
        broken = [known.content.fault for known in self.files.values() if known.content.fault]
        if broken:
            return PromptConfigurationError(f"prompt {name!r} is in no file that can be read; {'; '.join(broken)}")
        refused = self.refused.get(name)
        if refused is not None:
            return PromptNotFoundError(f"prompt {name!r}: {refused}")
        return PromptNotFoundError(
            f"there is no prompt {name!r} in {directory}; {nearest(name, self.prompts, 'prompts there')}"
        )


def look(root: str, shown: str, prefix: str, before: Folder | None) -> Folder:
    """Look at a folder of the prompts directory; read what has changed since `before`.

    Args:
        root: path of the directory.
        shown: what to call it in an error.
        prefix: the folder in it, with a slash at its end; empty for the directory itself.
        before: what is known of it.

    Raises:
        FileNotFoundError: it is not there, or lies outside of the directory.
        OSError: it cannot be listed.
        PromptConfigurationError: PyYAML is not installed.
    """
    checked_at = monotonic()
    real_root = os.path.realpath(root)
    real = os.path.realpath(os.path.join(root, prefix)) if prefix else real_root  # noqa: PTH118  # half the time
    if not _is_inside(real, real_root):
        raise FileNotFoundError(f"{shown} has no folder {prefix!r}: the link leads out of it")
    files: dict[str, KnownFile] = {}
    refused: dict[str, str] = {}
    with os.scandir(real) as entries:
        listed = sorted(
            (entry for entry in entries if entry.name.endswith(SUFFIXES) and is_part(entry.name)),
            key=lambda entry: entry.name,
        )
    for entry in listed:
        name = prefix + entry.name.rpartition(".")[0]
        path = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
        if not _is_inside(path, real_root):
            refused[name] = f"{entry.name} is a link that leads out of {shown}, and is not followed"
            continue
        known = before.files.get(entry.name) if before is not None else None
        display = os.path.join(shown, prefix + entry.name)  # noqa: PTH118  # as above
        # What has gone since it was listed, or is a link to nothing, is not there.
        with suppress(FileNotFoundError):
            status = os.stat(path, follow_symlinks=False)  # noqa: PTH116  # as above
            if stat.S_ISREG(status.st_mode):
                files[entry.name] = _current(path, display, name, status, known)
    same = before is not None and before.files == files and before.refused == refused
    if before is not None and same:
        before.checked_at = checked_at
        return before
    return Folder(checked_at, files, refused)


def _current(path: str, display: str, name: str, status: os.stat_result, known: KnownFile | None) -> KnownFile:
    """Give a file as it is now: the same object if it has not changed."""
    signature = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if known is not None and known.signature == signature:
        return known
    is_settled = time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_AFTER
    content = _read(path, display, name)
    complaints = content.complaints()
    if known is not None and known.content is content and not known.complaint:
        known.signature = signature if is_settled else None
        return known
    if known is None or not complaints or known.content.complaints():
        return KnownFile(content, signature if is_settled else None)
    complaint = "; ".join(complaints)
    if complaint == known.complaint:
        return known
    logger.warning("%s; its last state that was right is still served", complaint)
    return KnownFile(known.content, None, complaint)


def _read(path: str, display: str, name: str) -> Content:
    """Read a file, which may be anything by now."""
    try:
        # Not blocking: a pipe that somebody put there would keep the opener waiting for a writer.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Content(f"{display} is no file")
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        return Content(f"{display} cannot be read: {error.strerror or error}")
    if len(data) > MOST_BYTES:
        return Content(f"{display} is larger than {MOST_BYTES:,} bytes, which no file of prompts is")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Content(f"{display} is no UTF-8 text (byte {error.start})")
    return read(display, name, text)


def _is_inside(path: str, root: str) -> bool:
    """Say whether a path without links is a directory or lies in it."""
    return path == root or path.startswith(root if root.endswith(os.sep) else root + os.sep)
