"""Tokens that open one question: made where a question is sent to somebody, verified by the API, stored nowhere.

A token is the base64url of a MAC and of what it vouches for: key id, question, revision, actions, expiry, audience. It
is a secret: put it into the fragment of a link (`#token=...`), where neither servers nor logs see it.
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Final, cast

from ..codec.keys import Keyring
from ..errors import ConfigError, SecurityError
from ..feedback import FeedbackRequest

ACTIONS: Final = ("answer", "cancel")
"""What a token may allow; whoever has one may look at its question, too."""
WEEK: Final = 7 * 24 * 3600.0

SecretKeys = Keyring | str | bytes | Sequence[str | bytes] | Mapping[str, str | bytes]

_PURPOSE = "question tokens of the web inbox, version 1"
_MAC_BYTES = 32
_TEXT = re.compile(r"[A-Za-z0-9_-]{44,2048}")


class InvalidTokenError(SecurityError):
    """A token is none, was altered, was made with an unknown key, or is no longer good."""


@dataclass(frozen=True)
class Grant:
    """What a token allows.

    Attributes:
        question_id: address of the question.
        revision: of the question as it was when the token was made.
        actions: what may be done with it.
        expires_at: seconds since the epoch.
        audience: whom the token was made for; the answer is recorded under this name.
    """

    question_id: str
    revision: str
    actions: tuple[str, ...]
    expires_at: float
    audience: str | None = None


def as_keyring(keys: SecretKeys | None) -> Keyring:
    """Give a keyring: the one given, one of the keys given, or the one of this machine and its environment.

    Raises:
        ConfigError: a key is unfit.
        SecurityError: the key file of this machine is open to others.
    """
    return keys if isinstance(keys, Keyring) else Keyring.load(keys)


def question_token(
    request: FeedbackRequest,
    keys: SecretKeys | None = None,
    *,
    actions: Sequence[str] = ("answer",),
    expires_in: float = WEEK,
    audience: str | None = None,
    now: float | None = None,
) -> str:
    """Make a token for one question, for a link to send to whoever shall answer it.

    Args:
        request: the question; the token is good for it as it reads now.
        keys: the signing keys, of which the first signs; None for `GRAFLOW_SECRET_KEY` or the key of this machine.
        actions: what it allows, of "answer" and "cancel".
        expires_in: seconds that it is good for.
        audience: whom it is for; the answer is recorded under this name. None for the question's assignee.
        now: seconds since the epoch; None for the clock's.

    Raises:
        ConfigError: there is no such action, the time is not positive, or a key is unfit.
    """
    unknown = [action for action in actions if action not in ACTIONS]
    if unknown or not actions or isinstance(actions, str):
        raise ConfigError(f"a token allows some of {', '.join(ACTIONS)}, not {actions!r}")
    if not 0 < expires_in < float("inf"):
        raise ConfigError(f"a token is good for a number of seconds, not {expires_in!r}")
    keyring = as_keyring(keys)
    expiry = int((time() if now is None else now) + expires_in)
    whom = request.assignee if audience is None else audience
    content = [keyring.active, request.id, request.revision, list(actions), expiry, whom]
    payload = json.dumps(content, separators=(",", ":")).encode()
    return urlsafe_b64encode(_mac(keyring.derive(_PURPOSE), payload) + payload).rstrip(b"=").decode()


def verify(token: str, keyring: Keyring, *, now: float) -> Grant:
    """Give what a token allows, if it is genuine and has not expired.

    Raises:
        InvalidTokenError: it is not.
    """
    if _TEXT.fullmatch(token) is None:
        raise InvalidTokenError("this is no token")
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        raise InvalidTokenError("this is no token") from None
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    # The same bytes have one spelling: the bits that base64 leaves over are zero.
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
        raise InvalidTokenError("this is no token")
    if not hmac.compare_digest(mac, _mac(_key_of(payload, keyring), payload)):
        raise InvalidTokenError("the token was altered, or made with another key")
    _, question_id, revision, actions, expires_at, audience = json.loads(payload)
    if now >= expires_at:
        raise InvalidTokenError("the token has expired")
    return Grant(question_id, revision, tuple(actions), expires_at, audience)


def _key_of(payload: bytes, keyring: Keyring) -> bytes:
    """Give the key that a payload names; nothing else of it is looked at before its MAC is verified.

    Raises:
        InvalidTokenError: it names none that is known.
    """
    named = re.match(rb'\["([A-Za-z0-9._-]{1,64})",', payload)
    try:
        return keyring.derive(_PURPOSE, cast("bytes", named[1]).decode() if named is not None else "")
    except SecurityError:
        raise InvalidTokenError("the token was altered, or made with another key") from None


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")
