"""Telemetry for a whole process, and what there is of it without the extra: nothing, and a clear word."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from graflow_async import Workflow, task
from graflow_async.telemetry import GraflowInstrumentor, instrument, uninstrument
from tests.aids.workers import ROOT
from tests.telemetry.aids import Heard


@task
async def nothing() -> None:
    """Do nothing."""


WF = Workflow("w", nothing)


@pytest.fixture(autouse=True)
def switched_off() -> Iterator[None]:
    """Leave no listener behind."""
    yield
    uninstrument()


async def test_every_run_is_traced(heard: Heard) -> None:
    """After `instrument` every run is traced, once, until `uninstrument`; a second call replaces the first."""
    other = Heard()
    instrument(other.telemetry)
    assert instrument(heard.telemetry) is heard.telemetry
    await WF.run()
    assert heard.tree() == ["run w", "  task nothing"]
    uninstrument()
    await WF.run()
    assert len(heard.spans) == 2
    assert not other.spans
    other.close()


async def test_own_listener_comes_first(heard: Heard) -> None:
    """A run with a telemetry of its own is not traced a second time."""
    general = Heard()
    instrument(general.telemetry)
    await WF.run(listeners=[heard.telemetry])
    assert len(heard.spans) == 2
    assert not general.spans
    general.close()


async def test_instrumentation_command_finds_it(heard: Heard) -> None:
    """The entry point that `opentelemetry-instrument` loads names a class which takes its providers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ((name, place),) = project["entry-points"]["opentelemetry_instrumentor"].items()
    found = EntryPoint(name, place, "opentelemetry_instrumentor").load()
    assert found is GraflowInstrumentor
    found().instrument(tracer_provider=heard.tracers, meter_provider=heard.meters, skip_dep_check=True)
    await WF.run()
    assert heard.tree() == ["run w", "  task nothing"]
    found().uninstrument(skip_dep_check=True)
    await WF.run()
    assert len(heard.spans) == 2


def python(code: str) -> str:
    """Run a program, and give what it prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_missing_extra_is_named() -> None:
    """Where OpenTelemetry is not installed, the import says what to install."""
    told = python(
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "try:\n"
        "    import graflow_async.telemetry\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error)\n"
    )
    assert told == "telemetry needs opentelemetry-api: pip install 'graflow-async[otel]'"


def test_runs_without_it_load_nothing_of_it() -> None:
    """A run that is not traced loads neither OpenTelemetry nor the module that puts blocks around bodies."""
    told = python(
        "import asyncio, sys\n"
        "from graflow_async import Workflow, task\n"
        "@task\n"
        "async def one() -> int: return 1\n"
        "async def main():\n"
        "    async with Workflow('w', one).start() as run: return await run\n"
        "assert asyncio.run(main()) == 1\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry') or 'surrounded' in name])\n"
    )
    assert told == "[]"
