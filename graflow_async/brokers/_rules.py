"""What becomes of a question when somebody asks or settles it: pure functions from record to record.

Every broker applies these in its own atomic step. A record that is given back as it came means: nothing changes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import StoreError
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackResponse, FeedbackState
from ..feedback_errors import AlreadyAnsweredError, StaleQuestionError, UnknownRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

_ADDRESS = re.compile(r"[0-9a-f]{32}")


def is_address(question_id: str) -> bool:
    """Say whether a text has the form of a question's address."""
    return _ADDRESS.fullmatch(question_id) is not None


def check_address(request: FeedbackRequest) -> None:
    """Refuse a question that nobody could find again.

    Raises:
        StoreError: its id is no address.
    """
    if not is_address(request.id):
        raise StoreError(f"a question's id is 32 hexadecimal digits in lower case, not {request.id[:80]!r}")


def unknown(question_id: str) -> UnknownRequestError:
    """Make the error of a question that is not there."""
    return UnknownRequestError(f"there is no question {question_id[:80]!r}", question_id)


def asked(record: FeedbackRecord | None, request: FeedbackRequest, *, again: bool) -> FeedbackRecord:
    """Give what becomes of a question that is put."""
    if record is None:
        return FeedbackRecord(request)
    if not again or record.state is not FeedbackState.EXPIRED:
        return record
    if record.response is not None:
        return replace(record, state=FeedbackState.ANSWERED, settled_at=record.response.responded_at)
    # Run and name say where a question is found; they stay what they were.
    known = record.request
    return FeedbackRecord(replace(request, run_id=known.run_id, request_id=known.request_id))


def settled(
    record: FeedbackRecord,
    state: FeedbackState,
    response: FeedbackResponse | None,
    *,
    at: float,
    reason: str | None,
    revision: str | None,
) -> FeedbackRecord:
    """Give what becomes of a question that is answered, expired or cancelled.

    Raises:
        ValueError: this is no way to settle a question: "pending", or the response is missing or too much.
        AlreadyAnsweredError: it is settled.
        StaleQuestionError: it is another one than was answered.
    """
    if state is FeedbackState.PENDING or (state is FeedbackState.ANSWERED) is not (response is not None):
        what = "without a response" if response is None else "with a response"
        raise ValueError(f"a question cannot become {state} {what}")
    name = record.request.request_id
    if record.state is not FeedbackState.PENDING and _is_same(record, state, response):
        return record
    late = record.state is FeedbackState.EXPIRED and response is not None
    if late and record.response is not None:
        raise AlreadyAnsweredError(name, str(FeedbackState.ANSWERED), record.response.responded_at)
    if record.state is not FeedbackState.PENDING and not late:
        raise AlreadyAnsweredError(name, str(record.state), record.settled_at)
    if revision is not None and revision != record.request.revision:
        raise StaleQuestionError(f"question {name!r} has changed since it was shown; look at it again", name)
    if late:
        return replace(record, response=response)
    return replace(record, state=state, response=response, settled_at=at, reason=reason)


def _is_same(record: FeedbackRecord, state: FeedbackState, response: FeedbackResponse | None) -> bool:
    return record.state is state if response is None else record.response == response


def in_order(records: Iterable[FeedbackRecord]) -> list[FeedbackRecord]:
    """Sort questions, the oldest first."""
    return sorted(records, key=lambda record: (record.request.created_at, record.request.id))
