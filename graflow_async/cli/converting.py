"""What an annotation makes of a value from the command line or from JSON: numbers, paths, enums, dataclasses, models.

A misfit is told with the place of the value, what was expected there, and what was found instead.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import types
import typing
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_MOST = 60  # characters of a value that a message shows
_ABSENT: Any = object()


class Misfit(ValueError):  # noqa: N818  # it is no failure of the program
    """A value does not fit an annotation.

    Attributes:
        place: where in the input, as `[2].name`; "" for the whole.
    """

    def __init__(self, place: str, text: str) -> None:
        """Keep the place apart, so that whoever is around can put their own in front."""
        super().__init__(text)
        self.place = place
        self.text = text


def fit(annotation: Any, value: Any, text: str | None = None, place: str = "") -> Any:
    """Make of a value what an annotation asks for; an annotation that says nothing leaves it as it is.

    Args:
        annotation: a type, evaluated.
        value: what JSON has, or a text that is no JSON.
        text: what was typed, if the value was; words that only a command line knows (`yes`, unquoted texts) count then.
        place: where the value stands.

    Raises:
        Misfit: it does not fit.
    """
    annotation = _bare(annotation)
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _of_union(parts, value, text, place)
    if origin is Literal:
        return _of_choices({choice: choice for choice in parts}, value, text, place)
    kind: Any = origin or annotation
    if kind in (None, type(None)):
        return None if value is None else _refuse(place, "null", value, text)
    if not isinstance(kind, type):
        return value
    convert = _SCALARS.get(kind)
    if convert is not None:
        return _scalar(convert, kind.__name__, value, text, place)
    if issubclass(kind, enum.Enum):
        return _of_enum(kind, value, text, place)
    collection = _COLLECTIONS.get(kind)
    if collection is not None:
        return _of_collection(kind, collection, parts, value, text, place)
    made: Any = cast("Any", kind)
    if hasattr(made, "model_validate"):
        return _of_model(made, value, text, place)
    if dataclasses.is_dataclass(made):
        return _of_dataclass(made, value, text, place)
    return value


def says_something(annotation: Any) -> bool:
    """Say whether an annotation asks for anything."""
    return annotation not in (Any, object, None) and not isinstance(annotation, (str, typing.TypeVar))


def _bare(annotation: Any) -> Any:
    """Take names and additions off an annotation: `Annotated`, `NewType`, `type X = ...`."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def _refuse(place: str, expected: str, value: Any, text: str | None, hint: str = "") -> Any:
    """Say that something else was expected.

    Raises:
        Misfit: always.
    """
    found = repr(value if text is None else text)
    found = found if len(found) <= _MOST else f"{found[:_MOST]}..."
    raise Misfit(place, f"is {expected}, not {found}{hint}")


# -- one value ------------------------------------------------------------------------------------------------


def _scalar(convert: Callable[[Any, str | None], Any], name: str, value: Any, text: str | None, place: str) -> Any:
    try:
        return convert(value, text)
    except (ValueError, TypeError, ArithmeticError):
        return _refuse(place, name, value, text)


def _as_int(value: Any, text: str | None) -> int:
    if text is not None:
        return int(text)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004  # one class for every value that does not fit
    return value


def _as_float(value: Any, text: str | None) -> float:
    if text is not None:
        return float(text)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004  # as above
    return float(value)


def _as_bool(value: Any, text: str | None) -> bool:
    if text is not None:
        value = _WORDS.get(text.strip().lower())
    if not isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004  # as above
    return value


def _as_text(value: Any, text: str | None) -> str:
    """Give a text as it was typed; quotes around it are those of JSON."""
    if isinstance(value, str):
        return value
    if text is None:
        raise ValueError(value)
    return text


def _through(make: Callable[[str], Any]) -> Callable[[Any, str | None], Any]:
    """Make something of a text."""
    return lambda value, text: make(_as_text(value, text))


def _as_decimal(value: Any, text: str | None) -> decimal.Decimal:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return decimal.Decimal(str(value) if is_number and text is None else _as_text(value, text))


_SCALARS: dict[Any, Callable[[Any, str | None], Any]] = {
    int: _as_int,
    float: _as_float,
    bool: _as_bool,
    str: _as_text,
    bytes: _through(str.encode),
    pathlib.Path: _through(pathlib.Path),
    pathlib.PurePath: _through(pathlib.PurePath),
    dt.datetime: _through(dt.datetime.fromisoformat),
    dt.date: _through(dt.date.fromisoformat),
    dt.time: _through(dt.time.fromisoformat),
    uuid.UUID: _through(uuid.UUID),
    decimal.Decimal: _as_decimal,
}


# -- one of several -------------------------------------------------------------------------------------------


def _of_choices(choices: Mapping[Any, Any], value: Any, text: str | None, place: str) -> Any:
    """Choose by the value, or by the text that was typed."""
    for name, choice in choices.items():
        if type(name) is type(value) and name == value:
            return choice
    found = choices.get(text, _ABSENT) if text is not None else _ABSENT
    if found is not _ABSENT:
        return found
    return _refuse(place, f"one of {', '.join(map(repr, choices))}", value, text)


