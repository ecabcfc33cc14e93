"""Messages for Slack, made of texts that anybody may have written. Pure: nothing is sent here.

Slack's own limits (characters of a text, of a header, fields of a section) are kept, since it refuses the whole message
otherwise.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..feedback import FeedbackRequest, FeedbackResponse, FeedbackType

if TYPE_CHECKING:
    from collections.abc import Iterable

PLACES = ("{question_id}", "{request_id}")

LONGEST_TEXT = 3000  # of a section, and of a message
MOST_LINES = 100  # of a quotation
LONGEST_LINK = 3000
MOST_SHOWN = 20  # options; the page shows all of them
LONGEST_OPTION = 120
LONGEST_ASIDE = 500  # metadata, reasons

_TITLES = {
    FeedbackType.APPROVAL: "Approval needed",
    FeedbackType.TEXT: "Text needed",
    FeedbackType.SELECTION: "Choice needed",
    FeedbackType.MULTI_SELECTION: "Choices needed",
    FeedbackType.CUSTOM: "Answer needed",
}
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Control characters, and those that turn the direction of writing around, so that a text reads as another one.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def asked(request: FeedbackRequest, ui_url: str | None) -> dict[str, Any]:
    """Make the message of a question."""
    blocks = [_header(_TITLES[request.feedback_type]), _section(quoted(request.prompt))]
    if request.options:
        blocks.append(_section(_listed(request.options)))
    if request.metadata:
        shown = json.dumps(request.metadata, ensure_ascii=False, indent=1)
        blocks.append(_section(quoted(shown, LONGEST_ASIDE)))
    fields = [("Task", request.task_id), ("Workflow", request.workflow), ("Run", request.run_id)]
    fields += [("Question", request.request_id), ("For", request.assignee or "")]
    blocks.append(_fields(fields, request.deadline))
    return _message(f"{_TITLES[request.feedback_type]}: ", request.prompt, [*blocks, *_link(request, ui_url)])


def answered(request: FeedbackRequest, response: FeedbackResponse) -> dict[str, Any]:
    """Make the message of an answer."""
    value = response.value
    if request.feedback_type is FeedbackType.APPROVAL:
        value = "Approved" if value else "Rejected"
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    by = f" by {in_line(response.responded_by, 200)}" if response.responded_by else ""
    blocks = [
        _section(f"*Answered*{by}\n{quoted(request.prompt, LONGEST_ASIDE)}"),
        _section(quoted(shown)),
        *([_section(f"Reason\n{quoted(response.reason, LONGEST_ASIDE)}")] if response.reason else ()),
        _fields([("Task", request.task_id), ("Run", request.run_id), ("Question", request.request_id)], None),
    ]
    return _message("Answered: ", request.prompt, blocks)


def unanswered(request: FeedbackRequest, ui_url: str | None) -> dict[str, Any]:
    """Make the message of a question whose time is up; an answer may still be kept for when the run is resumed."""
    blocks = [
        _section(f"*Nobody answered in time*\n{quoted(request.prompt, LONGEST_ASIDE)}"),
        _fields([("Task", request.task_id), ("Run", request.run_id), ("Question", request.request_id)], None),
    ]
    return _message("Nobody answered in time: ", request.prompt, [*blocks, *_link(request, ui_url)])


def escaped(text: str, longest: int) -> str:
    """Write a text so that Slack shows it as it is, in at most `longest` characters as Slack counts them."""
    made: list[str] = []
    length = 0
    for char in _UNSEEN.sub("", text):
        piece = _ESCAPES.get(char, char)
        if length + len(piece) > longest:
            while made and length + 1 > longest:
                length -= len(made.pop())
            return "".join(made) + "…"
        made.append(piece)
        length += len(piece)
    return "".join(made)


def in_line(text: str, longest: int) -> str:
    """Write a text the same way in one line."""
    return escaped(" ".join(text.split()), longest)


def quoted(text: str, longest: int = LONGEST_TEXT - 2 * MOST_LINES) -> str:
    """Write a text as a quotation, so that none of its lines passes for one of ours."""
    lines = escaped(text, longest).splitlines() or [""]
    shown = lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "…"]
    return "\n".join(f">{line}" for line in shown)


def _listed(options: Iterable[str]) -> str:
    """Write options, each on a line of its own."""
    every = list(options)
    lines = [f"• {in_line(option, LONGEST_OPTION)}" for option in every[:MOST_SHOWN]]
    more = len(every) - len(lines)
    return "\n".join([*lines, *([f"and {more} more"] if more else [])])


def _link(request: FeedbackRequest, ui_url: str | None) -> list[dict[str, Any]]:
    """Make the link to where the question is answered."""
    if ui_url is None:
        return []
    target = ui_url
    for place, value in zip(PLACES, (request.id, request.request_id), strict=True):
        target = target.replace(place, quote(value, safe=""))
    target = target.replace("&", "&amp;")
    return [_section(f"<{target}|Open the question>")] if len(target) <= LONGEST_LINK - 30 else []


def _fields(named: list[tuple[str, str]], deadline: float | None) -> dict[str, Any]:
    """Make a section of names and values; empty ones are left out."""
    texts = [f"*{name}*\n{in_line(value, 300)}" for name, value in named if value]
    if deadline is not None:
        plain = datetime.fromtimestamp(deadline, UTC).strftime("%Y-%m-%d %H:%M UTC")
        texts.append(f"*Until*\n<!date^{int(deadline)}^{{date_short_pretty}} {{time}}|{plain}>")
    return {"type": "section", "fields": [_text(text) for text in texts]}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text)}


def _header(title: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": title}}


def _text(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}  # verbatim: addresses in it do not become links


def _message(title: str, prompt: str, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Make a message; its text is what notifications show."""
    line = title + in_line(prompt, 300)
    return {"text": line, "blocks": blocks, "link_names": False, "unfurl_links": False, "unfurl_media": False}
