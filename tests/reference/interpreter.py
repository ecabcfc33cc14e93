"""The naive interpreter: what a program must do, one plain function per rule, no event loop, nothing clever.

Work is a tree of calls. Each call gets the *past* (a bit mask of the executions that have ended before it starts) and
returns an outcome with the past it leaves behind, so happens-before is a by-product. Independent work is done in an
arbitrary order drawn from a seed; `interpret` tries several orders and refuses (`Ambiguous`) a program for which they
disagree, or for which a rule asks who came first among tasks that no edge orders.

Nothing is ever really cancelled here. Work that a failure, a race or a stop may cut short is carried out in full and
its scope is marked, so that the record says "at most" for it. A stop (terminate, cancel) simply never returns.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from tests.reference.drawing import Drawing
from tests.reference.expected import ANY, Execution, Expected, Scope
from tests.reference.history import History
from tests.reference.judgement import judge, key_of
from tests.reference.outcome import AmbiguousError, Blocked, Done, Failed, Outcome, together
from tests.reference.program import Element, Expr, Par, Policy, Program, Ref, Seq, Turn, elements, name_of


@dataclass(frozen=True)
class Home:
    """Where a branch stands: the outermost drawn group around it, and the vertices that lie beyond that group."""

    group: str
    beyond: set[str]


NOWHERE = Home("", set())
"""The home of branches that are not drawn: they have the whole drawn graph to jump to."""


class Interpreter:
    """One interpretation of one program, in one order."""

    def __init__(self, program: Program, rng: random.Random) -> None:
        """Prepare an empty history."""
        self.program = program
        self.rng = rng
        self.drawing = Drawing(program.drawn)
        self.history = History(program)

    def run(self) -> Expected:
        """Interpret the whole program."""
        starts = [self.program.start] if self.program.start else self.drawing.roots()
        self.history.note_order([self.drawing.nodes[name] for name in starts])
        return self.history.record(Pass(self, self.drawing, (self.history.everything,), is_top=True).run(starts, 0))

    # ------------------------------------------------------------------ one task

    def visit(self, task_id: str, past: int, scopes: tuple[Scope, ...]) -> Outcome:
        """Run a task: turn after turn, each with its attempts and then its children."""
        history, script = self.history, self.program.script(task_id)
        history.visits[task_id] += 1
        cycle = 0
        while True:
            cycle += 1
            history.turns[task_id] += 1
            turn = script.turn(history.turns[task_id])
            attempt = 0
            while True:
                attempt += 1
                execution = history.execute(task_id, cycle, attempt, past, scopes)
                past |= 1 << execution.index
                if attempt > turn.failing or attempt > script.max_retries:
                    break
            is_exhausted = turn.iterate and not turn.stop and cycle == script.max_cycles
            if attempt <= turn.failing or is_exhausted:
                history.unsure.add(task_id)
                return Failed(past, (past,), frozenset({("failed", task_id)}))
            if turn.stop:
                history.stop(execution, turn)
                return Blocked()
            outcome = self._children(turn, execution, past, scopes)
            if not isinstance(outcome, Done):
                history.unsure.add(task_id)
                return outcome
            past = outcome.past
            if not turn.iterate:
                break
        history.results[task_id] = turn.value
        jumps = tuple(wish.target for wish in turn.wishes if wish.goto)
        return Done(past, turn.value, {task_id: turn.value}, jumps)

    def _children(self, turn: Turn, parent: Execution, past: int, scopes: tuple[Scope, ...]) -> Outcome:
        """Run what the turn added; the parent goes on when all of it (but not what is detached) has ended."""
        everything = self.history.everything
        wishes = [wish for wish in turn.wishes if not wish.goto]
        self.history.note_order([elements(wish.target)[0] for wish in wishes])
        nursery = Scope()
        outcomes: list[Outcome] = []
        for wish in self.rng.sample(wishes, len(wishes)):
            home = (*scopes, nursery) if wish.wait else (everything, Scope(origin=parent))
            outcome = self._target(wish.target, past, home, self.drawing)
            if wish.wait:
                outcomes.append(outcome)
            elif isinstance(outcome, Failed):
                self.history.lost.append((outcome, parent))
        return together(outcomes, past, nursery)

    def _target(self, target: Expr, past: int, scopes: tuple[Scope, ...], drawing: Drawing) -> Outcome:
        """Run a drawn task and what it releases, or a new expression."""
        if isinstance(target, Ref) and target.id in drawing.nodes:
            return Pass(self, drawing, scopes).run([target.id], past)
        if isinstance(target, Ref) and target.id in self.program.drawn_ids():
            raise AmbiguousError(f"{target.id} is drawn, but not where this jump can reach it")
        return self.sequence(elements(target), past, scopes)

    # ------------------------------------------------------------------ chains and groups

    def element(self, element: Element, past: int, scopes: tuple[Scope, ...], home: Home) -> Outcome:
        """Run a task or a group."""
        if isinstance(element, Ref):
            return self.visit(element.id, past, scopes)
        return self._group(element, past, scopes, home)

    def sequence(self, parts: list[Element], past: int, scopes: tuple[Scope, ...], home: Home | None = None) -> Outcome:
        """Run parts one after another: a branch of a group (at home there), or an expression added at run time.

        A jump replaces the rest. Inside a branch a jump to a part of it walks on from there.
        """
        position, done = 0, Done(past)
        while position < len(parts):
            outcome = self.element(parts[position], done.past, scopes, home or NOWHERE)
            if not isinstance(outcome, Done):
                return outcome
            done = outcome
            position += 1
            if done.jumps:
                names = [name_of(part) for part in parts]
                targets = [name_of(t) for t in done.jumps if not isinstance(t, Seq)]
                if home and len(targets) == 1 and targets[0] in names:
                    position = names.index(targets[0])
                    done = Done(done.past)
                else:
                    return self._instead(done, scopes, home or NOWHERE)
        return done

    def _instead(self, jumper: Done, scopes: tuple[Scope, ...], home: Home) -> Outcome:
        """Run the targets of a jump in the jumper's place, without what lies beyond the enclosing group.

        A target from which the way leads back into the enclosing group runs the group's members again. Whether that
        is a group within the group is not written down, so the value is open, and a tolerant policy is refused.
        """
        nursery = Scope()
        outcomes: list[Outcome] = []
        is_reentered = False
        for target in self.rng.sample(jumper.jumps, len(jumper.jumps)):
            names = {name_of(part) for part in elements(target)}
            reachable = self.drawing.without(home.beyond - names)
            is_reentered |= any(home.group in reachable.after(name) for name in names & reachable.nodes.keys())
            outcomes.append(self._target(target, jumper.past, (*scopes, nursery), reachable))
        outcome = together(outcomes, jumper.past, nursery)
        if not is_reentered:
            return outcome
        group = self.drawing.nodes[home.group]
        if isinstance(group, Par) and group.policy != Policy():
            raise AmbiguousError(f"{home.group} is entered again from inside")
        return replace(outcome, value=ANY) if isinstance(outcome, Done) else outcome

    def _group(self, group: Par, past: int, scopes: tuple[Scope, ...], home: Home) -> Outcome:
        """Run every branch, then judge by the policy."""
        inside = Scope()
        outcomes: dict[str, Outcome] = {}
        for member in self.rng.sample(group.members, len(group.members)):
            parts = elements(member)
            outcomes[key_of(member)] = self.sequence(parts, past, (*scopes, inside), home)
        outcome = judge(group, outcomes, past, inside)
        if isinstance(outcome, Done):
            lonely = {member.id for member in group.members if isinstance(member, Ref)}
            self.history.tolerated |= {key for key in lonely if isinstance(outcomes[key], Failed)}
        return outcome


@dataclass
class Edge:
    """An edge within a pass: `delivered` is unknown (None) until its source has ended, jumped away or been skipped."""

    is_loop: bool
    delivered: bool | None = None
    past: int = 0


class Pass:
    """One walk over the drawn graph: every edge is delivered or skipped once, every vertex runs at most once.

    An edge that closes a loop, and a jump back, start another pass; it belongs to this one (which ends after it), but
    counts its joins on its own.
    """

    def __init__(
        self, world: Interpreter, drawing: Drawing, scopes: tuple[Scope, ...], *, is_top: bool = False
    ) -> None:
        """Prepare a walk over a drawing, which may be the drawn graph with something left out."""
        self.world = world
        self.drawing = drawing
        self.is_top = is_top
        self.scope = Scope()
        # a failure at the top ends the run, which the history marks
        self.scopes = scopes if is_top else (*scopes, self.scope)
        self.state: dict[str, Literal["waiting", "started", "skipped"]] = {}
        self.left: dict[str, int] = {}
        self.edges: dict[tuple[str, str], Edge] = {}
        self.owed: dict[str, list[int]] = {}
        self.todo: list[Callable[[], Outcome]] = []
        self.finals: dict[str, object] = {}

    def run(self, starts: list[str], past: int) -> Outcome:
        """Walk until nothing is left to do."""
        for name in starts:
            self._explore(name, (name,))
        for name in starts:
            self._start(name, past)
        outcomes: list[Outcome] = []
        while self.todo:
            outcomes.append(self.todo.pop(self.world.rng.randrange(len(self.todo)))())
        if self.is_top:
            outcomes = [one for one in outcomes if not isinstance(one, Blocked)] or outcomes
        outcome = together(outcomes, past, self.scope)
        if not isinstance(outcome, Done):
            return outcome
        return Done(outcome.past, _value_of(self.finals), self.finals)

    # ------------------------------------------------------------------ work

    def _start(self, name: str, past: int) -> None:
        self.state[name] = "started"
        self.todo.append(partial(self._vertex, name, past))

    def _vertex(self, name: str, past: int) -> Outcome:
        """Run a vertex and let it release what follows."""
        outside = self.world.drawing.nodes.keys() - self.drawing.nodes.keys()
        home = Home(name, self.world.drawing.after(name) | outside)
        outcome = self.world.element(self.drawing.nodes[name], past, self.scopes, home)
        if isinstance(outcome, Done):
            self.left[name] = outcome.past
            if outcome.jumps:
                self._jump(name, outcome.jumps, outcome.past)
            else:
                self._release(name, outcome)
        return outcome

    def _again(self, name: str, past: int) -> Outcome:
        """Start another pass at a vertex."""
        inner = Pass(self.world, self.drawing, self.scopes, is_top=self.is_top)
        outcome = inner.run([name], past)
        self.finals |= inner.finals
        return outcome

    def _new(self, target: Expr, past: int) -> Outcome:
        """Run the undrawn target of a jump; its last tasks are final."""
        outcome = self.world.sequence(elements(target), past, self.scopes)
        self.finals |= outcome.finals if isinstance(outcome, Done) else {}
        return outcome

    # ------------------------------------------------------------------ edges

    def _explore(self, name: str, path: tuple[str, ...]) -> None:
        """Take in what can be reached, depth first; an edge to a vertex on the path closes a loop."""
        self.state[name] = "waiting"
        for target in self.drawing.edges[name]:
            is_loop = target in path
            self.edges[name, target] = Edge(is_loop)
            if not is_loop and self.state.get(target, "skipped") == "skipped":
                self._explore(target, (*path, target))

    def _into(self, name: str, *, is_loop: bool) -> list[Edge]:
        return [edge for (_, to), edge in self.edges.items() if to == name and edge.is_loop == is_loop]

    def _release(self, name: str, done: Done) -> None:
        targets = self.drawing.edges[name]
        if not targets:
            self.finals |= done.finals
        alone = [t for t in targets if self._into(t, is_loop=False) == [self.edges[name, t]]]
        self.world.history.note_order([self.drawing.nodes[t] for t in alone])
        for target in targets:
            self._resolve(name, target, done.past, delivered=True)

    def _resolve(self, source: str, target: str, past: int, *, delivered: bool) -> None:
        """Settle an edge; the last one of a join decides what happens to its target."""
        edge = self.edges[source, target]
        edge.delivered, edge.past = delivered, past
        edges = self._into(target, is_loop=edge.is_loop)
        if any(one.delivered is None for one in edges):
            return
        owed = [] if edge.is_loop else self.owed.get(target, [])
        is_reached = bool(owed) or any(one.delivered for one in edges)
        ended = 0
        for one in [*(other.past for other in edges), *owed]:
            ended |= one
        if edge.is_loop and is_reached:
            self.todo.append(partial(self._again, target, ended))
        elif not edge.is_loop and self.state[target] == "waiting":
            if is_reached:
                self._start(target, ended)
            else:
                self._skip(target, ended)

    def _skip(self, name: str, past: int) -> None:
        self.state[name] = "skipped"
        self.left[name] = past
        for target in self.drawing.edges[name]:
            self._resolve(name, target, past, delivered=False)

    # ------------------------------------------------------------------ jumps

    def _jump(self, name: str, targets: tuple[Expr, ...], past: int) -> None:
        """Send a vertex somewhere else than to its successors."""
        drawn_ids = self.world.program.drawn_ids()
        drawn = [t.id for t in targets if isinstance(t, Ref) and t.id in drawn_ids]
        for target in drawn:
            if target not in self.drawing.nodes:
                raise AmbiguousError(f"{name} jumps to {target}, which is inside a group or left out of this pass")
            if self.state.get(target) == "waiting":
                self._check_path(name, target)
                self.owed.setdefault(target, []).append(past)
            elif self._is_behind(name, target, past):
                self.todo.append(partial(self._again, target, past))
            elif len(drawn) > 1:
                raise AmbiguousError("a jump to several tasks, one of which could not be reached before")
            else:
                self._join(name, target, past)
        for target in self.drawing.edges[name]:
            is_wanted = target in drawn and not self.edges[name, target].is_loop
            self._resolve(name, target, past, delivered=is_wanted)
        self.todo += [partial(self._new, t, past) for t in targets if not (isinstance(t, Ref) and t.id in drawn)]

    def _is_behind(self, name: str, target: str, past: int) -> bool:
        """Tell whether the target, or something after it, has run in this pass, so that a jump there goes back."""
        if self.drawing.is_lonely(target):
            return target in self.state
        is_started = self.state.get(target) == "started"
        after = [one for one in self.drawing.after(target) if self.state.get(one) == "started"]
        met = [target] if is_started else after
        if met and not any(one == name or self._has_left(one, past) for one in met):
            raise AmbiguousError(f"{name} jumps to {target} while {met} may or may not have started")
        return bool(met)

    def _has_left(self, name: str, past: int) -> bool:
        return name in self.left and not self.left[name] & ~past

    def _join(self, name: str, target: str, past: int) -> None:
        """Take a vertex, and what only it reaches, into this pass and run it at once."""
        for one in {target, *self.drawing.after(target)}:
            if self.state.get(one) == "waiting":
                self._check_path(name, one)
            elif one in self.state and not self._has_left(one, past):
                raise AmbiguousError(f"{name} jumps to {target} while {one} may or may not be skipped already")
        self._explore(target, (target,))
        self._start(target, past)

    def _check_path(self, name: str, target: str) -> None:
        """Refuse a jump to a task that might as well have started already: nothing makes it wait for the jumper."""
        seen, open_ = {name}, [name]
        while open_:
            current = open_.pop()
            found = {to for (source, to), edge in self.edges.items() if source == current and not edge.is_loop}
            open_ += found - seen
            seen |= found
        if target not in seen:
            raise AmbiguousError(f"{name} jumps to {target}, which may or may not have started")


def _value_of(finals: dict[str, object]) -> object:
    return next(iter(finals.values())) if len(finals) == 1 else finals


def interpret(program: Program, orders: int = 4, seed: int = 0) -> Expected:
    """Say what a program must do.

    Raises:
        AmbiguousError: what it does depends on the order of independent tasks.
        TooLongError: it has too many executions.
    """
    first = Interpreter(program, random.Random(seed)).run()
    for number in range(1, orders):
        other = Interpreter(program, random.Random(seed + number)).run()
        if other != first:
            raise AmbiguousError("two orders of independent tasks differ")
    return first
