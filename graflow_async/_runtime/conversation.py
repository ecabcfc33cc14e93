"""The run's side of a body that runs elsewhere: does for it what a context would do here."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from .._core.events import HandleDropped
from .._core.state import Instance
from .._core.wishes import Child, Wishes
from .._lazy import lazily
from ..current import running
from ..store import Watch, lock_holder
from .calls import ChildHandle, MapCall
from .ends import Upstream
from .link import Link
from .talk import Talk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

codec = lazily("graflow_async.codec")


class Conversation:
    """Serves one attempt of one body, until `aclose`.

    Attributes:
        outcome: what came of it: the value and the wishes.
    """

    def __init__(self, link: Link, instance: Instance, send: Callable[[bytes], None]) -> None:
        """Serve the body of `instance`; `send` passes messages on to where it runs."""
        self._link = link
        self._instance = instance
        self._talk = Talk(instance.scope.graph, send)
        self._talk.decoder.children = self._handle_of
        self._talk.verbs |= {
            "returned": self._returned,
            "raised": self._raised,
            "ended": self._ended_unasked,
            "called": self._called,
            "dropped": self._dropped,
            "cancelled": self._cancelled,
            "unlocked": self._unlocked,
            "unwatched": self._unwatched,
            "withdrawn": self._withdrawn,
            "emitted": self._emitted,
            "progress": self._progress,
            "save_after": self._save_after,
            "unparked": self._serving(self._unpark),
            "parked": self._serving(self._park),
            "store": self._serving(self._in_store),
            "locked": self._serving(self._lock),
            "watched": self._serving(self._watch),
            "asked": self._serving(self._ask),
            "expected": self._serving(self._expect),
            "kept": self._serving(self._keep),
            "saved": self._serving(self._save),
            "result": self._serving(self._result),
            "ran": self._serving(self._run_workflow),
        }
        self.outcome: asyncio.Future[tuple[Any, Wishes | None]] = link.scheduler.loop.create_future()
        self._handles: dict[int, ChildHandle[Any] | _Map] = {}
        self._by_key: dict[int, ChildHandle[Any]] = {}
        self._failures: list[ChildHandle[Any]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: dict[int, AbstractAsyncContextManager[int]] = {}
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._waits: list[Any] = []

    def take(self, data: bytes) -> None:
        """Take a message of the body."""
        self._talk.take(data)

    async def aclose(self) -> None:
        """Stop serving: what the body still waits for it gets no more, what it holds is given back."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for lock in self._locks.values():
            await lock.__aexit__(None, None, None)

    # -- requests ---------------------------------------------------------------------------------------------

    def _serving(self, verb: Callable[..., Awaitable[Any]]) -> Callable[..., None]:
        """Make what carries a request out in a task of its own, on behalf of the body, and answers it."""

        def begin(number: int, *args: Any) -> None:
            task = self._requests[number] = self._own(self._serve(number, verb, args))
            task.add_done_callback(lambda _: self._requests.pop(number, None))

        return begin

    def _own(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._link.scheduler.loop.create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, number: int, verb: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        running.set(self._instance)  # channel writes are the body's
        try:
            value = await verb(*args)
        except asyncio.CancelledError as error:
            self._talk.answer(number, None, error)
            raise
        except BaseException as error:  # noqa: BLE001  # whatever it is, the body gets it
            self._talk.answer(number, None, error)
        else:
            self._talk.answer(number, value)

    async def _in_store(self, verb: str, args: tuple[Any, ...]) -> Any:
        return await getattr(self._link.store, verb)(*args)

    async def _park(self) -> None:
        wait = self._link.scheduler.leave_slots(self._instance)
        self._waits.append(wait)

    async def _unpark(self) -> None:
        wait = self._waits.pop() if self._waits else None
        if wait is not None:
            await self._link.scheduler.regain_slots(self._instance, wait)

    async def _lock(self, number: int, holder: int, key: str, timeout: float | None) -> int:
        lock_holder.set((id(self), holder))  # this task is gone by the time when the lock is given back
        lock = self._link.store.lock(key, timeout)
        fence = await lock.__aenter__()
        self._locks[number] = lock
        return fence

    async def _watch(self, number: int, prefix: str, exact: bool) -> None:  # noqa: FBT001  # a field
        watch = self._link.store.watch(prefix, exact=exact)
        await watch.__aenter__()
        self._watches[number] = self._own(self._follow(number, watch))

    async def _follow(self, number: int, watch: Watch) -> None:
        try:
            async for change in watch:
                self._talk.tell("change", number, (change.key, change.value, change.kind))
            self._talk.tell("change", number, None)
        finally:
            await watch.aclose()

    async def _ask(self, owner: str, slot: Any, draft: Any, timeout: float | None, anew: bool) -> Any:  # noqa: FBT001
        desk = self._link.desk
        question = desk.ask(self._instance, owner, slot, draft, timeout, anew=anew)
        return await self._until_settled(question)

    async def _expect(self, owner: str, slot: Any, topic: str, timeout: float | None) -> Any:
        return await self._until_settled(self._link.desk.expect(self._instance, owner, slot, topic, timeout))

    async def _until_settled(self, question: Any) -> Any:
        desk = self._link.desk
        if not question.kind:
            future = desk.waiter(question)
            try:
                await future
            except BaseException:
                desk.let_go(question, future)
                raise
            question.is_told = True
        return question.id, question.kind, question.value, question.about

    async def _keep(self, name: Any, value: Any) -> None:
        steps = self._instance.steps
        if steps is None:
            steps = self._instance.steps = {}
        memory = self._link.memory
        if memory is not None:
            await memory.keep(self._instance, name, value, 0)
        steps[name] = value

    async def _save(self, path: str | None, metadata: Any) -> Any:
        memory = self._link.memory
        return None if memory is None else await memory.save(self._instance, path, metadata)

    async def _result(self, task_id: str, default: Any) -> Any:
        return await self._link.result(self._instance, task_id, default)

    async def _run_workflow(
        self,
        name: str,
        graph: Any,
        provided: Any,
        start: Any,
        inputs: Any,
        timeout: float | None,
        number: int,
    ) -> Any:
        workflow = _Sent(name, graph, provided)
        return await self._link.run_workflow(self._instance, workflow, start, inputs, timeout, number, self._failures)

    # -- how the body ended -----------------------------------------------------------------------------------

    def _returned(self, _: int, value: Any, row: Any) -> None:
        if not self.outcome.done():
            self.outcome.set_result((value, self._talk.decoder.wishes(row)))

    def _raised(self, _: int, error: bytes, again: bool) -> None:  # noqa: FBT001  # a field
        if not self.outcome.done():
            raised = codec.loads_error(error)
            self.outcome.set_exception(raised if again or not isinstance(raised, Exception) else Upstream(raised))

    def _ended_unasked(self, _: int) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(asyncio.CancelledError())

    # -- messages that are not answered -----------------------------------------------------------------------

    def _called(self, _: int, key: int, number: int, is_bulk: bool, rows: Any, children: Any) -> None:  # noqa: FBT001
        """Start children of the body; their ends are passed on."""
        decoder = self._talk.decoder
        if rows is not None:
            items: list[Any] = decoder.tasks(rows)
        else:
            items = [decoder.child(row) for row in children]
        handle = self._handles.get(number)
        if is_bulk:
            if not isinstance(handle, _Map):
                handle = self._handles[number] = _Map(self._link, self._instance, partial(self._deliver, number))
            handle.start(items)
            return
        child = items[0] if isinstance(items[0], Child) else Child(*items[0])
        made = self._link.start(self._instance, child, f"child {number}", self._failures)
        self._handles[number] = self._by_key[key] = made
        made.add_done_callback(partial(self._ended, number))

    def _ended(self, number: int, handle: ChildHandle[Any]) -> None:
        if handle.cancelled():
            self._deliver(number, 0, "cancelled", None)
        elif (error := handle.exception()) is not None:
            self._deliver(number, 0, "error", error)
        else:
            self._deliver(number, 0, "value", handle.result())

    def _deliver(self, number: int, index: int, kind: str, value: Any) -> None:
        self._talk.tell("delivered", number, index, kind, codec.dumps_error(value) if kind == "error" else value)

    def _dropped(self, _: int, number: int) -> None:
        handle = self._handles.get(number)
        if isinstance(handle, _Map):
            handle.drop()
        elif handle is not None:
            self._link.scheduler.submit(HandleDropped(handle))

    def _cancelled(self, _: int, number: int) -> None:
        handle = self._handles.get(number)
        if isinstance(handle, ChildHandle):
            handle.cancel()

    def _unlocked(self, _: int, number: int) -> None:
        lock = self._locks.pop(number, None)
        if lock is not None:
            self._own(_leave(lock))

    def _unwatched(self, _: int, number: int) -> None:
        task = self._watches.pop(number, None)
        if task is not None:
            task.cancel()

    def _withdrawn(self, number: int) -> None:
        """Stop doing what the body no longer waits for."""
        task = self._requests.get(number)
        if task is not None:
            task.cancel()

    def _emitted(self, _: int, data: Any) -> None:
        instance = self._instance
        self._link.tell(lambda notifier: notifier.emitted(instance, data))

    def _progress(self, _: int, done: float, total: float | None, message: str) -> None:
        instance = self._instance
        self._link.tell(lambda notifier: notifier.progress(instance, done, total, message))

    def _save_after(self, _: int, path: str | None, metadata: Any) -> None:
        if self._link.memory is not None:
            self._link.memory.save_after(self._instance, path, metadata)

    def _handle_of(self, key: int) -> ChildHandle[Any]:
        return self._by_key[key]


class _Map(MapCall):
    """A map whose items are pulled elsewhere: their ends are passed on as they come."""

    def __init__(self, link: Link, parent: Instance, forward: Callable[[int, str, Any], None]) -> None:
        super().__init__(link.scheduler, parent, return_exceptions=True)
        self._forward = forward

    def deliver(self, index: int, kind: str, value: Any) -> None:
        """Pass the end of an item on."""
        self.pending -= 1
        self._forward(index, kind, value)


class _Sent:
    """A workflow that came in a message."""

    def __init__(self, name: str, graph: Any, provided: Any) -> None:
        self.name = name
        self.graph = graph
        self.provided = provided


async def _leave(lock: AbstractAsyncContextManager[int]) -> None:
    await lock.__aexit__(None, None, None)
