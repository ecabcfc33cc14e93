"""What a lock file says of the process that has its lock; the lock itself is the operating system's."""

from __future__ import annotations

import os
import socket
import threading

_MOST_TEXT = 300  # bytes
_LOOKS, _PAUSE = 50, 0.01  # seconds between two of them


def this_process() -> bytes:
    """Give what this process writes into a file whose lock it has taken."""
    return f"pid {os.getpid()} on {socket.gethostname()}\n".encode()


def holder_of(fd: int) -> str:
    """Say who has the lock of an open file, which was not to be had; call it in a thread.

    Whoever takes a lock writes its name right afterwards, so there may be none yet, or that of the one before. Nothing
    tells when it is there, so this looks again for a moment: half a second at most.
    """
    pause = threading.Event()
    for _ in range(_LOOKS):
        text = os.pread(fd, _MOST_TEXT, 0).decode("utf-8", "replace")
        if text.endswith("\n") and not _has_ended(text.strip()):
            return text.strip()
        pause.wait(_PAUSE)
    return "another process"


def _has_ended(text: str) -> bool:
    """Say whether a text names a process of this machine that is no more."""
    words = text.split()
    if len(words) != 4 or not words[1].isdecimal() or len(words[1]) > 9 or words[3] != socket.gethostname():
        return False
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and somebody else's
        return False
    return False
