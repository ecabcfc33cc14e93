"""What a task's context reaches of its run: children, channels, results, slots, threads, listeners."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from .._core.events import Called, RunCalled, StopRequested
from .._core.state import Instance, Scope, Status
from .._core.wishes import Child
from .._lazy import lazily
from ..builder import build_graph
from ..compose import Expression
from ..current import running
from ..definition import PLAIN_KINDS, Definition
from ..errors import ConfigError, GraflowRuntimeError, TaskTimeoutError
from ..graph import Graph
from ..protocols import Clock, TimerHandle
from ..store import KeyValueStore, Peekable, prefix_of
from ..task import Mapped, Task
from .binding import Binder, Provided
from .portals import Portals
from .scheduler import Scheduler

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from ..channel import Channel
    from .calls import ChildHandle
    from .ports import Asking, Memory, Notifier, ThreadPort

_calls = lazily("graflow_async._runtime.calls")
_channel = lazily("graflow_async.channel")
_ports = lazily("graflow_async._runtime.ports")  # for its types
_recorded = lazily("graflow_async._runtime.recorded")
maps = lazily("graflow_async._runtime.pulls")
_BODY = frozenset({Status.RUNNING, Status.PARKED, Status.RESUMING})


class Runnable(Protocol):
    """A workflow, as far as a child run needs it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def graph(self) -> Graph:
        """Its graph."""
        ...

    @property
    def provided(self) -> Mapping[str | type, Any]:
        """What was registered with `provide`."""
        ...


