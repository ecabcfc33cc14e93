"""Getting an answer from whoever calls: out of the command line, or by asking at the terminal until it fits."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from ..answers import answer_to
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackState, FeedbackType
from ..feedback_errors import AlreadyAnsweredError, InvalidAnswerError
from .failures import CommandError, UsageError, spelled
from .loop import drive
from .questions import shown

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = {"y": True, "yes": True, "n": False, "no": False}


def can_ask() -> bool:
    """Say whether there is a person at a terminal; stdout may go elsewhere."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(request: FeedbackRequest) -> dict[str, Any]:
    """Show a question on stderr and read the answer, as arguments of `Inbox.respond`.

    Raises:
        CommandError: the input ended before there was an answer.
        KeyboardInterrupt: Ctrl-C.
    """
    _tell("\n".join([*shown(request), ""]))
    invitation, read = _WAYS[request.feedback_type]
    while True:
        line = _line(f"{invitation}: ")
        try:
            given = read(request, line)
            answer_to(request, at=0.0, **given)
        except InvalidAnswerError as error:
            _tell(f"{spelled(str(error).partition(': ')[2])}\n")
        except (ValueError, UsageError) as error:
            _tell(f"{spelled(str(error))}\n")
        else:
            return given


def _line(invitation: str) -> str:
    """Invite somebody to type a line, and read it.

    Raises:
        CommandError: there is none.
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        drive(_typed(invitation))
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        return ""
    except KeyboardInterrupt:
        _tell("\n")
        raise
    if not line:
        _tell("\n")
        raise CommandError("there was no answer; the question stays open")
    return line.strip()


async def _typed(invitation: str) -> None:
    """Invite somebody to type a line, and wait until it was typed.

    Python takes notice of Ctrl-C between two of its steps. One that comes just before a read is kept until the read
    ends, which may be never; the loop is woken by it.
    """
    loop, is_typed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, is_typed.set)
    try:
        _tell(invitation)
        await is_typed.wait()
    finally:
        loop.remove_reader(sys.stdin)


def _tell(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _approval(_: FeedbackRequest, line: str) -> dict[str, Any]:
    if line.lower() not in _WORDS:
        raise ValueError("answer y or n")
    return {"approved": _WORDS[line.lower()]}


def _text(_: FeedbackRequest, line: str) -> dict[str, Any]:
    if not line:
        raise ValueError("answer with a text (an empty one can be given with --text '')")
    return {"text": line}


def _selection(request: FeedbackRequest, line: str) -> dict[str, Any]:
    return {"selected": _option(request, line)}


def _multi_selection(request: FeedbackRequest, line: str) -> dict[str, Any]:
    return {"selected": [_option(request, word) for word in line.replace(",", " ").split()]}


def _custom(_: FeedbackRequest, line: str) -> dict[str, Any]:
    return {"value": json_of(line)}


_WAYS: dict[FeedbackType, tuple[str, Callable[[FeedbackRequest, str], dict[str, Any]]]] = {
    FeedbackType.APPROVAL: ("approve? [y/n]", _approval),
    FeedbackType.TEXT: ("text", _text),
    FeedbackType.SELECTION: ("number of the option", _selection),
    FeedbackType.MULTI_SELECTION: ("numbers of the options (an empty line for none)", _multi_selection),
    FeedbackType.CUSTOM: ("JSON", _custom),
}


def json_of(text: str, what: str = "this") -> Any:
    """Read JSON, without what only Python takes for it.

    Raises:
        UsageError: it is none.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is no JSON: {error}") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is none of its values")


def _option(request: FeedbackRequest, word: str) -> str:
    """Give the option of a number, or the one that is written out; what could be both is a number.

    Raises:
        ValueError: there is no such option.
    """
    options = request.options or ()
    if word.isascii() and word.isdecimal() and len(word) < 10 and 1 <= int(word) <= len(options):
        return options[int(word) - 1]
    if word not in options:
        raise ValueError(f"answer with a number from 1 to {len(options)}, or write the option out")
    return word


def given_answer(
    *, approve: bool, reject: bool, text: str | None, select: list[str] | None, value: str | None
) -> dict[str, Any]:
    """Give the answer of the command line as an argument of `Inbox.respond`; nothing if there is none.

    Raises:
        UsageError: there are two.
    """
    options = {"--approve": approve, "--reject": reject, "--text": text is not None, "--select": bool(select)}
    named = [name for name, is_there in {**options, "--value": value is not None}.items() if is_there]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} are two answers: give one")
    if approve or reject:
        return {"approved": approve}
    if text is not None:
        return {"text": text}
    if select:
        return {"selected": select}
    return {} if value is None else {"value": json_of(value, "--value")}


def fitted(given: dict[str, Any], record: FeedbackRecord | None) -> dict[str, Any]:
    """Give one chosen option as such where one is asked for; nobody knows that of a question still to come."""
    chosen = given.get("selected")
    takes_many = record is not None and record.request.feedback_type is FeedbackType.MULTI_SELECTION
    if isinstance(chosen, list) and len(chosen) == 1 and not takes_many:  # pyright: ignore[reportUnknownArgumentType]  # of texts
        return {"selected": chosen[0]}
    return given


def check_open(record: FeedbackRecord) -> None:
    """Refuse to ask somebody for an answer that would come too late.

    Raises:
        AlreadyAnsweredError: it would.
    """
    is_open = record.state is FeedbackState.PENDING
    if not is_open and (record.state is not FeedbackState.EXPIRED or record.response is not None):
        raise AlreadyAnsweredError(record.request.request_id, str(record.state), record.settled_at)
