"""Where the questions of recorded runs are, and how those runs stand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..brokering import broker_of
from ..errors import ConfigError, DefinitionError, GraflowError, UnsignedPayloadError
from ..feedback_errors import UnknownRequestError
from ..inbox import Inbox
from ..keeping import checkpointer_of
from ..manager import CheckpointManager
from ..options import is_url
from .failures import UsageError
from .loop import drive

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

RUNS_ON = ("running", "completed")  # what no resumption helps


def at_inbox(directory: str, work: Callable[[Inbox], Awaitable[T]]) -> T:
    """Do something with the questions of the runs that are recorded in a directory.

    Raises:
        UsageError: there is no such question, or no such place.
    """
    is_redis = is_url(directory)
    if not is_redis and Path(directory).exists() and not Path(directory).is_dir():
        raise UsageError(f"{directory} is no directory")

    async def do() -> T:
        broker: Any = broker_of(None, redis_url=directory) if is_redis else broker_of("file", checkpoint_dir=directory)
        try:
            return await work(Inbox(broker))
        finally:
            await broker.aclose()

    try:
        return drive(do())
    except UnknownRequestError as error:
        raise UsageError(str(error).replace("say which with run_id=", "say which with --run")) from error
    except ConfigError as error:
        raise UsageError(str(error)) from error


def status_of(directory: str, run_id: str) -> str:
    """Say how a run stands; nothing if that is not known here."""
    try:
        runs = CheckpointManager(directory).list_runs()
    except (GraflowError, OSError):
        return ""
    return next((str(run.status) for run in runs if run.run_id == run_id), "")


def check_exists(directory: str) -> None:
    """Refuse a directory that is not there: something would be kept where no run looks for it.

    Raises:
        UsageError: it is not there.
    """
    if not is_url(directory) and not Path(directory).exists():
        raise UsageError(f"there is no directory {directory}")


def check_recorded(directory: str) -> None:
    """Refuse what is no place for runs, and keys that are none.

    Raises:
        UsageError: runs cannot be read with what was given.
    """
    try:
        checkpointer_of({"checkpoint_dir": directory})
    except (DefinitionError, UnsignedPayloadError) as error:
        raise UsageError(str(error)) from error
    if not is_url(directory) and Path(directory).exists() and not Path(directory).is_dir():
        raise UsageError(f"{directory} is no directory")
