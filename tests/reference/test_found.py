"""Small programs on which a run and the interpreter once disagreed, or easily could; each is one story."""

from __future__ import annotations

import pytest

from tests.reference.build import perform
from tests.reference.comparison import differences, report
from tests.reference.interpreter import interpret
from tests.reference.program import FOREVER, Expr, Policy, Program, Ref, Script, Turn, Wish, par, seq


def once(task_id: str, target: str, **options: bool) -> dict[str, Script]:
    """Write a script that wishes for something in the first turn only."""
    first = Turn(f"v:{task_id}:1", (Wish(Ref(target), **options),))
    return {task_id: Script((first, Turn(f"v:{task_id}")))}


def adds(task_id: str, *targets: str | Expr) -> dict[str, Script]:
    wishes = tuple(Wish(target) for target in seq(*targets).parts)
    return {task_id: Script((Turn(f"v:{task_id}", wishes),))}


def fails(task_id: str, pauses: int = 1) -> dict[str, Script]:
    return {task_id: Script((Turn("", failing=FOREVER),), pauses=pauses)}


def slow(*task_ids: str) -> dict[str, Script]:
    return {task_id: Script((Turn(f"v:{task_id}"),), pauses=6) for task_id in task_ids}


INNER = par("inner", "i")
LOOPED = par("g", "a", "b")
JUMPING = par("jumping", "m")
LEAVES = {"check": Script((Turn("on"), Turn("off", (Wish(Ref("out"), goto=True),))))}
TOLERANT = Policy("best_effort")

FOUND = {
    "a jump in a group inside a branch that is walked again": Program(
        (seq(par("outer", seq("o", INNER)), "end"),), once("o", "o", goto=True) | once("i", "new", goto=True)
    ),
    "a branch that is walked again and then left for a drawn task": Program(
        (seq(par("outer", seq("o", "p")), "end", "last"), seq("t", "end")),
        once("o", "o", goto=True) | once("p", "t", goto=True),
    ),
    "a member's jump to a task that releases a group with a jump": Program(
        (seq("t", JUMPING), par("outer", "j")),
        once("j", "t", goto=True) | {"m": Script((Turn("v:m", (Wish(Ref("new"), goto=True),)),))},
    ),
    "a loop back to a group of two": Program((seq("s", LOOPED, "check"), seq("check", LOOPED)), LEAVES),
    "a loop back to a task before a group of two": Program((seq("s", LOOPED, "check", "s"),), LEAVES, start="s"),
    "a cancelled inner group does not go on": Program(
        (par("outer", seq(par("inner", "fast", "slow", policy=TOLERANT), "rest"), "bad"),), fails("bad") | slow("slow")
    ),
    "a cancelled strict group does not go on, and the outer one does": Program(
        (
            seq(
                par("outermost", par("outer", seq(par("inner", "fast", "slow"), "rest"), "bad"), policy=TOLERANT),
                "end",
            ),
        ),
        fails("bad") | slow("slow"),
    ),
    "a join in a pass that is cancelled does not run": Program(
        (seq("x", "p", "q", "r"), seq("p", "r")), adds("x", "bad", "p") | fails("bad", pauses=3) | slow("q")
    ),
    "a jump back to before the start runs a join once": Program(
        (seq("t", "u", "join"), seq("t", "join")), once("join", "t", goto=True), start="u"
    ),
    "a jump back to a task that was jumped over runs a join once": Program(
        (seq("s", "t", "u", "join"), seq("t", "join")), once("s", "u", goto=True) | once("u", "t", goto=True)
    ),
    "a jump back from the second pass to before it": Program(
        (seq("s", "v", "u", "join"), seq("v", "join")), once("v", "v", goto=True) | once("u", "s", goto=True)
    ),
    "two tasks jump to one handler": Program(
        (seq("s", "a", "x"), seq("s", "b", "x"), Ref("handler")),
        once("a", "handler", goto=True) | once("b", "handler", goto=True),
    ),
    "the same child wished twice, from a task that is reached twice": Program(
        (seq("s", "a", "b"),), adds("a", "new", "new") | once("s", "a")
    ),
}


@pytest.mark.parametrize("title", FOUND)
async def test_a_story_that_was_told_differently(title: str) -> None:
    """What was once understood in two ways stays settled."""
    program = FOUND[title]
    expected = interpret(program)
    trial = await perform(program)
    found = differences(program, expected, trial)
    assert not found, report(title, program, expected, trial, found)
