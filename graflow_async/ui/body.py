"""Reading a JSON body that anybody may have written: bounded in size, time and depth, and strict about the rest."""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from .problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST: Final = 65_536
"""The largest body, in bytes."""
DEEPEST: Final = 32
"""How deep arrays and objects may be nested."""
LONGEST_INTEGER: Final = 300
"""Digits of an integer; a larger one is no number for most readers of JSON."""

_JSON_TYPE = re.compile(r'application/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)
# A string that is never closed matches to its end: a scan that tried again inside it would be quadratic.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


ModelT = TypeVar("ModelT", bound=BaseModel)


async def read_model(request: Request, model: type[ModelT], *, timeout: float) -> ModelT:
    """Read the body of a request, which has to fit a model.

    Args:
        request: the request.
        model: what the body has to be.
        timeout: seconds that the whole body may take to arrive.

    Raises:
        Problem: it is of another type (415), too large (413), too slow (408), no good JSON (400) or unfit (422).
    """
    content = parse(await _received(request, timeout))
    try:
        return model.model_validate(content, strict=True)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()[:5])
        raise Problem(422, "invalid", wrong) from None


def parse(raw: bytes) -> Any:
    """Read JSON, refusing what other readers understand otherwise: duplicate keys, NaN, half a surrogate pair.

    Raises:
        Problem: it is refused.
    """
    try:
        text = raw.decode("utf-8")
        if _depth(text) > DEEPEST:
            raise _malformed(f"nested deeper than {DEEPEST}")
        content = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
        # Texts end up in files and on other machines, as UTF-8.
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise _malformed("not JSON in UTF-8") from None
    return content


async def _received(request: Request, timeout: float) -> bytes:
    """Take in the body while it is small and quick enough."""
    given = request.headers.getlist("content-type")
    if len(given) != 1 or _JSON_TYPE.fullmatch(given[0].strip()) is None or "content-encoding" in request.headers:
        raise Problem(415, "unsupported_media_type", "send application/json, in UTF-8 and not compressed")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > LARGEST:
        raise _too_large()
    received = bytearray()
    try:
        async with asyncio.timeout(timeout):
            async for chunk in request.stream():
                received += chunk
                if len(received) > LARGEST:
                    raise _too_large()
    except TimeoutError:
        headers = {"Connection": "close"}
        raise Problem(408, "too_slow", f"the body did not arrive within {timeout:g} s", headers=headers) from None
    except ClientDisconnect:
        raise _malformed("cut off") from None
    return bytes(received)


def _too_large() -> Problem:
    headers = {"Connection": "close"}
    return Problem(413, "too_large", f"the body is larger than {LARGEST} bytes", headers=headers)


def _malformed(why: str) -> Problem:
    return Problem(400, "malformed", f"the body is {why}")


def _depth(text: str) -> int:
    """Tell how deep brackets are nested, before a parser follows them."""
    depth = deepest = 0
    for found in _BRACKETS.finditer(text):
        mark = found[0]
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs.

    Raises:
        Problem: a key stands there twice.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _malformed("not clear: an object has a key twice")
    return made


def _constant(name: str) -> Any:
    raise _malformed(f"not JSON: {name}")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _malformed("not JSON: a number is too large")
    return number


def _int(text: str) -> int:
    if len(text) > LONGEST_INTEGER:
        raise _malformed("not JSON: a number is too large")
    return int(text)
