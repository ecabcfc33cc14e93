"""Processes that share a directory of questions: they race, watch, answer, and die at every step of a verb.

Arguments: the directory, what to do, and more of that. Addresses come in, outcomes go out.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from graflow_async.brokers._folder import Folder
from graflow_async.brokers.file import FileBroker
from graflow_async.feedback import FeedbackRequest, FeedbackResponse, FeedbackState, FeedbackType, Letter
from graflow_async.feedback_errors import AlreadyAnsweredError

REQUEST = FeedbackRequest("ab" * 16, "ok?", "run", "task", FeedbackType.TEXT, "Say something.", 1000.0)
AGAIN = replace(REQUEST, prompt="Once more.")
ANSWER = FeedbackResponse("ok?", FeedbackType.TEXT, 1001.0, text="yes")
LETTER = Letter("letter", "run", "event", "name", [1, 2], 1000.0)
STEPS = ("open", "write", "fsync", "link", "unlink", "mkdir", "symlink", "readlink", "rename", "rmdir")


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# Racing: one party of several, for each address that comes in


def race(directory, party):
    """Settle each question as this party would, and say what came of it."""
    broker = FileBroker(directory)
    with asyncio.Runner() as runner:
        say("ready")
        for line in sys.stdin:
            say(json.dumps(runner.run(settle(broker, line.strip(), party))))


async def settle(broker, question_id, party):
    response = FeedbackResponse("name", FeedbackType.TEXT, 1.0, text=party) if party.startswith("answer") else None
    state = FeedbackState.ANSWERED if response else FeedbackState(party)
    try:
        record = await broker.settle(question_id, state, response, at=float(os.getpid()))
    except AlreadyAnsweredError as error:
        return ["lost", error.state, error.at]
    return [
        "late" if response and record.state is FeedbackState.EXPIRED else "won",
        str(record.state),
        record.settled_at,
    ]


# Answering: a person in another process


async def answer(directory, run_id):
    """Answer every question of a run as it comes, until there is one called "last"."""
    broker = FileBroker(directory)
    async with broker.watch(run_id or None) as changes:
        say("ready")
        async for change in changes:
            record = change.record
            if record is not None and record.state is FeedbackState.PENDING:
                request = record.request
                response = FeedbackResponse(request.request_id, request.feedback_type, 1.0, text=request.prompt)
                await broker.settle(request.id, FeedbackState.ANSWERED, response, at=1.0)
                if request.request_id == "last":
                    return


# Dying: before each step of a verb, in the middle of each write, and right after it returned


def prepare(folder, verb):
    """Bring a directory to where a verb begins."""
    if verb not in {"ask", "post"}:
        folder.ask(REQUEST, again=False)
    if verb in {"late", "again", "take"}:
        folder.settle(REQUEST.id, FeedbackState.EXPIRED, None, 1.0, None, None)
    if verb in {"take", "forget"}:
        folder.settle(REQUEST.id, FeedbackState.ANSWERED, ANSWER, 2.0, None, None)
    if verb in {"drop", "forget"}:
        folder.post(LETTER)


def act(folder, verb):
    """Do the one thing that is cut off."""
    if verb == "ask":
        return folder.ask(REQUEST, again=False)
    if verb in {"again", "take"}:
        return folder.ask(AGAIN, again=True)
    if verb in {"settle", "late"}:
        return folder.settle(REQUEST.id, FeedbackState.ANSWERED, ANSWER, 3.0, None, None)
    return {
        "post": lambda: folder.post(LETTER),
        "drop": lambda: folder.drop("run", [LETTER.id]),
        "forget": lambda: folder.forget("run"),
    }[verb]()


def die_at(count):
    """Let this process kill itself before the count-th step that it asks of the system."""
    left = [count]

    def step():
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def stepped(real, name):
        def call(*args, **options):
            step()
            if name == "write":
                fd, data = args
                half = len(data) // 2
                written = real(fd, data[:half])
                step()
                return written + real(fd, data[half:])
            return real(*args, **options)

        return call

    for name in STEPS:
        setattr(os, name, stepped(getattr(os, name), name))


def die(directory, verb):
    """Fork a process for each step, each with a directory of its own, until one comes to the end of the verb."""
    for count in range(1, 200):
        folder = Folder(Path(directory) / f"{count}", sync=True)
        prepare(folder, verb)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            die_at(count)
            act(folder, verb)
            # Acknowledged, and dead at once.
            os.close(writing)
            os._exit(7)
        os.close(writing)
        os.close(reading)
        _, status = os.waitpid(child, 0)
        is_done = os.WIFEXITED(status)
        say(f"{count} {'done' if is_done else 'killed'}")
        if is_done:
            return


if __name__ == "__main__":
    WHERE, WHAT, MORE = sys.argv[1:]
    if WHAT == "answer":
        asyncio.run(answer(WHERE, MORE))
    else:
        {"race": race, "die": die}[WHAT](WHERE, MORE)
