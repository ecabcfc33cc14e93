"""Handlers tell the outside world of questions and answers while a run goes on; extra `feedback` for those over HTTP.

A handler is any object with some of the methods `on_request_created(request)`, `on_response_received(request,
response)` and `on_request_timeout(request)`, async or not; `FeedbackHandler` is a base class with all of them::

    manager = FeedbackManager(handlers=[SlackFeedbackHandler(url, ui_url="https://inbox.example.org/q/{question_id}")])
    await wf.run(feedback=manager)

A run never waits for its handlers, and a handler that fails does not harm it: the log says so. A run that is resumed
may tell of an open question once more.

Nothing else may live here than passing on what happens to questions.
"""

from __future__ import annotations

from .base import FeedbackHandler, check_handlers, notify
from .delivery import DeliveryError
from .slack import SlackFeedbackHandler
from .webhook import WebhookFeedbackHandler

__all__ = [
    "DeliveryError",
    "FeedbackHandler",
    "SlackFeedbackHandler",
    "WebhookFeedbackHandler",
    "check_handlers",
    "notify",
]
