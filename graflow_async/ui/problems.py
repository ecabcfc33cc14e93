"""How the API says no: one exception that carries the answer, and the JSON that every answer is written in."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..errors import StoreError
from ..feedback_errors import AlreadyAnsweredError, InvalidAnswerError, StaleQuestionError, UnknownRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

LONGEST_DETAIL = 1000  # characters; a schema's complaint may quote the whole answer
SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
    ),
}


class Json(Response):
    """A JSON response in plain ASCII: a text with half a surrogate pair in it can be sent as well."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write the content."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


class Problem(Exception):  # noqa: N818  # it is an answer, not a failure
    """Something that the caller has to put right.

    Attributes:
        status: the HTTP status.
        error: a short name for programs.
        detail: a sentence for people.
        more: further fields of the body.
        headers: further headers.
    """

    def __init__(
        self, status: int, error: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        """Keep what will be answered."""
        super().__init__(detail)
        self.status = status
        self.error = error
        self.detail = detail
        self.headers = headers
        self.more = more

    def response(self) -> Json:
        """Give it as a response."""
        body = {"error": self.error, "detail": self.detail[:LONGEST_DETAIL], **self.more}
        return Json(body, self.status, self.headers)


def unauthorised(detail: str, error: str = "unauthorised") -> Problem:
    """Say that no token, or a wrong one, came with a request."""
    return Problem(401, error, detail, headers={"WWW-Authenticate": "Bearer"})


def unknown_question() -> Problem:
    """Say that there is no such question, in the same words whatever was asked for."""
    return Problem(404, "unknown", "there is no such question")


def about(error: Exception) -> Problem:
    """Give the answer that fits an exception."""
    match error:
        case Problem():
            return error
        case AlreadyAnsweredError():
            return Problem(409, "already_settled", str(error), state=error.state, at=error.at)
        case StaleQuestionError():
            return Problem(409, "stale", "the question has changed since it was shown; look at it again")
        case InvalidAnswerError():
            return Problem(422, "does_not_fit", str(error))
        case UnknownRequestError():
            return unknown_question()
        case StoreError():
            headers = {"Retry-After": "5"}
            return Problem(503, "unavailable", "the questions cannot be reached right now", headers=headers)
        case RequestValidationError():
            found = cast("list[dict[str, Any]]", error.errors())
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found[:5])
            return Problem(422, "invalid", wrong)
        case HTTPException():
            name = HTTPStatus(error.status_code).phrase
            return Problem(error.status_code, name.lower().replace(" ", "_"), name, headers=error.headers)
        case _:
            return Problem(500, "internal", "something went wrong here; the log of the server says what")


async def answer_problem(request: Request, error: Exception) -> Response:
    """Answer a request that ended in an exception."""
    del request
    problem = about(error)
    response = problem.response()
    if problem.status == 500:
        # The framework answers this one outside of every middleware.
        response.headers.update(SAFE_HEADERS)
    return response


HANDLED = (
    *(Problem, AlreadyAnsweredError, StaleQuestionError, InvalidAnswerError, UnknownRequestError, StoreError),
    *(RequestValidationError, HTTPException, Exception),
)
"""What `answer_problem` is registered for."""
