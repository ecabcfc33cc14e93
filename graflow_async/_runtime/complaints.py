"""What a run logs of a broker that fails: a line each time the trouble changes, not each time it is met."""

from __future__ import annotations

import logging

from ..errors import GraflowError

logger = logging.getLogger("graflow_async.feedback")


class Complaints:
    """The complaints of one run."""

    __slots__ = ("_run_id", "_trouble")

    def __init__(self, run_id: str) -> None:
        """Speak for a run."""
        self._run_id = run_id
        self._trouble: tuple[type[BaseException], str] | None = None

    def over(self) -> None:
        """Take note that the broker works."""
        self._trouble = None

    def tell(self, what: str, error: Exception, level: int = logging.WARNING) -> None:
        """Say what has failed; an error of ours says why by itself, one of somebody else comes with its traceback."""
        if not isinstance(error, GraflowError):
            logger.log(level, "run %s: %s", self._run_id, what, exc_info=error)
            return
        trouble = (type(error), str(error.__cause__ or error))
        if trouble == self._trouble and level < logging.ERROR:
            level = logging.DEBUG
        self._trouble = trouble
        logger.log(level, "run %s: %s: %s", self._run_id, what, error)
