"""Importing the package is cheap: it pulls in no dependency, starts no thread, opens nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COSTLY = (
    *("anyio", "redis", "cloudpickle", "aiofiles"),
    *("typer", "rich", "yaml", "pydantic"),
    *("multiprocessing", "concurrent.futures.process"),
)
REPORT = """
import json, sys, threading
before = set(sys.modules)
{statement}
print(json.dumps({{"loaded": sorted(set(sys.modules) - before), "threads": threading.active_count()}}))
"""


def report_on(statement: str) -> dict[str, object]:
    """Run `statement` in a fresh interpreter and say which modules it loaded and how many threads there are."""
    command = [sys.executable, "-W", "error", "-c", REPORT.format(statement=statement)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@pytest.mark.parametrize("module", COSTLY)
def test_the_probe_sees_a_costly_import(module: str) -> None:
    """Each of the modules below is installed and would be noticed: the promise is not kept by absence."""
    loaded = report_on(f"import {module}")["loaded"]
    assert isinstance(loaded, list)
    assert module in loaded


def test_importing_loads_no_dependency() -> None:
    """`import graflow_async` loads none of the packages that only some programs need."""
    loaded = report_on("import graflow_async")["loaded"]
    assert isinstance(loaded, list)
    assert "graflow_async" in loaded
    costly = {name for name in loaded if any(name == module or name.startswith(f"{module}.") for module in COSTLY)}
    assert not costly, f"import graflow_async loads {sorted(costly)}"


def test_importing_starts_no_thread() -> None:
    """A program that only imports the package still has one thread, and may fork."""
    assert report_on("import graflow_async")["threads"] == 1
    assert report_on("threading.Thread(target=threading.Event().wait, daemon=True).start()")["threads"] == 2
