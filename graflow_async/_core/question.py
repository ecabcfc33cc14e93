"""Something that a body waits for from outside, as plain data."""

from __future__ import annotations

from typing import Any


class Question:
    """Something that a body waits for from outside: a person's answer, or an event.

    Attributes:
        id: its address, unique everywhere.
        slot: what it is found by: its name, or (what, ordinal) within its instance.
        is_named: the slot is a name, unique in the run.
        owner: where in the run it is asked, in words; the same in every attempt and every life.
        topic: the event that is waited for; None for a question to a person.
        about: opaque to the machine: the question itself; None for an event.
        again: it had expired and is asked again.
        attempt: of the asking instance.
        key: of the asking instance.
        kind: how it ended: "answered", "expired", "cancelled", "withdrawn" (nobody wants to know any more), or
            "suspended" (expired, and its body stopped because of it); empty while it is open.
        value: the answer, or what the event carried; or why it was cancelled.
        is_told: its end was told to the body that now lives.
    """

    __slots__ = (
        "about",
        "again",
        "attempt",
        "id",
        "is_named",
        "is_told",
        "key",
        "kind",
        "owner",
        "slot",
        "topic",
        "value",
    )

    def __init__(
        self,
        question_id: str,
        slot: Any,
        owner: str,
        about: Any,
        *,
        is_named: bool = False,
        topic: str | None = None,
        again: bool = False,
        attempt: int = 1,
    ) -> None:
        """Be open."""
        self.id = question_id
        self.slot = slot
        self.is_named = is_named
        self.owner = owner
        self.topic = topic
        self.about = about
        self.again = again
        self.attempt = attempt
        self.key = -1
        self.kind = ""
        self.value: Any = None
        self.is_told = False
