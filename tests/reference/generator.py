"""Seeded random programs of growing difficulty whose outcome does not depend on the order of independent tasks.

A program is drawn first (a random DAG, some vertices of which are groups), then given behaviour by one pass per
feature. What comes out may still ask a question that only a race can answer; such a program is thrown away and the
next one from the same seed is tried, so that a seed always names the same program.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tests.reference.drawing import Drawing
from tests.reference.expected import Expected
from tests.reference.interpreter import interpret
from tests.reference.outcome import AmbiguousError, TooLongError
from tests.reference.program import (
    FOREVER,
    Element,
    Expr,
    Par,
    Policy,
    Program,
    Ref,
    Script,
    Seq,
    Stop,
    Turn,
    Wish,
    elements,
    task_ids,
)

Profile = Literal["dag", "groups", "dynamic", "jumps", "failures", "stops", "all"]
PROFILES: tuple[Profile, ...] = get_args(Profile)


@dataclass(frozen=True)
class Features:
    """How likely each feature is, per place where it could be."""

    sizes: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    groups: float = 0.0
    children: float = 0.0
    iteration: float = 0.0
    jumps: float = 0.0
    loops: float = 0.0
    retries: float = 0.0
    failures: float = 0.0
    stops: float = 0.0


FEATURES: dict[Profile, Features] = {
    "dag": Features(sizes=(1, 3, 5, 7, 9, 11, 14)),
    "groups": Features(groups=0.45),
    "dynamic": Features(groups=0.2, children=0.35, iteration=0.2),
    "jumps": Features(groups=0.2, children=0.08, jumps=0.35, loops=0.7, sizes=(2, 3, 4, 5, 6, 7, 8)),
    "failures": Features(groups=0.4, children=0.15, retries=0.25, failures=0.2),
    "stops": Features(groups=0.25, children=0.2, iteration=0.1, stops=0.8),
    "all": Features(
        groups=0.3, children=0.15, iteration=0.1, jumps=0.15, loops=0.3, retries=0.15, failures=0.06, stops=0.2
    ),
}


def random_program(seed: int, profile: Profile) -> tuple[Program, Expected]:
    """Make up the program of a seed, and say what it must do."""
    rng = random.Random(f"{profile}-{seed}")
    while True:
        program = Maker(rng, FEATURES[profile]).make()
        try:
            if program.start or Drawing(program.drawn).roots():
                return program, interpret(program, seed=seed)
        except (AmbiguousError, TooLongError):
            continue


class Maker:
    """Makes one program; whether it means one thing only is for the interpreter to say."""

    def __init__(self, rng: random.Random, features: Features) -> None:
        """Start with an empty page."""
        self.rng = rng
        self.features = features
        self.names = 0
        self.scripts: dict[str, Script] = {}
        self.handlers: list[str] = []
        self.branches: dict[str, tuple[str, list[Element]]] = {}
        self.taken: set[str] = set()
        self.judged: dict[str, Par] = {}

    def make(self) -> Program:
        """Draw the graph, then add one feature after the other."""
        vertices = [self._vertex() for _ in range(self.rng.choice(self.features.sizes))]
        self.drawn = self._draw(vertices)
        if self.rng.random() < 0.4 or self._chance(self.features.jumps):
            self.handlers = [self._fresh("h") for _ in range(self.rng.randint(1, 2))]
            self.drawn += [Ref(name) for name in self.handlers]
        self._note_branches()
        roots = [name for name in self.drawing.roots() if isinstance(self.drawing.nodes[name], Ref)]
        self._add_loops()
        self._add_jumps()
        self._add_iteration()
        self._add_children()
        self._add_failures()
        self._add_stops()
        must_be_told = not self.drawing.roots()
        starts = roots if must_be_told else self._top()
        is_started_inside = bool(starts) and (must_be_told or self._chance(0.15))
        return Program(
            tuple(self.drawn),
            {name: self._dress(name) for name in self._all_ids()},
            start=self.rng.choice(starts) if is_started_inside else None,
            max_concurrency=self.rng.choice([None, None, None, 1, 2, 3]),
        )

    # ------------------------------------------------------------------ drawing

    def _chance(self, likelihood: float) -> bool:
        return self.rng.random() < likelihood

    def _fresh(self, letter: str) -> str:
        self.names += 1
        return f"{letter}{self.names}"

    def _vertex(self) -> Element:
        return self._group("t", 1) if self._chance(self.features.groups) else Ref(self._fresh("t"))

    def _group(self, letter: str, depth: int) -> Par:
        members = tuple(self._branch(letter, depth) for _ in range(self.rng.randint(1, 4)))
        return Par(self._fresh("g"), members)

    def _branch(self, letter: str, depth: int) -> Expr:
        """Draw a member of a group: mostly a task, sometimes a chain or another group."""
        choice = self.rng.random()
        if choice < 0.6:
            return Ref(self._fresh(letter))
        if choice < 0.75 and depth < 3:
            return self._group(letter, depth + 1)
        parts = [self._part(letter, depth) for _ in range(self.rng.randint(2, 3))]
        return Seq(tuple(parts))

    def _part(self, letter: str, depth: int) -> Element:
        if depth < 3 and self._chance(0.15):
            return self._group(letter, depth + 1)
        return Ref(self._fresh(letter))

    def _draw(self, vertices: list[Element]) -> list[Expr]:
        """Connect vertices forwards at random and write the edges down as chains and single arrows."""
        density = self.rng.choice([0.25, 0.5, 0.9])
        edges = [
            (i, j)
            for i in range(len(vertices))
            for j in range(i + 1, len(vertices))
            if self._chance(density / (1 + 0.3 * (j - i - 1)))
        ]
        self.rng.shuffle(edges)
        statements: list[list[int]] = []
        for source, target in edges:
            longer = next((row for row in statements if row[-1] == source and self._chance(0.6)), None)
            if longer:
                longer.append(target)
            else:
                statements.append([source, target])
        met = {index for row in statements for index in row}
        statements += [[index] for index in range(len(vertices)) if index not in met]
        self.rng.shuffle(statements)
        return [Seq(tuple(vertices[i] for i in row)) if len(row) > 1 else vertices[row[0]] for row in statements]

    @property
    def drawing(self) -> Drawing:
        """The graph as drawn so far."""
        return Drawing(tuple(self.drawn))

    def _note_branches(self) -> None:
        """Remember for each task in a drawn group its outermost group and the branch it stands in."""
        for name, node in self.drawing.nodes.items():
            if isinstance(node, Par):
                self._note_group(name, node)

    def _note_group(self, outermost: str, group: Par) -> None:
        for member in group.members:
            branch = elements(member)
            for part in branch:
                if isinstance(part, Ref):
                    self.branches[part.id] = (outermost, branch)
                else:
                    self._note_group(outermost, part)

    def _top(self) -> list[str]:
        return [name for name, node in self.drawing.nodes.items() if isinstance(node, Ref)]

    def _drawn_ids(self) -> list[str]:
        return [*self._top(), *self.branches]

    def _all_ids(self) -> list[str]:
        """List every task that can run: drawn ones and those that some turn adds."""
        found = list(dict.fromkeys(self._drawn_ids()))
        for name in found:
            for turn in self._script(name).turns:
                for wish in turn.wishes:
                    found += [new for new in task_ids(wish.target) if new not in found]
        return found

    # ------------------------------------------------------------------ behaviour

    def _script(self, name: str) -> Script:
        return self.scripts.get(name) or Script((Turn(f"v:{name}"),))

    def _update(self, name: str, *turns: Turn, **options: int) -> None:
        self.scripts[name] = replace(self._script(name), turns=turns, **options)

    def _dress(self, name: str) -> Script:
        """Decide what does not matter to the outcome: how often a body suspends, and whether it is a plain function."""
        pauses = self.rng.choice([0, 0, 1, 1, 2, 4])
        return replace(self._script(name), pauses=pauses, inline=not pauses and self._chance(0.4))

    def _new(self) -> Expr:
        """Make up an expression of new tasks."""
        choice = self.rng.random()
        if choice < 0.55:
            return Ref(self._fresh("n"))
        if choice < 0.8:
            return Seq(tuple(self._part("n", 2) for _ in range(self.rng.randint(2, 3))))
        return self._group("n", 2) if choice < 0.97 else Par(self._fresh("g"), ())

    def _add_loops(self) -> None:
        """Draw edges back, each left by its source after some turns through a jump elsewhere."""
        if not self._chance(self.features.loops):
            return
        for _ in range(self.rng.randint(1, 2)):
            drawing = self.drawing
            sources = [name for name in self._top() if name not in self.taken and name not in self.handlers]
            pairs = [(s, t) for s in sources for t in drawing.nodes if t != s and s in drawing.after(t)]
            pairs = [(s, t) for s, t in pairs if t not in drawing.edges[s]]
            if not pairs:
                return
            source, target = self.rng.choice(pairs)
            self.drawn.append(Seq((drawing.nodes[source], drawing.nodes[target])))
            self.taken.add(source)
            rounds = self.rng.randint(1, 2)
            exits = [Ref(t) for t in drawing.edges[source] if isinstance(drawing.nodes[t], Ref)]
            exits += [Ref(name) for name in self.handlers] + [self._new()]
            leave = Wish(self.rng.choice(exits), goto=True)
            stay = [Turn(f"v:{source}:{n}") for n in range(rounds)]
            if self._chance(0.3):
                stay = [replace(turn, wishes=(Wish(Ref(target), goto=True),)) for turn in stay if target in self._top()]
            self._update(source, *stay, Turn(f"v:{source}:last", (leave,)))

    def _add_jumps(self) -> None:
        for name in self._drawn_ids():
            if name not in self.taken and name not in self.handlers and self._chance(self.features.jumps):
                self.taken.add(name)
                targets = self._jump_targets(name)
                jump = Turn(f"v:{name}:jump", tuple(Wish(target, goto=True) for target in targets))
                if self._chance(0.2):
                    jump = replace(jump, wishes=(*jump.wishes, Wish(self._new())))
                rest = Turn(f"v:{name}")
                is_backwards = any(isinstance(t, Ref) and not self._is_ahead(name, t.id) for t in targets)
                jumps = [jump] * self.rng.choice([1, 1, 2])
                self._update(name, *([*jumps, rest] if is_backwards or self._chance(0.2) else [jump]))

    def _is_ahead(self, name: str, target: str) -> bool:
        """Tell whether a jump there cannot come back here."""
        drawing = self.drawing
        if target in self.handlers or target not in self._drawn_ids():
            return True
        here = self.branches[name][0] if name in self.branches else name
        if target in self.branches:
            names = [str(part) for part in self.branches[name][1]]
            return names.index(target) > names.index(name)
        return target != here and here not in drawing.after(target)

    def _jump_targets(self, name: str) -> list[Expr]:
        """Choose where to jump: one target, now and then two."""
        choices: list[Expr] = [self._new(), *(Ref(handler) for handler in self.handlers)]
        if name in self.branches:
            parts = [part for part in self.branches[name][1] if isinstance(part, Ref)]
            others = [Ref(top) for top in self._top()]
            choices += [*parts, *parts, self.rng.choice(others or parts)]
            return [self.rng.choice(choices)]
        drawing = self.drawing
        ahead = [Ref(t) for t in drawing.after(name) if isinstance(drawing.nodes[t], Ref)]
        behind = [Ref(t) for t in self._top() if name in drawing.after(t)]
        for group in (ahead, behind):
            group.sort(key=str)
            choices += self.rng.sample(group, min(2, len(group)))
        choices.append(Ref(name))
        chosen = self.rng.sample(choices, 2 if self._chance(0.2) else 1)
        return list(dict.fromkeys(chosen))

    def _add_iteration(self) -> None:
        for name in self._all_ids():
            if name not in self.taken and self._chance(self.features.iteration):
                self.taken.add(name)
                rounds = self.rng.randint(1, 3)
                again = [Turn(f"v:{name}:{n}", iterate=True) for n in range(rounds)]
                self._update(name, *again, Turn(f"v:{name}:last"))

    def _add_children(self) -> None:
        """Let some turns add tasks; new tasks may add further ones, a few levels deep."""
        names = [(name, 0) for name in self._drawn_ids()]
        for name, depth in names:
            turns = list(self._script(name).turns)
            for number, turn in enumerate(turns):
                if turn.iterate or depth < 3:
                    wishes = self._children(name) if self._chance(self.features.children / (1 + depth)) else []
                    turns[number] = replace(turn, wishes=(*turn.wishes, *wishes))
                    new = [task_id for wish in wishes for task_id in task_ids(wish.target)]
                    names += [(task_id, depth + 1) for task_id in new if task_id not in self._drawn_ids()]
            self._update(name, *turns)

    def _children(self, name: str) -> list[Wish]:
        wishes: list[Wish] = []
        for _ in range(self.rng.choice([1, 1, 2, 3])):
            target = self._new()
            ahead = [top for top in self._top() if top != name and name in self._top() and self._is_ahead(name, top)]
            if ahead and self._chance(0.25):
                target = Ref(self.rng.choice(ahead))
            wishes.append(Wish(target, wait=not self._chance(0.12)))
            if wishes[-1].wait and self._chance(0.12):
                wishes.append(wishes[-1])
        leaves = [wish.target.id for wish in wishes if isinstance(wish.target, Ref)]
        for leaf in leaves:
            if leaf not in self._drawn_ids() and self._chance(self.features.jumps / 2):
                self._update(leaf, Turn(f"v:{leaf}", (Wish(self._new(), goto=True),)))
        return wishes

    def _add_failures(self) -> None:
        if self.features.retries:
            self.drawn = [self._with_policies(expr) for expr in self.drawn]
            for name in list(self.scripts):
                self.scripts[name] = self._with_policies_in(self.scripts[name])
        for name in self._all_ids():
            script = self._script(name)
            if self._chance(self.features.retries):
                budget = self.rng.randint(1, 3)
                turns = [replace(turn, failing=self.rng.randint(0, budget)) for turn in script.turns]
                self._update(name, *turns, max_retries=budget)
            elif self._chance(self.features.failures):
                position = self.rng.randrange(len(script.turns))
                turns = list(script.turns)
                turns[position] = replace(turns[position], failing=FOREVER)
                self._update(name, *turns, max_retries=self.rng.choice([0, 0, 1, 2]))
            elif name not in self.taken and not script.turns[0].wishes and self._chance(self.features.failures / 6):
                self._update(name, Turn(f"v:{name}", iterate=True), max_cycles=self.rng.randint(1, 3))

    def _with_policies_in(self, script: Script) -> Script:
        """Give the groups that a script adds policies too."""
        turns = tuple(
            replace(turn, wishes=tuple(replace(w, target=self._with_policies(w.target)) for w in turn.wishes))
            for turn in script.turns
        )
        return replace(script, turns=turns)

    def _with_policies(self, expr: Expr) -> Expr:
        if isinstance(expr, Ref):
            return expr
        if isinstance(expr, Seq):
            return Seq(tuple(self._with_policies(part) for part in expr.parts))
        if expr.name in self.judged:
            return self.judged[expr.name]
        members = tuple(self._with_policies(member) for member in expr.members)
        keys = [str(elements(m)[-1]) for m in members if isinstance(elements(m)[-1], Ref)]
        policy = self._policy(len(members), keys)
        if policy.kind == "first" or policy.cancel_rest:
            # a race has one certain outcome only if exactly as many members can win as are wanted
            for member in members[policy.need or 1 :]:
                loser = task_ids(member)[0]
                self._update(loser, replace(self._script(loser).turns[0], failing=FOREVER))
        self.judged[expr.name] = Par(expr.name, members, policy)
        return self.judged[expr.name]

    def _policy(self, size: int, keys: list[str]) -> Policy:
        choice = self.rng.random()
        if choice < 0.35 or not size:
            return Policy()
        if choice < 0.6:
            return Policy("best_effort")
        if choice < 0.75:
            return Policy("at_least", self.rng.randint(1, size), cancel_rest=self._chance(0.4))
        if choice < 0.9 and keys:
            return Policy("critical", names=tuple(self.rng.sample(keys, self.rng.randint(1, len(keys)))))
        return Policy("first")

    def _add_stops(self) -> None:
        if not self._chance(self.features.stops):
            return
        kinds: list[Stop] = ["terminate", "terminate_with", "cancel"]
        for name in self.rng.sample(self._all_ids(), min(self.rng.choice([1, 1, 2]), len(self._all_ids()))):
            turns = list(self._script(name).turns)
            position = self.rng.randrange(len(turns))
            turns[position] = replace(turns[position], stop=self.rng.choice(kinds))
            self._update(name, *turns)
