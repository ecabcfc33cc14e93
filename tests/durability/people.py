"""Runs that ask people, told so exactly that the broker, too, can be put back to where it was at any record."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from graflow_async import (
    FeedbackManager,
    FeedbackRecord,
    FeedbackState,
    FeedbackTimeoutError,
    MemoryBroker,
    MemoryCheckpointer,
    MemoryStore,
    Task,
    TaskExecutionContext,
    Workflow,
    WorkflowPausedError,
    chain,
    parallel,
    task,
)
from graflow_async.feedback import FeedbackType
from tests.durability.parts import RUN, bounded, contents, counted, holding, note

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from graflow_async.checkpointer import Record

EPOCH = 1_000_000.0
SILENT = "silent"  # nobody answers questions that begin like this
LEFT = "silent and left"  # its body stops waiting: asked anew if the body starts over


class SimClock:
    """The simulated loop's time as wall time, counted from a moment of choice."""

    def __init__(self, now: float = EPOCH) -> None:
        self._offset = now - asyncio.get_running_loop().time()

    def time(self) -> float:
        return self._offset + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def call_later(self, delay: float, callback: Any) -> TimerHandle:
        return asyncio.get_running_loop().call_later(delay, callback)


class NotingLog:
    """A log that notes when each record came."""

    def __init__(self, inner: Any, times: list[float], clock: SimClock) -> None:
        self._inner = inner
        self._times = times
        self._clock = clock

    def append(self, kind: int, payload: bytes) -> None:
        self._times.append(self._clock.time())
        self._inner.append(kind, payload)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class NotingCheckpointer(MemoryCheckpointer):
    """Keeps runs in memory, and notes when each record came.

    Attributes:
        times: by record.
    """

    def __init__(self, clock: SimClock) -> None:
        super().__init__()
        self.times: list[float] = []
        self._sim = clock

    async def create(self, run_id: str) -> Any:
        return NotingLog(await super().create(run_id), self.times, self._sim)


class NotingBroker(MemoryBroker):
    """A broker that notes what is done to it, and how many records there were at that time.

    Attributes:
        story: (number of records, verb, arguments).
    """

    def __init__(self, times: list[float]) -> None:
        super().__init__()
        self.story: list[tuple[int, str, tuple[Any, ...], dict[str, Any]]] = []
        self._times = times

    def _note(self, verb: str, *args: Any, **more: Any) -> None:
        self.story.append((len(self._times), verb, args, more))

    async def ask(self, request: Any, *, again: bool = False) -> FeedbackRecord:
        self._note("ask", request, again=again)
        return await super().ask(request, again=again)

    async def settle(self, question_id: str, *args: Any, **more: Any) -> FeedbackRecord:
        self._note("settle", question_id, *args, **more)
        return await super().settle(question_id, *args, **more)

    async def post(self, letter: Any) -> None:
        self._note("post", letter)
        await super().post(letter)

    async def drop(self, run_id: str, letter_ids: Any) -> None:
        self._note("drop", run_id, letter_ids)
        await super().drop(run_id, letter_ids)


async def broker_at(story: list[Any], cut: int, *, latest: bool) -> MemoryBroker:
    """Give a broker as it was when there were so many records: as soon as the last of them was there, or at last."""
    broker = MemoryBroker()
    for count, verb, args, more in story:
        if count < cut or (latest and count == cut):
            try:
                await getattr(broker, verb)(*args, **more)
            except Exception:
                assert verb == "settle"  # somebody was faster, as in the run itself
    return broker


async def person(broker: MemoryBroker, clock: SimClock) -> None:
    """Answer everything but the questions that nobody answers, each half a second after it came; for ever."""
    manager = FeedbackManager(broker)
    seen: set[str] = set()

    async def see(record: FeedbackRecord) -> None:
        request = record.request
        if record.state is not FeedbackState.PENDING or request.prompt.startswith(SILENT) or request.id in seen:
            return
        seen.add(request.id)
        await asyncio.sleep(0.5)
        now = await broker.get(request.id)
        if now is not None and now.state is FeedbackState.PENDING:
            kind = request.feedback_type
            given: Any = True if kind is FeedbackType.APPROVAL else f"said {request.prompt}"
            await manager.respond(request.id, value=given)

    async with manager.watch(RUN) as changes, asyncio.TaskGroup() as group:
        for record in await manager.list_pending(RUN):
            group.create_task(see(record))
        async for change in changes:
            if change.record is not None:
                group.create_task(see(change.record))


class Seen(NamedTuple):
    """A run with its questions, seen from outside."""

    value: Any
    channel: dict[str, Any]
    bodies: Counter[str]
    asked: Counter[tuple[str, str]]
    deadlines: dict[str, float | None]


async def with_person(call: Any, *args: Any, broker: MemoryBroker, clock: SimClock, **options: Any) -> Seen:
    """Run something while somebody answers; give all that can be seen of it. A pause is a value here."""
    store = MemoryStore()
    answering = asyncio.ensure_future(person(broker, clock))
    try:
        with counted() as bodies:
            try:
                value = await bounded(call(*args, feedback=broker, clock=clock, store=store, validate=True, **options))
            except WorkflowPausedError as error:
                value = ("paused", error.request_ids)
            found = bodies.copy()
    finally:
        answering.cancel()
        await asyncio.wait([answering])
    records = await broker.find(run_id=RUN)
    return Seen(
        value,
        {key: kept for key, kept in (await contents(store)).items() if "__feedback_response__" not in key},
        found,
        Counter((r.request.task_id, r.request.prompt) for r in records if r.request.prompt != LEFT),
        {r.request.id: r.request.deadline for r in records if not r.request.prompt.startswith(SILENT)},
    )


