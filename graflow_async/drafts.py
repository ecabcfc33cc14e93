"""Questions as tasks write them down, checked before anybody is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from .answers import answer_to, check_metadata, schema_of
from .errors import ConfigError
from .feedback import FeedbackRequest, FeedbackResponse, FeedbackType
from .feedback_errors import InvalidAnswerError
from .policy import require_number

if TYPE_CHECKING:
    from collections.abc import Mapping

CHOICES = frozenset({FeedbackType.SELECTION, FeedbackType.MULTI_SELECTION})


class Draft:
    """A question before it is asked.

    Attributes:
        request: the question, without address and times; without a name (`request_id`) if none was given.
        timeout: seconds to wait; None for ever.
        default: the answer if nobody gives one in time; None for none.
        model: what a custom answer is made into; None to leave it as JSON.
    """

    __slots__ = ("default", "model", "request", "timeout")

    def __init__(
        self, request: FeedbackRequest, timeout: float | None, default: FeedbackResponse | None, model: Any
    ) -> None:
        """Keep what was checked."""
        self.request = request
        self.timeout = timeout
        self.default = default
        self.model = model


def draft_of(
    feedback_type: FeedbackType | str,
    prompt: str | None = None,
    *,
    message: str | None = None,
    options: Sequence[str] | None = None,
    schema: Any = None,
    timeout: float | None = None,
    default: Any = None,
    channel_key: str | None = None,
    request_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    assignee: str | None = None,
) -> Draft:
    """Check a question.

    Args:
        feedback_type: what kind of answer is wanted.
        prompt: the text to show.
        message: the same, under another name.
        options: what can be chosen.
        schema: what a custom answer has to be: a JSON schema, or a model (pydantic, dataclass, TypedDict, `list[int]`).
        timeout: seconds to wait.
        default: the answer if nobody gives one in time.
        channel_key: where in the channel the answer is put before the task goes on.
        request_id: the question's name, unique in the run.
        metadata: more to show, as JSON.
        assignee: whom it is for.

    Raises:
        ConfigError: something is missing, or makes no sense.
    """
    try:
        kind = FeedbackType(feedback_type)
    except ValueError:
        known = ", ".join(map(repr, map(str, FeedbackType)))
        raise ConfigError(f"there is no type of feedback {feedback_type!r}; there are {known}") from None
    texts = [text for text in (prompt, message) if text is not None]
    if len(texts) != 1 or not isinstance(texts[0], str) or not texts[0].strip():  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
        raise ConfigError("a question has a text: give prompt= (or message=, which is the same), not both")
    if timeout is not None:
        require_number("timeout", timeout, exclusive=True)
    for name, text in (("request_id", request_id), ("channel_key", channel_key), ("assignee", assignee)):
        if text is not None and (not isinstance(text, str) or not text):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
            raise ConfigError(f"{name} is a text that is not empty, not {text!r}")
    if schema is not None and kind is not FeedbackType.CUSTOM:
        raise ConfigError(f"schema= describes the answer to a custom question; this one is {str(kind)!r}")
    request = FeedbackRequest(
        "",
        request_id or "",
        "",
        "",
        kind,
        texts[0],
        0.0,
        options=_options(kind, options),
        schema=None if schema is None else schema_of(schema),
        metadata=check_metadata(metadata),
        assignee=assignee,
        channel_key=channel_key,
    )
    given = None if default is None else _default(request, default)
    return Draft(request, timeout, given, None if schema is None or isinstance(schema, dict) else schema)


def _options(kind: FeedbackType, options: Any) -> tuple[str, ...] | None:
    """Check what can be chosen."""
    if kind not in CHOICES:
        if options is not None:
            raise ConfigError(f"options= belongs to a selection; this question is {str(kind)!r}")
        return None
    if isinstance(options, str) or not isinstance(options, Sequence) or not options:
        raise ConfigError("a selection needs options=[...], a list of texts to choose from")
    chosen = cast("Sequence[Any]", options)
    for option in chosen:
        if not isinstance(option, str) or not option:
            raise ConfigError(f"an option is a text that is not empty, not {option!r}")
    if len(set(chosen)) < len(chosen):
        raise ConfigError("an option is given twice")
    return tuple(chosen)


def _default(request: FeedbackRequest, default: Any) -> FeedbackResponse:
    """Check the answer that counts if nobody gives one."""
    try:
        return answer_to(request, at=0.0, value=default)
    except InvalidAnswerError as error:
        raise ConfigError(f"default={default!r} is no answer to this question: {error}") from None
