"""Questions as a terminal shows them. Whoever wrote the tasks wrote the texts: each is spelled, and set apart."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..broker import Change
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackState
from .failures import spelled
from .output import moment, print_table, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_COLUMNS = ("question", "run", "type", "state", "asked", "until", "for", "prompt")
_WIDEST = 60  # characters of a prompt in a line


def as_data(record: FeedbackRecord) -> dict[str, Any]:
    """Give a question as JSON has it, with the revision that an answer may name."""
    return {**record.to_json(), "revision": record.request.revision}


def change_as_data(change: Change) -> dict[str, Any]:
    """Give a change as JSON has it."""
    if change.letter is not None:
        return {"run_id": change.run_id, "letter": asdict(change.letter)}
    return {"run_id": change.run_id, "record": None if change.record is None else as_data(change.record)}


def print_questions(records: Sequence[FeedbackRecord]) -> None:
    """Print a line for each question, under a line with the names of the columns."""
    rows = [
        (
            record.request.request_id,
            record.request.run_id,
            str(record.request.feedback_type),
            state_of(record),
            moment(record.request.created_at),
            "" if record.request.deadline is None else moment(record.request.deadline),
            record.request.assignee or "",
            _in_line(record.request.prompt),
        )
        for record in records
    ]
    print_table([_COLUMNS, *rows])


def state_of(record: FeedbackRecord) -> str:
    """Say in a word or two what has become of a question."""
    if record.state is FeedbackState.PENDING:
        return "open"
    is_late = record.state is FeedbackState.EXPIRED and record.response is not None
    return "expired, answered late" if is_late else str(record.state)


def details(record: FeedbackRecord) -> list[str]:
    """Write all that is known of a question, in lines that can be printed."""
    request, response = record.request, record.response
    settled = "" if record.settled_at is None else f" ({moment(record.settled_at)})"
    lines = [
        *_named(
            ("question", request.request_id),
            ("id", request.id),
            ("run", request.run_id),
            ("workflow", request.workflow),
            ("task", request.task_id),
            ("type", str(request.feedback_type)),
            ("state", f"{state_of(record)}{settled}"),
            ("reason", record.reason),
            ("asked", moment(request.created_at)),
            ("until", None if request.deadline is None else moment(request.deadline)),
            ("for", request.assignee),
            ("channel key", request.channel_key),
            ("revision", request.revision),
        ),
        *shown(request),
    ]
    if response is not None:
        lines += ["answer:", *_set_apart(_as_text(response.value))]
        lines += _named(("by", response.responded_by), ("at", moment(response.responded_at)), ("why", response.reason))
    return lines


def shown(request: FeedbackRequest) -> list[str]:
    """Write what a person has to see before an answer, in lines that can be printed."""
    lines = ["prompt:", *_set_apart(request.prompt)]
    if request.options is not None:
        width = len(str(len(request.options)))
        lines += ["options:", *(spelled(f"  {n:>{width}}) {option}") for n, option in enumerate(request.options, 1))]
    if request.metadata:
        lines.append("metadata:")
        lines += [spelled(f"  {key}: {_as_text(value)}") for key, value in request.metadata.items()]
    if request.schema is not None:
        lines += ["schema:", *_set_apart(json.dumps(request.schema, ensure_ascii=False))]
    return lines


def line_of(change: Change) -> str:
    """Write a change in one line that can be printed."""
    letter, record = change.letter, change.record
    if letter is not None:
        what = "event" if letter.kind == "event" else "early answer"
        cells = [moment(letter.sent_at), what, letter.run_id, letter.name, _in_line(_as_text(letter.payload))]
    elif record is not None:
        at = record.settled_at if record.settled_at is not None else record.request.created_at
        told: str | None = record.request.prompt if record.state is FeedbackState.PENDING else record.reason
        if record.response is not None:
            told = _as_text(record.response.value)
        cells = [moment(at), state_of(record), record.request.run_id, record.request.request_id, _in_line(told or "")]
    else:
        cells = [change.run_id]
    return spelled("  ".join(cells).rstrip())


def _named(*named: tuple[str, str | None]) -> Iterable[str]:
    """Write names and values, a line for each that is there."""
    return [spelled(f"{name:<12} {value}") for name, value in named if value]


def _set_apart(text: str) -> Iterable[str]:
    """Write somebody's text so that none of its lines passes for one of ours."""
    return [spelled(f"  {line}") for line in text.splitlines() or [""]]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _in_line(text: str) -> str:
    return short(" ".join(text.split()), _WIDEST)
