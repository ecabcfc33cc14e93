"""Questions that bodies ask the outside, and events that they wait for: open until one end is told, by whoever it was.

A question with a name belongs to the whole run and is found again by whoever stands at the same place (its owner):
another attempt, another life, another child of a parent that starts over. One without is kept among the steps of its
instance, and lives as long as these.
"""

from __future__ import annotations

from typing import Any

from ..errors import InvalidTransitionError
from .commands import DropTimer, Expire, Publish, Reply, SetTimer, Tell
from .events import Answered, Asked, Received, Suspended
from .jumps import Jumps
from .question import Question
from .state import Instance


class Questions(Jumps):
    """Opens questions and ends them."""

    def take_question(self, instance: Instance, event: Asked) -> None:
        """Open a question, or open it again; an event that has come already ends it at once."""
        question, state = event.question, self.state
        question.key = instance.key
        if question.is_named:
            state.named[question.slot] = question
        else:
            if instance.steps is None:
                instance.steps = {}
            instance.steps[question.slot] = question
        state.asked[question.id] = question
        if self.observed:
            self.out.append(Tell("waiting", instance.id, instance.scope, instance, _wait_of(question)))
        if event.delay is not None:
            token = ("question", question.id)
            state.timers[token] = question
            self.out.append(SetTimer(token, event.delay))
        waiting = state.letters.get(question.topic) if question.topic is not None else None
        if waiting:
            self._end(question, "answered", waiting.pop(0))
            if not waiting and question.topic is not None:
                del state.letters[question.topic]
            return
        self.out.append(Publish(question))

    def expire(self, question: Question) -> None:
        """Ask the outside to end a question whose time is over; it may have been answered at this very moment.

        The timer is kept until the end is told: should the process die before, it is due again.
        """
        self.state.timers["question", question.id] = question
        self.out.append(Expire(question))

    def answered(self, event: Answered) -> None:
        """End a question."""
        question = self.state.asked.get(event.question_id)
        if question is None:
            message = f"there is no open question {event.question_id} to be {event.kind}"
            raise InvalidTransitionError(message)
        self._end(question, event.kind, event.value)

    def received(self, event: Received) -> None:
        """Give an event to everybody who waits for it; with nobody waiting it is kept for who comes first."""
        state = self.state
        if event.letter is not None:
            state.taken_letters.add(event.letter)
        waiting = [question for question in state.asked.values() if question.topic == event.topic]
        for question in waiting:
            self._end(question, "answered", event.payload)
        if not waiting:
            state.letters.setdefault(event.topic, []).append(event.payload)

    def suspended(self, instance: Instance, event: Suspended) -> None:
        """Note that a body stopped for want of an answer: the question is open again, for whoever resumes the run."""
        question = self.state.question_of(instance, event.question_id)
        if question is not None:
            question.kind = "suspended"
            self.out.append(Publish(question))

    def _end(self, question: Question, kind: str, value: Any) -> None:
        """Take a question out of the open ones, and tell whoever waits."""
        state = self.state
        del state.asked[question.id]
        token = ("question", question.id)
        if state.timers.pop(token, None) is not None:
            self.out.append(DropTimer(token))
        question.kind, question.value = kind, value
        instance = state.live.get(question.key)
        if self.noticed and instance is not None:
            if question.about is not None:
                self.out.append(Tell("answered", instance.id, instance.scope, instance, question))
            self.out.append(Tell("resumed", instance.id, instance.scope, instance, (*_wait_of(question), None)))
        self.out.append(Reply(question))


def _wait_of(question: Question) -> tuple[str, str]:
    """Say what somebody waits for who has asked a question."""
    if question.topic is not None:
        return "event", question.topic
    return "person", str(question.slot) if question.is_named else question.id