def _of_enum(kind: type[enum.Enum], value: Any, text: str | None, place: str) -> enum.Enum:
    """Choose a member by its value, else by its name."""
    for given in (value, text):
        for member in kind:
            if type(given) is type(member.value) and given == member.value:
                return member
    name = value if isinstance(value, str) else text or ""
    if name in kind.__members__:
        return kind[name]
    values = [
        member.value if isinstance(member.value, (str, int)) else name for name, member in kind.__members__.items()
    ]
    return _refuse(place, f"one of {', '.join(map(repr, map(_plain, values)))}", value, text)


def _plain(value: str | int) -> str | int:
    """Take a value out of an enum whose members are texts or numbers themselves."""
    return str.__str__(value) if isinstance(value, str) else int(value)


def _of_union(parts: Sequence[Any], value: Any, text: str | None, place: str) -> Any:
    """Give the value as it is if its type is among those asked for; else what the first one makes of it, text last."""
    if value is None and type(None) in parts:
        return None
    members = [part for part in parts if part is not type(None)]
    if len(members) == 1:
        return fit(members[0], value, text, place)
    if type(value) in members and not isinstance(value, str):
        return value
    for member in sorted(members, key=lambda part: part is str):
        try:
            return fit(member, value, text, place)
        except Misfit:
            continue
    return _refuse(place, " or ".join(getattr(part, "__name__", str(part)) for part in members), value, text)


# -- many values ----------------------------------------------------------------------------------------------

_COLLECTIONS: dict[Any, Callable[[Any], Any]] = {
    list: list,
    Sequence: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    dict: dict,
    Mapping: dict,
}


def _of_collection(
    kind: Any, make: Callable[[Any], Any], parts: Sequence[Any], value: Any, text: str | None, place: str
) -> Any:
    """Make a collection of a JSON list or object, its elements included."""
    if make is dict:
        if not isinstance(value, dict):
            return _refuse(place, kind.__name__, value, text, _hint(text, '{"key": 1}'))
        keys, values = parts if len(parts) == 2 else (Any, Any)
        entries = cast("dict[str, Any]", value).items()
        return {
            fit(keys, key, key, f"{place}[{key!r}]"): fit(values, it, None, f"{place}[{key!r}]") for key, it in entries
        }
    if not isinstance(value, list):
        return _refuse(place, kind.__name__, value, text, _hint(text, "[1, 2]"))
    items = cast("list[Any]", value)
    if make is tuple and parts and parts[-1] is not Ellipsis:
        if len(parts) != len(items):
            return _refuse(place, f"{len(parts)} values", value, text)
        return tuple(
            fit(part, it, None, f"{place}[{n}]") for n, (part, it) in enumerate(zip(parts, items, strict=True))
        )
    element = parts[0] if parts else Any
    try:
        return make([fit(element, it, None, f"{place}[{n}]") for n, it in enumerate(items)])
    except TypeError:  # a list in a set
        return _refuse(place, kind.__name__, value, text)


def _hint(text: str | None, example: str) -> str:
    return "" if text is None else f"; write it as JSON: '{example}'"


def _of_model(kind: Any, value: Any, text: str | None, place: str) -> Any:
    """Let a model validate a JSON object."""
    if not isinstance(value, dict):
        return _refuse(place, f"{kind.__name__}, a JSON object", value, text)
    try:
        return kind.model_validate(value)
    except ValueError as error:
        tell: Any = getattr(error, "errors", list)  # of pydantic
        details: Any = tell()
        if not details:
            raise Misfit(place, f"is {kind.__name__}: {error}") from error
        where = "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in details[0]["loc"])
        raise Misfit(f"{place}{where}", f"does not fit {kind.__name__}: {details[0]['msg']}") from error


def _of_dataclass(kind: Any, value: Any, text: str | None, place: str) -> Any:
    """Make a dataclass of a JSON object, its fields included."""
    if not isinstance(value, dict):
        return _refuse(place, f"{kind.__name__}, a JSON object", value, text)
    given = cast("dict[str, Any]", value)
    try:
        hints = typing.get_type_hints(kind)
    except (NameError, TypeError):
        hints = {}
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    absent = dataclasses.MISSING
    missing = [
        name
        for name, field in fields.items()
        if name not in given and field.default is absent and field.default_factory is absent
    ]
    strange = [name for name in given if name not in fields]
    if missing or strange:
        wrong = f"has no {strange[0]!r}" if strange else f"needs {', '.join(map(repr, missing))}"
        raise Misfit(place, f"is {kind.__name__}, which {wrong} (its fields: {', '.join(fields)})")
    arguments = {name: fit(hints.get(name, Any), it, None, f"{place}.{name}") for name, it in given.items()}
    try:
        return kind(**arguments)
    except (ValueError, TypeError) as error:
        raise Misfit(place, f"is {kind.__name__}: {error}") from error
