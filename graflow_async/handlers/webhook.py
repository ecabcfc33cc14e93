"""WebhookFeedbackHandler: what happens to questions as JSON, posted to an address of the user's own."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from time import time
from typing import TYPE_CHECKING

from .._version import __version__
from ..errors import ConfigError
from ..feedback import FeedbackRequest, FeedbackResponse
from .base import FeedbackHandler
from .delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CREATED, RECEIVED, TIMEOUT = "request_created", "response_received", "request_timeout"
_ENCODED_SECRET = "whsec_"  # noqa: S105  # what such secrets begin with


class WebhookFeedbackHandler(FeedbackHandler):
    """Posts each event as one JSON object to an address, again after failures that pass.

    The object has `event_type` ("request_created", "response_received" or "request_timeout"), `event_id`, `timestamp`
    (when the event was told, in seconds since the epoch), `request` and `response` (None without one), both as their
    `to_json` gives them.

    Headers follow the Standard Webhooks: `webhook-id` (also as `Idempotency-Key`) is the same however often an event is
    told, so that whoever receives it twice can tell; `webhook-timestamp` is when this attempt was made; with a secret
    `webhook-signature` is `v1,` and the base64 of the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`.
    """

    def __init__(
        self,
        webhook_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float = 0.5,
        secret: str | bytes | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        """Choose where to post.

        Args:
            webhook_url: http or https address; it is kept out of logs and errors.
            headers: more headers, as for authorization; they are kept out of logs, too.
            timeout: seconds that one attempt may take.
            retries: how often to try again after a connection error, a timeout, status 429 or 5xx.
            backoff: seconds before the second attempt; each further pause is twice as long, less some chance.
            secret: key to sign with; a text that begins with `whsec_` goes on with the key in base64.
            now: gives the wall time in seconds since the epoch.

        Raises:
            ConfigError: an argument makes no sense, or the extra is missing.
        """
        self._delivery = Delivery(webhook_url, headers=headers, timeout=timeout, retries=retries, backoff=backoff)
        self._key = None if secret is None else _key(secret)
        self._now = now

    def __repr__(self) -> str:
        """Show the host alone."""
        return f"{type(self).__name__}({self._delivery.host!r})"

    async def on_request_created(self, request: FeedbackRequest) -> None:
        """Post a question.

        Raises:
            DeliveryError: it did not arrive.
        """
        await self._post(CREATED, request, None, request.created_at)

    async def on_response_received(self, request: FeedbackRequest, response: FeedbackResponse) -> None:
        """Post an answer.

        Raises:
            DeliveryError: it did not arrive.
        """
        await self._post(RECEIVED, request, response, response.responded_at)

    async def on_request_timeout(self, request: FeedbackRequest) -> None:
        """Post that nobody answered in time.

        Raises:
            DeliveryError: it did not arrive.
        """
        await self._post(TIMEOUT, request, None, request.deadline)

    async def _post(
        self, event_type: str, request: FeedbackRequest, response: FeedbackResponse | None, since: float | None
    ) -> None:
        """Post one event; `since` tells it from others of the same type and question."""
        event_id = hashlib.sha256(f"{event_type} {request.id} {since!r}".encode()).hexdigest()[:32]
        event = {
            "event_type": event_type,
            "event_id": event_id,
            "timestamp": self._now(),
            "request": request.to_json(),
            "response": None if response is None else response.to_json(),
        }
        body = json.dumps(event, separators=(",", ":")).encode()
        await self._delivery.post(body, lambda: self._headers(event_id, body))

    def _headers(self, event_id: str, body: bytes) -> dict[str, str]:
        """Make the headers of one attempt."""
        moment = str(int(self._now()))
        headers = {
            "content-type": "application/json",
            "user-agent": f"graflow-async/{__version__}",
            "idempotency-key": event_id,
            "webhook-id": event_id,
            "webhook-timestamp": moment,
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, event_id, moment, body)
        return headers


def signature(key: bytes, event_id: str, moment: str, body: bytes) -> str:
    """Sign an event as the Standard Webhooks have it."""
    signed = b".".join((event_id.encode(), moment.encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def _key(secret: str | bytes) -> bytes:
    """Give the bytes to sign with.

    Raises:
        ConfigError: there are none, or they cannot be read.
    """
    key = secret.encode() if isinstance(secret, str) else secret
    if isinstance(secret, str) and secret.startswith(_ENCODED_SECRET):
        try:
            key = base64.b64decode(secret.removeprefix(_ENCODED_SECRET), validate=True)
        except binascii.Error:
            raise ConfigError(f"a secret that begins with {_ENCODED_SECRET} has to go on in base64") from None
    if not key:
        raise ConfigError("an empty secret signs nothing: leave it out, or give one")
    return key
