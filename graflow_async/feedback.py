"""Questions to people and their answers, as data; everything in them is JSON, so that any process can show them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


class FeedbackType(StrEnum):
    """What kind of answer a question asks for."""

    APPROVAL = "approval"
    TEXT = "text"
    SELECTION = "selection"
    MULTI_SELECTION = "multi_selection"
    CUSTOM = "custom"


class FeedbackState(StrEnum):
    """What has become of a question. The last three are final; an expired one may be opened again by its task."""

    PENDING = "pending"
    ANSWERED = "answered"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class FeedbackRequest:
    """A question.

    Attributes:
        id: its address, 32 hexadecimal digits; unique everywhere.
        request_id: its name, unique within its run.
        run_id, workflow, task_id: who asks.
        feedback_type: what kind of answer is wanted.
        prompt: the text to show.
        options: what can be chosen, for selections.
        schema: JSON schema of a custom answer; None for any JSON.
        metadata: more to show, as JSON.
        assignee: whom it is for, as the asking program names people.
        channel_key: where in the run's channel the answer will stand.
        created_at: seconds since the epoch.
        deadline: seconds since the epoch after which nobody waits any more; None without a timeout.
    """

    id: str
    request_id: str
    run_id: str
    task_id: str
    feedback_type: FeedbackType
    prompt: str
    created_at: float
    workflow: str = ""
    options: tuple[str, ...] | None = None
    schema: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    assignee: str | None = None
    channel_key: str | None = None
    deadline: float | None = None

    @property
    def revision(self) -> str:
        """A hash of what a person is shown, to tell whether it has changed."""
        shown = [self.feedback_type, self.prompt, self.options, self.schema, self.metadata]
        return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self) | {"feedback_type": str(self.feedback_type)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Make it from JSON.

        Raises:
            TypeError: something is missing, or too much.
            ValueError: there is no such type of feedback.
        """
        options = content.get("options")
        given: dict[str, Any] = {**content, "feedback_type": FeedbackType(content["feedback_type"])}
        given["options"] = None if options is None else tuple(options)
        return cls(**given)


@dataclass(frozen=True, slots=True)
class FeedbackResponse:
    """An answer; the field that fits the question's type is set, and `value` gives it.

    Attributes:
        request_id: name of the question.
        feedback_type: its type.
        approved, text, selected, selected_multiple, custom: the answer, by type.
        reason: why, if they said so.
        responded_by: who answered, as far as is known.
        responded_at: seconds since the epoch.
        is_default: nobody answered in time, and this is what the task had given for that case.
    """

    request_id: str
    feedback_type: FeedbackType
    responded_at: float
    approved: bool | None = None
    text: str | None = None
    selected: str | None = None
    selected_multiple: tuple[str, ...] | None = None
    custom: Any = None
    reason: str | None = None
    responded_by: str | None = None
    is_default: bool = False

    @property
    def value(self) -> Any:
        """The answer itself: a bool, a text, the chosen option, the list of them, or what the schema describes."""
        if self.feedback_type is FeedbackType.MULTI_SELECTION:
            return list(self.selected_multiple or ())
        return getattr(self, _FIELDS[self.feedback_type])

    def with_custom(self, value: Any) -> Self:
        """Give the same answer with another custom value (an object of the task's model in place of JSON)."""
        return replace(self, custom=value)

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self) | {"feedback_type": str(self.feedback_type)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Make it from JSON.

        Raises:
            TypeError: something is missing, or too much.
            ValueError: there is no such type of feedback.
        """
        chosen = content.get("selected_multiple")
        given: dict[str, Any] = {**content, "feedback_type": FeedbackType(content["feedback_type"])}
        given["selected_multiple"] = None if chosen is None else tuple(chosen)
        return cls(**given)


_FIELDS = {
    FeedbackType.APPROVAL: "approved",
    FeedbackType.TEXT: "text",
    FeedbackType.SELECTION: "selected",
    FeedbackType.MULTI_SELECTION: "selected_multiple",
    FeedbackType.CUSTOM: "custom",
}


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    """A question and what has become of it.

    Attributes:
        request: the question.
        state: what has become of it.
        response: the answer. One that came after the question had expired is kept here, too, for the run to find when
            it is resumed; `state` stays "expired" until then.
        settled_at: when it was settled, in seconds since the epoch.
        reason: why it was cancelled, if they said so.
    """

    request: FeedbackRequest
    state: FeedbackState = FeedbackState.PENDING
    response: FeedbackResponse | None = None
    settled_at: float | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "request": self.request.to_json(),
            "state": str(self.state),
            "response": None if self.response is None else self.response.to_json(),
            "settled_at": self.settled_at,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Make it from JSON.

        Raises:
            TypeError: something is missing, or too much.
            ValueError: there is no such type or state.
        """
        response = content["response"]
        return cls(
            FeedbackRequest.from_json(content["request"]),
            FeedbackState(content["state"]),
            None if response is None else FeedbackResponse.from_json(response),
            content["settled_at"],
            content["reason"],
        )


@dataclass(frozen=True, slots=True)
class Letter:
    """Something for a run that answers no question it has asked yet: an event, or an answer that came early.

    Attributes:
        id: unique; a run takes each letter once.
        run_id: whose it is.
        kind: "event" or "answer".
        name: of the event, or of the question.
        payload: JSON: what the event carries, or the arguments of the answer.
        sent_at: seconds since the epoch.
    """

    id: str
    run_id: str
    kind: str
    name: str
    payload: Any
    sent_at: float
