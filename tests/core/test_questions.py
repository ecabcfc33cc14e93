"""Questions in the machine: which fact fits when, what follows from it, and that told again it comes out the same."""

from __future__ import annotations

import pickle
import random
import sys
from copy import deepcopy
from typing import Any

import pytest

from graflow_async._core.commands import DropTimer, Expire, Publish, Reply, SetTimer, Tell
from graflow_async._core.events import (
    Answered,
    Asked,
    CancelRequested,
    Completed,
    Failed,
    Received,
    StopRequested,
    Suspended,
    TimerFired,
)
from graflow_async._core.invariants import check
from graflow_async._core.question import Question
from graflow_async._core.replay import digest, replay
from graflow_async._core.state import Status
from graflow_async._core.wishes import SAME
from graflow_async.builder import build_graph
from graflow_async.errors import InvalidTransitionError
from tests.core.driver import Driver as PlainDriver
from tests.core.driver import tasks
from tests.core.snapshot import picture
from tests.core.test_table import BODY, SCENES


class Driver(PlainDriver):
    """A driver that keeps what the machine says about questions.

    Attributes:
        said: commands about questions, in order.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.said: list[Any] = []

    def _perform(self, command: Any) -> None:
        if isinstance(command, (Publish, Reply, Expire)):
            self.said.append(command)
        else:
            super()._perform(command)


def running(names: str = "a", **options: Any) -> Driver:
    driver = Driver(build_graph(tasks(names)), **options)
    driver.start()
    return driver


def asking(driver: Driver, name: str, slot: Any = "q", *, delay: float | None = None, **more: Any) -> Question:
    """Let a body ask; give the question."""
    number = len(driver.machine.history)
    more = {"is_named": isinstance(slot, str) and "topic" not in more, "about": f"about {slot}"} | more
    about = more.pop("about")
    question = Question(f"id{number}", slot, name, None if "topic" in more else about, **more)
    driver.submit(Asked(driver.body(name).key, question, delay))
    return question


def kinds(driver: Driver) -> list[str]:
    """Give the types of what was said, and forget it."""
    found = [type(command).__name__ for command in driver.said]
    driver.said.clear()
    return found


# -- which fact fits when -----------------------------------------------------------------------------------------

FACTS = {
    "Asked": lambda key: Asked(key, Question("id", "q", "a", "about", is_named=True)),
    "Suspended": lambda key: Suspended(key, "id"),
}
ALL = [(status, name) for status in SCENES for name in FACTS]


@pytest.mark.parametrize(("status", "name"), [(s, n) for s, n in ALL if s in BODY], ids=str)
def test_a_living_body_asks(status, name):
    """A body that runs, waits or gets its slots back may ask, and may stop for want of an answer."""
    driver, key = SCENES[status]()
    event = FACTS[name](key)
    driver.machine.apply(event)
    check(driver.state)
    assert driver.machine.story(key)[-1] is event


@pytest.mark.parametrize(("status", "name"), [(s, n) for s, n in ALL if s not in BODY], ids=str)
def test_nobody_else_does(status, name):
    """Whatever has no body cannot ask: the fact is refused and nothing changes."""
    driver, key = SCENES[status]()
    shallow, deep, told = digest(driver.state), picture(driver.state), list(driver.machine.history)
    with pytest.raises(InvalidTransitionError, match=f"{name} does not fit instance {key}"):
        driver.machine.apply(FACTS[name](key))
    assert (digest(driver.state), picture(driver.state)) == (shallow, deep)
    assert driver.machine.history == told


@pytest.mark.parametrize("kind", ["answered", "expired", "cancelled", "withdrawn"])
def test_a_question_ends_once(kind):
    """The first end counts; a second one, or one of a question that nobody asked, is refused and changes nothing."""
    driver = running()
    question = asking(driver, "a")
    driver.submit(Answered(question.id, kind, "value"))
    assert (question.kind, question.value) == (kind, "value")
    assert driver.state.asked == {}
    deep = picture(driver.state)
    for stranger in (question.id, "nobody's"):
        with pytest.raises(InvalidTransitionError, match="no open question"):
            driver.machine.apply(Answered(stranger, "answered", 1))
    assert picture(driver.state) == deep
    assert kinds(driver) == ["Publish", "Reply"]


# -- what follows -------------------------------------------------------------------------------------------------


def test_named_and_unnamed_are_kept_where_they_belong():
    """A name belongs to the run and outlives its body; without one the question lives with the turn of its body."""
    driver = running()
    named, unnamed = asking(driver, "a"), asking(driver, "a", ("question", 1))
    instance = driver.body("a")
    assert driver.state.named == {"q": named}
    assert instance.steps == {("question", 1): unnamed}
    assert driver.state.question_of(instance, named.id) is named
    assert driver.state.question_of(instance, unnamed.id) is unnamed
    for question in (named, unnamed):
        driver.submit(Answered(question.id, "answered", 1))
    driver.complete("a", again=SAME)
    assert driver.body("a").steps is None
    assert driver.state.named == {"q": named}


def test_timers_of_questions():
    """A deadline sets a timer; due, it only asks the outside, which tells the end; an answer drops it."""
    driver = running()
    first = asking(driver, "a", "one", delay=5.0)
    assert driver.timers == {("question", first.id): 5.0}
    driver.submit(Answered(first.id, "answered", 1))
    assert driver.timers == {}
    second = asking(driver, "a", "two", delay=5.0)
    del driver.timers["question", second.id]
    driver.submit(TimerFired(("question", second.id)))
    assert second.kind == ""
    assert kinds(driver) == ["Publish", "Reply", "Publish", "Expire"]
    assert ("question", second.id) in driver.state.timers  # due again, should the process die now
    driver.timers["question", second.id] = 0.0
    driver.submit(Answered(second.id, "answered", "at that very moment"))
    assert driver.state.timers == {}
    assert second.kind == "answered"


def test_a_timer_of_an_ended_question_is_no_news():
    """A timer that fires when its question has ended changes nothing."""
    driver = running()
    question = asking(driver, "a", delay=1.0)
    driver.submit(Answered(question.id, "answered", 1))
    deep = picture(driver.state)
    assert driver.machine.apply(TimerFired(("question", question.id))) == []
    assert picture(driver.state) == deep


def test_events_go_to_all_who_wait_or_are_kept():
    """Everybody who waits has the event; with nobody waiting it is kept, the oldest first, for who comes next."""
    driver = running("a b c")
    first, second = asking(driver, "a", ("event", 1), topic="t"), asking(driver, "b", ("event", 1), topic="t")
    other = asking(driver, "c", ("event", 1), topic="other")
    driver.submit(Received("t", 1))
    assert (first.value, second.value, other.kind) == (1, 1, "")
    driver.submit(Received("t", 2))
    driver.submit(Received("t", 3, "letter"))
    assert driver.state.letters == {"t": [2, 3]}
    assert driver.state.taken_letters == {"letter"}
    kinds(driver)
    third, fourth = asking(driver, "a", ("event", 2), topic="t"), asking(driver, "b", ("event", 2), topic="t")
    assert (third.value, fourth.value) == (2, 3)
    assert driver.state.letters == {}
    assert kinds(driver) == ["Reply", "Reply"]
    assert set(driver.state.asked) == {other.id}


def test_a_kept_event_leaves_no_timer():
    """Who waits for an event that has come already has it at once, and no timer stays."""
    driver = running()
    driver.submit(Received("t", 1))
    commands = driver.machine.apply(
        Asked(driver.body("a").key, Question("id", ("event", 1), "a", None, topic="t"), 5.0)
    )
    assert [type(c) for c in commands] == [SetTimer, DropTimer, Reply]
    assert driver.state.timers == {}


def test_a_suspended_body():
    """A body that stopped because of an expired question runs on in the records, and its question says why."""
    driver = running()
    question = asking(driver, "a", delay=1.0)
    driver.submit(Answered(question.id, "expired"))
    driver.submit(Suspended(driver.body("a").key, question.id))
    assert question.kind == "suspended"
    assert driver.state.asked == {}
    assert kinds(driver) == ["Publish", "Reply", "Publish"]  # the last one is for whoever resumes the run
    assert driver.body("a").status is Status.RUNNING
    again = Question(question.id, "q", "a", "about q", is_named=True, again=True)
    driver.submit(Asked(driver.body("a").key, again, None))
    assert driver.state.asked == {question.id: again}
    assert driver.state.named == {"q": again}


def test_listeners_hear_of_questions_only():
    """Ends of questions to people are told; waits for events are not."""
    driver = running()
    driver.machine.observed = driver.machine.noticed = True
    question = asking(driver, "a")
    asking(driver, "a", ("event", 1), topic="t")
    driver.submit(Received("t", 1))
    driver.submit(Answered(question.id, "cancelled", "why"))
    told = [(t.kind, t.data) for t in driver.told_of if isinstance(t, Tell) and t.kind not in ("waiting", "resumed")]
    assert told == [("answered", question)]


@pytest.mark.parametrize("how", ["completed", "failed", "stopped", "cancelled"])
def test_the_end_of_a_run_with_open_questions(how):
    """A run may end while a question is open: nothing hangs on it, and it may still be told how that ended."""
    driver = running("a b")
    question = asking(driver, "a", delay=1.0)
    key = driver.body("a").key
    if how == "completed":
        driver.complete("a")
        driver.complete("b")
    elif how == "failed":
        driver.submit(Failed(key, ValueError()))
        driver.submit(Completed(driver.body("b").key, 1)) if "b" in driver.names else None
    elif how == "stopped":
        driver.submit(StopRequested("cancelled", ValueError()))
        driver.submit(Answered(question.id, "withdrawn"))
        for name in list(driver.names):
            driver.complete(name)
    else:
        driver.submit(CancelRequested(key))
        driver.complete("a")
        driver.complete("b")
    assert len(driver.finishes) == 1
    check(driver.state)


# -- told again ---------------------------------------------------------------------------------------------------

STEPS = 60


def random_story(seed: int) -> Driver:
    """Let three bodies ask, wait, stop and end, in random order, and people answer or not."""
    rng = random.Random(seed)
    driver = running("a b c", limits={"few": 1})
    for count in range(1, STEPS + 1):
        open_ones = list(driver.state.asked.values())
        choice = rng.randrange(7)
        name = rng.choice(driver.names)
        delay = rng.choice([None, 1.0])
        if choice <= 1:
            asking(driver, name, rng.choice([f"name {count}", ("question", count)]), delay=delay)
        elif choice == 2:
            asking(driver, name, ("event", count), topic=rng.choice("tu"), delay=delay)
        elif choice == 3:
            driver.submit(Received(rng.choice("tu"), count, rng.choice([None, f"letter {count}"])))
        elif choice == 4 and driver.timers:
            token = rng.choice(list(driver.timers))
            del driver.timers[token]
            driver.submit(TimerFired(token))
            driver.timers[token] = 0.0
        elif choice == 5 and open_ones:
            question = rng.choice(open_ones)
            driver.submit(Answered(question.id, rng.choice(["answered", "expired", "cancelled", "withdrawn"]), count))
        elif choice == 6 and rng.random() < 0.3:
            driver.complete(name, again=SAME)
        check(driver.state)
    return driver


def as_recorded(driver: Driver, length: int) -> list[Any]:
    """Give the first facts with questions as they were when they were asked, as a journal has them."""
    facts: list[Any] = []
    for event in driver.machine.history[:length]:
        if isinstance(event, Asked):
            q = event.question
            fresh = Question(q.id, q.slot, q.owner, q.about, is_named=q.is_named, topic=q.topic, again=q.again)
            facts.append(Asked(event.key, fresh, event.delay))
        else:
            facts.append(event)
    return facts


def questions_of(state: Any) -> Any:
    """Picture everything that is known of questions."""
    every = [*state.named.values(), *(q for i in state.live.values() for q in (i.steps or {}).values())]
    ends = sorted((q.id, q.kind, q.value, q.key) for q in every)
    return ends, sorted(state.asked), state.letters, state.taken_letters, sorted(map(str, state.timers))


@pytest.mark.parametrize("seed", range(20))
def test_told_again_it_is_the_same(seed):
    """Any prefix of the facts gives the state of that moment; a pickled copy of it goes on in the same way."""
    sys.stdout.write(f"seed {seed}\n")
    driver = random_story(seed)
    state = driver.state
    again = replay(as_recorded(driver, len(driver.machine.history)), state)
    assert digest(again) == digest(state)
    assert questions_of(again) == questions_of(state)
    half = replay(as_recorded(driver, len(driver.machine.history) // 2), state)
    copied = deepcopy(half.named), deepcopy(half.asked)
    named, asked = pickle.loads(pickle.dumps((half.named, half.asked)))
    for one, other in zip((named, asked), copied, strict=True):
        assert {k: (q.id, q.kind, q.value) for k, q in one.items()} == {
            k: (q.id, q.kind, q.value) for k, q in other.items()
        }
    assert all(asked[q.id] is q for q in named.values() if q.id in asked)


def test_the_same_facts_give_the_same_commands():
    """The machine is pure: two that are told one story say the same, in the same order."""

    def said(driver: Driver) -> list[str]:
        return [type(command).__name__ for command in driver.said]

    for seed in range(5):
        one, other = random_story(seed), random_story(seed)
        assert said(one) == said(other)
        assert digest(one.state) == digest(other.state)
