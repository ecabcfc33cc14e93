"""Names of questions: unique in a run, found again by whoever stands at the same place, made up where none is given."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from graflow_async import (
    DuplicateRequestError,
    FeedbackManager,
    FeedbackState,
    MemoryCheckpointer,
    Task,
    UnknownRequestError,
    Workflow,
    WorkflowPausedError,
    parallel,
)
from tests.durability.parts import counted, note
from tests.feedback.people import alone, answer, shown, spoken, told, until

BOTH = pytest.mark.parametrize("way", ["sync", "async"])


def asker(name: str, request_id: str | None = "q") -> Task[Any, Any]:
    async def asks(ctx: Any) -> Any:
        return await ctx.request_text_input("?", request_id=request_id)

    return Task(name, asks, inject_context=True)


async def everything(manager: FeedbackManager, count: int) -> list[Any]:
    """Wait for so many open questions, and answer each with who asks."""

    def fits(records: list[Any]) -> bool:
        return len([r for r in records if r.state is FeedbackState.PENDING]) >= count

    await until(manager.broker, fits)
    found = await manager.list_pending()
    for record in found:
        await manager.respond(record.request.id, text=record.request.task_id)
    return [record.request.request_id for record in found]


# -- two of one name ----------------------------------------------------------------------------------------------


@BOTH
async def test_another_task_of_the_run(way, manager):
    """Two tasks of a run cannot ask under one name, even when the first has its answer; the error says whose it is."""

    def asks(ctx):
        return (yield ctx.request_text_input("?", request_id="q"))

    first, second = (Task(name, spoken(way, asks), inject_context=True) for name in ("first", "second"))
    with pytest.raises(ExceptionGroup) as caught:
        await told(Workflow("w", first >> second), manager, answer(manager, q="a"))
    (error,) = caught.value.exceptions
    assert isinstance(error, DuplicateRequestError)
    assert "'first'" in str(error)
    assert error.request_id == "q"


@pytest.mark.parametrize("kind", ["map items", "turns", "two calls", "child runs"])
async def test_places_that_are_not_the_same(kind, manager):
    """Items of a map, turns of a loop, two calls and two child runs are different places: one name is refused."""
    child = asker("child")

    async def body(ctx: Any) -> Any:
        if kind == "map items":

            async def item(ctx: Any, _: int) -> Any:
                return await ctx.request_text_input("?", request_id="q")

            return await ctx.map(Task("item", item, inject_context=True), [1, 2])
        if kind == "turns":
            value = await ctx.request_text_input("?", request_id="q")
            if ctx.cycle_count == 1:
                ctx.next_iteration()
            return value
        if kind == "two calls":
            return [await ctx.call(child), await ctx.call(child)]
        inner = Workflow("inner", asker("inside"))
        return [await ctx.run_workflow(inner), await ctx.run_workflow(inner)]

    with pytest.raises(ExceptionGroup) as caught:
        await told(alone(body), manager, answer(manager, q="a"))
    (error,) = caught.value.exceptions
    assert isinstance(error, DuplicateRequestError)
    assert "is taken in this run" in str(error)


async def test_two_runs_may_use_one_name(manager):
    """A name belongs to its run: two runs ask under it, and whoever answers says which is meant."""
    wf = Workflow("w", asker("asks"))

    async def person() -> None:
        await shown(manager.broker, "q", run_id="one")
        await shown(manager.broker, "q", run_id="two")
        with pytest.raises(UnknownRequestError, match="several runs"):
            await manager.respond("q", text="x")
        await manager.respond("q", text="1", run_id="one")
        await manager.respond("q", text="2", run_id="two")

    async with asyncio.TaskGroup() as group:
        group.create_task(person())
        runs = [group.create_task(wf.run(feedback=manager, run_id=name)) for name in ("one", "two")]
    assert [run.result() for run in runs] == ["1", "2"]


# -- the same place -----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("name", ["q", None])
async def test_a_retried_body_has_its_answer(way, name, manager):
    """A body that fails after the answer, and is retried, is not asked again: with a name and without."""

    def asks(ctx):
        value = yield ctx.request_text_input("?", request_id=name)
        if ctx.attempt < 3:
            raise ValueError("again")
        return value, ctx.attempt

    value = await told(alone(spoken(way, asks), max_retries=2), manager, everything(manager, 1))
    assert value == ("asks", 3)
    assert len(await manager.broker.find()) == 1


@pytest.mark.parametrize("name", ["q", None])
async def test_a_child_of_a_retried_parent_has_its_answer(name, manager):
    """A parent that is retried calls its child anew: at the same place, so a named question has its answer."""

    async def parent(ctx: Any) -> Any:
        value = await ctx.call(asker("child", name))
        if ctx.attempt < 2:
            raise ValueError("again")
        return value

    async def person() -> None:
        await everything(manager, 1)
        if name is None:  # it lives as long as the child does
            await everything(manager, 1)

    assert await told(alone(parent, max_retries=1), manager, person()) == "child"
    assert len(await manager.broker.find()) == (1 if name else 2)


@pytest.mark.unrecorded
async def test_a_retried_body_is_asked_again_when_nobody_answered(manager):
    """A retry after an expired or cancelled question asks anew."""

    async def asks(ctx: Any) -> Any:
        return await ctx.request_text_input("?", request_id="q", timeout=0.05 if ctx.attempt == 1 else None)

    def is_open_for_ever(records: list[Any]) -> bool:
        return any(r.state is FeedbackState.PENDING and r.request.deadline is None for r in records)

    async def person() -> None:
        await until(manager.broker, is_open_for_ever)
        await manager.cancel("q")
        await answer(manager, q="at last")

    wf = alone(asks, max_retries=2)
    assert await told(wf, manager, person()) == "at last"
    first, second = await manager.broker.find()
    assert (first.state, second.state) == (FeedbackState.CANCELLED, FeedbackState.ANSWERED)


async def test_turns_with_names_of_their_own(manager):
    """A loop asks once in each turn if the name says which turn it is; without a name it always does."""

    async def loops(ctx: Any, said: tuple[str, ...] = ()) -> Any:
        said = (*said, await ctx.request_text_input("?", request_id=f"turn {ctx.cycle_count}"))
        said = (*said, await ctx.request_text_input("?"))
        if ctx.cycle_count < 3:
            ctx.next_iteration(said)
        return said

    async def person() -> None:
        for _ in range(6):
            await everything(manager, 1)

    assert await told(alone(loops), manager, person()) == ("loops",) * 6
    names = [r.request.request_id for r in await manager.broker.find()]
    assert [name for name in names if name.startswith("turn")] == ["turn 1", "turn 2", "turn 3"]
    assert len(set(names)) == 6


# -- without names ------------------------------------------------------------------------------------------------


async def test_names_are_made_up(manager):
    """Items of a map, members of a group, children and tasks of child runs ask without names, and do not mix up."""

    async def item(ctx: Any, number: int) -> str:
        return f"{number}: {await ctx.request_text_input('?')}"

    async def maps(ctx: Any) -> Any:
        items = await ctx.map(Task("item", item, inject_context=True), range(3))
        return items, await ctx.run_workflow(Workflow("inner", asker("inside", None)))

    members = parallel(Task("maps", maps, inject_context=True), asker("a", None), asker("b", None), name="all")

    async def person() -> None:
        names = [*await everything(manager, 5), *await everything(manager, 1)]
        assert len(set(names)) == 6

    value = await told(Workflow("w", members), manager, person())
    assert value == {"maps": (["0: item_1", "1: item_2", "2: item_3"], "inside"), "a": "a", "b": "b"}


@pytest.mark.parametrize("name", ["q", None])
async def test_several_at_once_in_one_body(name, manager):
    """A body may ask several questions at once; those that share a name are one question with one answer."""

    async def asks(ctx: Any) -> Any:
        return await asyncio.gather(*(ctx.request_text_input(f"{n}?", request_id=name) for n in range(3)))

    async def person() -> None:
        await until(manager.broker, lambda records: len(records) == (1 if name else 3))
        for record in await manager.list_pending():
            await manager.respond(record.request.id, text=record.request.prompt)

    value = await told(alone(asks), manager, person())
    assert value == (["0?"] * 3 if name else ["0?", "1?", "2?"])


async def test_questions_at_once_are_found_again(manager):
    """Resumed, questions that were asked at once without names have their own answers, in whatever order they came."""

    async def asks(ctx: Any) -> Any:
        note()
        return await asyncio.gather(*(ctx.request_text_input(f"{n}?") for n in range(3)))

    wf, place = alone(asks), MemoryCheckpointer()
    async with wf.start(run_id="r", checkpointer=place, feedback=manager) as run:
        await until(manager.broker, lambda records: len(records) == 3)
        by_prompt = {r.request.prompt: r.request.id for r in await manager.list_pending("r")}
        await manager.respond(by_prompt["2?"], text="last")
        run.pause()
        with pytest.raises(WorkflowPausedError):
            await run
    await manager.respond(by_prompt["1?"], text="middle")
    await manager.respond(by_prompt["0?"], text="first")
    with counted() as bodies:
        assert await wf.resume("r", checkpointer=place, feedback=manager) == ["first", "middle", "last"]
    assert bodies == {"asks": 1}
    assert len(await manager.broker.find()) == 3


@pytest.mark.parametrize("name", ["named", None])
async def test_each_answer_goes_to_what_was_asked(name, manager):
    """Resumed, a body that asks in another order gets no answer that was given to another question."""
    order = ["tea?", "war?"]

    async def asks(ctx: Any) -> Any:
        found = {}
        for prompt in order:
            found[prompt] = await ctx.request_approval(prompt, request_id=name and prompt)
        return found

    wf, place = Workflow("w", Task("asks", asks, inject_context=True)), MemoryCheckpointer()
    async with wf.start(run_id="r", checkpointer=place, feedback=manager) as run:
        await until(manager.broker, lambda records: len(records) == 1)
        await manager.respond((await manager.list_pending("r"))[0].request.id, approved=True)
        await until(manager.broker, lambda records: len(records) == 2)
        run.pause()
        with pytest.raises(WorkflowPausedError):
            await run
    order.reverse()
    (record,) = await manager.list_pending("r")
    assert record.request.prompt == "war?"
    await manager.respond(record.request.id, approved=False)
    assert await wf.resume("r", checkpointer=place, feedback=manager) == {"tea?": True, "war?": False}
    assert len(await manager.broker.find()) == 2


async def test_what_a_model_refused_is_found_again_without_a_name(manager):
    """An unnamed question that was asked anew because its model refused keeps its place in the next life."""
    pydantic = pytest.importorskip("pydantic")
    even: Any = Annotated[int, pydantic.AfterValidator(_even)]

    async def asks(ctx: Any) -> Any:
        number = (await ctx.request_feedback("custom", "a number?", schema=even)).value
        return number, await ctx.request_text_input("and?")

    async def said(prompt: str, count: int, value: Any) -> None:
        await until(manager.broker, lambda records: len(records) == count)
        (record,) = await manager.list_pending("r")
        assert record.request.prompt == prompt
        await manager.respond(record.request.id, value=value)

    wf, place = alone(asks), MemoryCheckpointer()
    async with wf.start(run_id="r", checkpointer=place, feedback=manager) as run:
        await said("a number?", 1, 3)
        await said("a number?", 2, 4)
        await until(manager.broker, lambda records: len(records) == 3)
        run.pause()
        with pytest.raises(WorkflowPausedError):
            await run
    await said("and?", 3, "no")
    assert await wf.resume("r", checkpointer=place, feedback=manager) == (4, "no")
    assert len(await manager.broker.find()) == 3


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


# -- forks --------------------------------------------------------------------------------------------------------


@pytest.mark.unrecorded
@pytest.mark.parametrize("stopped_by", ["timeout", "pause"])
async def test_a_fork_asks_its_own_questions(stopped_by, manager):
    """A fork of a paused run asks for itself, and leaves the questions of the run that it began with alone."""

    async def asks(ctx: Any, first: str) -> Any:
        is_short = stopped_by == "timeout" and ctx.run_id == "r"
        return await ctx.request_text_input("?", request_id="q", timeout=0.05 if is_short else None)

    async def first(ctx: Any) -> Any:
        return await ctx.request_text_input("?", request_id="first")

    wf = Workflow("w", Task("first", first, inject_context=True) >> Task("asks", asks, inject_context=True))
    place = MemoryCheckpointer()
    async with wf.start(run_id="r", checkpointer=place, feedback=manager) as run:
        await answer(manager, "r", first="here")
        if stopped_by == "pause":
            await shown(manager.broker, "q", run_id="r")
            run.pause()
        with pytest.raises(WorkflowPausedError):
            await run
    before = await manager.get("q", "r")
    async with asyncio.TaskGroup() as group:
        group.create_task(answer(manager, "fork", q="of the fork"))
        fork = group.create_task(wf.fork("r", run_id="fork", checkpointer=place, feedback=manager))
    assert fork.result() == "of the fork"
    assert await manager.get("q", "r") == before
    assert {r.request.request_id for r in await manager.broker.find(run_id="fork")} == {"q"}
    await manager.respond("q", text="of the run", run_id="r")
    assert await wf.resume("r", checkpointer=place, feedback=manager) == "of the run"