class Told(NamedTuple):
    """A recorded run: how it ended, its records, when they came, and what was done to the broker."""

    seen: Seen
    records: list[Record]
    times: list[float]
    story: list[Any]

    async def resumed(self, wf: Workflow, cut: int, *, latest: bool, checkpointer: Any = None) -> Seen:
        """Go on from the first records, with the broker as it was."""
        broker = await broker_at(self.story, cut, latest=latest)
        kept = checkpointer or await holding(self.records[:cut])
        clock = SimClock(self.times[cut - 1])
        seen = await with_person(wf.resume, RUN, broker=broker, clock=clock, checkpointer=kept)
        assert await broker.letters(RUN) == []
        return seen


async def told(wf: Workflow, letters: tuple[tuple[str, Any], ...] = (), **options: Any) -> Told:
    """Run a workflow to its end, with somebody who answers; `letters` are sent before."""
    clock = SimClock()
    checkpointer = NotingCheckpointer(clock)
    broker = NotingBroker(checkpointer.times)
    for name, payload in letters:
        await FeedbackManager(broker).send(RUN, name, payload)
        await asyncio.sleep(0.001)
    seen = await with_person(wf.run, broker=broker, clock=clock, checkpointer=checkpointer, run_id=RUN, **options)
    return Told(seen, await checkpointer.read(RUN), checkpointer.times, broker.story)


# -- programs -----------------------------------------------------------------------------------------------------


@task
async def first(ctx: TaskExecutionContext) -> list[Any]:
    """Ask by name, without one, and into the channel."""
    note()
    return [
        await ctx.request_approval("first?", request_id="first", timeout=60),
        await ctx.request_text_input("unnamed?"),
        await ctx.request_text_input("into the channel?", channel_key="key", request_id="keyed"),
    ]


@task
async def at_once(ctx: TaskExecutionContext) -> list[Any]:
    """Ask several people at once."""
    note()
    return list(await asyncio.gather(*(ctx.request_text_input(f"{n}?", timeout=60) for n in range(3))))


@task
async def item(ctx: TaskExecutionContext, number: int) -> str:
    """Ask as one of several children."""
    note()
    return await ctx.request_text_input(f"item {number}?")


@task
async def maps(ctx: TaskExecutionContext) -> list[str]:
    """Let children ask."""
    note()
    return await ctx.map(item, range(3))


@task
async def nobody(ctx: TaskExecutionContext) -> list[Any]:
    """Ask where nobody answers: a default, a caught timeout, and the same question again; then somebody who does."""
    note()
    found: list[Any] = [await ctx.request_text_input("silent default", timeout=1, default="d", request_id="default")]
    for _ in range(2):
        try:
            await ctx.request_approval("silent twice", timeout=1, request_id="twice")
        except FeedbackTimeoutError as error:
            found.append(str(error))
    return [*found, await ctx.request_text_input("after that?", timeout=60)]


@task
async def leaves(ctx: TaskExecutionContext) -> str:
    """Stop waiting."""
    note()
    try:
        async with asyncio.timeout(1):
            await ctx.request_approval(LEFT, request_id="left")
    except TimeoutError:
        return "left"
    return "never"


@task(max_retries=1)
async def retried(ctx: TaskExecutionContext) -> list[Any]:
    """Ask, fail, and find the answers again."""
    note()
    found = [await ctx.request_text_input("retried?", request_id="retried"), await ctx.request_text_input("again?")]
    if ctx.attempt == 1:
        raise ValueError("again")
    return found


@task(max_cycles=10)
async def turns(ctx: TaskExecutionContext, said: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Ask in each turn."""
    note()
    said = (*said, await ctx.request_text_input(f"turn {ctx.cycle_count}?", request_id=f"turn {ctx.cycle_count}"))
    said = (*said, await ctx.request_text_input(f"unnamed {ctx.cycle_count}?"))
    if ctx.cycle_count < 2:
        ctx.next_iteration(said)
    return said


@task
async def expects(ctx: TaskExecutionContext) -> list[Any]:
    """Wait for events, before and after a question."""
    note()
    before = await ctx.wait_for_event("go")
    said = await ctx.request_text_input("between?")
    return [before, said, await ctx.wait_for_event("go"), await ctx.wait_for_event("other", timeout=60)]


@task
async def collects(ctx: TaskExecutionContext) -> dict[str, Any]:
    """Give everything that was said."""
    note()
    names = ("first", "at_once", "maps", "nobody", "leaves", "retried", "turns", "expects")
    return {name: found for name in names if (found := await ctx.get_result(name)) is not None}


def program(*tasks: Any) -> Workflow:
    """Make a workflow of some tasks at once, after one that only works."""

    async def opens() -> str:
        note()
        await asyncio.sleep(0)
        return "opens"

    return Workflow("w", chain(Task("opens", opens), parallel(*tasks, name="asking"), collects))


PROGRAMS: dict[str, tuple[tuple[Any, ...], tuple[tuple[str, Any], ...]]] = {
    "plain": ((first, at_once), ()),
    "children": ((maps, retried), ()),
    "silence": ((nobody, leaves), ()),
    "turns": ((turns, first), ()),
    "events": ((expects, at_once), (("go", 1), ("go", {"n": 2}), ("other", None))),
}
