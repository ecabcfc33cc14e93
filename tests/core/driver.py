"""A shell without a loop: it carries out what the machine commands, and refuses what no shell could carry out."""

from __future__ import annotations

from typing import Any

from graflow_async._core.commands import Cancel, Command, Deliver, DropTimer, Finish, Resume, SetTimer, Tell
from graflow_async._core.events import Called, Cancelled, Completed, Event, Failed, Parked, RunCalled, RunStarted
from graflow_async._core.replay import RecordingMachine
from graflow_async._core.run_state import RunState
from graflow_async._core.state import Batch, Gate, Instance, Status
from graflow_async._core.wishes import Child, Wishes
from graflow_async.builder import build_graph
from graflow_async.compose import Expression
from graflow_async.graph import Graph
from graflow_async.policy import Rate
from graflow_async.route import Route
from graflow_async.task import Task


class Handle:
    """Takes the ends of called children; each child ends once."""

    is_bulk = False

    def __init__(self) -> None:
        """Wait for ends."""
        self.ends: dict[int, tuple[str, Any]] = {}

    def deliver(self, index: int, kind: str, value: Any) -> None:
        """Take an end."""
        assert index not in self.ends, f"child {index} ended twice: {self.ends[index]}, then {(kind, value)}"
        assert kind in {"value", "error", "cancelled"}
        assert index >= 0, f"the end of a child at {index}"
        self.ends[index] = (kind, value)


