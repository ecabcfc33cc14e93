"""What goes over the wire, as models: the OpenAPI description is made of them, and bodies are checked against them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..feedback import FeedbackRecord

State = Literal["pending", "answered", "expired", "cancelled"]
Kind = Literal["approval", "text", "selection", "multi_selection", "custom"]
Filter = Annotated[str, Field(min_length=1, max_length=200)]
Reason = Annotated[str, Field(max_length=4000)]
GIVEN = ("approved", "text", "selected", "value")


class Selection(BaseModel):
    """Which questions to list, and which part of the list.

    Attributes:
        run_id, request_id, assignee: only these.
        state: only those in it.
        limit: how many at most.
        after: `next` of the part before.
    """

    model_config = ConfigDict(extra="forbid")

    run_id: Filter | None = None
    request_id: Filter | None = None
    assignee: Filter | None = None
    state: Literal["pending", "answered", "expired", "cancelled", "all"] = "pending"
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    after: Annotated[str, Field(max_length=80, pattern=r"^[0-9]{1,12}\.[0-9]{1,9}~[0-9a-f]{32}$")] | None = None


class Following(BaseModel):
    """Which changes to follow.

    Attributes:
        run_id, assignee: only these.
        question_id: only this question.
    """

    model_config = ConfigDict(extra="forbid")

    run_id: Filter | None = None
    assignee: Filter | None = None
    question_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None


class Answer(BaseModel):
    """The answer to a question: exactly one of approved, text, selected and value.

    Attributes:
        approved: the answer to an approval.
        text: the answer to a text question.
        selected: the chosen option, or a list of them.
        value: the answer to a question of any type; the only way to answer a custom one.
        reason: why.
        revision: the `revision` of the question that was shown, to be told if it has changed since.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"oneOf": [{"required": [name]} for name in GIVEN]})

    approved: bool | None = None
    text: str | None = None
    selected: str | list[str] | None = None
    value: Any = None
    reason: Reason | None = None
    revision: Annotated[str, Field(max_length=100)] | None = None

    def given(self) -> dict[str, Any]:
        """Give the answer itself, under its name; not exactly one is not for this class to refuse."""
        return {name: getattr(self, name) for name in GIVEN if name in self.model_fields_set}


class Withdrawal(BaseModel):
    """Why a question is cancelled.

    Attributes:
        reason: why.
    """

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = None


class Event(BaseModel):
    """What an event carries.

    Attributes:
        payload: any JSON.
    """

    model_config = ConfigDict(extra="forbid")

    payload: Any = None


class Response(BaseModel):
    """An answer that was given.

    Attributes:
        value: the answer itself.
        reason: why.
        responded_by: who answered, as far as is known.
        responded_at: seconds since the epoch.
        is_default: nobody answered in time, and the task had given this for that case.
    """

    value: Any
    reason: str | None
    responded_by: str | None
    responded_at: float
    is_default: bool


class Question(BaseModel):
    """A question and what has become of it. Times are in seconds since the epoch.

    Attributes:
        id: its address.
        request_id: its name, unique within its run.
        run_id, workflow, task_id: who asks.
        type: what kind of answer is wanted.
        prompt: the text to show.
        options: what can be chosen.
        json_schema: JSON schema of a custom answer.
        metadata: more to show.
        assignee: whom it is for.
        channel_key: where in the run's channel the answer will stand.
        created_at: when it was asked.
        deadline: when nobody waits any more.
        revision: changes when something that a person is shown has changed.
        state: what has become of it.
        response: the answer; one that came after the deadline is kept for the run to find when it is resumed.
        settled_at: when it was settled.
        reason: why it was cancelled.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    id: str
    request_id: str
    run_id: str
    workflow: str
    task_id: str
    type: Kind
    prompt: str
    options: list[str] | None
    json_schema: dict[str, Any] | None = Field(alias="schema")
    metadata: dict[str, Any]
    assignee: str | None
    channel_key: str | None
    created_at: float
    deadline: float | None
    revision: str
    state: State
    response: Response | None
    settled_at: float | None
    reason: str | None


class Page(BaseModel):
    """A part of a list.

    Attributes:
        questions: the oldest first.
        next: what to give as `after` for the next part; None after the last one.
        total: how many there are in all parts together.
    """

    questions: list[Question]
    next: str | None
    total: int


class Health(BaseModel):
    """That the server answers.

    Attributes:
        status: always "ok".
    """

    status: Literal["ok"]


class Refusal(BaseModel):
    """Why a request was refused.

    Attributes:
        error: a short name for programs.
        detail: a sentence for people.
        state: what has become of the question, where that is why.
        at: when, in seconds since the epoch.
    """

    error: str
    detail: str
    state: State | None = None
    at: float | None = None


def question_of(record: FeedbackRecord) -> dict[str, Any]:
    """Give a question as `Question` describes it, without the checks: a person's text may be any text."""
    request, response = record.request, record.response
    return {
        "id": request.id,
        "request_id": request.request_id,
        "run_id": request.run_id,
        "workflow": request.workflow,
        "task_id": request.task_id,
        "type": str(request.feedback_type),
        "prompt": request.prompt,
        "options": None if request.options is None else list(request.options),
        "schema": request.schema,
        "metadata": request.metadata,
        "assignee": request.assignee,
        "channel_key": request.channel_key,
        "created_at": request.created_at,
        "deadline": request.deadline,
        "revision": request.revision,
        "state": str(record.state),
        "response": None
        if response is None
        else {
            "value": response.value,
            "reason": response.reason,
            "responded_by": response.responded_by,
            "responded_at": response.responded_at,
            "is_default": response.is_default,
        },
        "settled_at": record.settled_at,
        "reason": record.reason,
    }
