"""The answering side of questions: finding them, answering them, sending events; the same from whichever process."""

from __future__ import annotations

import json
import os
import re
from time import time
from typing import TYPE_CHECKING, Any

from .answers import answer_to
from .broker import Broker, Change
from .errors import ConfigError
from .feedback import FeedbackRecord, FeedbackState, Letter
from .feedback_errors import UnknownRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

ADDRESS = re.compile(r"[0-9a-f]{32}")


class Inbox:
    """Looks into a broker for people, and answers for them.

    A question is named by its address (`request.id`), or by its `request_id` where one run only has such a question;
    `run_id` says which run is meant.
    """

    def __init__(self, broker: Broker, now: Callable[[], float] = time) -> None:
        """Look into `broker`; `now` gives the wall time in seconds since the epoch."""
        self.broker = broker
        self._now = now

    async def pending(self, run_id: str | None = None, assignee: str | None = None) -> list[FeedbackRecord]:
        """List open questions, the oldest first; of one run, for one person."""
        found = await self.broker.find(run_id=run_id, state=FeedbackState.PENDING)
        return [record for record in found if assignee is None or record.request.assignee == assignee]

    async def get(self, request_id: str, run_id: str | None = None) -> FeedbackRecord:
        """Find a question.

        Raises:
            UnknownRequestError: there is none, or several runs have one of that name.
        """
        record = await self._find(request_id, run_id)
        if record is None:
            of = "" if run_id is None else f" in run {run_id}"
            raise UnknownRequestError(f"there is no question {request_id!r}{of}", request_id)
        return record

    async def respond(
        self,
        request_id: str,
        *,
        run_id: str | None = None,
        approved: bool | None = None,
        text: str | None = None,
        selected: Any = None,
        value: Any = None,
        reason: str | None = None,
        responded_by: str | None = None,
        revision: str | None = None,
    ) -> FeedbackRecord | None:
        """Answer a question: the first answer counts.

        With `run_id` a question may be answered before it is asked; the answer is kept, and None is given. An answer to
        a question that has expired is kept for the run to find when it is resumed.

        Args:
            request_id: address or name of the question.
            run_id: of the run that asks.
            approved: the answer to an approval.
            text: the answer to a text question.
            selected: the chosen option, or a list of them.
            value: the answer to a question of any type.
            reason: why.
            responded_by: who answers.
            revision: `request.revision` of what was shown, to be told if the question has changed since.

        Raises:
            UnknownRequestError: there is no such question, and no run was named; or several have one.
            InvalidAnswerError: the answer does not fit; the question stays open.
            AlreadyAnsweredError: somebody was faster.
            StaleQuestionError: the question has changed.
        """
        given: dict[str, Any] = {"approved": approved, "text": text, "selected": selected, "value": value}
        more: dict[str, Any] = {"reason": reason, "responded_by": responded_by}
        record = await self._find(request_id, run_id)
        if record is None and run_id is not None:
            await self._post(run_id, "answer", request_id, given | more)
            return None
        record = record or await self.get(request_id, run_id)
        response = answer_to(record.request, at=self._now(), **given, **more)
        return await self.broker.settle(
            record.request.id, FeedbackState.ANSWERED, response, at=response.responded_at, revision=revision
        )

    async def cancel(self, request_id: str, *, run_id: str | None = None, reason: str | None = None) -> FeedbackRecord:
        """Withdraw a question: whoever waits for its answer gets FeedbackCancelledError.

        Raises:
            UnknownRequestError: there is no such question.
            AlreadyAnsweredError: it is settled.
        """
        record = await self.get(request_id, run_id)
        return await self.broker.settle(record.request.id, FeedbackState.CANCELLED, at=self._now(), reason=reason)

    async def send(self, run_id: str, name: str, payload: Any = None) -> None:
        """Send an event to a run, for `ctx.wait_for_event(name)`; it is kept until the run takes it.

        Raises:
            ConfigError: the payload is no JSON.
        """
        await self._post(run_id, "event", name, payload)

    def watch(self, run_id: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Open a view of what changes from now on, of one run or of all."""
        return self.broker.watch(run_id)

    async def _find(self, request_id: str, run_id: str | None) -> FeedbackRecord | None:
        """Find a question by its address, else by its name.

        Raises:
            UnknownRequestError: several runs have one of that name.
        """
        if ADDRESS.fullmatch(request_id) is not None:
            record = await self.broker.get(request_id)
            if record is not None and run_id in (None, record.request.run_id):
                return record
        found = await self.broker.find(run_id=run_id, request_id=request_id)
        open_ones = [record for record in found if record.state is FeedbackState.PENDING]
        candidates = open_ones or found[-1:]
        if len(candidates) > 1:
            runs = ", ".join(sorted({repr(record.request.run_id) for record in candidates}))
            raise UnknownRequestError(f"several runs ask {request_id!r}: {runs}; say which with run_id=", request_id)
        return candidates[0] if candidates else None

    async def _post(self, run_id: str, kind: str, name: str, payload: Any) -> None:
        try:
            plain = json.loads(json.dumps(payload, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"what is sent to a run from outside has to be JSON: {error}") from None
        await self.broker.post(Letter(os.urandom(16).hex(), run_id, kind, name, plain, self._now()))