class Driver:
    """Plays the shell for one run.

    Attributes:
        running: key -> body that was handed out and has not ended (a parked one included).
        batches: batches that were handed out and may have children to take.
        timers: token -> seconds, of the timers that are set.
        told: keys of running bodies that were told to stop.
        resumed: keys of parked bodies that were let go on, in order.
        started: (key, turn, attempt) of every body that was handed out, in order.
        finishes: every Finish that was commanded.
        owed: (handle, index) of every called child: each of them has to end.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        limits: dict[str, int | Rate] | None = None,
        max_concurrency: int | None = None,
        max_steps: int | None = None,
        threads: int = 40,
    ) -> None:
        """Make a run that has not started."""
        self.state = state = RunState("run", graph, "w", max_steps)
        state.gates["threads"] = Gate("threads", threads)
        for name, limit in (limits or {}).items():
            state.gates[name] = Gate(name, limit.count, limit.per) if isinstance(limit, Rate) else Gate(name, limit)
        if max_concurrency is not None:
            state.gates["run"] = Gate("run", max_concurrency)
            state.base = (state.gates["run"],)
        self.machine = RecordingMachine(state)
        self.running: dict[int, Instance] = {}
        self.batches: list[Batch] = []
        self.timers: dict[Any, float] = {}
        self.told: set[int] = set()
        self.resumed: list[int] = []
        self.started: list[tuple[int, int, int]] = []
        self.ids: list[str] = []
        self.ended: set[int] = set()
        self.finishes: list[Finish] = []
        self.told_of: list[Tell] = []
        self.owed: list[tuple[Handle, int]] = []

    # -- facts ------------------------------------------------------------------------------------------------

    def submit(self, event: Event) -> list[Command]:
        """Let the machine have a fact and carry out what follows."""
        key = getattr(event, "key", -1)
        if isinstance(event, (Completed, Failed, Cancelled)):
            self.running.pop(key, None)
            self.told.discard(key)
        if isinstance(event, Called):
            count = len(event.tasks) if event.tasks is not None else len(event.children)
            self.owed += [(event.handle, event.index + position) for position in range(count)]
        elif isinstance(event, RunCalled):
            self.owed.append((event.handle, 0))
        commands = self.machine.apply(event)
        for command in commands:
            self._perform(command)
        self._adopt()
        if isinstance(event, (Completed, Failed, Cancelled)) and key not in self.state.live:
            self.ended.add(key)
        return commands

    def start(self, *nodes: str, route: Route | None = None) -> list[Command]:
        """Start the run at some nodes, or at its roots."""
        graph = self.state.root.graph
        return self.submit(RunStarted(route or (graph.start(nodes) if nodes else graph.route(graph.roots()))))

    def complete(self, name: str, value: Any = None, **wishes: Any) -> list[Command]:
        """Let the oldest running body of a task return."""
        instance = self.body(name)
        wish = wishing(**wishes) if wishes else None
        return self.submit(Completed(instance.key, name if value is None else value, wish))

    def fail(self, name: str, error: BaseException | None = None, *, again: bool = True) -> list[Command]:
        """Let the oldest running body of a task raise."""
        return self.submit(Failed(self.body(name).key, error or ValueError(name), again=again))

    def call(self, name: str, *tasks: Task[Any, Any] | Child, handle: Handle | None = None) -> Handle:
        """Let a running body call children; plain tasks are called as tasks, anything else as children."""
        handle = handle or Handle()
        plain = [(t, 0) for t in tasks if isinstance(t, Task)]
        others = [t for t in tasks if isinstance(t, Child)]
        event = Called(self.body(name).key, handle, tasks=plain or None, children=others)
        self.submit(event)
        return handle

    def call_run(self, name: str, graph: Graph, handle: Handle | None = None) -> Handle:
        """Let a running body call a child run."""
        handle = handle or Handle()
        self.submit(RunCalled(self.body(name).key, graph, graph.route(graph.roots()), "inner", handle))
        return handle

    def park(self, name: str) -> list[Command]:
        """Let a running body wait for somebody."""
        return self.submit(Parked(self.body(name).key))

    def take(self, batch: Batch) -> Instance:
        """Begin the next child of a batch, as a lane does."""
        instance = self.machine.take(batch)
        self._begin(instance)
        return instance

    def take_all(self) -> list[Instance]:
        """Begin every child of every batch that has no gates."""
        found: list[Instance] = []
        for batch in self.batches:
            while batch.tasks:
                found.append(self.take(batch))
        return found

    # -- questions --------------------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return bool(self.finishes)

    @property
    def names(self) -> list[str]:
        """Ids of the running bodies, oldest first."""
        return [instance.id for instance in self.running.values()]

    def body(self, name: str) -> Instance:
        """Find the oldest running body of a task."""
        found = next((i for i in self.running.values() if i.id == name), None)
        assert found is not None, f"{name} does not run; {self.names} do"
        return found

    def with_status(self, *statuses: Status) -> list[Instance]:
        """List the running bodies whose instance has one of some statuses."""
        return [i for i in self.running.values() if i.status in statuses]

    def waiting_batches(self) -> list[Batch]:
        """List the batches that have children to take."""
        self.batches = [b for b in self.batches if b.tasks and not b.dropped]
        return self.batches

    # -- commands ---------------------------------------------------------------------------------------------

    def _perform(self, command: Command) -> None:
        if isinstance(command, Instance):
            self._begin(command)
        elif isinstance(command, Batch):
            assert command not in self.batches, "a batch was released twice"
            assert not command.gates, "a batch with gates is let in child by child"
            self.batches.append(command)
        elif isinstance(command, Cancel):
            key = command.instance.key
            assert key in self.running or key in self.state.live, f"{command.instance!r} was told to stop but is gone"
            self.told.add(key)
        elif isinstance(command, Resume):
            assert command.instance.key in self.running, f"{command.instance!r} was resumed but is gone"
            assert command.instance.status is Status.RUNNING
            self.resumed.append(command.instance.key)
        elif isinstance(command, SetTimer):
            assert command.token not in self.timers, f"timer {command.token} was set twice"
            assert command.delay > 0, "no timer for no time"
            self.timers[command.token] = command.delay
        elif isinstance(command, DropTimer):
            assert command.token in self.timers, f"timer {command.token} was dropped but not set"
            del self.timers[command.token]
        elif isinstance(command, Deliver):
            command.handle.deliver(command.index, command.kind, command.value)
        elif isinstance(command, Finish):
            self._finish(command)
        else:
            assert isinstance(command, Tell), f"this driver asks nobody: {command!r}"
            self.told_of.append(command)

    def _begin(self, instance: Instance) -> None:
        key = instance.key
        assert not self.finishes, f"{instance!r} was started after the end"
        assert key not in self.running, f"{instance!r} was started while it runs"
        assert key not in self.ended, f"{instance!r} was started after it had ended"
        assert instance.status is Status.RUNNING, f"{instance!r} was started but is {instance.status}"
        turn = (key, instance.turn, instance.attempt)
        assert turn not in self.started, f"{instance!r} was started twice"
        self.started.append(turn)
        self.ids.append(instance.id)
        self.running[key] = instance

    def _adopt(self) -> None:
        """Take note of children that the machine took out of a batch because a fact named one of them."""
        if not self.batches:
            return
        for key, instance in self.state.live.items():
            is_known = key in self.running or (key, instance.turn, instance.attempt) in self.started
            if instance.status is Status.RUNNING and instance.lap is None and not is_known:
                self._begin(instance)
        self.waiting_batches()

    def _finish(self, command: Finish) -> None:
        assert not self.finishes, f"the run ended twice: {self.finishes[0].kind}, then {command.kind}"
        assert not self.running, f"the run ended while {self.names} ran"
        state = self.state
        assert not state.live, f"the run ended with {list(state.live.values())}"
        assert not state.batches
        assert not state.scopes
        assert state.root.open == 0
        lost = [index for handle, index in self.owed if index not in handle.ends]
        assert not lost, f"the ends of called children {lost} were never delivered"
        self.finishes.append(command)


def wishing(**wishes: Any) -> Wishes:
    """Make the wishes of a body."""
    made = Wishes()
    for name, value in wishes.items():
        setattr(made, name, value)
    made.is_mixed = any(isinstance(child, Child) for child in made.children or ())
    return made


def to(graph: Graph, name: str, **options: Any) -> Child:
    """Make the child (or the jump) that is a node of a graph with what lies behind it."""
    return Child(graph=graph, route=graph.start_anywhere(graph.number_of(name)), **options)


def child(expression: Expression, **options: Any) -> Child:
    """Make the child that is a new expression."""
    if isinstance(expression, Task):
        return Child(expression, **options)
    graph = build_graph([expression])
    return Child(graph=graph, route=graph.route(graph.roots()), **options)


def tasks(names: str, **options: Any) -> list[Task[Any, Any]]:
    """Make async tasks that a driver plays the bodies of."""
    return [Task(name, _body, **options) for name in names.split()]


async def _body() -> None:
    """Stand for a body: drivers say what it does."""
