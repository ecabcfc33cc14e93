"""Programs as real workflows: drawn and run through the public API only, with a log of what the bodies did."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from graflow_async import Task, Workflow, at_least, chain, critical, parallel, workflow
from tests.reference.program import Expr, Par, Policy, Program, Ref, Script, Seq, Turn, elements

Phase = Literal["start", "end", "cut"]
PATIENCE = 20.0
"""Seconds after which a run is taken to hang."""
MAX_STEPS = 1000
"""Turns after which a run is taken to go on for ever; no program has nearly as many."""
SHOWN_STEPS = 300


class PlannedError(Exception):
    """What a body raises because its script says so."""


@dataclass(frozen=True)
class Entry:
    """One line of the log: a body started, ended (returned or raised), or was cut short by cancellation."""

    task_id: str
    cycle: int
    attempt: int
    phase: Phase


@dataclass
class Trial:
    """One real run of a program and everything seen from outside."""

    log: list[Entry] = field(default_factory=list[Entry])
    raised: dict[int, str] = field(default_factory=dict[int, str])
    kept: list[Exception] = field(default_factory=list[Exception])
    turns: Counter[str] = field(default_factory=Counter[str])
    active: int = 0
    peak: int = 0
    status: str = ""
    value: Any = None
    error: BaseException | None = None
    results: dict[str, Any] = field(default_factory=dict[str, Any])
    failures: dict[str, BaseException] = field(default_factory=dict[str, BaseException])
    late: list[Entry] = field(default_factory=list[Entry])

    def describe(self) -> str:
        """Write down what happened for a person."""
        ending = f"{self.status}: {self.value!r}" if self.error is None else f"{self.status}: {self.error!r}"
        lines = [f"  ended {ending}", f"  results {self.results}", f"  failures {self.failures}"]
        marks = {"start": "+", "end": "-", "cut": "x"}
        steps = [f"{marks[e.phase]}{e.task_id}.{e.cycle}.{e.attempt}" for e in self.log]
        more = len(steps) - SHOWN_STEPS
        steps[SHOWN_STEPS:] = [f"... and {more} more"] if more > 0 else []
        return "\n".join([*lines, "  log " + " ".join(steps)])


class Building:
    """Turns the expressions of one program into the library's."""

    def __init__(self, program: Program, trial: Trial) -> None:
        """Make nothing yet."""
        self.program = program
        self.trial = trial
        self.drawn: dict[str, Any] = {}

    def workflow(self) -> Workflow:
        """Draw the program, in a block or as one expression."""
        if len(self.program.drawn) == 1 and len(self.program.scripts) % 2:
            return Workflow("program", self.expression(self.program.drawn[0], self.drawn))
        with workflow("program") as wf:
            for expr in self.program.drawn:
                self.expression(expr, self.drawn)
        return wf

    def expression(self, expr: Expr, made: dict[str, Any]) -> Any:
        """Make an expression; `made` holds the tasks and groups that exist already, by name."""
        if isinstance(expr, Seq):
            return self._chain([self.expression(part, made) for part in elements(expr)])
        name = expr.id if isinstance(expr, Ref) else expr.name
        if name not in made:
            made[name] = self._task(name) if isinstance(expr, Ref) else self._group(expr, made)
        return made[name]

    def _chain(self, parts: list[Any]) -> Any:
        if len(parts) % 2:
            return chain(*parts)
        whole = parts[0]
        for part in parts[1:]:
            whole = whole >> part
        return whole

    def _group(self, group: Par, made: dict[str, Any]) -> Any:
        members = [self.expression(member, made) for member in group.members]
        policy = _policy(group.policy)
        if len(members) < 2 or isinstance(group.members[0], Par):
            return parallel(*members, policy=policy).set_group_name(group.name)
        whole = members[0]
        for member in members[1:]:
            whole = whole | member
        return whole.set_group_name(group.name).with_execution(policy=policy)

    def _task(self, name: str) -> Any:
        script = self.program.script(name)
        body = self._inline_body(name, script) if script.inline else self._body(name, script)
        return Task(
            name,
            body,
            inject_context=True,
            max_retries=script.max_retries,
            max_cycles=script.max_cycles,
            executor="inline" if script.inline else "auto",
        )

    def _body(self, name: str, script: Script) -> Callable[..., Any]:
        async def body(ctx: Any) -> str:
            with Watch(self.trial, name, ctx) as turn:
                for _ in range(script.pauses):
                    await asyncio.sleep(0)
                return self._act(ctx, name, script.turn(turn))

        return body

    def _inline_body(self, name: str, script: Script) -> Callable[..., Any]:
        def body(ctx: Any) -> str:
            with Watch(self.trial, name, ctx) as turn:
                return self._act(ctx, name, script.turn(turn))

        return body

    def _act(self, ctx: Any, name: str, turn: Turn) -> str:
        """Do what the script says, with real verbs."""
        made: dict[str, Any] = {}
        for wish in turn.wishes:
            target = wish.target
            if isinstance(target, Ref) and target.id in self.drawn:
                known = self.drawn[target.id]
                node = ctx.graph.get_node(target.id) if target.id.startswith("h") else known
            else:
                node = self.expression(target, made)
            ctx.next_task(node, goto=wish.goto, wait=wish.wait)
        if turn.iterate:
            ctx.next_iteration()
        if turn.stop == "cancel":
            ctx.cancel_workflow(f"stopped by {name}")
        elif turn.stop:
            result = {"result": f"stop:{name}"} if turn.stop == "terminate_with" else {}
            ctx.terminate_workflow("enough", **result)
        if ctx.attempt <= turn.failing:
            error = PlannedError(name)
            self.trial.raised[id(error)] = name
            self.trial.kept.append(error)
            raise error
        return turn.value


class Watch:
    """Writes a body's start and end to the log and counts how many bodies run at once."""

    def __init__(self, trial: Trial, name: str, ctx: Any) -> None:
        """Remember who is watched."""
        self.trial = trial
        self.key = (name, ctx.cycle_count, ctx.attempt)

    def __enter__(self) -> int:
        """Note the start and say which turn of the task this is, over the whole run."""
        name, _, attempt = self.key
        trial = self.trial
        trial.turns[name] += attempt == 1
        trial.active += 1
        trial.peak = max(trial.peak, trial.active)
        trial.log.append(Entry(*self.key, "start"))
        return trial.turns[name]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Note the end."""
        self.trial.active -= 1
        is_cut = kind is not None and not issubclass(kind, Exception)
        self.trial.log.append(Entry(*self.key, "cut" if is_cut else "end"))


def _policy(policy: Policy) -> Any:
    if policy.kind == "at_least":
        return at_least(policy.need, cancel_rest=policy.cancel_rest)
    if policy.kind == "critical":
        return critical(list(policy.names))
    return policy.kind


async def perform(program: Program) -> Trial:
    """Run a program for real and collect what can be seen."""
    trial = Trial()
    wf = Building(program, trial).workflow()
    run = wf.start(program.start, max_concurrency=program.max_concurrency, max_steps=MAX_STEPS)
    try:
        async with asyncio.timeout(PATIENCE), run:
            trial.value = await run
    except Exception as error:
        trial.error = error
    trial.status = run.status
    trial.results = dict(run.results)
    trial.failures = dict(run.failures)
    seen = len(trial.log)
    with suppress(TimeoutError):
        for _ in range(3):
            await asyncio.sleep(0)
    trial.late = trial.log[seen:]
    return trial
