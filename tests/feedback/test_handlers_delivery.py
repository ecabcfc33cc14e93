"""Deliveries that meet trouble: what is tried again and after how long, and what is not."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any

import pytest

from graflow_async.handlers import DeliveryError
from graflow_async.handlers.delivery import LONGEST_PAUSE, LONGEST_WISH, Delivery, asked_pause, pause_after
from tests.feedback.receiving import Receiver, answer, hang_up, receiving, stay_silent, talk_for_ever

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


class Slept:
    """Waits no time, and keeps how long it should have been."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


async def post(receiver: Receiver, slept: Slept | None = None, **options: Any) -> None:
    """Post once to a server."""
    given: dict[str, Any] = {"timeout": 60, "retries": 3, "backoff": 1.0, "sleep": slept or Slept(), **options}
    await Delivery(receiver.url, **given).post(b"{}", dict)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    """After 429 and 5xx it is tried again, after pauses that grow."""
    slept = Slept()
    async with receiving() as receiver:
        receiver.replies = [answer(status)] * 3
        await post(receiver, slept)
        assert len(receiver.received) == 4
    for pause, longest in zip(slept.pauses, (1.0, 2.0, 4.0), strict=True):
        assert longest / 2 <= pause <= longest


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 408, 410, 422])
async def test_what_will_not_pass_is_not(status: int) -> None:
    """After any other status nothing is tried again, and a redirection is not followed."""
    async with receiving() as receiver:
        receiver.replies = [answer(status, location="/elsewhere", retry_after="0")]
        with pytest.raises(DeliveryError, match=rf"answered {status}$"):
            await post(receiver)
        assert len(receiver.received) == 1


async def test_it_ends_after_the_last_attempt() -> None:
    """With n retries there are n + 1 attempts, and the error counts them."""
    slept = Slept()
    async with receiving() as receiver:
        receiver.replies = [answer(500)] * 10
        with pytest.raises(DeliveryError, match=r"answered 500 \(3 attempts\)$"):
            await post(receiver, slept, retries=2)
        with pytest.raises(DeliveryError, match=r"answered 500$"):
            await post(receiver, retries=0)
        assert len(receiver.received) == 4
    assert len(slept.pauses) == 2


async def test_retry_after_is_kept() -> None:
    """A server that says how long to wait is taken at its word; one that asks for too long is given up at once."""
    slept = Slept()
    async with receiving() as receiver:
        receiver.replies = [answer(429, retry_after="7"), answer(503, retry_after="0"), answer(500, retry_after="?")]
        await post(receiver, slept)
        assert slept.pauses[:2] == [7.0, 0.0]
        assert 2.0 <= slept.pauses[2] <= 4.0
        receiver.replies = [answer(429, retry_after=str(int(LONGEST_WISH) + 1))]
        with pytest.raises(DeliveryError, match="answered 429 and asks to wait for 121 s"):
            await post(receiver, slept)
        assert len(slept.pauses) == 3


async def test_a_broken_connection_is_tried_again() -> None:
    """A server that hangs up instead of answering gets the post again."""
    async with receiving() as receiver:
        receiver.replies = [hang_up, hang_up]
        await post(receiver)
        assert len(receiver.received) == 3


async def test_a_refused_connection_is_tried_again() -> None:
    """Where nobody listens it is tried as often as wished, and the error says that the host cannot be reached."""
    slept = Slept()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        port = taken.getsockname()[1]
        delivery = Delivery(f"http://127.0.0.1:{port}/", timeout=60, retries=2, backoff=1.0, sleep=slept)
        with pytest.raises(DeliveryError, match=rf"127\.0\.0\.1:{port} cannot be reached: .* \(3 attempts\)"):
            await delivery.post(b"", dict)
    assert len(slept.pauses) == 2


async def test_a_silent_server_costs_the_timeout() -> None:
    """An attempt is given up after `timeout`, and made again."""
    async with receiving() as receiver:
        receiver.replies = [stay_silent]
        await post(receiver, timeout=0.2, retries=100)
        assert len(receiver.received) >= 2
        receiver.replies = [stay_silent]
        with pytest.raises(DeliveryError, match=r"did not answer within 0\.05 s$"):
            await post(receiver, timeout=0.05, retries=0)


async def test_an_endless_answer_is_not_read() -> None:
    """The status is the answer: a body that is long, never ends or breaks off keeps neither memory nor the run."""

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")

    async with receiving() as receiver:
        for reply in (talk_for_ever, break_off, answer(200, b"x" * 100_000)):
            receiver.replies = [reply]
            await post(receiver, retries=0)
        assert len(receiver.received) == 3


async def test_connections_are_shared_and_end() -> None:
    """Attempts of one delivery use one connection, and nothing stays open after the last delivery."""
    async with receiving() as receiver:
        receiver.replies = [answer(500)] * 3
        await post(receiver)
        assert len(receiver.received) == 4
        assert receiver.connections == 1
        await receiver.all_gone.wait()


@pytest.mark.parametrize("where", ["attempt", "pause"])
async def test_a_cancelled_delivery_leaves_nothing(where: str) -> None:
    """Who posts can be cancelled in the middle of an attempt and of a pause; the connection is closed."""
    reached = asyncio.Event()

    async def pause(_: float) -> None:
        reached.set()
        await asyncio.Event().wait()

    async def keep_waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await stay_silent(reader, writer)

    async with receiving() as receiver:
        receiver.replies = [answer(500) if where == "pause" else keep_waiting]
        posting = asyncio.create_task(post(receiver, sleep=pause))
        await reached.wait()
        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting
        await receiver.all_gone.wait()


async def test_a_refusal_by_code_is_told() -> None:
    """Slack says in one word what is wrong, which the error passes on; any other text may hold secrets and is not."""
    async with receiving() as receiver:
        receiver.replies = [answer(400, b"invalid_blocks"), answer(400, b"no such page: /hook/t0p-secret")]
        with pytest.raises(DeliveryError, match=r"answered 400: invalid_blocks$"):
            await post(receiver)
        with pytest.raises(DeliveryError, match=r"answered 400$"):
            await post(receiver)


def test_pauses_double_up_to_a_bound() -> None:
    """Without chance a pause is twice the one before, and never longer than the bound, however many there were."""
    assert [pause_after(n, 0.5, lambda: 0.0) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 16, LONGEST_PAUSE]
    assert pause_after(10_000, 0.5, lambda: 0.0) == LONGEST_PAUSE
    assert pause_after(3, 0, lambda: 0.5) == 0


def test_chance_takes_up_to_a_half() -> None:
    """Pauses differ, so that runs that failed together do not come back together, and stay within a half."""
    seed = random.randrange(2**32)
    draw = random.Random(seed).random
    pauses = [pause_after(3, 1.0, draw) for _ in range(100)]
    assert len(set(pauses)) > 90, f"seed {seed}"
    assert all(2.0 <= pause <= 4.0 for pause in pauses), f"seed {seed}"


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        (None, None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:49:47 -0000", 10.0),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
        *((text, None) for text in ("", "-1", "1.5", "soon", "9" * 400, "٣", "Sun, 99 Nov 1994 08:49:47 GMT")),
    ],
)
def test_retry_after_is_read(header: str | None, pause: float | None) -> None:
    """Seconds and dates are understood, a moment that has passed is now, and nonsense is no wish."""
    assert asked_pause(header, NOW) == pause
