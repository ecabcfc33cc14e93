"""How a run ends for the one who called it: the report that `--json` prints, the value, and how to go on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from ..errors import GraflowWorkflowCanceledError
from ..feedback_errors import WorkflowPausedError
from .failures import DONE
from .loop import drive
from .output import as_json, for_people

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def carry_out(report: dict[str, Any], work: Callable[[], Coroutine[Any, Any, Any]]) -> BaseException | None:
    """Run to the end, complete the report, and give what the run raised."""
    began = time.perf_counter()
    failure: BaseException | None = None
    try:
        report["value"] = drive(work())
        report["status"] = "completed"
    except WorkflowPausedError as error:
        report["status"] = "paused"
        report["request_ids"] = list(error.request_ids)
        failure = error
    except BaseException as error:  # noqa: BLE001  # reported as it is, then raised by the caller
        stopped = isinstance(error, (KeyboardInterrupt, asyncio.CancelledError, GraflowWorkflowCanceledError))
        report["status"] = "cancelled" if stopped else "failed"
        report["error"] = {"type": type(error).__name__, "message": str(error)}
        failure = error
    report["seconds"] = round(time.perf_counter() - began, 6)
    return failure


def answer(report: dict[str, Any], failure: BaseException | None, *, json: bool) -> int:
    """Print the report, or the value alone; give the exit code.

    Raises:
        BaseException: what the run raised.
    """
    if json:
        print(as_json(report), flush=True)
    if failure is not None:
        raise failure
    if not json:
        print(for_people(report["value"]), flush=True)
    return DONE
