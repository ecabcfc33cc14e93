"""graflow, the synchronous library that graflow_async descends from; its groups run on its default thread pool."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

from benchmarks.floor import LAYERS, SLEEP
from benchmarks.probes import Sample, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_decorators: Any = importlib.import_module("graflow.core.decorators")
_tasks: Any = importlib.import_module("graflow.core.task")
_workflows: Any = importlib.import_module("graflow.core.workflow")

SPARE_STEPS = 1_000


class _Bodies:
    """Trivial or sleeping bodies that count themselves; a list, because groups run them in threads."""

    def __init__(self, pause: float = 0.0) -> None:
        self._pause = pause
        self.ran: list[None] = []

    def __call__(self) -> None:
        if self._pause:
            time.sleep(self._pause)
        self.ran.append(None)


def _timed(workflow: Any, start: str, bodies: _Bodies, count: int, began: float) -> Sample:
    built = time.perf_counter()
    workflow.execute(start, max_steps=count + SPARE_STEPS)
    ended = time.perf_counter()
    tally = Tally()
    tally.ran = len(bodies.ran)
    tally.expect(count)
    return {"seconds": ended - built, "build": built - began}


def _fan_out(count: int, bodies: _Bodies) -> Sample:
    began = time.perf_counter()
    with _workflows.workflow("fanout") as workflow:

        @_decorators.task(inject_context=True)
        def source(ctx: Any) -> None:
            ctx.next_task(_tasks.parallel(*(_tasks.TaskWrapper(f"leaf{index}", bodies) for index in range(count))))

        @_decorators.task
        def sink() -> None:
            return None

        _tasks.chain(source, sink)
    return _timed(workflow, "source", bodies, count, began)


async def fanout(count: int) -> Sample:
    """Measure one task that adds a group of `count` tasks, then a successor."""
    return _fan_out(count, _Bodies())


async def sleepers(count: int) -> Sample:
    """Measure the same with bodies that block a thread for 10 ms."""
    return _fan_out(count, _Bodies(SLEEP))


async def chain(count: int) -> Sample:
    """Measure a static chain of `count` tasks."""
    bodies = _Bodies()
    began = time.perf_counter()
    with _workflows.workflow("chain") as workflow:
        _tasks.chain(*(_tasks.TaskWrapper(f"t{index}", bodies) for index in range(count)))
    return _timed(workflow, "t0", bodies, count, began)


async def loop(count: int) -> Sample:
    """Measure one task that iterates `count` times."""
    bodies = _Bodies()
    began = time.perf_counter()
    with _workflows.workflow("loop") as workflow:

        @_decorators.task(inject_context=True, max_cycles=count + 1)
        def turn(ctx: Any) -> None:
            bodies()
            if len(bodies.ran) < count:
                ctx.next_iteration()

    return _timed(workflow, turn.task_id, bodies, count, began)


async def layers(count: int) -> Sample:
    """Measure 20 groups of `count / 20` tasks in a row."""
    width = max(1, count // LAYERS)
    bodies = _Bodies()
    began = time.perf_counter()
    with _workflows.workflow("layers") as workflow:
        groups = [
            _tasks.parallel(*(_tasks.TaskWrapper(f"t{layer}_{index}", bodies) for index in range(width)))
            for layer in range(LAYERS)
        ]
        _tasks.chain(*groups)
    return _timed(workflow, groups[0].task_id, bodies, width * LAYERS, began)


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Sample]]] = {
    "fanout": fanout,
    "chain": chain,
    "loop": loop,
    "layers": layers,
    "sleepers": sleepers,
}

IMPORT = "import graflow.core.decorators, graflow.core.workflow"

HELLO = """
from graflow.core.decorators import task
from graflow.core.workflow import workflow

with workflow("hello") as wf:
    @task
    def hello():
        return "hello"

print(wf.execute("hello"))
"""
