"""The API of questions: list, show, answer, cancel; and events for runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.security import HTTPBearer
from starlette.responses import Response

from ..feedback import FeedbackRecord, FeedbackState
from ..feedback_errors import InvalidAnswerError
from ..inbox import ADDRESS, Inbox
from .access import Caller
from .body import read_model
from .models import GIVEN, Answer, Event, Health, Page, Question, Refusal, Selection, Withdrawal, question_of
from .problems import Json, Problem, unknown_question
from .site import Site, caller_of, clear_query, site_of

LONGEST_NAME = 200

RouteSite = Annotated[Site, Depends(site_of)]
RouteCaller = Annotated[Caller, Depends(caller_of)]
QuestionId = Annotated[str, Path(description="The question's address: 32 hexadecimal digits.")]
Name = Annotated[str, Path(min_length=1, max_length=LONGEST_NAME)]

REFUSALS: dict[int, str] = {
    400: "The body is no good JSON, or the host is none.",
    401: "There is no token, or a wrong one.",
    403: "The token is for something else, or another site's page sent this.",
    404: "There is no such question.",
    408: "The body took too long to arrive.",
    409: "The question is settled, or has changed since it was shown.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    421: "The host is not served here.",
    422: "The answer or a parameter does not fit.",
    429: "Too many streams are open.",
    503: "The questions cannot be reached right now.",
}
READING = (400, 401, 403, 421, 422, 503)
WRITING = (*READING, 404, 408, 409, 413, 415)

router = APIRouter(prefix="/api", dependencies=[Depends(HTTPBearer(auto_error=False)), Depends(clear_query)])
open_router = APIRouter(prefix="/api")


def refusals(statuses: tuple[int, ...]) -> dict[int | str, dict[str, Any]]:
    """Describe how a route refuses."""
    return {status: {"model": Refusal, "description": REFUSALS[status]} for status in sorted(statuses)}


def takes(model: type[Answer | Withdrawal | Event]) -> dict[str, Any]:
    """Describe the body of a route that reads it itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


async def find_record(inbox: Inbox, caller: Caller, action: str, question_id: str) -> FeedbackRecord:
    """Find a question that a caller may do something with.

    Raises:
        Problem: 403, 404, or 409 if it is not the question any more that the caller's token was made for.
    """
    caller.require(action, question_id)
    record = await inbox.broker.get(question_id) if ADDRESS.fullmatch(question_id) is not None else None
    if record is None:
        raise unknown_question()
    if caller.grant is not None:
        require_revision(record, caller.grant.revision)
    return record


def require_revision(record: FeedbackRecord, revision: str | None) -> None:
    """Refuse what was meant for a question that read otherwise.

    Raises:
        Problem: 409.
    """
    if revision is not None and revision != record.request.revision:
        detail = "the question has changed since it was shown; look at it again"
        raise Problem(409, "stale", detail, state=str(record.state), at=record.settled_at)


@router.get("/questions", response_model=Page, responses=refusals(READING), summary="List questions")
async def list_questions(site: RouteSite, caller: RouteCaller, query: Annotated[Selection, Query()]) -> Response:
    """List questions, the oldest first, in parts: `next` of one part is `after` of the following one."""
    caller.require("list")
    wanted = None if query.state == "all" else FeedbackState(query.state)
    found: list[FeedbackRecord] = []
    if query.run_id is None or query.run_id.isprintable():  # as every run's id is
        found = await site.inbox.broker.find(run_id=query.run_id, request_id=query.request_id, state=wanted)
    chosen = [record for record in found if query.assignee in (None, record.request.assignee)]
    ordered = sorted(((_place(record), record) for record in chosen), key=lambda one: one[0])
    rest = ordered if query.after is None else [one for one in ordered if one[0] > _place_named(query.after)]
    part = rest[: query.limit]
    return Json(
        {
            "questions": [question_of(record) for _, record in part],
            "next": "{:.9f}~{}".format(*part[-1][0]) if len(rest) > query.limit else None,
            "total": len(ordered),
        }
    )


@router.get(
    "/questions/{question_id}", response_model=Question, responses=refusals((*READING, 404, 409)), summary="Show one"
)
async def show_question(site: RouteSite, caller: RouteCaller, question_id: QuestionId) -> Response:
    """Show a question and what has become of it."""
    return Json(question_of(await find_record(site.inbox, caller, "show", question_id)))


@router.post(
    "/questions/{question_id}/answer",
    response_model=Question,
    responses=refusals(WRITING),
    openapi_extra=takes(Answer),
    summary="Answer",
)
async def answer_question(site: RouteSite, caller: RouteCaller, question_id: QuestionId, request: Request) -> Response:
    """Answer a question: the first answer counts.

    One that comes after the deadline is kept for the run to find when it is resumed; the state stays "expired".
    """
    caller.require("answer", question_id)
    answer = await read_model(request, Answer, timeout=site.body_timeout)
    record = await find_record(site.inbox, caller, "answer", question_id)
    given = answer.given()
    if len(given) != 1 or (None in given.values() and "value" not in given):
        raise InvalidAnswerError(f"give exactly one of {', '.join(GIVEN)}", record.request.request_id)
    if record.state in (FeedbackState.PENDING, FeedbackState.EXPIRED):
        require_revision(record, answer.revision)
    settled = await site.inbox.respond(
        question_id, **given, reason=answer.reason, responded_by=caller.name, revision=record.request.revision
    )
    return Json(question_of(settled or record))


@router.post(
    "/questions/{question_id}/cancel",
    response_model=Question,
    responses=refusals(WRITING),
    openapi_extra=takes(Withdrawal),
    summary="Cancel",
)
async def cancel_question(site: RouteSite, caller: RouteCaller, question_id: QuestionId, request: Request) -> Response:
    """Withdraw a question: the task that waits for it is told so."""
    caller.require("cancel", question_id)
    withdrawal = await read_model(request, Withdrawal, timeout=site.body_timeout)
    record = await find_record(site.inbox, caller, "cancel", question_id)
    settled = await site.inbox.broker.settle(
        question_id,
        FeedbackState.CANCELLED,
        at=site.now(),
        reason=withdrawal.reason,
        revision=record.request.revision,
    )
    return Json(question_of(settled))


@router.post(
    "/runs/{run_id}/events/{name}",
    status_code=204,
    response_class=Response,
    responses=refusals(WRITING),
    openapi_extra=takes(Event),
    summary="Send an event to a run",
)
async def send_event(site: RouteSite, caller: RouteCaller, run_id: Name, name: Name, request: Request) -> Response:
    """Send an event to a run, for `ctx.wait_for_event(name)`; it is kept until the run takes it.

    A run that has not started yet finds it, too; so no run is unknown.
    """
    caller.require("send")
    event = await read_model(request, Event, timeout=site.body_timeout)
    if not run_id.isprintable() or not name.isprintable():
        raise Problem(422, "invalid", "the id of a run and the name of an event are printable texts")
    await site.inbox.send(run_id, name, event.payload)
    return Response(status_code=204)


@open_router.get("/health", response_model=Health, responses=refusals((400, 421)), summary="Tell that it runs")
async def health() -> Response:
    """Tell that the server answers; no token is needed."""
    return Json({"status": "ok"})


def _place(record: FeedbackRecord) -> tuple[float, str]:
    """Give a question's place in the list."""
    return record.request.created_at, record.request.id


def _place_named(after: str) -> tuple[float, str]:
    moment, _, question_id = after.partition("~")
    return float(moment), question_id
