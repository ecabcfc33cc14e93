"""Every verb of a context does on the other side of a border of bytes what it does here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from graflow_async import (
    FeedbackManager,
    GraflowRuntimeError,
    MemoryBroker,
    Task,
    Workflow,
    YAMLPromptManager,
)
from graflow_async.events import Emitted, Progress, TaskCompleted
from tests.aids.loopback import Loopback
from tests.far import parts
from tests.far.bodies import BODIES, counted, steps, steps_sync
from tests.far.parts import alone, double, far, triple

pytestmark = pytest.mark.near  # it crosses a border of its own


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
async def test_the_same_there_as_here(body):
    """A body gives the same, wherever it runs."""
    expected = await alone(body).run(run_id="r")
    assert await far(body, run_id="r") == expected


@pytest.mark.parametrize("body", [steps, steps_sync], ids=["async", "sync"])
async def test_a_step_is_called_once_in_all_attempts(body):
    """Without a journal, too, further attempts find the steps of the first."""

    async def again(ctx):
        value = await ctx.step("k", counted, 2)
        if ctx.attempt == 1:
            raise ValueError
        return value

    await Workflow("w", Task("parent", again, inject_context=True, max_retries=1)).run(executor=Loopback())
    assert parts.count["step"] == 1
    await far(body)
    assert parts.count["step"] == 2


# -- what is wished, told and asked ----------------------------------------------------------------------------------


async def test_wishes_take_effect():
    """next_task, goto, new graphs and next_iteration do over the border what they do here."""

    async def first(ctx):
        if ctx.cycle_count < 3:
            ctx.next_iteration()
            return ctx.cycle_count
        ctx.next_task(double(5))
        ctx.next_task(triple(1) >> double(2))
        ctx.next_task(last, goto=True)
        return "first"

    skipped = Task("skipped", lambda: parts.count.update(["skipped"]))
    last = Task("last", _results, inject_context=True)
    start = Task("first", first, inject_context=True, max_cycles=5)
    wf = Workflow("w", start >> skipped >> last)
    assert await wf.run(executor=Loopback()) == ["first", 10, 3, 4]
    assert not parts.count


async def _results(ctx):
    return [await ctx.get_result(name) for name in ("first", "double_1", "triple_1", "double_2")]


@pytest.mark.parametrize("is_sync", [False, True], ids=["async", "sync"])
async def test_another_turn_keeps_bound_arguments(is_sync):
    """Data for the next turn replace one argument; the others stay as they were bound."""

    async def turn(ctx, x, y=0):
        if x < 3:
            ctx.next_iteration(x + 1)
        return x, y

    def turn_sync(ctx, x, y=0):
        if x < 3:
            ctx.next_iteration(x + 1)
        return x, y

    bound = Task("turn", turn_sync if is_sync else turn, inject_context=True)(1, y=7)
    assert await Workflow("w", bound).run(executor=Loopback()) == (3, 7)


@pytest.mark.parametrize("verb", ["terminate", "cancel"])
async def test_a_body_ends_the_run(verb):
    """terminate_workflow and cancel_workflow end the run as they do here."""

    async def ends(ctx):
        if verb == "terminate":
            ctx.terminate_workflow("enough", result={"n": 1})
        else:
            ctx.cancel_workflow("no more", error=parts.OwnError(3, "x"))

    wf = Workflow("w", Task("ends", ends, inject_context=True) >> Task("never", parts.forget))
    if verb == "terminate":
        assert await wf.run(executor=Loopback()) == {"n": 1}
    else:
        with pytest.raises(Exception, match="no more") as caught:
            await wf.run(executor=Loopback())
        assert isinstance(caught.value.__cause__, parts.OwnError)


@pytest.mark.parametrize("is_sync", [False, True], ids=["async", "sync"])
async def test_listeners_hear_a_body(is_sync):
    """Emit and report_progress reach listeners, in order, before the body's end."""

    async def tells(ctx):
        ctx.emit({"n": 1})
        ctx.report_progress(1, 2, "half")

    def tells_sync(ctx):
        ctx.emit({"n": 1})
        ctx.report_progress(1, 2, "half")

    async with alone(tells_sync if is_sync else tells).start(executor=Loopback()) as run:
        heard = [type(event) async for event in run.events()]
    assert heard.index(Emitted) < heard.index(Progress) < heard.index(TaskCompleted)


async def test_results_are_asked_for_by_name():
    """A body elsewhere has no ctx.results, and says what to use instead."""

    async def looks(ctx):
        with pytest.raises(GraflowRuntimeError, match="get_result"):
            dict(ctx.results)
        return await ctx.get_result("double", "none"), await ctx.get_result("nobody", "none")

    wf = Workflow("w", double(2) >> Task("looks", looks, inject_context=True))
    assert await wf.run(executor=Loopback()) == ("none", "none")


async def test_prompts_are_at_hand(tmp_path):
    """ctx.prompt_manager is that of the workflow, in child runs as well."""
    (tmp_path / "greeting.yaml").write_text("- {label: production, template: 'Hi {{x}}'}", encoding="utf-8")

    async def renders(ctx):
        return ctx.prompt_manager.get_text_prompt("greeting").render(x=1)

    async def parent(ctx):
        inner = Workflow("inner", Task("renders", renders, inject_context=True))
        return await renders(ctx), await ctx.run_workflow(inner)

    wf = Workflow("w", Task("parent", parent, inject_context=True), prompt_manager=YAMLPromptManager(tmp_path))
    here = await wf.run()
    assert await wf.run(executor=Loopback()) == here


@pytest.mark.parametrize("is_sync", [False, True], ids=["async", "sync"])
async def test_people_are_asked(is_sync):
    """Answers, defaults and events arrive; the channel key is written; a question is its run's own."""

    async def asks(ctx):
        answer = await ctx.request_feedback("text", "Name?", request_id="name", channel_key="name")
        late = await ctx.request_feedback("approval", "Ok?", timeout=0.01, default=True, request_id="late")
        event = await ctx.wait_for_event("go")
        return answer.text, await ctx.channel.get("name"), late.is_default, late.request_id, event

    def asks_sync(ctx):
        answer = ctx.request_feedback("text", "Name?", request_id="name", channel_key="name")
        late = ctx.request_feedback("approval", "Ok?", timeout=0.01, default=True, request_id="late")
        event = ctx.wait_for_event("go")
        return answer.text, ctx.channel.get("name"), late.is_default, late.request_id, event

    broker = MemoryBroker()
    manager = FeedbackManager(broker)
    async with alone(asks_sync if is_sync else asks).start(executor=Loopback(), feedback=manager) as run:
        async with asyncio.timeout(60), broker.watch() as changes:
            while not await broker.find(run_id=run.run_id):
                await anext(changes)
        (record,) = await broker.find(run_id=run.run_id)
        assert (record.request.task_id, record.request.workflow) == ("parent", "w")
        await manager.respond("name", text="Ann")
        run.send("go", {"n": 1})
        assert await run == ("Ann", "Ann", True, "late", {"n": 1})


async def test_a_question_that_nobody_answers():
    """The error names the question as the run knows it."""

    async def asks(ctx):
        await ctx.request_approval("Ok?", timeout=0.01)

    with pytest.raises(TimeoutError, match="nobody answered 'parent-") as caught:
        await far(asks, feedback=FeedbackManager(MemoryBroker()))
    error: Any = caught.value
    assert error.question_id
