"""The published conformance suite, on each checkpointer that needs no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from graflow_async.checkpoints.file import FileCheckpointer
from graflow_async.checkpoints.memory import MemoryCheckpointer
from graflow_async.testing.checkpointers import CheckpointerSuite
from graflow_async.testing.faults import FaultyDisk, SlowDisk
from tests.checkpoints.keys import SomeKeys

if TYPE_CHECKING:
    from pathlib import Path

    from graflow_async.checkpointer import Checkpointer


class TestMemoryCheckpointer(CheckpointerSuite):
    """Runs in this process."""

    async def make_checkpointer(self) -> Checkpointer:
        return MemoryCheckpointer()


class TestFileCheckpointer(CheckpointerSuite):
    """Runs in files, looked at through a second checkpointer."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "runs"

    async def make_checkpointer(self) -> Checkpointer:
        return FileCheckpointer(self.directory, keyring=SomeKeys())

    async def again(self, checkpointer: Checkpointer) -> Checkpointer:
        return FileCheckpointer(self.directory, keyring=SomeKeys())


class TestShortWrites(TestFileCheckpointer):
    """Runs on a disk that never takes more than half of what it is given."""

    async def make_checkpointer(self) -> Checkpointer:
        return FileCheckpointer(self.directory, keyring=SomeKeys(), disk=FaultyDisk(1, "short", sticky=True))


class TestThreadedPath(TestFileCheckpointer):
    """Runs on a disk so slow that everything moves to the thread."""

    async def make_checkpointer(self) -> Checkpointer:
        return FileCheckpointer(self.directory, keyring=SomeKeys(), disk=SlowDisk(0.001, 0.006))
