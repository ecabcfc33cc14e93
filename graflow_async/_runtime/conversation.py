"""The run's side of a body that runs elsewhere: does for it what a context would do here."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from .._core.events import HandleDropped
from .._core.state import Instance
from .._core.wishes import Child, Wishes
from .._lazy import lazily
from ..current import running
from ..errors import GraflowRuntimeError, NotSerializableError
from ..store import Watch, lock_holder
from .calls import ChildHandle
from .ends import Upstream
from .forwarding import ForwardedMap, SentWorkflow, at_broker, check_graphs, checked, leave, look, result_of
from .link import Link
from .talk import SEEN_AT_MOST, Talk

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

codec = lazily("graflow_async.codec")


class Conversation:
    """Serves one attempt of one body, until `aclose`.

    Attributes:
        outcome: what came of it: the value and the wishes. It may come before the body has ended, with the exception
            for a message that could not be loaded here; the body is then to be cancelled.
    """

    def __init__(self, link: Link, instance: Instance, send: Callable[[bytes], None]) -> None:
        """Serve the body of `instance`; `send` passes messages on to where it runs."""
        self._link = link
        self._instance = instance
        self._face = instance.face
        self._talk = Talk(instance.scope.graph, send, self._serve, self._broken)
        self.outcome: asyncio.Future[tuple[Any, Wishes | None]] = link.scheduler.loop.create_future()
        self._handles: dict[int, ChildHandle[Any] | ForwardedMap] = {}
        self._awaited = 0
        self._awaited_name = ""
        self._by_key: dict[int, ChildHandle[Any]] = {}
        self._failures: list[ChildHandle[Any]] = []
        self._requests: dict[int, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: dict[int, AbstractAsyncContextManager[int]] = {}
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._waits: list[Any] = []
        self._positions: dict[int, int] = {}
        self._seen: dict[int, Any] = {}

    def take(self, data: bytes) -> None:
        """Take a message of the body."""
        self._talk.take(data)

    async def aclose(self) -> None:
        """Stop serving: what the body still waits for it gets no more, what it holds is given back."""
        self._talk.close(GraflowRuntimeError("this attempt is over"))
        tasks = [*self._requests.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        for lock in self._locks.values():
            await lock.__aexit__(None, None, None)
        if not self.outcome.done():
            self.outcome.cancel()
        elif not self.outcome.cancelled():
            self.outcome.exception()  # whoever gave the body up does not ask

    # -- requests ---------------------------------------------------------------------------------------------

    def _serve(self, verb: str, number: int, args: tuple[Any, ...]) -> None:
        """Do what the body says: at once, or in a task of its own if it waits for the answer."""
        told = self.TOLD.get(verb)
        if told is not None:
            told(self, number, *args)
            return
        task = self._requests[number] = self._link.scheduler.loop.create_task(self._asked(verb, args))
        task.add_done_callback(partial(self._answer, number))

    async def _asked(self, verb: str, args: tuple[Any, ...]) -> Any:
        running.set(self._instance)  # channel writes are the body's
        self._refuse_late(verb)
        return await self.ASKED[verb](self, *args)

    def _answer(self, number: int, task: asyncio.Task[Any]) -> None:
        """Answer a request, also one whose task was cancelled before it began."""
        self._requests.pop(number, None)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._talk.answer(number, None if error is not None else task.result(), error)

    def _refuse_late(self, what: str) -> None:
        self._link.refuse_late(self._instance, self._face, f"ask for {what!r}")

    def _withdrawn(self, number: int) -> None:
        """Stop doing what the body no longer waits for."""
        task = self._requests.get(number)
        if task is not None:
            task.cancel()

    def _own(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._link.scheduler.loop.create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _broken(self, error: BaseException) -> None:
        """Let the attempt fail: the body has said what cannot be loaded here, and does not wait for an answer."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    # -- channels ---------------------------------------------------------------------------------------------

    async def _in_store(self, verb: str, args: tuple[Any, ...]) -> Any:
        return await getattr(self._link.store, verb)(*args)

    async def _read(self, number: int, key: str) -> dict[str, Any]:
        """Read a value for the body; for a while it is kept under a number, for a comparison by identity."""
        found = await self._link.store.get_many([key])
        if key in found:
            self._seen[number] = found[key]
            for old in list(self._seen)[:-SEEN_AT_MOST]:
                del self._seen[old]
        return found

    async def _swap(self, key: str, number: int, expected: Any, value: Any, ttl: float | None) -> bool:
        return await self._link.store.compare_and_set(key, self._seen.get(number, expected), value, ttl)

    async def _lock(self, number: int, holder: int, key: str, timeout: float | None) -> int:
        lock_holder.set((id(self), holder))  # this task is gone by the time when the lock is given back
        lock = self._link.store.lock(key, timeout)
        fence = await lock.__aenter__()
        self._locks[number] = lock
        return fence

    def _unlocked(self, _: int, number: int) -> None:
        lock = self._locks.pop(number, None)
        if lock is not None:
            self._own(leave(lock))

    async def _watch(self, number: int, prefix: str, exact: bool) -> None:  # noqa: FBT001  # a field
        watch = self._link.store.watch(prefix, exact=exact)
        await watch.__aenter__()
        self._watches[number] = self._own(self._follow(number, watch))

    async def _follow(self, number: int, watch: Watch) -> None:
        talk = self._talk
        try:
            async for change in watch:
                try:
                    talk.tell("change", number, (change.key, change.value, change.kind))
                except NotSerializableError as error:
                    talk.tell("change", number, codec.dumps_error(error))
            talk.tell("change", number, None)
        finally:
            await watch.aclose()

    def _unwatched(self, _: int, number: int) -> None:
        task = self._watches.pop(number, None)
        if task is not None:
            task.cancel()

    # -- waiting, people, memory ------------------------------------------------------------------------------

    def _park(self, _: int) -> None:
        self._waits.append(self._link.scheduler.leave_slots(self._instance))

    async def _unpark(self) -> None:
        wait = self._waits.pop() if self._waits else None
        if wait is not None:
            await self._link.scheduler.regain_slots(self._instance, wait)

    async def _sleep(self, seconds: float, ordinal: int) -> None:
        await self._link.sleep(self._instance, seconds, ordinal)

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

    async def _at_broker(self, verb: str, args: tuple[Any, ...], more: dict[str, Any]) -> Any:
        return await at_broker(self._link.desk.broker, verb, args, more)

    async def _look(self, number: int, run_id: str | None) -> None:
        await look(self._link.desk.broker, self._talk, number, run_id)

    def _positioned(self, _: int, number: int) -> None:
        """Note how much the body has written into channels before a step."""
        memory = self._link.memory
        self._positions[number] = 0 if memory is None else memory.position(self._instance)

    async def _keep(self, name: Any, value: Any, number: int) -> None:
        memory = self._link.memory
        if memory is not None:
            await memory.keep(self._instance, name, value, self._positions.pop(number, 0))
        self._keep_here(0, name, value)

    def _keep_here(self, _: int, name: Any, value: Any) -> None:
        """Keep a step for the further attempts of the turn."""
        if self._instance.steps is None:
            self._instance.steps = {}
        self._instance.steps[name] = value

    async def _save(self, path: str | None, metadata: Any) -> Any:
        memory = self._link.memory
        return None if memory is None else await memory.save(self._instance, path, metadata)

    def _save_after(self, _: int, path: str | None, metadata: Any) -> None:
        if self._link.memory is not None:
            self._link.memory.save_after(self._instance, path, metadata)

    async def _result(self, task_id: str | None, default: Any, is_own: bool = True) -> Any:  # noqa: FBT001, FBT002
        return await result_of(self._link, self._instance, task_id, default, is_own=is_own)

    def _emitted(self, _: int, data: Any) -> None:
        instance = self._instance
        self._link.tell(lambda notifier: notifier.emitted(instance, data))

    def _progress(self, _: int, done: float, total: float | None, message: str) -> None:
        instance = self._instance
        self._link.tell(lambda notifier: notifier.progress(instance, done, total, message))

    # -- how the body ended -----------------------------------------------------------------------------------

    def _returned(self, _: int, value: Any, row: Any) -> None:
        if self.outcome.done():
            return
        try:
            wishes = None if row is None else checked(self._link, self._talk.decoder.wishes(row))
        except Exception as error:  # noqa: BLE001  # of unpickling: what it wishes for cannot be loaded here
            self._broken(error)
        else:
            self.outcome.set_result((value, wishes))

    def _raised(self, _: int, data: bytes, again: bool) -> None:  # noqa: FBT001  # a field
        error = codec.loads_error(data)
        self._broken(error if again or not isinstance(error, Exception) else Upstream(error))

    def _ended_unasked(self, _: int) -> None:
        self._broken(asyncio.CancelledError())

    # -- children ---------------------------------------------------------------------------------------------

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
        workflow = SentWorkflow(name, graph, provided)
        return await self._link.run_workflow(self._instance, workflow, start, inputs, timeout, number, self._failures)

    def _called(self, _: int, key: int, number: int, first: int, is_bulk: bool, rows: Any, children: Any) -> None:  # noqa: FBT001
        """Start children of the body; their ends are passed on, and so is what keeps them from starting."""
        try:
            self._refuse_late("children")
            decoder = self._talk.decoder
            decoder.children = self._by_key.__getitem__
            items: Any = decoder.tasks(rows) if rows is not None else [decoder.child(row) for row in children]
            check_graphs(self._link, items)
            self._wait_for(items)
            if is_bulk:
                self._map_of(number).start_at(first, items)
            else:
                self._start(key, number, items[0])
        except Exception as error:  # noqa: BLE001  # the body waits for these children
            if is_bulk:
                self._map_of(number).refuse(first, len(rows if rows is not None else children), error)
            else:
                self._deliver(number, 0, "error", error)

    def _wait_for(self, items: list[Any]) -> None:
        """Tell listeners that the body waits for children: it counts as waiting while any of them is open.

        What runs elsewhere does not say when it really does.
        """
        notifier = self._link.notifier
        if notifier is None:
            return
        if not self._awaited:
            task = items[0].task if isinstance(items[0], Child) else items[0][0]
            self._awaited_name = "" if task is None else task.definition.id
            notifier.waiting(self._instance, "child", self._awaited_name)
        self._awaited += len(items)

    def _has_one_less(self) -> None:
        """Count the end of a child; with the last one the body goes on."""
        self._awaited -= 1
        if not self._awaited and self._link.notifier is not None:
            self._link.notifier.resumed(self._instance, "child", self._awaited_name)

    def _map_of(self, number: int) -> ForwardedMap:
        handle = self._handles.get(number)
        if not isinstance(handle, ForwardedMap):
            handle = self._handles[number] = ForwardedMap(self._link, self._instance, partial(self._deliver, number))
        return handle

    def _start(self, key: int, number: int, item: Any) -> None:
        child = item if isinstance(item, Child) else Child(*item)
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
        """Pass the end of a child on; a value that cannot be sent is an error there."""
        if self._awaited:
            self._has_one_less()
        if kind != "error":
            try:
                self._talk.tell("delivered", number, index, kind, value)
            except Exception as error:  # noqa: BLE001  # of pickling
                kind, value = "error", error
            else:
                return
        self._talk.tell("delivered", number, index, kind, codec.dumps_error(value))

    def _dropped(self, _: int, number: int) -> None:
        handle = self._handles.get(number)
        if isinstance(handle, ForwardedMap):
            handle.drop()
        elif handle is not None:
            self._link.scheduler.submit(HandleDropped(handle))

    def _cancelled(self, _: int, number: int) -> None:
        handle = self._handles.get(number)
        if isinstance(handle, ChildHandle):
            handle.cancel()

    TOLD: ClassVar[dict[str, Callable[..., None]]] = {
        "returned": _returned,
        "raised": _raised,
        "ended": _ended_unasked,
        "called": _called,
        "dropped": _dropped,
        "cancelled": _cancelled,
        "unlocked": _unlocked,
        "unwatched": _unwatched,
        "withdrawn": _withdrawn,
        "emitted": _emitted,
        "progress": _progress,
        "save_after": _save_after,
        "stepped": _keep_here,
        "position": _positioned,
        "parked": _park,
    }
    """What the body tells, and how it is taken: given the number of the request (0 for none) and the arguments."""

    ASKED: ClassVar[dict[str, Callable[..., Coroutine[Any, Any, Any]]]] = {
        "unparked": _unpark,
        "slept": _sleep,
        "store": _in_store,
        "read": _read,
        "swap": _swap,
        "locked": _lock,
        "watched": _watch,
        "asked": _ask,
        "expected": _expect,
        "broker": _at_broker,
        "looked": _look,
        "kept": _keep,
        "saved": _save,
        "result": _result,
        "ran": _run_workflow,
    }
    """What it asks for."""
