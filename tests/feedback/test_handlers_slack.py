"""SlackFeedbackHandler: messages that Slack takes, and in which nobody's text can do more than be read."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graflow_async.errors import ConfigError
from graflow_async.feedback import FeedbackType
from graflow_async.handlers import SlackFeedbackHandler, messages, notify
from tests.feedback.receiving import REQUEST, RESPONSE, receiving

HOSTILE = "<!channel> <https://evil.example|Approve> & <@U1>\n*Answered* by ann\x1b[2J\u202e\x00"
OURS = re.compile(r"<(?:!date\^|https://inbox\.example/)[^<>]*>")  # the only marks that messages may have


def blocks_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the text objects of a message, having checked what Slack checks."""
    assert 1 <= len(message["blocks"]) <= 50
    found: list[dict[str, Any]] = []
    for block in message["blocks"]:
        if "fields" in block:
            assert 1 <= len(block["fields"]) <= 10
            assert all(len(field["text"]) <= 2000 for field in block["fields"])
            found += block["fields"]
        else:
            assert len(block["text"]["text"]) <= (150 if block["type"] == "header" else 3000)
            found.append(block["text"])
    assert all(text["text"] for text in found)
    assert len(message["text"]) <= 3000
    return found


def text_of(message: dict[str, Any]) -> str:
    """Give all that a message shows, having checked that nothing in it is a mention or somebody else's link."""
    texts = [message["text"]]
    for found in blocks_of(message):
        assert found["type"] == "plain_text" or found["verbatim"] is True
        texts.append(found["text"])
    for text in texts:
        without = OURS.sub("", text)
        assert "<" not in without
        assert ">" not in re.sub("^>", "", without, flags=re.MULTILINE)  # where it begins a quotation
        assert not re.search("&(?!amp;|lt;|gt;)", without)
        assert re.sub("[\n\t]", "", text).isprintable()
    return "\n".join(texts)


async def posted(method: str, *args: Any, **options: Any) -> dict[str, Any]:
    """Give the message that a server gets."""
    async with receiving() as receiver:
        await notify([SlackFeedbackHandler(receiver.url, **options)], method, *args)
        (one,) = receiver.received
    assert one.headers["content-type"] == "application/json; charset=utf-8"
    return one.json


async def test_a_question_is_posted() -> None:
    """A question comes with what it is about, who asks, until when, and a link to where it is answered."""
    request = replace(REQUEST, assignee="ann", metadata={"build": 7}, request_id="deploy/1 ?")
    message = await posted("on_request_created", request, ui_url="https://inbox.example/q/{question_id}?n={request_id}")
    shown = text_of(message)
    for word in ("Approval needed", ">Deploy?", "*Task*\nship", "*Run*\nrun-1", "release", "ann", '"build": 7'):
        assert word in shown
    assert "<!date^160^{date_short_pretty} {time}|1970-01-01 00:02 UTC>" in shown
    assert f"<https://inbox.example/q/{request.id}?n=deploy%2F1%20%3F|Open the question>" in shown
    assert "channel" not in message
    assert message["unfurl_links"] is message["unfurl_media"] is message["link_names"] is False


async def test_an_answer_and_a_timeout_are_posted() -> None:
    """What becomes of the question is told: the answer with who gave it and why, or that there is none."""
    shown = text_of(await posted("on_response_received", REQUEST, RESPONSE, channel="#ops"))
    assert "*Answered* by ann\n>Deploy?" in shown
    assert ">Approved" in shown
    assert "Reason\n>ok" in shown
    rejected = replace(RESPONSE, approved=False, reason=None, responded_by=None)
    assert ">Rejected" in text_of(await posted("on_response_received", REQUEST, rejected))
    message = await posted("on_request_timeout", REQUEST, channel="#ops", ui_url="https://inbox.example/")
    assert message["channel"] == "#ops"
    assert "*Nobody answered in time*\n>Deploy?" in text_of(message)
    assert "Open the question" in text_of(message)


