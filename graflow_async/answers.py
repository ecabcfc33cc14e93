"""Whether an answer fits its question: checked where it is given, so that a wrong one leaves the question open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from ._lazy import lazily
from .errors import ConfigError
from .feedback import FeedbackRequest, FeedbackResponse, FeedbackType
from .feedback_errors import InvalidAnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

jsonschema = lazily("jsonschema")
pydantic = lazily("pydantic")

GIVEN = ("approved", "text", "selected", "value")
NOTHING: dict[str, Any] = {}  # one for all questions that show no more than their prompt
NEEDS = "custom questions with a schema or a model need the extra: pip install 'graflow-async[feedback]'"


def answer_to(
    request: FeedbackRequest,
    *,
    at: float,
    approved: bool | None = None,
    text: str | None = None,
    selected: str | Sequence[str] | None = None,
    value: Any = None,
    reason: str | None = None,
    responded_by: str | None = None,
) -> FeedbackResponse:
    """Make the answer to a question out of what somebody gave: exactly one of the first four.

    Raises:
        InvalidAnswerError: it does not fit.
    """
    given = {"approved": approved, "text": text, "selected": selected, "value": value}
    named = [name for name, one in given.items() if one is not None]
    kind = request.feedback_type
    if len(named) > 1 or (not named and kind is not FeedbackType.CUSTOM):
        what = f"not {' and '.join(named)}" if named else "nothing was given"
        raise _refusal(request, f"give one of {', '.join(GIVEN)}; {what}")
    name = named[0] if named else "value"
    if name not in ("value", _NAMES.get(kind)):
        raise _refusal(request, f"it asks for {_NAMES.get(kind, 'value')}, not {name}")
    for label, note in (("reason", reason), ("responded_by", responded_by)):
        if note is not None and not isinstance(note, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # JSON
            raise _refusal(request, f"{label} is a text, not {type(note).__name__}")
    response = FeedbackResponse(request.request_id, kind, at, reason=reason, responded_by=responded_by)
    return replace(response, **_filled(request, given[name]))


_NAMES = {
    FeedbackType.APPROVAL: "approved",
    FeedbackType.TEXT: "text",
    FeedbackType.SELECTION: "selected",
    FeedbackType.MULTI_SELECTION: "selected",
}


def _filled(request: FeedbackRequest, value: Any) -> dict[str, Any]:
    """Give the field of an answer where a value belongs, if it fits."""
    kind = request.feedback_type
    if kind is FeedbackType.APPROVAL:
        if not isinstance(value, bool):
            raise _refusal(request, f"it is answered with true or false, not {value!r}")
        return {"approved": value}
    if kind is FeedbackType.TEXT:
        if not isinstance(value, str):
            raise _refusal(request, f"it is answered with a text, not {type(value).__name__}")
        return {"text": value}
    if kind is FeedbackType.CUSTOM:
        return {"custom": _checked(request, value)}
    if kind is FeedbackType.MULTI_SELECTION and (isinstance(value, str) or not isinstance(value, Sequence)):
        raise _refusal(request, f"it is answered with a list of options, not {value!r}")
    chosen = cast("Sequence[Any]", [value] if kind is FeedbackType.SELECTION else value)
    options = request.options or ()
    for one in chosen:
        if not isinstance(one, str) or one not in options:
            raise _refusal(request, f"{one!r} is none of its options: {', '.join(options)}")
    if len(set(chosen)) < len(chosen):
        raise _refusal(request, "it names an option twice")
    return {"selected": value} if kind is FeedbackType.SELECTION else {"selected_multiple": tuple(chosen)}


def _checked(request: FeedbackRequest, value: Any) -> Any:
    """Give a custom answer if it is JSON and its schema allows it."""
    try:
        value = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise _refusal(request, f"it is no JSON: {error}") from None
    if request.schema is not None:
        try:
            validator: Any = jsonschema.validators.validator_for(request.schema)(request.schema)
        except ImportError as error:
            raise ConfigError(NEEDS) from error
        problem: Any = next(iter(validator.iter_errors(value)), None)
        if problem is not None:
            raise _refusal(request, f"at {problem.json_path}: {problem.message}")
    return value


def schema_of(asked: Any) -> dict[str, Any]:
    """Give the JSON schema of what a custom question asks for: a schema as it is, or that of a model.

    Args:
        asked: a JSON schema, or anything that pydantic takes: a model, a dataclass, a TypedDict, `list[int]`, ...

    Raises:
        ConfigError: it is neither, or the extra is missing.
    """
    try:
        if isinstance(asked, dict):
            schema = cast("dict[str, Any]", json.loads(json.dumps(asked)))
            jsonschema.validators.validator_for(schema).check_schema(schema)
            return schema
        return pydantic.TypeAdapter(asked).json_schema()
    except ImportError as error:
        raise ConfigError(NEEDS) from error
    except Exception as error:
        raise ConfigError(f"{asked!r} is neither a JSON schema nor a model: {error}") from error


def as_model(request: FeedbackRequest, model: Any, value: Any) -> Any:
    """Make an object of a model out of a custom answer.

    Raises:
        InvalidAnswerError: the model refuses it.
    """
    try:
        return pydantic.TypeAdapter(model).validate_python(value)
    except pydantic.ValidationError as error:
        raise _refusal(request, str(error)) from None


def check_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give metadata as plain JSON.

    Raises:
        ConfigError: it is none.
    """
    if not metadata:
        return NOTHING
    try:
        made = json.loads(json.dumps(dict(metadata), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"the metadata of a question is shown elsewhere, so it has to be JSON: {error}") from None
    return cast("dict[str, Any]", made)


def _refusal(request: FeedbackRequest, why: str) -> InvalidAnswerError:
    return InvalidAnswerError(f"the answer to {request.request_id!r} does not fit: {why}", request.request_id)
