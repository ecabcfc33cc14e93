"""Guards around every test, and the loop that tests run on; fixtures of one topic live beside their tests."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import redis
import uvloop
from hypothesis import HealthCheck, settings

from graflow_async.brokers import memory
from tests.aids import guards, loopback, shadow
from tests.aids.redis_server import RedisServer
from tests.aids.workers import Workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

# The files that take longest, those that wait among those that compute.
DEAR = tuple(
    f"tests/{name}.py"
    for name in (
        *("worker/test_chaos", "durability/test_always_resume", "cli/test_run", "executors/test_process_ends"),
        *("ui/test_browser", "durability/test_every_prefix", "benchmarks/test_benchmarks", "worker/test_disasters"),
        *("durability/test_storage_faults", "durability/test_people", "cli/test_resume", "cli/test_runs"),
        *("worker/test_worker", "reference/test_against_reference", "checkpoints/test_faults", "test_architecture"),
        *("executors/test_processes", "drawing/test_pictures", "examples/test_examples", "examples/test_hitl"),
        *("brokers/test_redis_faults", "core/test_replay", "scenarios/test_n_distributed", "durability/test_redis"),
        *("examples/test_checkpoints", "examples/test_distributed", "examples/test_testing", "cli/test_stories"),
        *("redis_jobs/test_chaos", "redis_jobs/test_faults", "imperative/test_map_memory", "ui/test_fuzz"),
    )
)


# How long an example takes says nothing: the machine may stand still in the middle of it.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let one command run the suite on either loop."""
    parser.addoption("--far", action="store_true", help="run every task as a worker would: only bytes go to and fro")
    parser.addoption("--shadow", action="store_true", help="let every run keep a journal, and check it at every record")
    parser.addoption("--uvloop", action="store_true", help="run asynchronous tests on uvloop instead of asyncio's loop")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Say how the loop of an asynchronous test is made."""
    del item
    if config.getoption("--uvloop"):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.SelectorEventLoop}


def pytest_configure(config: pytest.Config) -> None:
    """Sign with a key of the tests' own, not one in somebody's home; keep the order of files where many run them."""
    if hasattr(config.option, "loadscopereorder"):
        # Else those with the most tests would come first, and one of the dearest last, for which all others wait.
        config.option.loadscopereorder = False
    os.environ.setdefault("GRAFLOW_SECRET_KEY", "a-key-of-the-test-suite-that-everybody-knows")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        # Whoever runs tests in the background may have had these ignored, and what tests start would inherit it.
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


def pytest_sessionstart() -> None:
    """Let uvloop open the pipe that it keeps for the life of the process, so that no test is blamed for it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.sleep(0))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that at the end nobody has a long one left."""
    dear = {name: place for place, name in enumerate(DEAR)}
    items.sort(key=lambda item: dear.get(item.nodeid.partition("::")[0], len(dear)))


def pytest_collection_finish() -> None:
    """Put what collection made out of the collector's sight, so that collecting after a test is cheap."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def journals_every_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--shadow`: let every run of the test keep a journal that is told again at every record."""
    if request.config.getoption("--shadow") and request.node.get_closest_marker("unrecorded") is None:
        shadow.install(monkeypatch)
    is_near = any(request.node.get_closest_marker(name) for name in ("near", "unrecorded"))
    # Workers are a real border, which values that are kept in memory cannot cross.
    is_sent = not {"redis_server", "backend"}.isdisjoint(request.fixturenames)
    if request.config.getoption("--far") and not is_near and not is_sent:
        loopback.install(monkeypatch)


@pytest.fixture(autouse=True)
def questions_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a test the process's broker without the questions that the tests before have left open."""
    monkeypatch.setattr(memory, "_SHARED", type(memory.shared())())


@pytest.fixture
def sleep_guard() -> Iterator[guards.SleepGuard]:
    """Refuse `time.sleep` on a loop's thread; a test of blocked loops uses the guard's `real_sleep`."""
    with guards.SleepGuard() as guard:
        yield guard


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest, sleep_guard: guards.SleepGuard) -> Iterator[None]:
    """Fail a test that leaves threads, descriptors or unseen failures behind, or that blocked a loop."""
    threads = set(threading.enumerate())
    descriptors = guards.open_descriptors()
    with guards.AsyncioErrors() as errors:
        yield
        if pytest_asyncio.is_async_test(request.node):
            gc.collect()  # a failed task that nobody asked reports itself when it goes
    complaints = [
        *guards.stray_threads(threads),
        *guards.new_descriptors(descriptors),
        *errors.reports,
        *sleep_guard.reports,
    ]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@pytest_asyncio.fixture
async def leaves_no_tasks() -> AsyncIterator[None]:
    """Fail a test whose loop still has tasks when it and its fixtures are through."""
    tasks: set[asyncio.Task[Any]] = asyncio.all_tasks()
    yield
    complaints = guards.pending_tasks(tasks)
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


@pytest.fixture(autouse=True)
def guards_tasks(request: pytest.FixtureRequest, leaves_nothing_behind: None) -> None:
    """Put the guard of tasks around asynchronous tests only: the others need no loop."""
    del leaves_nothing_behind
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("leaves_no_tasks")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis for the whole session; `redis_url` gives it emptied."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of a real Redis with nothing in it."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def durable() -> Iterator[RedisServer]:
    """A Redis of the test's own that keeps what it has through its death: with `everysec` it may answer too early."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture
def forgetful() -> Iterator[RedisServer]:
    """A Redis of the test's own that keeps nothing."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def workers(redis_url: str) -> Iterator[Callable[..., Workers]]:
    """Start workers by their names, of the usual queue or of another one; they end with the test."""
    started: list[Workers] = []

    def start(*names: str, queue: str = "default", options: tuple[str, ...] = ()) -> Workers:
        started.append(Workers(redis_url, *names, queue=queue, options=options))
        return started[-1]

    yield start
    for one in started:
        one.close()
