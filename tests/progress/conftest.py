"""A terminal in the place of stderr, for runs in this process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async.progress import _screen
from tests.progress.terminal import PATIENCE, Terminal

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Let stderr be the test's terminal while it runs; pytest's own streams come and go around that."""
    terminal = pyfuncitem.funcargs.get("terminal")
    if not isinstance(terminal, Terminal):
        return (yield)
    kept, sys.stderr = sys.stderr, terminal.stream
    try:
        return (yield)
    finally:
        sys.stderr = kept


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Give the terminal that stderr is while the test runs."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    # A machine that stands still must not be taken for a terminal that takes nothing.
    monkeypatch.setattr(_screen, "_LAST", PATIENCE)
    made = Terminal()
    try:
        yield made
    finally:
        made.close()
