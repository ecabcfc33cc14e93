"""Random programs and random shells: what bodies do, and in which order facts arrive, is drawn from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from graflow_async import RetryPolicy, Task, at_least, critical, parallel
from graflow_async._core.events import (
    Called,
    Cancelled,
    CancelRequested,
    Completed,
    Failed,
    HandleDropped,
    Parked,
    RunCalled,
    StopRequested,
    TimerFired,
    Unparked,
)
from graflow_async._core.state import Instance, Status
from graflow_async._core.wishes import SAME, UNSET, Child, Stop, Wishes
from graflow_async.builder import build_graph
from graflow_async.compose import Expression
from graflow_async.graph import Graph
from graflow_async.policy import Rate
from tests.core.driver import Driver, Handle, child, to

MAKING_STEPS = 60
MOST_STEPS = 4000


@dataclass(frozen=True)
class Habits:
    """How likely each thing is, per chance to do it."""

    groups: float = 0.0
    loops: float = 0.0
    failures: float = 0.0
    retries: float = 0.0
    children: float = 0.0
    iteration: float = 0.0
    jumps: float = 0.0
    stops: float = 0.0
    calls: float = 0.0
    runs: float = 0.0
    cancels: float = 0.0
    parks: float = 0.0
    limits: float = 0.0
    takes: bool = False
    most_steps: bool = False


PROFILES = {
    "dag": Habits(),
    "groups": Habits(groups=0.7, failures=0.08, retries=0.3),
    "dynamic": Habits(groups=0.2, children=0.35, iteration=0.3, retries=0.5, failures=0.03),
    "jumps": Habits(groups=0.3, jumps=0.4, children=0.1),
    "loops": Habits(groups=0.2, loops=0.8, jumps=0.3, iteration=0.1),
    "steps": Habits(groups=0.3, loops=0.5, retries=0.3, failures=0.03, parks=0.1, most_steps=True),
    "calls": Habits(groups=0.2, calls=0.5, runs=0.2, cancels=0.1, failures=0.03, parks=0.3),
    "limits": Habits(groups=0.3, calls=0.3, children=0.2, limits=0.8, parks=0.4, retries=0.3, failures=0.03),
    "taken": Habits(calls=0.5, children=0.4, failures=0.03, cancels=0.1, takes=True),
    "all": Habits(0.3, 0.2, 0.03, 0.2, 0.2, 0.15, 0.15, 0.03, 0.25, 0.1, 0.06, 0.2, 0.4),
    "all in few steps": Habits(0.3, 0.2, 0.03, 0.2, 0.2, 0.15, 0.15, 0.03, 0.25, 0.1, 0.06, 0.2, 0.4, most_steps=True),
}


class LastWord:
    """A policy of the user's own: whether the group passes is what its body, played by the driver, does."""

    def on_group_finished(self, group_id: str, members: Any, results: Any, ctx: Any) -> None:
        """Accept anything."""


async def _body() -> None:
    """Stand for an async body."""


def _plain() -> None:
    """Stand for a body that runs in a thread."""


