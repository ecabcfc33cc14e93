"""WebhookFeedbackHandler against a real server: what arrives, how it is signed, what it says of itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import sys
from dataclasses import replace
from typing import Any

import pytest

from graflow_async._lazy import lazily
from graflow_async.errors import ConfigError
from graflow_async.handlers import DeliveryError, SlackFeedbackHandler, WebhookFeedbackHandler, delivery, notify
from graflow_async.handlers.webhook import signature
from tests.feedback.receiving import REQUEST, RESPONSE, Received, answer, receiving

KINDS: tuple[Any, ...] = (WebhookFeedbackHandler, SlackFeedbackHandler)


async def posted(tell: Any, **options: Any) -> list[Received]:
    """Give what a server gets when a handler is told something."""
    async with receiving() as receiver:
        await tell(WebhookFeedbackHandler(receiver.url, **options))
        return receiver.received


async def test_the_three_events_are_posted() -> None:
    """Each event is one JSON object with its type, its time, the question and, if there is one, the answer."""

    async def tell(handler: WebhookFeedbackHandler) -> None:
        await notify([handler], "on_request_created", REQUEST)
        await notify([handler], "on_response_received", REQUEST, RESPONSE)
        await notify([handler], "on_request_timeout", REQUEST)

    received = await posted(tell, now=lambda: 1234.5, headers={"Authorization": "Bearer x"})
    assert [one.json["event_type"] for one in received] == ["request_created", "response_received", "request_timeout"]
    assert [one.json["response"] for one in received] == [None, {**RESPONSE.to_json()}, None]
    for one in received:
        assert one.path == "/hook/t0p-secret"
        assert one.json["request"] == REQUEST.to_json()
        assert one.json["timestamp"] == 1234.5
        assert one.headers["content-type"] == "application/json"
        assert one.headers["authorization"] == "Bearer x"
        assert one.headers["webhook-timestamp"] == "1234"
        assert one.json["event_id"] == one.headers["webhook-id"] == one.headers["idempotency-key"]
        assert "webhook-signature" not in one.headers


async def test_an_event_has_one_id() -> None:
    """An event told twice (as by a resumed run) has the same id; another one, of the same question too, has its own."""
    again = replace(REQUEST, created_at=200.0, deadline=260.0)

    async def tell(handler: WebhookFeedbackHandler) -> None:
        for request in (REQUEST, REQUEST, again):
            await handler.on_request_created(request)
            await handler.on_request_timeout(request)
        await handler.on_response_received(REQUEST, RESPONSE)
        await handler.on_response_received(REQUEST, replace(RESPONSE, responded_at=140.0))

    ids = [one.headers["webhook-id"] for one in await posted(tell)]
    assert ids[0:2] == ids[2:4]
    assert len(set(ids)) == 6


async def test_the_signature_holds_for_the_exact_body() -> None:
    """Whoever has the secret can verify id, time and body as they came in, at every attempt; changes do not pass."""
    secret = base64.b64encode(b"k" * 24).decode()
    moments = iter(range(1000, 2000, 10))
    async with receiving() as receiver:
        receiver.replies = [answer(503, retry_after="0")]
        handler = WebhookFeedbackHandler(receiver.url, secret=f"whsec_{secret}", now=lambda: next(moments))
        await handler.on_request_created(replace(REQUEST, prompt="Ünïcode \u2028 \x1b <&>"))
        first, second = receiver.received
    for one in (first, second):
        signed = f"{one.headers['webhook-id']}.{one.headers['webhook-timestamp']}.".encode() + one.body
        expected = base64.b64encode(hmac.new(b"k" * 24, signed, hashlib.sha256).digest()).decode()
        assert one.headers["webhook-signature"] == f"v1,{expected}"
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_the_signature_is_that_of_the_standard() -> None:
    """Existing verifiers of Standard Webhooks accept it: the example that their libraries test with."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_own_headers_cannot_be_replaced() -> None:
    """A user's headers are sent, but what says how to read the body stays as it is."""

    async def tell(handler: WebhookFeedbackHandler) -> None:
        await handler.on_request_created(REQUEST)

    (one,) = await posted(tell, headers={"Content-Type": "text/plain", "Webhook-Id": "x", "X-Own": "yes"})
    assert (one.headers["content-type"], one.headers["x-own"]) == ("application/json", "yes")
    assert one.headers["webhook-id"] != "x"


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_secrets_stay_out_of_logs(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """However much is logged, and whatever goes wrong: neither the address nor a header nor the key is in it."""
    caplog.set_level(logging.DEBUG)
    async with receiving() as receiver:
        echo = receiver.url.encode() + b" was not found; authorization: h3ader-secret"
        receiver.replies = [answer(status, echo)] * 4
        options: Any = {"headers": {"Authorization": "h3ader-secret"}, "secret": "s1gning-secret"}
        handlers = [
            WebhookFeedbackHandler(receiver.url, retries=1, backoff=0, **options),
            SlackFeedbackHandler(receiver.url, retries=1, backoff=0),
        ]
        await notify(handlers, "on_request_created", REQUEST)
        assert len(receiver.received) == (4 if status == 500 else 2)
    ours = [record.getMessage() for record in caplog.records if record.name == "graflow_async.feedback"]
    assert [f"answered {status}" in line for line in ours] == ([True, True] if status != 200 else [])
    told = caplog.text + repr(handlers) + "".join(map(str, handlers))
    assert not [secret for secret in ("t0p-secret", "h3ader-secret", "s1gning-secret") if secret in told]
    assert "127.0.0.1" in repr(handlers)


@pytest.mark.parametrize(
    "url",
    [
        *("", "ftp://h0st/t0p-secret", "file:///t0p-secret", "h0st/t0p-secret", "http://", "http:///t0p-secret"),
        *("javascript:t0p-secret", "http://h0st:99999/t0p-secret", "http://h0st/t0p-secret\n"),
        *(None, b"http://h0st/", 3),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_other_addresses_are_refused(kind: Any, url: Any) -> None:
    """Only http and https addresses with a host are taken; the refusal does not show the address."""
    with pytest.raises(ConfigError, match="webhook_url") as refusal:
        kind(url)
    assert "t0p-secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"retries": 1.5}, "retries"),
        ({"backoff": -1}, "backoff"),
        ({"secret": ""}, "secret"),
        ({"secret": "whsec_$$$"}, "base64"),
        ({"headers": {"x y": "hidden"}}, "'x y'"),
        ({"headers": {"x": "hidden\r\ny: z"}}, "'x'"),
        ({"headers": {"x": "hidden €"}}, "'x'"),
        ({"headers": {"x": 3}}, "'x'"),
    ],
)
def test_other_arguments_are_refused(options: Any, word: str) -> None:
    """What makes no sense is refused when the handler is made, without showing what may be a secret."""
    with pytest.raises(ConfigError, match=word) as refusal:
        WebhookFeedbackHandler("http://h0st/", **options)
    assert "hidden" not in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
def test_without_httpx_the_extra_is_named(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where httpx is not installed, making the handler says what to install."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.setattr(delivery, "httpx", lazily("httpx"))
    with pytest.raises(ConfigError, match=r"graflow-async\[feedback\]"):
        kind("http://h0st/")


def test_one_handler_serves_several_loops() -> None:
    """A handler may be shared by runs on different loops, at once in different threads and one after the other."""

    async def tell_from_threads() -> int:
        async with receiving() as receiver:
            handler = WebhookFeedbackHandler(receiver.url)

            def tell() -> None:
                asyncio.run(handler.on_request_created(REQUEST))

            for _ in range(2):
                await asyncio.gather(*(asyncio.to_thread(tell) for _ in range(3)))
            await handler.on_request_created(REQUEST)
            return len(receiver.received)

    assert asyncio.run(tell_from_threads()) == 7


async def test_a_failure_comes_out_of_a_direct_call() -> None:
    """Who calls a method directly hears that nothing arrived."""
    async with receiving() as receiver:
        receiver.replies = [answer(410)]
        with pytest.raises(DeliveryError, match=r"127\.0\.0\.1:\d+ answered 410$"):
            await WebhookFeedbackHandler(receiver.url).on_request_created(REQUEST)
