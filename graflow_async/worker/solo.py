"""Running one task alone in a child process, after workers have died of it: its death harms nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from .frames import frame, next_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger("graflow_async.worker")

TAIL = 2000  # bytes of the child's last words


class ChildDiedError(Exception):
    """The child has ended without an outcome."""


class SoloBody:
    """One attempt of a body, in a process of its own; it looks like a FarBody from outside."""

    def __init__(
        self,
        code: list[bytes],
        order: bytes,
        send: Callable[[bytes], None],
        where: str,
        allowed: Sequence[str] | None = None,
    ) -> None:
        """Make ready to run.

        Args:
            code: all code that the order needs.
            order: what is to run.
            send: passes a message on to the run.
            where: names the worker, for notes on exceptions.
            allowed: modules whose tasks may run; None for all.
        """
        self._begin = frame(code, order, where, [path for path in sys.path if path], allowed)
        self._send = send
        self._writer: asyncio.StreamWriter | None = None
        self._is_cancelled = False
        self._tail = b""

    def take(self, data: bytes) -> None:
        """Take a message of the run."""
        if self._writer is not None:
            self._writer.write(frame("message", data))

    def cancel(self) -> None:
        """Make the body stop."""
        self._is_cancelled = True
        if self._writer is not None:
            self._writer.write(frame("cancel"))

    async def run(self) -> bytes:
        """Run the body, and give the message that says how it ended; a cancellation kills the child.

        Raises:
            ChildDiedError: it has died.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "graflow_async.worker.child", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # signals to the worker are the worker's affair
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        words = asyncio.create_task(self._pass_words_on(process.stderr))
        try:
            outcome = await self._talk(ours)
        finally:
            if process.returncode is None:
                # Not `process.kill()`: it may reap the child by itself, and how that ended is lost then.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            code = await process.wait()
            await words
        if outcome is None:
            raise ChildDiedError(f"its process ended with {_named(code)}{self._last_words()}")
        return outcome

    async def _talk(self, ours: socket.socket) -> bytes | None:
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            self._writer = writer
            writer.write(self._begin)
            if self._is_cancelled:
                writer.write(frame("cancel"))
            while (found := await next_frame(reader)) is not None:
                verb, data = found
                if verb == "outcome":
                    return data  # type: ignore[no-any-return]
                self._send(data)
            return None
        finally:
            self._writer = None
            writer.close()

    async def _pass_words_on(self, stream: asyncio.StreamReader | None) -> None:
        """Let what the child says on stderr be seen, and keep the end of it."""
        while stream is not None and (data := await stream.read(1 << 16)):
            self._tail = (self._tail + data)[-TAIL:]
            sys.stderr.write(data.decode(errors="replace"))

    def _last_words(self) -> str:
        text = " | ".join(self._tail.decode(errors="replace").strip().splitlines()[-5:])
        return f"; its last words: {text}" if text else ""


def _named(code: int) -> str:
    """Give an exit code as people know it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
