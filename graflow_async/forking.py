"""Forks: new runs that begin with what another one had recorded, up to a step."""

from __future__ import annotations

from typing import Any

from ._runtime.history import History, opening_of
from .checkpointer import Checkpointer
from .errors import ConfigError
from .keywords import RunOptions
from .resume import Opened, Subject, branch, go_on, told


async def fork(
    checkpointer: Checkpointer,
    source: str,
    subject: Subject,
    options: RunOptions,
    at: int | str | None,
) -> Opened:
    """Open a new run that begins with the records of another one, up to a step.

    Args:
        checkpointer: where both are kept.
        source: a run id, or the place of a named checkpoint.
        subject: the workflow.
        options: of the new run; `inputs` are written into its channel.
        at: how many steps (bodies that returned) are taken over, or the id of the task whose last step is the last one
            taken over; None for all of them.

    Raises:
        ConfigError: there is no such step.
        CheckpointError: as for `reopen`.
    """
    records = await checkpointer.read(source)
    live: list[Any] | None = getattr(checkpointer, "objects", None)
    if at is not None:
        opening = opening_of(records)
        history = await told(records, opening, subject, live)
        end = _end_of(history, at)
        records = [record for record in records if record.seq < end]  # the first ones may have been put together
    log, records = await branch(checkpointer, records, options, "")
    try:
        return await go_on(checkpointer, log, records, lambda _: subject, options, False, None)  # noqa: FBT003  # no changes
    except BaseException:
        await log.aclose()
        raise


def _end_of(history: History, at: int | str) -> int:
    """Give the number of the first record behind a step."""
    steps = history.steps
    if isinstance(at, str):
        found = [step for step in steps if step.task_id == at]
        if not found:
            names = ", ".join(dict.fromkeys(repr(step.task_id) for step in steps)) or "none"
            message = (
                f"at={at!r}: no body of that id has returned in run {history.header['run_id']!r}; there are: {names}"
            )
            raise ConfigError(message)
        return found[-1].seq + 1
    if not 0 <= at <= len(steps):
        message = f"at={at}: run {history.header['run_id']!r} has {len(steps)} steps"
        raise ConfigError(message)
    return steps[at].seq if at < len(steps) else steps[-1].seq + 1 if steps else 0
