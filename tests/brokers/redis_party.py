"""Processes that share the questions in a Redis: they race for them, and answer them.

Arguments: the URL, what to do, and more of that. Addresses come in, outcomes go out.
"""

from __future__ import annotations

import asyncio
import json
import sys

from graflow_async.brokers.redis import RedisBroker
from graflow_async.feedback_manager import FeedbackManager
from tests.brokers.victim import say, settle


async def race(url, party):
    """Settle each question as this party would, and say what came of it."""
    broker = RedisBroker(url)
    loop = asyncio.get_running_loop()
    async with broker.watch("nobody"):  # keeps the connections
        say("ready")
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            say(json.dumps(await settle(broker, line.strip(), party)))


def answer(url, text):
    """Answer every open question with a text, as a blocking script does, and say which."""
    manager = FeedbackManager("redis", redis_url=url)
    for record in manager.list_pending():
        manager.respond(record.request.id, text=text, responded_by="ada")
        say(record.request.request_id)


async def answer_as_it_comes(url, text):
    """Answer the first question that is asked."""
    broker = RedisBroker(url)
    manager = FeedbackManager(broker)
    async with broker.watch() as changes:
        say("ready")
        record = (await anext(changes)).record
        assert record is not None
        await manager.respond(record.request.id, text=text)
        say(record.request.request_id)


if __name__ == "__main__":
    WHERE, WHAT, MORE = sys.argv[1:]
    if WHAT == "answer":
        answer(WHERE, MORE)
    else:
        asyncio.run({"race": race, "wait": answer_as_it_comes}[WHAT](WHERE, MORE))