async def test_texts_of_others_can_only_be_read() -> None:
    """Mentions, links, control characters and forged lines in any text arrive as text, each line marked as quoted."""
    options = tuple(f"{HOSTILE}{number}" for number in range(30))
    request = replace(
        *(REQUEST,),
        feedback_type=FeedbackType.MULTI_SELECTION,
        prompt=HOSTILE,
        options=options,
        metadata={HOSTILE: [HOSTILE]},
        assignee=HOSTILE,
        request_id=HOSTILE,
        task_id=HOSTILE,
        workflow=HOSTILE,
    )
    response = replace(
        *(RESPONSE,),
        feedback_type=FeedbackType.MULTI_SELECTION,
        selected_multiple=options,
        reason=HOSTILE,
        responded_by=HOSTILE,
    )
    asked = await posted("on_request_created", request, ui_url="https://inbox.example/{request_id}")
    shown = text_of(asked)
    assert "&lt;!channel&gt; &lt;https://evil.example|Approve&gt; &amp; &lt;@U1&gt;" in shown
    assert "\n>*Answered* by ann" in shown
    assert "\n*Answered* by ann" not in shown
    assert shown.count("• ") == 20
    assert "and 10 more" in shown
    text_of(await posted("on_response_received", request, response))
    text_of(await posted("on_request_timeout", request))


@pytest.mark.parametrize("char", ["x", "<", "&", "\n", "\r", "\t", "\u2028", " ", "é", "\U0001f600", "`", "*"])
async def test_long_texts_are_cut(char: str) -> None:
    """However long texts are, and whatever they are made of, the message stays within what Slack takes."""
    long = char * 10_000
    request = replace(
        REQUEST,
        feedback_type=FeedbackType.SELECTION,
        prompt=long,
        options=tuple(f"{long}{number}" for number in range(200)),
        metadata={"long": long, "many": [long] * 10},
        assignee=long,
        request_id=long,
        task_id=f"t{long}",
        workflow=long,
    )
    response = replace(
        RESPONSE, feedback_type=FeedbackType.SELECTION, selected=long, reason=long, responded_by=f"r{long}"
    )
    url = "https://inbox.example/{request_id}"
    for message in (
        messages.asked(request, url),
        messages.answered(request, response),
        messages.unanswered(request, url),
    ):
        text_of(message)
        assert "Open the question" not in text_of(message)  # a link that was cut would lead nowhere
        assert len(json.dumps(message)) < 100_000


@pytest.mark.parametrize(
    ("kind", "answer", "shown"),
    [
        (FeedbackType.TEXT, {"text": "a\nb"}, ">a\n>b"),
        (FeedbackType.TEXT, {"text": ""}, "\n>"),
        (FeedbackType.SELECTION, {"selected": "red"}, ">red"),
        (FeedbackType.MULTI_SELECTION, {"selected_multiple": ("red", "é")}, '>["red", "é"]'),
        (FeedbackType.CUSTOM, {"custom": {"n": [1, None]}}, '>{"n": [1, null]}'),
        (FeedbackType.CUSTOM, {"custom": {1}}, '>"{1}"'),
    ],
)
def test_every_kind_of_answer_is_shown(kind: FeedbackType, answer: dict[str, Any], shown: str) -> None:
    """An answer of any type becomes a text, also one that a task has made into an object of its own."""
    response = replace(RESPONSE, feedback_type=kind, approved=None, **answer)
    assert shown in text_of(messages.answered(replace(REQUEST, feedback_type=kind), response))


@given(st.text(alphabet=st.sampled_from("&<>a;lt\n\x1b\ud800é")), st.integers(1, 40))
def test_escaping_loses_nothing_but_what_is_too_long(text: str, longest: int) -> None:
    """Slack shows the text as it was up to where it is cut, and never half of an escape."""
    made = messages.escaped(text, longest)
    assert len(made) <= longest
    plain = html.unescape(made)
    whole = text.replace("\x1b", "").replace("\ud800", "")
    assert plain == whole or (plain.endswith("…") and whole.startswith(plain[:-1]))
    assert "<" not in made
    assert not re.search("&(?!amp;|lt;|gt;)", made)


@pytest.mark.parametrize(
    "ui_url",
    [
        *("", "inbox", "javascript:alert(1)", "ftp://inbox.example/", "https://", "https:///{question_id}", "//inbox"),
        *("https://inbox.example/{run}", "https://inbox.example/|x", "https://inbox.example/ x"),
        *("https://[x/{request_id}", "https://inbox.example/<x>", "https://inbox.example/\n", "{question_id}"),
    ],
)
def test_other_links_are_refused(ui_url: str) -> None:
    """A link is http or https, has a host, and no place in it but those that are filled."""
    with pytest.raises(ConfigError, match="ui_url"):
        SlackFeedbackHandler("https://h0st/", ui_url=ui_url)
