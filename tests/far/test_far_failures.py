"""Failures cross the border with their type and where they came from; what cannot cross it says so."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from graflow_async import (
    BindingError,
    DuplicateTaskError,
    NotSerializableError,
    RemoteTaskError,
    Task,
    Workflow,
    task,
)
from tests.aids.loopback import Loopback
from tests.far import parts
from tests.far.parts import OwnError, alone, double, fails, far

pytestmark = pytest.mark.near  # it crosses a border of its own


class CannotTravelError(Exception):
    """An exception with something in it that cannot be pickled, and that says it when it is shown."""

    def __init__(self) -> None:
        super().__init__("with a lock", threading.Lock())


def plain_raising(ctx):
    raise OwnError(7, "here")


async def raising(ctx):
    raise OwnError(7, "here")


@pytest.mark.parametrize("body", [raising, plain_raising])
async def test_an_exception_keeps_its_type(body):
    """It arrives as it was, with a note of where it was raised, that names its line."""
    with pytest.raises(OwnError) as caught:
        await far(body)
    assert caught.value.code == 7
    notes = "\n".join(caught.value.__notes__)
    assert "it ran on the other side" in notes
    assert f"in {body.__name__}" in notes
    assert notes.count("Traceback where it was raised") == 1


async def test_an_exception_that_cannot_be_pickled():
    """It arrives as a stand-in with its name, its text and its traceback."""

    async def body(ctx):
        raise CannotTravelError

    with pytest.raises(RemoteTaskError, match=r"CannotTravelError.*with a lock"):
        await far(body)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, StopIteration, GeneratorExit])
async def test_what_would_end_a_process(error):
    """A body cannot end the process in which it runs: the failure arrives as it does without a border."""

    def body(ctx):
        raise error("x")

    with pytest.raises(BaseException) as here:  # whatever it is, it is the same there
        await alone(body).run()
    with pytest.raises(BaseException) as there:
        await far(body)
    assert type(there.value) is type(here.value)


async def test_a_result_that_cannot_be_pickled():
    """The task fails, once, with an error that names it."""

    async def body(ctx):
        parts.count["body"] += 1
        return threading.Lock()

    wf = alone(body, max_retries=3)
    with pytest.raises(NotSerializableError, match=r"result of task 'parent'.*lock"):
        await wf.run(executor=Loopback())
    assert parts.count["body"] == 1


async def test_an_argument_that_cannot_be_pickled():
    """It is refused before anything is sent, with an error that names the task."""
    lock: Any = threading.Lock()
    with pytest.raises(NotSerializableError, match="what task 'double_1' is called with"):
        await Workflow("w", double(lock)).run(executor=Loopback())


async def test_values_that_a_body_cannot_send():
    """A verb with something that cannot be pickled fails in the body, which may go on; later ones work."""

    async def body(ctx):
        with pytest.raises(NotSerializableError):
            await ctx.channel.set("k", threading.Lock())
        with pytest.raises(NotSerializableError):
            ctx.emit(threading.Lock())
        for _ in range(2):
            with pytest.raises(NotSerializableError):
                ctx.submit(double, threading.Lock())
        return await ctx.call(double, 2)

    assert await far(body) == 4


async def test_values_that_cannot_be_sent_to_a_body():
    """What a channel or a result holds, and cannot cross, is an error of the verb that asks for it."""

    @task(executor="inline")
    def holds(ctx_free=0):
        return threading.Lock()

    async def body(ctx):
        with pytest.raises(NotSerializableError):
            await ctx.get_result("holds")
        with pytest.raises(NotSerializableError):
            await ctx.call(holds)
        return "went on"

    wf = Workflow("w", holds >> Task("parent", body, inject_context=True))
    assert await wf.run(executor=Loopback()) == "went on"


class _Strange:
    """Can be pickled, and not be loaded."""

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise ValueError("not to be loaded")


async def test_a_result_that_cannot_be_loaded():
    """The run hears that it cannot load a result; nobody waits for ever."""

    async def body(ctx):
        return _Strange()

    with pytest.raises(NotSerializableError, match="'returned' cannot be loaded here: ValueError: not to be loaded"):
        await far(body)


async def test_a_message_that_cannot_be_loaded():
    """What a body tells and cannot be loaded by the run fails the body; what it asks for fails the verb."""

    async def asks(ctx):
        with pytest.raises(NotSerializableError, match="not to be loaded"):
            await ctx.channel.set("k", _Strange())
        return "went on"

    async def tells(ctx):
        ctx.emit(_Strange())
        await ctx.channel.wait("never")

    assert await far(asks) == "went on"
    with pytest.raises(NotSerializableError, match="not to be loaded"):
        await far(tells)


async def test_failures_of_children():
    """A failed child that nobody looked at fails its parent; a handled one does not."""

    async def careless(ctx):
        ctx.submit(fails, 1)
        await ctx.call(double, 1)
        await ctx.channel.wait("never", timeout=0.05)

    async def careful(ctx):
        with pytest.raises(OwnError) as caught:
            await ctx.call(fails, 2)
        return caught.value.code

    async def maps(ctx):
        await ctx.map(fails, [3])

    assert await far(careful) == 2
    with pytest.raises((OwnError, TimeoutError)):
        await far(careless)
    with pytest.raises(OwnError, match="3 at there"):
        await far(maps)


async def test_retries():
    """An attempt that raised there is repeated; a failure of binding is not."""

    async def flaky(ctx):
        parts.count["flaky"] += 1
        if ctx.attempt < 3:
            raise ValueError
        return ctx.attempt, ctx.idempotency_key

    async def wrong(ctx):
        parts.count["wrong"] += 1
        await ctx.call(double, 1, 2, 3)

    attempt, key = await alone(flaky, max_retries=5).run(executor=Loopback(), run_id="r")
    assert (attempt, parts.count["flaky"]) == (3, 3)
    parts.forget()
    assert (attempt, key) == await alone(flaky, max_retries=5).run(run_id="r")
    with pytest.raises(BindingError):
        await alone(wrong, max_retries=5).run(executor=Loopback())
    assert parts.count["wrong"] == 1


async def test_duplicate_ids():
    """Two different tasks under one id are refused as they are here."""

    async def body(ctx):
        ctx.next_task(Task("same", _nothing))
        with pytest.raises(DuplicateTaskError):
            ctx.next_task(Task("same", _nothing))
        with pytest.raises(DuplicateTaskError):
            ctx.next_task(Task("parent", _nothing))
        return "ok"

    assert await far(body) == "ok"


async def _nothing():
    return None