class Link:
    """One run, as its tasks see it.

    Attributes:
        is_far: whether the run is in another process.
    """

    is_far = False

    def __init__(
        self,
        *,
        run_id: str,
        store: KeyValueStore,
        clock: Clock,
        notifier: Notifier | None,
        threads: Callable[[], ThreadPort],
        executors: dict[str, Any],
        provided: Mapping[str | type, Any],
        new_desk: Callable[[], Asking],
    ) -> None:
        """Take the services of the run; `scheduler` is set when it exists, and so is `memory` if there is a journal."""
        self.run_id = run_id
        self.store = store
        self.clock = clock
        self.notifier = notifier
        self.threads = threads
        self.executors = executors
        self.scheduler: Scheduler
        self.memory: Memory | None = None
        self._new_desk = new_desk
        self._desk: Asking | None = None
        self._making = threading.Lock()
        self.sleeping: dict[int, int] = {}
        self._channels: dict[tuple[int, str], Channel] = {}
        self._namespaces: dict[int, str] = {}
        self.binders: dict[int, Binder] = {0: self.new_binder(provided, run_id)}
        self.portals = Portals(self.refuse_late)
        self._thread = threading.get_ident()

    # -- lookups ----------------------------------------------------------------------------------------------

    def channel(self, scope: Scope, name: str = "default") -> Channel:
        """Give a channel of a run; every child run has its own."""
        channel = self._channels.get((scope.key, name))
        if channel is None:
            namespace = self._namespaces.get(scope.key, self.run_id)
            made: Channel = _channel.Channel(self.store, namespace, name)
            channel = self._channels[scope.key, name] = made
        return channel

    @property
    def desk(self) -> Asking:
        """What asks people, made when somebody asks first, be it a thread: there is one, which hears the answers."""
        if self._desk is None:
            with self._making:
                if self._desk is None:
                    self._desk = self._new_desk()
        return self._desk

    def check(self, definition: Definition) -> None:
        """Refuse a task whose limits or executor the run does not have.

        Raises:
            ConfigError: the name is unknown.
        """
        for name in definition.limits:
            if name not in self.scheduler.state.gates:
                known = ", ".join(map(repr, self.scheduler.state.gates)) or "none"
                message = (
                    f"task {definition.id!r} asks for limit {name!r}; the run has: {known}; pass limits={{{name!r}: n}}"
                )
                raise ConfigError(message)
        if definition.kind == "process" and definition.plan.wants_context:
            message = f"task {definition.id!r} runs in a process, where there is no context; take the parameter away"
            raise ConfigError(message)
        if definition.kind not in PLAIN_KINDS and definition.kind not in self.executors:
            known = ", ".join(map(repr, sorted({*PLAIN_KINDS, *self.executors} - {"async"})))
            message = f"task {definition.id!r} asks for executor {definition.kind!r}; the run has: {known}"
            raise ConfigError(message)

    def check_graph(self, graph: Graph) -> None:
        """Do the same for every task of a graph; executors that its groups bring along join those of the run.

        Raises:
            ConfigError: a name is unknown.
        """
        for name, executor in graph.executors.items():
            if name not in self.executors:
                # One that is there already and leads to the same place: two would be in each other's way.
                self.executors[name] = next((e for e in self.executors.values() if e == executor), executor)
        for node in graph.demanding:
            if node.task is not None:
                self.check(node.task.definition)
                if node.kind not in PLAIN_KINDS and node.kind not in self.executors:
                    message = f"task {node.id!r} is in a group with executor {node.kind!r}, which the run does not have"
                    raise ConfigError(message)

    async def result(self, instance: Instance, task_id: str, default: Any = None) -> Any:
        """Give the latest result of a task, those of the instance's own descendants first."""
        own = instance.own
        if own is not None and task_id in own:
            return own[task_id]
        return instance.scope.results.get(task_id, default)

    # -- children ---------------------------------------------------------------------------------------------

    def start(self, parent: Instance, child: Child, name: str, failures: list[Any]) -> ChildHandle[Any]:
        """Start a child of a running body."""
        handle: ChildHandle[Any] = _calls.ChildHandle(self.scheduler, parent, name, failures)
        recorded = self.scheduler.recorded
        if recorded is not None and recorded.adopt(parent.key, handle, *_recorded.identity_of(child)):
            return handle
        handle.key = self.scheduler.state.next_key
        simple = child.task is not None and not child.awaits_arguments
        tasks = [(child.task, child.number)] if simple and child.task is not None else None
        self.scheduler.submit(Called(parent.key, handle, tasks=tasks, children=None if simple else [child]))
        return handle

    async def map(
        self,
        parent: Instance,
        mapped: Mapped[Any],
        count: Callable[[str, int], int],
    ) -> list[Any]:
        """Run a task over iterables as children of a running body."""
        self.check(mapped.task.definition)
        pulls = maps.Pulls(mapped.task, mapped.iterables, mapped.fixed)
        bound = mapped.max_concurrency or (2**62 if pulls.is_sized else _calls.GENERATOR_WINDOW)
        room = [bound]
        call = _calls.MapCall(self.scheduler, parent, return_exceptions=mapped.return_exceptions, total=pulls.size)
        async with self.scheduler.parked(parent, "child", mapped.task.definition.id):
            await pulls.settle(parent)
            source: Any = pulls.achunks(count) if pulls.is_async else pulls.chunks(room, count)
            try:
                return await _calls.run_map(self.scheduler, source, call, room, mapped.task.definition.id)
            finally:
                if pulls.is_async:
                    await source.aclose()
                else:
                    source.close()

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
        """Run a workflow as a child run of a running body: its own results and channel, the same limits and events.

        `timeout` is in seconds; past it the child run is cancelled, awaited, and fails.
        """
        graph = workflow.graph
        self.check_graph(graph)
        route = route_of(graph, start_node)
        namespace = f"{self.run_id}/{parent.key}.{parent.turn}.{parent.attempt}.{number}"
        handle: ChildHandle[Any] = _calls.ChildHandle(self.scheduler, parent, workflow.name, failures)
        recorded = self.scheduler.recorded
        is_known = recorded is not None and recorded.adopt(parent.key, handle, ("run", workflow.name, number), None)
        if not is_known:
            await self._set_inputs(_channel.Channel(self.store, namespace), inputs)
            handle.key = self.scheduler.state.next_key
        self.serve(handle.key, namespace, workflow.provided)
        timer: TimerHandle | None = None
        try:
            if not is_known:
                about = (number, namespace, workflow.provided)
                self.scheduler.submit(RunCalled(parent.key, graph, route, workflow.name, handle, about))
            if timeout is not None:
                timer = self.clock.call_later(timeout, partial(self._stop_late, handle, workflow.name, timeout))
            return await handle.wait()
        finally:
            if timer is not None:
                timer.cancel()
            handle.add_done_callback(lambda done: self._forget_run(done.key))
            if handle.done():
                await self.store.clear(f"{namespace}:")

    def serve(self, key: int, namespace: str, provided: Mapping[str | type, Any]) -> None:
        """Let the tasks of a child run (by its key) find their channel, and what its workflow provides."""
        self._namespaces[key] = namespace
        self.binders[key] = self.new_binder(provided, namespace)

    async def _set_inputs(self, channel: Channel, inputs: Mapping[str, Any]) -> None:
        """Write the inputs of a child run; they stay although its parent has not completed."""
        token = running.set(None)
        try:
            for key, value in inputs.items():
                await channel.set(key, value)
        finally:
            running.reset(token)

    def _stop_late(self, handle: ChildHandle[Any], name: str, timeout: float) -> None:
        """End a child run that takes longer than its timeout."""
        scope = self.scheduler.state.scopes.get(handle.key)
        if scope is None:
            return  # it has ended at this very moment
        running = names_of(self.scheduler.machine.descent.within(scope)[1])
        error = TaskTimeoutError(
            f"child run {name!r} in run {self.run_id} took longer than its timeout of {timeout} s; running: {running}"
        )
        self.scheduler.submit(StopRequested("failed", error, scope.key))

    def new_binder(self, provided: Mapping[str | type, Any], namespace: str) -> Binder:
        """Make the binder of a run, which looks into its channel."""
        store, prefix = self.store, prefix_of(namespace)

        def strip(found: Mapping[str, Any]) -> dict[str, Any]:
            return {key.removeprefix(prefix): value for key, value in found.items()}

        async def fetch(names: Sequence[str]) -> dict[str, Any]:
            return strip(await store.get_many([prefix + name for name in names]))

        if not hasattr(store, "peek_many"):  # isinstance(store, Peekable) says the same, at 10 us for each run
            return Binder(Provided(provided), None, fetch)
        look = cast("Peekable", store)

        def peek(names: Sequence[str]) -> dict[str, Any]:
            return strip(look.peek_many([prefix + name for name in names]))

        return Binder(Provided(provided), peek, fetch)

    def _forget_run(self, key: int) -> None:
        """Drop what is kept for a child run that has ended."""
        self.binders.pop(key, None)
        self._namespaces.pop(key, None)
        for known in [k for k in self._channels if k[0] == key]:
            del self._channels[known]

    def refuse_late(self, parent: Instance, face: Any, what: str) -> None:
        """Refuse what a body asks for after it has ended, or was given up (something of it may still be running).

        Raises:
            GraflowRuntimeError: the attempt that `face` belongs to is over.
        """
        if parent.status not in _BODY or (parent.face is not face):
            message = f"task {parent.id!r} has ended, or this attempt of it was given up: it cannot {what} any more"
            raise GraflowRuntimeError(message)

    # -- waiting and threads ----------------------------------------------------------------------------------

    async def sleep(self, instance: Instance, seconds: float, ordinal: int) -> None:
        """Wait on the run's clock, holding no slot; `ordinal` numbers the waits of the attempt, to be found again."""
        if self.memory is not None:
            seconds = await self._rest_of(self.memory, instance, ("sleep", instance.attempt, ordinal), seconds)
        future: asyncio.Future[None] = self.scheduler.loop.create_future()
        timer = self.clock.call_later(seconds, lambda: None if future.done() else future.set_result(None))
        self.sleeping[instance.key] = self.sleeping.get(instance.key, 0) + 1
        try:
            await self.scheduler.park(instance, future, "sleep")
        finally:
            timer.cancel()
            self.sleeping[instance.key] -= 1
            if not self.sleeping[instance.key]:
                del self.sleeping[instance.key]

    async def _rest_of(self, memory: Memory, instance: Instance, name: Any, seconds: float) -> float:
        """Give what is left of a wait that may have begun in an earlier life of the body."""
        until = (instance.steps or {}).get(name)
        if until is not None:
            return max(until - self.clock.time(), 0.0)
        await memory.keep(instance, name, self.clock.time() + seconds, memory.position(instance))
        return seconds

    # -- listeners --------------------------------------------------------------------------------------------

    def tell(self, send: Callable[[Notifier], None]) -> None:
        """Let listeners know something, from the loop or from a thread."""
        notifier = self.notifier
        if notifier is None:
            return
        if threading.get_ident() == self._thread:
            send(notifier)
        else:
            self.scheduler.loop.call_soon_threadsafe(send, notifier)


def names_of(instances: Sequence[Instance]) -> str:
    """Name instances in a line of text, the first ten of them."""
    names = [instance.id for instance in instances]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(names[:10]) or "nothing") + more


def route_of(graph: Graph, start_node: Any) -> Any:
    """Give the route that a `start_node` argument asks for: None, an id, a task, or a list of them.

    Raises:
        GraphCompilationError: nothing can start there.
    """
    if start_node is None:
        return graph.route(graph.roots())
    nodes: list[Any] = list(start_node) if isinstance(start_node, (list, tuple)) else [start_node]  # pyright: ignore[reportUnknownArgumentType]  # the user's
    return graph.start(nodes)


def child_of(expression: Expression, count: Callable[[str], int]) -> Child:
    """Make the child that runs an expression as it stands."""
    if isinstance(expression, Mapped):
        expression = expression.node
    if isinstance(expression, Task):
        task = cast("Task[Any, Any]", expression)
        return Child(task, count(task.definition.id) if task.given_id() is None else 0)
    graph = build_graph([expression], count)
    return Child(graph=graph, route=graph.route(graph.roots()))
