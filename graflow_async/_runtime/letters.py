"""What was sent to a run before it asked for it: answers that came early, and letters that are done with."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..answers import answer_to
from ..broker import Broker
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackState, Letter
from ..feedback_errors import AlreadyAnsweredError, InvalidAnswerError
from .ports import Memory

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("graflow_async.feedback")


class Letters:
    """The letters of one run."""

    def __init__(self, broker: Broker, memory: Memory | None, settle: Callable[[FeedbackRecord], None]) -> None:
        """Find them at `broker`; `settle` hears of questions that they have answered."""
        self._broker = broker
        self._memory = memory
        self._settle = settle
        self._early: dict[str, Letter] = {}

    def keep(self, letter: Letter) -> None:
        """Keep an answer for the question that it names, by name or address."""
        self._early[letter.name] = letter

    async def use(self, request: FeedbackRequest) -> None:
        """Answer a question with what was sent before it was asked, if anything was."""
        letter = self._early.pop(request.request_id, None) or self._early.pop(request.id, None)
        if letter is None:
            return
        try:
            response = answer_to(request, at=letter.sent_at, **letter.payload)
            settled = await self._broker.settle(request.id, FeedbackState.ANSWERED, response, at=letter.sent_at)
        except (InvalidAnswerError, TypeError) as error:
            logger.warning("run %s: an answer that came before its question is dropped: %s", request.run_id, error)
        except AlreadyAnsweredError:
            pass
        except Exception as error:  # of the backend: whoever looks next finds the letter
            self._early.setdefault(letter.name, letter)
            logger.warning("run %s: an answer that came early waits on", request.run_id, exc_info=error)
            return
        else:
            self._settle(settled)
        await self.drop(letter)

    async def drop(self, letter: Letter) -> None:
        """Forget a letter once what it led to is safe."""
        try:
            if self._memory is not None:
                await self._memory.flush()
            await self._broker.drop(letter.run_id, [letter.id])
        except Exception as error:  # of the backend, or the journal
            logger.warning("run %s: a letter stays where it is", letter.run_id, exc_info=error)
