"""The command line of a worker, and its signals: the first one drains it, the second hands everything back at once."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import GraflowError
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GARBAGE = 10_000  # objects more than were freed, before the youngest ones are looked through


class Parser(argparse.ArgumentParser):
    """Tells of a wrong command line in one line."""

    def error(self, message: str) -> NoReturn:
        """Leave with code 2."""
        self.exit(2, f"error: {message} (see `{self.prog} --help`)\n")


def main(arguments: Sequence[str] | None = None, *, program: str = "python -m graflow_async.worker") -> None:
    """Run a worker until a signal ends it, and leave with its exit code: 0 drained, 1 failed, 2 wrong options.

    Args:
        arguments: what follows the program's name; None takes it from `sys.argv`.
        program: how the user calls it.
    """
    options = _parser(program).parse_args(arguments)
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        for name in options.modules:
            importlib.import_module(name)
        _calm_collector()
        asyncio.run(_serve(options))
    except (GraflowError, ImportError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from error


def _calm_collector() -> None:
    """Let garbage be collected less often: tasks come and go by the thousand, and leave hardly any cycles behind."""
    gc.collect()
    gc.freeze()  # what is loaded by now stays
    gc.set_threshold(GARBAGE, 20, 20)


async def _serve(options: argparse.Namespace) -> None:
    worker = Worker(
        _url(options),
        worker_id=options.worker_id,
        queue=options.queue,
        concurrency=options.concurrency,
        threads=options.threads,
        processes=options.processes,
        lease=options.lease,
        grace=options.grace,
        patience=options.patience,
        health_file=options.health_file,
        allowed_modules=options.allow,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.run()
    if worker.has_left_behind:
        # A thread that does not end, or a body that is deaf to its cancellation: neither the loop nor the interpreter
        # would ever be through with it.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def _parser(program: str) -> argparse.ArgumentParser:
    env = os.environ.get
    parser = Parser(
        prog=program,
        description="Take tasks of runs from a queue in Redis and run them. SIGTERM lets those that run end.",
        epilog=f"Example: {program} --redis-url redis://localhost:6379/0 --concurrency 20",
    )
    add = parser.add_argument
    name = env("GRAFLOW_WORKER_ID") or env("WORKER_ID")
    add("--worker-id", default=name, metavar="NAME", help="unique among workers (host and process)")
    add("--redis-url", default=env("GRAFLOW_REDIS_URL"), metavar="URL", help="redis[s]://, redis+sentinel://, unix://")
    add("--redis-host", default=env("REDIS_HOST"), metavar="NAME", help="instead of a URL")
    add("--redis-port", default=env("REDIS_PORT", "6379"), metavar="N", help="with --redis-host")
    add("--redis-db", default=env("REDIS_DB", "0"), metavar="N", help="with --redis-host")
    add("--queue", default=env("GRAFLOW_QUEUE", "default"), metavar="NAME", help="the queue to serve (default)")
    add(
        *("--concurrency", "--max-concurrent-tasks"),
        type=int,
        default=env("GRAFLOW_CONCURRENCY") or env("MAX_CONCURRENT_TASKS") or 100,
        metavar="N",
        help="tasks at once (100)",
    )
    add("--threads", type=int, default=env("GRAFLOW_THREADS") or 40, metavar="N", help="plain functions at once (40)")
    add(
        "--processes",
        type=int,
        default=env("GRAFLOW_PROCESSES") or 0,
        metavar="N",
        help="run plain functions that take no context in N child processes instead of threads (0)",
    )
    add("--poll-interval", help=argparse.SUPPRESS)  # command lines of Graflow have it; nothing polls here
    _add_patience(add)
    add("--health-file", metavar="PATH", help="a file to touch three times a lease while Redis confirms that it lives")
    add(
        "--modules",
        nargs="*",
        default=[],
        metavar="NAME",
        help="modules to import at the start: else with the first task",
    )
    add(
        "--allow",
        nargs="+",
        default=(env("GRAFLOW_ALLOW") or "").split() or None,
        metavar="NAME",
        help="run only tasks that stand in these modules or packages, none that came by value (all)",
    )
    add(
        "--log-level",
        type=str.lower,
        choices=("debug", "info", "warning", "error", "critical"),
        default=env("LOG_LEVEL", "info"),
        metavar="LEVEL",
        help="debug, info, warning, error (info)",
    )
    return parser


def _add_patience(add: Callable[..., Any]) -> None:
    """Add the options that are seconds."""
    add(
        "--lease",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds until others take the tasks of a dead worker (30)",
    )
    add("--grace", type=float, default=25.0, metavar="S", help="seconds that tasks may run on after SIGTERM (25)")
    add(
        "--patience",
        type=float,
        metavar="S",
        help="seconds that Redis may not answer before the worker ends with code 1 (10 at the start, then for ever)",
    )


def _url(options: argparse.Namespace) -> str | None:
    if options.redis_url is None and options.redis_host is not None:
        return f"redis://{options.redis_host}:{options.redis_port}/{options.redis_db}"
    return options.redis_url


if __name__ == "__main__":
    main()
