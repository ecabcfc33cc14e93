"""The link of a body that runs elsewhere: what a link does by itself is done here, the rest by the run."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from .._core.state import Instance, Scope
from ..errors import GraflowRuntimeError
from ..graph import Graph
from ..store import MISSING
from .binding import Provided
from .elsewhere import FarDesk, FarMemory, FarScheduler
from .far_store import FarStore
from .link import Link, Runnable
from .ports import Notifier, ThreadPort
from .talk import Talk
from .timers import LoopClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class FarLink(Link):
    """The run, as a body elsewhere sees it.

    Attributes:
        far: passes on what the body asks of the scheduler.
    """

    is_far = True

    def __init__(
        self,
        talk: Talk,
        run_id: str,
        instance: Instance,
        *,
        namespace: str,
        gates: list[str],
        executors: list[str],
        provided: Mapping[str | type, Any],
        has_memory: bool,
        threads: Callable[[], ThreadPort],
    ) -> None:
        """Serve the body of `instance` through `talk`.

        Args:
            talk: to the run.
            run_id: of the run.
            instance: as it is here.
            namespace: of the channels that its run, or child run, has.
            gates: names of the limits that the run has.
            executors: names of its executors.
            provided: what the context shows of what the workflow was given.
            has_memory: whether it keeps a journal.
            threads: gives the threads of this process.
        """
        far = FarScheduler(talk, instance, dict.fromkeys(gates))
        self._far_desk: FarDesk | None = None
        store = FarStore(talk)
        super().__init__(
            run_id=run_id,
            store=store,
            clock=LoopClock(far.loop),
            notifier=cast("Any", FarNotifier(talk)),
            threads=threads,
            executors=dict.fromkeys(executors),
            provided={},
            new_desk=self._desk_here,
        )
        self._talk = talk
        talk.executors = executors
        key = instance.scope.key
        self._namespaces[key] = namespace
        self.binders[key] = self.binders[0]
        if provided:
            self.binders[key].provided = Provided(provided)
        self.scheduler = cast("Any", far)  # it does what a context asks of the real one
        self.memory = FarMemory(talk, self.on_loop) if has_memory else None
        self.far = far
        self._changed = store.changed

    def _desk_here(self) -> FarDesk:
        """Give what asks people, and answers for them."""
        if self._far_desk is None:
            self._far_desk = FarDesk(self._talk, self.far.loop)
        return self._far_desk

    def hear(self, verb: str, number: int, args: tuple[Any, ...]) -> None:
        """Take what the run tells."""
        del number
        if verb == "delivered":
            self.far.delivered(*args)
        elif verb == "seen":
            self._desk_here().broker.seen(*args)
        else:
            self._changed(*args)

    def on_loop(self, call: Callable[[], None]) -> None:
        """Call something on the loop's thread, and wait until it is done: messages are made there, in order."""
        if threading.get_ident() == self._thread:
            call()
            return
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def run() -> None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001  # of pickling: it belongs to the thread
                done.set_exception(error)
            else:
                done.set_result(None)

        self.scheduler.loop.call_soon_threadsafe(run)
        done.result()

    def tell(self, send: Callable[[Notifier], None]) -> None:
        """Let the run's listeners know something, from the loop or from a thread."""
        notifier = self.notifier
        if notifier is not None:
            self.on_loop(lambda: send(notifier))

    async def sleep(self, instance: Instance, seconds: float, ordinal: int) -> None:
        """Let the run's clock tell when the time is over; there it is also remembered."""
        async with self.scheduler.parked(instance):
            await self._talk.ask("slept", seconds, ordinal)

    async def result(self, instance: Instance, task_id: str, default: Any = None) -> Any:
        """Ask the run for the latest result of a task."""
        del instance
        return await self._talk.ask("result", task_id, default)

    async def found(self, task_id: str | None) -> list[Any]:
        """Ask the run for the latest result of a task, in a list; with None for the ids of all that have one."""
        if task_id is None:
            return await self._talk.ask("result", None, None, False)  # noqa: FBT003  # a field
        value = await self._talk.ask("result", task_id, MISSING, False)  # noqa: FBT003  # a field
        return [] if value is MISSING else [value]

    async def run_workflow(
        self,
        parent: Instance,
        workflow: Runnable,
        start_node: Any,
        inputs: Mapping[str, Any],
        timeout: float | None,
        number: int,
        failures: list[Any],
    ) -> Any:
        """Let the run run a workflow as a child run of the body."""
        del failures
        self.check_graph(workflow.graph)
        if start_node is not None:
            nodes: list[Any] = list(start_node) if isinstance(start_node, (list, tuple)) else [start_node]  # pyright: ignore[reportUnknownArgumentType]  # the user's
            start_node = [node if isinstance(node, str) else node.id for node in nodes]
        provided = dict(workflow.provided)
        async with self.scheduler.parked(parent):
            return await self._talk.ask(
                "ran", workflow.name, workflow.graph, provided, start_node, dict(inputs), timeout, number
            )


class FarNotifier:
    """Lets the run's listeners know what the body says."""

    def __init__(self, talk: Talk) -> None:
        """Tell through `talk`."""
        self._talk = talk

    def emitted(self, instance: Instance, data: Any) -> None:
        """Tell what the body emits."""
        del instance
        self._talk.tell("emitted", data)

    def progress(self, instance: Instance, done: float, total: float | None, message: str) -> None:
        """Tell how far the body is."""
        del instance
        self._talk.tell("progress", done, total, message)


class FarResults(Mapping[str, Any]):
    """The results of a run that is elsewhere: a thread waits for what it looks for, a coroutine has to ask."""

    def __init__(self, ask: Callable[[str | None], Any] | None = None) -> None:
        """Look with `ask`, which waits: for a list of a result or of nothing, with None for all ids."""
        self._ask = ask

    def __getitem__(self, task_id: str) -> Any:
        """Give the latest result of a task."""
        found = self._asked(task_id)
        if not found:
            raise KeyError(task_id)
        return found[0]

    def __iter__(self) -> Iterator[str]:
        """Go through the ids of tasks that have a result."""
        return iter(self._asked(None))

    def __len__(self) -> int:
        """Count the tasks that have a result."""
        return len(self._asked(None))

    def _asked(self, task_id: str | None) -> Any:
        if self._ask is None:
            raise GraflowRuntimeError(
                "this task does not run where its run is, so ctx.results is not at hand on a loop, which must not "
                "wait: ask with await ctx.get_result(id)"
            )
        return self._ask(task_id)


def far_scope(key: int, graph: Graph, name: str) -> Any:
    """Make the scope of an instance that is not where its run is."""
    scope = Scope(key, graph, name, None, None)
    scope.results = cast("Any", FarResults())
    return scope
