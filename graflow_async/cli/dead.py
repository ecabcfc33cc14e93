"""`graflow-async dead`: tasks that were given up because workers died under them; listed, shown, retried, dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .._lazy import lazily
from ..errors import ConfigError, StoreError, StoreUnavailableError
from .failures import DONE, CommandError, UsageError, guarded, spelled
from .loop import drive
from .options import Debug, check_group
from .output import as_json, moment, print_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .._redis.jobs import DeadLetter, JobQueue

_client = lazily("graflow_async._redis.client")
_jobs = lazily("graflow_async._redis.jobs")  # the client is slow to import

T = TypeVar("T")

RedisUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="redis://, rediss://, redis+sentinel:// or unix:// (or GRAFLOW_REDIS_URL).",
        envvar="GRAFLOW_REDIS_URL",
    ),
]
Queue = Annotated[str, typer.Option(metavar="NAME", help="The queue of the workers.", envvar="GRAFLOW_QUEUE")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Letter = Annotated[str, typer.Argument(metavar="LETTER", help="The id of a dead letter.", show_default=False)]
_COLUMNS = ("letter", "at", "run", "task", "deaths")
_PAGE = 100  # letters


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(
        help="Look after tasks that were given up because workers died under them.",
        epilog="Example: graflow-async dead list --redis-url redis://localhost:6379/0",
    )
    commands.callback(invoke_without_command=True)(dead)
    commands.command("list", epilog="Example: graflow-async dead list --queue default --json")(list_letters)
    for name, command in {"show": show, "retry": retry, "drop": drop}.items():
        commands.command(name, epilog=f"Example: graflow-async dead {name} LETTER")(command)
    app.add_typer(commands, name="dead")


def dead(
    context: typer.Context,
    *,
    redis_url: RedisUrl = None,
    queue: Queue = "default",
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Look after tasks that were given up because workers died under them."""
    if context.invoked_subcommand is None:
        return list_letters(redis_url=redis_url, queue=queue, json=json, debug=debug)
    check_group(context)
    return DONE


def list_letters(
    *, redis_url: RedisUrl = None, queue: Queue = "default", json: Json = False, debug: Debug = False
) -> int:
    """List the dead letters of a queue, oldest first."""

    def body() -> int:
        found = _ask(redis_url, queue, _all)
        if json:
            print(as_json([_plain(letter) for letter in found]), flush=True)
        elif found:
            rows = [(r.id, moment(r.at), spelled(r.run), spelled(r.job), str(r.crashes)) for r in found]
            print_table([_COLUMNS, *rows], numbers=(4,))
        else:
            print(f"queue {queue!r} has no dead letters", flush=True)
        return DONE

    return guarded(body, debug=debug)


def show(
    letter: Letter, *, redis_url: RedisUrl = None, queue: Queue = "default", json: Json = False, debug: Debug = False
) -> int:
    """Show a dead letter with its story: which workers died under the task, and when."""

    def body() -> int:
        async def look(queue: JobQueue) -> DeadLetter | None:
            return await queue.dead.show(letter)

        found = _ask(redis_url, queue, look)
        if found is None:
            raise _unknown(letter, queue)
        if json:
            print(as_json(_plain(found)), flush=True)
            return DONE
        lines = [
            ("letter", found.id),
            ("at", moment(found.at)),
            ("run", found.run),
            ("task", found.job),
            ("deaths", str(found.crashes)),
            ("payload", f"{len(found.payload)} B"),
            *(("story", line) for line in found.reason.splitlines()),
        ]
        for name, value in lines:
            print(spelled(f"{name:<8} {value}"))
        return DONE

    return guarded(body, debug=debug)


def retry(letter: Letter, *, redis_url: RedisUrl = None, queue: Queue = "default", debug: Debug = False) -> int:
    """Let a task run again, its deaths forgotten; resume its run, if it has failed meanwhile, to have the result."""

    def body() -> int:
        async def again(queue: JobQueue) -> str:
            return await queue.dead.retry(letter)

        state = _ask(redis_url, queue, again)
        if state == "missing":
            raise _unknown(letter, queue)
        print(f"{letter}: {state}", flush=True)
        return DONE

    return guarded(body, debug=debug)


def drop(letter: Letter, *, redis_url: RedisUrl = None, queue: Queue = "default", debug: Debug = False) -> int:
    """Remove a dead letter."""

    def body() -> int:
        async def remove(queue: JobQueue) -> bool:
            return await queue.dead.drop(letter)

        if not _ask(redis_url, queue, remove):
            raise _unknown(letter, queue)
        print(f"{letter}: dropped", flush=True)
        return DONE

    return guarded(body, debug=debug)


def _ask(url: str | None, name: str, question: Callable[[JobQueue], Awaitable[T]]) -> T:
    """Ask a queue something, and close it.

    Raises:
        UsageError: the URL is none.
        CommandError: Redis does not answer, or refuses.
    """

    async def ask() -> T:
        with _client.our_errors("looking for Redis"):  # once: a queue is patient with a Redis that restarts
            async with _client.connect(url) as client:
                await client.ping()
        async with _jobs.JobQueue(url, name) as queue:
            return await question(queue)

    try:
        return drive(ask())
    except ConfigError as error:
        raise UsageError(str(error)) from error
    except StoreError as error:
        is_away = isinstance(error, StoreUnavailableError) and not url
        hint = " (say where it is with --redis-url or GRAFLOW_REDIS_URL)" if is_away else ""
        raise CommandError(f"{error}{hint}") from error


async def _all(queue: JobQueue) -> list[DeadLetter]:
    """Collect the letters, page by page."""
    found: list[DeadLetter] = []
    while True:
        page = await queue.dead.list(found[-1].id if found else "", _PAGE)
        found.extend(page)
        if len(page) < _PAGE:
            return found


def _plain(letter: DeadLetter) -> dict[str, Any]:
    """Describe a letter for programs; what it carries stays where it is."""
    about = letter._asdict()
    return {**about, "payload": len(letter.payload), "flags": len(letter.flags), "reason": letter.reason.splitlines()}


def _unknown(letter: str, queue: str) -> CommandError:
    return CommandError(f"queue {queue!r} has no dead letter {letter!r}")