class Chance:
    """One random shell with one random program."""

    def __init__(self, profile: str, seed: int) -> None:
        """Draw the program; nothing has started."""
        self.rng = random.Random(f"{profile}-{seed}")
        self.habits = PROFILES[profile]
        self.count = 0
        self.steps = 0
        self.handles: list[Handle] = []
        self.graph = self._graph(self.rng.randint(1, 8))
        limits: dict[str, int | Rate] = {"few": self.rng.randint(1, 3), "rate": Rate(self.rng.randint(1, 3), per=1.0)}
        is_bound = self._likely(self.habits.limits)
        self.driver = Driver(
            self.graph,
            limits=limits,
            max_concurrency=self.rng.randint(1, 3) if is_bound else None,
            max_steps=self.rng.randint(3, 40) if self.habits.most_steps else None,
            threads=self.rng.randint(1, 3),
        )

    def run(self) -> Driver:
        """Play facts in random order until the run ends."""
        driver = self.driver
        driver.start(self.graph.nodes[0])
        while not driver.is_over:
            self.step()
            assert self.steps < MOST_STEPS, f"the run does not end: {driver.state.live}, {driver.timers}"
        return driver

    def step(self) -> None:
        """Let one random thing happen."""
        self.steps += 1
        driver, rng = self.driver, self.rng
        options: list[Any] = []
        if self.steps >= MAKING_STEPS * 3 and driver.state.root.stop is None:
            driver.submit(StopRequested("cancelled", ValueError("enough")))
            return
        if driver.running:
            options += [self._act] * 4
        if driver.timers:
            options += [self._fire]
        if driver.waiting_batches():
            options += [self._take] * 2
        if self.habits.cancels and self._likely(self.habits.cancels):
            options += [self._unwanted]
        if self.habits.stops and self._likely(self.habits.stops / 4):
            options += [self._stop]
        assert options, f"nothing can happen, and the run has not ended: {driver.state.live}"
        rng.choice(options)()

    # -- what may happen --------------------------------------------------------------------------------------

    def _act(self) -> None:
        """Let a running body do something."""
        driver, habits = self.driver, self.habits
        instance = self.rng.choice(list(driver.running.values()))
        key = instance.key
        if key in driver.told and self._likely(0.8):
            driver.submit(Cancelled(key))
        elif instance.status is Status.PARKED:
            driver.submit(Unparked(key) if self._likely(0.8) else Failed(key, KeyError("parked")))
        elif instance.status is Status.RESUMING:
            if self._likely(0.1) or self.steps > MAKING_STEPS:
                driver.submit(Completed(key, "not waited"))
        elif self._makes(habits.parks):
            driver.submit(Parked(key))
        elif self._makes(habits.calls):
            self._call(instance)
        elif self._makes(habits.runs):
            handle = self._handle()
            inner = self._graph(self.rng.randint(1, 3))
            driver.submit(RunCalled(key, inner, inner.start(inner.nodes[:1]), "inner", handle))
        elif self._likely(habits.failures):
            driver.submit(Failed(key, ValueError(f"{instance.id}/{instance.attempt}"), again=self._likely(0.8)))
        else:
            driver.submit(Completed(key, f"{instance.id}.{instance.turn}", self._wishes(instance)))

    def _fire(self) -> None:
        """Let a timer be due, in any order."""
        token = self.rng.choice(list(self.driver.timers))
        del self.driver.timers[token]
        self.driver.submit(TimerFired(token))

    def _take(self) -> None:
        """Begin a child of a batch, or let a fact name one, which begins those before it."""
        batch = self.rng.choice(self.driver.waiting_batches())
        if self.habits.takes:
            self.driver.take(batch)
            return
        key = batch.first + self.rng.randrange(batch.taken, len(batch.tasks))
        self.driver.submit(Completed(key, "child"))

    def _unwanted(self) -> None:
        """Let somebody not want something any more."""
        state = self.driver.state
        keys = [k for k, i in state.live.items() if i.then is not None] + list(state.scopes) + list(state.laps)
        if self.handles and self._likely(0.5):
            self.driver.submit(HandleDropped(self.rng.choice(self.handles)))
        elif keys:
            self.driver.submit(CancelRequested(self.rng.choice(keys)))

    def _stop(self) -> None:
        """Let the holder of the run end it, or a child run of it."""
        scope = self.rng.choice([0, *self.driver.state.scopes])
        self.driver.submit(StopRequested(self.rng.choice(["cancelled", "failed"]), ValueError("stop"), scope))

    # -- what bodies ask for ----------------------------------------------------------------------------------

    def _call(self, instance: Instance) -> None:
        """Let a body call some children."""
        handle = self._handle()
        if self._likely(0.6):
            several = [(self._task(), 0) for _ in range(self.rng.randint(1, 4))]
            self.driver.submit(Called(instance.key, handle, tasks=several))
        else:
            children = [self._child(instance) for _ in range(self.rng.randint(1, 2))]
            self.driver.submit(Called(instance.key, handle, children=children))

    def _wishes(self, instance: Instance) -> Wishes | None:
        """Make up what a body wishes at its end."""
        habits, rng = self.habits, self.rng
        wishes = Wishes()
        if self._makes(habits.children):
            wishes.children = []
            for _ in range(rng.randint(1, 3)):
                if self._likely(0.5):
                    wishes.children.append((self._task(), 0))
                    continue
                made = self._child(instance)
                made.waits = self._likely(0.8)
                made.delay = 1.0 if self._likely(0.2) else None
                wishes.children.append(made)
                wishes.is_mixed = True
        if self._makes(habits.iteration):
            wishes.again = SAME if self._likely(0.5) else ((), {"n": instance.turn})
        elif self._makes(habits.jumps):
            wishes.jumps = [self._child(instance, existing=0.8) for _ in range(rng.randint(1, 2))]
        if self._likely(habits.stops):
            wishes.stop = rng.choice([Stop("terminated", UNSET), Stop("cancelled", error=ValueError("cancel"))])
        is_empty = not (wishes.children or wishes.again or wishes.jumps or wishes.stop)
        return None if is_empty else wishes

    def _child(self, instance: Instance, existing: float = 0.3) -> Child:
        """Make up a child: a node of the graph, a new task, or a new expression."""
        graph = instance.scope.graph
        if self._likely(existing):
            return to(graph, self.rng.choice(graph.nodes))
        if self._likely(0.5):
            return Child(self._task())
        return child(self._expression(2))

    # -- what programs are made of ----------------------------------------------------------------------------

    def _graph(self, size: int) -> Graph:
        """Draw a graph: edges forwards, some of them back if there are loops."""
        items = [self._vertex() for _ in range(size)]
        drawn: list[Expression] = [items[0]]
        for index, item in enumerate(items[1:], 1):
            before = self.rng.sample(items[:index], self.rng.randint(1, min(2, index)))
            drawn += [other >> item for other in before]
        if self._likely(self.habits.jumps):
            drawn.append(self._task())
        if size > 1 and self._likely(self.habits.loops):
            late, early = sorted(self.rng.sample(range(size), 2), reverse=True)
            drawn.append(items[late] >> items[early])
        return build_graph(drawn)

    def _vertex(self) -> Expression:
        return self._group(1) if self._likely(self.habits.groups) else self._task()

    def _expression(self, depth: int) -> Expression:
        """Make a branch of a group: a task, a chain or a group."""
        if depth < 3 and self._likely(0.25):
            return self._group(depth + 1)
        return self._task() >> self._task() if self._likely(0.3) else self._task()

    def _group(self, depth: int) -> Expression:
        """Make a group with any policy."""
        members = [self._expression(depth) for _ in range(self.rng.randint(1, 4))]
        self.count += 1
        bound = self.rng.randint(1, 2) if self._likely(self.habits.limits) else None
        group = parallel(*members, name=f"g{self.count}", max_concurrency=bound)
        keys = build_graph([group]).table[0].join
        names = list(keys.keys) if keys is not None else []
        count = self.rng.randint(0, len(names))
        policies: list[Any] = ["strict", "best_effort", "first", at_least(count), critical(names[:1]), LastWord()]
        policies.append(at_least(count, cancel_rest=True))
        return group.with_execution(policy=self.rng.choice(policies))

    def _task(self) -> Task[Any, Any]:
        """Make a task with random options."""
        self.count += 1
        options: dict[str, Any] = {"max_cycles": self.rng.randint(1, 4)}
        if self._likely(self.habits.retries):
            options["retry_policy"] = RetryPolicy(self.rng.randint(0, 2), self.rng.choice([0.0, 1.0]), jitter=True)
        if self._likely(self.habits.limits / 2):
            options["limits"] = [self.rng.choice(["few", "rate"])]
        return Task(f"t{self.count}", _plain if self._likely(self.habits.limits / 3) else _body, **options)

    def _handle(self) -> Handle:
        handle = Handle()
        self.handles.append(handle)
        return handle

    def _likely(self, likelihood: float) -> bool:
        return self.rng.random() < likelihood

    def _makes(self, likelihood: float) -> bool:
        """Say whether something new is made; it is not for ever, so that every run ends."""
        return self.steps < MAKING_STEPS and self._likely(likelihood)
