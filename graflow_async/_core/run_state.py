"""Everything that is known of a run: who lives, what waits, which limits there are."""

from __future__ import annotations

from typing import Any

from ..definition import Definition
from ..graph import Graph
from .gate import Gate
from .question import Question
from .state import Batch, Instance, Lap, Scope, Status, new_instance

RUNNING = Status.RUNNING


class RunState:
    """Everything that is known of a run.

    Attributes:
        live: key -> instance that has not ended.
        batches: children that are not instances yet, by the key of the first.
        laps: key -> awaited expression that has not ended.
        scopes: key -> child run that has not ended.
        gates: named limits, "threads" and "run" (max_concurrency) among them.
        base: gates that every instance passes.
        asked: open questions, by id.
        named: questions with a name, open or not, by it.
        letters: events that nobody has waited for so far, by topic, the oldest first.
        taken_letters: numbers of the events that came from other processes.
        steps: turns so far.
        turns: definition id -> turns, kept only when `max_steps` is set.
    """

    __slots__ = (
        "asked",
        "base",
        "batches",
        "gates",
        "laps",
        "letters",
        "live",
        "max_steps",
        "named",
        "next_key",
        "root",
        "run_id",
        "scopes",
        "steps",
        "taken_letters",
        "timers",
        "turns",
    )

    def __init__(self, run_id: str, graph: Graph, name: str, max_steps: int | None = None) -> None:
        """Start with nothing running."""
        self.run_id = run_id
        self.root = Scope(0, graph, name, None, None)
        self.live: dict[int, Instance] = {}
        self.batches: dict[int, Batch] = {}
        self.laps: dict[int, Lap] = {}
        self.scopes: dict[int, Scope] = {}
        self.gates: dict[str, Gate] = {}
        self.base: tuple[Gate, ...] = ()
        self.max_steps = max_steps
        self.next_key = 1
        self.steps = 0
        self.turns: dict[str, int] = {}
        self.timers: dict[Any, Instance | Gate | Question] = {}
        self.asked: dict[str, Question] = {}
        self.named: dict[str, Question] = {}
        self.letters: dict[str, list[Any]] = {}
        self.taken_letters: set[str] = set()

    def take(self, batch: Batch) -> Instance:
        """Make the next child of a batch an instance; the key was reserved when the batch was released."""
        position = batch.taken
        batch.taken = position + 1
        task, number = batch.tasks[position]
        key = batch.first + position
        definition: Definition = task.definition
        task_id = f"{definition.id}_{number}" if number else (task.given_id() or definition.id)
        instance = new_instance(
            key, task, task_id, batch.owner, batch.scope, batch.parent, definition.kind, batch.gates, batch.then
        )
        instance.status = RUNNING
        if not number:
            instance.ordinal = batch.parent.name_child(task_id)
        self.live[key] = instance
        if position == batch.last:
            del self.batches[batch.first]
            batch.tasks = []
        return instance

    def question_of(self, instance: Instance, question_id: str) -> Question | None:
        """Find a question that an instance has asked, open or not."""
        for question in (*self.named.values(), *(instance.steps or {}).values()):
            if isinstance(question, Question) and question.id == question_id and question.key == instance.key:
                return question
        return None

    def batch_of(self, key: int) -> Batch | None:
        """Find the batch in which a child waits to be taken."""
        for batch in self.batches.values():
            if batch.first + batch.taken <= key < batch.first + len(batch.tasks) and not batch.dropped:
                return batch
        return None

    def find(self, key: int) -> Instance | None:
        """Find an instance by its key, taking it (and those before it) out of its batch if need be."""
        instance = self.live.get(key)
        batch = self.batch_of(key) if instance is None else None
        while batch is not None and (instance is None or instance.key != key):
            instance = self.take(batch)
        return instance
