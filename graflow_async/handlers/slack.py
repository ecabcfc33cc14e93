"""SlackFeedbackHandler: questions and what becomes of them as messages of a Slack channel."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..feedback import FeedbackRequest, FeedbackResponse
from .base import FeedbackHandler
from .delivery import Delivery
from .messages import PLACES, answered, asked, unanswered


class SlackFeedbackHandler(FeedbackHandler):
    """Posts a message to an incoming webhook of Slack for each question, answer and timeout.

    Whatever tasks and people wrote cannot mention anybody, link anywhere or pass for something else (bold type and the
    like it may have), and is cut where Slack would refuse it. Slack cannot tell that a message comes twice;
    where its own answer was lost on the way, a message may.
    """

    def __init__(
        self,
        webhook_url: str,
        *,
        channel: str | None = None,
        ui_url: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float = 0.5,
    ) -> None:
        """Choose where to post.

        Args:
            webhook_url: of the incoming webhook; it is kept out of logs and errors.
            channel: another channel than that of the webhook, where it allows one (the older kind does).
            ui_url: page where a question is answered, for a link; `{question_id}` in it becomes the question's address,
                `{request_id}` its name. That of the web inbox is `https://.../q/{question_id}`.
            timeout: seconds that one attempt may take.
            retries: how often to try again after a connection error, a timeout, status 429 or 5xx.
            backoff: seconds before the second attempt; each further pause is twice as long, less some chance.

        Raises:
            ConfigError: an argument makes no sense, or the extra is missing.
        """
        self._delivery = Delivery(webhook_url, timeout=timeout, retries=retries, backoff=backoff)
        self._channel = channel
        self._ui_url = None if ui_url is None else _checked_link(ui_url)

    def __repr__(self) -> str:
        """Show the host alone."""
        return f"{type(self).__name__}({self._delivery.host!r})"

    async def on_request_created(self, request: FeedbackRequest) -> None:
        """Post a question.

        Raises:
            DeliveryError: it did not arrive.
        """
        await self._post(asked(request, self._ui_url))

    async def on_response_received(self, request: FeedbackRequest, response: FeedbackResponse) -> None:
        """Post an answer.

        Raises:
            DeliveryError: it did not arrive.
        """
        await self._post(answered(request, response))

    async def on_request_timeout(self, request: FeedbackRequest) -> None:
        """Post that nobody answered in time.

        Raises:
            DeliveryError: it did not arrive.
        """
        await self._post(unanswered(request, self._ui_url))

    async def _post(self, message: dict[str, Any]) -> None:
        if self._channel is not None:
            message["channel"] = self._channel
        await self._delivery.post(json.dumps(message).encode(), _headers)


def _headers() -> dict[str, str]:
    return {"content-type": "application/json; charset=utf-8"}


def _checked_link(template: str) -> str:
    """Check what links are made of.

    Raises:
        ConfigError: no link comes of it.
    """
    filled = template
    for place in PLACES:
        filled = filled.replace(place, "x")
    try:
        parts = urlsplit(filled)
        is_link = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_link = False
    known = " and ".join(PLACES)
    if not is_link or not all(33 <= ord(c) < 127 for c in filled) or set(filled) & set('{}<>|"'):
        raise ConfigError(f"ui_url has to be an http:// or https:// address, in which {known} may stand")
    return template
