"""Random workflow programs as plain data: expressions, scripts and the text that shows them.

Nothing here runs anything and nothing here knows the library: `interpreter` predicts what a program does,
`build` turns it into a real workflow, `generator` makes programs up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FOREVER = 1_000_000
"""Number of failing attempts that no retry budget reaches."""

PolicyKind = Literal["strict", "best_effort", "at_least", "critical", "first"]
Stop = Literal["", "terminate", "terminate_with", "cancel"]


@dataclass(frozen=True)
class Policy:
    """How a group judges its members."""

    kind: PolicyKind = "strict"
    need: int = 0
    cancel_rest: bool = False
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Show the policy the way a user writes it."""
        if self.kind == "at_least":
            return f"at_least({self.need}{', cancel_rest=True' if self.cancel_rest else ''})"
        if self.kind == "critical":
            return f"critical({list(self.names)})"
        return f'"{self.kind}"'


@dataclass(frozen=True)
class Ref:
    """One task, by id."""

    id: str

    def __str__(self) -> str:
        """Show the id."""
        return self.id


@dataclass(frozen=True)
class Par:
    """A named group; its members are branches."""

    name: str
    members: tuple[Expr, ...]
    policy: Policy = Policy()

    def __str__(self) -> str:
        """Show the name; `definitions` shows the rest."""
        return self.name


@dataclass(frozen=True)
class Seq:
    """Parts that run one after another."""

    parts: tuple[Expr, ...]

    def __str__(self) -> str:
        """Show the chain with arrows."""
        return "(" + " >> ".join(str(part) for part in self.parts) + ")"


Expr = Ref | Par | Seq
Element = Ref | Par


def seq(*parts: str | Expr) -> Seq:
    """Write a chain; a text is a task's id."""
    return Seq(tuple(Ref(part) if isinstance(part, str) else part for part in parts))


def par(name: str, *members: str | Expr, policy: Policy = Policy()) -> Par:
    """Write a group; a text is a task's id."""
    return Par(name, seq(*members).parts, policy)


def elements(expr: Expr) -> list[Element]:
    """Flatten an expression into the tasks and groups that run one after another."""
    if isinstance(expr, Seq):
        return [element for part in expr.parts for element in elements(part)]
    return [expr]


def name_of(element: Element) -> str:
    """Return the id of a task or the name of a group."""
    return element.id if isinstance(element, Ref) else element.name


def task_ids(expr: Expr) -> list[str]:
    """List the ids of all tasks in an expression, in the order written."""
    if isinstance(expr, Ref):
        return [expr.id]
    parts = expr.parts if isinstance(expr, Seq) else expr.members
    return [task_id for part in parts for task_id in task_ids(part)]


def definitions(expr: Expr) -> list[str]:
    """Write down every group in an expression the way a user writes it, inner ones first."""
    if isinstance(expr, Ref):
        return []
    parts = expr.parts if isinstance(expr, Seq) else expr.members
    lines = [line for part in parts for line in definitions(part)]
    if isinstance(expr, Par):
        members = "".join(f"{member}, " for member in expr.members)
        lines.append(f"{expr.name} = parallel({members}policy={expr.policy})")
    return lines


@dataclass(frozen=True)
class Wish:
    """One call of `next_task`; a drawn task is an existing target, everything else is new."""

    target: Expr
    goto: bool = False
    wait: bool = True

    def __str__(self) -> str:
        """Show the call."""
        extra = (", goto=True" if self.goto else "") + ("" if self.wait else ", wait=False")
        return f"next_task({self.target}{extra})"


@dataclass(frozen=True)
class Turn:
    """What one turn of a task does: its first `failing` attempts record every wish and then raise."""

    value: str
    wishes: tuple[Wish, ...] = ()
    iterate: bool = False
    stop: Stop = ""
    failing: int = 0

    def __str__(self) -> str:
        """Show the turn as a list of calls."""
        calls = [str(wish) for wish in self.wishes]
        if self.iterate:
            calls.append("next_iteration()")
        if self.stop:
            calls.append(f"{self.stop}()")
        if self.failing:
            calls.append("raise always" if self.failing == FOREVER else f"raise in attempts 1..{self.failing}")
        return "; ".join([*calls, f"return {self.value!r}"])


@dataclass(frozen=True)
class Script:
    """All turns of one task id in a run, counted over the whole run; the last one repeats for ever."""

    turns: tuple[Turn, ...]
    max_retries: int = 0
    max_cycles: int = 1000
    pauses: int = 0
    inline: bool = False

    def turn(self, number: int) -> Turn:
        """Return what the turn with this 1-based number does."""
        return self.turns[min(number, len(self.turns)) - 1]

    def __str__(self) -> str:
        """Show options and turns on one line."""
        options = f"max_retries={self.max_retries} " if self.max_retries else ""
        options += f"max_cycles={self.max_cycles} " if self.max_cycles < 1000 else ""
        options += "inline " if self.inline else f"pauses={self.pauses} " if self.pauses else ""
        return options + " | ".join(f"{{{turn}}}" for turn in self.turns)


@dataclass(frozen=True)
class Program:
    """A whole workflow: what is drawn, what each task does, and how the run is started."""

    drawn: tuple[Expr, ...]
    scripts: dict[str, Script] = field(default_factory=dict[str, Script])
    start: str | None = None
    max_concurrency: int | None = None

    def script(self, task_id: str) -> Script:
        """Return a task's script; a task without one just returns a value named after it."""
        return self.scripts.get(task_id) or Script((Turn(f"v:{task_id}"),))

    def drawn_ids(self) -> set[str]:
        """Return the ids of the tasks in the drawn graph."""
        return {task_id for expr in self.drawn for task_id in task_ids(expr)}

    def describe(self) -> str:
        """Write the program down for a person."""
        wished = [w.target for script in self.scripts.values() for turn in script.turns for w in turn.wishes]
        lines = [f"  {line}" for expr in (*self.drawn, *wished) for line in definitions(expr)]
        lines = list(dict.fromkeys(lines))
        lines += [f"  draw {expr}" for expr in self.drawn]
        lines += [f"  start={self.start!r} max_concurrency={self.max_concurrency}"]
        lines += [f"  {task_id}: {script}" for task_id, script in self.scripts.items()]
        return "\n".join(lines)
