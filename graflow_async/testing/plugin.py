"""The pytest plugin: the marker `graflow`, the fixtures `graflow` and `fake_clock`, options that repeat a failure.

It is loaded in every test run of an environment that has the package, so that nothing else of it is imported before a
test asks for it.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from .._lazy import lazily

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from .clock import FakeClock
    from .harness import Harness
    from .schedules import Plan

_clock = lazily("graflow_async.testing.clock")
_harness = lazily("graflow_async.testing.harness")
_running = lazily("graflow_async.testing.running")
_schedules = lazily("graflow_async.testing.schedules")

MARKER = (
    "graflow(schedules=1, crash=None, leaks=False, jitter=0.001, compare=True): perform the test in virtual time, "
    "under so many seeded schedules; with crash='every-commit' once more for each commit of the journals of "
    "`graflow.run(...)`, after which the process dies and the run is resumed"
)
_KNOWN = ("schedules", "crash", "leaks", "jitter", "compare")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let one command repeat what has failed."""
    group = parser.getgroup("graflow", "workflows of graflow_async")
    group.addoption("--graflow-seed", type=int, metavar="SEED", help="perform marked tests under this schedule only")
    group.addoption("--graflow-crash", type=int, metavar="COMMIT", help="let the process die after this commit only")
    group.addoption("--graflow-schedules", type=int, metavar="NUMBER", help="so many schedules, whatever markers say")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def graflow() -> Harness:
    """Run workflows for a test: `await graflow.run(wf)`, `graflow.run_sync(wf)`, `graflow.events` and more."""
    made: Harness = _harness.Harness()
    return made


@pytest.fixture
def fake_clock() -> FakeClock:
    """Give a clock for `wf.run(clock=...)` that only moves when it is told to, for tests on a loop of their own."""
    made: FakeClock = _clock.FakeClock()
    return made


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Put a plain function in the place of a marked test: it performs the test as the marker says.

    So nobody else has to know how a coroutine is run, and whoever does never sees one.
    """
    marker = pyfuncitem.get_closest_marker("graflow")
    if marker is None:
        return (yield)
    original: Any = pyfuncitem.obj
    pyfuncitem.obj = _planned(pyfuncitem, plan_of(marker.args, marker.kwargs, pyfuncitem.config))
    try:
        return (yield)
    finally:
        pyfuncitem.obj = original


def plan_of(args: tuple[Any, ...], given: Mapping[str, Any], config: pytest.Config) -> Plan:
    """Read a marker and the command line.

    Raises:
        pytest.UsageError: one of them makes no sense.
    """
    unknown = [*map(repr, args), *(name for name in given if name not in _KNOWN)]
    if unknown:
        raise pytest.UsageError(f"the marker graflow takes {', '.join(_KNOWN)}, by name; not {', '.join(unknown)}")
    crash, every_commit = given.get("crash"), _schedules.EVERY_COMMIT
    if crash not in (None, every_commit):
        raise pytest.UsageError(f"crash is {every_commit!r} or None, not {crash!r}")
    schedules: Any = config.getoption("--graflow-schedules") or given.get("schedules", 1)
    if not isinstance(schedules, int) or schedules < 1:
        raise pytest.UsageError(f"schedules is a whole number from 1 on, not {schedules!r}")
    plan: Plan = _schedules.Plan(
        schedules=schedules,
        crash=crash is not None,
        seed=config.getoption("--graflow-seed"),
        crash_after=config.getoption("--graflow-crash"),
        **{name: given[name] for name in ("leaks", "jitter", "compare") if name in given},
    )
    return plan


def _planned(item: pytest.Function, plan: Plan) -> Callable[..., None]:
    """Make the function that performs a test."""
    test: Any = item.obj
    if type(item).__module__.startswith("pytest_asyncio"):
        test = getattr(test, "__wrapped__", test)  # that plugin's own wrapping, which would run it on another loop
    harness: Any = getattr(item, "funcargs", {}).get("graflow")
    if plan.crash and harness is None:
        raise pytest.UsageError(f"{item.nodeid}: crash= needs the fixture `graflow`, whose `run` keeps the journals")

    def failed(what: str, repeat: str) -> None:
        text = f"{what}; repeat it with:\npytest '{item.nodeid}' {repeat}"
        item.add_report_section("call", "graflow", text)

    def perform(**arguments: Any) -> None:
        body = partial(test, **arguments)
        if inspect.iscoroutinefunction(test):
            body = partial(_running.simulate, body)
        _schedules.perform(body, plan, harness or _harness.Harness(), failed)

    return perform
